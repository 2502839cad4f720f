"""Command that finds where a choice starts to pay."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from dse.commands import terminal
from dse.commands.run import AsJson, Results

if TYPE_CHECKING:
    from dse.insight.runs import Opened
    from dse.insight.sensitivity.questions import Asked

BREAKEVEN_EXAMPLES = terminal.examples(
    "dse breakeven last --question optics",
    "dse breakeven last --lever 'pool.technology!=none' --price prices.memory.cxl_ddr5 --csv pool.csv",
    "dse breakeven last --lever decode.device=mi355x --price devices.mi355x.price --range 0.2,5",
)


def breakeven(
    run: Annotated[str, typer.Argument(metavar="RUN", help="last, last~1, STUDY/last.")],
    question: Annotated[
        str | None, typer.Option(metavar="NAME", help="Ask one of: optics, pool, hbm, mixture.")
    ] = None,
    lever: Annotated[
        str | None, typer.Option(metavar="CHOICE", help="NAME=CHOICE|CHOICE, NAME!=CHOICE, or devices=mixed.")
    ] = None,
    price: Annotated[
        str | None, typer.Option(metavar="PATH", help="Number that is varied: a price, specification or workload.")
    ] = None,
    span: Annotated[str, typer.Option("--range", metavar="LOW,HIGH", help="Factors on the stated number.")] = "0.05,20",
    search: Annotated[
        str | None, typer.Option(metavar="BUDGET", help="Search anew at several values, for example '500 evaluations'.")
    ] = None,
    csv: Annotated[Path | None, typer.Option(help="Write curves and crossings to a file.")] = None,
    results: Results = Path("results"),
    as_json: AsJson = False,
) -> None:
    """Find where a choice pays: the price, specification or workload at which it equals the rest, and the curve."""
    from dse.insight.runs import open_run
    from dse.insight.sensitivity import breakeven_text, questions
    from dse.insight.sensitivity.searching import searcher
    from dse.search.budget import budget

    opened = open_run(run, results)
    _refuse_empty(opened)
    if (question is None) == (lever is None) or (lever is None) != (price is None):
        raise typer.BadParameter("name a --question, or a --lever with the --price that is varied")
    wanted = questions.asked(opened, question) if question else [_stated(str(lever), str(price), span)]
    anew = searcher(budget(search), opened.problem.seed) if search else None
    found = [questions.answer(opened, item, anew) for item in wanted]
    if csv is not None:
        csv.write_text(breakeven_text.csv_text(found), encoding="utf-8")
    if as_json:
        terminal.say_json({"question": question, "breakevens": [own.json() for own in found]})
        return
    if question:
        terminal.say(f"{opened.problem.name}: {questions.QUESTIONS[question][0]}", "bold")
    for own in found:
        for number, line in enumerate(breakeven_text.text(own)):
            terminal.say(line, None if number else "bold")
        terminal.say()


def _stated(lever: str, price: str, span: str) -> "Asked":
    """Break-even as typed."""
    from dse.insight.sensitivity.breakeven import Span
    from dse.insight.sensitivity.questions import Asked

    low, _, high = span.partition(",")
    try:
        ends = float(low), float(high)
    except ValueError:
        raise typer.BadParameter(f'"{span}": expected two factors, for example --range 0.05,20') from None
    if not 0 < ends[0] < ends[1]:
        raise typer.BadParameter(f'"{span}": expected two factors above zero, the smaller one first')
    return Asked(lever, price, Span(*ends))


def _refuse_empty(opened: "Opened") -> None:
    """End with code 1 where there is no front to start from."""
    if len(opened.front) == 0:
        terminal.say("the study has no feasible design: nothing can break even")
        raise typer.Exit(terminal.INFEASIBLE)
