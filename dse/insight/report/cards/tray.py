"""Pinned designs side by side, to be copied as Markdown; without a script, the lettered ones."""

from dataclasses import dataclass

from dse.insight import wording
from dse.insight.report import designs, markup
from dse.insight.report.card import Card
from dse.insight.report.scene import Scene

MOST = markup.MOST_COLUMNS - 1
"""Designs side by side."""


@dataclass(frozen=True)
class Tray:
    """Rows of the comparison: what differs, then every metric."""

    names: tuple[str, ...]
    places: tuple[int, ...]
    rows: tuple[tuple[str, ...], ...]


def data(scene: Scene) -> Tray:
    """Comparison of the lettered designs."""
    table = designs.data(scene)
    places = tuple(place for place, letter in enumerate(table.letters) if letter)[:MOST]
    metrics = [
        (item.label, *(wording.cell(table.values[item.key][place]) for place in places)) for item in table.measures
    ]
    levers = [
        (wording.lever_name(name), *(words[place] for place in places))
        for name, words in table.levers.items()
        if len({words[place] for place in places}) > 1
    ]
    return Tray(tuple(table.letters[place] for place in places), places, tuple(metrics + levers))


def card(scene: Scene) -> Card:
    """Card of the tray."""
    own = data(scene)
    body = (
        markup.paragraph("Pin designs on their cards or on the map; the lettered ones stand here at first.", "lead")
        + f'<div id="tray-table">{markup.table(("", *own.names), own.rows)}</div>'
        + '<p class="buttons script"><button id="tray-copy" type="button">copy as Markdown</button>'
        '<button id="tray-clear" type="button">clear</button></p>'
    )
    return Card("tray", "Compare", "A or B?", body, state={"pinned": own.places, "most": MOST})
