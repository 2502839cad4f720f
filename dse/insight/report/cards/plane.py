"""The plane of operational intensity and capacity footprint, and the roofline of the same passes."""

from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
from plotly import graph_objects as go
from plotly.graph_objects import Figure

from dse.arrays import FloatArray
from dse.insight import wording
from dse.insight.case import Case, ClassCase, Phase, decode_phase, prefill_phase
from dse.insight.report import markup, style
from dse.insight.report.card import Card
from dse.insight.report.scene import Scene
from dse.physics import demand, intensity, transformer
from dse.physics.work import pass_work
from dse.search.scoring import passes

CONTEXTS: FloatArray = np.geomspace(1e3, 1e6, 31)
"""Contexts of a trajectory [tok]."""

TICKS = ((1e3, "1k"), (1e4, "10k"), (1e5, "100k"), (1e6, "1M"))
"""Contexts that are marked."""


@dataclass(frozen=True)
class Trajectory:
    """One class in one phase on one design, over the context."""

    agent: str
    phase: str
    model: str
    device: str
    batch: float
    """Requests that share the weights [1]."""
    oi: FloatArray
    """Per context [FLOP/B]."""
    cf: FloatArray
    """Per request: its cache and its share of the weights [B]."""
    at: tuple[float, float]
    """OI and CF at the mean context of the class."""
    context: float
    """Mean context of the class [tok]."""
    longest: float
    """Of the model [tok]."""
    ridge: float
    """Of the device, in the format of the linear layers [FLOP/B]."""
    room: float
    """Memory per request at this batch: above it the batch does not fit [B]."""
    rate: float
    """FLOP/s per device that the pass attains."""
    intensity: float
    """OI of the pass whose rate this is [FLOP/B]."""
    peak: float
    """[FLOP/s]"""
    bandwidth: float
    """[B/s]"""


class Point(NamedTuple):
    """How a phase runs on a design."""

    phase: str
    load: demand.Load
    """One entry per context."""
    batch: float
    """Requests that share the weights [1]."""
    usable: float
    """Memory of a device for weights and cache [B]."""
    context: float
    """Mean context of the class [tok]."""


@dataclass(frozen=True)
class Plane:
    """Trajectories of the designs that are shown at length."""

    note: str
    systems: tuple[str, ...]
    lines: tuple[str, ...]
    paths: tuple[tuple[Trajectory, ...], ...]
    """Per system."""


def data(scene: Scene) -> Plane:
    """Trajectories of every class and phase on every lettered design."""
    paths = tuple(
        tuple(path for item in scene.case(pick.row).classes for path in trajectories(scene.case(pick.row), item))
        for pick in scene.shown
    )
    lines = tuple(scene.line(pick.row) for pick in scene.shown)
    return Plane(scene.note, tuple(pick.letter for pick in scene.shown), lines, paths)


def trajectories(own: Case, item: ClassCase) -> list[Trajectory]:
    """Prefill, where it has a pool of its own, and decode of a class."""
    found = [] if item.colocated else [_prefill(own, item)]
    return [*found, _decode(own, item)]


def _decode(own: Case, item: ClassCase) -> Trajectory:
    done = decode_phase(own, item)
    new = 1.0 + float(own.levers["draft_length"])
    batch = float(item.at.decode.batch[0])
    load = demand.Load(np.full(CONTEXTS.size, batch / float(done.grid.pp[0])), new, CONTEXTS, new)
    usable = float(own.block.decode.usable[0, item.mapping["decode.type"]])
    context = own.plan.classes[item.index].load.decode_context
    return _trajectory(own, item, done, Point("decode", load, batch, usable, context))


def _prefill(own: Case, item: ClassCase) -> Trajectory:
    done = prefill_phase(own, item)
    ranks = float(done.grid.attention_dp[0])
    fresh = np.minimum(float(item.mapping["prefill.chunk"]), CONTEXTS)
    load = demand.Load(np.full(CONTEXTS.size, ranks), fresh, np.maximum(CONTEXTS - fresh, 1.0))
    usable = float(own.block.prefill.usable[0, item.mapping["prefill.type"]])
    served = own.plan.classes[item.index].load
    return _trajectory(own, item, done, Point("prefill", load, ranks, usable, served.cached + served.fresh))


