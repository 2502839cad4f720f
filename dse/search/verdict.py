"""What a finished search says: best values, knees, what heterogeneity buys, which levers are settled."""

from typing import Any

import numpy as np

from dse.arrays import BoolArray, FloatArray
from dse.search import pareto
from dse.search.archive import YARDSTICK, Archive, Ledger
from dse.search.axes import NEUTRAL, Rows
from dse.search.feasibility import emptied_search
from dse.search.frontier import KNEES, ParetoSet, shown
from dse.search.metrics import Goal
from dse.search.question import Question
from dse.search.space import Space


def plain(scores: FloatArray, goals: tuple[Goal, ...]) -> dict[str, float]:
    """Objective -> value of one row of scores in the unit of tables; the inverse of `metrics.scores`."""
    return {
        goal.name: float(10.0 ** (-score if goal.maximize else score)) / shown(goal.unit)[1]
        for goal, score in zip(goals, scores, strict=True)
    }


def homogeneous(space: Space, rows: Rows) -> BoolArray:
    """(n,) whether all pools of a design use one type of device."""
    active = space.structure.active(rows)
    pools = [column for column, axis in enumerate(space.axes) if axis.name.endswith("device")]
    kinds = sorted({str(choice) for column in pools for choice in space.axes[column].choices} - {NEUTRAL})
    used = np.zeros((len(rows), len(kinds)), dtype=np.bool_)
    for column in pools:
        chosen = np.array([str(choice) for choice in space.axes[column].choices])[rows[:, column]]
        used |= active[:, column, None] & (chosen[:, None] == np.array(kinds))
    return np.asarray(used.sum(axis=1) <= 1)


def gains(question: Question, ledger: Ledger) -> dict[str, float]:
    """Objective -> factor by which the best design beats the best homogeneous one; empty without devices."""
    devices = [axis for axis in question.space.axes if axis.name.endswith("device")]
    same = homogeneous(question.space, ledger.rows) if len(devices) > 1 else np.zeros(0, dtype=np.bool_)
    if not same.any() or not np.isfinite(ledger.best[same]).any():
        return {}
    factor = 10.0 ** (ledger.best[same].min(axis=0) - ledger.best.min(axis=0))
    return {goal.name: float(value) for goal, value in zip(question.goals, factor, strict=True)}


def settled(question: Question, archive: Archive, ledger: Ledger) -> list[dict[str, Any]]:
    """Levers that take one value on the front, with how far the next best value stays behind.

    The loss is the part by which every objective of the best scored design with another value would have
    to improve for that design to join the front.
    """
    space = question.space
    active = space.structure.active(archive.rows)
    members = archive.scores[:: max(len(archive) // (16 * YARDSTICK), 1)]
    statements = []
    for column, axis in enumerate(space.axes):
        taken = np.unique(archive.rows[active[:, column], column])
        if len(taken) == 1 and len(axis.choices) > 1:
            statements.append(_statement(question, ledger, column, int(taken[0]), members))
    return statements


def _statement(question: Question, ledger: Ledger, column: int, winner: int, members: FloatArray) -> dict[str, Any]:
    axis = question.space.axes[column]
    acts = question.space.structure.active(ledger.rows)[:, column]
    losses: dict[int, float] = {}
    for other in range(len(axis.choices)):
        usable = acts & (ledger.rows[:, column] == other) & (ledger.violation <= 0)
        if other != winner and usable.any():
            losses[other] = float(pareto.shortfall(ledger.scores[usable], members).min())
    result: dict[str, Any] = {"lever": axis.name, "value": axis.choices[winner]}
    if not losses:
        scored = int(ledger.evaluated[column].sum() - ledger.evaluated[column, winner])
        why = f"none of the {scored:,} scored designs with another value was feasible"
        return result | {"next": None, "loss": None, "statement": f"settled, because {why}"}
    runner = min(losses, key=lambda other: (losses[other], other))
    loss = 1.0 - 10.0 ** -losses[runner]
    why = (
        f"the best of {int(ledger.evaluated[column, runner]):,} scored designs with {axis.choices[runner]} "
        f"would have to improve by {100 * loss:.2g} % in every objective to join the front"
    )
    return result | {"next": axis.choices[runner], "loss": loss, "statement": f"settled, because {why}"}


def summary(question: Question, archive: Archive, ledger: Ledger, reference: FloatArray) -> dict[str, Any]:
    """Front, knees and verdict numbers of a run, with keys that stay."""
    front = ParetoSet(question, archive)
    base: dict[str, Any] = {
        "feasible": archive.feasible,
        "front_size": len(front),
        "front_designs": len(np.unique(archive.rows, axis=0)) if len(front) else 0,
        "objectives": [
            {"name": g.name, "direction": "maximize" if g.maximize else "minimize", "unit": shown(g.unit)[0]}
            for g in question.goals
        ],
        "hypervolume": pareto.hypervolume(archive.scores, reference) if len(front) else 0.0,
        "hypervolume_unit": f"decades^{len(question.goals)}",
        "reference_point": plain(reference, question.goals),
    }
    if not len(front):
        return base | {
            "best": {},
            "knees": [],
            "heterogeneity": {},
            "settled": [],
            "nearest": _nearest(front),
            "emptied_by": emptied_search(question, ledger.rows, ledger.violation),
        }
    best = {
        goal.name: _row(front, int(np.argmin(archive.scores[:, column]))) for column, goal in enumerate(question.goals)
    }
    knees = [_row(front, int(row)) | {"method": method} for method in KNEES for row in front.knees(3, method)]
    return base | {
        "best": best,
        "knees": knees,
        "heterogeneity": gains(question, ledger),
        "settled": settled(question, archive, ledger),
        "nearest": None,
        "emptied_by": [],
    }


def _row(front: ParetoSet, row: int) -> dict[str, Any]:
    return {"id": front.ids[row], "levers": front.levers(row), "mapping": front.mapping(row)} | {
        "objectives": front.objectives(row)
    }


def _nearest(front: ParetoSet) -> dict[str, Any]:
    """Describe the least violating design of a study without a feasible one, and what it misses."""
    columns = front.archive.metrics.columns
    missed = {name: float(values[0]) for name, values in columns.items() if "slack" in name and values[0] < 0}
    return {
        "levers": front.levers(0),
        "mapping": front.mapping(0),
        "objectives": front.objectives(0),
        "violation": float(front.archive.metrics.violation[0]),
        "missed": missed,
    }
