"""The map: cost against throughput, coloured by latency, with what lies behind the front."""

from dataclasses import dataclass
from typing import Any

import numpy as np
from plotly import graph_objects as go
from plotly.graph_objects import Figure

from dse.arrays import FloatArray
from dse.insight.report import designs, markup, style
from dse.insight.report.card import Card
from dse.insight.report.designs import Measure, Table
from dse.insight.report.scene import Scene
from dse.search import pareto

NEAR = 0.02
"""A design within this of the front in every objective is almost Pareto [1]."""

ROBUST = 0.5
"""A design that stays on the front in at least this share of the samples of what is not known gets a ring [1]."""

SIZE = (900.0, 330.0)
"""Usual size of the plot [pixels]."""

LETTER = (17.0, 17.0)
"""Room that a letter needs [pixels]."""

SIDES = {
    "top center": (0.0, 19.0),
    "bottom center": (0.0, -19.0),
    "middle right": (18.0, 0.0),
    "middle left": (-18.0, 0.0),
    "top right": (16.0, 17.0),
    "top left": (-16.0, 17.0),
    "bottom right": (16.0, -17.0),
    "bottom left": (-16.0, -17.0),
}
"""Side of a star -> offset of its letter [pixels]."""

CELLS = (56, 40)
"""Cells of the density along both axes."""

MOST_NEAR = 400
"""Almost-Pareto designs that are drawn."""


@dataclass(frozen=True)
class Map:
    """What the map shows, in the units of its axes."""

    note: str
    table: Table
    x: Measure
    y: Measure
    colour: Measure
    near: FloatArray
    """(m, 2) almost-Pareto designs."""
    density: FloatArray
    """(rows, columns) designs scored per cell; NaN where there is none."""
    edges: tuple[FloatArray, FloatArray]
    """Edges of the cells."""
    scored: int
    """Feasible designs in the density."""
    source: str
    """Where they come from."""
    robust: tuple[int, ...]
    """Places in the table of the designs that get a ring."""


