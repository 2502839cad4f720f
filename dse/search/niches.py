"""Niches: parts of a space in which a listed lever keeps one choice, searched by themselves for a while.

The front found first draws all parents to the choices that it has. Where it takes several levers that change together
to beat it, no child of the front gets there; a colony that never leaves one choice, and knows no better front than its
own, does.
"""

import numpy as np

from dse.arrays import IntArray
from dse.search.axes import Rows
from dse.search.elites import CELLS, Elites, grid
from dse.search.space import Space

NOWHERE = np.array([-1, -1])
"""Lever and choice of a colony that is free."""

CROWDED = 0.2
"""A niche with this share of the front is visited after the others: the front's own children search it."""


def niches(space: Space) -> IntArray:
    """(n, 2) lever and choice of every niche: each choice of each lever that is a list."""
    listed = [(number, axis) for number, axis in enumerate(space.axes) if not axis.ordered and len(axis.choices) > 1]
    held = [(number, choice) for number, axis in listed for choice in range(len(axis.choices))]
    return np.array(held, dtype=np.int64).reshape(-1, 2)


def following(space: Space, elites: Elites, front: Rows, visits: IntArray) -> int:
    """Niche to visit next: of the least visited those with little of the front, the most promising first."""
    held = niches(space)
    taken = np.array([(front[:, axis] == choice).mean() if len(front) else 0.0 for axis, choice in held])
    return int(np.lexsort([_distance(space, elites, held), taken > CROWDED, visits])[0])


def _distance(space: Space, elites: Elites, held: IntArray) -> np.ndarray:
    """(n,) by how much the best known design of a niche is behind the best, in the direction where it is nearest."""
    cells, sizes = grid(space), np.array(space.structure.sizes)[held[:, 0]]
    single = np.flatnonzero(cells.first == cells.second)
    pair = single[np.searchsorted(cells.first[single], held[:, 0])]
    cell = np.where(sizes > CELLS, held[:, 1] * CELLS // sizes, held[:, 1])
    value = elites.value[cells.start[pair] + cells.stride[pair] * cell + cell]
    best = elites.value.min(axis=0)
    return np.asarray(np.where(np.isfinite(value), value - np.where(np.isfinite(best), best, 0.0), np.inf).min(axis=1))


def pinned(held: IntArray, rows: Rows) -> Rows:
    """Rows with the choice of a niche; any rows where a colony is free."""
    axis, choice = held
    if axis < 0:
        return rows
    kept = rows.copy()
    kept[:, axis] = choice
    return kept
