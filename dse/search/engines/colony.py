"""The population of an evolution: genotypes with their rows, the front they found, and who survives."""

from dataclasses import dataclass, field, replace

import numpy as np

from dse.arrays import FloatArray, IntArray
from dse.search import pareto
from dse.search.axes import Designs, Rows
from dse.search.engines import elites
from dse.search.engines.elites import Elites
from dse.search.engines.proposals import Feedback, Start

BATCH = 256
"""Designs that survive a generation, at least."""

LARGEST = 4096
"""Most designs of a generation, and most survivors, when the front is long."""

THICK = 4
"""Front rows per survivor, where that makes them more than usual."""

LONG = THICK * BATCH
"""Front rows from which on generations grow with the front, as survivors do."""

MEMORY = 0.8
"""Weight of the past in the running success of the two sources of children."""

NOTABLE = 0.01
"""Box side [decades] of the front on which success is counted: the last digits of a dense front are none."""


VARIED, LOCAL, VISIT = range(3)
"""Where a design came from: variation, local search, a visit to a niche."""


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
    """(3,) running number of notable front rows per proposed design: variation, local search, visits to niches."""
    generation: int
    held: IntArray = field(default_factory=lambda: np.array([-1, -1]))
    """(2,) lever and choice that the whole colony keeps; negative for one that is free."""


def founded(start: Start) -> Colony:
    """Colony of a scored sample."""
    axes, k = start.designs.rows.shape[1], start.feedback.scores.shape[1]
    empty = Colony(
        latent=np.zeros((0, axes), dtype=np.int16), scores=np.zeros((0, k)), violation=np.zeros(0),
        owner=np.zeros(0, dtype=np.int64), front_scores=np.zeros((0, k)),
        front_rows=np.zeros((0, axes), dtype=np.int16), success=np.ones(3), generation=0,
        elites=elites.entered(elites.founded(start.space, start.feedback), start.space, start.designs, start.feedback),
    )  # fmt: skip
    first = selected(
        grown(empty, start.designs.rows, start.designs, start.feedback, np.zeros(len(start.designs), dtype=np.int64))
    )
    return replace(first, success=np.ones(3))


def grown(colony: Colony, latent: Rows, designs: Designs, feedback: Feedback, source: IntArray) -> Colony:
    """Add scored children; `source` says of each where it came from, in the order of `success`."""
    good = np.flatnonzero(feedback.violation <= 0)
    scores = np.concatenate([colony.front_scores, feedback.scores[good]])
    rows = np.concatenate([colony.front_rows, designs.rows[feedback.design[good]]])
    kept = np.flatnonzero(pareto.nondominated(scores))
    opened = kept[pareto.representatives(scores[kept], NOTABLE)]
    born = feedback.design[good[opened[opened >= len(colony.front_rows)] - len(colony.front_rows)]]
    proposed = np.bincount(source, minlength=3)
    gains = np.bincount(source[born], minlength=3) / np.maximum(proposed, 1)
    success = np.where(proposed > 0, MEMORY * colony.success + (1 - MEMORY) * gains, colony.success)
    return replace(
        colony,
        latent=np.concatenate([colony.latent, latent]),
        scores=np.concatenate([colony.scores, feedback.scores]),
        violation=np.concatenate([colony.violation, feedback.violation]),
        owner=np.concatenate([colony.owner, feedback.design + len(colony.latent)]),
        front_scores=scores[kept],
        front_rows=rows[kept],
        success=np.maximum(success, 1e-6),
        generation=colony.generation + 1,
    )


def selected(colony: Colony) -> Colony:
    """Keep the best genotypes, best first, and of their rows those of their layer."""
    members, member_rows = _ranked(colony)
    lost, lost_rows = _lost(colony)
    order = np.concatenate([members, lost])[: batch(colony)]
    place = np.full(len(colony.latent), -1)
    place[order] = np.arange(len(order))
    rows = np.concatenate([member_rows, lost_rows])
    rows = rows[place[colony.owner[rows]] >= 0]
    return replace(
        colony,
        latent=colony.latent[order],
        scores=colony.scores[rows],
        violation=colony.violation[rows],
        owner=place[colony.owner[rows]],
    )


def batch(colony: Colony) -> int:
    """Designs that survive: more as the front grows, as each generation looks at all of it."""
    return int(np.clip(len(colony.front_scores) // THICK, BATCH, LARGEST))


def proposed(colony: Colony, generation: int) -> int:
    """Designs of a generation, more as the front grows; `generation` is what it begins with."""
    return min(max(generation, len(colony.front_scores) * generation // LONG), LARGEST)


def _ranked(colony: Colony) -> tuple[IntArray, IntArray]:
    """Feasible genotypes and their rows of the best layer that they reach: by layers, those with most room first."""
    good = np.flatnonzero(colony.violation <= 0)
    rank = pareto.ranks(colony.scores[good])
    layer = np.full(len(colony.latent), len(good))
    np.minimum.at(layer, colony.owner[good], rank)
    best = rank == layer[colony.owner[good]]
    rows = good[best]
    worth = np.bincount(colony.owner[rows], pareto.crowding(colony.scores[rows], rank[best]), len(colony.latent))
    order = np.lexsort([-worth, layer])
    return order[layer[order] < len(good)], rows


def _lost(colony: Colony) -> tuple[IntArray, IntArray]:
    """Infeasible genotypes and their rows, the least violating first."""
    violation = np.full(len(colony.latent), np.inf)
    np.minimum.at(violation, colony.owner, colony.violation)
    order = np.argsort(violation, kind="stable")
    order = order[violation[order] > 0]
    return order, np.flatnonzero(violation[colony.owner] > 0)
