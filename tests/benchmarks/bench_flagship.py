"""How near the best known front the flagship comes in a few seconds, and what search and storage cost beside it.

`python tests/benchmarks/bench_flagship.py [--long "60000 evaluations"] [--seeds 3] [--seconds 2 10 60]` makes a
long run (or takes the one of `--known RUN_FOLDER`), then short runs, and writes
`results/benchmarks/search_flagship.json`. The best known front is the union of all of them. Seconds are wall-clock from
the call of `explore` on, tables and worker processes included: run it on a quiet machine.
"""

import argparse
import json
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np

from dse.facts.problem import load
from dse.search import pareto
from dse.search.ask import ask
from dse.search.budget import budget
from dse.search.explore import Options, explore
from dse.search.runs.run import Run, load_epoch

ROOT = Path(__file__).parents[2]
STUDY = ROOT / "search_spaces" / "agentic_datacenter.yaml"
RESULT = ROOT / "results" / "benchmarks" / "search_flagship.json"
MARGIN = 0.1
"""The reference point lies this part of the best known front's extent beyond its worst, in each objective."""


def searched(limit: str, seed: int, workers: int, folder: Path) -> tuple[Run, float]:
    """One run from a fresh evaluator, and its wall-clock seconds, reading the study left out."""
    question = ask(load(STUDY))
    began = time.perf_counter()
    found = explore(question, Options(budget(limit), seed=seed, workers=workers, results=folder))
    return found, time.perf_counter() - began


def main() -> None:
    """Measure and write."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--long", default="60000 evaluations")
    parser.add_argument("--known", type=Path, help="folder of a long run of the same study")
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--seconds", type=float, nargs="+", default=[2.0, 10.0, 60.0])
    parser.add_argument("--workers", type=int, default=2)
    asked = parser.parse_args()
    rows: list[dict[str, Any]] = []
    fronts = []
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        known = asked.known or searched(asked.long, 1000, asked.workers, folder)[0].folder
        best = load_epoch(known).archive.scores
        for seconds in asked.seconds:
            for seed in range(asked.seeds):
                found, wall = searched(f"{seconds:g} s", seed, asked.workers, folder)
                facts = {key: found.summary[key] for key in ("evaluations", "wall_seconds", "front_size")}
                facts |= {key: found.summary[key] for key in ("evaluation_seconds", "overhead_share")}
                rows.append({"budget": seconds, "seed": seed, "seconds_in_all": round(wall, 2)} | facts)
                fronts.append(found.archive.scores)
    best = np.concatenate([best, *fronts])
    best = best[pareto.nondominated(best)]
    low, high = best.min(axis=0), best.max(axis=0)
    reference = high + MARGIN * (high - low)
    whole = pareto.hypervolume(best, reference)
    for row, front in zip(rows, fronts, strict=True):
        row["share"] = round(pareto.hypervolume(front, reference) / whole, 5)
        print(row)
    made = {"study": STUDY.stem, "workers": asked.workers, "best_known_rows": len(best), "runs": rows}
    RESULT.write_text(json.dumps(made, indent=1) + "\n")


if __name__ == "__main__":
    main()
