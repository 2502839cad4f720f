"""Combine the classes of a mixture: which serving point each class takes, for every level of latency.

Cost and power of a mixture are share-weighted sums over its classes, latency is the worst class's ratio to its SLO. So
for a latency level x each class may use any of its serving points with ratio <= x, and takes the cheapest (or the most
frugal) one; sweeping x over all ratios that occur gives the cheapest and the most frugal combination of a design at
every latency. No loop over designs: the sweep is a running minimum over serving points sorted by ratio. Scales and ties
are settled within a design, so its rows do not depend on the block it is scored in.
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
    """Give the non-dominated combinations of each design, or the least violating one where a class has no point."""
    feasible = _all_classes_feasible(points, designs, agents)
    rows = np.flatnonzero((points.violation <= 0) & feasible[points.design])
    scale = [_least_sum(points, rows, values, designs, agents) for values in (points.cost, points.energy)]
    values = [_preference(points, scale, weight) for weight in PREFERENCES]
    rows = rows[_contending(points, rows, values, designs, agents)]
    rows = rows[np.lexsort((points.ratio[rows], points.design[rows]))]
    sweeps = [_sweep(points, rows, value, designs, agents) for value in values]
    design = np.concatenate([part.design for part in sweeps])
    point = np.concatenate([part.point for part in sweeps])
    kept = _undominated(points, Combination(design, point), scale, designs)
    repairs = _repair(points, feasible, designs, agents)
    design, point = np.concatenate([design[kept], repairs.design]), np.concatenate([point[kept], repairs.point])
    order = np.argsort(design, kind="stable")
    return Combination(design[order], point[order])


def _all_classes_feasible(points: Points, designs: int, agents: int) -> BoolArray:
    served = np.zeros((designs, agents), dtype=bool)
    fine = points.violation <= 0
    served[points.design[fine], points.agent[fine]] = True
    return np.asarray(served.all(axis=1))


def _contending(points: Points, rows: IntArray, values: list[FloatArray], designs: int, agents: int) -> BoolArray:
    """Rows that may be taken: the best by some preference at the soonest level of all classes, or better and later."""
    group, ratio = points.design[rows] * agents + points.agent[rows], points.ratio[rows]
    level = np.repeat(_least(group, ratio, designs, agents).max(axis=1), agents)[group]
    first, found = ratio <= level, np.zeros(rows.size, dtype=bool)
    for value in values:
        own = value[rows]
        best = _least(group[first], own[first], designs, agents).ravel()[group]
        found |= np.where(first, own <= best, own < best)
    return found


def _least(group: IntArray, values: FloatArray, designs: int, agents: int) -> FloatArray:
    """(designs, agents) least value of each design and class; infinite where there is no row."""
    least = np.full(designs * agents, np.inf)
    np.minimum.at(least, group, values)
    return least.reshape(designs, agents)


def _least_sum(points: Points, rows: IntArray, values: FloatArray, designs: int, agents: int) -> FloatArray:
    """(n,) the least that the mixture can take of a quantity; 1 where a design has no feasible point."""
    total = _least(points.design[rows] * agents + points.agent[rows], values[rows], designs, agents).sum(axis=1)
    return np.where(np.isfinite(total), total, 1.0)


def _preference(points: Points, scale: list[FloatArray], weight: float) -> FloatArray:
    """Cost and energy of a point on one scale: shares of the design's least."""
    cost, energy = (least[points.design] for least in scale)
    return weight * points.cost / cost + (1 - weight) * points.energy / energy


def _sweep(points: Points, rows: IntArray, value: FloatArray, designs: int, agents: int) -> Combination:
    """Walk each design's points by rising ratio; emit a combination at every ratio where some class does better."""
    own = [rows[points.agent[rows] == agent] for agent in range(agents)]
    better = [mine[_improving(points.design[mine], value[mine], designs)] for mine in own]
    events = np.concatenate(better)
    agent = np.repeat(np.arange(agents), [part.size for part in better])
    order = np.lexsort((points.ratio[events], points.design[events]))
    events, agent = events[order], agent[order]
    design, ratio = points.design[events], points.ratio[events]
    last = np.ones(events.size, dtype=bool)
    last[:-1] = (design[1:] != design[:-1]) | (ratio[1:] > ratio[:-1])
    start = np.searchsorted(design, design)
    best = np.empty((events.size, agents), dtype=np.int64)
    for column in range(agents):
        place = np.maximum.accumulate(np.where(agent == column, np.arange(events.size), -1))
        best[:, column] = np.where(place >= start, events[place], -1)
    emitted = last & (best >= 0).all(axis=1)
    return Combination(design[emitted], best[emitted])


def _improving(design: IntArray, value: FloatArray, designs: int) -> BoolArray:
    """Whether each row has less value than all rows before it in its design; rows come sorted by design."""
    count = np.bincount(design, minlength=designs)
    place = np.arange(design.size) - (np.cumsum(count) - count)[design]
    grid = np.full((designs, int(count.max(initial=0)) + 1), np.inf)
    grid[design, place + 1] = value
    least = np.minimum.accumulate(grid, axis=1)
    return np.asarray(value < least[design, place])


def _repair(points: Points, feasible: BoolArray, designs: int, agents: int) -> Combination:
    """Least violating point of every class, for designs in which some class has no feasible point."""
    short = np.flatnonzero(~feasible)
    rows = np.flatnonzero(~feasible[points.design])
    rows = rows[np.lexsort((points.cost[rows], points.violation[rows], points.agent[rows], points.design[rows]))]
    key = points.design[rows] * agents + points.agent[rows]
    first = rows[np.diff(key, prepend=-1) > 0]
    table = np.zeros((designs, agents), dtype=np.int64)
    table[points.design[first], points.agent[first]] = first
    return Combination(short, table[short])


def _undominated(points: Points, rows: Combination, scale: list[FloatArray], designs: int) -> IntArray:
    """Drop rows that are beaten in cost, energy and latency by another row of their design, and copies."""
    cost = points.cost[rows.point].sum(axis=1)
    energy = points.energy[rows.point].sum(axis=1)
    ratio = points.ratio[rows.point].max(axis=1, initial=0.0)
    order = np.lexsort((energy, cost, ratio, rows.design))
    design, cost, energy = rows.design[order], cost[order], energy[order]
    both = cost / scale[0][design] + energy / scale[1][design]
    return np.asarray(order[np.any([_improving(design, value, designs) for value in (cost, energy, both)], axis=0)])
