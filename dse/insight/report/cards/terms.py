"""What fills the time of a task along the front, and which limit is the nearest there."""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from plotly import graph_objects as go
from plotly.graph_objects import Figure
from plotly.subplots import make_subplots

from dse.arrays import FloatArray
from dse.insight import timing, wording
from dse.insight.case import Case, ClassCase, decode_phase
from dse.insight.report import designs, markup, style
from dse.insight.report.card import Card
from dse.insight.report.scene import Scene
from dse.insight.verdict import CLOSE, limits

STATIONS = 24
"""Designs along the front that are taken apart."""

CAUSES = (
    "prefill work",
    "queueing",
    "KV movement",
    "decode memory",
    "decode compute",
    "decode network",
    "decode overhead",
    "decode, attention apart",
)
"""Parts of the time of a task, from its first to its last."""

COLOURS = {
    "prefill work": "#44AA99",
    "queueing": style.BOUNDS["queue"],
    "KV movement": style.PALETTE["yellow"],
    "decode memory": style.BOUNDS["memory"],
    "decode compute": style.BOUNDS["compute"],
    "decode network": style.BOUNDS["network"],
    "decode overhead": style.BOUNDS["overhead"],
    "decode, attention apart": "#AA4499",
}

FIRST_TOKEN = {
    "pass in progress": "queueing",
    "own work": "prefill work",
    "queueing": "queueing",
    "KV transfer": "KV movement",
    "KV restore": "KV movement",
    "decode slot": "queueing",
}
"""Term of the first token -> part."""

DECODE = {name: f"decode {name}" for name in ("memory", "compute", "network", "overhead")}
"""Term of the decode step -> part; the others are `decode, attention apart`."""

KINDS = {
    "slack_capacity": "memory capacity",
    "slack_pool": "memory capacity",
    "slack_ttft": "time to first token",
    "slack_tpot": "time per output token",
    "slack_latency": "step latency",
}
"""Slack -> kind of limit; a stated requirement is called by its metric."""


LIMIT_COLOURS = {
    "memory capacity": style.BOUNDS["capacity"],
    "time to first token": "#332288",
    "time per output token": "#882255",
    "step latency": "#117733",
    "domain power": style.BOUNDS["power"],
}
"""Kind of limit -> its colour, none of which is a term's."""


@dataclass(frozen=True)
class Along:
    """Terms along the front, the cheapest design first."""

    note: str
    names: tuple[str, ...]
    """Letter or id of each station."""
    cost: tuple[str, ...]
    dollars: tuple[float, ...]
    """Cost of a task [$]."""
    lines: tuple[str, ...]
    shares: FloatArray
    """(stations, causes) parts of the mean time of a task, rows add up to 1."""
    seconds: tuple[str, ...]
    binding: tuple[str, ...]
    """Kind of the nearest limit."""
    slack: tuple[float, ...]
    nearest: tuple[str, ...]
    """The nearest limit in words."""
    full: tuple[bool, ...]
    """Whether memory is full: it costs batch, not time."""


def data(scene: Scene) -> Along:
    """Take designs along the front apart."""
    rows = stations(scene)
    columns = scene.front.archive.metrics.columns
    found = [causes(scene.case(row), scene.shares) for row in rows]
    total = np.array([sum(own.values()) for own in found])
    shares = np.array([[own[name] for name in CAUSES] for own in found]) / total[:, None]
    near = [limits(columns, row)[0] for row in rows]
    return Along(
        note=scene.note,
        names=tuple(scene.name(row) for row in rows),
        cost=tuple(wording.quantity(float(value), "$/task") for value in scene.values("cost", rows)),
        dollars=tuple(scene.values("cost", rows).tolist()),
        lines=tuple(scene.line(row) for row in rows),
        shares=shares,
        seconds=tuple(wording.quantity(float(value), "s") for value in total),
        binding=tuple(_kind(columns, row, scene.agents) for row in rows),
        slack=tuple(limit.slack for limit in near),
        nearest=tuple(limit.name for limit in near),
        full=tuple(_full(columns, row, scene.agents) for row in rows),
    )


def stations(scene: Scene) -> list[int]:
    """Rows of the front by cost, evenly spread in decades of cost; the lettered ones are among them."""
    cost = scene.values("cost", range(len(scene.front)))
    wanted = np.linspace(np.log10(cost.min()), np.log10(cost.max()), STATIONS)
    nearest = {int(np.abs(np.log10(cost) - place).argmin()) for place in wanted}
    return sorted(nearest | set(scene.letters), key=lambda row: (cost[row], row))


def causes(own: Case, shares: FloatArray) -> dict[str, float]:
    """Mean time of a task of the mixture, by cause [s]."""
    found = dict.fromkeys(CAUSES, 0.0)
    for item, share in zip(own.classes, shares, strict=True):
        for name, value in _step(own, item).items():
            found[name] += float(share) * item.at.shape.steps * value
    return found


def _step(own: Case, item: ClassCase) -> dict[str, float]:
    """Mean time of one step, by cause [s]."""
    found = dict.fromkeys(CAUSES, 0.0)
    first = timing.first_token_section(own, item)
    for term in first.terms:
        found[FIRST_TOKEN[term.name]] += term.value
    after = max(float(item.columns.latency_mean[0]) - sum(term.value for term in first.terms), 0.0)
    decode = timing.decode_section(own, item, decode_phase(own, item))
    for term in decode.terms:
        found[DECODE.get(term.name, "decode, attention apart")] += after * (term.share or 0.0)
    return {name: max(value, 0.0) for name, value in found.items()}


