"""Every figure of the page by name, for notebooks and scripts."""

from collections.abc import Callable, Mapping

from plotly.graph_objects import Figure

from dse.facts.errors import Mistake, SpecError, did_you_mean, listed
from dse.insight.report.cards import choices, history, parallel, pareto, plane, terms
from dse.insight.report.scene import Scene

FIGURES: Mapping[str, Callable[[Scene], Figure]] = {
    "map": lambda scene: pareto.figure(pareto.data(scene)),
    "solid": lambda scene: pareto.solid(pareto.data(scene)),
    "terms": lambda scene: terms.figure(terms.data(scene)),
    "plane": lambda scene: plane.figure(plane.data(scene)),
    "roofline": lambda scene: plane.roofline(plane.data(scene)),
    "parallel": lambda scene: parallel.figure(parallel.data(scene)),
    "choices": lambda scene: choices.figure(choices.data(scene)),
    "history": lambda scene: history.figure(history.data(scene)),
}
"""Name -> figure of a run."""


def figure(scene: Scene, name: str) -> Figure:
    """Figure by name; SpecError where there is none of that name."""
    if name not in FIGURES:
        hint = did_you_mean(name, FIGURES) or f" Known: {listed(FIGURES, len(FIGURES))}."
        raise SpecError([Mistake("", 0, 0, "figure", f'there is no figure "{name}".{hint}')])
    return FIGURES[name](scene)
