"""Fronts, hypervolume, boxes and knees of points in decades, less being better (see `metrics.scores`)."""

from collections.abc import Sequence
from functools import reduce

import moocore  # type: ignore[import-untyped]
import numpy as np

from dse.arrays import BoolArray, FloatArray, IntArray

DECIMALS = 9
"""Two scores that agree to 1e-9 decades (2.3e-9 of the value) are a tie, not a trade-off."""


TOGETHER = 4096
"""Points that are compared with a member of the front at once: they fit a cache."""


def rounded(points: FloatArray) -> FloatArray:
    """(m, k) points on the grid on which ties are decided."""
    return np.round(points, DECIMALS) + 0.0


def nondominated(points: FloatArray) -> BoolArray:
    """(m,) whether no other point is at least as good everywhere and better somewhere; ties all stay.

    >>> nondominated(np.array([[1.0, 2.0], [2.0, 1.0], [2.0, 2.0], [1.0, 2.0]])).tolist()
    [True, True, False, True]
    """
    if len(points) == 0:
        return np.zeros(0, dtype=np.bool_)
    return np.asarray(moocore.is_nondominated(rounded(points), keep_weakly=True), dtype=np.bool_)


def ranks(points: FloatArray) -> IntArray:
    """(m,) number of fronts to take away before each point is in the front; ties share one.

    >>> ranks(np.array([[1.0, 2.0], [2.0, 1.0], [2.0, 2.0], [1.0, 2.0]])).tolist()
    [0, 0, 1, 0]
    """
    if len(points) == 0:
        return np.zeros(0, dtype=np.int64)
    return np.asarray(moocore.pareto_rank(rounded(points)), dtype=np.int64)


def front(points: FloatArray, keys: Sequence[IntArray]) -> IntArray:
    """Indices of the front, sorted; among equal points the one with the smallest keys stays.

    The result depends on the set of points only, not on their order.

    Parameters
    ----------
    points : (m, k) array          scores
    keys : q (m,) int arrays       identity of each point, compared in this order

    Returns
    -------
    (f,) int array                 rows of `points`, ordered by score, then keys

    >>> front(np.array([[1.0, 2.0], [1.0, 2.0], [3.0, 3.0]]), [np.array([7, 4, 1])]).tolist()
    [1]
    """
    kept = np.flatnonzero(nondominated(points))
    if len(kept) == 0:
        return kept
    grid = rounded(points[kept])
    order = np.lexsort([*(key[kept] for key in reversed(keys)), *grid.T[::-1]])
    ordered = grid[order]
    fresh = np.ones(len(order), dtype=np.bool_)
    fresh[1:] = (ordered[1:] != ordered[:-1]).any(axis=1)
    return np.asarray(kept[order[fresh]], dtype=np.int64)


def hypervolume(points: FloatArray, reference: FloatArray) -> float:
    """Volume between the points and the reference [decades^k]; points beyond the reference add nothing.

    >>> hypervolume(np.array([[0.0, 1.0], [1.0, 0.0]]), np.array([2.0, 2.0]))
    3.0
    """
    inside = points[(points < reference).all(axis=1)]
    return float(moocore.hypervolume(inside, ref=reference)) if len(inside) else 0.0


def contributions(points: FloatArray) -> FloatArray:
    """(m,) volume that only this point covers, up to a tenth of the spread beyond the worst of the set."""
    low, high = points.min(axis=0), points.max(axis=0)
    reference = high + 0.1 * (high - low) + 10.0**-DECIMALS
    return np.asarray(moocore.hv_contributions(points, ref=reference), dtype=np.float64)


def worst(points: FloatArray) -> FloatArray:
    """(k,) the reference point of a sample: its worst finite score in each objective."""
    return np.asarray(points[np.isfinite(points).all(axis=1)].max(axis=0), dtype=np.float64)


