"""What could overturn an answer: every unknown at either end of its range by itself, and what becomes of a design.

All ends of all unknowns are scored in one array call with the mappings of the front kept. The answer is overturned at
an end where the design no longer meets every requirement, or where another design of the list is better in everything.
"""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from dse.arrays import FloatArray
from dse.insight.decision.doubts import Unknown, unknowns
from dse.insight.decision.perturbed import Rescorer
from dse.insight.decision.robustness import devices_of, led, listed
from dse.insight.runs import Opened
from dse.search.metrics import Goal


class End(NamedTuple):
    """One end of the range of an unknown, and what it does to a design."""

    value: float
    """In SI."""
    feasible: bool
    leads: bool
    """Feasible, and nothing listed is better in everything."""
    behind: float
    """Part by which all objectives would have to improve to lead again [1]."""
    changes: tuple[float, ...]
    """Relative change of each objective [1]."""
    winner: int
    """Row of the front that is best in the first objective at this end."""


class Swing(NamedTuple):
    """Both ends of one unknown."""

    unknown: Unknown
    low: End
    high: End

    @property
    def overturns(self) -> bool:
        """Whether the design fails or is beaten at an end."""
        return not (self.low.leads and self.high.leads)

    @property
    def size(self) -> float:
        """Largest relative change of an objective [1]."""
        return max(map(abs, (*self.low.changes, *self.high.changes)))


def swings(opened: Opened, rows: Sequence[int]) -> dict[int, tuple[Swing, ...]]:
    """Row -> what both ends of every unknown do to it, the largest effect first."""
    front, compared = opened.front, listed(opened)
    own = unknowns(opened.problem, devices_of(front, compared.tolist()))
    values = _ends(own)
    goals = front.question.goals
    outcome = Rescorer.of(opened, compared, own)(values)
    leads, behind = led(outcome, goals)
    winners = _winners(outcome.values[:, :, 0], outcome.feasible, goals[0])
    made = {}
    for row in rows:
        place = int(np.flatnonzero(compared == row)[0])
        changes = outcome.values[1:, place] / outcome.values[0, place] - 1
        ends = [
            End(
                float(values[own[number // 2].path][1 + number]),
                bool(outcome.feasible[1 + number, place]),
                bool(leads[1 + number, place]),
                float(behind[1 + number, place]),
                tuple(changes[number].tolist()),
                int(compared[winners[1 + number]]),
            )
            for number in range(2 * len(own))
        ]
        pairs = [Swing(item, *ends[2 * place : 2 * place + 2]) for place, item in enumerate(own)]
        made[row] = tuple(sorted(pairs, key=lambda swing: -swing.size))
    return made


def _ends(own: Sequence[Unknown]) -> dict[str, FloatArray]:
    """One sample as stated, then two per unknown with it at its low and its high end."""
    size = 1 + 2 * len(own)
    values = {item.path: np.full(size, item.stated) for item in own}
    for number, item in enumerate(own):
        values[item.path][1 + 2 * number : 3 + 2 * number] = (item.range.low, item.range.high)
    return values


def _winners(values: FloatArray, feasible: np.ndarray, goal: Goal) -> np.ndarray:
    """(s,) place of the best feasible design in an objective."""
    turned = -values if goal.maximize else values
    return np.asarray(np.argmin(np.where(feasible, turned, np.inf), axis=1))
