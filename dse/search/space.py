"""The space of architectures: every design counted once, numbered, drawn, and read back.

Levers fall into groups that do not depend on each other. Inside a group the few controlling levers are
enumerated, which gives the exact number of canonical designs and a numbering of them; the size of the
space is the product over groups. A design is canonical when its inert levers rest and of two designs
that differ only in the order of a device pair it is the earlier one.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property, reduce
from itertools import combinations
from math import prod
from typing import Protocol

import numpy as np

from dse.arrays import IntArray
from dse.facts.errors import Mistake, SpecError
from dse.search.axes import NEUTRAL, Axis, Choice, Designs, Inert, Pair, Rows, Structure, structure

BLOCK = 16_384
"""Designs per enumerated block: small enough to stay in cache, large enough to keep all workers busy."""

LONG = 12
"""Choices from which on an ordered lever has neighbours at growing distances only."""

SHORT = (-4, -2, -1, 1, 2, 4)
"""Steps of an ordered lever that moves together with another."""

COUNTABLE = 2**62
"""Largest group that is numbered with 64-bit integers."""


ENUMERABLE = 10**7
"""Most combinations of the levers of a group that decide about others: they are listed."""

OFFLOAD = Inert("serving", frozenset({"attention_offload"}))
"""The second device of the decode pool then runs the attention: the two devices are not exchangeable."""

PAIRS = (
    Pair("prefill.device", "prefill.second_device"),
    Pair("decode.device", "decode.second_device", distinct=(OFFLOAD,)),
)
"""Device pairs of which the order has no meaning."""


class Levers(Protocol):
    """What a space needs of a study; `dse.facts.problem.Problem` has it."""

    @property
    def levers(self) -> Mapping[str, tuple[Choice, ...]]:
        """Lever -> choices."""

    @property
    def conditions(self) -> Mapping[str, tuple[tuple[str, frozenset[Choice]], ...]]:
        """Lever -> (other lever, choices of it under which the lever has no effect)."""


@dataclass(frozen=True)
class Group:
    """Levers that depend on each other, numbered together."""

    controllers: tuple[int, ...]
    dependents: tuple[int, ...]
    combinations: Rows
    """(t, controllers) canonical combinations of the controlling levers."""
    radices: IntArray
    """(t, dependents) choices that each dependent lever has under a combination; 1 where it is inert."""
    ends: IntArray
    """(t,) number of designs up to and including each combination."""

    @property
    def size(self) -> int:
        """Number of canonical designs of the group."""
        return int(self.ends[-1])

    def write(self, numbers: IntArray, rows: Rows, rests: Sequence[int]) -> None:
        """Write the choices of the numbered designs into the group's columns of `rows`."""
        line = np.searchsorted(self.ends, numbers, side="right")
        rows[:, list(self.controllers)] = self.combinations[line]
        rest = numbers - np.concatenate([[0], self.ends])[line]
        for column, axis in enumerate(self.dependents):
            radix = self.radices[line, column]
            rows[:, axis] = np.where(radix > 1, rest % radix, rests[axis])
            rest = rest // radix


