"""The handful of designs that people look at first: the best in each objective, and the knees, lettered."""

import string
from typing import NamedTuple

import numpy as np

from dse.insight.wording import superlative
from dse.search.frontier import ParetoSet

KNEES = 3
"""Balanced designs in the list."""

KNEE = "balanced"
"""What a knee is called."""


class Pick(NamedTuple):
    """One design of the list."""

    letter: str
    row: int
    """Row of the front."""
    reason: str
    """Why it is in the list."""


def shortlist(front: ParetoSet) -> tuple[Pick, ...]:
    """Best design of each objective and the knees, in the order of the front; A, B, C, ... name them."""
    reasons: dict[int, list[str]] = {}
    if len(front) == 0:
        return ()
    for column, goal in enumerate(front.question.goals):
        reasons.setdefault(int(np.argmin(front.archive.scores[:, column])), []).append(superlative(goal.name))
    for row in front.knees(KNEES):
        reasons.setdefault(int(row), []).append(KNEE)
    ordered = sorted(reasons.items())
    return tuple(
        Pick(letter, row, ", ".join(words))
        for letter, (row, words) in zip(string.ascii_uppercase, ordered, strict=False)
    )
