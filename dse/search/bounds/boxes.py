"""Boxes: parts of a space, each a range of choices per lever with the levers that decide about others fixed."""

from collections.abc import Iterator
from dataclasses import dataclass
from math import prod
from typing import NamedTuple

import numpy as np

from dse.arrays import BoolArray, IntArray
from dse.search.axes import Designs
from dse.search.bounds.sets import Sets
from dse.search.space import Space

FIXED = ("serving", "prefill.device", "prefill.second_device", "decode.device", "decode.second_device")
"""Levers of which a box has one choice, whatever depends on them."""

DEVICE_LEVERS = ("device", "second_device")
"""The two levers of a pool that name its devices."""

MOST_ROOTS = 5_000_000
"""Combinations of the levers that decide about others, at most."""


class Boxes(NamedTuple):
    """Ranges of choices, (n, axes): from ``low`` up to, not including, ``high``; levers without effect rest."""

    low: IntArray
    high: IntArray
    sets: IntArray
    """(n, 2) sets of device pairs of the prefill and of the decode pool; they stand for the device levers."""

    def __len__(self) -> int:
        """Count the boxes."""
        return len(self.low)

    def take(self, rows: IntArray | BoolArray | slice) -> "Boxes":
        """Select boxes."""
        return Boxes(self.low[rows], self.high[rows], self.sets[rows])


def stacked(parts: list[Boxes]) -> Boxes:
    """Put boxes below each other."""
    return Boxes(*(np.concatenate(column) for column in zip(*parts, strict=True)))


def roots(space: Space, modes: IntArray, sets: tuple[Sets, Sets], ordered: bool) -> Boxes:
    """Boxes that together hold every canonical design once: one per combination of the levers that others depend on.

    Devices stay together: all pairs of a pool that occur with the same choices of the other levers, and with the same
    pairs of the other pool, are one set.
    """
    low, high = _combinations(space)
    devices = [[space.names.index(f"{pool}.{which}") for which in DEVICE_LEVERS] for pool in ("prefill", "decode")]
    both = [*devices[0], *devices[1]]
    shared_low, shared_high = low.copy(), high.copy()
    shared_low[:, both], shared_high[:, both] = 0, 1
    distinct, member = np.unique(np.concatenate([shared_low, shared_high], axis=1), axis=0, return_inverse=True)
    serving = space.names.index("serving")
    known: dict[tuple[int, int, bytes], int] = {}

    def number(side: int, mode: int, pairs: IntArray) -> int:
        key = (side, mode, pairs.tobytes())
        if key not in known:
            known[key] = sets[side].add(mode, pairs, ordered)
        return known[key]

    lines: list[int] = []
    numbers: list[tuple[int, int]] = []
    cut: dict[tuple[int, bytes], list[tuple[int, int]]] = {}
    order = np.argsort(member.ravel(), kind="stable")
    for row, inside in enumerate(np.split(order, np.cumsum(np.bincount(member.ravel()))[:-1])):
        mode, pairs = int(modes[distinct[row, serving]]), low[inside][:, both]
        if (mode, pairs.tobytes()) not in cut:
            found = products(pairs[:, :2], pairs[:, 2:])
            cut[mode, pairs.tobytes()] = [(number(0, mode, a), number(1, mode, b)) for a, b in found]
        numbers += cut[mode, pairs.tobytes()]
        lines += [row] * (len(numbers) - len(lines))
    chosen = distinct[lines]
    return Boxes(chosen[:, : low.shape[1]], chosen[:, low.shape[1] :], np.asarray(numbers))


def products(first: IntArray, second: IntArray) -> list[tuple[IntArray, IntArray]]:
    """Cut distinct rows of two columns into products: all of some of the one with all of some of the other.

    >>> one, other = np.array([[0], [0], [1], [1], [2]]), np.array([[5], [6], [5], [6], [6]])
    >>> [(a.ravel().tolist(), b.ravel().tolist()) for a, b in products(one, other)]
    [([0, 1], [5, 6]), ([2], [6])]
    """
    lefts, place = np.unique(first, axis=0, return_inverse=True)
    rights, other = np.unique(second, axis=0, return_inverse=True)
    beside: dict[bytes, list[int]] = {}
    for left in range(len(lefts)):
        partners = np.sort(other.ravel()[place.ravel() == left])
        beside.setdefault(partners.tobytes(), []).append(left)
    return [(lefts[own], rights[np.frombuffer(key, dtype=other.dtype)]) for key, own in beside.items()]


