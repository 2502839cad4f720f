"""Evolution over architectures, with local search from representatives of the front.

An individual is an architecture with all its mappings. Its rank is the best layer that any of its rows
reaches, its worth the room that its rows of that layer have around them; infeasible ones come last, the
least violating first. Inert genes stay in the genotype, so that switching a lever on finds sensible values.
"""

from dataclasses import dataclass, replace
from functools import partial

import numpy as np

from dse.arrays import FloatArray, IntArray
from dse.search import pareto
from dse.search.axes import Designs, Rows
from dse.search.proposals import (
    Feedback,
    Proposal,
    Proposals,
    Start,
    State,
    recall,
    remainder,
    remember,
    unseen,
)
from dse.search.space import Space

BATCH = 256
"""Designs proposed per generation, and designs that survive it."""

TRIES = 6
"""Rounds of variation after which a generation without enough new children is filled with random designs."""

CROSSOVER = 0.9
"""Share of children that mix two parents."""

EPSILONS = (0.02, 0.005, 0.0)
"""Box sides [decades] of the representatives that local search starts from; 0 is every member."""

MEMORY = 0.8
"""Weight of the past in the running success of the two sources of children."""

LOST = 16
"""Least violating designs that local search starts from while nothing feasible is known."""

LEAST = 0.2
"""Smallest share of a generation that each source keeps, so that a source that recovers is noticed."""


@dataclass(frozen=True)
class Colony:
    """State between generations; arrays are replaced, never changed."""

    latent: Rows
    """(p, axes) genotypes, best first."""
    scores: FloatArray
    violation: FloatArray
    owner: IntArray
    """(m,) genotype that each row of scores belongs to."""
    front_scores: FloatArray
    """(f, k) non-dominated feasible rows of all designs seen."""
    front_rows: Rows
    """(f, axes) their designs."""
    success: FloatArray
    """(2,) running number of front rows per proposed design from variation and from local search."""
    generation: int


def evolution(start: Start, state: State | None) -> Proposals:
    """Variation and selection only."""
    yield from _search(start, state, local=(0.0, 0.0))


def polish(start: Start, state: State | None) -> Proposals:
    """One-lever neighbours of the front's representatives, until none improves."""
    yield from _search(start, state, local=(1.0, 1.0))


def evolution_polish(start: Start, state: State | None) -> Proposals:
    """Variation and local search side by side, each in proportion to its recent success."""
    yield from _search(start, state, local=(LEAST, 1 - LEAST))


def _search(start: Start, state: State | None, local: tuple[float, float]) -> Proposals:
    space, names = start.space, start.space.names
    colony = _restored(state) if state else _founded(start)
    seen = recall(state["seen"], names) if state else set(start.designs.identities())
    expanded = recall(state["expanded"], names) if state else set()
    while len(seen) < space.size:
        rng = np.random.default_rng((start.seed, 3, colony.generation))
        near, opened = _neighbours(space, colony, seen, expanded, round(BATCH * _share(colony, local)))
        wanted = 0 if local[0] == 1 else BATCH - len(near)
        varied = _children(space, colony, rng, seen, wanted)
        latent = np.concatenate([near, varied])
        if len(latent) == 0:
            break
        designs = space.canonical(latent)
        feedback = yield Proposal(designs, partial(_saved, colony, (seen, designs), (expanded, opened)))
        colony = _selected(_with(colony, latent, designs, feedback, len(near)))
    for fresh in remainder(space, seen) if local[0] < 1 else ():
        yield Proposal(fresh, partial(_saved, colony, (seen, fresh), (expanded, fresh.take(slice(0)))))


def _share(colony: Colony, bounds: tuple[float, float]) -> float:
    varied, near = colony.success
    return float(np.clip(near / (varied + near), *bounds))


def _founded(start: Start) -> Colony:
    axes, k = start.designs.rows.shape[1], start.feedback.scores.shape[1]
    empty = Colony(
        latent=np.zeros((0, axes), dtype=np.int16), scores=np.zeros((0, k)), violation=np.zeros(0),
        owner=np.zeros(0, dtype=np.int64), front_scores=np.zeros((0, k)),
        front_rows=np.zeros((0, axes), dtype=np.int16), success=np.ones(2), generation=0,
    )  # fmt: skip
    grown = _selected(_with(empty, start.designs.rows, start.designs, start.feedback, 0))
    return replace(grown, success=np.ones(2))


def _with(colony: Colony, latent: Rows, designs: Designs, feedback: Feedback, near: int) -> Colony:
    """Add scored children; the first `near` of them came from local search."""
    good = np.flatnonzero(feedback.violation <= 0)
    scores = np.concatenate([colony.front_scores, feedback.scores[good]])
    rows = np.concatenate([colony.front_rows, designs.rows[feedback.design[good]]])
    kept = np.flatnonzero(pareto.nondominated(scores))
    born = feedback.design[good[kept[kept >= len(colony.front_rows)] - len(colony.front_rows)]]
    local = float((born < near).sum())
    gains = np.array([(len(born) - local) / max(len(latent) - near, 1), local / max(near, 1)])
    proposed = np.array([len(latent) > near, near > 0])
    success = np.where(proposed, MEMORY * colony.success + (1 - MEMORY) * gains, colony.success)
    return Colony(
        latent=np.concatenate([colony.latent, latent]),
        scores=np.concatenate([colony.scores, feedback.scores]),
        violation=np.concatenate([colony.violation, feedback.violation]),
        owner=np.concatenate([colony.owner, feedback.design + len(colony.latent)]),
        front_scores=scores[kept],
        front_rows=rows[kept],
        success=np.maximum(success, 1e-6),
        generation=colony.generation + 1,
    )