def _trajectory(own: Case, item: ClassCase, done: Phase, point: Point) -> Trajectory:
    """Trajectory over the context; attention ranks and pipeline stages are those of the design."""
    site, model = done.site, own.plan.classes[item.index].agent.model
    oi = intensity.phase_oi(pass_work(done.shape, site.precision, passes.mapping(done.grid), point.load))
    kv = transformer.kv_bytes(done.shape, CONTEXTS, float(np.ravel(site.precision.kv)[0]))
    weights = float(np.ravel(done.ledger.weights_bytes)[0]) * done.devices
    cf = intensity.cf_request(kv, weights, np.array(point.batch))
    rate, bandwidth = (float(np.ravel(own)[0]) for own in (site.supply.linear_rate, site.supply.memory_bandwidth))
    spot, decades = float(np.log10(point.context)), np.log10(CONTEXTS)
    return Trajectory(
        agent=item.name,
        phase=point.phase,
        model=model.id,
        device=done.device,
        batch=point.batch,
        oi=oi,
        cf=cf,
        at=(float(np.interp(spot, decades, oi)), float(np.interp(spot, decades, cf))),
        context=point.context,
        longest=float(model.max_context),
        ridge=rate / bandwidth,
        room=point.usable * done.devices / point.batch,
        rate=float(done.work.flop.sum() / done.time.seconds[0]),
        intensity=float(intensity.phase_oi(done.work)[0]),
        peak=rate,
        bandwidth=bandwidth,
    )


def figure(own: Plane) -> Figure:
    """Plane of every system; the page shows one system at a time."""
    made = Figure()
    for number, (system, paths) in enumerate(zip(own.systems, own.paths, strict=True)):
        agents = list(dict.fromkeys(path.agent for path in paths))
        for path in paths:
            _draw(made, path, system, style.category(agents.index(path.agent)), number == 0)
        _ridges(made, paths, system, number == 0)
    style.dressed(
        made,
        "Operational intensity and capacity footprint of every phase",
        own.note,
        **_frame("CF per request: cache and share of the weights [B]", 84),
        hovermode="closest",
    )
    corners = (
        (0.01, 0.02, "left", "bottom", "memory bandwidth binds"),
        (0.99, 0.02, "right", "bottom", "compute binds"),
        (0.01, 0.98, "left", "top", "capacity, then bandwidth"),
        (0.99, 0.98, "right", "top", "capacity, then compute"),
    )
    for x, y, side, edge, words in corners:
        made.add_annotation(
            x=x, y=y, xref="paper", yref="paper", xanchor=side, yanchor=edge, text=f"<i>{words}</i>", showarrow=False,
            font={"size": 12}, opacity=0.75,
        )  # fmt: skip
    return made


def _draw(made: Figure, path: Trajectory, system: str, colour: str, visible: bool) -> None:
    """Trajectory, its ticks, the mean context of the class, the memory per request."""
    inside = path.longest * 1.0001 >= CONTEXTS
    dash = "solid" if path.phase == "decode" else "dot"
    name = style.plain(f"{path.agent}, {path.phase}")
    group = f"{system}-{path.agent}-{path.phase}"
    common = {"legendgroup": group, "meta": {"system": system}, "visible": visible}
    made.add_trace(
        go.Scatter(
            x=path.oi[inside],
            y=path.cf[inside],
            mode="lines",
            line={"color": colour, "width": 2.5, "dash": dash},
            name=name,
            customdata=CONTEXTS[inside],
            hovertemplate=f"{name} of {style.plain(path.model)} on {style.plain(path.device)}, batch {path.batch:g}<br>"
            "context %{customdata:.3s} tok: %{x:.3s} FLOP/B, %{y:.3s}B per request<extra></extra>",
            **common,
        )
    )
    ticks = [(value, word) for value, word in TICKS if value <= path.longest * 1.05]
    place = [int(np.abs(np.log10(CONTEXTS / value)).argmin()) for value, _ in ticks]
    made.add_trace(
        go.Scatter(
            x=path.oi[place],
            y=path.cf[place],
            mode="markers+text",
            text=[word for _, word in ticks],
            textposition="middle right" if path.phase == "decode" else "top center",
            textfont={"size": 10},
            marker={"size": 5, "color": colour},
            showlegend=False,
            hoverinfo="skip",
            **common,
        )
    )
    made.add_trace(
        go.Scatter(
            x=[path.at[0]],
            y=[path.at[1]],
            mode="markers",
            marker={"size": 12, "color": colour, "symbol": "diamond", "line": {"width": 1.5, "color": "#fff"}},
            showlegend=False,
            hovertemplate=f"{name}: mean context {path.context:.3g} tok; memory for "
            f"{wording.quantity(path.room, 'B')} per request<extra></extra>",
            **common,
        )
    )
    made.add_trace(
        go.Scatter(
            x=[path.at[0] / 1.6, path.at[0] * 1.6],
            y=[path.room, path.room],
            mode="lines",
            line={"color": colour, "width": 4},
            opacity=0.8,
            showlegend=False,
            hovertemplate=f"{name}: memory for {wording.quantity(path.room, 'B')} per request at batch "
            f"{path.batch:g}<extra></extra>",
            **common,
        )
    )


