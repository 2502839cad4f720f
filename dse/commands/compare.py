"""Command that compares two designs, or two runs."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from dse.commands import terminal
from dse.commands.run import AsJson, Results

if TYPE_CHECKING:
    from dse.insight.runs import Opened
    from dse.insight.table import Table

COMPARE_EXAMPLES = terminal.examples(
    "dse compare last:A last:B",
    "dse compare last~1 last --markdown",
    "dse compare quickstart/last:A last:nearest --html compare.html",
)

Name = Annotated[str, typer.Argument(metavar="RUN[:DESIGN]", help="Two designs (last:A, last~1:D012) or two runs.")]


def compare(
    first: Name,
    second: Name,
    markdown: Annotated[bool, typer.Option("--markdown", help="Print Markdown for a document.")] = False,
    html: Annotated[Path | None, typer.Option(help="Write a page instead of printing.", metavar="FILE")] = None,
    results: Results = Path("results"),
    as_json: AsJson = False,
) -> None:
    """Compare two designs (choices, ratios, causes) or two runs (hypervolume, coverage, joint front, levers)."""
    from dse.facts.errors import Mistake, SpecError
    from dse.insight.decision import pamphlet

    designs = [":" in name for name in (first, second)]
    if designs[0] != designs[1]:
        why = "one is a design, the other a run: name two designs (last:A last:B) or two runs (last~1 last)"
        raise SpecError([Mistake(f"{first} {second}", 0, 0, "", why)])
    whole = markdown or html is not None
    found, said, tables, note = (_designs if designs[0] else _runs)(first, second, results, whole)
    title = f"{first} and {second}"
    if as_json:
        terminal.say_json(found)
    elif html is not None:
        html.write_text(pamphlet.html(title, said, tables, note), encoding="utf-8")
        terminal.labelled("written", str(html), "dim")
    elif markdown:
        terminal.say(pamphlet.markdown(title, said, tables, note).rstrip())
    else:
        for subject, text in said:
            terminal.labelled(subject, text)
        terminal.say()
        for table in tables:
            if table.rows:
                terminal.say_table(table)
                terminal.say()
        terminal.say(f"  {note}", "dim")


def _designs(
    first: str, second: str, results: Path, whole: bool
) -> tuple[Any, list[tuple[str, str]], "list[Table]", str]:
    """Comparison of two designs as data, sentences, tables and a note."""
    from dse.insight.decision import compare as insight
    from dse.insight.runs import design as find

    pair = (find(first, results), find(second, results))
    found = insight.compare(*pair, (first, second))
    return found._asdict(), insight.sentences(found), insight.tables(found, whole), _note(pair[0][0], pair[1][0])


def _runs(
    first: str, second: str, results: Path, _whole: bool
) -> tuple[Any, list[tuple[str, str]], "list[Table]", str]:
    """Comparison of two runs as data, sentences, tables and a note."""
    from dse.insight.decision import compare_runs as insight
    from dse.insight.runs import open_run

    one, two = (open_run(name, results) for name in (first, second))
    for opened in (one, two):
        if len(opened.front) == 0:
            terminal.say(f"{opened.name} has no feasible design, so it has no front to compare")
            raise typer.Exit(terminal.INFEASIBLE)
    found = insight.compare_runs(one, two)
    return found.json(), insight.sentences(found), insight.tables(found), _note(one, two)


def _note(one: "Opened", two: "Opened") -> str:
    """Studies, status of the numbers, dates of the prices."""
    names = " and ".join(dict.fromkeys(opened.problem.name for opened in (one, two)))
    dates = " and ".join(dict.fromkeys(opened.problem.prices.date for opened in (one, two)))
    return f"{names} · analytic estimate, prices {dates}"
