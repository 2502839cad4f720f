"""The front as a small drawing that needs no script: two objectives on logarithmic axes, some designs lettered."""

import math
from collections.abc import Sequence
from html import escape

import numpy as np

from dse.arrays import FloatArray

WIDTH, HEIGHT = 340, 210
LEFT, RIGHT, TOP, BOTTOM = 46, 12, 12, 34
"""Size of the drawing and room for its axes [px]."""

ROOM = 0.06
"""Part of an axis left free on either side [1]."""

STEPS = (1, 2, 5)
"""Leading digits of ticks."""

MOST_TICKS = 6

RADIUS = 8
"""Of a lettered design [px]."""


def drawing(points: FloatArray, lettered: Sequence[tuple[str, float, float, bool]], axes: tuple[str, str]) -> str:
    """SVG of a front.

    Parameters
    ----------
    points : (n, 2) array          designs in the units of the axes, positive
    lettered : sequence            letter, both values, whether it is the recommended one
    axes : two texts               name and unit of each axis
    """
    low, high = np.log10(points.min(axis=0)), np.log10(points.max(axis=0))
    room = ROOM * np.maximum(high - low, 0.1)
    low, high = low - room, high + room

    def across(value: float) -> float:
        return float(LEFT + (math.log10(value) - low[0]) / (high[0] - low[0]) * (WIDTH - LEFT - RIGHT))

    def up(value: float) -> float:
        return float(HEIGHT - BOTTOM - (math.log10(value) - low[1]) / (high[1] - low[1]) * (HEIGHT - TOP - BOTTOM))

    parts = []
    for tick in ticks(10 ** float(low[0]), 10 ** float(high[0])):
        x = across(tick)
        parts.append(f'<line class="grid" x1="{x:.1f}" x2="{x:.1f}" y1="{TOP}" y2="{HEIGHT - BOTTOM}"/>')
        parts.append(f'<text x="{x:.1f}" y="{HEIGHT - BOTTOM + 13}" text-anchor="middle">{tick:g}</text>')
    for tick in ticks(10 ** float(low[1]), 10 ** float(high[1])):
        y = up(tick)
        parts.append(f'<line class="grid" x1="{LEFT}" x2="{WIDTH - RIGHT}" y1="{y:.1f}" y2="{y:.1f}"/>')
        parts.append(f'<text x="{LEFT - 6}" y="{y + 3.5:.1f}" text-anchor="end">{tick:g}</text>')
    parts += [f'<circle class="dot" cx="{across(x):.1f}" cy="{up(y):.1f}" r="2"/>' for x, y in points.tolist()]
    places = apart([(across(x), up(y)) for _, x, y, _ in lettered])
    for (letter, x, y, chosen), (left, top) in zip(lettered, places, strict=True):
        kind = "pick chosen" if chosen else "pick"
        parts.append(f'<line class="lead" x1="{across(x):.1f}" y1="{up(y):.1f}" x2="{left:.1f}" y2="{top:.1f}"/>')
        parts.append(f'<circle class="{kind}" cx="{left:.1f}" cy="{top:.1f}" r="{RADIUS}"/>')
        parts.append(f'<text class="letter" x="{left:.1f}" y="{top + 3.5:.1f}">{escape(letter)}</text>')
    middle = (LEFT + WIDTH - RIGHT) / 2
    parts.append(f'<text class="axis" x="{middle:.0f}" y="{HEIGHT - 4}" text-anchor="middle">{escape(axes[0])}</text>')
    place = (TOP + HEIGHT - BOTTOM) / 2
    turn = f"rotate(-90 10 {place:.0f})"
    parts.append(
        f'<text class="axis" transform="{turn}" x="10" y="{place:.0f}" text-anchor="middle">{escape(axes[1])}</text>'
    )
    label = escape(f"{axes[1]} against {axes[0]}")
    return f'<svg class="front" viewBox="0 0 {WIDTH} {HEIGHT}" role="img" aria-label="{label}">{"".join(parts)}</svg>'


def apart(points: Sequence[tuple[float, float]]) -> list[tuple[float, float]]:
    """Places of letters, moved to the right where they would cover one before.

    >>> apart([(10.0, 10.0), (12.0, 10.0), (90.0, 10.0)])
    [(10.0, 10.0), (27.0, 10.0), (90.0, 10.0)]
    """
    placed: list[tuple[float, float]] = []
    for left, top in points:
        while any(math.hypot(left - x, top - y) < 2 * RADIUS for x, y in placed):
            left = max(x for x, y in placed if math.hypot(left - x, top - y) < 2 * RADIUS) + 2 * RADIUS + 1
        placed.append((left, top))
    return placed


def ticks(low: float, high: float) -> list[float]:
    """Round numbers inside a range on a logarithmic axis, few enough to read.

    >>> ticks(0.3, 12.0)
    [0.5, 1.0, 2.0, 5.0, 10.0]
    """
    first, last = math.floor(math.log10(low)), math.ceil(math.log10(high))
    for steps in (STEPS, STEPS[:1]):
        found = [float(f"{step * 10.0**power:.6g}") for power in range(first, last + 1) for step in steps]
        inside = [value for value in found if low <= value <= high]
        if len(inside) <= MOST_TICKS:
            return inside
    return inside[:: -(-len(inside) // MOST_TICKS)]
