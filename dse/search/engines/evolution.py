"""Evolution over architectures, with local search from representatives of the front.

An individual is an architecture with all its mappings. Its rank is the best layer that any of its rows
reaches, its worth the room that its rows of that layer have around them; infeasible ones come last, the
least violating first. Inert genes stay in the genotype, so that switching a lever on finds sensible values.
"""

from collections.abc import Callable, Mapping
from functools import partial
from typing import TypeAlias

import numpy as np

from dse.arrays import BoolArray, IntArray
from dse.search import pareto
from dse.search.axes import Designs, Rows
from dse.search.engines.colony import LOCAL, VARIED, Colony, proposed
from dse.search.engines.elites import Elites, parents
from dse.search.engines.niches import Settlement, pinned, settled, settlement, turn
from dse.search.engines.proposals import Proposal, Proposals, Start, State, remainder
from dse.search.engines.seen import Seen
from dse.search.space import Space

SPARE = 2
"""Children drawn per child that is wanted: some repeat what was seen, and drawing again costs more."""

TRIES = 6
"""Rounds of variation after which a generation without enough new children is filled with random designs."""

CROSSOVER = 0.9
"""Share of children that mix two parents."""

WHOLE = 0.5
"""Share of these that take every part of a system, such as a pool of devices, from one parent as a whole: the levers of
a part are good or bad together, and the parts go together well enough."""

FRONT = 0.5
"""Share of mothers drawn evenly from the whole front, which may be far larger than a generation."""

SCOUTS = 0.25
"""Share of children whose parents are the best known with a choice of a lever or two, which the child keeps."""

DRIFT = 0.25
"""Share of children whose ordered levers move along the difference of two members of the front, so that levers
which only improve together move together."""

FARTHEST = 1.5
"""Most of such a difference that a child moves by."""

KIN = 0
"""Stands for all levers that choose among the same things, such as the devices of a system."""

EXCHANGE = (0.5, KIN)
"""Stage of local search that exchanges all of a kind at once: between a mixture and a better system of one device type
lie worse mixtures."""

EXCHANGES = 6
"""Generations from one such stage to the next."""

DIAGONAL, ANY_TWO = 2, 3
"""Stand for two long levers, which follow a requirement that binds: one gives what the other takes; and for any two, of
which there are so many that they come last."""

STAGES = (
    *((0.02, 1), (0.005, 1), (0.02, DIAGONAL), (0.005, DIAGONAL), (0.0, 1), (0.0, DIAGONAL)),
    *((0.02, ANY_TWO), (0.005, ANY_TWO), (0.0, ANY_TWO)),
)
"""Box sides [decades] of the representatives that local search starts from, 0 being every member of the front, and what
it moves: one lever, or two."""

STRENGTHS = (1, 1, 2, 4)
"""Levers that mutation changes on average; a child draws one of these."""

EXPANDED = ((KIN, "exchanged"), (1, "expanded"), (DIAGONAL, "expanded_by_two"), (ANY_TWO, "expanded_by_any_two"))
"""What is moved, and the name in a state of the members whose neighbours by that many were proposed."""

Expanded: TypeAlias = Mapping[int, Seen]
"""What is moved -> such members."""

Opened: TypeAlias = Mapping[int, Designs]
"""The same of one generation."""

LOST = 16
"""Least violating designs that local search starts from while nothing feasible is known."""

LEAST = 0.2
"""Smallest share of a generation that each source keeps, so that a source that recovers is noticed."""


def evolution(start: Start, state: State | None) -> Proposals:
    """Variation and selection only."""
    yield from _search(start, state, local=(0.0, 0.0))


def polish(start: Start, state: State | None) -> Proposals:
    """Neighbours of the front's representatives by one lever, or two long ones, until none improves."""
    yield from _search(start, state, local=(1.0, 1.0))


def evolution_polish(start: Start, state: State | None) -> Proposals:
    """Variation and local search side by side, each in proportion to its recent success."""
    yield from _search(start, state, local=(LEAST, 1 - LEAST))


