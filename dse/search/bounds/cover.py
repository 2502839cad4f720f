"""Whether a front leaves nothing to gain in a region: dominance with a margin, by a table per level of latency."""

from dataclasses import dataclass

import numpy as np

from dse.arrays import BoolArray, FloatArray

STEP = 1e-3
"""Width of a step of the cost axis, in natural logarithms: a cost is rounded down by at most this."""

SLABS = 24
"""Slabs of cost into which a trade-off between cost and energy is cut."""

SLAB = 0.01
"""Least width of a slab, in natural logarithms."""


@dataclass(frozen=True)
class Cover:
    """A front as a table: the least energy of any member that keeps a level of latency and a bound on cost."""

    epsilon: float
    levels: FloatArray
    """Lower edges of the levels of latency."""
    start: float
    """Logarithm of the first cost."""
    least: FloatArray
    """(levels, costs) least energy of a member that is at most epsilon worse in latency and cost; infinite for none."""
    most: float
    """Worst cost of the front [$/task]."""
    most_energy: float
    """Worst energy of the front [J/task]."""

    @classmethod
    def of(cls, front: FloatArray, levels: FloatArray, epsilon: float) -> "Cover":
        """Table of a front (m, 3): cost, energy and latency, each zero where the study does not ask for it."""
        margin = 1 + epsilon
        logs = np.log(np.maximum(front[:, 0], TINY))
        start, end = float(logs.min(initial=0.0)), float(logs.max(initial=0.0))
        count = int((end - start) / STEP) + 2
        least = np.full((levels.size, count), np.inf)
        place = np.ceil((logs - start) / STEP - 1e-9).astype(np.int64)
        for row, level in enumerate(levels):
            near = front[:, 2] <= level * margin
            np.minimum.at(least[row], place[near], front[near, 1])
        most, energy = (max(float(front[:, column].max(initial=0.0)), TINY) for column in range(2))
        return cls(epsilon, levels, start, np.minimum.accumulate(least, axis=1), most, energy)

    def holds(self, level: np.ndarray, cost: FloatArray, energy: FloatArray) -> BoolArray:
        """Whether a member of the front is at most epsilon worse than a point in every objective."""
        margin = 1 + self.epsilon
        with np.errstate(divide="ignore", invalid="ignore"):
            place = np.floor((np.log(np.maximum(cost, TINY)) + np.log(margin) - self.start) / STEP)
        column = np.clip(np.nan_to_num(place, nan=-1, posinf=self.least.shape[1] - 1), -1, self.least.shape[1] - 1)
        found = self.least[level, np.maximum(column, 0).astype(np.int64)]
        return np.asarray((column >= 0) & (found <= energy * margin) | ~np.isfinite(cost) | ~np.isfinite(energy))

    def fine(self, curves: FloatArray, exchange: FloatArray) -> BoolArray:
        """(n, levels) whether no point above the bounds (n, 2 + mixes, levels) beats the front by more than epsilon.

        The first two bounds are on cost and on energy, the others on cost + exchange * energy, where ``exchange``
        (mixes, levels) tells what an energy is worth; a line of that kind is cut into slabs of cost.
        """
        count, _, levels = curves.shape
        level = np.broadcast_to(np.arange(levels), (count, levels))
        fine = self.holds(level, curves[:, 0], curves[:, 1])
        row, at = np.nonzero(~fine)
        if exchange.size and row.size:
            fine[row, at] = self._slabs(at, curves[row, :, at], exchange[:, at])
        return fine

    def _slabs(self, level: np.ndarray, bounds: FloatArray, exchange: FloatArray) -> BoolArray:
        cost, energy = bounds[:, 0], bounds[:, 1]
        reach = (bounds[:, 2:].T - exchange * energy) / cost
        width = np.clip(np.log(np.maximum(reach.max(axis=0), 1.0)) / SLABS, SLAB, 1.0)
        fine = np.ones(cost.size, dtype=bool)
        left = cost.copy()
        for _ in range(SLABS):
            right = left * np.exp(width)
            least = np.maximum(energy, ((bounds[:, 2:].T - right) / exchange).max(axis=0))
            fine &= self.holds(level, left, least)
            left = right
        return fine & self.holds(level, left, energy)


TINY = 1e-300
"""Stands for a cost of zero on a logarithmic axis."""
