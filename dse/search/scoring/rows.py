"""Rows of phase tables for a block of designs: gather, drop what cannot matter, pair prefill with decode."""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from dse.arrays import BoolArray, FloatArray, IntArray


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
    if rows.design.size == 0:
        return rows
    count = np.bincount(rows.design, minlength=designs)
    width = int(count.max())
    first = np.cumsum(count) - count
    place = np.arange(rows.design.size) - first[rows.design]
    grid = np.full((len(criteria), designs, width), np.inf)
    for index, values in enumerate(criteria):
        grid[index, rows.design, place] = values
    beaten: BoolArray = grid[0][:, :, None] <= grid[0][:, None, :]
    for values in grid[1:]:
        beaten &= values[:, :, None] <= values[:, None, :]
    earlier = np.arange(width)[:, None] < np.arange(width)[None, :]
    beaten &= earlier | ~beaten.transpose(0, 2, 1)
    dominated: BoolArray = np.asarray(beaten.any(axis=1))
    kept: BoolArray = np.logical_not(dominated[rows.design, place])
    return rows.take(kept)


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