@dataclass(frozen=True)
class Space:
    """All architectures of a study."""

    axes: tuple[Axis, ...]
    pairs: tuple[Pair, ...] = ()

    @staticmethod
    def of(problem: Levers) -> "Space":
        """Space of all architectures of a study."""
        inert = {name: [Inert(*rule) for rule in rules] for name, rules in problem.conditions.items()}
        return space(problem.levers, inert, PAIRS)

    @cached_property
    def names(self) -> tuple[str, ...]:
        """Levers in the order of the columns of `Designs`."""
        return tuple(axis.name for axis in self.axes)

    @cached_property
    def structure(self) -> Structure:
        """Dependences between the levers."""
        return structure(self.axes, self.pairs)

    @cached_property
    def groups(self) -> tuple[Group, ...]:
        """Independent groups of levers."""
        return tuple(_group(self.structure, axes) for axes in self.structure.groups())

    @cached_property
    def moves(self) -> tuple[int, int, int, int]:
        """Neighbours of a design, at most: by exchange of a kind, by one lever, by two long ones, by any two."""
        kinds = sum(len(self._words(columns)) for columns in self._kin)
        diagonals = len(list(combinations(self._walked, 2))) * len(SHORT) ** 2
        return kinds, self._far.shape[1], diagonals, self._couples.shape[1]

    @cached_property
    def parts(self) -> IntArray:
        """(axes,) part of a system that each lever belongs to: the first lever whose name begins with the same word."""
        words = [name.partition(".")[0] for name in self.names]
        return np.array([words.index(word) for word in words])

    @cached_property
    def _walked(self) -> tuple[int, ...]:
        """Columns of the long ordered levers, whose neighbours are at growing distances."""
        return tuple(column for column, axis in enumerate(self.axes) if axis.ordered and len(axis.choices) > LONG)

    @cached_property
    def size(self) -> int:
        """Exact number of canonical designs."""
        return prod(group.size for group in self.groups)

    def numbered(self, numbers: IntArray) -> Designs:
        """Designs by their number, 0 <= number < size; defined where the size fits 62 bits."""
        rows = np.zeros((len(numbers), len(self.axes)), dtype=np.int16)
        rest = np.asarray(numbers, dtype=np.int64)
        for group in self.groups:
            group.write(rest % group.size, rows, self.structure.rests)
            rest = rest // group.size
        return Designs(rows, self.names)

    def blocks(self, start: int = 0, length: int = BLOCK) -> Iterator[Designs]:
        """All designs from a number on, in blocks."""
        for first in range(start, self.size, length):
            yield self.numbered(np.arange(first, min(first + length, self.size)))

    def sample(self, count: int, seed: int | Sequence[int]) -> Designs:
        """Distinct designs, uniform over the canonical ones; the whole space when it is no larger."""
        rng = np.random.default_rng(seed)
        if count >= self.size:
            return self.numbered(np.arange(self.size))
        if self.size <= 4 * count:
            return self.numbered(np.sort(rng.choice(self.size, count, replace=False)))
        drawn = self._draw(rng, count)
        while len(drawn) < count:
            drawn = _distinct(np.concatenate([drawn, self._draw(rng, count - len(drawn))]))
        return Designs(drawn, self.names)

    def _draw(self, rng: np.random.Generator, count: int) -> Rows:
        rows = np.zeros((count, len(self.axes)), dtype=np.int16)
        for group in self.groups:
            group.write(rng.integers(group.size, size=count), rows, self.structure.rests)
        return _distinct(rows)

    def canonical(self, rows: Rows) -> Designs:
        """(n, axes) any rows, each replaced by the one design that it means."""
        return Designs(self.structure.canonical(rows), self.names)

    def active(self, designs: Designs) -> Mapping[str, np.ndarray]:
        """Lever -> (n,) whether it has an effect."""
        active = self.structure.active(designs.rows)
        return {name: active[:, column] for column, name in enumerate(self.names)}

    def neighbours(self, designs: Designs) -> tuple[Designs, IntArray]:
        """Designs that differ in one lever, and the row of `designs` that each came from; none twice.

        A long ordered lever takes steps of 1, 2, 4, ... either way, any other lever each of its choices.
        """
        return self._moved(designs, self._far, np.arange(self._far.shape[1])[None])

    def _moved(self, designs: Designs, moves: IntArray, together: IntArray) -> tuple[Designs, IntArray]:
        """Designs after some moves each: `together` (k, c) are the moves of each of the c neighbours of a design."""
        columns, choices, steps = moves
        sizes = np.array(self.structure.sizes)[columns]
        taken = designs.rows[:, columns].astype(np.int64)
        targets = np.where(steps != 0, np.clip(taken + steps, 0, sizes - 1), choices)
        changed = targets != taken
        owner, neighbour = np.nonzero(reduce(np.logical_and, (changed[:, own] for own in together)))
        rows, place = designs.rows[owner], np.arange(len(owner))
        for own in together[:, neighbour]:
            rows[place, columns[own]] = targets[owner, own]
        return self._fresh(designs, rows, owner)

    @cached_property
    def _far(self) -> IntArray:
        """(3, moves) column of each move of one lever, and the choice or the step that it takes."""
        return _moves(self.axes, [axis.ordered and len(axis.choices) > LONG for axis in self.axes], far=True)

    @cached_property
    def _close(self) -> IntArray:
        """(3, moves) the same, where numbers of any range take a step of one only."""
        return _moves(self.axes, [axis.ordered for axis in self.axes], far=False)

    @cached_property
    def _couples(self) -> IntArray:
        """(2, c) any two close moves of different levers."""
        columns = self._close[0]
        first, second = np.triu_indices(len(columns), 1)
        return np.stack([first, second])[:, columns[first] != columns[second]]

    def twofold(self, designs: Designs) -> tuple[Designs, IntArray]:
        """Designs that differ in any two levers, and the row that each came from; none twice.

        Each takes any choice of a list, or the number next to its own.
        """
        return self._moved(designs, self._close, self._couples)

    def diagonals(self, designs: Designs) -> tuple[Designs, IntArray]:
        """Designs that differ by short steps of two long ordered levers, and the row that each came from; none twice.

        Along a requirement that binds, one lever gives what another takes: no step of one lever gets there.
        """
        moved, source = [designs.rows[:0]], [np.zeros(0, dtype=np.int64)]
        steps = np.array([(one, other) for one in SHORT for other in SHORT])
        sizes = np.array(self.structure.sizes)
        for pair in combinations(self._walked, 2):
            targets = designs.rows[:, None, pair].astype(np.int64) + steps
            owner, step = np.nonzero(((targets >= 0) & (targets < sizes[list(pair)])).all(axis=2))
            rows = designs.rows[owner].copy()
            rows[:, pair] = targets[owner, step]
            moved.append(rows)
            source.append(owner)
        return self._fresh(designs, np.concatenate(moved), np.concatenate(source))

    def exchanged(self, designs: Designs) -> tuple[Designs, IntArray]:
        """Designs in which all levers that choose among the same things take one of them, and the row each came from.

        A system of one device type may lie behind several worse ones of two. Levers that choose nothing stay so.
        """
        moved, source = [designs.rows[:0]], [np.zeros(0, dtype=np.int64)]
        for columns in self._kin:
            lists = [self.axes[column].choices for column in columns]
            own = designs.rows[:, columns]
            still = own == [choices.index(NEUTRAL) if NEUTRAL in choices else -1 for choices in lists]
            for choice in self._words(columns):
                target = np.array([choices.index(choice) if choice in choices else -1 for choices in lists])
                fits = np.flatnonzero((still | (target >= 0)).all(axis=1))
                rows = designs.rows[fits]
                rows[:, columns] = np.where(still, own, target)[fits]
                moved.append(rows)
                source.append(fits)
        return self._fresh(designs, np.concatenate(moved), np.concatenate(source))

    def _words(self, columns: tuple[int, ...]) -> list[str]:
        """Words that some levers choose among."""
        return sorted({str(choice) for column in columns for choice in self.axes[column].choices} - {NEUTRAL})

    @cached_property
    def _kin(self) -> tuple[tuple[int, ...], ...]:
        """Columns of each group of levers that are lists of words with some of them in common."""
        found: list[tuple[set[int], set[Choice]]] = []
        for column, axis in enumerate(self.axes):
            own: set[Choice] = {*axis.choices} - {NEUTRAL}
            if axis.ordered or not all(isinstance(choice, str) for choice in own):
                continue
            kin = [group for group in found if group[1] & own]
            found = [group for group in found if not group[1] & own]
            found.append(({column}.union(*(group[0] for group in kin)), own.union(*(group[1] for group in kin))))
        return tuple(tuple(sorted(columns)) for columns, _ in found if len(columns) > 1)

    def _fresh(self, designs: Designs, moved: Rows, source: IntArray) -> tuple[Designs, IntArray]:
        """Canonical form of moved rows that mean another design, each once, and where they came from."""
        rows = self.structure.canonical(moved)
        fresh = _first_of_each(rows) & (rows != designs.rows[source]).any(axis=1)
        return Designs(rows[fresh], self.names), source[fresh]

    def decode(self, row: Rows | Sequence[int]) -> dict[str, Choice]:
        """Lever -> choice of one design."""
        return {axis.name: axis.choices[int(index)] for axis, index in zip(self.axes, row, strict=True)}

    def encode(self, *choices: Mapping[str, Choice]) -> Designs:
        """Canonical designs from lever -> choice; a lever that is not named rests."""
        rows = [
            [axis.choices.index(given[axis.name]) if axis.name in given else axis.rest for axis in self.axes]
            for given in choices
        ]
        return self.canonical(np.array(rows, dtype=np.int16).reshape(-1, len(self.axes)))


