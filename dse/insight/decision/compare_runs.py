"""Two runs side by side: how much each front covers, who contributes what to the joint one, what they choose."""

import hashlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np

from dse.arrays import FloatArray
from dse.facts.errors import Mistake, SpecError
from dse.facts.problem import Problem, dump
from dse.insight import wording
from dse.insight.runs import Opened
from dse.insight.table import Table
from dse.search import pareto
from dse.search.frontier import INERT, ParetoSet, shown
from dse.search.metrics import Goal

MARGIN = 0.1
"""Where a run names no reference point, the common one lies beyond the worst of both fronts by this part of their
spread [1], so that the extremes of a front count too."""

DIGEST = 8
"""Digits that tell one file from another."""

ONCE_MORE = ("question", "budget", "sampler", "seed", "name", "robust", "levers", "uncertainties")
"""Sections of a study that do not change what a design scores; what levers offer is told by their frequencies."""


class Frequency(NamedTuple):
    """How often a choice of a lever occurs on both fronts."""

    lever: str
    choice: str
    first: float
    """Share of the rows of the first front [1]."""
    second: float


@dataclass(frozen=True)
class RunComparison:
    """What differs between two runs."""

    names: tuple[str, str]
    goals: tuple[Goal, ...]
    sizes: tuple[int, int]
    reference: FloatArray
    """(k,) common reference point [decades]: the farther of those of both runs."""
    volume: tuple[float, float]
    """Hypervolume of each front [decades^k]."""
    joint: float
    """Hypervolume of both together."""
    covered: tuple[float, float]
    """Part of the other front that the first dominates or equals, and that the second does [1]."""
    members: tuple[int, int]
    """Rows of each on the joint front; equal rows count for both."""
    best: Mapping[str, tuple[float, float]]
    """Objective -> best value of each in SI."""
    frequencies: tuple[Frequency, ...]
    """Choices that differ in frequency, the largest difference first."""
    inputs: Mapping[str, tuple[str, str]]
    """Path of an input that differs -> both values."""

    @property
    def own(self) -> tuple[float, float]:
        """Part of the joint hypervolume that only the first, only the second front covers [1]."""
        whole = self.joint or 1.0
        return (self.joint - self.volume[1]) / whole, (self.joint - self.volume[0]) / whole

    def json(self) -> dict[str, Any]:
        """For programs."""
        values = 10.0 ** np.where([goal.maximize for goal in self.goals], -self.reference, self.reference)
        return {
            "names": list(self.names),
            "objectives": [goal._asdict() for goal in self.goals],
            "front_size": list(self.sizes),
            "reference_point": {goal.name: float(value) for goal, value in zip(self.goals, values, strict=True)},
            "hypervolume": list(self.volume),
            "hypervolume_unit": f"decades^{len(self.goals)}",
            "joint_hypervolume": self.joint,
            "only_own": list(self.own),
            "coverage": list(self.covered),
            "joint_front_rows": list(self.members),
            "best": {name: list(pair) for name, pair in self.best.items()},
            "frequencies": [item._asdict() for item in self.frequencies],
            "inputs_differ": {path: list(pair) for path, pair in self.inputs.items()},
        }


def compare_runs(first: Opened, second: Opened) -> RunComparison:
    """Compare two runs with the same objectives; SpecError names what makes them incomparable."""
    fronts = (first.front, second.front)
    goals = fronts[0].question.goals
    _refuse(first, second)
    scores = tuple(front.archive.scores[: len(front)] for front in fronts)
    both = np.concatenate(scores)
    reference = _common(first, second, both)
    kept = pareto.nondominated(both)
    best = {
        goal.name: (float(_best(fronts[0], place, goal)), float(_best(fronts[1], place, goal)))
        for place, goal in enumerate(goals)
    }
    return RunComparison(
        names=(first.name, second.name),
        goals=goals,
        sizes=(len(fronts[0]), len(fronts[1])),
        reference=reference,
        volume=(pareto.hypervolume(scores[0], reference), pareto.hypervolume(scores[1], reference)),
        joint=pareto.hypervolume(both, reference),
        covered=(coverage(scores[0], scores[1]), coverage(scores[1], scores[0])),
        members=(int(kept[: len(scores[0])].sum()), int(kept[len(scores[0]) :].sum())),
        best=best,
        frequencies=tuple(frequencies(*fronts)),
        inputs=dict(differing(_inputs_of(first.problem), _inputs_of(second.problem))),
    )


