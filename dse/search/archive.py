"""What a run keeps: all non-dominated feasible rows with their columns, and a short record of each design."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from dse.arrays import FloatArray, IntArray
from dse.search import pareto
from dse.search.axes import Designs, Rows
from dse.search.engines.proposals import Feedback
from dse.search.metrics import Goal, Metrics, picked, scores

LEDGER = 200_000
"""Designs of which a record is kept; beyond it those farthest from the front are forgotten."""

YARDSTICK = 32
"""Front members that a new design is compared with to pick the row it is remembered by."""


@dataclass(frozen=True)
class Archive:
    """Non-dominated feasible rows; while there is none, the least violating row."""

    rows: Rows
    """(m, axes) architecture of each row."""
    metrics: Metrics
    """(m) all columns; `metrics.design` counts from 0."""
    scores: FloatArray
    """(m, k) objectives in decades, less is better; sorted."""

    @property
    def feasible(self) -> bool:
        """Whether the rows meet all requirements."""
        return len(self.metrics) > 0 and bool(self.metrics.feasible.all())

    def __len__(self) -> int:
        """Count the rows."""
        return len(self.rows)


def gather(metrics: Metrics, rows: Rows, goals: Sequence[Goal]) -> Archive:
    """Archive of scored rows; the same for every order in which they come."""
    return _gathered([metrics], rows, scores(metrics, goals))


def merged(archive: Archive | None, rows: Sequence[Rows], parts: Sequence[Metrics], goals: Sequence[Goal]) -> Archive:
    """Archive with some more rows, in blocks."""
    values = [scores(part, goals) for part in parts]
    if archive is not None:
        rows, parts, values = [archive.rows, *rows], [archive.metrics, *parts], [archive.scores, *values]
    return _gathered(parts, np.concatenate(rows), np.concatenate(values))


def _gathered(parts: Sequence[Metrics], rows: Rows, values: FloatArray) -> Archive:
    """Archive of blocks; their many columns are never copied but for the rows that stay."""
    violation = np.concatenate([part.violation for part in parts])
    identity = [*rows.T, *(np.concatenate(column) for column in _mappings(parts))]
    usable = np.flatnonzero(violation <= 0)
    if len(usable):
        kept = usable[pareto.front(values[usable], [key[usable] for key in identity])]
    else:
        kept = np.asarray(np.lexsort([*reversed(identity), violation])[:1], dtype=np.int64)
    own = picked(parts, kept).owned_by(np.arange(len(kept)))
    return Archive(rows=rows[kept], metrics=own, scores=values[kept])


def _mappings(parts: Sequence[Metrics]) -> list[list[IntArray]]:
    return [[part.mapping[name] for part in parts] for name in parts[0].mapping]


@dataclass(frozen=True)
class Ledger:
    """One line per scored design: the row with which it comes closest to the front."""

    rows: Rows
    """(n, axes)"""
    scores: FloatArray
    """(n, k)"""
    violation: FloatArray
    """(n,)"""
    best: FloatArray
    """(n, k) least feasible score of the design in each objective by itself; infinite where infeasible."""
    evaluated: IntArray
    """(axes, most choices) designs scored per lever and choice; forgotten ones count."""

    def after(self, earlier: "Ledger") -> "Ledger":
        """Return the lines that an earlier ledger has not; none when some were forgotten in between."""
        first = len(earlier.rows) if len(earlier.rows) <= len(self.rows) else len(self.rows)
        return Ledger(self.rows[first:], self.scores[first:], self.violation[first:], self.best[first:], self.evaluated)


def empty_ledger(sizes: Sequence[int], goals: int) -> Ledger:
    """Ledger before anything is scored."""
    return Ledger(
        rows=np.zeros((0, len(sizes)), dtype=np.int16),
        scores=np.zeros((0, goals)),
        violation=np.zeros(0),
        best=np.zeros((0, goals)),
        evaluated=np.zeros((len(sizes), max(sizes)), dtype=np.int64),
    )


def yardstick(archive: Archive | None) -> FloatArray | None:
    """Scores of some front members, which stand for the front; None while there is none."""
    if archive is None or not archive.feasible:
        return None
    return np.asarray(archive.scores[:: max(len(archive) // YARDSTICK, 1)])


def recorded(ledger: Ledger, designs: Designs, feedback: Feedback, known: FloatArray | None) -> Ledger:
    """Ledger with one more block; `known` is the yardstick, the same for all blocks of a batch."""
    values, violation, owner = feedback
    near = np.zeros(len(values)) if known is None else pareto.shortfall(values, known)
    best = np.lexsort([near, violation, owner])
    first = best[np.searchsorted(owner[best], np.arange(len(designs)))]
    least = np.full((len(designs), values.shape[1]), np.inf)
    np.minimum.at(least, owner, np.where(violation[:, None] <= 0, values, np.inf))
    counts = ledger.evaluated.copy()
    for axis, column in enumerate(designs.rows.T):
        counts[axis] += np.bincount(column, minlength=counts.shape[1])
    return Ledger(
        rows=np.concatenate([ledger.rows, designs.rows]),
        scores=np.concatenate([ledger.scores, values[first]]),
        violation=np.concatenate([ledger.violation, violation[first]]),
        best=np.concatenate([ledger.best, least]),
        evaluated=counts,
    )


def shortened(ledger: Ledger, known: FloatArray | None) -> Ledger:
    """Ledger without the designs farthest from the front, once it is twice as long as it may be."""
    if len(ledger.rows) <= 2 * LEDGER:
        return ledger
    distance = np.zeros(len(ledger.rows)) if known is None else pareto.shortfall(ledger.scores, known)
    kept = np.sort(np.lexsort([distance, ledger.violation])[:LEDGER])
    return Ledger(
        rows=ledger.rows[kept],
        scores=ledger.scores[kept],
        violation=ledger.violation[kept],
        best=ledger.best[kept],
        evaluated=ledger.evaluated,
    )
