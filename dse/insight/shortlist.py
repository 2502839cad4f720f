"""The handful of designs that people look at first: the best in each objective, and the knees, lettered."""

import string
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np

from dse.insight.wording import superlative
from dse.search.frontier import ParetoSet

KNEES = 3
"""Balanced designs in the list."""

ROBUST = "robust"
"""Entry of a summary that names the balanced designs of a study that asks for robust ones."""

LETTERED = "lettered"
"""Entry of a summary that gives the letters of its designs by their names."""

SINGLE = "single_type"
"""Entry of a summary that lists the best systems of each device type."""

SCORED = "single_type_scored"
"""Entry of a summary: how many systems of one device type were scored."""

MIXING = "mixing"
"""Entry of a summary: how likely mixing device types gains something under what is not known."""

KNEE = "balanced"
"""What a knee is called."""


class Pick(NamedTuple):
    """One design of the list."""

    letter: str
    row: int
    """Row of the front."""
    reason: str
    """Why it is in the list."""


def picked(front: ParetoSet, summary: Mapping[str, Any]) -> tuple[Pick, ...]:
    """List of a run: its balanced designs are the robust ones where its study asks for them.

    A front that was read back from its table lacks rows, among which others would be balanced: it keeps the letters
    that were given when it was whole.
    """
    places = {id_: row for row, id_ in enumerate(front.listed_as)}
    noted = summary.get(LETTERED, ()) if front.listed_as else ()
    if noted and all(item["id"] in places for item in noted):
        return tuple(Pick(item["letter"], places[item["id"]], item["reason"]) for item in noted)
    known = summary.get(ROBUST) if summary.get("front_size") == len(front) else None
    return shortlist(front, known["rows"] if known else ())


def shortlist(front: ParetoSet, knees: Sequence[int] = ()) -> tuple[Pick, ...]:
    """Best design of each objective and the knees, in the order of the front; A, B, C, ... name them.

    ``knees`` are balanced designs that were chosen otherwise than by their place on the front.
    """
    reasons: dict[int, list[str]] = {}
    if len(front) == 0:
        return ()
    for column, goal in enumerate(front.question.goals):
        reasons.setdefault(int(np.argmin(front.archive.scores[:, column])), []).append(superlative(goal.name))
    for row in knees or front.knees(KNEES).tolist():
        reasons.setdefault(int(row), []).append(KNEE)
    ordered = sorted(reasons.items())
    return tuple(
        Pick(letter, row, ", ".join(words))
        for letter, (row, words) in zip(string.ascii_uppercase, ordered, strict=False)
    )
