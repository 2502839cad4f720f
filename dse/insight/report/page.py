"""The page: all cards in the order in which an argument is made, in one file that needs nothing else."""

import json
from collections.abc import Callable
from importlib import import_module, resources
from pathlib import Path
from typing import Any, NamedTuple

from jinja2 import Environment
from plotly.offline import get_plotlyjs

from dse.insight.report import designs, markup
from dse.insight.report.card import Card
from dse.insight.report.cards import verdict
from dse.insight.report.scene import Scene
from dse.insight.runs import Opened
from dse.search.runs.run import write_atomic

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


class Placed(NamedTuple):
    """A card with its width on the page."""

    card: Card
    width: str


def write(opened: Opened, out: Path | None = None) -> Path:
    """Write the page of a run; into its folder where no file is named."""
    path = out or opened.run.folder / NAME
    path.parent.mkdir(parents=True, exist_ok=True)
    write_atomic(path, html(opened).encode())
    return path


def html(opened: Opened) -> str:
    """Page of a run."""
    scene = Scene(opened)
    placed = [Placed(card, entry.width) for entry in ENTRIES if (card := made(scene, entry)) is not None]
    page = Environment(autoescape=True, trim_blocks=True, lstrip_blocks=True).from_string(_file("page.html"))
    return page.render(
        name=opened.problem.name,
        question=opened.problem.question,
        note=scene.note,
        badges=verdict.badges(scene),
        placed=placed,
        style=_file("page.css"),
        library=get_plotlyjs(),
        script=_file("page.js"),
        state=_json(_state(scene, [item.card for item in placed])),
        figures=[(key, _figure(figure)) for item in placed for key, figure in item.card.figures.items()],
        slots={key for item in placed for key in item.card.figures if f'data-figure="{key}"' in item.card.html},
    )


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


def _figure(figure: Any) -> str:
    """JSON of a figure; what hovers over the front is in the page's table of designs already."""
    for trace in figure.data:
        if isinstance(trace.meta, dict) and trace.meta.get("role") == "front":
            trace.text = None
    return _safe(str(figure.to_json()))


def _json(content: Any) -> str:
    return _safe(json.dumps(content, ensure_ascii=False, separators=(",", ":"), default=_plain))


def _safe(text: str) -> str:
    """JSON that no HTML parser can leave: in a string, these characters may be written as escapes."""
    return text.replace("&", "\\u0026").replace("<", "\\u003c").replace(">", "\\u003e")


def _plain(value: Any) -> Any:
    return value.tolist() if hasattr(value, "tolist") else str(value)


def _file(name: str) -> str:
    return (resources.files("dse.insight.report") / name).read_text(encoding="utf-8")