def space(
    levers: Mapping[str, Sequence[Choice]], inert: Mapping[str, Sequence[Inert]], pairs: Sequence[Pair] = ()
) -> Space:
    """Space from levers with their choices, the conditions under which a lever is inert, and device pairs.

    >>> without_pool = Inert("pool", frozenset(["none"]))
    >>> small = space({"pool": ("none", "cxl"), "size": (1, 2, 4)}, {"size": [without_pool]})
    >>> small.size
    4
    >>> small.decode(small.numbered(np.array([3])).rows[0])
    {'pool': 'cxl', 'size': 4}
    """
    axes = [Axis(name, tuple(choices), tuple(inert.get(name, ()))) for name, choices in levers.items()]
    return Space(tuple(axes), tuple(pairs))


def _group(tree: Structure, axes: tuple[int, ...]) -> Group:
    controlling = tree.controllers()
    controllers = tuple(axis for axis in axes if axis in controlling)
    dependents = tuple(axis for axis in axes if axis not in controlling)
    sizes = [tree.sizes[axis] for axis in controllers]
    if prod(sizes) > ENUMERABLE:
        raise _uncountable(tree, controllers, f"{prod(sizes):.2g} combinations of levers that decide about others")
    rows = np.tile(np.array(tree.rests, dtype=np.int16), (prod(sizes), 1))
    rows[:, list(controllers)] = np.stack(np.unravel_index(np.arange(prod(sizes)), sizes), axis=1) if sizes else 0
    kept = rows[(tree.canonical(rows) == rows).all(axis=1)]
    radices = np.where(tree.active(kept), np.array(tree.sizes), 1)[:, list(dependents)].astype(np.int64)
    kinds, counts = np.unique(radices, axis=0, return_counts=True)
    total = sum(prod(line) * count for line, count in zip(kinds.tolist(), counts.tolist(), strict=True))
    if total >= COUNTABLE:
        raise _uncountable(tree, axes, f"{total:.2g} combinations of levers that depend on each other")
    ends = np.cumsum(radices.prod(axis=1))
    return Group(controllers, dependents, kept[:, list(controllers)], radices, ends)


