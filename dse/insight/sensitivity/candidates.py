"""Which systems a question about numbers looks at: the front of a run, near misses next to it, and what they attain."""

from collections.abc import Sequence

import numpy as np

from dse.arrays import BoolArray, FloatArray, IntArray
from dse.insight.runs import Opened
from dse.insight.sensitivity.held import Systems
from dse.search import pareto
from dse.search.axes import Designs
from dse.search.evaluation import Evaluator
from dse.search.metrics import Metrics, minimised, scores
from dse.search.question import Question

MOST = 160
"""Rows of a front that are kept; a longer one is thinned to representatives, whose spacing is told."""

NEAR = float(np.log10(1.25))
"""Rows within this of the front are near misses: a step of ten percent can bring them onto it [decades]."""

NEAREST = 120
"""Near misses that are kept, those nearest to the front."""

FINEST = float(np.log10(1.001))
"""Spacing at which thinning starts; it is doubled until few enough rows are left [decades]."""

RELAXED = 0.05
"""Levels at which costs are compared lie this much behind the designs they are taken from: just on a design, the
smallest loss would count as if nothing attained the level any more [1]."""

ROUNDING = 1e-9
"""Relative difference below which two figures are the same [1]."""


def evaluator(opened: Opened) -> Evaluator:
    """Evaluator of the problem of a run."""
    known = opened.run.question.evaluate
    return known if isinstance(known, Evaluator) else Evaluator.of(opened.problem)


def front_systems(opened: Opened, most: int = MOST) -> Systems:
    """Rows of the front with their mappings: the lettered ones first, then all or representatives."""
    archive = opened.front.archive
    picks = [pick.row for pick in opened.picks]
    rest = np.setdiff1d(thinned(archive.scores[: len(opened.front)], most), picks)
    rows = np.concatenate([picks, rest]).astype(np.int64)
    names = opened.run.question.space.names
    mapping = {name: values[rows] for name, values in archive.metrics.mapping.items()}
    return Systems(Designs(archive.rows[rows].copy(), names), mapping)


def thinned(points: FloatArray, most: int) -> IntArray:
    """Representatives of a front, at the finest spacing that leaves few enough."""
    spacing = 0.0
    while True:
        kept = pareto.representatives(points, spacing)
        if len(kept) <= most:
            return kept
        spacing = max(2 * spacing, FINEST)


def neighbours(opened: Opened, limit: int) -> Systems:
    """Near misses: designs one lever away from the lettered ones, in the mappings that come near the front."""
    question, archive = opened.run.question, opened.front.archive
    picks = np.array(sorted({pick.row for pick in opened.picks}), dtype=np.int64)
    around, _ = question.space.neighbours(Designs(archive.rows[picks].copy(), question.space.names))
    chosen = around.take(np.unique(np.linspace(0, len(around) - 1, min(limit, len(around))).astype(np.int64)))
    found = evaluator(opened)(chosen)
    front = archive.scores[: len(opened.front)]
    return near(chosen, found, front, question)


def near(designs: Designs, found: Metrics, front: FloatArray, question: Question) -> Systems:
    """Feasible rows nearest to a front."""
    rows = np.flatnonzero(found.feasible)
    short = pareto.shortfall(scores(found, question.goals)[rows], front)
    order = np.argsort(short, kind="stable")[:NEAREST]
    return systems(designs, found.take(np.sort(rows[order[short[order] <= NEAR]])))


def systems(designs: Designs, found: Metrics) -> Systems:
    """Scored rows as systems."""
    return Systems(designs.take(found.design), found.mapping)


def joined(parts: Sequence[Systems]) -> Systems:
    """Systems below each other, none twice; the first stay where they are."""
    designs = np.concatenate([part.designs.rows for part in parts])
    names = list(parts[0].mapping)
    mapping = {name: np.concatenate([part.mapping[name] for part in parts]) for name in names}
    identity = np.column_stack([designs, *mapping.values()]).astype(np.int64)
    rows = np.sort(np.unique(identity, axis=0, return_index=True)[1])
    return Systems(
        Designs(designs[rows], parts[0].designs.names), {name: values[rows] for name, values in mapping.items()}
    )


def relaxed(points: FloatArray) -> FloatArray:
    """Levels just behind some points, less being better; gains are negative, and lose."""
    return np.asarray(np.where(points < 0, points / (1 + RELAXED), points * (1 + RELAXED)))


def attained(found: Metrics, question: Question, levels: FloatArray, allowed: BoolArray | None = None) -> FloatArray:
    """Least first objective at which each level of the others is attained; infinite where it is not.

    Parameters
    ----------
    found : Metrics            scored systems
    question : Question        names the objectives
    levels : (m, k) array      objectives turned so that less is better; the first column is not read
    allowed : (n,) bool array  systems that may be used, all feasible ones by default

    Returns
    -------
    (m,) array                 of the first objective, less is better
    """
    usable = found.feasible if allowed is None else found.feasible & allowed
    values = minimised(found, question.goals)[usable]
    least = np.full(len(levels), np.inf)
    for row, level in enumerate(levels):
        limit = level[1:] + ROUNDING * np.abs(level[1:])
        open_ = (values[:, 1:] <= limit).all(axis=1)
        if open_.any():
            least[row] = values[open_, 0].min()
    return least