def _search(start: Start, state: State | None, local: tuple[float, float]) -> Proposals:
    space, nothing = start.space, start.designs.rows[:0]
    land = _restored(state) if state else settlement(start, visiting=0 < local[0] < 1)
    seen = Seen(state["seen"] if state else start.designs.rows)
    expanded = {moved: Seen(state[key] if state and key in state else nothing) for moved, key in EXPANDED}
    while len(seen) < space.size:
        rng = np.random.default_rng((start.seed, 3, land.free.generation))
        land, visit = turn(space, land, rng)
        colony = land.niche if visit and land.niche else land.free
        count = proposed(colony, start.generation)
        near, opened = _neighbours(space, colony, seen, expanded, round(count * _share(colony, local)))
        varied = _children(space, colony, rng, seen, 0 if local[0] == 1 else count - len(near))
        latent = np.concatenate([near, varied])
        if len(latent) == 0:
            break
        designs = space.canonical(latent)
        feedback = yield Proposal(designs, partial(_saved, land, (seen, designs), (expanded, opened)))
        source = np.repeat([LOCAL, VARIED], [len(near), len(varied)])
        land = settled(space, land, visit, (latent, designs, feedback, source))
    for fresh in remainder(space, seen) if local[0] < 1 else ():
        yield Proposal(fresh, partial(_saved, land, (seen, fresh), (expanded, {})))


def _share(colony: Colony, bounds: tuple[float, float]) -> float:
    varied, near, _ = colony.success
    return float(np.clip(near / (varied + near), *bounds))


def _children(space: Space, colony: Colony, rng: np.random.Generator, seen: Seen, wanted: int) -> Rows:
    """(n, axes) new genotypes by tournament, crossover and mutation; random ones where these repeat."""
    found: list[Rows] = [np.zeros((0, len(space.axes)), dtype=np.int16)]
    for attempt in range(TRIES):
        missing = wanted - sum(len(block) for block in found)
        if missing <= 0:
            break
        if attempt < TRIES - 1 and colony.generation:
            latent = rng.permutation(_varied(space, colony, rng, SPARE * missing))
        else:
            latent = space.sample(SPARE * missing, rng.integers(2**31, size=2).tolist()).rows
        found.append(_new(space, pinned(colony, latent) if attempt < TRIES - 1 else latent, seen, missing))
    return np.concatenate(found)


def _new(space: Space, latent: Rows, seen: Seen, most: int) -> Rows:
    return np.asarray(latent[seen.fresh(space.canonical(latent), most)], dtype=np.int16)


def _varied(space: Space, colony: Colony, rng: np.random.Generator, count: int) -> Rows:
    """Children of the front and of the last generation, and scouts that keep the choices of a cell."""
    one, other, levers = parents(colony.elites, space, rng, round(SCOUTS * count))
    scouts = _mutated(space, _mixed(space, one, other, rng), rng)
    np.put_along_axis(scouts, levers, np.take_along_axis(one, levers, axis=1), axis=1)
    return np.concatenate([_mutated(space, _crossed(space, colony, rng, count - len(levers)), rng), scouts])


def _mixed(space: Space, mother: Rows, father: Rows, rng: np.random.Generator) -> Rows:
    """Crossover of most pairs of parents, by lever or by part; the others' child is the mother."""
    crossed, whole = rng.random((2, len(mother), 1)) < [[[CROSSOVER]], [[WHOLE]]]
    swap = rng.random(mother.shape) < 0.5
    swap = crossed & np.where(whole, swap[:, space.parts], swap)
    return np.asarray(np.where(swap, father, mother), dtype=np.int16)