def representatives(points: FloatArray, epsilon: float) -> IntArray:
    """Indices of an ε-front: of each occupied box of side ε, none of whose betters is occupied, one point.

    Every point is within ε decades, in each objective, of a representative. ε = 0 gives the front.

    >>> representatives(np.array([[0.1, 0.9], [0.15, 0.85], [0.9, 0.1]]), 0.5).tolist()
    [0, 2]
    """
    if epsilon <= 0 or len(points) == 0:
        return np.flatnonzero(nondominated(points))
    boxes = np.floor(points / epsilon)
    distance = (points / epsilon - boxes).sum(axis=1)
    order = np.lexsort([distance, *boxes.T[::-1]])
    fresh = np.ones(len(order), dtype=np.bool_)
    fresh[1:] = (boxes[order][1:] != boxes[order][:-1]).any(axis=1)
    first = order[fresh]
    return np.sort(first[nondominated(boxes[first])])


def crowding(points: FloatArray, layers: IntArray) -> FloatArray:
    """(m,) room around each point within its layer, as share of the layer's spread; 2 per extreme."""
    room = np.zeros(len(points))
    for column in points.T if len(points) else ():
        order = np.lexsort([column, layers])
        value, layer = column[order], layers[order]
        edge = np.flatnonzero(np.diff(layer)) + 1
        starts, ends = np.concatenate([[0], edge]), np.concatenate([edge, [len(order)]])
        spread = np.repeat(np.maximum(value[ends - 1] - value[starts], 10.0**-DECIMALS), ends - starts)
        gap = np.zeros(len(order))
        gap[1:-1] = value[2:] - value[:-2]
        gap = gap / spread
        gap[starts] = gap[ends - 1] = 2.0
        room[order] += gap
    return room


def shortfall(points: FloatArray, truth: FloatArray) -> FloatArray:
    """(m,) decades by which all objectives of a point must improve for it to join the front.

    max over the front of min over objectives of (point − front); zero for a point that nothing dominates.

    >>> shortfall(np.array([[1.0, 1.0], [0.2, 0.0]]), np.array([[0.0, 0.5], [0.5, 0.0]])).tolist()
    [0.5, 0.0]
    """
    result = np.zeros(len(points))
    for first in range(0, len(points), TOGETHER):
        columns, worst = points[first : first + TOGETHER].T.copy(), result[first : first + TOGETHER]
        for member in truth:
            np.maximum(worst, reduce(np.minimum, map(np.subtract, columns, member)), out=worst)
    return result


def normalised(points: FloatArray) -> FloatArray:
    """(m, k) points scaled so that the front's best is 0 and its worst is 1 in each objective."""
    low, high = points.min(axis=0), points.max(axis=0)
    return np.asarray((points - low) / np.maximum(high - low, 10.0**-DECIMALS))


def knees_by_bulge(points: FloatArray) -> IntArray:
    """Front members from the most to the least bulged below the plane through the extremes."""
    return np.argsort(normalised(points).sum(axis=1), kind="stable").astype(np.int64)


def knees_by_regret(points: FloatArray) -> IntArray:
    """Front members from the least to the largest regret: the worst objective, in shares of the spread."""
    return np.argsort(normalised(points).max(axis=1), kind="stable").astype(np.int64)


def spaced(points: FloatArray, order: Sequence[int] | IntArray, count: int) -> IntArray:
    """Take the first `count` members of an order, each far from those taken before.

    Far is 1/(count + 1) of the spread in some objective; the distance is halved until enough are found.
    """
    scaled = normalised(points)
    wanted, distance = min(count, len(points)), 1.0 / (count + 1)
    taken: list[int] = []
    while len(taken) < wanted:
        for member in order:
            if len(taken) < wanted and all(np.abs(scaled[member] - scaled[other]).max() > distance for other in taken):
                taken.append(int(member))
        distance = distance / 2 if distance > 10.0**-DECIMALS else -1.0
    return np.array(taken, dtype=np.int64)
