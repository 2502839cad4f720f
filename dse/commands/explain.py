"""Command that explains one design of a run."""

from pathlib import Path
from typing import Annotated

import typer

from dse.commands import terminal
from dse.commands.run import AsJson, Results, Set, overrides

EXPLAIN_EXAMPLES = terminal.examples(
    "dse explain last:A",
    "dse explain last:D012 --set devices.mi355x.memory.bandwidth='10 TB/s'",
    "dse explain quickstart/last:B --inputs",
    "dse explain last --part b200_sxm",
)

Name = Annotated[
    str, typer.Argument(metavar="RUN[:DESIGN]", help="last:A, last~1:D012, STUDY/last:B; last for its whole front.")
]


def explain(
    design: Name,
    changes: Set = None,
    every_input: Annotated[bool, typer.Option("--inputs", help="List every input with its source.")] = False,
    every_effect: Annotated[bool, typer.Option("--effects", help="List what 10 % of every input changes.")] = False,
    part: Annotated[
        str | None, typer.Option(metavar="DEVICE", help="Of a whole run: specifications of this device only.")
    ] = None,
    results: Results = Path("results"),
    as_json: AsJson = False,
) -> None:
    """Explain one design: terms, formulas, limits, cost, sources, what 10 % of each input changes; or what --set does.

    Without a design, explain the front of a run: how far 10 % of each specification moves it.
    """
    from dse.insight import explain as insight
    from dse.insight import explain_text
    from dse.insight.runs import design as find

    if ":" not in design:
        _front(design, part, results, as_json)
        return
    opened, row = find(design, results)
    if changes:
        change = insight.what_if(opened, row, design, overrides(changes))
        made, lines = change.json(), explain_text.change_text(change)
        feasible = all(limit.slack >= 0 for limit in change.after.limits)
    else:
        own = insight.explain(opened, row, design, effects=True)
        made, lines = own.json(), explain_text.text(own, every_input, every_effect)
        feasible = all(limit.slack >= 0 for limit in own.limits)
    if as_json:
        terminal.say_json(made)
    else:
        for line in lines:
            terminal.say(line, "bold" if line == lines[0] else None)
    if not feasible:
        raise typer.Exit(terminal.INFEASIBLE)


def _front(run: str, part: str | None, results: Path, as_json: bool) -> None:
    """Explain what moves the front of a run."""
    from dse.insight.runs import open_run
    from dse.insight.sensitivity.elasticity_text import front_lines
    from dse.insight.sensitivity.specifications import specifications

    opened = open_run(run, results)
    if len(opened.front) == 0:
        terminal.say("the study has no feasible design: no front can move")
        raise typer.Exit(terminal.INFEASIBLE)
    found = specifications(opened, part or "*")
    if as_json:
        terminal.say_json(found.json())
        return
    for number, line in enumerate(front_lines(found)):
        terminal.say(line, None if number else "bold")
