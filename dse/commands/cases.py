"""Command line: the case studies."""

import sys
from pathlib import Path
from typing import Annotated

import typer

from dse.commands import terminal
from dse.commands.run import AsJson

CASES_EXAMPLES = terminal.examples("dse cases", "dse cases liminal_limits")


def cases(
    names: Annotated[list[str] | None, typer.Argument(help="Cases to show; all of them in one table if none.")] = None,
    out: Annotated[Path | None, typer.Option(help="Folder for README.md and one JSON file per case.")] = None,
    as_json: AsJson = False,
) -> None:
    """Hold the model against published results of the field, one case each."""
    from textwrap import wrap

    from dse.insight.cases import pages
    from dse.insight.cases.registry import MODULES, case

    found = [case(name) for name in names or MODULES]
    if out is not None:
        pages.write(out, found)
    if as_json:
        terminal.say_json(pages.facts(found))
    elif names:
        for one in found:
            terminal.say(one.name, "bold")
            for paragraph in pages.header(one.name):
                terminal.say("\n".join(wrap(paragraph, terminal.WIDTH)))
            terminal.say("\n".join(pages.relations_text(one)))
    else:
        terminal.say_table(pages.overview(found))
        terminal.labelled("next", "dse cases NAME    dse run search_spaces/cases/NAME.yaml", "dim")
    if any(not one.holds and not one.gap for study in found for one in study.relations):
        sys.exit(terminal.INFEASIBLE)
