"""Time of robustness, Sobol indices, swings and the brief: python tests/benchmarks/bench_robustness.py [RUN]."""

import sys
import time
from collections.abc import Callable
from pathlib import Path

from dse.insight.decision import brief, overturn, robustness, unknowns
from dse.insight.runs import open_run

REFERENCE = Path(__file__).parents[2] / "results" / "agentic_datacenter" / "reference"


def main(name: str) -> None:
    """Print CPU and wall seconds of each."""
    opened = open_run(name, Path("results"))
    row = opened.picks[0].row
    steps: dict[str, Callable[[], object]] = {
        "robustness": lambda: robustness.robustness(opened),
        "unknowns": lambda: unknowns.importance(opened),
        "swings": lambda: overturn.swings(opened, [row]),
        "brief": lambda: brief.brief(opened),
    }
    sys.stdout.write(f"{opened.problem.name}: {len(opened.front)} rows, {len(robustness.listed(opened))} listed\n")
    for what, run in steps.items():
        cpu, wall = time.process_time(), time.perf_counter()
        run()
        sys.stdout.write(f"{what:<12}{time.process_time() - cpu:6.2f} s CPU {time.perf_counter() - wall:6.2f} s wall\n")


if __name__ == "__main__":
    main(sys.argv[1] if len(sys.argv) > 1 else str(REFERENCE))