def _ridges(made: Figure, paths: tuple[Trajectory, ...], system: str, visible: bool) -> None:
    """Vertical line per device and number format."""
    low = min(float(path.cf.min()) for path in paths) / 2
    high = max(max(float(path.cf.max()), path.room) for path in paths) * 2
    devices: dict[int, list[str]] = {}
    for path in paths:
        known = devices.setdefault(round(path.ridge), [])
        known += [path.device] if path.device not in known else []
    for number, (ridge, names) in enumerate(sorted(devices.items())):
        who = style.plain(", ".join(names))
        made.add_trace(
            go.Scatter(
                x=[ridge, ridge],
                y=[low, high],
                mode="lines+text",
                line={"color": style.PALETTE["grey"], "width": 1.5, "dash": "dash"},
                text=["", f"ridge {ridge:,}: {who}"],
                textposition="top left" if number % 2 == 0 else "top right",
                textfont={"size": 11},
                cliponaxis=False,
                showlegend=False,
                hovertemplate=f"{who}: ridge {ridge:,} FLOP/B<extra></extra>",
                meta={"system": system},
                visible=visible,
            )
        )


def roofline(own: Plane) -> Figure:
    """Classic view: rate attained over operational intensity, under the roof of each device."""
    made = Figure()
    for number, (system, paths) in enumerate(zip(own.systems, own.paths, strict=True)):
        common = {"meta": {"system": system}, "visible": number == 0}
        roofs = {(path.device, round(path.peak)): path for path in paths}
        for place, path in enumerate(roofs.values()):
            across = np.array([path.ridge / 3e3, path.ridge, path.ridge * 30])
            made.add_trace(
                go.Scatter(
                    x=across,
                    y=np.minimum(path.peak, path.bandwidth * across),
                    mode="lines",
                    line={"color": style.category(place + 3), "width": 2},
                    name=style.plain(f"roof of {path.device}"),
                    hoverinfo="skip",
                    **common,
                )
            )
        agents = list(dict.fromkeys(path.agent for path in paths))
        for path in paths:
            name = style.plain(f"{path.agent}, {path.phase}")
            made.add_trace(
                go.Scatter(
                    x=[path.intensity],
                    y=[path.rate],
                    mode="markers",
                    marker={
                        "size": 11,
                        "symbol": "circle" if path.phase == "decode" else "square",
                        "color": style.category(agents.index(path.agent)),
                        "line": {"width": 1, "color": "#fff"},
                    },
                    name=name,
                    hovertemplate=f"{name} on {style.plain(path.device)}: "
                    "%{x:.3s} FLOP/B, %{y:.3s}FLOP/s<extra></extra>",
                    **common,
                )
            )
    return style.dressed(
        made,
        "Roofline: rate of each pass under the roof of its device",
        own.note,
        **_frame("rate per device [FLOP/s]", 62),
    )


def _frame(up: str, top: int) -> dict[str, Any]:
    """Layout that both figures share: intensity across, what stands up, room for titles above."""
    return {
        "height": 540,
        "xaxis": style.axis("operational intensity of the pass on one device [FLOP/B]", True, si=True),
        "yaxis": style.axis(up, True, si=True),
        "legend": {"orientation": "h", "y": 0, "yref": "container", "x": 0, "font": {"size": 11}, "yanchor": "bottom"},
        "margin": {"l": 64, "r": 16, "t": top, "b": 96},
    }


def card(scene: Scene) -> Card:
    """Card of the plane."""
    own = data(scene)
    options = "".join(
        f'<option value="{markup.text(system)}">{markup.text(f"{system}: {line}")}</option>'
        for system, line in zip(own.systems, own.lines, strict=True)
    )
    said = (
        "Each line is one phase of one class of agents as its context grows from 1k to 1M tokens. Left of a device's "
        "ridge the memory bandwidth binds, right of it the compute. The short bar of the same colour is the memory "
        "there is for one request at the batch of this design: where the line passes it, capacity binds and the batch "
        "must shrink. The diamond is the mean context of the class."
    )
    rows = [
        (
            f"{path.agent}, {path.phase}",
            path.device,
            wording.number(path.batch),
            wording.number(path.context),
            wording.number(path.at[0]),
            wording.number(path.ridge),
            wording.quantity(path.at[1], "B"),
            wording.quantity(path.room, "B"),
        )
        for path in own.paths[0]
    ]
    header = (
        "phase",
        "device",
        "batch",
        "context [tok]",
        "OI [FLOP/B]",
        "ridge [FLOP/B]",
        "CF per request",
        "memory per request",
    )
    body = (
        markup.paragraph(said, "lead")
        + '<div class="controls script"><label>system <select id="plane-system" data-figures="plane roofline">'
        + f"{options}</select></label></div>"
        + '<div class="tabs" data-tabs><button data-tab="plane-plane" class="on">OI–CF plane</button>'
        '<button data-tab="plane-roof">Roofline</button></div>'
        + f'<div data-panel="plane-plane">{markup.slot("plane")}</div>'
        + f'<div data-panel="plane-roof" hidden>{markup.slot("roofline")}</div>'
        + markup.details(f"system {own.systems[0]} as a table", markup.table(header, rows, words=(0, 1)))
    )
    return Card(
        "plane",
        "Operational intensity and capacity footprint",
        "Which regime is each phase in?",
        body,
        {"plane": figure(own), "roofline": roofline(own)},
    )
