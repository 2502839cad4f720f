"""Replay: predicted against simulated, what happened over time, distributions of the latencies."""

from dataclasses import dataclass

from plotly import graph_objects as go
from plotly.graph_objects import Figure
from plotly.subplots import make_subplots

from dse.insight.replays import text as replay_text
from dse.insight.replays.answer import Answer, stored
from dse.insight.report import markup, style
from dse.insight.report.card import Card
from dse.insight.runs import Opened

SHOWN = 4
"""Replays with figures on the page, the latest; the table has all."""

BAND = 0.25
"""Band around agreement that is shaded [1]."""


@dataclass(frozen=True)
class Replays:
    """Replays of a run."""

    note: str
    made: tuple[Answer, ...]


def data(opened: Opened) -> Replays:
    """Replays kept with the run."""
    return Replays(style.stamp(opened), stored(opened.run.folder))


def card(opened: Opened) -> Card | None:
    """Card of all replays; None where there is none yet."""
    found = data(opened)
    if not found.made:
        return None
    latest = found.made[-SHOWN:]
    body = [markup.paragraph(f"{len(found.made)} replays; analytic over simulated, 1 is agreement.")]
    figures = {"replay-ratios": ratios(found)}
    body.append(markup.slot("replay-ratios"))
    for place, own in enumerate(reversed(latest)):
        words = "".join(markup.paragraph(f"{label}: {text}") for label, text in replay_text.sentences(own))
        tables = "".join(
            markup.table(made.header, made.rows) for made in (replay_text.table(own), replay_text.distributions(own))
        )
        drawn = {f"replay-time-{place}": timeline(own, found.note), f"replay-cdf-{place}": cdf(own, found.note)}
        figures |= drawn
        title = f"{own.design} · {own.agent} · {own.trace}"
        body.append(
            markup.details(title, words + tables) if place else markup.paragraph(title, "over") + words + tables
        )
        body += [markup.slot(key) for key in drawn]
    question = "Does the closed form hold when real requests arrive?"
    return Card("replay", "Replay", question, "".join(body), figures)


def ratios(found: Replays) -> Figure:
    """Analytic over simulated of every replay and metric."""
    figure = Figure()
    for place, (key, (label, _)) in enumerate(replay_text.ROWS.items()):
        x, y = [], []
        for own in found.made:
            if own.simulated[key] > 0:
                x.append(own.predicted[key] / own.simulated[key])
                y.append(f"{own.design} {own.agent}")
        marker = {"color": style.category(place), "size": 9, "symbol": place}
        name = label.split(",")[0]
        figure.add_trace(go.Scatter(x=x, y=y, mode="markers", name=name, marker=marker))
    figure.add_vrect(x0=1 - BAND, x1=1 / (1 - BAND), fillcolor=style.PALETTE["grey"], opacity=0.15, line_width=0)
    figure.add_vline(x=1, line={"color": style.PALETTE["grey"], "width": 1})
    values = [value for trace in figure.data for value in trace.x]
    height = 280 + 22 * len({(own.design, own.agent) for own in found.made})
    return style.dressed(
        figure,
        "Analytic over simulated",
        f"shaded: within 25 % · {found.note}",
        height,
        xaxis=style.axis("analytic / simulated, 1", style.logarithmic(values)),
        yaxis=style.axis("", type="category", autorange="reversed"),
        legend={"orientation": "h", "yref": "container", "y": 0.0, "yanchor": "bottom"},
        margin={"l": 120, "r": 16, "t": 62, "b": 120},
    )


PANELS = (
    ("busy share, 1", ("prefill busy", "slots filled")),
    ("KV on links, B/s", ("KV sent, B/s", "KV sent back, B/s", "KV restored, B/s")),
    ("KV held, B", ("active KV, B", "idle KV in HBM, B", "idle KV in host, B", "idle KV in pool, B")),
    ("requests, 1", ("waiting for prefill", "in flight")),
)
"""Rows of the timeline: axis and curves."""


