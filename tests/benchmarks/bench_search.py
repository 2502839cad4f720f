"""Share of the true front against evaluations and seconds, for every way to search: ours, plain Optuna, pymoo.

`python tests/benchmarks/bench_search.py [--seconds 20] [--studies 2] [--seeds 3] [--methods auto,pymoo_nsga2]
[--shapes tight] [--jobs 2]` writes `results/benchmarks/search_quality.json` and `.md`. The studies are those of
`synthetic`; their true fronts come from enumeration and are kept in the folder for temporary files (some minutes at
the first call).

Seconds are CPU seconds of the one process that searches, from the call on and evaluations included, for every method
alike; only the bookkeeping of this benchmark is left out. Ours count the first sample and archives on disk as well. A
flat search (plain Optuna, pymoo) chooses an architecture and a mapping per evaluation; ours choose an architecture and
score it with all its mappings, so evaluations of the two do not compare, seconds do. Hypervolume is measured against a
reference point a tenth of the front's extent beyond its worst, which is far stricter than the worst of a sample.
"""

import argparse
import json
import tempfile
import time
from collections.abc import Callable, Iterable
from concurrent.futures import ProcessPoolExecutor
from dataclasses import replace
from functools import partial
from multiprocessing import get_context
from pathlib import Path
from typing import Any, NamedTuple

import moocore
import numpy as np
from synthetic import GOALS, SHAPES, Synthetic

from dse.search import pareto
from dse.search.axes import Designs
from dse.search.budget import Budget
from dse.search.explore import explore
from dse.search.metrics import Metrics, scores
from dse.search.session import Options

RESULT = Path(__file__).parents[2] / "results" / "benchmarks" / "search_quality"
MARKS = (0.9, 0.95, 0.99, 0.999)
POINTS = 24
"""Points of a curve that are kept."""
FINE = 1.05
"""Ratio of the times of two points at which hypervolume is measured."""
POPULATION, PARTITIONS = 200, 15
"""Of pymoo; the partitions give 136 directions for three objectives."""


EARLY = (0.1, 1.0)
"""Seconds after which the share is told beside that at the end."""
ENOUGH = 0.99999
"""Share at which a search of ours is stopped."""
COARSE, FEW = 1.5, 1000
"""Ratio of the times at which IGD+ is measured on the way, and members of the true front that it is measured from."""
HEADER = (
    "method", "searches", *(f"share after {at:g} s" for at in EARLY), "at the end", "IGD+ at the end [decades]",
    "s to 95 %", "evaluations to 95 %", "s to 99 %", "s to 99.9 %", "times sooner at 95 % than plain Optuna",
)  # fmt: skip


class Mark(NamedTuple):
    """Non-dominated scores of some evaluations, and when they were done."""

    seconds: float
    evaluations: int
    scores: np.ndarray


class Stopwatch:
    """CPU seconds since it was made, less what it was told to leave out."""

    def __init__(self) -> None:
        self.began, self.hidden = time.process_time(), 0.0

    def __call__(self) -> float:
        return time.process_time() - self.began - self.hidden

    def leave_out(self, work: Callable[[], Any]) -> Any:
        """Do something that is not counted."""
        begun = time.process_time()
        result = work()
        self.hidden += time.process_time() - begun
        return result


class Watched:
    """An evaluator that notes what was found when."""

    def __init__(self, study: Synthetic) -> None:
        self.study, self.clock, self.marks, self.count = study, Stopwatch(), [], 0
        self.front, self.looked = np.zeros((0, len(GOALS))), 0.0

    def __call__(self, designs: Designs) -> Metrics:
        metrics = self.study(designs)
        self.count += len(designs)
        self.marks.append(self.clock.leave_out(partial(self._mark, metrics)))
        return metrics

    def _mark(self, metrics: Metrics) -> Mark:
        mark = Mark(self.clock(), self.count, _front(scores(metrics, GOALS)[metrics.feasible]))
        self.front = np.concatenate([self.front, mark.scores])
        if mark.seconds > COARSE * self.looked:
            self.front, self.looked = _front(self.front), mark.seconds
            if self.study.share(self.front) >= ENOUGH:
                raise KeyboardInterrupt
        return mark


def ours(sampler: str, study: Synthetic, seed: int, seconds: float) -> tuple[list[Mark], float]:
    """Search through the door that real studies use, in one process."""
    watched = Watched(study)
    question = replace(study.question, evaluate=watched)
    with tempfile.TemporaryDirectory() as folder:
        options = Options(Budget(seconds), seed=seed, workers=1, sampler=sampler, results=Path(folder))
        explore(question, options)
    return watched.marks, watched.clock()


