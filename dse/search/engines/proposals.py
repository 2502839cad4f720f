"""The contract between a search engine and a run: an engine yields designs and is sent their scores.

An engine is a generator. It starts from a sample that has been scored already, and from its own saved
state when a run is resumed. Random numbers come from (seed, step), so a state is plain arrays.
"""

from collections.abc import Callable, Generator, Iterator
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


GENERATION = 64
"""Designs that a search proposes together, at first: few, so that each learns from those before. It suits evaluations
that take milliseconds, beside which the work of a generation counts little."""


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
    generation: int = GENERATION
    """Designs proposed together, at first."""


Proposals: TypeAlias = Generator[Proposal, Feedback, None]
Engine: TypeAlias = Callable[[Start, State | None], Proposals]


def remainder(space: Space, seen: Seen) -> Iterator[Designs]:
    """Designs of a small space that were never proposed; nothing when the space is large."""
    if space.size <= SWEEPABLE:
        for block in space.blocks():
            fresh = seen.fresh(block)
            if len(fresh):
                yield block.take(fresh)
