"""Engines that do not learn: every design, designs at random, designs spread evenly."""

from collections.abc import Callable, Generator
from contextlib import closing
from functools import partial

import numpy as np

from dse.search.axes import Designs
from dse.search.engines import evolution
from dse.search.engines.proposals import Feedback, Proposal, Proposals, Start, State, remainder
from dse.search.engines.seen import Seen
from dse.search.space import Space

BATCH = 256
"""Designs per step of a sampling engine; a power of two keeps Sobol points balanced."""

STEP = 4096
"""Designs per step of an enumeration."""

LARGE = 100_000
"""Designs from which on an enumeration takes long enough for a search to lead it."""

SHARE = 0.02
"""Part of a large space that the search proposes."""

LED = "lead/"
"""What the names of the search's own state begin with."""

DRY = 32
"""Steps without a new design after which a sampling engine enumerates what is left, or stops."""


def exhaustive(start: Start, state: State | None) -> Proposals:
    """Every design once; in a large space those that a search proposes come first, then the order of the numbering."""
    lead = _lead(start, state) if start.space.size >= LARGE else None
    led = (yield from lead) if lead else Seen(start.designs.rows)
    first = int(state["next"]) if state and "next" in state else 0
    for block in start.space.blocks(first, STEP):
        fresh = block.take(~led.holds(block))
        if len(fresh):
            yield Proposal(fresh, partial(_position, first, led))
        first += STEP


def _lead(start: Start, state: State | None) -> Generator[Proposal, Feedback, Seen]:
    """Let a search go first, so that a sweep that is stopped early has found what there is; what was proposed then."""
    if state and "led" in state:
        return Seen(state["led"])
    begun = {name.removeprefix(LED): values for name, values in (state or {}).items() if name.startswith(LED)}
    led = Seen(begun["seen"] if begun else start.designs.rows)
    with closing(evolution.evolution_polish(start, begun or None)) as search:
        proposal = next(search, None)
        while proposal is not None and len(led) < SHARE * start.space.size:
            led.fresh(proposal.designs)
            feedback = yield Proposal(proposal.designs, partial(_leading, proposal.state))
            try:
                proposal = search.send(feedback)
            except StopIteration:
                proposal = None
    return led


def _leading(of_search: Callable[[], State]) -> State:
    return {f"{LED}{name}": values for name, values in of_search().items()}


def _position(first: int, led: Seen) -> State:
    return {"next": np.array(first), "led": led.rows()}


def random(start: Start, state: State | None) -> Proposals:
    """Designs drawn uniformly over the canonical ones, never twice."""
    yield from _sampling(_uniform, start, state)


def sobol(start: Start, state: State | None) -> Proposals:
    """Scrambled Sobol points over the levers, never twice."""
    yield from _sampling(_spread, start, state)


def _uniform(space: Space, seed: int, step: int) -> Designs:
    return space.sample(BATCH, (seed, 1, step))


def _spread(space: Space, seed: int, step: int) -> Designs:
    from scipy.stats import qmc  # three quarters of a second that only who draws such points should wait

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
        fresh = drawn.take(seen.fresh(drawn))
        dry = 0 if len(fresh) else dry + 1
        if len(fresh):
            yield Proposal(fresh, partial(_progress, seen, fresh, step))
        step += 1
    for fresh in remainder(start.space, seen):
        yield Proposal(fresh, partial(_progress, seen, fresh, step))


def _progress(seen: Seen, fresh: Designs, step: int) -> State:
    return {"seen": seen.rows(without=fresh), "step": np.array(step)}
