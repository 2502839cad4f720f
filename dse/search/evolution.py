"""Evolution over architectures, with local search from representatives of the front.

An individual is an architecture with all its mappings. Its rank is the best layer that any of its rows
reaches, its worth the room that its rows of that layer have around them; infeasible ones come last, the
least violating first. Inert genes stay in the genotype, so that switching a lever on finds sensible values.
"""

from dataclasses import dataclass, replace
from functools import partial

import numpy as np

from dse.arrays import BoolArray, FloatArray, IntArray
from dse.search import elites, pareto
from dse.search.axes import Designs, Rows
from dse.search.elites import Elites, parents
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

LARGEST = 4096
"""Most of either, when the front is long."""

THICK = 8
"""Front rows per design of a generation, where that makes it larger than usual."""

SPARE = 2
"""Children drawn per child that is wanted: some repeat what was seen, and drawing again costs more."""

TRIES = 6
"""Rounds of variation after which a generation without enough new children is filled with random designs."""

CROSSOVER = 0.9
"""Share of children that mix two parents."""

FRONT = 0.5
"""Share of mothers drawn evenly from the whole front, which may be far larger than a generation."""

SCOUTS = 0.25
"""Share of children whose parents are the best known with a choice of a lever or two, which the child keeps."""

DRIFT = 0.25
"""Share of children whose ordered levers move along the difference of two members of the front, so that levers
which only improve together move together."""

FARTHEST = 1.5
"""Most of such a difference that a child moves by."""

EPSILONS = (0.02, 0.005, 0.0)
"""Box sides [decades] of the representatives that local search starts from; 0 is every member."""

MEMORY = 0.8
"""Weight of the past in the running success of the two sources of children."""

NOTABLE = 0.01
"""Box side [decades] of the front on which success is counted: the last digits of a dense front are none."""

STRENGTHS = (1, 1, 2, 4)
"""Levers that mutation changes on average; a child draws one of these."""

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
    elites: Elites
    """Best designs known per choice of a lever, and per pair of choices."""
    success: FloatArray
    """(2,) running number of notable front rows per proposed design from variation and from local search."""
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
        near, opened = _neighbours(space, colony, seen, expanded, round(_batch(colony) * _share(colony, local)))
        wanted = 0 if local[0] == 1 else _batch(colony) - len(near)
        varied = _children(space, colony, rng, seen, wanted)
        latent = np.concatenate([near, varied])
        if len(latent) == 0:
            break
        designs = space.canonical(latent)
        feedback = yield Proposal(designs, partial(_saved, colony, (seen, designs), (expanded, opened)))
        best = elites.entered(colony.elites, space, designs, feedback)
        colony = replace(_selected(_with(colony, latent, designs, feedback, len(near))), elites=best)
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
        elites=elites.entered(elites.founded(start.space, start.feedback), start.space, start.designs, start.feedback),
    )  # fmt: skip
    grown = _selected(_with(empty, start.designs.rows, start.designs, start.feedback, 0))
    return replace(grown, success=np.ones(2))


def _with(colony: Colony, latent: Rows, designs: Designs, feedback: Feedback, near: int) -> Colony:
    """Add scored children; the first `near` of them came from local search."""
    good = np.flatnonzero(feedback.violation <= 0)
    scores = np.concatenate([colony.front_scores, feedback.scores[good]])
    rows = np.concatenate([colony.front_rows, designs.rows[feedback.design[good]]])
    kept = np.flatnonzero(pareto.nondominated(scores))
    opened = kept[pareto.representatives(scores[kept], NOTABLE)]
    born = feedback.design[good[opened[opened >= len(colony.front_rows)] - len(colony.front_rows)]]
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
        elites=colony.elites,
        success=np.maximum(success, 1e-6),
        generation=colony.generation + 1,
    )


def _selected(colony: Colony) -> Colony:
    """Keep the best genotypes, best first, and of their rows those of their layer."""
    layers = [*_layers(colony), _lost(colony)]
    order = np.concatenate([members for members, _ in layers])[: _batch(colony)]
    place = np.full(len(colony.latent), -1)
    place[order] = np.arange(len(order))
    rows = np.concatenate([rows for _, rows in layers])
    rows = rows[place[colony.owner[rows]] >= 0]
    return replace(
        colony,
        latent=colony.latent[order],
        scores=colony.scores[rows],
        violation=colony.violation[rows],
        owner=place[colony.owner[rows]],
    )


