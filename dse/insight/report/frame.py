"""The frame of a page of cards: one file with its style, script and drawing library, which needs nothing else."""

import json
from collections.abc import Mapping, Sequence
from importlib import resources
from pathlib import Path
from typing import Any, NamedTuple

from jinja2 import Environment
from plotly.offline import get_plotlyjs

from dse.insight.report.card import Card
from dse.search.runs.run import write_atomic


class Placed(NamedTuple):
    """A card and how much of a row it takes."""

    card: Card
    width: str


class Heading(NamedTuple):
    """What stands above the cards."""

    name: str
    question: str
    note: str
    badges: Sequence[str]


def framed(heading: Heading, placed: Sequence[Placed], state: Mapping[str, Any]) -> str:
    """Page of some cards; ``state`` is what the script reads."""
    page = Environment(autoescape=True, trim_blocks=True, lstrip_blocks=True).from_string(_file("page.html"))
    return page.render(
        **heading._asdict(),
        placed=placed,
        style=_file("page.css"),
        library=get_plotlyjs(),
        script=_file("page.js"),
        state=_safe(json.dumps(state, ensure_ascii=False, separators=(",", ":"), default=_plain)),
        figures=[(key, _figure(figure)) for item in placed for key, figure in item.card.figures.items()],
        slots={key for item in placed for key in item.card.figures if f'data-figure="{key}"' in item.card.html},
    )


def written(page: str, path: Path) -> Path:
    """Write a page, in one step, into a folder that need not be there yet."""
    path.parent.mkdir(parents=True, exist_ok=True)
    write_atomic(path, page.encode())
    return path


def _figure(figure: Any) -> str:
    """JSON of a figure; what hovers over the front is in the page's table of designs already."""
    for trace in figure.data:
        if isinstance(trace.meta, dict) and trace.meta.get("role") == "front":
            trace.text = None
    return _safe(str(figure.to_json()))


def _safe(text: str) -> str:
    """JSON that no HTML parser can leave: in a string, these characters may be written as escapes."""
    return text.replace("&", "\\u0026").replace("<", "\\u003c").replace(">", "\\u003e")


def _plain(value: Any) -> Any:
    return value.tolist() if hasattr(value, "tolist") else str(value)


def _file(name: str) -> str:
    return (resources.files("dse.insight.report") / name).read_text(encoding="utf-8")
