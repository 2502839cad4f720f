"""What a front asks of a bound: its objectives as cost, energy and latency of the mixture."""

from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np

from dse.arrays import FloatArray
from dse.search.metrics import Goal

COST = {"cost": "cost", "cost_per_mtok": "cost", "system_cost": "system_cost"}
"""Objective that is a cost of a task up to a factor -> the column that stands for it."""

ENERGY = {
    "throughput": "energy_per_task",
    "energy_per_task": "energy_per_task",
    "energy_per_token": "energy_per_task",
    "system_power": "system_power",
}
LATENCY = {"latency": "latency"}
KINDS = (COST, ENERGY, LATENCY)

SIZED = ("system_cost", "system_power")
"""Whole instances take at least what a task takes times the load."""

SETTLED = ("tasks_per_s",)
"""Objectives that are the same for every design."""

LOOSE = 1 + 1e-9
"""A level begins where its margin reaches the front's best latency whatever the rounding."""

LEVELS = 60
"""Levels of latency between the front's best and the target."""

NEAREST = 40
"""Members of the front whose latency is nearest to a level: they tell what an energy is worth there."""

MIXES = (0.6, 1.7)
"""Multiples of that worth at which cost and energy are bounded together."""


EPSILONS = (0.0, 0.001, 0.002, 0.005, 0.01, 0.02, 0.03, 0.05, 0.07, 0.1, 0.15, 0.2, 0.3, 0.5, 1.0)
"""Margins that are told apart [1]; the one asked for is put among them."""


def margins(epsilon: float) -> FloatArray:
    """Margins that a certificate tells apart, the one asked for among them.

    >>> margins(0.04)[6:9].tolist()
    [0.03, 0.04, 0.05]
    """
    return np.unique([*EPSILONS, epsilon])


class Yardstick(NamedTuple):
    """A front as bounds see it."""

    front: FloatArray
    """(m, 3) cost, energy and latency of its members; zero where the study does not ask."""
    levels: FloatArray
    """Lower edges of the levels of latency, the first zero."""
    exchange: FloatArray
    """(mixes, levels) worth of an energy [$/J]."""


def unbounded(goals: Sequence[Goal]) -> list[str]:
    """Objectives of which nothing is known but by evaluation."""
    known = {*COST, *ENERGY, *LATENCY, *SETTLED}
    return [goal.name for goal in goals if goal.name not in known]


def yardstick(
    columns: Mapping[str, FloatArray], goals: Sequence[Goal], load: float | None, epsilon: float
) -> Yardstick:
    """Yardstick of the feasible rows of a front; a goal of the wrong direction counts as unknown.

    Levels begin where each margin does: below the front's best latency divided by it nothing is covered.
    """
    count = len(next(iter(columns.values())))
    front = np.zeros((count, 3))
    for goal in goals:
        for index, kind in enumerate(KINDS):
            if goal.name in kind:
                values = columns[kind[goal.name]]
                per_task = values / load if load and kind[goal.name] in SIZED else values
                front[:, index] = np.maximum(front[:, index], per_task)
    levels = np.zeros(1)
    if any(goal.name in LATENCY for goal in goals) and count:
        best = float(front[:, 2].min()) * LOOSE
        starts, even = best / (1 + margins(epsilon)), np.geomspace(best / (1 + epsilon), max(1.0, best * 2), LEVELS)
        levels = np.unique([0.0, *starts, *even])
    if not (front[:, :2] > 0).all() or not count:
        return Yardstick(front, levels, np.zeros((0, levels.size)))
    worth = front[:, 0] / front[:, 1]
    near = np.argsort(np.abs(np.log(np.maximum(front[:, 2], 1e-9)) - np.log(np.maximum(levels, 1e-9))[:, None]), axis=1)
    return Yardstick(front, levels, np.median(worth[near[:, :NEAREST]], axis=1) * np.array(MIXES)[:, None])