def _combinations(space: Space) -> tuple[IntArray, IntArray]:
    """Ranges of the choices under every combination of the levers that others depend on."""
    if prod(len(group.combinations) for group in space.groups) > MOST_ROOTS:
        raise OverflowError(f"more than {MOST_ROOTS:,} combinations of devices and the levers that others depend on")
    rests = np.array(space.structure.rests, dtype=np.int64)
    low, high = rests[None], rests[None] + 1
    for group in space.groups:
        count, before = len(group.combinations), len(low)
        low, high = np.repeat(low, count, axis=0), np.repeat(high, count, axis=0)
        chosen = np.tile(group.combinations.astype(np.int64), (before, 1))
        low[:, list(group.controllers)], high[:, list(group.controllers)] = chosen, chosen + 1
        for column, axis in enumerate(group.dependents):
            several = np.tile(group.radices[:, column], before) > 1
            low[several, axis], high[several, axis] = 0, space.structure.sizes[axis]
    for name in FIXED:
        low, high = _opened(low, high, space.names.index(name))
    return low, high


def _opened(low: IntArray, high: IntArray, axis: int) -> tuple[IntArray, IntArray]:
    """Ranges with one choice each of a lever."""
    width = high[:, axis] - low[:, axis]
    row = np.repeat(np.arange(len(low)), width)
    low, high = low[row], high[row]
    low[:, axis] += np.arange(row.size) - np.repeat(np.cumsum(width) - width, width)
    high[:, axis] = low[:, axis] + 1
    return low, high


def halved(boxes: Boxes, lever: IntArray, sets: tuple[Sets, Sets]) -> Boxes:
    """Both halves of every box along one lever each; the two levers after the axes are the sets of either pool."""
    line, axes = np.arange(len(boxes)), boxes.low.shape[1]
    first, second = (Boxes(*(part.copy() for part in boxes)) for _ in range(2))
    plain = line[lever < axes]
    axis = lever[plain]
    middle = (boxes.low[plain, axis] + boxes.high[plain, axis] + 1) // 2
    first.high[plain, axis] = second.low[plain, axis] = middle
    for side, group in enumerate(sets):
        rows = line[lever == axes + side]
        parts = np.asarray(group.children)[boxes.sets[rows, side]]
        first.sets[rows, side], second.sets[rows, side] = parts.T
    return stacked([first, second])


def members(boxes: Boxes, space: Space, sets: tuple[Sets, Sets], length: int) -> Iterator[Designs]:
    """All designs of all boxes, in blocks of about a length."""
    devices = [[space.names.index(f"{pool}.{which}") for which in DEVICE_LEVERS] for pool in ("prefill", "decode")]
    held: list[np.ndarray] = []
    for low, high, pair in zip(*boxes, strict=True):
        grid = np.indices(high - low).reshape(low.size, -1).T + low
        for group, number, columns in zip(sets, pair.tolist(), devices, strict=True):
            choices = group.choices[number]
            grid = np.repeat(grid, len(choices), axis=0)
            grid[:, columns] = np.tile(choices, (len(grid) // len(choices), 1))
        held.append(grid.astype(np.int16))
        if sum(map(len, held)) >= length:
            yield Designs(np.concatenate(held), space.names)
            held = []
    if held:
        yield Designs(np.concatenate(held), space.names)


@dataclass(frozen=True)
class Columns:
    """Which column of a box holds which lever."""

    place: dict[str, int]

    @classmethod
    def of(cls, space: Space) -> "Columns":
        """Columns of a space."""
        return cls({name: index for index, name in enumerate(space.names)})

    def ranges(self, boxes: Boxes, *names: str) -> IntArray:
        """(n, 2 names) first and last choice of several levers, side by side; a lever that is no axis has one."""
        found = np.zeros((len(boxes), len(names), 2), dtype=np.int64)
        found[:, :, 1] = 1
        for index, name in enumerate(names):
            if name in self.place:
                column = self.place[name]
                found[:, index, 0], found[:, index, 1] = boxes.low[:, column], boxes.high[:, column]
        return found.reshape(len(boxes), -1)
