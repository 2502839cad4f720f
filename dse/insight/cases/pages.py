"""Cases for people and programs: one overview, one page each, and the files under results."""

import json
from collections.abc import Iterator, Sequence
from pathlib import Path
from textwrap import wrap
from typing import Any

from dse.insight import wording
from dse.insight.cases import registry, relation
from dse.insight.cases.registry import Case
from dse.insight.table import WIDTH, Table

TITLE = "# Cases: published results held against the model"

LEGEND = (
    "*agrees*: the figure lies in the stated range; *trend shown*: the source gives a direction and the model shows it;"
    " *known gap*: the model does not show it, with the reason. Made by `dse cases --out results/cases`."
)


def header(name: str) -> tuple[str, ...]:
    """Question, source, what is reproduced and what is not."""
    return registry.page(name)


def overview(cases: Sequence[Case]) -> Table:
    """One row per case."""
    rows = tuple(
        (
            one.name,
            str(sum(part.holds and not part.trend for part in one.relations)),
            str(sum(part.holds and part.trend for part in one.relations)),
            str(sum(not part.holds and bool(part.gap) for part in one.relations)),
            str(sum(not part.holds and not part.gap for part in one.relations)),
        )
        for one in cases
    )
    return Table(("case", "agrees", "trend shown", "known gap", "disagrees"), rows, frozenset({0}))


def relations_text(case: Case) -> Iterator[str]:
    """Verdict, figure, accepted range and statement of every relation, folded; the reason below a known gap."""
    start = f"  {'verdict':<13}{'got':<13}{'expected':<20}"
    yield f"{start}relation"
    for one in case.relations:
        got = f"{wording.number(one.got)}{' ' + one.unit if one.unit else ''}"
        reason = [] if one.holds or not one.gap else wrap(f"because {one.gap}", WIDTH - len(start))
        first, *rest = [*wrap(one.claim, WIDTH - len(start)), *reason]
        yield f"  {one.verdict:<13}{got:<13}{one.expected:<20}{first}"
        yield from (f"{'':{len(start)}}{line}" for line in rest)


def facts(cases: Sequence[Case]) -> dict[str, Any]:
    """Relations of all cases by name."""
    return {one.name: relation.facts(one.relations) for one in cases}


def markdown(cases: Sequence[Case]) -> str:
    """Table of all cases."""
    lines = [TITLE, "", LEGEND, "", "| case | relation | expected | got | verdict |", "|---|---|---|---:|---|"]
    for one in cases:
        lines += relation.markdown(one.name, one.relations)
    return "\n".join(lines) + "\n"


def write(folder: Path, cases: Sequence[Case]) -> None:
    """README.md and one JSON file per case."""
    folder.mkdir(parents=True, exist_ok=True)
    for name, found in facts(cases).items():
        (folder / f"{name}.json").write_text(json.dumps(found, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")
    (folder / "README.md").write_text(markdown(cases), encoding="utf-8")
