"""A card of the report: one question, its answer as HTML that reads without a script, and its figures."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from plotly.graph_objects import Figure


@dataclass(frozen=True)
class Card:
    """One answer on the page."""

    key: str
    """Anchor of the card, such as `map`."""
    title: str
    question: str
    """What a reader asks when looking at it."""
    html: str
    """Body, already escaped; a `markup.slot(key)` in it says where a figure goes, the others follow the body."""
    figures: Mapping[str, Figure] = field(default_factory=dict)
    """Figures by key; a key is unique on the page."""
    state: Mapping[str, Any] = field(default_factory=dict)
    """What the page's script needs of this card, as plain JSON."""
