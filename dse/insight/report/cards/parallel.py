"""Levers and metrics of the front as parallel axes: which choices lead where."""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from plotly import graph_objects as go
from plotly.graph_objects import Figure

from dse.insight import wording
from dse.insight.report import designs, markup, style
from dse.insight.report.card import Card
from dse.insight.report.designs import Table
from dse.insight.report.scene import Scene

MOST_AXES = 14
"""Axes that still can be told apart."""

STEPS = (1, 2, 5)
"""Of a decade, marked on an axis."""


@dataclass(frozen=True)
class Axis:
    """One axis."""

    key: str
    label: str
    values: tuple[float, ...]
    """log10 of a metric, or the place of a choice among the choices."""
    ticks: tuple[float, ...]
    words: tuple[str, ...]


@dataclass(frozen=True)
class Parallel:
    """Axes of the front."""

    note: str
    axes: tuple[Axis, ...]
    colour: Axis


def data(scene: Scene) -> Parallel:
    """Levers that differ on the front, then objectives and latencies."""
    table = designs.data(scene)
    measures = [metric(table, item.key) for item in table.measures[: len(scene.goals) + 2]]
    levers = [lever(table, name, scene.short) for name in designs.differing(table)]
    levers = sorted(levers, key=lambda axis: -len(axis.words))[: MOST_AXES - len(measures)]
    kept = {axis.key for axis in levers}
    ordered = [lever(table, name, scene.short) for name in designs.differing(table) if name in kept]
    return Parallel(scene.note, (*ordered, *measures), measures[0])


def metric(table: Table, key: str) -> Axis:
    """Axis of a metric: plotly has no logarithmic parallel axis, so decades are plotted and values written."""
    values = table.values[key]
    label = next(item.label for item in table.measures if item.key == key)
    if min(values) <= 0:
        return Axis(key, label, values, (min(values), max(values)), (f"{min(values):g}", f"{max(values):g}"))
    ticks = log_ticks(min(values), max(values))
    words = tuple(f"{tick:g}" for tick in ticks)
    return Axis(key, label, tuple(float(v) for v in np.log10(values)), tuple(math.log10(tick) for tick in ticks), words)


def lever(table: Table, name: str, short: Mapping[str, str]) -> Axis:
    """Axis of a lever: a tick for each choice that the front takes."""
    order = designs.order(name, table.levers[name])
    place = {word: float(number) for number, word in enumerate(order)}
    values = tuple(place[word] for word in table.levers[name])
    words = tuple(short.get(word, word) for word in order)
    return Axis(name, wording.lever_name(name), values, tuple(place.values()), words)


def log_ticks(low: float, high: float) -> list[float]:
    """Round numbers between two values, and the values next to them; few enough to read.

    >>> log_ticks(0.3, 12)
    [0.5, 1.0, 2.0, 5.0, 10.0]
    """
    first, last = math.floor(math.log10(low)), math.ceil(math.log10(high))
    for steps in (STEPS, (1, 3), (1,)):
        found = [round(step * 10.0**decade, 12) for decade in range(first, last + 1) for step in steps]
        found = [tick for tick in found if low <= tick <= high]
        if len(found) <= 6:
            break
    return found if len(found) > 1 else [float(f"{low:.2g}"), float(f"{high:.2g}")]


def figure(own: Parallel) -> Figure:
    """Parallel axes."""
    made = Figure(
        go.Parcoords(
            dimensions=[_dimension(axis) for axis in own.axes],
            line={"color": own.colour.values, "colorscale": style.SEQUENTIAL, "reversescale": True},
            labelangle=-24,
            labelside="top",
            tickfont={"size": 10},
            labelfont={"size": 11},
            rangefont={"size": 1, "color": "rgba(0,0,0,0)"},
            unselected={"line": {"opacity": 0.03}},
            meta={"role": "parallel"},
        )
    )
    return style.dressed(
        made,
        f"Choices and results of the front, colour {own.colour.label}",
        own.note,
        height=500,
        margin={"l": 124, "r": 96, "t": 150, "b": 24},
    )


def card(scene: Scene) -> Card:
    """Card of the parallel axes."""
    own = data(scene)
    table = designs.data(scene)
    same = [f"{wording.lever_name(name)} {words[0]}" for name, words in table.levers.items() if len(set(words)) == 1]
    said = "Drag along an axis to keep the designs that pass there; the map follows, and its selection shows here."
    fixed = f" The same on the whole front: {', '.join(same)}." if same else ""
    rows = [(axis.label, counts(axis)) for axis in own.axes if axis.key in table.levers]
    body = (
        markup.paragraph(said + fixed, "lead")
        + '<div class="wide">'
        + markup.slot("parallel")
        + "</div>"
        + markup.details("choices of the front, counted", markup.table(("lever", "designs"), rows, words=(0, 1)))
    )
    state: dict[str, Any] = {"axes": [axis.key for axis in own.axes]}
    return Card("parallel", "Choices and results", "Which choices lead where?", body, {"parallel": figure(own)}, state)


def counts(axis: Axis) -> str:
    """Designs per choice."""
    number = [sum(value == tick for value in axis.values) for tick in axis.ticks]
    return ", ".join(f"{word} {count}" for word, count in zip(axis.words, number, strict=True))


def _dimension(axis: Axis) -> dict[str, Any]:
    low, high = min((*axis.values, *axis.ticks)), max((*axis.values, *axis.ticks))
    return {
        "label": style.plain(axis.label.replace(" [", " [")),
        "values": list(axis.values),
        "tickvals": list(axis.ticks),
        "ticktext": [style.plain(word) for word in axis.words],
        "range": [low, high if high > low else low + 1],
    }
