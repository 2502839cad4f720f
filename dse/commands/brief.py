"""Command that writes the decision brief of a run: two pages for a design review."""

from pathlib import Path
from typing import Annotated

import typer

from dse.commands import terminal
from dse.commands.run import AsJson, Results

BRIEF_EXAMPLES = terminal.examples(
    "dse brief last",
    'dse brief quickstart/last --design A --design C --load "5 task/s" --out review',
)

NAME = "brief"
"""Name of the files."""


def brief(
    run: Annotated[str, typer.Argument(help="last, last~1, STUDY/last or a folder.")] = "last",
    out: Annotated[Path | None, typer.Option(help="Folder to write to; the run's own otherwise.")] = None,
    design: Annotated[
        list[str] | None, typer.Option(metavar="LETTER", help="Candidate, such as A or D012; may be repeated.")
    ] = None,
    load: Annotated[str | None, typer.Option(help='Load of the bills of materials, such as "5 task/s".')] = None,
    results: Results = Path("results"),
    as_json: AsJson = False,
) -> None:
    """Write a two-page brief of a run: answer, three systems with bills of materials, doubts, next measurement."""
    from dse.facts import units
    from dse.insight.decision import brief as insight
    from dse.insight.decision import brief_page
    from dse.insight.runs import open_run
    from dse.insight.verdict import infeasible

    try:
        size = units.parse(load, "task/s") if load else None
    except units.UnitError:
        raise typer.BadParameter(f'"{load}": expected a load such as "5 task/s"') from None
    opened = open_run(run, results)
    if len(opened.front) == 0:
        said = infeasible(opened.problem, opened.run)
        if as_json:
            terminal.say_json({"feasible": False, "sentences": [sentence._asdict() for sentence in said]})
        for sentence in said if not as_json else ():
            terminal.labelled(sentence.subject, sentence.text)
        raise typer.Exit(terminal.INFEASIBLE)
    own = insight.brief(opened, tuple(design or ()), size)
    folder = out or opened.run.folder
    folder.mkdir(parents=True, exist_ok=True)
    sketches = {f"deployment_{item.name}.yaml": item.sketch for item in own.candidates if item.sketch}
    written = {**sketches, f"{NAME}.md": brief_page.markdown(own, tuple(sketches))}
    written[f"{NAME}.html"] = brief_page.html(own, tuple(sketches))
    for name, text in written.items():
        (folder / name).write_text(text, encoding="utf-8")
    if as_json:
        terminal.say_json({**own.json(), "folder": str(folder), "files": list(written)})
        return
    for item in own.sentences():
        terminal.labelled(item.subject, item.text)
    terminal.say()
    terminal.labelled("written", f"{folder}   {' · '.join(written)}", "dim")
