"""Systems of one device type, which heterogeneity is held against: the best of each type in each objective.

A search that pays attention to the front alone scores few systems of one type, and the best of few makes mixing look
better than it is. So the lettered designs are scored once more with every device of theirs exchanged for one type, and
the best that either way was found stands for its type.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from dse.arrays import FloatArray, IntArray
from dse.insight.runs import Opened
from dse.insight.sensitivity.candidates import evaluator
from dse.insight.sensitivity.held import Systems
from dse.insight.shortlist import SCORED, SINGLE
from dse.search.archive import Ledger
from dse.search.axes import NEUTRAL, Designs, Rows
from dse.search.metrics import scores
from dse.search.space import Space
from dse.search.verdict import homogeneous, plain


def best_of_each_type(opened: Opened, ledger: Ledger) -> dict[str, Any]:
    """Entries of a summary: the best systems of each type, how many were scored, what mixing gains over them.

    Nothing without a choice of devices, or without a feasible system of one type.
    """
    question, space, front = opened.run.question, opened.run.question.space, opened.front
    if len(_pools(space)) < 2 or len(front) == 0:
        return {}
    pure = homogeneous(space, ledger.rows)
    leading = ledger.rows[pure][_leading(_types(space, ledger.rows[pure]), ledger.best[pure])]
    rows = leading if opened.run.summary.get("exhaustive") else np.concatenate([leading, _exchanged(opened)])
    designs = Designs(np.unique(space.canonical(rows).rows, axis=0), space.names)
    found = evaluator(opened)(designs)
    points = np.where(found.feasible[:, None], scores(found, question.goals), np.inf)
    kinds = _types(space, designs.rows)[found.design]
    best = _leading(kinds, points)
    if not len(best):
        return {}
    known = {row.tobytes() for row in ledger.rows[pure]}
    ahead = points[best].min(axis=0) - front.archive.scores[: len(front)].min(axis=0)
    return {
        "heterogeneity": {goal.name: float(10.0**gap) for goal, gap in zip(question.goals, ahead, strict=True)},
        SCORED: len(known | {row.tobytes() for row in designs.rows}),
        SINGLE: [
            {
                "device": str(kinds[row]),
                "choices": designs.rows[found.design[row]].tolist(),
                "mapping": {name: int(values[row]) for name, values in found.mapping.items()},
                "objectives": plain(points[row], question.goals),
            }
            for row in best.tolist()
        ],
    }


def systems_of(opened: Opened) -> Systems | None:
    """Systems that a summary lists; None where it lists none."""
    listed: Sequence[Mapping[str, Any]] = opened.run.summary.get(SINGLE, ())
    if not listed:
        return None
    rows = np.array([item["choices"] for item in listed], dtype=np.int16)
    mapping = {
        name: np.array([item["mapping"][name] for item in listed], dtype=np.int64) for name in listed[0]["mapping"]
    }
    return Systems(Designs(rows, opened.run.question.space.names), mapping)


def _pools(space: Space) -> dict[int, list[str]]:
    """Column of each lever that chooses a device -> its choices."""
    return {
        column: [str(choice) for choice in axis.choices]
        for column, axis in enumerate(space.axes)
        if axis.name.endswith("device")
    }


def _exchanged(opened: Opened) -> Rows:
    """Choices of the lettered designs with every device exchanged for one type, for each type."""
    space, front = opened.run.question.space, opened.front.archive.rows
    rows = space.exchanged(Designs(front[[pick.row for pick in opened.picks]], space.names))[0].rows
    return rows[homogeneous(space, rows)]


def _leading(kinds: np.ndarray, points: FloatArray) -> IntArray:
    """Rows that lead their type in an objective; infinite scores are infeasible."""
    kept: set[int] = set()
    for kind in np.unique(kinds):
        own = np.flatnonzero((kinds == kind) & np.isfinite(points).all(axis=1))
        kept |= {int(own[place]) for place in points[own].argmin(axis=0)} if len(own) else set()
    return np.array(sorted(kept), dtype=np.int64)


def _types(space: Space, rows: Rows) -> np.ndarray:
    """(n,) device type of designs of one type."""
    found = np.full(len(rows), NEUTRAL, dtype=object)
    active = space.structure.active(rows)
    for column, words in _pools(space).items():
        chosen = np.array(words, dtype=object)[rows[:, column]]
        found = np.where(active[:, column] & (chosen != NEUTRAL), chosen, found)
    return found
