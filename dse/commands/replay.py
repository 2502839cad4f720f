"""Command: serve a recorded trace with one design, event by event, and hold the closed form against it."""

import json
import sys
from pathlib import Path
from typing import Annotated

import typer

from dse.commands import terminal
from dse.commands.run import AsJson, Results

EXAMPLES = terminal.examples(
    "dse replay last:A --trace conversation_trace.jsonl --agent chat",
    "dse replay last:B --trace steps.csv --agent coding --rate 0.2 --find-rate",
    "dse replay --front last",
    "dse replay --serve results/quickstart/last/problem.yaml < candidates.jsonl",
)


def replay(
    design: Annotated[
        str | None, typer.Argument(metavar="DESIGN", help="last:A, or a study with one choice per lever.")
    ] = None,
    trace: Annotated[Path | None, typer.Option(help="Trace file; the agent's own sessions by default.")] = None,
    agent: Annotated[str | None, typer.Option(help="Agent that serves it; all in turn by default.")] = None,
    rate: Annotated[float | None, typer.Option(help="Tasks started per second, instead of the trace's times.")] = None,
    find_rate: Annotated[bool, typer.Option("--find-rate", help="Bisect the largest rate within the targets.")] = False,
    horizon: Annotated[str | None, typer.Option(help='When to stop, such as "2 h"; the end by default.')] = None,
    once: Annotated[bool, typer.Option("--once", help="Play every session once, from an empty system.")] = False,
    front: Annotated[str | None, typer.Option(metavar="RUN", help="Replay every lettered design of a run.")] = None,
    serve: Annotated[
        Path | None, typer.Option(metavar="STUDY", help="Answer candidates of a search: JSON lines in, JSON lines out.")
    ] = None,
    seed: Annotated[int, typer.Option(help="Seed of arrivals and draws.")] = 0,
    html: Annotated[Path | None, typer.Option(help="Page to write; in the folder of the run by default.")] = None,
    results: Results = Path("results"),
    as_json: AsJson = False,
) -> None:
    """Serve real requests with a design in a discrete-event simulation that uses the times of the evaluation."""
    from dse.facts.errors import Mistake, SpecError

    if serve is not None:
        _serve(serve)
        return
    if (design is None) == (front is None):
        raise SpecError([Mistake("", 0, 0, "", "expected either RUN:DESIGN, for example last:A, or --front RUN")])
    if rate is not None and not rate > 0:
        raise SpecError([Mistake("--rate", 0, 0, "", f"expected tasks per second above 0, got {rate:g}")])
    _announce()
    if front is not None:
        _front(front, agent, seed, results, as_json)
        return
    assert design is not None
    from dse.insight.replays import text as replay_text
    from dse.insight.replays.answer import answer, store
    from dse.insight.replays.case import STUDY, of_study, scenarios
    from dse.insight.replays.page import write
    from dse.insight.runs import design as find
    from dse.replay.rate import find_rate as search
    from dse.replay.scenario import Plan, play

    opened, row = (None, 0) if design.endswith(STUDY) else find(design, results)
    chosen = of_study(Path(design), agent, trace) if opened is None else scenarios(opened, row, agent, trace)
    name = Path(design).stem if opened is None else design.rpartition(":")[2].upper()
    plan = Plan(rate, _seconds(horizon), once, seed)
    made = []
    for own in chosen:
        best = search(own, plan) if find_rate else None
        replayed = best.replayed if best is not None else play(own, plan)
        found = answer(replayed, name, best)
        if opened is not None:
            store(opened.run.folder, found)
        made.append(found)
        if found.interrupted:
            break
    page = None if opened is None else write(opened, html)
    if as_json:
        terminal.say_json([found.json() for found in made])
    for found in [] if as_json else made:
        sessions = "" if found.trace == found.agent else f", {found.trace}"
        terminal.say(f"{design} serves {found.agent}{sessions}", "bold")
        for label, text in replay_text.sentences(found):
            terminal.labelled(label, text)
        terminal.say()
        terminal.say_table(replay_text.table(found))
        terminal.say()
        terminal.say_table(replay_text.distributions(found))
        terminal.say()
    if page is not None and not as_json:
        terminal.labelled("written", str(page))
    if any(found.largest_rate == 0 for found in made):
        raise typer.Exit(terminal.INFEASIBLE)


def _front(name: str, agent: str | None, seed: int, results: Path, as_json: bool) -> None:
    """Replay every lettered design."""
    from dse.insight.replays.answer import store
    from dse.insight.replays.front import LIMITS, missed, rows, summary, table
    from dse.insight.replays.page import write
    from dse.insight.runs import open_run

    opened = open_run(name, results)
    found = []
    try:
        for row in rows(opened, seed, agent=agent, told=_told):
            if row.load == opened.problem.serving.utilisation:
                store(opened.run.folder, row.made)
            found.append(row)
    except KeyboardInterrupt:
        terminal.labelled("interrupted", f"{len(found)} replays were finished and are kept")
    page = write(opened, None)
    if as_json:
        terminal.say_json({"targets": LIMITS._asdict(), "missed": missed(found), "rows": [row.json() for row in found]})
        return
    terminal.say_table(table(found))
    terminal.say()
    terminal.say_table(summary(found))
    terminal.say()
    for line in missed(found):
        terminal.labelled("missed", line)
    inside = sum(row.within for row in found)
    limits = f"throughput and TPOT {LIMITS.tpot:.0%}, TTFT p95 {LIMITS.ttft_p95:.0%}"
    limits += f", hit rate {100 * LIMITS.hit_rate:.0f} points"
    terminal.labelled("within", f"{inside} of {len(found)} within {limits}")
    terminal.labelled("written", str(page))


def _serve(study: Path) -> None:
    """Replay one candidate per line of standard input, until it ends."""
    from dse.facts.problem import load
    from dse.insight.replays.second import Second

    answer = Second(load(study))
    for line in sys.stdin:
        sys.stdout.write(json.dumps(answer(json.loads(line))) + "\n")
        sys.stdout.flush()


def _announce() -> None:
    """Say why the first replay of an installation takes longer."""
    from dse.replay.compiled import is_ready

    if sys.stderr.isatty() and not is_ready():
        sys.stderr.write("compiling the event loop, once per installation: about half a minute\n")


def _told(letter: str, agent: str) -> None:
    """One line of progress on a screen."""
    if sys.stderr.isatty():
        sys.stderr.write(f"\r\x1b[2Kreplaying {letter}, {agent}")
        sys.stderr.flush()


def _seconds(text: str | None) -> float | None:
    from dse.facts.errors import Mistake, SpecError
    from dse.facts.units import UnitError, parse

    if text is None:
        return None
    try:
        found = parse(text, "s")
    except UnitError as error:
        raise SpecError([Mistake("--horizon", 0, 0, "", str(error))]) from None
    if found <= 0:
        raise SpecError([Mistake("--horizon", 0, 0, "", f"{text}: expected a time above 0")])
    return found
