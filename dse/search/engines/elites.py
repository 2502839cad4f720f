"""The best designs known for every choice of a lever and every pair of choices, on the front or not.

A front found early draws all parents to the choices that it has, and a better design behind two levers that must
change together stays unseen. Elites are the memory against that: a child of two elites of one cell keeps the choices
of the cell and improves what surrounds them, until they join the front or are seen to stay behind.
"""

from itertools import combinations_with_replacement, product
from typing import NamedTuple

import numpy as np

from dse.arrays import FloatArray, IntArray
from dse.search import pareto
from dse.search.axes import Designs, Rows
from dse.search.engines.proposals import Feedback
from dse.search.space import Space

DIVISIONS = 3
"""Steps between two objectives' corners in the lattice of directions: ten directions for three objectives."""

BLUNT = 0.05
"""Weight that every objective keeps in every direction, so that no elite gives one up for nothing."""

CELLS = 12
"""Most cells of a lever; in a longer ordered lever neighbouring choices share one."""

SINGLE = 0.8
"""Share of parents from the cells of one lever; the others are from cells of two."""

PENALTY = 1e6
"""Stands for a score that is not finite, and decades per violation: the feasible precede the infeasible."""


class Elites(NamedTuple):
    """One design per cell and direction; a cell is a choice of one lever, or a choice each of two."""

    value: FloatArray
    """(cells, directions) weighted sum of scores, less is better; infinite where nothing is known."""
    rows: Rows
    """(cells, directions, axes) the designs."""
    scale: FloatArray
    """(2, k) zero and unit of the scores: least, and spread, of the first sample."""


class Grid(NamedTuple):
    """The cells of a space."""

    first: IntArray
    """(p,) one lever of each pair; both are the same where the pair stands for a single lever."""
    second: IntArray
    start: IntArray
    """(p + 1,) number of the first cell of each pair; the last entry is the number of cells."""
    stride: IntArray
    """(p,) cells of the second lever."""


def grid(space: Space) -> Grid:
    """Pairs of the levers that have a choice, and how their cells are numbered."""
    varied = [axis for axis, size in enumerate(space.structure.sizes) if size > 1]
    pairs = np.array(list(combinations_with_replacement(varied, 2)), dtype=np.int64).reshape(-1, 2)
    count = np.minimum(space.structure.sizes, CELLS)[pairs]
    ends = np.cumsum(count[:, 0] * count[:, 1])
    return Grid(pairs[:, 0], pairs[:, 1], np.concatenate([[0], ends]), count[:, 1])


def founded(space: Space, feedback: Feedback) -> Elites:
    """Elites before any design is entered; `feedback` of a first sample sets the scale."""
    finite = feedback.scores[np.isfinite(feedback.scores).all(axis=1)]
    kept = finite if len(finite) else np.zeros((1, feedback.scores.shape[1]))
    low, spread = kept.min(axis=0), np.maximum(np.ptp(kept, axis=0), 10.0**-pareto.DECIMALS)
    shape = (int(grid(space).start[-1]), len(directions(len(low))))
    return Elites(np.full(shape, np.inf), np.zeros((*shape, len(space.axes)), dtype=np.int16), np.stack([low, spread]))


def directions(objectives: int) -> FloatArray:
    """(d, k) weights of the objectives, an even lattice over all ways to share one unit.

    >>> len(directions(3)), len(directions(1))
    (10, 1)
    """
    lattice = [steps for steps in product(range(DIVISIONS + 1), repeat=objectives) if sum(steps) == DIVISIONS]
    return BLUNT + np.array(lattice, dtype=np.float64) / DIVISIONS


def entered(elites: Elites, space: Space, designs: Designs, feedback: Feedback) -> Elites:
    """Elites after a block of designs."""
    worth, keys = _worth(elites, feedback, len(designs)), _keys(space, designs.rows)
    cells, lanes = elites.value.shape
    value, rows = elites.value.copy(), elites.rows.copy()
    best = np.zeros(cells + 1, dtype=np.int64)
    for lane in range(lanes):
        order = np.argsort(-worth[:, lane], kind="stable")
        best[:] = -1
        best[keys[order].ravel()] = np.repeat(order, keys.shape[1])  # the last one written, the best, stays
        gained = np.where(best[:-1] >= 0, worth[best[:-1], lane], np.inf)
        cell = np.flatnonzero(gained < value[:, lane])
        value[cell, lane], rows[cell, lane] = gained[cell], designs.rows[best[cell]]
    return Elites(value, rows, elites.scale)


def _worth(elites: Elites, feedback: Feedback, count: int) -> FloatArray:
    """(n, directions) best weighted sum over the rows of each design."""
    scaled = (np.nan_to_num(feedback.scores, posinf=PENALTY) - elites.scale[0]) / elites.scale[1]
    sums = (
        np.einsum("mk,dk->md", scaled, directions(scaled.shape[1]))
        + PENALTY * np.minimum(feedback.violation, PENALTY)[:, None]
    )
    order = np.argsort(feedback.design, kind="stable")
    return np.minimum.reduceat(sums[order], np.searchsorted(feedback.design[order], np.arange(count)))


def _keys(space: Space, rows: Rows) -> IntArray:
    """(n, pairs) cell of each design in each pair of levers; the number of cells where a lever is inert."""
    pairs, sizes = grid(space), np.array(space.structure.sizes)
    active = space.structure.active(rows)
    cells = np.where(sizes > CELLS, rows.astype(np.int64) * CELLS // sizes, rows)
    keys = pairs.start[:-1] + pairs.stride * cells[:, pairs.first] + cells[:, pairs.second]
    return np.asarray(np.where(active[:, pairs.first] & active[:, pairs.second], keys, pairs.start[-1]))


def parents(elites: Elites, space: Space, rng: np.random.Generator, count: int) -> tuple[Rows, Rows, IntArray]:
    """(n, axes) two elites each that share a cell, and the (n, 2) levers of that cell; none while none is known."""
    pairs = grid(space)
    known = np.flatnonzero(np.isfinite(elites.value).all(axis=1))
    if len(known) == 0:
        return elites.rows[:0, 0], elites.rows[:0, 0], np.zeros((0, 2), dtype=np.int64)
    pair = np.searchsorted(pairs.start, known, side="right") - 1
    single = known[pairs.first[pair] == pairs.second[pair]]
    chosen = np.where(rng.random(count) < SINGLE, rng.choice(single, count), rng.choice(known, count))
    one, other = rng.integers(elites.value.shape[1], size=(2, count))
    own = np.searchsorted(pairs.start, chosen, side="right") - 1
    levers = np.stack([pairs.first[own], pairs.second[own]], axis=1)
    return elites.rows[chosen, one], elites.rows[chosen, other], levers
