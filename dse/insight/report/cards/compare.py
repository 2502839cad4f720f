"""Comparison with the run before of the same study: who covers what, and what was chosen differently."""

from dataclasses import dataclass
from pathlib import Path

from dse.facts.errors import SpecError
from dse.insight.decision import compare_runs, pamphlet
from dse.insight.decision.compare_runs import RunComparison
from dse.insight.report import markup
from dse.insight.report.card import Card
from dse.insight.runs import Opened, open_run, started
from dse.search.runs.run import MANIFEST


@dataclass(frozen=True)
class Before:
    """Comparison with the run before."""

    found: RunComparison
    sentences: tuple[tuple[str, str], ...]


def data(opened: Opened) -> Before | None:
    """Comparison with the newest older run of the study; None where there is none that can be compared."""
    folder = previous(opened)
    if folder is None:
        return None
    try:
        older = open_run(str(folder), folder.parent)
        found = compare_runs.compare_runs(_named(older, folder.name), _named(opened, opened.run.folder.name))
    except SpecError:
        return None
    return Before(found, tuple(compare_runs.sentences(found)))


def previous(opened: Opened) -> Path | None:
    """Folder of the newest run that is older than this one and stands beside it."""
    own = opened.run.folder.resolve()
    runs = [path.parent for path in own.parent.glob(f"*/{MANIFEST}") if not path.parent.is_symlink()]
    return max((folder for folder in runs if started(folder) < started(own)), key=started, default=None)


def card(opened: Opened) -> Card | None:
    """Card of the comparison; None where there is nothing to compare with."""
    own = data(opened)
    if own is None:
        return None
    tables = compare_runs.tables(own.found)
    body = pamphlet.fragment(own.sentences, tables)
    subject = ", ".join(f"{name} ({size:,} rows)" for name, size in zip(own.found.names, own.found.sizes, strict=True))
    said = pamphlet.markdown("Comparison of runs", own.sentences, tables, subject)
    body += f'<div class="script">{markup.details("as Markdown", f"<pre>{markup.text(said)}</pre>")}</div>'
    return Card("compare", "Compare with the run before", "What changed since the last run?", body)


def _named(opened: Opened, name: str) -> Opened:
    return Opened(opened.problem, opened.run, name)