def _common(first: Opened, second: Opened, both: FloatArray) -> FloatArray:
    """Farther of the reference points of two runs, so that two runs of one study keep their own hypervolumes."""
    if first.reference is not None and second.reference is not None:
        return np.maximum(first.reference, second.reference)
    spread = np.maximum(both.max(axis=0) - both.min(axis=0), 10.0**-pareto.DECIMALS)
    return np.asarray(both.max(axis=0) + MARGIN * spread)


def coverage(one: FloatArray, other: FloatArray) -> float:
    """C-metric: part of the other set that a member of the first dominates or equals [1].

    Source: Zitzler and Thiele 1999, "Multiobjective evolutionary algorithms: a comparative case study".

    >>> coverage(np.array([[0.0, 1.0]]), np.array([[0.0, 2.0], [1.0, 0.0]]))
    0.5
    """
    grid = pareto.rounded(other)
    weak = np.zeros(len(other), dtype=bool)
    for member in pareto.rounded(one):
        weak |= (member <= grid).all(axis=1)
    return float(weak.mean()) if len(other) else 0.0


def frequencies(first: ParetoSet, second: ParetoSet) -> list[Frequency]:
    """Choices whose share of the rows differs between two fronts, the largest difference first."""
    shares = [_shares(front) for front in (first, second)]
    found = [
        Frequency(lever, choice, shares[0].get((lever, choice), 0.0), shares[1].get((lever, choice), 0.0))
        for lever, choice in dict.fromkeys((*shares[0], *shares[1]))
    ]
    changed = [item for item in found if item.first != item.second]
    return sorted(changed, key=lambda item: -abs(item.first - item.second))


def _shares(front: ParetoSet) -> dict[tuple[str, str], float]:
    """(lever, choice in words) -> share of the rows; a lever without effect is one choice of its own."""
    rows, axes = front.archive.rows[: len(front)], front.question.space.axes
    active = front.question.space.structure.active(rows)
    found = {}
    for column, axis in enumerate(axes):
        for index, choice in enumerate(axis.choices):
            share = float((active[:, column] & (rows[:, column] == index)).mean())
            if share:
                found[axis.name, wording.lever_word(axis.name, choice)] = share
        idle = float((~active[:, column]).mean())
        if idle:
            found[axis.name, INERT] = idle
    return found


def _best(front: ParetoSet, place: int, goal: Goal) -> float:
    row = int(np.argmin(front.archive.scores[: len(front), place]))
    return float(front.archive.metrics.columns[goal.name][row])


def _refuse(first: Opened, second: Opened) -> None:
    """Refuse runs whose fronts have nothing in common."""
    for opened in (first, second):
        if len(opened.front) == 0:
            raise _refused(opened.name, "the run has no feasible design, so it has no front to compare")
    goals = [[_words(goal) for goal in opened.front.question.goals] for opened in (first, second)]
    if goals[0] != goals[1]:
        why = f"objectives differ, {', '.join(goals[0])} here and {', '.join(goals[1])} in {second.name}"
        raise _refused(first.name, f"{why}: two fronts compare on the same objectives only")


def _words(goal: Goal) -> str:
    return f"{'maximize' if goal.maximize else 'minimize'} {goal.name}"


def _refused(name: str, why: str) -> SpecError:
    return SpecError([Mistake(name, 0, 0, "", why)])


def _inputs_of(problem: Problem) -> dict[str, Any]:
    """Study written out, its interconnects by what their files say: every run has copies of its own."""
    files = {name: hashlib.sha256(path.read_bytes()).hexdigest()[:DIGEST] for name, path in problem.topologies.items()}
    return {**dump(problem), "topologies": files}


