"""A front as a table of pandas: one row per design, the unit in every column name."""

from typing import Any

from dse.facts.errors import Mistake, SpecError
from dse.search.frontier import ParetoSet, shown

HINT = 'to_frame needs pandas: pip install "dse[frame]"'


def frame(front: ParetoSet) -> Any:
    """DataFrame of all rows: objectives, choices, mapping, further results."""
    try:
        import pandas
    except ModuleNotFoundError:
        raise SpecError([Mistake("", 0, 0, "", HINT)]) from None
    return pandas.DataFrame(columns(front)).set_index("design [id]")


def columns(front: ParetoSet) -> dict[str, Any]:
    """Column with its unit -> values, numbers as numbers."""
    question, metrics, rows = front.question, front.archive.metrics, range(len(front))
    goals = {goal.name: goal.unit for goal in question.goals}
    results = {name: question.unit(name) for name in metrics.columns if name not in goals}
    chosen = [front.levers(row) for row in rows]
    found: dict[str, Any] = {"design [id]": list(front.ids)}
    found |= _numbers(front, goals)
    for axis in question.space.axes:
        unit, scale = shown(question.unit(axis.name)) if axis.ordered else ("name", 1.0)
        found[f"{axis.name} [{unit}]"] = [
            choice if isinstance(choice, str) else choice / scale for choice in (own[axis.name] for own in chosen)
        ]
    for name, values in metrics.mapping.items():
        labelled = name.rsplit(".", 1)[-1] in question.labels
        unit = "name" if labelled else question.unit(name)
        codes = [int(value) for value in values[: len(front)]]
        found[f"{name} [{unit}]"] = [question.word(name, code) for code in codes] if labelled else codes
    return found | _numbers(front, results)


def _numbers(front: ParetoSet, units: dict[str, str]) -> dict[str, Any]:
    metrics = front.archive.metrics
    return {
        f"{name} [{unit}]": metrics.columns[name][: len(front)] / scale
        for name, (unit, scale) in {name: shown(unit) for name, unit in units.items()}.items()
    }
