"""Speed of the replay: model calls per second of CPU time, memory, and a whole trace. Run by hand on a quiet machine.

    python tests/benchmarks/bench_replay.py RESULTS [TRACE]

RESULTS is a folder with a run of quickstart; TRACE, for example the reduced Claude Code sessions, is played once.
"""

import resource
import sys
import time
from pathlib import Path

from dse.insight.replays.case import scenarios
from dse.insight.runs import open_run, row_of
from dse.replay import layout
from dse.replay.design import size
from dse.replay.scenario import Plan, play

CALLS = 300_000
"""Model calls of each measurement."""


def main(results: Path, trace: Path | None) -> None:
    opened = open_run("quickstart/last", results)
    for pick in opened.picks:
        (own,) = scenarios(opened, pick.row)
        whole = size(own.served)
        rate = whole.steps_per_s / own.steps_per_task
        play(own, Plan(rate, 10.0, size=whole))
        plan = Plan(rate, CALLS / whole.steps_per_s, size=whole)
        start = time.process_time()
        found = play(own, plan).outcome
        spent = time.process_time() - start
        calls, tokens = len(found.records), found.records[:, layout.R_OUTPUT].sum()
        print(
            f"{pick.letter}: {calls:,} calls, {calls / spent:,.0f} calls/s, {tokens / spent:,.0f} tokens/s of CPU time"
        )
    if trace is not None:
        start = time.process_time()
        (own,) = scenarios(opened, row_of(opened, "A"), None, trace)
        found = play(own, Plan(once=True)).outcome
        print(f"{trace.name}: {found.counts}, {time.process_time() - start:.2f} s of CPU time, reading included")
    print(f"peak memory {resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024:,.0f} MB")


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]) if len(sys.argv) > 2 else None)
