"""The contract between a search engine and a run: an engine yields designs and is sent their scores.

An engine is a generator. It starts from a sample that has been scored already, and from its own saved
state when a run is resumed. Random numbers come from (seed, step), so a state is plain arrays.
"""

from collections.abc import Callable, Generator, Iterable, Iterator
from dataclasses import dataclass
from typing import NamedTuple, TypeAlias

import numpy as np

from dse.arrays import FloatArray, IntArray
from dse.search.axes import Designs
from dse.search.engines.seen import Seen
from dse.search.space import BLOCK, Space

State: TypeAlias = dict[str, np.ndarray]
"""What an engine needs to propose again what it proposed last."""

SWEEPABLE = 64 * BLOCK
"""Spaces up to this size are finished by enumeration when an engine finds nothing new."""


class Feedback(NamedTuple):
    """Scores of a block of designs; each design has one row or more."""

    scores: FloatArray
    """(m, k) objectives in decades, less is better."""
    violation: FloatArray
    """(m,) zero where feasible."""
    design: IntArray
    """(m,) row of the block that a result belongs to."""


class Proposal(NamedTuple):
    """Designs to be scored, and the state from which the engine would propose them again."""

    designs: Designs
    state: Callable[[], State]


@dataclass(frozen=True)
class Start:
    """Where a search begins: the space, the seed, and a scored sample."""

    space: Space
    seed: int
    designs: Designs
    feedback: Feedback


Proposals: TypeAlias = Generator[Proposal, Feedback, None]
Engine: TypeAlias = Callable[[Start, State | None], Proposals]


def unseen(designs: Designs, seen: set[bytes]) -> Designs:
    """Drop designs that were proposed before, and repetitions; remember the rest as seen."""
    keep: list[int] = []
    for row, key in enumerate(designs.identities()):
        if key not in seen:
            seen.add(key)
            keep.append(row)
    return designs.take(np.array(keep, dtype=np.int64))


def remember(seen: Iterable[bytes], axes: int) -> np.ndarray:
    """Keys as an (n, axes) array, sorted so that equal sets give equal files."""
    return np.frombuffer(b"".join(sorted(seen)), dtype=np.int16).reshape(-1, axes)


def recall(rows: np.ndarray, names: tuple[str, ...]) -> set[bytes]:
    """Keys from the array that `remember` made."""
    return set(Designs(rows.astype(np.int16), names).identities())


def remainder(space: Space, seen: Seen) -> Iterator[Designs]:
    """Designs of a small space that were never proposed; nothing when the space is large."""
    if space.size <= SWEEPABLE:
        for block in space.blocks():
            fresh = seen.fresh(block)
            if fresh:
                yield block.take(np.array(fresh))
