"""CPU seconds of explanations, elasticities and break-evens: `python tests/benchmarks/bench_insight.py RUN:DESIGN`.

Bars: an explanation with the effect of every number under 5 s, the card of the specifications within a few seconds.
"""

import argparse
import time
from collections.abc import Callable
from pathlib import Path

from dse.insight.explain import explain
from dse.insight.report.cards.specifications import card
from dse.insight.runs import design
from dse.insight.sensitivity.breakeven import breakeven
from dse.insight.sensitivity.choices import choice, sides
from dse.insight.sensitivity.questions import QUESTIONS, asked
from dse.insight.sensitivity.specifications import specifications


def timed(label: str, work: Callable[[], object]) -> None:
    began = time.process_time()
    work()
    print(f"{label:<44} {time.process_time() - began:6.2f} s CPU")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("design", help="RUN:DESIGN, for example agentic_datacenter/reference:A")
    parser.add_argument("--results", type=Path, default=Path("results"))
    given = parser.parse_args()
    opened, row = design(given.design, given.results)
    timed("explain", lambda: explain(opened, row, given.design))
    timed("explain with effects", lambda: explain(opened, row, given.design, effects=True))
    timed("specifications of the front", lambda: specifications(opened))
    timed("card", lambda: card(opened))
    several = len(opened.problem.agents) > 1
    for name in QUESTIONS:
        for item in asked(opened, name) if several or name != "mixture" else ():
            own = choice(opened, item.choice)
            ask = (sides(opened, own), own, item.path, item.span)
            timed(f"break-even {name}: {item.path}", lambda ask=ask: breakeven(*ask))


if __name__ == "__main__":
    main()
