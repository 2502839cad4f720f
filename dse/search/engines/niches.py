"""Niches: parts of a space in which a listed lever keeps one choice, searched by themselves for a while.

The front found first draws all parents to the choices that it has. Where it takes several levers that change together
to beat it, no child of the front gets there; a colony that never leaves one choice, and knows no better front than its
own, does.
"""

from dataclasses import dataclass, replace
from typing import TypeAlias

import numpy as np

from dse.arrays import IntArray
from dse.search.axes import Designs, Rows
from dse.search.engines.colony import LOCAL, VARIED, VISIT, Colony, founded, grown, selected
from dse.search.engines.elites import CELLS, Elites, entered, grid
from dse.search.engines.proposals import Feedback, Start
from dse.search.space import Space

SETTLED = 12
"""Generations after which niches get some of them."""

VISITS = (0.25, 0.75)
"""Least and largest share of these; in between it is that of the niches' success."""

STAY = 48
"""Generations of a visit to a niche, at most."""

STALE = 0.02
"""Notable front rows per design below which a visit ends."""

CROWDED = 0.2
"""A niche with this share of the front is visited after the others: the front's own children search it."""


Born: TypeAlias = tuple[Rows, Designs, Feedback, IntArray]
"""Genotypes, their designs, their scores, and where each came from."""


@dataclass(frozen=True)
class Settlement:
    """The free colony, and the one that visits a niche."""

    free: Colony
    niche: Colony | None
    visits: IntArray
    """(n,) visits begun per niche; empty where none is ever visited."""


def niches(space: Space) -> IntArray:
    """(n, 2) lever and choice of every niche: each choice of each lever that is a list."""
    listed = [(number, axis) for number, axis in enumerate(space.axes) if not axis.ordered and len(axis.choices) > 1]
    held = [(number, choice) for number, axis in listed for choice in range(len(axis.choices))]
    return np.array(held, dtype=np.int64).reshape(-1, 2)


def following(space: Space, elites: Elites, front: Rows, visits: IntArray) -> int:
    """Niche to visit next: of the least visited those with little of the front, the most promising first."""
    held = niches(space)
    taken = np.array([(front[:, axis] == choice).mean() if len(front) else 0.0 for axis, choice in held])
    return int(np.lexsort([_distance(space, elites, held), taken > CROWDED, visits])[0])


def _distance(space: Space, elites: Elites, held: IntArray) -> np.ndarray:
    """(n,) by how much the best known design of a niche is behind the best, in the direction where it is nearest."""
    cells, sizes = grid(space), np.array(space.structure.sizes)[held[:, 0]]
    single = np.flatnonzero(cells.first == cells.second)
    pair = single[np.searchsorted(cells.first[single], held[:, 0])]
    cell = np.where(sizes > CELLS, held[:, 1] * CELLS // sizes, held[:, 1])
    value = elites.value[cells.start[pair] + cells.stride[pair] * cell + cell]
    best = elites.value.min(axis=0)
    return np.asarray(np.where(np.isfinite(value), value - np.where(np.isfinite(best), best, 0.0), np.inf).min(axis=1))


def settlement(start: Start, visiting: bool) -> Settlement:
    """Where a search begins: nothing was visited yet."""
    count = len(niches(start.space)) if visiting else 0
    return Settlement(founded(start), None, np.zeros(count, dtype=np.int64))


def turn(space: Space, land: Settlement, rng: np.random.Generator) -> tuple[Settlement, bool]:
    """Whether this generation is one of a niche, which is chosen if the last visit is over."""
    free, niche = land.free, land.niche
    own, visiting = free.success[[VARIED, LOCAL]].max(), free.success[VISIT]
    share = np.clip(visiting / (own + visiting), *VISITS)
    if len(land.visits) == 0 or free.generation < SETTLED or rng.random() >= share:
        return land, False
    if niche is not None and niche.generation < STAY and niche.success.max() >= STALE:
        return land, True
    chosen = following(space, free.elites, free.front_rows, land.visits)
    visits = land.visits.copy()
    visits[chosen] += 1
    return Settlement(free, _begun(free, niches(space)[chosen]), visits), True


def _begun(free: Colony, held: IntArray) -> Colony:
    """Colony of a niche: what the free one has there; its first generation is random."""
    axis, choice = held
    members, front = free.latent[:, axis] == choice, free.front_rows[:, axis] == choice
    rows = members[free.owner]
    return Colony(
        latent=free.latent[members],
        scores=free.scores[rows],
        violation=free.violation[rows],
        owner=(np.cumsum(members) - 1)[free.owner[rows]],
        front_scores=free.front_scores[front],
        front_rows=free.front_rows[front],
        elites=free.elites,
        success=np.array([1.0, 1.0, 0.0]),
        generation=0,
        held=held,
    )


def settled(space: Space, land: Settlement, visit: bool, born: Born) -> Settlement:
    """Settlement after a generation; the free colony takes in what a niche sends it."""
    latent, designs, feedback, source = born
    best = entered(land.free.elites, space, designs, feedback)
    told = np.full_like(source, VISIT) if visit else source
    free = replace(selected(grown(land.free, latent, designs, feedback, told)), elites=best)
    niche = land.niche and replace(land.niche, elites=best)
    if niche and visit:
        niche = selected(grown(niche, latent, designs, feedback, source))
    return Settlement(free, niche, land.visits)


def pinned(colony: Colony, rows: Rows) -> Rows:
    """Rows with the choice that a colony keeps."""
    axis, choice = colony.held
    if axis < 0:
        return rows
    kept = rows.copy()
    kept[:, axis] = choice
    return kept
