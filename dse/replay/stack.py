"""Exact hit rates of least-recently-used caches of every size at once, by stack distances.

A cache of c blocks finds a block iff fewer than c others have been used since its last use. One pass over the trace
with a Fenwick tree gives that number for every use, so the whole curve of hit rate against capacity comes from one pass
(Mattson et al., IBM Systems Journal 9, 1970).
"""

import numpy as np

from dse.arrays import FloatArray, IntArray
from dse.replay.compiled import compiled

NEVER = -1
"""Distance of a first use: a compulsory miss."""


def distances(ids: IntArray) -> IntArray:
    """Number of different blocks used since the last use of each, `NEVER` for a first use.

    >>> distances(np.array([7, 8, 7, 7, 9, 8])).tolist()
    [-1, -1, 1, 0, -1, 2]
    """
    _, names = np.unique(ids, return_inverse=True)
    found = np.full(ids.size, NEVER, dtype=np.int64)
    last = np.full(int(names.max(initial=-1)) + 1, -1, dtype=np.int64)
    _fill(np.ascontiguousarray(names), last, np.zeros(ids.size + 1, dtype=np.int64), found)
    return found


@compiled
def _fill(names: IntArray, last: IntArray, tree: IntArray, found: IntArray) -> None:
    """Walk the trace; the tree counts the uses that are the latest of their block."""
    size = names.size
    for place in range(size):
        before = last[names[place]]
        if before >= 0:
            found[place] = _sum(tree, place) - _sum(tree, before + 1)
            _add(tree, before + 1, -1, size)
        _add(tree, place + 1, 1, size)
        last[names[place]] = place


@compiled
def _sum(tree: IntArray, place: int) -> int:
    total = 0
    while place > 0:
        total += tree[place]
        place -= place & -place
    return total


@compiled
def _add(tree: IntArray, place: int, value: int, size: int) -> None:
    while place <= size:
        tree[place] += value
        place += place & -place


def hit_rates(found: IntArray, capacities: FloatArray) -> FloatArray:
    """Share of uses that caches of these sizes [blocks] serve.

    >>> hit_rates(np.array([-1, -1, 1, 0, -1, 2]), np.array([0.0, 1.0, 2.0, 3.0])).round(3).tolist()
    [0.0, 0.167, 0.333, 0.5]
    """
    again = np.sort(found[found >= 0])
    return np.asarray(np.searchsorted(again, capacities, side="left") / max(found.size, 1))


def in_request_order(ids: IntArray, start: IntArray, order: IntArray) -> IntArray:
    """Uses of blocks request by request in an order of time; each prompt uses its opening blocks last.

    An engine that evicts leaves first does the same: of one prompt the opening blocks survive longest.
    """
    return np.concatenate([ids[start[row] : start[row + 1]][::-1] for row in order.tolist()])
