"""Why nothing is feasible: requirements that no scored design meets, and levers that can never act."""

import numpy as np

from dse.search.axes import Designs
from dse.search.metrics import Metrics
from dse.search.question import Question
from dse.search.space import Space

SCORED = 128
"""Designs that are scored again to tell which requirement empties a space."""


def emptied(metrics: Metrics) -> list[str]:
    """Sentences on the requirements that leave no design, from scored designs of which none is feasible.

    A requirement that no row meets empties the space by itself. Where there is none, requirements exclude each other,
    and those that are missed most often are named.
    """
    if metrics.feasible.any() or not len(metrics):
        return []
    slacks = {name: values for name, values in metrics.columns.items() if "slack" in name}
    designs = len(np.unique(metrics.design))
    alone = {name: float(values.max()) for name, values in slacks.items() if values.max() < 0}
    if alone:
        ordered = sorted(alone, key=lambda name: alone[name])
        return [
            f"{name}: none of {designs} designs meets it; the best misses by {-alone[name]:.0%}" for name in ordered
        ]
    missed = {name: float((values < 0).mean()) for name, values in slacks.items() if (values < 0).any()}
    often = sorted(missed, key=lambda name: -missed[name])[:3]
    told = ", ".join(f"{name} ({missed[name]:.0%} miss it)" for name in often)
    return [f"the requirements exclude each other: each is met by some of {designs} designs, all by none; {told}"]


def emptied_search(question: Question, rows: np.ndarray, violation: np.ndarray) -> list[str]:
    """Say the same for the least violating designs that a search has scored."""
    least = rows[np.argsort(violation, kind="stable")[:SCORED]]
    return emptied(question.evaluate(Designs(least, question.space.names))) if len(least) else []


def idle(space: Space) -> list[str]:
    """Sentences on levers that have several choices and can never act, because of what others are held at."""
    tree = space.structure
    acts = np.zeros(len(space.axes), dtype=np.bool_)
    for group in space.groups:
        rows = np.tile(np.array(tree.rests, dtype=np.int16), (len(group.combinations), 1))
        rows[:, list(group.controllers)] = group.combinations
        own = [*group.controllers, *group.dependents]
        acts[own] |= tree.active(rows)[:, own].any(axis=0)
    said = []
    for index, axis in enumerate(space.axes):
        if len(axis.choices) > 1 and not acts[index]:
            why = " or ".join(f"{rule.lever} is always {' or '.join(map(str, rule.choices))}" for rule in axis.inert)
            said.append(f"{axis.name} has {len(axis.choices)} choices that can have no effect: {why}")
    return said
