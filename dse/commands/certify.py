"""Command that proves how far the front of a run can be from the true one."""

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from dse.commands import terminal
from dse.commands.run import AsJson, Results

if TYPE_CHECKING:
    from dse.search.bounds.certificate import Certificate

PARTS = 3
"""Parts of what is left that are printed; the file has more."""

CERTIFY_EXAMPLES = terminal.examples("dse certify last --budget 60s", "dse certify quickstart/last --epsilon 0 --json")


def certify(
    run: Annotated[str, typer.Argument(help="last, last~1, STUDY/last or a folder.")] = "last",
    budget: Annotated[str, typer.Option(help='How long: "60s", "5 min", or "20000 boxes" of the space.')] = "60s",
    epsilon: Annotated[
        str, typer.Option(help='How much better is better: "5%", or 0 to prove that a front is exact.')
    ] = "5%",
    workers: Annotated[int | None, typer.Option(min=1, help="Processes; one per core by default.")] = None,
    results: Results = Path("results"),
    as_json: AsJson = False,
) -> None:
    """Prove in how much of the space no design can beat the front of a run by more than epsilon."""
    from dse.insight.runs import locate
    from dse.search.bounds.certificate import CERTIFICATE
    from dse.search.bounds.certify import Effort
    from dse.search.bounds.certify_run import certified
    from dse.search.crews.workers import cores

    shown = sys.stderr.isatty() and not as_json

    def progress(seconds: float, share: float) -> None:
        if shown:
            sys.stderr.write(f"\r\x1b[2K{seconds:.0f} s · {100 * share:.1f} % of the space settled")
            sys.stderr.flush()

    effort = Effort(_margin(epsilon), *_limits(budget), workers or cores(), progress)
    folder = locate(run, results)
    made = certified(folder, effort)
    if shown:
        sys.stderr.write("\r\x1b[2K")
    if as_json:
        terminal.say_json(made.json())
    else:
        _say(made, folder / CERTIFICATE)


def _say(made: "Certificate", written: Path) -> None:
    """Print a certificate."""
    terminal.say(f"{made.study} · {written.parent.name} · {made.designs:,} architectures · analytic estimate", "bold")
    for label, count, what in (
        ("infeasible", made.infeasible, "the hardware or the formats alone break a requirement"),
        (
            "covered",
            made.covered,
            f"bounds show that the front is within {100 * made.epsilon:g} % of the best there",
        ),
        ("scored", made.scored, "scored one by one, none beats the front by more"),
        ("beating", made.beating, "scored, and they do beat the front by more"),
        ("left", made.left, f"not proved to be within {100 * made.epsilon:g} %"),
    ):
        share = 100 * count / made.designs
        terminal.labelled(label, f"{share:8.4g} %  {count:>16,} architectures: {what}")
    for name in made.unbounded:
        terminal.labelled("no bound", f"for {name}: only designs that break a requirement are excluded")
    terminal.labelled("margins", made.margins())
    for part in made.rest[:PARTS]:
        terminal.labelled("resists", made.told(part))
    terminal.labelled("effort", f"{made.boxes:,} boxes bounded in {made.seconds:.0f} s against {made.rows:,} rows")
    terminal.labelled("certificate", made.sentence())
    terminal.labelled("written to", str(written))


def _limits(budget: str) -> tuple[float, float]:
    """Seconds and boxes of a budget; one of them is infinite."""
    import math

    from dse.search.budget import budget as read

    words = budget.replace(",", "").replace("_", "").split()
    if len(words) == 2 and words[1] in ("box", "boxes") and words[0].isdigit() and int(words[0]) > 0:
        return math.inf, float(words[0])
    found = read(budget)
    if not math.isfinite(found.seconds) or found.seconds <= 0 or found.more:
        raise typer.BadParameter(
            f'"{budget}": expected a time, for example 60s, or boxes, for example "20000 boxes"',
            param_hint="--budget",
        )
    return found.seconds, math.inf


def _margin(epsilon: str) -> float:
    """Epsilon as a share."""
    text = epsilon.strip()
    try:
        number = float(text.rstrip("% ")) / (100 if text.endswith("%") else 1)
    except ValueError:
        number = -1.0
    if not 0 <= number < 10:
        raise typer.BadParameter(f'"{epsilon}": expected a share such as 5% or 0.05, or 0', param_hint="--epsilon")
    return number
