"""Does a design survive what is not known: the share of samples in which it meets every requirement, and leads.

Prices, the model's error, workload shares and the numbers that a study lists under `uncertainties` are sampled together
over their ranges (a scrambled Sobol sequence). A design keeps its mapping; it stays on the front of a sample if it is
feasible there and no other design of the list is better in everything. Designs that the search did not keep take no
part, so the share is an upper bound.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from scipy.stats import qmc

from dse.arrays import FloatArray, IntArray
from dse.insight import wording
from dse.insight.decision.doubts import Unknown, sampled, unknowns
from dse.insight.decision.perturbed import Outcome, Rescorer
from dse.insight.runs import Opened
from dse.insight.shortlist import KNEES
from dse.insight.table import Table
from dse.search import pareto
from dse.search.axes import NEUTRAL
from dse.search.frontier import INERT, ParetoSet
from dse.search.metrics import Goal

SAMPLES = 256
"""Samples: a power of two, which a Sobol sequence wants; a share is then known to about 0.03 (one standard deviation
of independent samples, sqrt(0.25 / 256))."""

QUANTILES = (0.1, 0.5, 0.9)
"""Of an objective over the samples."""

FEASIBLE = 0.9
"""A robust design meets every requirement in at least this share of the samples, if any does."""


@dataclass(frozen=True)
class Robustness:
    """Shares and ranges of some designs of a front."""

    rows: tuple[int, ...]
    """Rows of the front."""
    ids: tuple[str, ...]
    feasible: FloatArray
    """(n,) share of samples in which every requirement is met."""
    front: FloatArray
    """(n,) share of samples in which it is feasible and nothing listed is better in everything."""
    behind: FloatArray
    """(n,) median part by which all objectives would have to improve where it is feasible and not on the front."""
    goals: tuple[Goal, ...]
    ranges: FloatArray
    """(n, k, 3) quantiles of the objectives in SI over all samples."""
    samples: int
    unknowns: tuple[Unknown, ...]

    def json(self) -> dict[str, Any]:
        """For programs."""
        designs = {
            id_: {
                "feasible": float(self.feasible[place]),
                "front": float(self.front[place]),
                "behind": float(self.behind[place]),
                "ranges": {
                    goal.name: dict(zip(("p10", "p50", "p90"), self.ranges[place, column].tolist(), strict=True))
                    for column, goal in enumerate(self.goals)
                },
            }
            for place, id_ in enumerate(self.ids)
        }
        return {"samples": self.samples, "unknowns": [item._asdict() for item in self.unknowns], "designs": designs}

    def place(self, row: int) -> int:
        """Place of a row of the front in the list."""
        return self.rows.index(row)


def devices_of(front: ParetoSet, rows: Sequence[int]) -> tuple[str, ...]:
    """Device types that some rows use."""
    used = (str(choice) for row in rows for name, choice in front.levers(row).items() if name.endswith("device"))
    return tuple(name for name in dict.fromkeys(used) if name not in (NEUTRAL, INERT))


def listed(opened: Opened) -> IntArray:
    """Rows whose robustness is asked for: what tables list, the lettered designs among them."""
    lettered = [pick.row for pick in opened.picks]
    return np.unique(np.concatenate([opened.front.listed(), np.asarray(lettered, dtype=np.int64)]))


def robustness(opened: Opened, samples: int = SAMPLES, seed: int = 0) -> Robustness:
    """Robustness of the listed designs of a run; an infeasible study has none."""
    rows = listed(opened)
    own = unknowns(opened.problem, devices_of(opened.front, rows.tolist()))
    cube = qmc.Sobol(len(own), rng=np.random.default_rng(seed)).random(samples)
    outcome = Rescorer.of(opened, rows, own)(sampled(own, cube))
    return summarised(opened.front, rows, outcome, own)


def summarised(front: ParetoSet, rows: IntArray, outcome: Outcome, own: Sequence[Unknown]) -> Robustness:
    """Shares and quantiles of an outcome."""
    goals, ids = front.question.goals, front.ids
    leads, behind = led(outcome, goals)
    missed = np.where(outcome.feasible & ~leads, behind, np.nan)
    known = ~np.isnan(missed).all(axis=0)
    middle = np.zeros(len(rows))
    middle[known] = np.nanmedian(missed[:, known], axis=0)
    return Robustness(
        rows=tuple(rows.tolist()),
        ids=tuple(ids[row] for row in rows.tolist()),
        feasible=outcome.feasible.mean(axis=0),
        front=leads.mean(axis=0),
        behind=middle,
        goals=goals,
        ranges=np.moveaxis(np.quantile(outcome.values, QUANTILES, axis=0), 0, -1),
        samples=len(outcome.values),
        unknowns=tuple(own),
    )


def led(outcome: Outcome, goals: Sequence[Goal]) -> tuple[np.ndarray, FloatArray]:
    """(s, n) whether a row is on the front of a sample, and the part it is behind where it is not [1]."""
    signs = np.array([-1.0 if goal.maximize else 1.0 for goal in goals])
    scores = signs * np.log10(outcome.values)
    leads, behind = np.zeros(outcome.feasible.shape, dtype=bool), np.zeros(outcome.feasible.shape)
    for sample, fine in enumerate(outcome.feasible):
        usable = np.flatnonzero(fine)
        kept = pareto.nondominated(scores[sample, usable])
        leads[sample, usable] = kept
        members = scores[sample, usable[kept]]
        rest = usable[~kept]
        if len(rest):
            gap = (scores[sample, rest, None] - members[None]).min(axis=2).max(axis=1)
            behind[sample, rest] = 1 - 10.0**-gap
    return leads, behind


def preferred(own: Robustness) -> IntArray:
    """Rows among which robust balanced designs are chosen: feasible in most samples, in the better half on the front.

    Where no design is feasible in most samples, those that are in the most.
    """
    bar = min(FEASIBLE, float(own.feasible.max()))
    sound = np.flatnonzero(own.feasible >= bar)
    leading = sound[own.front[sound] >= np.median(own.front[sound])]
    return np.asarray([own.rows[place] for place in leading], dtype=np.int64)


def robust_knees(opened: Opened, own: Robustness, count: int = KNEES) -> tuple[int, ...]:
    """Rows of balanced designs, apart from each other, among the robust ones."""
    rows, scores = preferred(own), opened.front.archive.scores
    rank = np.argsort(np.argsort(pareto.normalised(scores).sum(axis=1), kind="stable"), kind="stable")
    order = np.argsort(rank[rows], kind="stable")
    return tuple(int(rows[place]) for place in pareto.spaced(scores[rows], order, count))


def about(own: Robustness) -> str:
    """What was sampled, in one sentence."""
    kinds = {
        "price": "prices and rates",
        "time": "errors of the time model",
        "share": "workload shares",
        "other": "others",
    }
    counts = {kind: sum(item.kind == kind for item in own.unknowns) for kind in kinds}
    parts = ", ".join(f"{count} {kinds[kind]}" for kind, count in counts.items() if count)
    return (
        f"{own.samples} samples of {len(own.unknowns)} unknowns ({parts}); mappings kept; on front: feasible and not "
        "beaten by a listed design; behind: where it is beaten, by how much in the median"
    )


def table(opened: Opened, own: Robustness, rows: Sequence[int]) -> Table:
    """Shares of some designs, and the range of the first objective."""
    problem, front = opened.problem, opened.front
    letters = {pick.row: pick.letter for pick in opened.picks}
    short, agents = wording.short_names(problem.devices), [agent.name for agent in problem.agents]
    goal = own.goals[0]
    unit = wording.display(goal.name, goal.unit)
    names = [letters.get(row, front.ids[row]) for row in rows]
    width = max(map(len, names), default=0)
    header = (
        f"{'':{width + 2}}design",
        "feasible",
        "on front",
        "behind",
        f"{wording.heading(goal.name, goal.unit)} p10..p90",
    )
    lines = []
    for row, name in zip(rows, names, strict=True):
        place = own.place(row)
        cells = [wording.percent(float(part[place])) for part in (own.feasible, own.front, own.behind)]
        span = "..".join(wording.cell(float(own.ranges[place, 0, end]) / unit.size) for end in (0, 2))
        lines.append((f"{name:<{width}}  {wording.front_design(front, row, agents, short)}", *cells, span))
    return Table(header, tuple(lines))
