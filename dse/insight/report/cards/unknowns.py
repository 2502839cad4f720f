"""What matters among the unknowns: whose value would narrow an objective most once it is known."""

from dataclasses import dataclass

from plotly import graph_objects as go
from plotly.graph_objects import Figure

from dse.insight import wording
from dse.insight.decision import unknowns
from dse.insight.report import markup, style
from dse.insight.report.card import Card
from dse.insight.runs import Opened

KEY = "unknowns"

MOST = 12
"""Unknowns drawn."""

SMALLEST = 0.05
"""Percent shown as less than."""


@dataclass(frozen=True)
class Shares:
    """Total indices, the most important unknown first."""

    note: str
    labels: tuple[str, ...]
    ranges: tuple[str, ...]
    estimates: tuple[bool, ...]
    goals: tuple[str, ...]
    """Objectives in words."""
    total: tuple[tuple[float, ...], ...]
    """Per objective, percent of its variance, mean over the designs."""
    effect: tuple[float, ...]
    """Largest effect of one standard deviation on an objective, percent."""
    designs: tuple[str, ...]
    samples: int
    advice: str
    """What to find out first."""


def data(opened: Opened) -> Shares:
    """Indices of the unknowns that matter."""
    own = unknowns.importance(opened)
    rows = unknowns.leading(own)[:MOST]
    mean, effect = own.by_goal, own.effect
    first = unknowns.next_measurement(own)
    said = f"Find out first: {first.label} ({unknowns.ADVICE[first.kind]})." if first else ""
    return Shares(
        style.stamp(opened),
        tuple(own.unknowns[row].label for row in rows),
        tuple(own.unknowns[row].words() for row in rows),
        tuple(own.unknowns[row].estimate for row in rows),
        tuple(wording.metric_name(goal.name) for goal in own.goals),
        tuple(tuple(100 * float(mean[row, column]) for row in rows) for column in range(len(own.goals))),
        tuple(100 * float(effect[row].max()) for row in rows),
        own.ids,
        own.samples,
        said,
    )


def figure(own: Shares) -> Figure:
    """Bars per unknown, one colour an objective."""
    drawn = go.Figure()
    for place, (goal, values) in enumerate(zip(own.goals, own.total, strict=True)):
        drawn.add_bar(
            x=list(values),
            y=list(own.labels),
            orientation="h",
            name=goal,
            marker={"color": style.category(place)},
            hovertemplate="%{y}: %{x:.1f} % of the variance of " + style.plain(goal) + "<extra></extra>",
        )
    return style.dressed(
        drawn,
        "Total Sobol index of each unknown, mean over the balanced designs",
        own.note,
        height=130 + 34 * len(own.labels),
        barmode="group",
        bargap=0.28,
        xaxis=style.axis("share of the variance of an objective [%]", rangemode="tozero"),
        yaxis={"autorange": "reversed", "automargin": True},
        legend={"orientation": "h", "y": -0.16, "x": 0.0},
    )


def card(opened: Opened) -> Card:
    """Card of unknowns."""
    own = data(opened)
    header = ("unknown", "range", *(f"{goal} %" for goal in own.goals[:4]), "estimate")
    rows = [
        (label, span, *(_cell(values[row]) for values in own.total[:4]), "yes" if guess else "no")
        for row, (label, span, guess) in enumerate(zip(own.labels, own.ranges, own.estimates, strict=True))
    ]
    reading = (
        f"Total Sobol indices on the objectives of {', '.join(own.designs)} (log scale, {own.samples} base points): "
        "the share of the variance that stays when everything but this number is known. Shares of one objective may "
        "add up to more than 100 % where unknowns act together."
    )
    body = markup.slot(KEY) + markup.paragraph(own.advice) + markup.table(header, rows, words=(0, 1), kind="ranges")
    body += markup.paragraph(reading, "note")
    return Card(KEY, "What matters: unknowns", "What should we measure?", body, {KEY: figure(own)})


def _cell(percent: float) -> str:
    return f"{percent:.1f}" if percent >= SMALLEST else "–"