def _crossed(space: Space, colony: Colony, rng: np.random.Generator, count: int) -> Rows:
    """Crossover of two parents, each the better of two drawn, or any of the front; genotypes are ordered best first."""
    mother, father = colony.latent[rng.integers(len(colony.latent), size=(2, 2, count)).min(axis=0)]
    front = colony.front_rows if len(colony.front_rows) else colony.latent
    one, other, third = front[rng.integers(len(front), size=(3, count))]
    mother = np.where(rng.random((count, 1)) < FRONT, one, mother)
    child = _mixed(space, mother, father, rng)
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


def _neighbours(space: Space, colony: Colony, seen: Seen, expanded: Expanded, wanted: int) -> tuple[Rows, Opened]:
    """(n, axes) unseen neighbours of front members not expanded yet, and these members."""
    found: list[Rows] = [np.zeros((0, len(space.axes)), dtype=np.int16)]
    opened = {moved: [found[0]] for moved in expanded}
    count = 0
    for epsilon, moved in STAGES if colony.generation % EXCHANGES else (EXCHANGE, *STAGES):
        waiting = _candidates(space, colony, expanded[moved], epsilon, moved == KIN) if count < wanted else found[0]
        while count < wanted and len(waiting):
            size = -(-(wanted - count) // max(space.moves[moved], 1))
            members, waiting = Designs(waiting[:size].copy(), space.names), waiting[size:]
            near_by = space.canonical(pinned(colony, _move(space, moved)(members)[0].rows))
            most = max(wanted - count, space.moves[1])
            found.append(near_by.rows[seen.fresh(near_by, most)])
            count += len(found[-1])
            if len(found[-1]) < most:  # else some may be left for the next generation
                opened[moved].append(members.rows)
                expanded[moved].fresh(members)
    return np.concatenate(found), {moved: Designs(np.concatenate(rows), space.names) for moved, rows in opened.items()}


def _move(space: Space, moved: int) -> Callable[[Designs], tuple[Designs, IntArray]]:
    return (space.exchanged, space.neighbours, space.diagonals, space.twofold)[moved]


def _candidates(space: Space, colony: Colony, expanded: Seen, epsilon: float, ends: bool) -> Rows:
    """Representatives of the front that were not expanded, the one that covers most by itself first."""
    if len(colony.front_scores) == 0:
        ordered = space.canonical(colony.latent[:LOST])
    else:
        chosen = pareto.representatives(colony.front_scores, epsilon)
        chosen = np.union1d(chosen, colony.front_scores.argmin(axis=0)) if ends else chosen
        worth = pareto.contributions(colony.front_scores[chosen])
        ordered = Designs(colony.front_rows[chosen[np.argsort(-worth, kind="stable")]], space.names)
    return ordered.rows[expanded.missing(ordered)]


def _saved(land: Settlement, seen: tuple[Seen, Designs], expanded: tuple[Expanded, Opened]) -> State:
    """State before a proposal: what was seen and expanded, less what this proposal added."""
    fields = _fields("free", land.free) | (_fields("niche", land.niche) if land.niche else {})
    fields |= {f"elites/{name}": values for name, values in land.free.elites._asdict().items()}
    every, opened = expanded
    sets = {"seen": seen[0].rows(without=seen[1])}
    sets |= {key: every[moved].rows(without=opened.get(moved)) for moved, key in EXPANDED}
    return fields | sets | {"visits": land.visits}


def _fields(place: str, colony: Colony) -> State:
    return {f"{place}/{name}": np.asarray(value) for name, value in vars(colony).items() if name != "elites"}


def _restored(state: State) -> Settlement:
    best = Elites(*(state[f"elites/{name}"] for name in Elites._fields))
    niche = _colony("niche", state, best) if "niche/latent" in state else None
    return Settlement(_colony("free", state, best), niche, state["visits"])


def _colony(place: str, state: State, best: Elites) -> Colony:
    arrays = set(Colony.__dataclass_fields__) - {"elites", "generation"}
    fields = {name: state[f"{place}/{name}"] for name in arrays}
    return Colony(**fields, elites=best, generation=int(state[f"{place}/generation"]))
