"""What more workers bring: speed-up of two over one, and how many a coordinator can keep busy.

    python tests/benchmarks/bench_workers.py [--designs 3000] [--workers 1 2]

The study is bound by its evaluation (the flagship). Reported are designs per second at each number of workers, the
CPU time of a block on a worker and of the coordinator per block; their quotient is the number of workers that one
coordinator can feed, on paper: it is the bound when workers are elsewhere, as on a cluster.
"""

import argparse
import json
import os
import resource
import tempfile
import time
from pathlib import Path

from dse.facts.problem import load
from dse.search.ask import ask
from dse.search.budget import budget
from dse.search.crews import workers as crews
from dse.search.explore import Options, explore

ROOT = Path(__file__).parents[2]


def measured(question, designs, workers):
    """Seconds of a search, CPU seconds of its coordinator and of its workers, and the front."""
    with tempfile.TemporaryDirectory() as name:
        own, others = (resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN))
        began = time.perf_counter()
        asked = {"seed": 1, "workers": workers, "sampler": "evolution", "results": Path(name)}
        found = explore(question, Options(budget(f"{designs} evaluations"), **asked))
        wall = time.perf_counter() - began
        spent = [
            after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
            for after, before in (
                (resource.getrusage(resource.RUSAGE_SELF), own),
                (resource.getrusage(resource.RUSAGE_CHILDREN), others),
            )
        ]
        return {"wall_s": wall, "coordinator_cpu_s": spent[0], "workers_cpu_s": spent[1]}, found.front().csv()


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--designs", type=int, default=3000)
    parser.add_argument("--workers", type=int, nargs="+", default=[1, 2])
    parser.add_argument("--study", type=Path, default=ROOT / "search_spaces" / "agentic_datacenter.yaml")
    given = parser.parse_args()
    question = ask(load(given.study))
    question.evaluate(question.space.sample(256, 0))  # tables of the model are built once, as in any long search
    rows, fronts = {}, set()
    for count in given.workers:
        rows[count], front = measured(question, given.designs, count)
        fronts.add(front)
    facts = {"cores": os.cpu_count(), "designs": given.designs, "by_workers": rows, "same_front": len(fronts) == 1}
    many = max(given.workers)
    if many > 1:
        sample = min(256, question.space.size)
        blocks = (given.designs - sample) / crews.SMALLEST_BLOCK
        alone = rows[1]["coordinator_cpu_s"] / given.designs * sample if 1 in rows else 0.0
        block = rows[many]["workers_cpu_s"] / blocks
        coordinator = max(rows[many]["coordinator_cpu_s"] - alone, 0.0) / blocks
        facts |= {
            "speed_up": rows[1]["wall_s"] / rows[many]["wall_s"] if 1 in rows else None,
            "block_ms": 1e3 * block,
            "coordinator_ms_per_block": 1e3 * coordinator,
            "workers_on_paper": block / coordinator if coordinator > 0 else None,
        }
    print(json.dumps(facts, indent=2))


if __name__ == "__main__":
    main()
