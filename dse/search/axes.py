"""The axes of a space: levers with their choices, when a lever is inert, which levers are interchangeable."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import NamedTuple, TypeAlias

import numpy as np
from numpy.typing import NDArray

from dse.arrays import BoolArray, IntArray

Choice: TypeAlias = str | float | int
Rows: TypeAlias = NDArray[np.int16]

NEUTRAL = "none"
"""The choice that stands for absence; a lever without it rests on its first choice."""


class Inert(NamedTuple):
    """A lever has no effect while another lever takes one of these choices."""

    lever: str
    choices: frozenset[Choice]


class Pair(NamedTuple):
    """Two levers whose choices are exchangeable: (a, b) is the same design as (b, a), (a, a) as (a, none)."""

    first: str
    second: str
    distinct: tuple[Inert, ...] = ()
    """While one of these levers takes one of these choices the two play different parts."""


class Exchange(NamedTuple):
    """A pair as indices."""

    first: int
    second: int
    forward: IntArray
    """Choice of the first lever -> the same choice of the second, or -1."""
    backward: IntArray
    """Choice of the second lever -> the same choice of the first, or -1."""
    none: int
    """Index of `none` in the second lever, or -1."""
    distinct: tuple[tuple[int, BoolArray], ...]
    """(axis, mask over its choices under which the two are not exchangeable)."""


@dataclass(frozen=True)
class Axis:
    """One lever of a study."""

    name: str
    choices: tuple[Choice, ...]
    inert: tuple[Inert, ...] = ()

    @property
    def rest(self) -> int:
        """Index of the choice that an inert lever shows."""
        return self.choices.index(NEUTRAL) if NEUTRAL in self.choices else 0

    @cached_property
    def ordered(self) -> bool:
        """Whether neighbouring choices are alike: all of them are numbers."""
        return all(isinstance(choice, (int, float)) for choice in self.choices)


@dataclass(frozen=True)
class Designs:
    """A block of candidate architectures: one row of small integers each."""

    rows: Rows
    """(n, axes) index of the choice that each lever takes; read-only."""
    names: tuple[str, ...]
    """Levers in the order of the columns."""

    def __post_init__(self) -> None:
        """Make the rows read-only."""
        self.rows.setflags(write=False)

    def __len__(self) -> int:
        """Count the designs."""
        return len(self.rows)

    def __getitem__(self, lever: str) -> IntArray:
        """(n,) index of the choice that one lever takes."""
        return self.rows[:, self.names.index(lever)].astype(np.int64)

    def take(self, rows: IntArray | BoolArray | slice) -> "Designs":
        """Select designs."""
        return Designs(self.rows[rows].copy(), self.names)

    def identities(self) -> list[bytes]:
        """Identity of each design, hashable."""
        wide = np.ascontiguousarray(self.rows, dtype=np.int16)
        keys: list[bytes] = wide.view(f"V{2 * wide.shape[1]}").ravel().tolist() if wide.size else []
        return keys


@dataclass(frozen=True)
class Structure:
    """How the axes depend on each other, as indices: what canonical form, counting and sampling need."""

    names: tuple[str, ...]
    sizes: tuple[int, ...]
    rests: tuple[int, ...]
    conditions: tuple[tuple[int, int, BoolArray], ...]
    """(axis, controlling axis, mask over the latter's choices that make the former inert), parents first."""
    pairs: tuple[Exchange, ...]

    def active(self, rows: Rows) -> BoolArray:
        """(n, axes) whether each lever has an effect; an inert lever makes those it controls inert."""
        active = np.ones(rows.shape, dtype=np.bool_)
        for axis, parent, mask in self.conditions:
            active[:, axis] &= active[:, parent] & ~mask[rows[:, parent]]
        return active

    def canonical(self, rows: Rows) -> Rows:
        """(n, axes) the one row that stands for all rows of the same meaning."""
        rested = self._rest(rows)
        active = self.active(rested)
        for first, second, forward, backward, none, distinct in self.pairs:
            a, b = rested[:, first].astype(np.int64), rested[:, second].astype(np.int64)
            both = active[:, first] & active[:, second]
            for axis, mask in distinct:
                both &= ~(active[:, axis] & mask[rested[:, axis]])
            twin = both & (forward[a] == b)
            swap = both & ~twin & (backward[b] >= 0) & (forward[a] >= 0) & (backward[b] < a) & (b != none)
            rested[swap, first], rested[swap, second] = backward[b[swap]], forward[a[swap]]
            if none >= 0:
                rested[twin, second] = none
        return self._rest(rested)

    def _rest(self, rows: Rows) -> Rows:
        return np.where(self.active(rows), rows, np.array(self.rests, dtype=np.int16)).astype(np.int16)

    def controllers(self) -> frozenset[int]:
        """Axes that decide about others, or are exchangeable with another."""
        parents = {parent for _, parent, _ in self.conditions}
        return frozenset(parents | {axis for link in self._links() for axis in link})

    def _links(self) -> list[tuple[int, int]]:
        deciders = [(pair.first, axis) for pair in self.pairs for axis, _ in pair.distinct]
        return [(pair.first, pair.second) for pair in self.pairs] + deciders

    def groups(self) -> list[tuple[int, ...]]:
        """Axes that depend on each other, directly or through others; every axis is in one group."""
        group = list(range(len(self.sizes)))
        for one, other in [c[:2] for c in self.conditions] + self._links():
            old, new = group[other], group[one]
            group = [new if member == old else member for member in group]
        members: dict[int, list[int]] = {}
        for axis, label in enumerate(group):
            members.setdefault(label, []).append(axis)
        return [tuple(axes) for axes in members.values()]


def structure(axes: Sequence[Axis], pairs: Iterable[Pair]) -> Structure:
    """Translate names into indices; conditions on levers that the study does not vary are dropped."""
    place = {axis.name: index for index, axis in enumerate(axes)}
    conditions = [
        (place[axis.name], *_mask(place, axes, rule)) for axis in axes for rule in axis.inert if rule.lever in place
    ]
    return Structure(
        names=tuple(axis.name for axis in axes),
        sizes=tuple(len(axis.choices) for axis in axes),
        rests=tuple(axis.rest for axis in axes),
        conditions=tuple(sorted(conditions, key=lambda item: (_depth(item[0], conditions), item[0]))),
        pairs=tuple(_pair(place, axes, pair) for pair in pairs if {pair.first, pair.second} <= place.keys()),
    )


def _depth(axis: int, conditions: Sequence[tuple[int, int, BoolArray]], above: frozenset[int] = frozenset()) -> int:
    parents = {parent for child, parent, _ in conditions if child == axis}
    if axis in above:
        raise ValueError("two levers control each other: the conditions of a space must not form a circle")
    return 1 + max((_depth(parent, conditions, above | {axis}) for parent in parents), default=-1)


def _mask(place: Mapping[str, int], axes: Sequence[Axis], rule: Inert) -> tuple[int, BoolArray]:
    axis = place[rule.lever]
    return axis, np.array([choice in rule.choices for choice in axes[axis].choices], dtype=np.bool_)


def _pair(place: Mapping[str, int], axes: Sequence[Axis], pair: Pair) -> Exchange:
    first, second = axes[place[pair.first]].choices, axes[place[pair.second]].choices
    forward = np.array([second.index(choice) if choice in second else -1 for choice in first], dtype=np.int64)
    backward = np.array([first.index(choice) if choice in first else -1 for choice in second], dtype=np.int64)
    none = second.index(NEUTRAL) if NEUTRAL in second else -1
    distinct = tuple(_mask(place, axes, rule) for rule in pair.distinct if rule.lever in place)
    return Exchange(place[pair.first], place[pair.second], forward, backward, none, distinct)
