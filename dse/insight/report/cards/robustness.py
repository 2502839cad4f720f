"""Robustness: in how many samples of what is not known a design stays feasible, and on the front."""

from dataclasses import dataclass

from plotly import graph_objects as go
from plotly.graph_objects import Figure

from dse.insight import wording
from dse.insight.decision import robustness
from dse.insight.report import markup, style
from dse.insight.report.card import Card
from dse.insight.report.scene import Scene

KEY = "robustness"


@dataclass(frozen=True)
class Shares:
    """Lettered and robust designs, those most often on the front first."""

    note: str
    about: str
    names: tuple[str, ...]
    lines: tuple[str, ...]
    """Designs in words."""
    feasible: tuple[float, ...]
    """Percent of the samples."""
    front: tuple[float, ...]
    behind: tuple[float, ...]
    """Percent."""
    metric: str
    """First objective with its unit."""
    ranges: tuple[tuple[float, float, float], ...]
    """p10, p50, p90 of it in the shown unit."""
    robust: tuple[str, ...]
    """Balanced designs among the robust ones."""


def data(scene: Scene) -> Shares:
    """Shares of the lettered and the robust balanced designs."""
    opened, own = scene.opened, scene.robustness
    knees = robustness.robust_knees(opened, own)
    letters = {pick.row: pick.letter for pick in opened.picks}
    rows = list(dict.fromkeys([*letters, *knees]))
    rows.sort(key=lambda row: -own.front[own.place(row)])
    places = [own.place(row) for row in rows]
    goal = own.goals[0]
    shown = wording.display(goal.name, goal.unit)
    agents, short = [agent.name for agent in opened.problem.agents], wording.short_names(opened.problem.devices)
    front = opened.front
    return Shares(
        style.stamp(opened),
        robustness.about(own),
        tuple(letters.get(row, front.ids[row]) for row in rows),
        tuple(wording.front_design(front, row, agents, short) for row in rows),
        tuple(100 * float(own.feasible[place]) for place in places),
        tuple(100 * float(own.front[place]) for place in places),
        tuple(100 * float(own.behind[place]) for place in places),
        wording.heading(goal.name, goal.unit),
        tuple((low, mid, high) for low, mid, high in (own.ranges[places, 0] / shown.size).tolist()),
        tuple(letters.get(row, front.ids[row]) for row in knees),
    )


def figure(own: Shares) -> Figure:
    """Both shares as dots joined by a line, one row a design."""
    drawn = go.Figure()
    names = list(own.names)
    for name, fine, leads in zip(names, own.feasible, own.front, strict=True):
        line = {"color": style.PALE, "width": 3}
        drawn.add_scatter(x=[leads, fine], y=[name, name], mode="lines", line=line, hoverinfo="skip", showlegend=False)
    dots = (("on the front", own.front, "blue", "circle"), ("feasible", own.feasible, "orange", "diamond"))
    for word, values, colour, symbol in dots:
        drawn.add_scatter(
            x=list(values),
            y=names,
            mode="markers",
            name=word,
            marker={"color": style.PALETTE[colour], "symbol": symbol, "size": 11},
            hovertemplate="%{y}: " + word + " in %{x:.0f} % of the samples<extra></extra>",
        )
    return style.dressed(
        drawn,
        "Share of samples in which a design stays feasible and on the front",
        own.note,
        height=120 + 26 * len(names),
        xaxis=style.axis("share of the samples [%]", range=[-2, 103]),
        yaxis={"autorange": "reversed", "automargin": True, "gridcolor": style.PALE},
        legend={"orientation": "h", "y": -0.32, "x": 0.0},
    )


def card(scene: Scene) -> Card:
    """Card of robustness."""
    own = data(scene)
    header = ("", "design", "feasible %", "on front %", "behind %", f"{own.metric} p10", "p50", "p90")
    rows = [
        (name, line, f"{fine:.0f}", f"{leads:.0f}", f"{behind:.1f}", *(wording.cell(end) for end in ends))
        for name, line, fine, leads, behind, ends in zip(
            own.names, own.lines, own.feasible, own.front, own.behind, own.ranges, strict=True
        )
    ]
    said = f"Balanced designs among the robust ones: {', '.join(own.robust)}."
    body = markup.slot(KEY) + markup.paragraph(said) + markup.table(header, rows, words=(0, 1), kind="designs")
    body += markup.paragraph(f"{own.about}.", "note")
    return Card(KEY, "Robustness", "Does it survive what is not known?", body, {KEY: figure(own)})
