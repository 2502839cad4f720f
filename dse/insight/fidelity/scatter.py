"""Predicted against measured as one HTML file: SVG written here, no script, nothing fetched, light and dark."""

import math
from collections.abc import Sequence
from html import escape
from typing import NamedTuple

import numpy as np

from dse.arrays import FloatArray, IntArray
from dse.insight.fidelity.validate import Report, Score, score
from dse.insight.fidelity.validation_text import HEADER, NAMES, summary, table
from dse.insight.wording import percent, quantity

BAND = 0.25
"""Half width of the band around the diagonal [1]."""

SIDE, MARGIN = 420.0, 56.0
"""Side of the plot and room for its axis [px]."""

COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#8C6D31", "#7F7F7F")
"""Okabe-Ito, with brown and grey in place of the yellow and black that one of the two backgrounds hides."""

SHAPES = (
    "M{x:.1f} {y:.1f}m-3 0a3 3 0 1 0 6 0a3 3 0 1 0-6 0z",
    "M{x:.1f} {y:.1f}m-2.7-2.7h5.4v5.4h-5.4z",
    "M{x:.1f} {y:.1f}m0-3.4l3.4 5.8h-6.8z",
    "M{x:.1f} {y:.1f}m0-3.6l3.6 3.6l-3.6 3.6l-3.6-3.6z",
    "M{x:.1f} {y:.1f}m0 3.4l3.4-5.8h-6.8z",
    "M{x:.1f} {y:.1f}m-3.4-1h2.4v-2.4h2v2.4h2.4v2h-2.4v2.4h-2v-2.4h-2.4z",
    "M{x:.1f} {y:.1f}m-3.4-3.4l3.4 2l3.4-2l-2 3.4l2 3.4l-3.4-2l-3.4 2l2-3.4z",
    "M{x:.1f} {y:.1f}m-3.6-1.3h7.2v2.6h-7.2z",
)
"""A shape per colour, so that the picture can be read without colours."""

STYLE = """
:root { --ink: #1a1a1a; --paper: #ffffff; --faint: #c8c8c8; --band: #0072b21f; color-scheme: light dark; }
@media (prefers-color-scheme: dark) { :root { --ink: #e6e6e6; --paper: #16181c; --faint: #4a4d55; --band: #56b4e933; } }
body { font: 15px/1.45 system-ui, sans-serif; color: var(--ink); background: var(--paper); margin: 2rem auto;
  max-width: 64rem; padding: 0 1rem; }
figure { display: inline-block; margin: 0 1rem 1.5rem 0; vertical-align: top; }
figcaption { max-width: 30rem; }
svg { background: var(--paper); max-width: 100%; }
svg text { font-size: 12px; fill: var(--ink); }
.grid { stroke: var(--faint); stroke-width: .5; } .diagonal { stroke: var(--ink); } .band { fill: var(--band); }
.points path { fill-opacity: .62; }
.key { display: inline-block; margin-right: 1.2em; white-space: nowrap; }
.scroll { overflow-x: auto; }
table { border-collapse: collapse; } td, th { padding: .1rem .7rem; text-align: right; white-space: pre; }
td:first-child, th:first-child { text-align: left; } th { border-bottom: 1px solid var(--faint); }
@media print { body { margin: 0; max-width: none; } }
"""


class Panel(NamedTuple):
    """One plot: a quantity of the rows of one phase or mode."""

    title: str
    rows: IntArray
    """Places of the rows in the report."""
    predicted: FloatArray
    measured: FloatArray
    found: Score


class Scale(NamedTuple):
    """Logarithmic scale that both axes share."""

    low: float
    """Decade of the origin."""
    high: float
    """Decade of the far end."""

    def x(self, value: float) -> float:
        """Place across [px]."""
        return MARGIN + SIDE * (math.log10(value) - self.low) / (self.high - self.low)

    def y(self, value: float) -> float:
        """Place downwards [px]."""
        return SIDE + 10 - SIDE * (math.log10(value) - self.low) / (self.high - self.low)


def page(report: Report) -> str:
    """HTML page of a report: plots, scores, rows that are not predicted."""
    title = f"Predicted against measured: {report.path}"
    kinds = list(dict.fromkeys(report.labels["device"]))
    figures = "".join(_figure(panel, report, kinds) for panel in panels(report))
    known = figures or "<p>No row has both a prediction and a measurement.</p>"
    said = "<br>".join(escape(sentence.strip()) for sentence in summary(report))
    return (
        f'<!doctype html>\n<html lang="en"><head><meta charset="utf-8"><title>{escape(title)}</title>'
        f'<meta name="viewport" content="width=device-width, initial-scale=1"><style>{STYLE}</style></head><body>'
        f"<h1>Predicted against measured</h1><p>{said}</p><p>{_legend(kinds)}</p>{known}"
        f'<div class="scroll">{_scores(report)}</div></body></html>\n'
    )