def data(scene: Scene) -> Map:
    """Front, ε-band and density of a run."""
    table = designs.data(scene)
    x, y, colour = axes(table)
    scores, source = cloud(scene)
    near = np.zeros((0, 2))
    density, edges = np.zeros((0, 0)), (np.zeros(0), np.zeros(0))
    places = [[goal.name for goal in scene.goals].index(item.key) for item in (x, y) if _is_goal(scene, item)]
    if len(places) == 2 and len(scores):
        points = np.stack([_shown(scores[:, place], item) for place, item in zip(places, (x, y), strict=True)], axis=1)
        members = scene.front.archive.scores
        gap = pareto.shortfall(scores, members)
        close = np.flatnonzero((gap > 0) & (gap <= np.log10(1 + NEAR)))
        near = points[close[:: -(-len(close) // MOST_NEAR)]] if len(close) else near
        density, edges = _density(points)
    return Map(scene.note, table, x, y, colour, near, density, edges, len(scores), source, ringed(scene))


def ringed(scene: Scene) -> tuple[int, ...]:
    """Places in the table of the designs that mostly stay on the front."""
    own = scene.robustness
    shares = dict(zip(own.rows, own.front.tolist(), strict=True))
    return tuple(place for place, row in enumerate(scene.rows.tolist()) if shares.get(row, 0.0) >= ROBUST)


def axes(table: Table) -> tuple[Measure, Measure, Measure]:
    """Cost across, the second objective up, the third as colour; latencies stand in where there are fewer."""
    known = list(table.measures)
    return known[0], known[min(1, len(known) - 1)], known[min(2, len(known) - 1)]


def cloud(scene: Scene) -> tuple[FloatArray, str]:
    """(n, k) scores of feasible designs that are not on the front, and where they come from."""
    ledger = scene.ledger
    if ledger is not None and len(ledger.rows):
        return ledger.scores[ledger.violation <= 0], f"{len(ledger.rows):,} scored designs"
    drawn, metrics = scene.sample
    kept = metrics.feasible
    columns = [
        metrics.columns[goal.name][kept] ** (-1.0 if goal.maximize else 1.0) for goal in scene.goals
    ]  # a gain is turned, so that less is better
    return np.log10(np.stack(columns, axis=1)), f"a uniform sample of {len(drawn):,} designs"


def figure(own: Map) -> Figure:
    """Flat map."""
    made = Figure()
    if own.density.size:
        across, up = own.edges
        made.add_trace(
            go.Heatmap(
                x=across,
                y=up,
                z=np.log10(1 + own.density),
                customdata=own.density,
                colorscale=[[0, "rgba(128,136,148,0.10)"], [1, "rgba(128,136,148,0.50)"]],
                showscale=False,
                hovertemplate="%{customdata} feasible points<extra></extra>",
                name=f"density of {own.source}",
                showlegend=True,
                meta={"role": "density"},
            )
        )
    if len(own.near):
        made.add_trace(
            go.Scatter(
                x=own.near[:, 0],
                y=own.near[:, 1],
                mode="markers",
                marker={"symbol": "circle-open", "size": 6, "color": style.PALETTE["grey"], "line": {"width": 1}},
                name=f"within {100 * NEAR:.0f} % of the front",
                hovertemplate="almost Pareto<extra></extra>",
                meta={"role": "near"},
            )
        )
    made.add_trace(_front(own))
    if own.robust:
        made.add_trace(_rings(own))
    made.add_trace(_stars(own))
    log = {item.key: style.logarithmic(own.table.values[item.key]) for item in (own.x, own.y)}
    return style.dressed(
        made,
        f"{_title(own.x)} against {_title(own.y)}, colour {_title(own.colour)}",
        own.note,
        height=520,
        xaxis=style.axis(own.x.label, log[own.x.key] or own.density.size > 0),
        yaxis=style.axis(own.y.label, log[own.y.key] or own.density.size > 0),
        dragmode="lasso",
        hovermode="closest",
        legend={"orientation": "h", "y": 0, "yref": "container", "yanchor": "bottom", "x": 0, "font": {"size": 11}},
        margin={"l": 60, "r": 16, "t": 62, "b": 84},
    )


def solid(own: Map) -> Figure:
    """The same front in three dimensions, logarithmic: on linear axes it is a clump at the origin."""
    values, marks = own.table.values, _colours(own)

    made = Figure(
        go.Scatter3d(
            x=values[own.x.key],
            y=values[own.y.key],
            z=values[own.colour.key],
            mode="markers",
            marker=marks | {"size": 4},
            text=own.table.hover,
            hovertemplate="%{text}<extra></extra>",
            meta={"role": "front"},
        )
    )
    scene = {
        f"{letter}axis": {
            "title": {"text": item.label},
            "type": "log" if min(values[item.key]) > 0 else "linear",
            "gridcolor": style.PALE,
            "showbackground": False,
            "showline": True,
            "linecolor": style.PALE,
            "tickformat": "~g",
            "dtick": "D2" if min(values[item.key]) > 0 else None,
        }
        for letter, item in zip("xyz", (own.x, own.y, own.colour), strict=True)
    }
    title = "The front in three dimensions"
    view = {
        "aspectmode": "cube",
        "camera": {"eye": {"x": 1.45, "y": 1.6, "z": 0.6}, "center": {"x": 0, "y": 0, "z": -0.12}},
    }
    return style.dressed(
        made, title, own.note, height=560, scene=scene | view, margin={"l": 0, "r": 0, "t": 40, "b": 0}
    )


def card(scene: Scene) -> Card:
    """Card of the map."""
    own = data(scene)
    near = f" {len(own.near)} lie within {100 * NEAR:.0f} % of the front in every objective." if len(own.near) else ""
    whole = max(len(scene.front), int(scene.opened.run.summary.get("front_size", 0)))
    said = (
        f"{len(own.table.ids):,} of {whole:,} rows of the front; behind them {own.scored:,} feasible points of "
        f"{own.source}.{near} Drag to select: the selection filters every figure. Click to see a design below."
    )
    lettered = [place for place, letter in enumerate(own.table.letters) if letter]
    body = (
        markup.paragraph(said, "lead")
        + _controls(own)
        + '<div class="tabs" data-tabs><button data-tab="map-2d" class="on">Map</button>'
        '<button data-tab="map-3d">Three dimensions</button></div>'
        + f'<div data-panel="map-2d">{markup.slot("map")}</div>'
        + f'<div data-panel="map-3d" hidden>{markup.slot("solid")}</div>'
        + designs.html(own.table, lettered)
    )
    state = {"x": own.x.key, "y": own.y.key, "colour": own.colour.key}
    return Card(
        "map", "Map of the front", "What are my options?", body, {"map": figure(own), "solid": solid(own)}, state
    )


def _controls(own: Map) -> str:
    def menu(name: str, word: str, chosen: Measure) -> str:
        options = "".join(
            f'<option value="{markup.text(item.key)}"{" selected" if item.key == chosen.key else ""}>'
            f"{markup.text(item.label)}</option>"
            for item in own.table.measures
        )
        return f'<label>{word} <select data-axis="{name}">{options}</select></label>'

    limits = "".join(
        f'<option value="{markup.text(item.key)}"{" selected" if item.key == own.colour.key else ""}>'
        f"{markup.text(item.label)}</option>"
        for item in own.table.measures
        if not item.maximize
    )
    return (
        '<div class="controls script">'
        f"{menu('x', 'across', own.x)}{menu('y', 'up', own.y)}{menu('colour', 'colour', own.colour)}"
        f'<label class="slider">at most <select id="limit-metric">{limits}</select>'
        '<input id="limit" type="range" min="0" max="1000" value="1000" aria-label="upper limit">'
        '<output id="limit-value"></output></label>'
        '<button id="clear" type="button">show all</button><span id="count"></span></div>'
    )


def _front(own: Map) -> go.Scatter:
    values = own.table.values
    return go.Scatter(
        x=values[own.x.key],
        y=values[own.y.key],
        mode="markers",
        marker=_colours(own) | {"size": 8, "line": {"width": 0.5, "color": "rgba(255,255,255,0.6)"}},
        selected={"marker": {"opacity": 1.0}},
        unselected={"marker": {"opacity": 0.06}},
        text=own.table.hover,
        hovertemplate="%{text}<extra></extra>",
        name="Pareto designs",
        meta={"role": "front"},
    )


def _rings(own: Map) -> go.Scatter:
    values = own.table.values
    return go.Scatter(
        x=[values[own.x.key][place] for place in own.robust],
        y=[values[own.y.key][place] for place in own.robust],
        mode="markers",
        marker={
            "symbol": "circle-open",
            "size": 13,
            "color": style.PALETTE["purple"],
            "line": {"width": 1.5},
        },
        customdata=list(own.robust),
        name=f"on the front in {100 * ROBUST:.0f} % of the samples and more",
        hoverinfo="skip",
        meta={"role": "robust"},
    )


def _stars(own: Map) -> go.Scatter:
    places = [place for place, letter in enumerate(own.table.letters) if letter]
    values = own.table.values
    return go.Scatter(
        x=[values[own.x.key][place] for place in places],
        y=[values[own.y.key][place] for place in places],
        mode="markers+text",
        marker={
            "symbol": "star",
            "size": 15,
            "color": style.PALETTE["vermillion"],
            "line": {"width": 1, "color": "#fff"},
        },
        text=[f"<b>{own.table.letters[place]}</b>" for place in places],
        textposition=_sides(own, places),
        textfont={"size": 14, "shadow": "auto"},
        hovertext=[own.table.hover[place] for place in places],
        hovertemplate="%{hovertext}<extra></extra>",
        customdata=places,
        name="lettered designs",
        cliponaxis=False,
        meta={"role": "stars"},
    )


def _sides(own: Map, places: list[int]) -> list[str]:
    """Where letters stand so that they cover neither a star nor each other on a map of the usual size."""
    values = own.table.values
    logged = np.stack([designs.logs(values[item.key])[places] for item in (own.x, own.y)], axis=1)
    spread = np.maximum(np.ptp(logged, axis=0), 1e-9)
    spots = (logged - logged.min(axis=0)) / spread * SIZE
    labels: list[FloatArray] = []
    chosen = []
    for spot in spots:
        others = [*spots, *labels]
        room = {
            name: min(float(np.abs((spot + np.array(side) - other) / LETTER).max()) for other in others)
            for name, side in SIDES.items()
        }
        best = max(room, key=lambda name: min(room[name], 1.0))
        chosen.append(best)
        labels.append(spot + np.array(SIDES[best]))
    return chosen


def _colours(own: Map) -> dict[str, Any]:
    """Colour scale of the latency, logarithmic where its range is wide."""
    values = np.asarray(own.table.values[own.colour.key], dtype=float)
    return {
        "color": values,
        "colorscale": style.SEQUENTIAL,
        "reversescale": True,
        "showscale": True,
        "colorbar": {
            "title": {"text": own.colour.label.replace(" [", "<br>["), "side": "top", "font": {"size": 11}},
            "thickness": 12,
            "outlinewidth": 0,
            "exponentformat": "SI",
            "len": 0.85,
        },
    }


def _title(item: Measure) -> str:
    return item.label.rpartition(" [")[0]


def _is_goal(scene: Scene, item: Measure) -> bool:
    return any(goal.name == item.key for goal in scene.goals)


def _shown(scores: FloatArray, item: Measure) -> FloatArray:
    """Values of an objective in the unit of its axis."""
    return np.asarray(10.0 ** (-scores if item.maximize else scores) / item.scale)


def _density(points: FloatArray) -> tuple[FloatArray, tuple[FloatArray, FloatArray]]:
    """Counts per cell, evenly spaced in decades."""
    logged = np.log10(points)
    counts, across, up = np.histogram2d(logged[:, 0], logged[:, 1], bins=list(CELLS))
    shown = np.where(counts.T > 0, counts.T, np.nan)
    return shown, (10.0**across, 10.0**up)
