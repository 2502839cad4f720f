"""All designs of a case scored at once, and the best of any part of them."""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from dse.arrays import BoolArray, FloatArray
from dse.facts.levers import Choice
from dse.facts.metrics import METRICS
from dse.facts.problem import Problem
from dse.search.evaluation import evaluate
from dse.search.metrics import Metrics
from dse.search.space import Space

LARGEST = 20_000
"""Designs a case may have: cases are enumerated, so that what they show does not depend on a search."""


@dataclass(frozen=True)
class Answers:
    """Every design of a problem with every undominated mapping."""

    metrics: Metrics
    levers: Mapping[str, np.ndarray]
    """Lever -> (m,) its choice, row by row."""

    @classmethod
    def of(cls, problem: Problem) -> "Answers":
        """Enumerate and score a problem."""
        space = Space.of(problem)
        if space.size > LARGEST:
            raise ValueError(f"{problem.name} has {space.size:,} designs: a case is enumerated, at most {LARGEST:,}")
        designs = space.numbered(np.arange(space.size))
        metrics = evaluate(problem, designs)
        levers = {axis.name: _chosen(axis.choices, designs[axis.name][metrics.design]) for axis in space.axes}
        return cls(metrics, levers)

    def where(self, **wanted: Choice | tuple[Choice, ...]) -> "Answers":
        """Rows in which levers take one of the choices; a lever's dots are written as double underscores."""
        kept: BoolArray = np.ones(len(self.metrics), dtype=bool)
        for name, choices in wanted.items():
            options = choices if isinstance(choices, tuple) else (choices,)
            column = self.levers[name.replace("__", ".")]
            kept &= np.logical_or.reduce([column == option for option in options])
        return self.rows(kept)

    def rows(self, kept: BoolArray) -> "Answers":
        """Rows by mask."""
        return Answers(self.metrics.take(kept), {name: column[kept] for name, column in self.levers.items()})

    @property
    def feasible(self) -> "Answers":
        """Rows that meet every requirement."""
        return self.rows(self.metrics.feasible)

    def column(self, name: str) -> FloatArray:
        """(m,) one metric."""
        return self.metrics.columns[name]

    def best(self, name: str) -> float:
        """Best feasible value of a metric; infinitely bad where nothing is feasible."""
        higher = METRICS[name.rsplit(".", 1)[-1]].better == "higher"
        values = self.feasible.column(name)
        if not values.size:
            return -np.inf if higher else np.inf
        return float(values.max() if higher else values.min())


def _chosen(choices: tuple[Choice, ...], index: np.ndarray) -> np.ndarray:
    """(m,) choices by index."""
    words = np.empty(len(choices), dtype=object)
    words[:] = choices
    return np.asarray(words[index])