def panels(report: Report) -> list[Panel]:
    """Plots of a report that have points."""
    made = []
    for name, predicted in report.predicted.items():
        measured = report.measured[name]
        for phase in dict.fromkeys(report.labels["phase"]):
            mine = np.array([own == phase for own in report.labels["phase"]])
            both = np.flatnonzero(mine & np.isfinite(predicted) & np.isfinite(measured) & (measured > 0))
            found = score(predicted[both], measured[both])
            if found:
                made.append(Panel(f"{NAMES[name]}, {phase}", both, predicted[both], measured[both], found))
    return made


def _figure(panel: Panel, report: Report, kinds: Sequence[str]) -> str:
    """One plot with its caption."""
    both = np.concatenate([panel.predicted, panel.measured])
    low, high = float(np.log10(both.min())), float(np.log10(both.max()))
    room = max(0.05 * (high - low), 0.05)
    scale = Scale(low - room, high + room)
    size = f"{SIDE + MARGIN + 14:.0f} {SIDE + 56:.0f}"
    found = panel.found
    caption = (
        f"{panel.title}: {found.rows:,} rows, median error {percent(found.median)}, bias {100 * found.bias:+.1f} %, "
        f"rank correlation {found.spearman:.3f}. Shaded: within {100 * BAND:.0f} %."
    )
    return (
        f'<figure><svg viewBox="0 0 {size}" width="{SIDE + MARGIN + 14:.0f}" role="img" '
        f'aria-label="{escape(caption, quote=True)}">{_axes(scale)}{_points(panel, scale, report, kinds)}</svg>'
        f"<figcaption>{escape(caption)}</figcaption></figure>"
    )


def _axes(scale: Scale) -> str:
    """Band, diagonal, grid with a label at every 1, 2, 5 that has room, and titles."""
    bottom, right = SIDE + 10, MARGIN + SIDE
    width = SIDE / (scale.high - scale.low)
    above, below = math.log10(1 + BAND) * width, -math.log10(1 - BAND) * width
    made = [
        # A drawing inside the drawing cuts the band off at the frame.
        f'<svg x="{MARGIN}" y="10" width="{SIDE}" height="{SIDE}"><path class="band" '
        f'd="M0 {SIDE - above:.1f}L{SIDE} {-above:.1f}V{below:.1f}L0 {SIDE + below:.1f}z"/></svg>'
        f'<path class="diagonal" d="M{MARGIN} {bottom}L{right} 10"/>'
    ]
    steps = (1,) if scale.high - scale.low > 2 else (1, 2, 5)
    for decade in range(math.floor(scale.low), math.ceil(scale.high) + 1):
        for step in steps:
            value = step * 10.0**decade
            if not scale.low <= math.log10(value) <= scale.high:
                continue
            x, y, label = scale.x(value), scale.y(value), quantity(value, "s")
            made.append(
                f'<path class="grid" d="M{x:.1f} 10V{bottom}M{MARGIN} {y:.1f}H{right}"/>'
                f'<text x="{x:.1f}" y="{bottom + 16:.0f}" text-anchor="middle">{label}</text>'
                f'<text x="{MARGIN - 5}" y="{y + 4:.1f}" text-anchor="end">{label}</text>'
            )
    made.append(
        f'<text x="{MARGIN + SIDE / 2}" y="{bottom + 36:.0f}" text-anchor="middle">measured</text>'
        f'<text transform="translate(11 {10 + SIDE / 2}) rotate(-90)" text-anchor="middle">predicted</text>'
    )
    return "".join(made)


def _points(panel: Panel, scale: Scale, report: Report, kinds: Sequence[str]) -> str:
    """One mark per row, with the row's name, both times and the error when pointed at."""
    made = []
    for row, own, real in zip(panel.rows, panel.predicted, panel.measured, strict=True):
        place = int(row)
        look = kinds.index(report.labels["device"][place]) % len(COLOURS)
        path = SHAPES[look].format(x=scale.x(float(real)), y=scale.y(float(own)))
        words = (
            f"{report.ids[place]}: {report.labels['model'][place]} on {report.labels['device'][place]}, predicted "
            f"{quantity(float(own), 's')}, measured {quantity(float(real), 's')}, {100 * (own / real - 1):+.0f} %"
        )
        made.append(f'<path d="{path}" fill="{COLOURS[look]}"><title>{escape(words)}</title></path>')
    return f'<g class="points">{"".join(made)}</g>'


def _legend(kinds: Sequence[str]) -> str:
    """Shape and colour of every device."""
    made = []
    for place, name in enumerate(kinds):
        look = place % len(COLOURS)
        path = SHAPES[look].format(x=7.0, y=7.0)
        mark = f'<svg width="14" height="14" aria-hidden="true"><path d="{path}" fill="{COLOURS[look]}"/></svg>'
        made.append(f'<span class="key">{mark} {escape(name)}</span>')
    return "".join(made)


def _scores(report: Report) -> str:
    """Table of scores."""
    head = "".join(f"<th>{escape(word)}</th>" for word in HEADER)
    body = "".join("<tr>" + "".join(f"<td>{escape(text)}</td>" for text in row) + "</tr>" for row in table(report).rows)
    return f"<table><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table>"
