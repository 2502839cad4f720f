"""Which lever matters for which objective, within this space."""

from dataclasses import dataclass

import numpy as np
from plotly import graph_objects as go
from plotly.graph_objects import Figure

from dse.arrays import FloatArray
from dse.insight import wording
from dse.insight.report import designs, markup, style
from dse.insight.report.card import Card
from dse.insight.report.importance import FEWEST, GOOD, importance
from dse.insight.report.scene import Scene

MOST = 12
"""Levers that are drawn."""


@dataclass(frozen=True)
class Choices:
    """Importance of the levers."""

    note: str
    levers: tuple[str, ...]
    """The most important first."""
    objectives: tuple[str, ...]
    share: FloatArray
    """(levers, objectives) parts of the importance above chance [1]."""
    best: tuple[tuple[str, ...], ...]
    """Per lever and objective: the choice that good designs take more often than all do; empty if by chance."""
    sampled: int
    feasible: int


def data(scene: Scene) -> Choices:
    """Importance by PED-ANOVA on a uniform sample."""
    drawn, metrics = scene.sample
    axes = scene.opened.run.question.space.axes
    sizes = tuple(len(axis.choices) for axis in axes)
    varied = [place for place, size in enumerate(sizes) if size > 1]
    columns = []
    feasible = np.zeros(len(drawn), dtype=bool)
    feasible[metrics.design[metrics.feasible]] = True
    if feasible.sum() < FEWEST:
        raise ValueError(f"only {int(feasible.sum())} of {len(drawn)} sampled designs are feasible")
    for goal in scene.goals:
        values = metrics.columns[goal.name] * (-1.0 if goal.maximize else 1.0)
        least = np.full(len(drawn), np.inf)
        np.minimum.at(least, metrics.design, np.where(metrics.feasible, values, np.inf))
        columns.append(importance(drawn.rows[feasible], sizes, least[feasible]))
    share = np.stack([own.share[varied] for own in columns], axis=1)
    order = np.argsort(-share.max(axis=1), kind="stable")
    named = [varied[place] for place in order]
    best = tuple(
        tuple(
            wording.lever_word(axes[lever].name, axes[lever].choices[own.best[lever]]) if own.share[lever] > 0 else ""
            for own in columns
        )
        for lever in named
    )
    return Choices(
        scene.note,
        tuple(wording.lever_name(axes[lever].name) for lever in named),
        tuple(designs.label(goal.name, "").rpartition(" [")[0] for goal in scene.goals),
        share[order],
        best,
        len(drawn),
        int(feasible.sum()),
    )


def figure(own: Choices) -> Figure:
    """Bars per lever, one colour per objective."""
    shown = [place for place in range(len(own.levers)) if own.share[place].any()][:MOST][::-1]
    made = Figure()
    for column, objective in enumerate(own.objectives):
        made.add_trace(
            go.Bar(
                y=[style.plain(own.levers[place]) for place in shown],
                x=[100 * own.share[place, column] for place in shown],
                orientation="h",
                name=style.plain(objective),
                marker={"color": style.category(column)},
                customdata=[style.plain(own.best[place][column] or "no choice above chance") for place in shown],
                hovertemplate="%{y}: %{x:.0f} % of the importance; good designs take %{customdata}<extra></extra>",
            )
        )
    return style.dressed(
        made,
        "Importance of the choices within this space",
        own.note,
        height=170 + 34 * max(len(shown), 3),
        barmode="group",
        bargap=0.25,
        xaxis=style.axis("share of the importance above chance [%]"),
        yaxis={"automargin": True, "ticks": ""},
        legend={"orientation": "h", "y": 0, "yref": "container", "yanchor": "bottom", "x": 0, "font": {"size": 11}},
        margin={"l": 40, "r": 16, "t": 62, "b": 96},
    )


def card(scene: Scene) -> Card:
    """Card of the choices."""
    own = data(scene)
    said = (
        f"PED-ANOVA within this space, on a uniform sample of {own.sampled} designs of which {own.feasible} are "
        f"feasible: how differently the best {100 * GOOD:.0f} % of these choose. The search's own trail is not used, "
        "because it has preferences. What chance alone would show is taken off."
    )
    leading = []
    for column, objective in enumerate(own.objectives):
        place = int(own.share[:, column].argmax())
        if own.share[place, column] > 0:
            leading.append(f"{objective}: {own.levers[place]}, good designs take {own.best[place][column]}")
        else:
            leading.append(f"{objective}: no lever stands out from chance in this sample")
    body = markup.paragraph(said, "lead") + markup.listing(map(markup.sentence, leading)) + markup.slot("choices")
    return Card("choices", "What matters: choices", "Which lever mattered?", body, {"choices": figure(own)})
