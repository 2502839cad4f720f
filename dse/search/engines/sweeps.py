"""Engines that do not learn: every design, designs at random, designs spread evenly."""

from collections.abc import Callable
from functools import partial

import numpy as np
from scipy.stats import qmc

from dse.search.axes import Designs
from dse.search.engines.proposals import Proposal, Proposals, Start, State, remainder
from dse.search.engines.seen import Seen
from dse.search.space import Space

BATCH = 256
"""Designs per step of a sampling engine; a power of two keeps Sobol points balanced."""

STEP = 4096
"""Designs per step of an enumeration."""

DRY = 32
"""Steps without a new design after which a sampling engine enumerates what is left, or stops."""


def exhaustive(start: Start, state: State | None) -> Proposals:
    """Every design once, in the order of the numbering."""
    first = int(state["next"]) if state else 0
    known = set(start.designs.identities())
    for block in start.space.blocks(first, STEP):
        fresh = block.take(np.array([key not in known for key in block.identities()], dtype=np.bool_))
        if len(fresh):
            yield Proposal(fresh, partial(_position, first))
        first += STEP


def _position(first: int) -> State:
    return {"next": np.array(first)}


def random(start: Start, state: State | None) -> Proposals:
    """Designs drawn uniformly over the canonical ones, never twice."""
    yield from _sampling(_uniform, start, state)


def sobol(start: Start, state: State | None) -> Proposals:
    """Scrambled Sobol points over the levers, never twice."""
    yield from _sampling(_spread, start, state)


def _uniform(space: Space, seed: int, step: int) -> Designs:
    return space.sample(BATCH, (seed, 1, step))


def _spread(space: Space, seed: int, step: int) -> Designs:
    sizes = np.array(space.structure.sizes)
    sequence = qmc.Sobol(len(sizes), rng=np.random.default_rng((seed, 2)))
    if step:
        sequence.fast_forward(step * BATCH)
    rows = np.floor(sequence.random(BATCH) * sizes).astype(np.int16)
    return space.canonical(np.minimum(rows, (sizes - 1).astype(np.int16)))


def _sampling(draw: Callable[[Space, int, int], Designs], start: Start, state: State | None) -> Proposals:
    seen = Seen(state["seen"] if state else start.designs.rows)
    step, dry = int(state["step"]) if state else 0, 0
    while dry < DRY and len(seen) < start.space.size:
        drawn = draw(start.space, start.seed, step)
        fresh = drawn.take(np.array(seen.fresh(drawn), dtype=np.int64))
        dry = 0 if len(fresh) else dry + 1
        if len(fresh):
            yield Proposal(fresh, partial(_progress, seen, fresh, step))
        step += 1
    for fresh in remainder(start.space, seen):
        yield Proposal(fresh, partial(_progress, seen, fresh, step))


def _progress(seen: Seen, fresh: Designs, step: int) -> State:
    return {"seen": seen.rows(without=fresh), "step": np.array(step)}