def optuna_plain(sampler: str, study: Synthetic, seed: int, seconds: float) -> tuple[list[Mark], float]:
    """Plain Optuna: one trial per architecture and mapping, in memory."""
    import optuna

    optuna.logging.set_verbosity(optuna.logging.ERROR)
    made = {"tpe": optuna.samplers.TPESampler, "nsga2": optuna.samplers.NSGAIISampler}[sampler](seed=seed)
    search = optuna.create_study(directions=["minimize"] * len(GOALS), sampler=made)
    clock, marks, count = Stopwatch(), [], 0
    while clock() < seconds:
        trial = search.ask()
        row = [_suggested(trial, axis.name, len(axis.choices), axis.ordered) for axis in study.space.axes]
        tp, batch = (
            trial.suggest_int(n, 0, len(v) - 1) for n, v in (("tp", study.instances), ("batch", study.batches))
        )
        mapping = np.array([tp * len(study.batches) + batch])
        rows = np.array([row], dtype=np.int16)
        values, violation = study.single(rows, mapping)
        trial.set_constraint("violation", float(violation[0]))
        search.tell(trial, values[0].tolist())
        count += 1
        marks.append(Mark(clock(), count, values[violation <= 0]))
    return marks, clock()


def _suggested(trial: Any, name: str, size: int, ordered: bool) -> int:
    if ordered:
        return int(trial.suggest_int(name, 0, size - 1))
    return int(trial.suggest_categorical(name, tuple(range(size))))


def pymoo_flat(name: str, study: Synthetic, seed: int, seconds: float) -> tuple[list[Mark], float]:
    """Algorithm of pymoo on a matrix problem of whole numbers."""
    from pymoo.algorithms.moo.nsga2 import NSGA2
    from pymoo.algorithms.moo.nsga3 import NSGA3
    from pymoo.algorithms.moo.unsga3 import UNSGA3
    from pymoo.core.problem import Problem
    from pymoo.operators.crossover.sbx import SBX
    from pymoo.operators.mutation.pm import PM
    from pymoo.operators.repair.rounding import RoundingRepair
    from pymoo.operators.sampling.rnd import IntegerRandomSampling
    from pymoo.util.ref_dirs import get_reference_directions

    sizes = [*study.space.structure.sizes, study.mappings]
    problem = Problem(n_var=len(sizes), n_obj=len(GOALS), n_ieq_constr=1, xl=0, xu=np.array(sizes) - 1, vtype=int)
    shared = {
        "sampling": IntegerRandomSampling(),
        "crossover": SBX(repair=RoundingRepair(), vtype=float),
        "mutation": PM(repair=RoundingRepair(), vtype=float),
        "eliminate_duplicates": True,
    }
    spread = get_reference_directions("das-dennis", len(GOALS), n_partitions=PARTITIONS)
    algorithm = {
        "nsga2": lambda: NSGA2(pop_size=POPULATION, **shared),
        "nsga3": lambda: NSGA3(ref_dirs=spread, **shared),
        "unsga3": lambda: UNSGA3(ref_dirs=spread, **shared),
    }[name]()
    algorithm.setup(problem, termination=("n_gen", 10**9), seed=seed, verbose=False)
    clock, marks, count = Stopwatch(), [], 0
    while clock() < seconds:
        population = algorithm.ask()
        if population is None or len(population) == 0:
            break
        rows = population.get("X").astype(np.int64)
        values, violation = study.single(rows[:, :-1].astype(np.int16), rows[:, -1])
        population.set("F", values, "G", violation[:, None], "H", np.zeros((len(rows), 0)))
        algorithm.tell(infills=population)
        count += len(rows)
        good = values[violation <= 0]
        marks.append(Mark(clock(), count, clock.leave_out(partial(_front, good))))
    return marks, clock()


def _front(points: np.ndarray) -> np.ndarray:
    return points[pareto.nondominated(points)]


