"""The front of another run as designs of this space: translated lever by lever, never trusted, scored again.

A choice that this space lacks becomes the nearest choice where both are numbers; a design with a name that this space
lacks is left out. What was changed or left out is told.
"""

import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from dse.search.axes import Axis, Choice, Rows
from dse.search.runs import run
from dse.search.space import Space

FAR = 1e3
"""Added where logarithms do not exist: zero is near nothing but zero."""

MOST = 256
"""Designs that are taken from a front, spread evenly over it: as many as a first sample has."""


def start_from(space: Space, folder: Path) -> dict[str, Any]:
    """Rows of this space for the front of a run, and notes on what was translated, as a manifest keeps them."""
    before: Mapping[str, list[Choice]] = run.read_manifest(folder)["signature"]["levers"]
    front = _spread(run.load_epoch(folder).archive.rows)
    notes: dict[str, int] = {}
    rows = np.zeros((len(front), len(space.axes)), dtype=np.int16)
    for column, axis in enumerate(space.axes):
        if axis.name in before:
            taken = [before[axis.name][index] for index in front[:, list(before).index(axis.name)].tolist()]
            rows[:, column] = [_place(axis, choice, notes) for choice in taken]
        else:
            rows[:, column] = axis.rest
            notes[f"lever {axis.name} is new: starts at {axis.choices[axis.rest]}"] = len(front)
    for name in before.keys() - set(space.names):
        if len(before[name]) > 1:
            notes[f"lever {name} is gone"] = len(front)
    usable = space.canonical(rows[(rows >= 0).all(axis=1)]).rows
    kept = np.unique(usable, axis=0)
    return {
        "run": folder.resolve().name,
        "front_designs": len(front),
        "designs": len(kept),
        "notes": [f"{text} ({count} designs)" for text, count in notes.items()],
        "rows": kept.tolist(),
    }


def _spread(rows: Rows) -> Rows:
    """(n, axes) distinct designs of a front, thinned evenly in its order."""
    first = np.sort(np.unique(rows, axis=0, return_index=True)[1])
    picked = np.unique(np.linspace(0, len(first) - 1, min(MOST, len(first))).astype(np.int64))
    return rows[first[picked]]


def _place(axis: Axis, choice: Choice, notes: dict[str, int]) -> int:
    """Index of a choice in this space, or of the nearest number; -1 where there is neither."""
    if choice in axis.choices:
        return axis.choices.index(choice)
    if isinstance(choice, str) or not axis.ordered:
        note, index = f"{axis.name} {choice} is no choice here: left out", -1
    else:
        index = min(range(len(axis.choices)), key=lambda other: _apart(float(choice), float(axis.choices[other])))
        note = f"{axis.name} {choice} became {axis.choices[index]}"
    notes[note] = notes.get(note, 0) + 1
    return index


def _apart(one: float, other: float) -> float:
    """Distance of two numbers: of their logarithms where both are positive."""
    if one > 0 and other > 0:
        return abs(math.log(one / other))
    return FAR + abs(one - other)
