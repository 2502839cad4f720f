"""The Pareto set of a run: its rows with names, knees, and the table people open."""

import csv
import io
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np

from dse.arrays import FloatArray, IntArray
from dse.search import pareto
from dse.search.archive import Archive
from dse.search.question import Question

DISPLAY: Mapping[str, tuple[str, float]] = {
    "B": ("GB", 1e9),
    "B/s": ("GB/s", 1e9),
    "$/tok": ("$/Mtok", 1e-6),
    "$/s": ("$/h", 1 / 3600),
    "task/J": ("task/s/MW", 1e-6),
}
"""SI unit -> unit in tables, and what one of it is in SI; every other unit is shown as it is."""

INERT = "inert"
"""Shown for a lever that has no effect in a design."""

DIGITS = 6
"""Significant digits of a number in a table: enough to compare, few enough to read."""


LISTED = 500
"""Rows up to which a table lists the whole front."""

RESOLUTION = float(np.log10(1.01))
"""Of a longer front a table lists rows such that each other one is within 1 % of them in every objective [decades]."""


@dataclass(frozen=True)
class ParetoSet:
    """Non-dominated rows, the best in the first objective first; D001, D002, ... name them."""

    question: Question
    archive: Archive
    listed_as: tuple[str, ...] = ()
    """Names of the rows where a table gave them."""

    def __len__(self) -> int:
        """Count the rows; an infeasible study has none."""
        return len(self.archive) if self.archive.feasible else 0

    @cached_property
    def ids(self) -> tuple[str, ...]:
        """Names of the rows: as they were listed, or counted."""
        if self.listed_as:
            return self.listed_as
        width = max(3, len(str(len(self))))
        return tuple(f"D{number:0{width}d}" for number in range(1, len(self) + 1))

    def objectives(self, row: int) -> dict[str, float]:
        """Objective -> value of one row, in the unit of tables."""
        columns = self.archive.metrics.columns
        return {goal.name: float(columns[goal.name][row]) / shown(goal.unit)[1] for goal in self.question.goals}

    def levers(self, row: int) -> dict[str, str | float | int]:
        """Lever -> choice of one row; inert levers say so."""
        choices = self.question.space.decode(self.archive.rows[row])
        active = self.question.space.structure.active(self.archive.rows[row : row + 1])[0]
        return {name: choice if acts else INERT for (name, choice), acts in zip(choices.items(), active, strict=True)}

    def mapping(self, row: int) -> dict[str, int]:
        """How software uses the architecture of one row."""
        return {name: int(values[row]) for name, values in self.archive.metrics.mapping.items()}

    def knees(self, count: int = 3, method: str = "bulge") -> IntArray:
        """Rows of balanced designs, apart from each other; `method` is bulge or regret."""
        if len(self) == 0:
            return np.zeros(0, dtype=np.int64)
        return pareto.spaced(self.archive.scores, KNEES[method](self.archive.scores), count)

    def listed(self) -> IntArray:
        """Rows that a table lists: all of a short front, representatives and knees of a long one."""
        if len(self) <= LISTED:
            return np.arange(len(self))
        knees = [self.knees(3, method) for method in KNEES]
        best = self.archive.scores[: len(self)].argmin(axis=0)
        return np.unique(np.concatenate([pareto.representatives(self.archive.scores, RESOLUTION), best, *knees]))

    def table(self) -> dict[str, list[str]]:
        """Column with its unit -> text of every listed row."""
        metrics, question, rows = self.archive.metrics, self.question, self.listed()
        goals = {goal.name: goal.unit for goal in question.goals}
        results = {name: question.unit(name) for name in metrics.columns if name not in goals}
        chosen = [self.levers(row) for row in rows.tolist()]
        ids = self.ids
        table = {"design [id]": [ids[row] for row in rows.tolist()]}
        table |= self._columns(goals, rows)
        for axis in question.space.axes:
            unit, scale = shown(question.unit(axis.name)) if axis.ordered else ("name", 1.0)
            table[f"{axis.name} [{unit}]"] = [_text(levers[axis.name], scale) for levers in chosen]
        for name, values in metrics.mapping.items():
            unit = "name" if name.rsplit(".", 1)[-1] in question.labels else question.unit(name)
            table[f"{name} [{unit}]"] = [question.word(name, int(value)) for value in values[rows]]
        return table | self._columns(results, rows)

    def _columns(self, units: Mapping[str, str], rows: IntArray) -> dict[str, list[str]]:
        columns = {}
        for name, (unit, scale) in {name: shown(unit) for name, unit in units.items()}.items():
            values = self.archive.metrics.columns[name][rows]
            columns[f"{name} [{unit}]"] = [_number(value / scale) for value in values]
        return columns

    def csv(self) -> str:
        """Write the table as comma-separated text."""
        table = self.table()
        text = io.StringIO()
        writer = csv.writer(text, lineterminator="\n")
        writer.writerow(table)
        writer.writerows(zip(*table.values(), strict=True))
        return text.getvalue()

    def to_csv(self, path: str | Path) -> None:
        """Write the table to a file."""
        Path(path).write_text(self.csv(), encoding="utf-8")


KNEES: Mapping[str, Callable[[FloatArray], IntArray]] = {
    "bulge": pareto.knees_by_bulge,
    "regret": pareto.knees_by_regret,
}
"""Two readings of balance: farthest below the plane through the extremes, smallest worst regret."""


def _number(value: float) -> str:
    return f"{value:.{DIGITS}g}"


def shown(unit: str) -> tuple[str, float]:
    """Unit in tables, and its size in SI.

    >>> shown("B/s")
    ('GB/s', 1000000000.0)
    """
    return DISPLAY.get(unit, (unit, 1.0))


def _text(choice: str | float | int, scale: float) -> str:
    return choice if isinstance(choice, str) else _number(choice / scale)
