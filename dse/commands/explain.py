"""Commands on designs of a run: explain one, compare two."""

from pathlib import Path
from typing import Annotated

import typer

from dse.commands import terminal
from dse.commands.run import AsJson, Results, Set, overrides

EXPLAIN_EXAMPLES = terminal.examples(
    "dse explain last:A",
    "dse explain last:D012 --set devices.mi355x.memory.bandwidth='10 TB/s'",
    "dse explain quickstart/last:B --inputs",
)
COMPARE_EXAMPLES = terminal.examples("dse compare last:A last:B", "dse compare last~1:A last:A --json")

Name = Annotated[str, typer.Argument(metavar="RUN:DESIGN", help="last:A, last~1:D012, STUDY/last:B.")]


def explain(
    design: Name,
    changes: Set = None,
    every_input: Annotated[bool, typer.Option("--inputs", help="List every input with its source.")] = False,
    results: Results = Path("results"),
    as_json: AsJson = False,
) -> None:
    """Explain one design: terms, formulas, limits, memory, cost, sources; with --set, what would change."""
    from dse.insight import explain as insight
    from dse.insight import explain_text
    from dse.insight.runs import design as find

    opened, row = find(design, results)
    if changes:
        change = insight.what_if(opened, row, design, overrides(changes))
        made, lines = change.json(), explain_text.change_text(change)
        feasible = all(limit.slack >= 0 for limit in change.after.limits)
    else:
        own = insight.explain(opened, row, design)
        made, lines = own.json(), explain_text.text(own, every_input)
        feasible = all(limit.slack >= 0 for limit in own.limits)
    if as_json:
        terminal.say_json(made)
    else:
        for line in lines:
            terminal.say(line, "bold" if line == lines[0] else None)
    if not feasible:
        raise typer.Exit(terminal.INFEASIBLE)


def compare(
    first: Name,
    second: Name,
    results: Results = Path("results"),
    as_json: AsJson = False,
) -> None:
    """Compare two designs: choices that differ, the ratio of every metric with its direction."""
    from dse.insight.compare import compare as compared
    from dse.insight.compare import tables
    from dse.insight.runs import design as find

    found = compared(find(first, results), find(second, results), (first, second))
    if as_json:
        terminal.say_json(found._asdict())
        return
    for table in tables(found):
        terminal.say_table(table)
        terminal.say()
