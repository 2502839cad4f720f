"""What more workers bring: speed-up of two over one, and how many a coordinator can keep busy.

    python tests/benchmarks/bench_workers.py --designs 20000 | python tests/soak/noted.py workers

The study is bound by its evaluation (the flagship). Every search runs in a process of its own, so that none inherits
the tables that another one has made. Reported are the speed-up by wall clock, the CPU time of a block on a worker, and
that of the coordinator from the first block sent to the last, per block: proposing, sending, receiving, archiving,
saving. The quotient is the number of workers that one coordinator can feed, on paper: it is the bound when workers are
elsewhere, as on a cluster.
"""

import argparse
import json
import multiprocessing
import os
import resource
import tempfile
import time
from pathlib import Path

from dse.facts.problem import load
from dse.search.ask import ask
from dse.search.budget import budget
from dse.search.crews import workers as crews
from dse.search.explore import explore
from dse.search.session import Options

ROOT = Path(__file__).parents[2]
TOLD = "speed_up", "block_ms", "coordinator_ms_per_block", "workers_on_paper"


def spent(who):
    used = resource.getrusage(who)
    return used.ru_utime + used.ru_stime


def search(path, designs, workers, told):
    """Search in a fresh process; tell seconds, CPU seconds of coordinator and workers, blocks sent, and the front."""
    question = ask(load(path))
    question.evaluate(question.space.sample(1, 0))  # what every search loads once
    sent = []
    submit = crews.Processes.submit

    def counted(team, block):
        sent.append(time.process_time())
        return submit(team, block)

    crews.Processes.submit = counted
    with tempfile.TemporaryDirectory() as name:
        began = time.perf_counter()
        options = Options(
            budget(f"{designs} evaluations"), seed=1, workers=workers, sampler="evolution", results=Path(name)
        )
        found = explore(question, options)
        wall = time.perf_counter() - began
        told.send(
            {
                "wall_s": wall,
                "coordinator_cpu_s": sent[-1] - sent[0] if sent else 0.0,
                "workers_cpu_s": spent(resource.RUSAGE_CHILDREN),
                "blocks": len(sent),
                "front": found.front().csv(),
            }
        )


def measured(path, designs, workers):
    context = multiprocessing.get_context("fork")
    here, there = context.Pipe(duplex=False)
    child = context.Process(target=search, args=(path, designs, workers, there))
    child.start()
    facts = here.recv()
    child.join()
    return facts


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--designs", type=int, default=3000)
    parser.add_argument("--workers", type=int, nargs=2, default=[1, 2])
    parser.add_argument("--study", type=Path, default=ROOT / "search_spaces" / "agentic_datacenter.yaml")
    given = parser.parse_args()
    rows = {count: measured(given.study, given.designs, count) for count in given.workers}
    fronts = {row.pop("front") for row in rows.values()}
    few, many = (rows[count] for count in given.workers)
    block = many["workers_cpu_s"] / many["blocks"]
    coordinator = many["coordinator_cpu_s"] / (many["blocks"] - 1)
    figures = few["wall_s"] / many["wall_s"], 1e3 * block, 1e3 * coordinator, block / coordinator
    facts = {"cores": os.cpu_count(), "designs": given.designs, "by_workers": rows, "same_front": len(fronts) == 1}
    print(json.dumps(facts | dict(zip(TOLD, figures, strict=True))))


if __name__ == "__main__":
    main()