def _uncountable(tree: Structure, axes: tuple[int, ...], what: str) -> SpecError:
    """Error for levers whose combinations cannot be numbered."""
    longest = sorted(axes, key=lambda axis: -tree.sizes[axis])[:4]
    told = ", ".join(f"{tree.names[axis]} ({tree.sizes[axis]:,} choices)" for axis in longest)
    why = f"{what} are more than can be numbered ({COUNTABLE:.2g}): use fewer steps in {told}"
    return SpecError([Mistake("", 0, 0, f"levers.{tree.names[longest[0]]}", why)])


def _moves(axes: Sequence[Axis], stepping: Sequence[bool], far: bool) -> IntArray:
    """(3, moves) column, choice and step: of levers that step, by 1 or by 1, 2, 4, ... either way; else each choice."""
    moves: list[tuple[int, int, int]] = []
    for column, (axis, steps) in enumerate(zip(axes, stepping, strict=True)):
        size = len(axis.choices)
        lengths = [2**power for power in range(size.bit_length() if far else 1)]
        walked = [(column, 0, sign * length) for sign in (-1, 1) for length in lengths]
        moves += walked if steps else [(column, choice, 0) for choice in range(size)]
    return np.array(moves, dtype=np.int64).reshape(-1, 3).T


def _first_of_each(rows: Rows) -> np.ndarray:
    fresh = np.zeros(len(rows), dtype=np.bool_)
    wide = np.ascontiguousarray(rows, dtype=np.int16)
    if wide.size:
        fresh[np.unique(wide.view(f"V{2 * wide.shape[1]}").ravel(), return_index=True)[1]] = True
    return fresh


def _distinct(rows: Rows) -> Rows:
    return np.asarray(rows[_first_of_each(rows)], dtype=np.int16)
