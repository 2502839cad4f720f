"""How fast the flagship study is scored: `python tests/benchmarks/bench_evaluation.py [designs] [processes]`.

A *candidate* is one architecture with one mapping. A *candidate × class evaluation* is one serving point of one class
of agents (an architecture, a prefill mapping, a decode mapping, a home of the KV) scored in full: memory ledger,
retention, links, latency quantiles, cost, energy, slacks, and combined with the other classes. Nothing that was pruned
before scoring is counted; `rows_times_classes` counts combined rows only. Tables are made before the clock starts;
`seconds_per_table` tells what they cost. `points_per_s` is wall-clock, all processes together, so it needs a quiet
machine; `points_per_cpu_s` is what one processor does in a second of its own time.
"""

import cProfile
import json
import pstats
import resource
import sys
import time
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from pathlib import Path

import numpy as np

from dse.facts.problem import load
from dse.search import evaluation
from dse.search.evaluation import Evaluator
from dse.search.scoring import block as blocks
from dse.search.scoring.classes import candidates
from dse.search.space import Space

ROOT = Path(__file__).parents[2]
STUDY = ROOT / "search_spaces" / "agentic_datacenter.yaml"
RESULT = ROOT / "results" / "benchmarks" / "evaluation.json"
SEED = 1
_worker: list[Evaluator] = []


def points_of(evaluator: Evaluator, designs: int, seed: int) -> int:
    """Serving points that a sample of designs has: counted apart from the timed pass."""
    sample, plan = Space.of(evaluator.problem).sample(designs, seed), evaluator.plan
    parts = [sample.take(slice(first, first + evaluation.CHUNK)) for first in range(0, designs, evaluation.CHUNK)]
    return sum(
        candidates(plan, blocks.block(plan, part), agent).home.size
        for part in parts
        for agent in range(len(plan.classes))
    )


def start() -> None:
    """Give a worker its evaluator."""
    _worker.append(Evaluator.of(load(STUDY)))


def share(task: tuple[int, int]) -> dict[str, float]:
    """Score one worker's sample twice: with tables to make, then without."""
    designs, seed = task
    evaluator = _worker[0]
    sample = Space.of(evaluator.problem).sample(designs, seed)
    begun = time.perf_counter()
    evaluator(sample)
    tables = len(evaluator.plan._prefill) + len(evaluator.plan._decode)
    first, begun, used = time.perf_counter() - begun, time.perf_counter(), time.process_time()
    rows = len(evaluator(sample))
    second, used = time.perf_counter() - begun, time.process_time() - used
    points = points_of(evaluator, designs, seed)
    return {"first": first, "second": second, "cpu": used, "rows": rows, "points": points, "tables": tables}


def peak(designs: int) -> float:
    """High-water mark of a fresh process that scores designs block by block [MB]."""
    evaluator = Evaluator.of(load(STUDY))
    space = Space.of(evaluator.problem)
    for first in range(0, designs, evaluation.CHUNK):
        evaluator(space.sample(min(evaluation.CHUNK, designs - first), SEED + first))
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e3


def profile(designs: int) -> dict[str, float]:
    """Share of the time in the physics, its slowest functions and the combination, without making tables."""
    evaluator = Evaluator.of(load(STUDY))
    sample = Space.of(evaluator.problem).sample(designs, SEED)
    evaluator(sample)
    meter = cProfile.Profile()
    meter.runcall(evaluator, sample)
    entries = pstats.Stats(meter).stats.items()  # type: ignore[attr-defined]
    total = max(entry[3] for _, entry in entries)
    found = {f"{Path(place[0]).stem}.{place[2]}": entry[3] / total for place, entry in entries}
    chosen = ("points.evaluate_points", "waits.wait", "queueing.mixture_quantiles", "keeping.kept", "combine.combine")
    return {name: round(found.get(name, 0.0), 3) for name in chosen}


def main() -> None:
    """Measure, print and store."""
    designs = int(sys.argv[1]) if len(sys.argv) > 1 else 768
    processes = int(sys.argv[2]) if len(sys.argv) > 2 else 2
    context = get_context("spawn")
    with ProcessPoolExecutor(processes, context, start) as pool:
        parts = list(pool.map(share, [(designs, SEED + worker) for worker in range(processes)]))
    with ProcessPoolExecutor(1, context, max_tasks_per_child=1) as pool:
        memory = {count: round(pool.submit(peak, count).result()) for count in (256, 1024, 2048)}
        shares = pool.submit(profile, 256).result()
    seconds = max(part["second"] for part in parts)
    points, rows = (sum(part[name] for part in parts) for name in ("points", "rows"))
    classes = len(load(STUDY).agents)
    result = {
        "study": STUDY.stem,
        "processes": processes,
        "designs": designs * processes,
        "points_per_design": points / (designs * processes),
        "points_per_s": points / seconds,
        "points_per_cpu_s": points / sum(part["cpu"] for part in parts),
        "rows_times_classes_per_s": rows * classes / seconds,
        "designs_per_s": designs * processes / seconds,
        "tables": max(part["tables"] for part in parts),
        "seconds_per_table": float(np.mean([(part["first"] - part["second"]) / part["tables"] for part in parts])),
        "peak_memory_mb": memory,
        "share_of_time": shares,
    }
    width = max(map(len, result))
    for name, value in result.items():
        print(f"{name:{width}}  {value:,.4g}" if isinstance(value, int | float) else f"{name:{width}}  {value}")
    RESULT.parent.mkdir(parents=True, exist_ok=True)
    RESULT.write_text(json.dumps(result, indent=1) + "\n")


if __name__ == "__main__":
    main()
