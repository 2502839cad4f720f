"""The page: all cards in the order in which an argument is made, in one file that needs nothing else."""

from collections.abc import Callable
from importlib import import_module
from pathlib import Path
from typing import Any, NamedTuple

from dse.insight.report import designs, markup
from dse.insight.report.card import Card
from dse.insight.report.cards import verdict
from dse.insight.report.frame import Heading, Placed, framed, written
from dse.insight.report.scene import Scene
from dse.insight.runs import Opened

NAME = "report.html"
"""File in the folder of a run."""

CARDS = "dse.insight.report.cards"
"""Package of the cards."""


class Entry(NamedTuple):
    """One card of the page."""

    module: str
    """In the package of the cards."""
    title: str
    """Used where the card cannot be made."""
    width: str = "full"
    """full, half of a row, or tall: half of two rows."""
    shared: bool = True
    """Takes the scene; else the opened run."""
    front: bool = True
    """Needs a feasible design."""


ENTRIES = (
    Entry("verdict", "Verdict", front=False),
    Entry("pareto", "Map of the front"),
    Entry("knees", "Designs to discuss"),
    Entry("terms", "Why: terms along the front"),
    Entry("plane", "Operational intensity and capacity footprint"),
    Entry("parallel", "Choices and results"),
    Entry("choices", "What matters: choices", "half"),
    Entry("specifications", "What matters: specifications", "tall", shared=False),
    Entry("unknowns", "What matters: unknowns", "half", shared=False),
    Entry("robustness", "Robustness"),
    Entry("tray", "Compare"),
    Entry("compare", "Compare with another run", shared=False),
    Entry("topology", "Topology of the selected design"),
    Entry("replay", "Replay", shared=False),
    Entry("history", "Search", "half", front=False),
    Entry("health", "Health checks", "half", front=False),
    Entry("sources", "Model, sources, limits", front=False),
)
"""Cards in their order."""


def write(opened: Opened, out: Path | None = None) -> Path:
    """Write the page of a run; into its folder where no file is named."""
    return written(html(opened), out or opened.run.folder / NAME)


def html(opened: Opened) -> str:
    """Page of a run."""
    scene = Scene(opened)
    placed = [Placed(card, entry.width) for entry in ENTRIES if (card := made(scene, entry)) is not None]
    heading = Heading(opened.problem.name, opened.problem.question, scene.note, verdict.badges(scene))
    return framed(heading, placed, _state(scene, [item.card for item in placed]))


def made(scene: Scene, entry: Entry) -> Card | None:
    """Card of an entry; a note where it fails, None where there is no such card or nothing to show."""
    if entry.front and len(scene.front) == 0:
        return None
    try:
        module = import_module(f"{CARDS}.{entry.module}")
    except ModuleNotFoundError as error:
        if error.name == f"{CARDS}.{entry.module}":
            return None
        return _failed(entry, error)
    make: Callable[[Any], Card | None] = module.card
    try:
        return make(scene if entry.shared else scene.opened)
    except Exception as error:  # one card must not cost the page
        return _failed(entry, error)


def _failed(entry: Entry, error: Exception) -> Card:
    said = f"This card could not be made: {error or type(error).__name__}"
    return Card(entry.module, entry.title, "", markup.paragraph(said, "note failed"))


def _state(scene: Scene, cards: list[Card]) -> dict[str, Any]:
    """What the script reads."""
    table = designs.data(scene).json() if len(scene.front) else None
    return {"study": scene.opened.problem.name, "designs": table} | {
        card.key: card.state for card in cards if card.state
    }
