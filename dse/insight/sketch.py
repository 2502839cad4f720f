"""A front as a small picture and a table of HTML: what a notebook shows of it without being asked."""

from html import escape
from typing import NamedTuple

import numpy as np

from dse.arrays import FloatArray
from dse.facts.problem import Problem
from dse.insight import table, wording
from dse.insight.shortlist import Pick
from dse.search.frontier import ParetoSet

WIDTH, HEIGHT, MARGIN = 560, 260, 46
"""Of the picture [pixels]."""

STEPS = (1, 2, 5)
"""Of a decade, marked on an axis."""

INK = "#0072B2"


class Axis(NamedTuple):
    """One logarithmic axis."""

    label: str
    values: FloatArray
    """In the shown unit."""

    def place(self, values: FloatArray) -> FloatArray:
        """Share of the axis, 0 to 1."""
        low, high = np.log10(self.values.min()), np.log10(self.values.max())
        return np.asarray((np.log10(values) - low) / max(high - low, 1e-9))

    def ticks(self) -> list[float]:
        """Round numbers inside."""
        low, high = float(self.values.min()), float(self.values.max())
        decades = range(int(np.floor(np.log10(low))), int(np.ceil(np.log10(high))) + 1)
        found = [step * 10.0**decade for decade in decades for step in STEPS if low <= step * 10.0**decade <= high]
        return found if len(found) < 7 else [tick for tick in found if f"{tick:e}".startswith("1.")]


def html(problem: Problem, front: ParetoSet, picks: tuple[Pick, ...]) -> str:
    """Picture of the first two objectives, and the table of the lettered designs."""
    if not len(front):
        return "<p>No design meets every requirement.</p>"
    rows = [pick.row for pick in picks]
    own = table.front_table(problem, front, rows, picks)
    head = "".join(f"<th>{escape(cell)}</th>" for cell in own.header)
    body = "".join(f"<tr>{''.join(f'<td>{escape(cell)}</td>' for cell in row)}</tr>" for row in own.rows)
    note = f"{len(front):,} Pareto designs of {problem.name} · analytic estimate, prices {problem.prices.date}"
    shown = picture(front, picks) if len(front.question.goals) > 1 else ""
    return (
        f"<div><p><b>{escape(note)}</b></p>{shown}"
        f"<table><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table></div>"
    )


def picture(front: ParetoSet, picks: tuple[Pick, ...]) -> str:
    """Scatter of the first two objectives, log-log, the lettered designs named."""
    across, up = (_axis(front, place) for place in (0, 1))
    x = MARGIN + across.place(across.values) * (WIDTH - 2 * MARGIN)
    y = HEIGHT - MARGIN - up.place(up.values) * (HEIGHT - 2 * MARGIN)
    dots = "".join(f'<circle cx="{a:.1f}" cy="{b:.1f}" r="3"/>' for a, b in zip(x, y, strict=True))
    letters = "".join(
        f'<text x="{x[pick.row] + 6:.1f}" y="{y[pick.row] - 6:.1f}" font-weight="bold">{pick.letter}</text>'
        for pick in picks
    )
    marks = "".join(
        _mark(MARGIN + _share(across, tick) * (WIDTH - 2 * MARGIN), HEIGHT - 26, tick, "middle")
        for tick in across.ticks()
    )
    marks += "".join(
        _mark(MARGIN - 8, HEIGHT - MARGIN - _share(up, tick) * (HEIGHT - 2 * MARGIN) + 4, tick, "end")
        for tick in up.ticks()
    )
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {HEIGHT}" width="{WIDTH}" role="img"'
        f' font-family="sans-serif" font-size="12" fill="currentColor"><g fill="{INK}" fill-opacity=".7">{dots}</g>'
        f'{letters}{marks}<text x="{WIDTH / 2}" y="{HEIGHT - 6}" text-anchor="middle">{escape(across.label)}</text>'
        f'<text x="{MARGIN - 40}" y="16">{escape(up.label)}</text></svg>'
    )


def _share(axis: Axis, value: float) -> float:
    return float(axis.place(np.array(value)))


def _mark(x: float, y: float, value: float, anchor: str) -> str:
    return f'<text x="{x:.0f}" y="{y:.0f}" text-anchor="{anchor}">{wording.number(value)}</text>'


def _axis(front: ParetoSet, place: int) -> Axis:
    goal = front.question.goals[place]
    unit = wording.display(goal.name, goal.unit)
    label = f"{wording.metric_name(goal.name)} [{unit.name}]"
    return Axis(label, front.archive.metrics.columns[goal.name][: len(front)] / unit.size)
