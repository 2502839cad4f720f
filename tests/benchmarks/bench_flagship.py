"""How soon the flagship comes near the best known front, and what search and storage cost beside it.

`python tests/benchmarks/bench_flagship.py [--long "300 s"] [--seeds 3] [--seconds 60]` makes a long run (or takes the
one of `--known RUN_FOLDER`), then short runs, and writes `results/benchmarks/search_flagship.json`: seconds to 90, 95
and 99 % of the hypervolume of the best known front, the union of all runs, and the share after 2, 10 and 60 s. The
reference point lies a tenth of that front's extent beyond its worst, which is far stricter than the worst of a sample.
Seconds are wall-clock from the call of `explore` on, tables and worker processes included: run it on a quiet machine.
"""

import argparse
import json
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from dse.facts.problem import load
from dse.search import course, pareto
from dse.search.archive import Archive
from dse.search.ask import ask
from dse.search.budget import budget
from dse.search.explore import explore
from dse.search.runs.run import Run, load_epoch
from dse.search.session import Options

ROOT = Path(__file__).parents[2]
STUDY = ROOT / "search_spaces" / "agentic_datacenter.yaml"
RESULT = ROOT / "results" / "benchmarks" / "search_flagship.json"
MARGIN = 0.1
MARKS = (0.9, 0.95, 0.99)
TIMES = (2.0, 10.0, 60.0)


class Mark(NamedTuple):
    """What was found when."""

    seconds: float
    front: np.ndarray


@contextmanager
def noted() -> Iterator[list[Mark]]:
    """Note the archive whenever it is brought up to date."""
    marks: list[Mark] = []
    began, original = time.perf_counter(), course.merged

    def merged(*given: Any) -> Archive:
        found = original(*given)
        marks.append(Mark(time.perf_counter() - began, found.scores if found.feasible else found.scores[:0]))
        return found

    course.merged = merged
    try:
        yield marks
    finally:
        course.merged = original


def searched(limit: str, seed: int, workers: int, folder: Path) -> tuple[Run, list[Mark], float]:
    """One run from a fresh evaluator, its course, and its wall-clock seconds, reading the study left out."""
    question = ask(load(STUDY))
    with noted() as marks:
        began = time.perf_counter()
        found = explore(question, Options(budget(limit), seed=seed, workers=workers, results=folder))
        return found, marks, time.perf_counter() - began


def approach(marks: list[Mark], share: Callable[[np.ndarray], float]) -> dict[str, Any]:
    """Seconds to each mark, and share at each time."""
    shares = [(mark.seconds, share(mark.front)) for mark in marks]
    reached = {str(mark): next((round(t, 2) for t, part in shares if part >= mark), None) for mark in MARKS}
    last = shares[-1][0]
    after = {
        f"{at:g}": round(max((part for t, part in shares if t <= at), default=0.0), 5) for at in TIMES if at <= last + 1
    }
    return {"seconds_to": reached, "share_after": after, "share": round(shares[-1][1], 5)}


def main() -> None:
    """Measure and write."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--long", default="300 s")
    parser.add_argument("--known", type=Path, help="folder of a long run of the same study")
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--seconds", type=float, default=60.0)
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--out", type=Path, default=RESULT)
    asked = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        known = asked.known or searched(asked.long, 1000, asked.workers, Path(name))[0].folder
        best = load_epoch(known).archive.scores
        runs = [
            searched(f"{asked.seconds:g} s", seed, asked.workers, Path(name) / str(seed)) for seed in range(asked.seeds)
        ]
    best = np.concatenate([best, *(found.archive.scores for found, _, _ in runs)])
    best = best[pareto.nondominated(best)]
    low, high = best.min(axis=0), best.max(axis=0)
    reference = high + MARGIN * (high - low)
    whole = pareto.hypervolume(best, reference)
    rows = []
    for seed, (found, marks, wall) in enumerate(runs):
        names = ("evaluations", "front_size", "evaluation_seconds", "overhead_seconds", "overhead_share")
        facts = {"seed": seed, "seconds_in_all": round(wall, 2)} | {key: found.summary[key] for key in names}
        rows.append(facts | approach(marks, lambda front: pareto.hypervolume(front, reference) / whole))
        print(rows[-1])
    made = {"study": STUDY.stem, "workers": asked.workers, "best_known_rows": len(best), "runs": rows}
    asked.out.write_text(json.dumps(made, indent=1) + "\n")


if __name__ == "__main__":
    main()