def timeline(own: Answer, note: str) -> Figure:
    """Use of pools and links, occupancy by tier, queues, over simulated time."""
    figure = make_subplots(rows=len(PANELS), cols=1, shared_xaxes=True, vertical_spacing=0.05)
    hours = [time / 3600 for time in own.curves["time"]]
    place = 0
    for row, (_, names) in enumerate(PANELS, 1):
        for name in names:
            if name in own.curves:
                line = {"color": style.category(place), "width": 1.5, "dash": ("solid", "dash", "dot")[place // 8]}
                label = name.removesuffix(", B/s").removesuffix(", B")
                curve = go.Scatter(x=hours, y=own.curves[name], mode="lines", name=label, line=line)
                figure.add_trace(curve, row=row, col=1)
                place += 1
    title = f"Replay over time: {style.plain(own.design)}, {style.plain(own.agent)}, {style.plain(own.trace)}"
    axes = {
        f"yaxis{row if row > 1 else ''}": style.axis(name, si=row in (2, 3)) for row, (name, _) in enumerate(PANELS, 1)
    }
    axes |= {f"xaxis{row if row > 1 else ''}": style.axis("") for row in range(1, len(PANELS))}
    axes[f"xaxis{len(PANELS)}"] = style.axis("simulated time, h")
    legend = {"orientation": "h", "y": -0.09}
    return style.dressed(figure, title, note, 640, legend=legend, margin={"l": 70, "r": 16, "t": 62, "b": 90}, **axes)


def cdf(own: Answer, note: str) -> Figure:
    """Distributions of TTFT and TPOT with the quantiles that the closed form predicts."""
    figure = make_subplots(rows=1, cols=2, shared_yaxes=True, horizontal_spacing=0.06)
    shown = (("ttft", 1.0, "TTFT, s", style.category(0)), ("tpot", 1e-3, "TPOT, ms", style.category(1)))
    for column, (key, size, label, colour) in enumerate(shown, 1):
        values = [value / size for value in own.cdf[key]]
        line = go.Scatter(
            x=values, y=own.cdf["level"], mode="lines", name=f"{label.split(',')[0]} simulated", line={"color": colour}
        )
        figure.add_trace(line, row=1, col=column)
        target = own.goodput[f"{key}_target"] / size
        figure.add_vline(x=target, line={"dash": "dot", "color": style.PALETTE["grey"]}, row=1, col=column)
    points = [(own.predicted[f"ttft_{name}"], level) for name, level in (("p50", 0.5), ("p95", 0.95), ("p99", 0.99))]
    marker = {"color": style.PALETTE["vermillion"], "size": 9, "symbol": "diamond"}
    x, y = zip(*points, strict=True)
    figure.add_trace(
        go.Scatter(x=x, y=y, mode="markers", name="TTFT analytic p50, p95, p99", marker=marker), row=1, col=1
    )
    mean = go.Scatter(
        x=[own.predicted["tpot"] * 1e3],
        y=[0.5],
        mode="markers",
        name="TPOT analytic mean",
        marker=marker | {"symbol": "x"},
    )
    figure.add_trace(mean, row=1, col=2)
    log = [style.logarithmic([value for value in own.cdf[key] if value > 0]) for key in ("ttft", "tpot")]
    return style.dressed(
        figure,
        f"Distributions: {style.plain(own.design)}, {style.plain(own.agent)}",
        f"dotted: target · {note}",
        xaxis=style.axis("TTFT, s", log[0]),
        xaxis2=style.axis("TPOT, ms", log[1]),
        yaxis=style.axis("share of requests, 1", range=[0, 1.02]),
        yaxis2=style.axis(""),
        legend={"orientation": "h", "y": -0.25},
        margin={"l": 56, "r": 16, "t": 62, "b": 90},
    )
