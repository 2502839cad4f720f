"""A scatter in the terminal: two by four dots a character, logarithmic axes, letters for the designs that matter."""

import math
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from dse.arrays import FloatArray
from dse.insight import wording
from dse.insight.shortlist import Pick
from dse.insight.wording import number
from dse.search.frontier import ParetoSet
from dse.search.metrics import TINY

WIDTH, HEIGHT = 64, 12
"""Characters inside the axes."""

MARGIN = 0.04
"""Empty part of an axis on either side."""

MANTISSAS = ((1,), (1, 3), (1, 2, 5), (1, 1.5, 2, 3, 5, 7), tuple(np.arange(10, 100) / 10))
"""Steps inside a decade from coarse to fine, for the ticks of a short axis."""

BRAILLE = 0x2800
"""First of the braille characters."""

DOTS = ((0x01, 0x08), (0x02, 0x10), (0x04, 0x20), (0x40, 0x80))
"""Bit of each dot of a braille character, by row and column."""


class Axis(NamedTuple):
    """A logarithmic axis over `size` places."""

    low: float
    """Decade of the first place."""
    high: float
    """Decade of the last."""
    size: int
    """Places."""

    def places(self, values: FloatArray) -> FloatArray:
        """Place of each value, as a whole number."""
        share = (np.log10(values) - self.low) / (self.high - self.low)
        return np.clip(np.rint(share * (self.size - 1)), 0, self.size - 1)


class Mark(NamedTuple):
    """A letter in the picture."""

    letter: str
    x: float
    y: float


def axis(values: FloatArray, count: int) -> Axis:
    """Axis that holds all values with a margin."""
    low, high = float(np.log10(values.min())), float(np.log10(values.max()))
    room = max(high - low, 0.02)
    return Axis(low - MARGIN * room, low + room + MARGIN * room, count)


def ticks(own: Axis, most: int) -> list[float]:
    """Round values inside an axis, at least two where there are any, at most `most`."""
    decades = range(math.floor(own.low), math.ceil(own.high) + 1)
    best: list[float] = []
    for steps in MANTISSAS:
        found = [step * 10.0**decade for decade in decades for step in steps]
        inside = [value for value in found if own.low <= math.log10(value) <= own.high]
        if len(inside) > most and len(best) >= 2:
            break
        best = inside
        if len(best) >= 3:
            break
    stride = max(1, math.ceil(len(best) / most))
    return best[::stride]


def chart(x: FloatArray, y: FloatArray, marks: Sequence[Mark], titles: tuple[str, str]) -> list[str]:
    """Lines of a scatter of positive values; titles name the axes with their units.

    >>> x = np.array([1.0, 10.0, 100.0])
    >>> len(chart(x, x, [Mark("A", 10.0, 10.0)], ("cost $/task", "throughput task/s/MW"))) == HEIGHT + 3
    True
    """
    across, up = axis(x, 2 * WIDTH), axis(y, 4 * HEIGHT)
    cells = np.zeros((HEIGHT, WIDTH), dtype=np.int64)
    columns, heights = across.places(x).astype(int), up.places(y).astype(int)
    for column, height in zip(columns, 4 * HEIGHT - 1 - heights, strict=True):
        cells[height // 4, column // 2] |= DOTS[height % 4][column % 2]
    canvas = [[chr(BRAILLE + cell) if cell else " " for cell in row] for row in cells]
    for mark in marks:
        column = int(across.places(np.array([mark.x]))[0]) // 2
        row = HEIGHT - 1 - int(up.places(np.array([mark.y]))[0]) // 4
        canvas[row][_free(canvas[row], column)] = mark.letter
    return _framed(canvas, across, up, titles)


def _free(row: Sequence[str], column: int) -> int:
    """Nearest place of a row that no letter has."""
    places = sorted(range(len(row)), key=lambda place: (abs(place - column), place))
    return next((place for place in places if not row[place].isalpha()), column)


def _framed(canvas: list[list[str]], across: Axis, up: Axis, titles: tuple[str, str]) -> list[str]:
    """Canvas with its axes and ticks."""
    labels = {HEIGHT - 1 - int(up.places(np.array([value]))[0]) // 4: number(value) for value in ticks(up, HEIGHT // 2)}
    margin = max(map(len, [*labels.values(), ""])) + 2
    lines = [f"{'':{margin}}{titles[1]}"]
    for row, cells in enumerate(canvas):
        tick = "┤" if row in labels else "│"
        lines.append(f"{labels.get(row, ''):>{margin - 1}} {tick}{''.join(cells).rstrip()}")
    rule, written = ["─"] * WIDTH, [" "] * (WIDTH + 12)
    free = 0
    for value in ticks(across, WIDTH // 12):
        place, text = int(across.places(np.array([value]))[0]) // 2, number(value)
        start = max(place - len(text) // 2, 0)
        if start >= free:
            rule[place] = "┬"
            written[start : start + len(text)] = text
            free = start + len(text) + 1
    axis_line = f"{'':{margin}}└{''.join(rule)}"
    return [*lines, axis_line, f"{'':{margin + 1}}{''.join(written).rstrip()}   {titles[0]}"]


def picture(front: ParetoSet, picks: Sequence[Pick]) -> list[str]:
    """First objective of a front across, the second up, the lettered designs in it."""
    question = front.question
    names = [goal.name for goal in question.goals][:2]
    if len(names) < 2:
        return []
    columns = [
        np.asarray(front.archive.metrics.columns[name]) / wording.display(name, question.unit(name)).size
        for name in names
    ]
    x, y = (np.maximum(column[: len(front)], TINY) for column in columns)
    marks = [Mark(pick.letter, float(x[pick.row]), float(y[pick.row])) for pick in picks]
    heads = (wording.heading(names[0], question.unit(names[0])), wording.heading(names[1], question.unit(names[1])))
    return chart(x, y, marks, heads)