METHODS: dict[str, tuple[Callable[..., tuple[list[Mark], float]], str, float, int]] = {
    "auto": (ours, "auto", 1.0, 99),
    **{name: (ours, name, 0.1, 99) for name in ("evolution_polish", "evolution", "polish", "sobol", "random")},
    **{name: (ours, name, 0.1, 1) for name in ("exhaustive", "tpe", "nsga2")},
    "optuna_tpe": (optuna_plain, "tpe", 0.5, 1),
    "optuna_nsga2": (optuna_plain, "nsga2", 1.0, 1),
    **{f"pymoo_{name}": (pymoo_flat, name, 0.1, 99) for name in ("nsga2", "nsga3", "unsga3")},
}
"""Name -> search, its argument, its share of the seconds, and its searches per study, at most."""


def curve(study: Synthetic, marks: Iterable[Mark]) -> dict[str, Any]:
    """Share of the true hypervolume over time, when the marks were passed, and IGD+ at the end."""
    front, points, passed, distances = np.zeros((0, len(GOALS))), [], {}, []
    pending, count, seconds, measured = [], 0, 0.0, 0.0
    members = study.truth[:: max(len(study.truth) // FEW, 1)]
    for mark in (*marks, None):
        if mark is not None:
            pending.append(mark.scores)
            count, seconds = mark.evaluations, mark.seconds
        if mark is None or seconds >= FINE * measured:
            front = _front(np.concatenate([front, *pending]))
            pending, measured = [], max(seconds, 1e-4)
            points.append((seconds, count, study.share(front)))
            if not distances or seconds >= COARSE * distances[-1][0]:
                near = float(moocore.igd_plus(front, ref=members)) if len(front) else None
                distances.append((round(seconds, 4), count, near))
            passed |= {str(m): points[-1][:2] for m in MARKS if points[-1][2] >= m and str(m) not in passed}
    step = max(len(points) // POINTS, 1)
    kept = [points[index] for index in sorted({*range(0, len(points), step), len(points) - 1})]
    return {
        "share": points[-1][2],
        "igd_plus": study.distance(front),
        "evaluations": count,
        "after": {str(at): max((share for t, _, share in points if t <= at), default=0.0) for at in EARLY},
        "reached": {mark: {"seconds": round(t, 4), "evaluations": n} for mark, (t, n) in passed.items()},
        "curve": [[round(t, 4), n, round(share, 6)] for t, n, share in kept],
        "igd_plus_curve": distances,
    }


def measured(name: str, study: Synthetic, place: tuple[int, int], seconds: float) -> dict[str, Any]:
    """One search of one study: `place` is the seed of the study and that of the search."""
    search, argument, part, _ = METHODS[name]
    marks, used = search(argument, study, place[1], part * seconds)
    row = {"study": study.name, "study_seed": place[0], "method": name, "seed": place[1], "seconds": round(used, 3)}
    return row | curve(study, marks)


def verdicts(rows: list[dict[str, Any]]) -> list[str]:
    """Sentences on the targets."""
    auto = [row for row in rows if row["method"] == "auto"]
    lines = []
    if auto:
        reached = f"{sum(row['share'] >= 0.999 for row in auto)} of {len(auto)} searches"
        least = min(row["share"] for row in auto)
        lines.append(f"`auto` reached 99.9 % on {reached}; the least share is {least:.4%}.")
    for name in dict.fromkeys(row["study"] for row in auto):
        own = [row for row in rows if row["study"] == name]
        gain = speedup(own, "auto")
        if gain:
            lines.append(f"On `{name}` it is {gain} times sooner at 95 % than plain Optuna.")
    return lines


def speedup(rows: list[dict[str, Any]], method: str) -> str | None:
    """Seconds to 95 % of the best plain search over those of the slowest of a method: the least over the studies."""
    ratios = []
    for number in {row["study_seed"] for row in rows}:
        own = [row for row in rows if row["study_seed"] == number]
        plain = [_passed(row) for row in own if row["method"].startswith("optuna_")]
        mine = [_passed(row) for row in own if row["method"] == method]
        if not plain or not mine or not all(reached for _, reached in mine):
            return None
        best, known = min((row for row in plain if row[1]), default=max(plain))
        ratios.append((best / max(seconds for seconds, _ in mine), known))
    least, known = min(ratios)
    return f"{'' if known else 'at least '}{least:.3g}"


def _passed(row: dict[str, Any]) -> tuple[float, bool]:
    """Seconds to 95 %, or all seconds of a search that did not get there; whether it did."""
    mark = row["reached"].get("0.95")
    return (mark["seconds"], True) if mark else (row["seconds"], False)


def text(rows: list[dict[str, Any]], sizes: dict[str, int], seconds: float) -> str:
    """Tables as Markdown."""
    lines = ["# Share of the true front", "", *(f"- {line}" for line in verdicts(rows)), ""]
    lines += [
        f"CPU seconds of one process, evaluations included: {seconds:g} s for `auto` and plain NSGA-II, fewer",
        "for the others. The share is that of the true hypervolume, the least of all searches; seconds and",
        "evaluations are those of the slowest search. A dash: not every search got there. A flat search (`optuna_`,",
        "`pymoo_`) counts an architecture with one mapping as an evaluation, the others one with all its mappings.",
        f"A search of ours is stopped at {ENOUGH:.3%}. Made by `python tests/benchmarks/bench_search.py`.",
        "",
    ]
    for name, size in sizes.items():
        own = [row for row in rows if row["study"] == name]
        lines += [f"## {name}: {size:,} architectures and mappings", "", f"| {' | '.join(HEADER)} |"]
        lines += [f"|---|{'---:|' * (len(HEADER) - 1)}"]
        lines += [_line(method, [r for r in own if r["method"] == method], own) for method in METHODS]
        lines.append("")
    return "\n".join(line for line in lines if line is not None)


def _line(method: str, rows: list[dict[str, Any]], others: list[dict[str, Any]]) -> str | None:
    if not rows:
        return None
    cells = [method, str(len(rows))]
    cells += [f"{min(row['after'][str(at)] for row in rows):.2%}" for at in EARLY]
    cells += [f"{min(row['share'] for row in rows):.3%}", f"{np.mean([row['igd_plus'] for row in rows]):.2g}"]
    cells += [_slowest(rows, "0.95", "seconds"), _slowest(rows, "0.95", "evaluations")]
    cells += [_slowest(rows, mark, "seconds") for mark in ("0.99", "0.999")]
    gain = None if method.startswith("optuna_") else speedup(others, method)
    return f"| {' | '.join([*cells, gain or '–'])} |"


def _slowest(rows: list[dict[str, Any]], mark: str, what: str) -> str:
    """Most seconds or evaluations to a mark."""
    found = [row["reached"][mark][what] if mark in row["reached"] else None for row in rows]
    if None in found:
        return "–"
    return f"{max(found):,}" if what == "evaluations" else f"{max(found):.3g}"


def searches(
    place: tuple[str, int], methods: list[str], seeds: int, seconds: float
) -> tuple[int, list[dict[str, Any]]]:
    """Size of one study, and all searches of it: in a process of its own."""
    study = SHAPES[place[0]](place[1])
    measured(methods[0], study, (place[1], 0), 0.1)  # what is imported and built once
    rows = []
    for method in methods:
        for seed in range(min(seeds, METHODS[method][3])):
            rows.append(measured(method, study, (place[1], seed), seconds))
            print(*(rows[-1][key] for key in ("study", "study_seed", "method", "seed", "share", "reached")), flush=True)
    return study.size, rows


def main() -> None:
    """Measure and write."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seconds", type=float, default=20.0)
    parser.add_argument("--studies", type=int, default=2, help="seeds of each shape")
    parser.add_argument("--seeds", type=int, default=3, help="searches per study and method")
    parser.add_argument("--methods", default=",".join(METHODS))
    parser.add_argument("--shapes", default=",".join(SHAPES))
    parser.add_argument("--out", type=Path, default=RESULT)
    parser.add_argument("--jobs", type=int, default=2, help="studies that are searched at the same time")
    asked = parser.parse_args()
    places = [(shape, number) for shape in asked.shapes.split(",") for number in range(asked.studies)]
    rows: list[dict[str, Any]] = []
    sizes: dict[str, int] = {}
    with ProcessPoolExecutor(asked.jobs, max_tasks_per_child=1, mp_context=get_context("spawn")) as pool:
        every = [
            pool.submit(searches, place, asked.methods.split(","), asked.seeds, asked.seconds)
            for place in sorted(places, key=lambda place: place[0] != "mixed")
        ]
        for done in every:
            size, found = done.result()
            sizes[found[0]["study"]] = size
            rows += found
    sizes = {name: sizes[name] for name in SHAPES if name in sizes}
    kept = {"seconds": asked.seconds, "sizes": sizes, "verdicts": verdicts(rows), "searches": rows}
    asked.out.with_suffix(".json").write_text(json.dumps(kept) + "\n")
    asked.out.with_suffix(".md").write_text(text(rows, sizes, asked.seconds) + "\n")


if __name__ == "__main__":
    main()
