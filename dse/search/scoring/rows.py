"""Rows of phase tables for a block of designs: gather, drop what cannot matter, pair prefill with decode."""

from collections.abc import Sequence
from itertools import pairwise
from typing import NamedTuple

import numpy as np

from dse.arrays import BoolArray, FloatArray, IntArray

WIDTHS = (1, 8, 16, 24, 32, 48, 64, 96, 128, 192, 256, 1 << 62)
"""Rows of a design up to which designs are compared in one array, whose size goes with the square of the most [1]."""


class Rows(NamedTuple):
    """Table rows of a block, flat: the design, which of its device types, and the row in the stacked tables."""

    design: IntArray
    option: IntArray
    row: IntArray

    def take(self, index: IntArray | BoolArray) -> "Rows":
        """Select rows."""
        return Rows(self.design[index], self.option[index], self.row[index])


def gathered(table: IntArray, sizes: IntArray) -> Rows:
    """All rows of the tables that designs name; ``table`` (n, options) holds -1 where there is no such device."""
    start = np.concatenate([[0], np.cumsum(sizes)])
    design, option = np.nonzero(table >= 0)
    chosen = table[design, option]
    count = sizes[chosen]
    first = np.repeat(np.cumsum(count) - count, count)
    offset = np.arange(count.sum()) - first
    return Rows(np.repeat(design, count), np.repeat(option, count), np.repeat(start[chosen], count) + offset)


def undominated(rows: Rows, criteria: Sequence[FloatArray], designs: int) -> Rows:
    """Rows of each design that no other row of it beats in every criterion; of equal rows the first stays."""
    count = np.bincount(rows.design, minlength=designs)
    start, kept = np.cumsum(count) - count, np.ones(rows.design.size, dtype=bool)
    values = np.stack([*criteria])
    for few, most in pairwise(WIDTHS):
        mine = np.flatnonzero((count > few) & (count <= most))
        if not mine.size:
            continue
        every = np.arange(count[mine].max())
        there = every < count[mine, None]
        place = np.where(there, start[mine, None] + every, 0)
        kept[place[there]] = ~_beaten(np.where(there, values[:, place], np.inf))[there]
    return rows.take(kept)


def _beaten(grid: FloatArray) -> BoolArray:
    """(designs, width) whether another row of the design beats a row of (criteria, designs, width) in every one."""
    no_worse: BoolArray = grid[0][:, :, None] <= grid[0][:, None, :]
    for values in grid[1:]:
        no_worse &= values[:, :, None] <= values[:, None, :]
    earlier = np.arange(grid.shape[-1])[:, None] < np.arange(grid.shape[-1])
    no_worse &= earlier | ~no_worse.transpose(0, 2, 1)
    return np.asarray(no_worse.any(axis=1))


class Pairs(NamedTuple):
    """Every prefill row with every decode row of the same design: indices into the two row lists."""

    prefill: IntArray
    decode: IntArray


def paired(prefill: Rows, decode: Rows, designs: int) -> Pairs:
    """Cross product within each design; both lists are sorted by design."""
    left = np.bincount(prefill.design, minlength=designs)
    right = np.bincount(decode.design, minlength=designs)
    count = right[prefill.design]
    first = np.repeat(np.cumsum(count) - count, count)
    offset = np.arange(count.sum()) - first
    start = (np.cumsum(right) - right)[prefill.design]
    assert left.sum() == prefill.design.size
    return Pairs(np.repeat(np.arange(prefill.design.size), count), np.repeat(start, count) + offset)
