"""The page of a run's replays: one card in the frame of the report."""

from importlib import resources
from pathlib import Path

from jinja2 import Environment
from plotly.offline import get_plotlyjs

from dse.insight.report.cards import replay
from dse.insight.report.page import Placed
from dse.insight.runs import Opened
from dse.search.runs.run import write_atomic

NAME = "replay.html"
"""File in the folder of a run."""


def write(opened: Opened, out: Path | None = None) -> Path:
    """Write the page; into the folder of the run where no file is named."""
    path = out or opened.run.folder / NAME
    path.parent.mkdir(parents=True, exist_ok=True)
    write_atomic(path, html(opened).encode())
    return path


def html(opened: Opened) -> str:
    """Page with the replays of a run."""
    made = replay.card(opened)
    placed = [Placed(made, "full")] if made is not None else []
    figures = [(key, _safe(str(figure.to_json()))) for item in placed for key, figure in item.card.figures.items()]
    page = Environment(autoescape=True, trim_blocks=True, lstrip_blocks=True).from_string(_file("page.html"))
    return page.render(
        name=f"{opened.problem.name}: replay",
        question=opened.problem.question,
        note=replay.data(opened).note,
        badges=[opened.run.folder.name],
        placed=placed,
        style=_file("page.css"),
        library=get_plotlyjs(),
        script=_file("page.js"),
        state="{}",
        figures=figures,
        slots={key for key, _ in figures},
    )


def _safe(text: str) -> str:
    """JSON that no HTML parser can leave."""
    return text.replace("&", "\\u0026").replace("<", "\\u003c").replace(">", "\\u003e")


def _file(name: str) -> str:
    return (resources.files("dse.insight.report") / name).read_text(encoding="utf-8")