def _selected(colony: Colony) -> Colony:
    """Keep the best genotypes, best first."""
    count = len(colony.latent)
    good = colony.violation <= 0
    layer = np.full(len(good), np.iinfo(np.int64).max)
    room = np.zeros(len(good))
    if good.any():
        layer[good] = pareto.ranks(colony.scores[good])
        room[good] = pareto.crowding(colony.scores[good], layer[good])
    best = np.full(count, np.iinfo(np.int64).max)
    np.minimum.at(best, colony.owner, layer)
    worth = np.zeros(count)
    np.add.at(worth, colony.owner, np.where(layer == best[colony.owner], room, 0.0))
    violation = np.full(count, np.inf)
    np.minimum.at(violation, colony.owner, colony.violation)
    order = np.lexsort([np.arange(count), -worth, violation, best])[:BATCH]
    place = np.full(count, -1)
    place[order] = np.arange(len(order))
    rows = np.flatnonzero(place[colony.owner] >= 0)
    return replace(
        colony,
        latent=colony.latent[order],
        scores=colony.scores[rows],
        violation=colony.violation[rows],
        owner=place[colony.owner[rows]],
    )


def _children(space: Space, colony: Colony, rng: np.random.Generator, seen: set[bytes], wanted: int) -> Rows:
    """(n, axes) new genotypes by tournament, crossover and mutation; random ones where these repeat."""
    found: list[Rows] = [np.zeros((0, len(space.axes)), dtype=np.int16)]
    for attempt in range(TRIES):
        missing = wanted - sum(len(block) for block in found)
        if missing <= 0:
            break
        if attempt < TRIES - 1:
            latent = _mutated(space, _crossed(colony, rng, missing), rng)
        else:
            latent = space.sample(missing, rng.integers(2**31, size=2).tolist()).rows
        found.append(_new(space, latent, seen))
    return np.concatenate(found)


def _new(space: Space, latent: Rows, seen: set[bytes]) -> Rows:
    fresh = []
    for row, key in enumerate(space.canonical(latent).identities()):
        if key not in seen:
            seen.add(key)
            fresh.append(row)
    return np.asarray(latent[fresh], dtype=np.int16)


def _crossed(colony: Colony, rng: np.random.Generator, count: int) -> Rows:
    """Uniform crossover of two parents, each the better of two drawn; genotypes are ordered best first."""
    mother, father = rng.integers(len(colony.latent), size=(2, 2, count)).min(axis=0)
    mixed = rng.random((count, 1)) < CROSSOVER
    swap = mixed & (rng.random((count, colony.latent.shape[1])) < 0.5)
    return np.asarray(np.where(swap, colony.latent[father], colony.latent[mother]), dtype=np.int16)


def _mutated(space: Space, latent: Rows, rng: np.random.Generator) -> Rows:
    """Change one lever on average: ordered levers half the time to a neighbouring choice, else to any."""
    sizes = np.array(space.structure.sizes)
    ordered = np.array([axis.ordered for axis in space.axes])
    hit = rng.random(latent.shape) < 1.0 / max((sizes > 1).sum(), 1)
    small = ordered & (rng.random(latent.shape) < 0.5)
    step = np.clip(latent + rng.choice([-1, 1], size=latent.shape), 0, sizes - 1)
    anywhere = (latent + 1 + rng.integers(np.maximum(sizes - 1, 1), size=latent.shape)) % sizes
    return np.where(hit, np.where(small, step, anywhere), latent).astype(np.int16)


def _neighbours(
    space: Space, colony: Colony, seen: set[bytes], expanded: set[bytes], wanted: int
) -> tuple[Rows, Designs]:
    """(n, axes) unseen one-lever neighbours of front members not expanded yet, and these members."""
    found: list[Rows] = [np.zeros((0, len(space.axes)), dtype=np.int16)]
    opened: list[Rows] = [found[0]]
    count = 0
    for epsilon in EPSILONS:
        for member in _candidates(space, colony, expanded, epsilon) if count < wanted else ():
            if count >= wanted:
                break
            expanded.update(member.identities())
            opened.append(member.rows)
            fresh = unseen(space.neighbours(member)[0], seen)
            found.append(fresh.rows)
            count += len(fresh)
    return np.concatenate(found), Designs(np.concatenate(opened), space.names)


def _candidates(space: Space, colony: Colony, expanded: set[bytes], epsilon: float) -> list[Designs]:
    """Representatives of the front that were not expanded, the one that covers most by itself first."""
    if len(colony.front_scores) == 0:
        ordered = space.canonical(colony.latent[:LOST])
    else:
        chosen = pareto.representatives(colony.front_scores, epsilon)
        worth = pareto.contributions(colony.front_scores[chosen])
        ordered = Designs(colony.front_rows[chosen[np.argsort(-worth, kind="stable")]], space.names)
    taken: set[bytes] = set()
    members = []
    for row, key in enumerate(ordered.identities()):
        if key not in expanded and key not in taken:
            taken.add(key)
            members.append(ordered.take(np.array([row])))
    return members


def _saved(colony: Colony, seen: tuple[set[bytes], Designs], expanded: tuple[set[bytes], Designs]) -> State:
    """State before a proposal: what was seen and expanded, less what this proposal added."""
    axes = colony.latent.shape[1]
    fields = {name: np.asarray(value) for name, value in vars(colony).items()}
    before = {"seen": seen, "expanded": expanded}
    sets = {name: remember(keys - set(new.identities()), axes) for name, (keys, new) in before.items()}
    return fields | sets


def _restored(state: State) -> Colony:
    fields = {name: state[name] for name in Colony.__dataclass_fields__ if name != "generation"}
    return Colony(**fields, generation=int(state["generation"]))
