"""Combine the classes of a mixture: which serving point each class takes, for every level of latency.

Cost and power of a mixture are share-weighted sums over its classes, latency is the worst class's ratio to its SLO. So
for a latency level x each class may use any of its serving points with ratio <= x, and takes the cheapest (or the most
frugal) one; sweeping x over all ratios that occur gives every non-dominated combination of a design. No loop over
designs: the sweep is a running minimum over serving points sorted by ratio.
"""

from typing import NamedTuple

import numpy as np

from dse.arrays import BoolArray, FloatArray, IntArray

PREFERENCES = (1.0, 0.5, 0.0)
"""Weights of cost against energy at which the sweep runs: cheapest, balanced, most frugal [1]."""


class Points(NamedTuple):
    """Serving points of all designs and classes, one row each; energy stands for throughput per watt."""

    design: IntArray
    agent: IntArray
    cost: FloatArray
    energy: FloatArray
    ratio: FloatArray
    violation: FloatArray


class Combination(NamedTuple):
    """Rows of the mixture: the design and, per class, the index of its serving point."""

    design: IntArray
    point: IntArray


def combine(points: Points, designs: int, agents: int) -> Combination:
    """Give every non-dominated combination of serving points, or the least violating one where a class has none."""
    order = np.lexsort((points.ratio, points.design))
    sorted_points = Points(*(column[order] for column in points))
    feasible = _all_classes_feasible(sorted_points, designs, agents)
    usable = np.where(feasible[sorted_points.design], sorted_points.violation <= 0, True)
    sweeps = [_sweep(sorted_points, usable, feasible, weight, agents) for weight in PREFERENCES]
    repairs = _repair(sorted_points, feasible, designs, agents)
    design = np.concatenate([part.design for part in (*sweeps, repairs)])
    point = np.concatenate([part.point for part in (*sweeps, repairs)])
    rows = np.unique(np.column_stack([design, point]), axis=0)
    kept = _undominated(rows, sorted_points)
    return Combination(rows[kept, 0], order[rows[kept, 1:]])


def _all_classes_feasible(points: Points, designs: int, agents: int) -> BoolArray:
    served = np.zeros((designs, agents), dtype=bool)
    fine = points.violation <= 0
    served[points.design[fine], points.agent[fine]] = True
    return np.asarray(served.all(axis=1))


def _sweep(points: Points, usable: BoolArray, feasible: BoolArray, weight: float, agents: int) -> Combination:
    """Walk each feasible design's points by rising ratio; emit a row whenever some class finds a better point."""
    rows = np.flatnonzero(usable & feasible[points.design])
    if rows.size == 0:
        return Combination(np.zeros(0, dtype=np.int64), np.zeros((0, agents), dtype=np.int64))
    design = points.design[rows]
    value = _preference(points, rows, weight)
    best = np.column_stack(
        [_running_best(rows, design, np.where(points.agent[rows] == agent, value, np.inf)) for agent in range(agents)]
    )
    complete = (best >= 0).all(axis=1)
    changed = np.ones(rows.size, dtype=bool)
    changed[1:] = (best[1:] != best[:-1]).any(axis=1)
    last_of_ratio = np.ones(rows.size, dtype=bool)
    last_of_ratio[:-1] = (design[1:] != design[:-1]) | (points.ratio[rows][1:] > points.ratio[rows][:-1])
    emitted = complete & (changed | last_of_ratio)
    return Combination(design[emitted], best[emitted])


def _preference(points: Points, rows: IntArray, weight: float) -> FloatArray:
    """Cost and energy of a point on one scale: each relative to the median of its class."""
    scale = np.ones((2, points.agent.max() + 1))
    for agent in np.unique(points.agent[rows]):
        mine = rows[points.agent[rows] == agent]
        scale[:, agent] = np.median(points.cost[mine]), np.median(points.energy[mine])
    agent = points.agent[rows]
    total = np.asarray(scale[:, agent])
    return weight * points.cost[rows] / total[0] + (1 - weight) * points.energy[rows] / total[1]


def _running_best(rows: IntArray, design: IntArray, value: FloatArray) -> IntArray:
    """Index of the least value so far within each design; -1 before the first finite one.

    Designs come in rising order, so lowering each by more than the spread of values restarts the running minimum.
    """
    finite = value[np.isfinite(value)]
    span = (finite.max() - finite.min() + 1.0) if finite.size else 1.0
    rank = np.unique(design, return_inverse=True)[1]
    shifted = np.where(np.isfinite(value), value, (finite.max() if finite.size else 0.0) + span) - 3 * span * rank
    running = np.minimum.accumulate(shifted)
    new = np.isfinite(value) & (shifted <= running)
    new &= np.concatenate([[True], shifted[1:] < running[:-1]])
    position = np.maximum.accumulate(np.where(new, np.arange(rows.size), -1))
    start = np.flatnonzero(np.concatenate([[True], design[1:] != design[:-1]]))[rank]
    return np.asarray(np.where(position >= start, rows[np.maximum(position, 0)], -1))


def _repair(points: Points, feasible: BoolArray, designs: int, agents: int) -> Combination:
    """Least violating point of every class, for designs in which some class has no feasible point."""
    short = np.flatnonzero(~feasible)
    order = np.lexsort((points.cost, points.violation, points.agent, points.design))
    key = points.design[order] * agents + points.agent[order]
    first = order[np.concatenate([[True], key[1:] != key[:-1]])] if order.size else order
    table = np.zeros((designs, agents), dtype=np.int64)
    table[points.design[first], points.agent[first]] = first
    return Combination(short, table[short])


def _undominated(rows: IntArray, points: Points) -> IntArray:
    """Drop rows that another row of the same design beats in cost, energy and latency; rows come sorted by design."""
    picked = rows[:, 1:]
    cost = points.cost[picked].sum(axis=1)
    energy = points.energy[picked].sum(axis=1)
    ratio = points.ratio[picked].max(axis=1)
    order = np.lexsort((energy, cost, ratio, rows[:, 0]))
    design = rows[order, 0]
    balanced = _strictly_improves(design, (cost / cost.mean() + energy / energy.mean())[order])
    either = _strictly_improves(design, cost[order]) | _strictly_improves(design, energy[order]) | balanced
    return np.asarray(order[either])


def _strictly_improves(design: IntArray, value: FloatArray) -> BoolArray:
    span = value.max() - value.min() + 1.0
    rank = np.unique(design, return_inverse=True)[1]
    shifted = value - 3 * span * rank
    running = np.minimum.accumulate(shifted)
    return np.asarray(np.concatenate([[True], shifted[1:] < running[:-1]]))