def figure(own: Along) -> Figure:
    """Stacked bars with a strip of the nearest limits below."""
    made = make_subplots(rows=2, cols=1, shared_xaxes=True, row_heights=[0.86, 0.14], vertical_spacing=0.04)
    places = list(range(len(own.names)))
    for column, name in enumerate(CAUSES):
        if not own.shares[:, column].any():
            continue
        made.add_trace(
            go.Bar(
                x=places,
                y=100 * own.shares[:, column],
                name=name,
                marker={"color": COLOURS[name], "line": {"width": 0}},
                customdata=[
                    [style.plain(own.names[place]), own.cost[place], own.seconds[place], style.plain(own.lines[place])]
                    for place in places
                ],
                hovertemplate="<b>%{customdata[0]}</b> %{customdata[3]}<br>"
                f"{name} %{{y:.0f}} % of %{{customdata[2]}} per task, %{{customdata[1]}}<extra></extra>",
            ),
            row=1,
            col=1,
        )
    for number, kind in enumerate(dict.fromkeys(own.binding)):
        inside = [place for place in places if own.binding[place] == kind]
        made.add_trace(
            go.Bar(
                x=inside,
                y=[1] * len(inside),
                name=f"nearest limit: {style.plain(kind)}",
                marker={
                    "color": LIMIT_COLOURS.get(kind, style.category(number)),
                    "pattern": {"shape": ["/" if own.full[place] else "" for place in inside], "size": 5},
                },
                customdata=[[style.plain(own.nearest[place]), wording.percent(own.slack[place])] for place in inside],
                hovertemplate="%{customdata[0]}: %{customdata[1]} left<extra></extra>",
            ),
            row=2,
            col=1,
        )
    ticks = [place for place in places if place % 3 == 0 or len(own.names[place]) == 1]
    style.dressed(
        made,
        "Where the time of a task goes, along the front",
        own.note,
        height=520,
        barmode="stack",
        bargap=0.12,
        legend={"orientation": "h", "y": 0, "yref": "container", "x": 0, "font": {"size": 11}, "yanchor": "bottom"},
        margin={"l": 56, "r": 16, "t": 62, "b": 122},
    )
    made.update_yaxes(style.axis("share of the time [%]", range=[0, 100], tickformat="d"), row=1, col=1)
    made.update_yaxes({"visible": False}, row=2, col=1)
    made.update_xaxes(
        style.axis(
            "designs along the front, the cheapest first: cost of a task",
            tickvals=ticks,
            ticktext=[_tick(own, place) for place in ticks],
            tickformat="",
            tickangle=0,
        ),
        row=2,
        col=1,
    )
    made.update_xaxes({"showgrid": False})
    return made


def card(scene: Scene) -> Card:
    """Card of the terms."""
    own = data(scene)
    lettered = [place for place, name in enumerate(own.names) if len(name) == 1]
    largest = own.shares.argmax(axis=1)
    first, last = CAUSES[largest[0]], CAUSES[largest[-1]]
    change = f"; at the fast end it is {last}" if last != first else " all along"
    said = (
        f"At the cheap end {first} takes the largest part of a task's time{change}. The strip names the nearest "
        "limit; where memory is full it is hatched, because capacity costs batch rather than time."
    )
    top = np.argsort(-own.shares, axis=1)[:, :3]
    rows = [
        (
            own.names[place],
            own.cost[place],
            own.seconds[place],
            ", ".join(f"{CAUSES[c]} {wording.percent(own.shares[place, c])}" for c in top[place]),
            f"{own.nearest[place]}, {wording.percent(own.slack[place])} left",
        )
        for place in lettered
    ]
    header = ("", "cost", "time of a task", "largest parts", "nearest limit")
    body = (
        markup.paragraph(said, "lead")
        + markup.slot("terms")
        + markup.details("as a table", markup.table(header, rows, words=(0, 3, 4)))
    )
    return Card(
        "why", "Why: terms along the front", "What limits us, and where does it change?", body, {"terms": figure(own)}
    )


def _tick(own: Along, place: int) -> str:
    cost = f"{own.dollars[place]:.2g}"
    return f"<b>{own.names[place]}</b><br>{cost}" if len(own.names[place]) == 1 else cost


def _kind(columns: Mapping[str, FloatArray], row: int, agents: tuple[str, ...]) -> str:
    """Kind of the nearest limit."""
    names = [f"{agent}.{name}" for agent in agents for name in KINDS] + [n for n in columns if n.startswith("slack_")]
    hardware = ("slack_prefill_", "slack_decode_", "slack_offload")
    known = {
        name: float(columns[name][row])
        for name in names
        if name in columns
        and not (name.startswith(hardware) and columns[name][row] == 0)
        and not (name.endswith("slack_pool") and columns[name][row] == 0)
    }
    nearest = min(known, key=lambda name: known[name]).rpartition(".")[2]
    return KINDS.get(nearest) or designs.label(nearest.removeprefix("slack_"), "").rpartition(" [")[0]


def _full(columns: Mapping[str, FloatArray], row: int, agents: tuple[str, ...]) -> bool:
    return any(float(columns[f"{agent}.slack_capacity"][row]) < CLOSE for agent in agents)
