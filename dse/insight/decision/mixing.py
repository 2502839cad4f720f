"""Does heterogeneity still pay when prices and times are not what was thought: gains over samples of what is unknown.

The best listed designs in each objective and the best systems of one device type are scored together under the samples
of the robustness, mappings kept. Both sides are those that are best as stated, so a gain may be off either way where
another design would lead in a sample.
"""

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
from scipy.stats import qmc

from dse.arrays import FloatArray, IntArray
from dse.insight.decision import single
from dse.insight.decision.doubts import sampled, unknowns
from dse.insight.decision.perturbed import Outcome, Rescorer
from dse.insight.runs import Opened
from dse.insight.sensitivity.candidates import joined
from dse.insight.sensitivity.held import Systems
from dse.search.axes import NEUTRAL, Designs
from dse.search.frontier import INERT
from dse.search.metrics import Goal
from dse.search.verdict import homogeneous

THRESHOLD = 0.05
"""A gain beyond this is worth the trouble of two kinds of machine [1]."""

LEADERS = 12
"""Listed designs that stand for the front, the best in each objective."""

SAMPLES = 256
"""As many as the robustness takes."""

QUANTILES = (0.1, 0.5, 0.9)
"""Of the gain."""


class Mixing(NamedTuple):
    """Gain of the best design over the best system of one device type, objective by objective."""

    goals: tuple[str, ...]
    likely: FloatArray
    """(k,) share of the samples in which the gain is beyond the threshold [1]."""
    gain: FloatArray
    """(k, 3) quantiles of the factor [1]."""
    samples: int
    singles: int
    """Systems of one device type that were scored again."""

    def json(self) -> dict[str, Any]:
        """For programs, and for a summary."""
        goals = {
            name: {"likely": float(self.likely[place]), **dict(zip(("p10", "p50", "p90"), row, strict=True))}
            for place, (name, row) in enumerate(zip(self.goals, self.gain.tolist(), strict=True))
        }
        return {"threshold": THRESHOLD, "samples": self.samples, "single_types": self.singles, "objectives": goals}


def mixing(opened: Opened, samples: int = SAMPLES, seed: int = 0) -> Mixing | None:
    """Gains of a run under samples of its unknowns; None without a feasible system of one type."""
    pure = single.systems_of(opened)
    if pure is None or len(opened.front) == 0:
        return None
    mixed = _leaders(opened)
    both = joined([mixed, pure])
    types = _types(opened, both)
    own = unknowns(opened.problem, types)
    cube = qmc.Sobol(len(own), rng=np.random.default_rng(seed)).random(samples)
    outcome = Rescorer.of_systems(opened, both, own)(sampled(own, cube))
    goals = opened.front.question.goals
    alone = homogeneous(opened.run.question.space, both.designs.rows)
    factor = gains(outcome, goals, alone)
    return Mixing(
        tuple(goal.name for goal in goals),
        (factor > 1 + THRESHOLD).mean(axis=0),
        np.moveaxis(np.quantile(factor, QUANTILES, axis=0, method="lower"), 0, -1),
        samples,
        int(alone.sum()),
    )


def gains(outcome: Outcome, goals: Sequence[Goal], alone: np.ndarray) -> FloatArray:
    """(s, k) factor by which the best feasible system beats the best of those of one type.

    One where nothing is feasible; infinite where no system of one type is.
    """
    signs = np.array([-1.0 if goal.maximize else 1.0 for goal in goals])
    points = np.where(outcome.feasible[:, :, None], signs * np.log10(outcome.values), np.inf)
    whole, pure = points.min(axis=1), points[:, alone].min(axis=1)
    gap = np.full_like(whole, np.inf)
    known = np.isfinite(pure)
    gap[known] = pure[known] - whole[known]
    gap[~np.isfinite(whole)] = 0.0
    return np.asarray(10.0**gap)


def _leaders(opened: Opened) -> Systems:
    """Listed rows of the front that are the best in each objective, and the lettered ones."""
    archive, listed = opened.front.archive, opened.front.listed()
    best = listed[np.argsort(archive.scores[listed], axis=0, kind="stable")[:LEADERS]].ravel()
    lettered = np.array([pick.row for pick in opened.picks], dtype=np.int64)
    rows: IntArray = np.unique(np.concatenate([best, lettered]))
    designs = Designs(archive.rows[rows].copy(), opened.run.question.space.names)
    return Systems(designs, {name: values[rows] for name, values in archive.metrics.mapping.items()})


def _types(opened: Opened, systems: Systems) -> tuple[str, ...]:
    """Device types of some systems."""
    space = opened.run.question.space
    chosen = {
        str(axis.choices[int(index)])
        for column, axis in enumerate(space.axes)
        if axis.name.endswith("device")
        for index in np.unique(systems.designs.rows[:, column])
    }
    return tuple(sorted(chosen - {NEUTRAL, INERT}))
