"""Findings of the health checks."""

from dse.insight.report import markup
from dse.insight.report.card import Card
from dse.insight.report.health import Check, checks
from dse.insight.report.scene import Scene

MARKS = {"pass": "✓ pass", "look": "◦ look", "problem": "✗ problem"}
"""State -> its mark: shape and word besides colour."""


def data(scene: Scene) -> list[Check]:
    """Findings, problems first."""
    return checks(scene)


def card(scene: Scene) -> Card:
    """Card of the checks."""
    items = "".join(
        f'<li class="{own.state}"><b>{markup.text(MARKS[own.state])}</b><span><i>{markup.text(own.name)}</i> '
        f"{markup.text(markup.sentence(own.sentence))}</span></li>"
        for own in data(scene)
    )
    return Card("health", "Health checks", "Can I trust this run?", f'<ul class="health">{items}</ul>')
