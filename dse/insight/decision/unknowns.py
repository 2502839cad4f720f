"""Which unknown should we find out: how much of the spread of an objective goes away once a number is known.

Total Sobol indices of every unknown on the objectives of the balanced designs, in decades. The total index of an
unknown is the share of the variance that is left when everything but it is known, interactions included (Saltelli and
others 2010, as in `scipy.stats.sobol_indices`).
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from scipy import stats

from dse.arrays import FloatArray
from dse.insight import wording
from dse.insight.decision.doubts import Unknown, sampled, unknowns
from dse.insight.decision.perturbed import Rescorer
from dse.insight.decision.robustness import devices_of
from dse.insight.runs import Opened
from dse.insight.shortlist import KNEE
from dse.insight.table import Table, shortened
from dse.search.metrics import Goal

SAMPLES = 256
"""Points of each of the matrices of the estimate: a power of two; n (unknowns + 2) samples are scored in all."""

SMALL = 0.01
"""Indices below this are noise of the estimate."""

SETTLED = frozenset(
    ("prices.depreciation", "prices.interest", "prices.operations", "prices.spare_fraction", "prices.vendor_margin")
)
"""Unknowns that are settled by a decision or a contract: nobody can measure them."""

ADVICE: Mapping[str, str] = {
    "price": "ask for a quotation",
    "time": "measure a pass",
    "share": "count the tasks",
    "other": "find it out",
}
"""What to do about an unknown, by its kind."""


@dataclass(frozen=True)
class Importance:
    """Total indices of every unknown, the most important first."""

    unknowns: tuple[Unknown, ...]
    ids: tuple[str, ...]
    """Designs."""
    goals: tuple[Goal, ...]
    total: FloatArray
    """(unknowns, designs, goals) share of the variance of log10 of an objective."""
    spread: FloatArray
    """(designs, goals) standard deviation of an objective [decades]."""
    samples: int

    @property
    def by_goal(self) -> FloatArray:
        """(unknowns, goals) mean over the designs."""
        return np.asarray(self.total.mean(axis=1))

    @property
    def effect(self) -> FloatArray:
        """(unknowns, goals) relative change of an objective by one standard deviation of the unknown alone [1]."""
        return np.asarray(10.0 ** (np.sqrt(self.total) * self.spread).mean(axis=1) - 1)

    def json(self) -> dict[str, Any]:
        """For programs."""
        mean, effect = self.by_goal, self.effect
        rows = {
            unknown.path: {
                "label": unknown.label,
                "range": list(unknown.range),
                "unit": unknown.unit,
                "estimate": unknown.estimate,
                "source": unknown.source,
                "total": {goal.name: float(mean[row, column]) for column, goal in enumerate(self.goals)},
                "effect": {goal.name: float(effect[row, column]) for column, goal in enumerate(self.goals)},
            }
            for row, unknown in enumerate(self.unknowns)
        }
        return {"samples": self.samples, "designs": list(self.ids), "unknowns": rows}


def importance(opened: Opened, chosen: Sequence[int] = (), samples: int = SAMPLES, seed: int = 0) -> Importance:
    """Total indices of the unknowns on the objectives of the balanced designs, or of the chosen rows of the front."""
    front = opened.front
    knees = [pick.row for pick in opened.picks if KNEE in pick.reason]
    rows = np.array(chosen or knees or [pick.row for pick in opened.picks], dtype=np.int64)
    letters = {pick.row: pick.letter for pick in opened.picks}
    own = unknowns(opened.problem, devices_of(front, rows.tolist()))
    score, goals = Rescorer.of(opened, rows, own), front.question.goals
    ends: list[FloatArray] = []

    def objectives(cube: FloatArray) -> FloatArray:
        values = np.log10(score(sampled(own, cube.T)).values)
        ends.append(values)
        return np.asarray(values.reshape(len(values), -1).T)

    total = indices(objectives, len(own), samples, seed)
    spread = np.concatenate(ends[:2]).std(axis=0)
    order = np.argsort(-total.max(axis=1), kind="stable")
    shape = (len(own), len(rows), len(goals))
    ids = tuple(letters.get(row, front.ids[row]) for row in rows.tolist())
    return Importance(tuple(own[place] for place in order), ids, goals, total[order].reshape(shape), spread, samples)


def indices(function: Any, dimension: int, samples: int, seed: int) -> FloatArray:
    """(dimension, outputs) total Sobol indices of a function of the unit cube; zero for an output without variance.

    >>> twice = indices(lambda cube: np.stack([cube[0] + 2 * cube[1]]), 2, 1024, seed=0)
    >>> [round(float(index), 1) for index in twice[:, 0]]
    [0.2, 0.8]
    """
    uniform: Any = stats.uniform()
    found = stats.sobol_indices(func=function, n=samples, dists=[uniform] * dimension, rng=np.random.default_rng(seed))
    total = np.nan_to_num(np.atleast_2d(found.total_order), nan=0.0, posinf=0.0, neginf=0.0)
    return np.asarray(np.clip(total, 0.0, None).reshape(-1, dimension).T)


def leading(own: Importance) -> list[int]:
    """Unknowns that matter for some objective, the most important first."""
    largest = own.by_goal.max(axis=1)
    return [int(row) for row in np.argsort(-largest, kind="stable") if largest[row] >= SMALL]


def next_measurement(own: Importance) -> Unknown | None:
    """The estimate worth finding out first: the largest effect on any objective among what can be found out."""
    guessed = [row for row, unknown in enumerate(own.unknowns) if unknown.estimate and unknown.path not in SETTLED]
    if not guessed:
        return None
    return own.unknowns[max(guessed, key=lambda row: float(own.effect[row].max()))]


RANGE = 28
"""Characters of a range in a terminal."""


def advice(own: Importance) -> str:
    """What to find out first, in words; empty where nothing can be found out."""
    first = next_measurement(own)
    return f"{first.label} ({ADVICE[first.kind]}; now {first.words()})" if first else ""


def table(own: Importance, rows: Sequence[int]) -> Table:
    """Unknowns with their share of the variance of each objective."""
    goals = own.goals[:4]
    header = ("unknown", "range", *(wording.metric_name(goal.name) for goal in goals), "est.")
    lines = []
    for row in rows:
        unknown = own.unknowns[row]
        cells = [wording.percent(float(value)) for value in own.by_goal[row, : len(goals)]]
        lines.append((unknown.label, shortened(unknown.words(), RANGE), *cells, "yes" if unknown.estimate else "no"))
    return Table(header, tuple(lines), frozenset({0, 1}))
