"""The page of a run's replays: one card in the frame of the report."""

from pathlib import Path

from dse.insight.report.cards import replay
from dse.insight.report.frame import Heading, Placed, framed, written
from dse.insight.runs import Opened

NAME = "replay.html"
"""File in the folder of a run."""


def write(opened: Opened, out: Path | None = None) -> Path:
    """Write the page; into the folder of the run where no file is named."""
    return written(html(opened), out or opened.run.folder / NAME)


def html(opened: Opened) -> str:
    """Page with the replays of a run."""
    made, name = replay.card(opened), opened.problem.name
    placed = [Placed(made, "full")] if made is not None else []
    badges = [opened.run.folder.name]
    return framed(Heading(f"{name}: replay", opened.problem.question, replay.data(opened).note, badges), placed, {})
