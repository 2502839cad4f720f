"""The course of the search, or the word that it saw everything."""

import csv
from dataclasses import dataclass

import numpy as np
from plotly import graph_objects as go
from plotly.graph_objects import Figure

from dse.arrays import FloatArray
from dse.insight.report import markup, style
from dse.insight.report.card import Card
from dse.insight.report.scene import Scene
from dse.insight.wording import percent
from dse.search.runs import run as folders

LATE = 0.25
"""Last part of a search whose gain tells whether it has settled [1]."""


@dataclass(frozen=True)
class History:
    """Hypervolume over the designs scored."""

    note: str
    exhaustive: bool
    size: int
    evaluations: FloatArray
    seconds: FloatArray
    volume: FloatArray
    unit: str
    late: float
    """Part of the hypervolume that the last quarter of the search added [1]."""


def data(scene: Scene) -> History:
    """History of a run, of its archive or of its table."""
    run = scene.opened.run
    lines = np.array(_lines(scene), dtype=float).reshape(-1, 4)
    evaluations, seconds, volume = lines[:, 0], lines[:, 1], lines[:, 3]
    return History(
        scene.note,
        bool(run.summary.get("exhaustive")),
        run.question.space.size,
        evaluations,
        seconds,
        volume,
        str(run.summary.get("hypervolume_unit", "decades^k")),
        late_gain(evaluations, volume),
    )


def late_gain(evaluations: FloatArray, volume: FloatArray) -> float:
    """Part of the final hypervolume that the last quarter of the evaluations added.

    >>> late_gain(np.array([1.0, 75.0, 100.0]), np.array([1.0, 1.8, 2.0]))
    0.1
    """
    if len(volume) < 2 or volume[-1] <= 0:
        return 0.0
    before = float(volume[evaluations <= (1 - LATE) * evaluations[-1]][-1:].sum())
    return round(float(1 - before / volume[-1]), 6)


def figure(own: History) -> Figure:
    """Step line."""
    made = Figure(
        go.Scatter(
            x=own.evaluations,
            y=own.volume,
            mode="lines",
            line={"shape": "hv", "color": style.PALETTE["blue"], "width": 2.5},
            fill="tozeroy",
            fillcolor="rgba(0,114,178,0.12)",
            customdata=own.seconds,
            hovertemplate="%{x:,} designs, %{customdata:.1f} s: %{y:.4g}<extra></extra>",
        )
    )
    return style.dressed(
        made,
        "Hypervolume of the front during the search",
        own.note,
        height=300,
        xaxis=style.axis("designs scored", rangemode="tozero"),
        yaxis=style.axis(f"hypervolume [{style.power(own.unit)}]", rangemode="tozero"),
        showlegend=False,
    )


def card(scene: Scene) -> Card:
    """Card of the search."""
    own, summary = data(scene), scene.opened.run.summary
    if own.exhaustive:
        words = (
            f"Exhaustive: all {own.size:,} architectures were scored with all their mappings; this is the exact front."
        )
        return Card("history", "Search", "Is it converged?", markup.paragraph(words, "lead"))
    state = "interrupted" if summary.get("interrupted") else "at the end of its budget"
    words = (
        f"{summary.get('evaluations', 0):,} of {own.size:,} architectures were scored, {state}. The last quarter of "
        f"the search added {percent(own.late)} of the hypervolume: "
        + ("more budget would move the front." if own.late > 0.01 else "the front hardly moves any more.")
    )
    figures = {"history": figure(own)} if len(own.volume) > 1 else {}
    return Card(
        "history",
        "Search",
        "Is it converged?",
        markup.paragraph(words, "lead") + (markup.slot("history") if figures else ""),
        figures,
    )


def _lines(scene: Scene) -> list[list[float]]:
    folder = scene.opened.run.folder
    if scene.ledger is not None:
        return [list(line) for line in folders.load_epoch(folder).history]
    try:
        with (folder / folders.HISTORY).open(encoding="utf-8", newline="") as stream:
            return [[float(cell) for cell in line] for line in list(csv.reader(stream))[1:]]
    except OSError:
        return []
