"""Sets of device pairs: a box may hold many pairs of each pool at once, and is divided into better and worse."""

from dataclasses import dataclass, field

import numpy as np

from dse.arrays import FloatArray, IntArray
from dse.search.bounds.cells import COLOCATED, OFFLOADED, Cells
from dse.search.bounds.hardware import Hardware

SUMMED = 3
"""Levers of a pool over which sound choices are summed: topology, memory, host memory."""


@dataclass(eq=False)
class Sets:
    """Sets of pairs of one pool; each is a leaf or the union of two others."""

    cells: Cells
    side: Hardware
    name: str
    choices: list[IntArray] = field(default_factory=list)
    """(pairs, 2) choices of the two device levers, per set."""
    kinds: list[IntArray] = field(default_factory=list)
    """(k, 2) device types that a class may use, and the type that helps it or -1, per set."""
    children: list[tuple[int, int]] = field(default_factory=list)
    """Sets that a set is divided into, (-1, -1) for one pair."""
    sums: list[IntArray] = field(default_factory=list)
    """Running sums of sound choices over the pool's own levers, per optical bandwidth."""

    def add(self, mode: int, pairs: IntArray, ordered: bool) -> int:
        """Number of the set of some pairs, with all the sets that it is divided into: better and worse if ordered."""
        return self._add(mode, pairs[np.argsort(self._worth(mode, pairs), kind="stable")] if ordered else pairs)

    def _add(self, mode: int, pairs: IntArray) -> int:
        if len(pairs) == 1:
            return self._made(mode, pairs, (-1, -1), self._sound(mode, pairs))
        middle = len(pairs) // 2
        first, second = self._add(mode, pairs[:middle]), self._add(mode, pairs[middle:])
        return self._made(mode, pairs, (first, second), self.sums[first] + self.sums[second])

    def _made(self, mode: int, pairs: IntArray, children: tuple[int, int], sums: IntArray) -> int:
        self.choices.append(pairs)
        self.kinds.append(self._kinds(mode, pairs))
        self.children.append(children)
        self.sums.append(sums)
        return len(self.choices) - 1

    def _types(self, mode: int, pairs: IntArray) -> IntArray:
        """(pairs, 2) device types; -1 for none, and for a pool that is not there."""
        if mode == COLOCATED and self.name == "prefill":
            return np.full(pairs.shape, -1)
        return np.stack([self.side.first[pairs[:, 0]], self.side.second[pairs[:, 1]]], axis=1)

    def _kinds(self, mode: int, pairs: IntArray) -> IntArray:
        types = self._types(mode, pairs)
        if mode == OFFLOADED and self.name == "decode":
            return np.unique(types[types[:, 1] >= 0], axis=0)
        alone = np.unique(types)
        alone = alone if (alone < 0).all() else alone[alone >= 0]
        return np.stack([alone, np.full(alone.size, -1)], axis=1)

    def _worth(self, mode: int, pairs: IntArray) -> FloatArray:
        """Least cost and energy of each pair, classes apart, as a sum of logarithms: the order in which sets divide."""
        if len(pairs) == 1:
            return np.zeros(1)
        least = {kind: self._least(mode, kind) for kind in map(tuple, self._kinds(mode, pairs).tolist())}
        made = []
        for pair in pairs:
            own = [least[kind] for kind in map(tuple, self._kinds(mode, pair[None]).tolist())]
            made.append(np.log(np.min(own, axis=0).sum(axis=1)).sum() if own else np.inf)
        return np.asarray(made)

    def _least(self, mode: int, kind: tuple[int, int]) -> FloatArray:
        """(2, classes) least cost and energy of one kind over all choices of the other levers."""
        if kind[0] < 0:
            return np.ones((2, len(self.cells.classes)))
        at = self.cells.widest(self.name)
        prices = [np.where(self.side.doomed, np.inf, table) for table in (self.side.hourly, self.side.power)]
        one, other = ([float(price[k].min()) if k >= 0 else 0.0 for price in prices] for k in kind)
        if self.name == "prefill":
            seconds = self.cells.prefill_cell(kind[0], at).keeping.min(axis=(1, 2))
            return np.stack([price * seconds for price in one])
        found = self.cells.decode_cell(mode, kind, False, at)
        if mode == COLOCATED:
            return np.stack([price * found.mixed.min(axis=1) for price in one])
        return np.stack([(found.seconds * (p + found.ratio * q)).min(axis=1) for p, q in zip(one, other, strict=True)])

    def _sound(self, mode: int, pair: IntArray) -> IntArray:
        """Running sums of the sound choices of one pair of device types, (..., lights)."""
        first, second = self._types(mode, pair)[0].tolist()
        shape = self.side.doomed.shape[1:]
        doomed = np.full(shape, self.name == "decode" and mode == OFFLOADED and second < 0)
        for kind in (first, second):
            if kind >= 0:
                doomed = doomed | self.side.doomed[kind]
        made = np.zeros((*(size + 1 for size in shape[:SUMMED]), shape[SUMMED]), dtype=np.int64)
        made[1:, 1:, 1:] = (~doomed).cumsum(axis=0).cumsum(axis=1).cumsum(axis=2)
        return made