def _batch(colony: Colony) -> int:
    """Designs of a generation: more as the front grows, as each generation looks at all of it."""
    return int(np.clip(len(colony.front_scores) // THICK, BATCH, LARGEST))


def _layers(colony: Colony) -> list[tuple[IntArray, IntArray]]:
    """Genotypes and rows of each layer until a generation is full, the genotypes with most room first.

    A layer is the front of the rows of all genotypes that have no row in an earlier layer.
    """
    left, found, layers = np.flatnonzero(colony.violation <= 0), 0, []
    while len(left) and found < _batch(colony):
        rows = left[pareto.nondominated(colony.scores[left])]
        room = pareto.crowding(colony.scores[rows], np.zeros(len(rows), dtype=np.int64))
        members, place = np.unique(colony.owner[rows], return_inverse=True)
        worth = np.bincount(place, room)
        layers.append((members[np.argsort(-worth, kind="stable")], rows))
        taken = np.zeros(len(colony.latent), dtype=np.bool_)
        taken[members] = True
        left, found = left[~taken[colony.owner[left]]], found + len(members)
    return layers


def _lost(colony: Colony) -> tuple[IntArray, IntArray]:
    """Infeasible genotypes and their rows, the least violating first."""
    violation = np.full(len(colony.latent), np.inf)
    np.minimum.at(violation, colony.owner, colony.violation)
    order = np.argsort(violation, kind="stable")
    order = order[violation[order] > 0]
    return order, np.flatnonzero(violation[colony.owner] > 0)


def _children(space: Space, colony: Colony, rng: np.random.Generator, seen: set[bytes], wanted: int) -> Rows:
    """(n, axes) new genotypes by tournament, crossover and mutation; random ones where these repeat."""
    found: list[Rows] = [np.zeros((0, len(space.axes)), dtype=np.int16)]
    for attempt in range(TRIES):
        missing = wanted - sum(len(block) for block in found)
        if missing <= 0:
            break
        if attempt < TRIES - 1:
            latent = rng.permutation(_varied(space, colony, rng, SPARE * missing))
        else:
            latent = space.sample(missing, rng.integers(2**31, size=2).tolist()).rows
        found.append(_new(space, latent, seen, missing))
    return np.concatenate(found)


def _new(space: Space, latent: Rows, seen: set[bytes], most: int) -> Rows:
    fresh: list[int] = []
    for row, key in enumerate(space.canonical(latent).identities()):
        if len(fresh) == most:
            break
        if key not in seen:
            seen.add(key)
            fresh.append(row)
    return np.asarray(latent[fresh], dtype=np.int16)


def _varied(space: Space, colony: Colony, rng: np.random.Generator, count: int) -> Rows:
    """Children of the front and of the last generation, and scouts that keep the choices of a cell."""
    one, other, levers = parents(colony.elites, space, rng, round(SCOUTS * count))
    scouts = _mutated(space, _mixed(one, other, rng), rng)
    np.put_along_axis(scouts, levers, np.take_along_axis(one, levers, axis=1), axis=1)
    return np.concatenate([_mutated(space, _crossed(space, colony, rng, count - len(levers)), rng), scouts])


def _mixed(mother: Rows, father: Rows, rng: np.random.Generator) -> Rows:
    """Uniform crossover of most pairs of parents; the others' child is the mother."""
    mixed = rng.random((len(mother), 1)) < CROSSOVER
    swap = mixed & (rng.random(mother.shape) < 0.5)
    return np.asarray(np.where(swap, father, mother), dtype=np.int16)


def _crossed(space: Space, colony: Colony, rng: np.random.Generator, count: int) -> Rows:
    """Crossover of two parents, each the better of two drawn, or any of the front; genotypes are ordered best first."""
    mother, father = colony.latent[rng.integers(len(colony.latent), size=(2, 2, count)).min(axis=0)]
    front = colony.front_rows if len(colony.front_rows) else colony.latent
    one, other, third = front[rng.integers(len(front), size=(3, count))]
    mother = np.where(rng.random((count, 1)) < FRONT, one, mother)
    child = _mixed(mother, father, rng)
    return np.where(rng.random((count, 1)) < DRIFT, _drifted(space, mother, (other, third), rng), child)


def _drifted(space: Space, rows: Rows, pair: tuple[Rows, Rows], rng: np.random.Generator) -> Rows:
    """Rows with their ordered levers moved along the difference of two others."""
    distance = rng.uniform(-FARTHEST, FARTHEST, (len(rows), 1)) * (pair[0].astype(np.int64) - pair[1])
    moved = np.clip(rows + np.rint(distance), 0, np.array(space.structure.sizes) - 1)
    return np.where(_ordered(space), moved, rows).astype(np.int16)


def _mutated(space: Space, latent: Rows, rng: np.random.Generator) -> Rows:
    """Change a lever or a few: ordered levers half the time by a step of any scale, else to any choice."""
    sizes = np.array(space.structure.sizes)
    strength = rng.choice(np.array(STRENGTHS), (len(latent), 1))
    hit = rng.random(latent.shape) < strength / max((sizes > 1).sum(), 1)
    small = _ordered(space) & (rng.random(latent.shape) < 0.5)
    length = np.floor(np.maximum(sizes / 2, 1) ** rng.random(latent.shape)).astype(np.int64)
    step = np.clip(latent + rng.choice([-1, 1], size=latent.shape) * length, 0, sizes - 1)
    anywhere = (latent + 1 + rng.integers(np.maximum(sizes - 1, 1), size=latent.shape)) % sizes
    return np.where(hit, np.where(small, step, anywhere), latent).astype(np.int16)


def _ordered(space: Space) -> BoolArray:
    return np.array([axis.ordered for axis in space.axes])


def _neighbours(
    space: Space, colony: Colony, seen: set[bytes], expanded: set[bytes], wanted: int
) -> tuple[Rows, Designs]:
    """(n, axes) unseen one-lever neighbours of front members not expanded yet, and these members."""
    found: list[Rows] = [np.zeros((0, len(space.axes)), dtype=np.int16)]
    opened: list[Rows] = [found[0]]
    count = 0
    for epsilon in EPSILONS:
        waiting = _candidates(space, colony, expanded, epsilon) if count < wanted else opened[0]
        while count < wanted and len(waiting):
            size = -(-(wanted - count) // max(space.moves, 1))
            members, waiting = Designs(waiting[:size].copy(), space.names), waiting[size:]
            expanded.update(members.identities())
            opened.append(members.rows)
            fresh = unseen(space.neighbours(members)[0], seen)
            found.append(fresh.rows)
            count += len(fresh)
    return np.concatenate(found), Designs(np.concatenate(opened), space.names)


def _candidates(space: Space, colony: Colony, expanded: set[bytes], epsilon: float) -> Rows:
    """Representatives of the front that were not expanded, the one that covers most by itself first."""
    if len(colony.front_scores) == 0:
        ordered = space.canonical(colony.latent[:LOST])
    else:
        chosen = pareto.representatives(colony.front_scores, epsilon)
        worth = pareto.contributions(colony.front_scores[chosen])
        ordered = Designs(colony.front_rows[chosen[np.argsort(-worth, kind="stable")]], space.names)
    return unseen(ordered, set(expanded)).rows


def _saved(colony: Colony, seen: tuple[set[bytes], Designs], expanded: tuple[set[bytes], Designs]) -> State:
    """State before a proposal: what was seen and expanded, less what this proposal added."""
    axes = colony.latent.shape[1]
    fields = {name: np.asarray(value) for name, value in vars(colony).items() if name != "elites"}
    fields |= {f"elites/{name}": values for name, values in colony.elites._asdict().items()}
    before = {"seen": seen, "expanded": expanded}
    sets = {name: remember(keys - set(new.identities()), axes) for name, (keys, new) in before.items()}
    return fields | sets


def _restored(state: State) -> Colony:
    fields = {name: state[name] for name in Colony.__dataclass_fields__ if name not in ("generation", "elites")}
    best = Elites(*(state[f"elites/{name}"] for name in Elites._fields))
    return Colony(**fields, elites=best, generation=int(state["generation"]))