def differing(first: Any, second: Any, path: str = "") -> Iterator[tuple[str, tuple[str, str]]]:
    """Paths of two studies at which what scores a design differs, with both values.

    >>> list(differing({"prices": {"pue": 1.2}}, {"prices": {"pue": 1.3}}))
    [('prices.pue', ('1.2', '1.3'))]
    """
    if isinstance(first, Mapping) and isinstance(second, Mapping):
        for key in dict.fromkeys((*first, *second)):
            if path or key not in ONCE_MORE:
                # What only one study has because only one offers it changes no score.
                if path in ("devices", "topologies") and not (key in first and key in second):
                    continue
                yield from differing(first.get(key), second.get(key), f"{path}.{key}".lstrip("."))
    elif first != second:
        yield path, (_text(first), _text(second))


def _text(value: Any) -> str:
    if isinstance(value, Mapping):
        return "present"
    if isinstance(value, list | tuple):
        return wording.listed([str(item) for item in value]) or "none"
    return "absent" if value is None else str(value)


def sentences(found: RunComparison) -> list[tuple[str, str]]:
    """Subject and text of what the comparison says."""
    one, two = found.names
    volume, unit = found.volume, f"decades^{len(found.goals)}"
    ratio = volume[1] / volume[0] if volume[0] else float("inf")
    shares = [wording.percent(part) for part in (*found.covered, *found.own)]
    values = f"{one} {volume[0]:.4g}, {two} {volume[1]:.4g} {unit}, ratio {wording.cell(ratio)}"
    rows = [
        f"{member:,} of {size:,} rows of {name}"
        for member, size, name in zip(found.members, found.sizes, found.names, strict=True)
    ]
    said = [
        ("hypervolume", f"{values}; measured from {_reference(found)}"),
        ("coverage", f"{one} covers {shares[0]} of {two}; {two} covers {shares[1]} of {one}"),
        (
            "joint front",
            f"{' and '.join(rows)}; only {one} covers {shares[2]} of the joint hypervolume, only {two} {shares[3]}",
        ),
    ]
    return [*said, ("inputs", _inputs(found))]


def _reference(found: RunComparison) -> str:
    """Common reference point in the units of tables."""
    parts = []
    for goal, score in zip(found.goals, found.reference, strict=True):
        value = 10.0 ** (-score if goal.maximize else score)
        parts.append(wording.metric(goal.name, goal.unit, float(value)))
    return ", ".join(parts)


FEW = 6
"""Inputs named in a sentence."""


def _inputs(found: RunComparison) -> str:
    """Whether both fronts rest on the same numbers."""
    if not found.inputs:
        return "the same models, devices, prices, targets and operating point: fronts differ by search and levers alone"
    named = [f"{path} {pair[0]} → {pair[1]}" for path, pair in list(found.inputs.items())[:FEW]]
    more = f", and {len(found.inputs) - FEW} more" if len(found.inputs) > FEW else ""
    classes = sorted({path.split(".")[1] for path in found.inputs if path.startswith("agents.")})
    mixture = f"; a task is not the same, as the agents differ ({', '.join(classes)})" if classes else ""
    count = f"{len(found.inputs)} input{'s differ' if len(found.inputs) > 1 else ' differs'}"
    return f"{count} ({'; '.join(named)}{more}): the comparison shows choices and inputs together{mixture}"


def tables(found: RunComparison, most: int = 12) -> list[Table]:
    """Best values and frequencies, as tables."""
    best = []
    for goal in found.goals:
        pair = found.best[goal.name]
        unit = shown(goal.unit)[1]
        ratio = pair[1] / pair[0]
        better = "same" if abs(ratio - 1) < 1e-9 else "better" if (ratio > 1) == goal.maximize else "worse"
        cells = [wording.cell(value / unit) for value in pair]
        best.append((wording.heading(goal.name, goal.unit), *cells, f"{wording.cell(ratio)}x", better))
    rows = [
        (wording.lever_name(item.lever), item.choice, wording.percent(item.first), wording.percent(item.second))
        for item in found.frequencies[:most]
    ]
    return [
        Table(("best of", *found.names, "ratio", ""), tuple(best), frozenset({0, 4})),
        Table(("lever", "choice", *found.names), tuple(rows), frozenset({0, 1})),
    ]
