"""The designs of the page as one table: what hovers, filters, pins and copies read."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np

from dse.arrays import FloatArray
from dse.facts import units
from dse.facts.levers import REGISTRY
from dse.facts.metrics import METRICS
from dse.insight import wording
from dse.insight.report import markup, style
from dse.insight.report.scene import Scene
from dse.search.frontier import INERT

BESIDE = ("ttft_p95", "tpot", "task_latency", "cost_per_mtok", "energy_per_task", "domain_power")
"""Metrics beside the objectives that the axes may show."""

DIGITS = 7
"""Significant digits that the page holds; it shows three, so that it rounds once."""


class Measure(NamedTuple):
    """One metric as the page shows it."""

    key: str
    label: str
    """Name and unit, as an axis title has it."""
    scale: float
    """One of the shown unit in SI."""
    maximize: bool


@dataclass(frozen=True)
class Table:
    """Rows of the front that the page lists."""

    ids: tuple[str, ...]
    letters: tuple[str, ...]
    """Letter of a lettered design, else empty."""
    lines: tuple[str, ...]
    """In words."""
    parts: tuple[str, ...]
    """Devices alone, in words."""
    measures: tuple[Measure, ...]
    values: Mapping[str, tuple[float, ...]]
    """Metric -> values in the shown unit."""
    levers: Mapping[str, tuple[str, ...]]
    """Lever -> choice in words, as a study file says it."""
    hover: tuple[str, ...]
    """One sentence per design, escaped for figures."""

    def json(self) -> dict[str, Any]:
        """For the page's script; repeated words of a lever are listed once."""
        return {
            "ids": self.ids,
            "letters": self.letters,
            "lines": self.lines,
            "measures": [measure._asdict() for measure in self.measures],
            "values": self.values,
            "levers": {
                name: {"label": wording.lever_name(name), **_coded(words)} for name, words in self.levers.items()
            },
            "hover": self.hover,
        }


def measures(scene: Scene) -> tuple[Measure, ...]:
    """Objectives, then the metrics beside them."""
    columns = scene.front.archive.metrics.columns
    names = [goal.name for goal in scene.goals]
    names += [name for name in BESIDE if name in columns and name not in names]
    directions = {goal.name: goal.maximize for goal in scene.goals}
    found = []
    for name in names:
        shown = wording.display(name, scene.front.question.unit(name))
        known = METRICS.get(name.rsplit(".", 1)[-1])
        better = directions.get(name, known is not None and known.better == "higher")
        found.append(Measure(name, label(name, shown.name), shown.size, better))
    return tuple(found)


def label(name: str, unit: str) -> str:
    """Name and unit of a metric in full words.

    >>> label("ttft_p95", "s"), label("cost", "$/task"), label("latency", "/target")
    ('time to first token p95 [s]', 'cost [$/task]', 'step latency over its target [1]')
    """
    words = {
        "latency": "step latency over its target",
        "tpot": "time per output token",
        "throughput": "throughput",
        "cost_per_mtok": "cost of output tokens",
    }
    agent, _, last = name.rpartition(".")
    text = words.get(last, wording.metric_name(last).replace("TTFT", "time to first token"))
    return f"{f'{agent} ' if agent else ''}{text} [{'1' if unit == '/target' else unit}]"


def data(scene: Scene) -> Table:
    """Table of the listed rows."""
    rows = scene.rows.tolist()
    own = measures(scene)
    values = {
        item.key: tuple(float(f"{value:.{DIGITS}g}") for value in scene.values(item.key, rows) / item.scale)
        for item in own
    }
    lines = tuple(scene.line(row) for row in rows)
    chosen = [scene.front.levers(row) for row in rows]
    levers = {axis.name: tuple(_choice(axis.name, own[axis.name]) for own in chosen) for axis in _varied(scene)}
    ids = tuple(scene.front.ids[row] for row in rows)
    letters = tuple(scene.letters.get(row, "") for row in rows)
    goals = [goal.name for goal in scene.goals]
    named = list(dict.fromkeys([*goals, *(name for name in ("ttft_p95", "tpot") if name in values)]))
    unit = scene.front.question.unit
    hover = tuple(
        _sentence(letters[place] or ids[place], lines[place], [
            wording.metric(name, unit(name), float(scene.values(name, [row])[0])) for name in named
        ])
        for place, row in enumerate(rows)
    )  # fmt: skip
    parts = tuple(
        wording.design(choices, scene.front.mapping(row), scene.agents, scene.short)
        for row, choices in zip(rows, chosen, strict=True)
    )
    return Table(ids, letters, lines, parts, own, values, levers, hover)


def differing(table: Table) -> list[str]:
    """Levers that take more than one value among the listed designs."""
    return [name for name, words in table.levers.items() if len(set(words)) > 1]


def order(name: str, words: tuple[str, ...]) -> list[str]:
    """Values of a lever in the order of an axis: quantities by size, names by the alphabet, absence first."""
    lever = REGISTRY.get(name)

    def size(word: str) -> tuple[int, float, str]:
        if word == INERT:
            return (0, 0.0, word)
        if word in ("none", "native"):
            return (1, 0.0, word)
        if lever is not None and lever.kind == "quantity":
            return (2, units.parse(word, lever.unit), "")
        return (3, 0.0, word)

    return sorted(set(words), key=size)


def _varied(scene: Scene) -> list[Any]:
    return list(scene.opened.run.question.space.axes)


def _choice(name: str, choice: str | float | int) -> str:
    """Choice as a study file says it."""
    lever = REGISTRY.get(name)
    if isinstance(choice, str) or lever is None or lever.kind != "quantity":
        return str(choice)
    return units.show(float(choice), lever.unit) if lever.unit != "1" else f"{choice:g}"


def _sentence(name: str, line: str, said: list[str]) -> str:
    figures = [style.plain(part) for part in (line, ", ".join(said))]
    return f"<b>{style.plain(name)}</b> {figures[0]}<br>{figures[1]}"


def _coded(words: tuple[str, ...]) -> dict[str, Any]:
    known = list(dict.fromkeys(words))
    place = {word: number for number, word in enumerate(known)}
    return {"words": known, "codes": [place[word] for word in words]}


def html(table: Table, places: list[int]) -> str:
    """Table of some designs: objectives and latencies in at most eight columns."""
    shown = table.measures[: markup.MOST_COLUMNS - 2]
    header = ("", "design", *(item.label for item in shown))
    rows = [
        (
            table.letters[place] or table.ids[place],
            table.parts[place],
            *(wording.cell(table.values[item.key][place]) for item in shown),
        )
        for place in places
    ]
    return markup.table(header, rows, words=(0, 1), kind="designs")


def logs(values: tuple[float, ...]) -> FloatArray:
    """Decades of positive values."""
    return np.asarray(np.log10(np.asarray(values, dtype=float)))
