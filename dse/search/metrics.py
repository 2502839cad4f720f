"""What an evaluation returns, and how the objectives of a study are read from it."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from dse.arrays import BoolArray, FloatArray, IntArray

TINY = 1e-300
"""Stands for zero on a logarithmic scale: below every quantity that has a meaning here."""


class Goal(NamedTuple):
    """One objective of a study."""

    name: str
    """Column of `Metrics`, such as `cost` or `coding.ttft_p95`."""
    maximize: bool
    """Whether more is better."""
    unit: str
    """Unit of the column, for people."""


@dataclass(frozen=True)
class Metrics:
    """Scored candidates: one row per architecture and mapping.

    Every design yields at least one row: one per non-dominated mapping, or its least violating one.
    """

    design: IntArray
    """(m,) row of the evaluated `Designs` that each result belongs to."""
    columns: Mapping[str, FloatArray]
    """name -> (m,) objectives, time terms, slacks."""
    mapping: Mapping[str, IntArray]
    """name -> (m,) how software uses the architecture: parallelism, batch, KV placement."""
    violation: FloatArray
    """(m,) zero where every requirement is met, else the sum of the negative slacks without their sign."""

    def __len__(self) -> int:
        """Count the rows."""
        return len(self.design)

    @property
    def feasible(self) -> BoolArray:
        """(m,) whether every requirement is met."""
        return np.asarray(self.violation <= 0)

    def take(self, rows: IntArray | BoolArray) -> "Metrics":
        """Select rows."""
        return Metrics(
            design=self.design[rows],
            columns={name: values[rows] for name, values in self.columns.items()},
            mapping={name: values[rows] for name, values in self.mapping.items()},
            violation=self.violation[rows],
        )

    def owned_by(self, design: IntArray) -> "Metrics":
        """Return the same rows with other owners."""
        return Metrics(design, self.columns, self.mapping, self.violation)


def stack(parts: Sequence[Metrics]) -> Metrics:
    """Put blocks below each other; all have the same columns."""
    return picked(parts, slice(None))


def picked(parts: Sequence[Metrics], rows: IntArray | slice) -> Metrics:
    """Rows of blocks below each other; only one column at a time is ever there for all rows."""
    first = parts[0]
    return Metrics(
        design=np.concatenate([part.design for part in parts])[rows],
        columns={name: np.concatenate([part.columns[name] for part in parts])[rows] for name in first.columns},
        mapping={name: np.concatenate([part.mapping[name] for part in parts])[rows] for name in first.mapping},
        violation=np.concatenate([part.violation for part in parts])[rows],
    )


def minimised(metrics: Metrics, goals: Sequence[Goal]) -> FloatArray:
    """(m, k) objectives, turned so that less is better.

    >>> metrics = Metrics(np.array([0]), {"cost": np.array([3.0]), "gain": np.array([5.0])}, {}, np.zeros(1))
    >>> minimised(metrics, [Goal("cost", False, "$"), Goal("gain", True, "1")]).tolist()
    [[3.0, -5.0]]
    """
    columns = [metrics.columns[goal.name] * (-1.0 if goal.maximize else 1.0) for goal in goals]
    return np.stack(columns, axis=1).astype(np.float64)


def scores(metrics: Metrics, goals: Sequence[Goal]) -> FloatArray:
    """(m, k) objectives in decades, less is better: log10 of a cost, −log10 of a gain.

    Objectives are positive quantities, so ratios are what people compare; a front is the same under any
    monotone rescaling, and a step of one box or one unit of hypervolume means the same ratio everywhere.

    >>> columns = {"cost": np.array([100.0]), "gain": np.array([10.0])}
    >>> metrics = Metrics(np.array([0]), columns, {}, np.zeros(1))
    >>> scores(metrics, [Goal("cost", False, "$"), Goal("gain", True, "1")]).tolist()
    [[2.0, -1.0]]
    """
    signs = np.array([-1.0 if goal.maximize else 1.0 for goal in goals])
    values = np.stack([metrics.columns[goal.name] for goal in goals], axis=1)
    return np.asarray(signs * np.log10(np.maximum(values, TINY)), dtype=np.float64)
