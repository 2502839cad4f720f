"""Runs and designs by the names people type: last, last~1, STUDY/last, a folder; last:D012, last:B."""

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from dse.arrays import FloatArray
from dse.facts.errors import Mistake, SpecError, did_you_mean, listed
from dse.facts.problem import Problem, load
from dse.insight.shortlist import Pick, picked
from dse.search.ask import ask
from dse.search.frontier import ParetoSet, shown
from dse.search.runs import run as folders
from dse.search.runs.listed import listed_archive
from dse.search.runs.run import Run, load_epoch, read_manifest

LAST = "last"
"""The newest run."""

STAMP = r"\d{8}T\d{6}Z"
"""Name of a run that was not given one: the second at which it started."""

NEAREST = "nearest"
"""The least violating design of a study without a feasible one."""


@dataclass(frozen=True)
class Opened:
    """A run on disk with the problem it was made for."""

    problem: Problem
    run: Run
    name: str
    """As it was typed."""

    @property
    def front(self) -> ParetoSet:
        """Non-dominated designs."""
        return self.run.front()

    @property
    def picks(self) -> tuple[Pick, ...]:
        """Lettered designs."""
        return picked(self.front, self.run.summary)

    @property
    def reference(self) -> FloatArray | None:
        """(k,) point behind the front that every hypervolume of the run is measured from [decades]; None if unknown."""
        goals, known = self.run.question.goals, self.run.summary.get("reference_point", {})
        if not all(known.get(goal.name, 0.0) > 0 for goal in goals):
            return None
        signs = [-1.0 if goal.maximize else 1.0 for goal in goals]
        return np.array(
            [sign * np.log10(known[goal.name] * shown(goal.unit)[1]) for sign, goal in zip(signs, goals, strict=True)]
        )


def locate(name: str, results: Path) -> Path:
    """Folder of a run."""
    given = Path(name).expanduser()
    if (given / folders.MANIFEST).is_file():
        return given.resolve()
    study, _, which = name.rpartition("/")
    back = _steps_back(which)
    if back is None:
        return _named(name, results)
    found = _newest_first(results, study)
    if not found:
        where = f"{results}/{study}" if study else f"{results}"
        raise _refused(name, f"there is no run in {where}: start one with `dse run STUDY`, or name --results")
    if back >= len(found):
        count = "is only 1 run" if len(found) == 1 else f"are only {len(found)} runs"
        raise _refused(name, f"there {count} in {results / study}")
    return found[back]


def open_run(name: str, results: Path) -> Opened:
    """Run with its problem, read from its own folder."""
    folder = locate(name, results)
    manifest, problem = read_manifest(folder), load(folder / folders.PROBLEM)
    question = ask(problem)
    if any((folder / file).exists() for file in (folders.ARCHIVE, folders.PREVIOUS)):
        return Opened(problem, Run(folder, question, load_epoch(folder).archive, _summary(folder), manifest), name)
    archive, names = listed_archive(folder, question)
    return Opened(problem, Run(folder, question, archive, _summary(folder), manifest, names), name)


def design(name: str, results: Path) -> tuple[Opened, int]:
    """Run and row of the front that a name such as `last:D012` or `last:B` means."""
    run_name, _, which = name.rpartition(":")
    if not run_name:
        raise _refused(name, "expected RUN:DESIGN, for example last:A or last:D012")
    opened = open_run(run_name, results)
    return opened, row_of(opened, which)


def row_of(opened: Opened, which: str) -> int:
    """Row of a front by letter or id; the nearest design of a study without a feasible one is `nearest`."""
    front = opened.front
    if len(front) == 0:
        if which in (NEAREST, "A"):
            return 0
        raise _refused(which, f"the study has no feasible design: only `{NEAREST}` can be named")
    wanted = which.upper()
    rows = {pick.letter: pick.row for pick in opened.picks} | {id_: row for row, id_ in enumerate(front.ids)}
    if wanted.startswith("D") and wanted[1:].isdigit():
        numbers = {int(id_[1:]): row for row, id_ in enumerate(front.ids)}
        rows |= {wanted: numbers[int(wanted[1:])]} if int(wanted[1:]) in numbers else {}
    if wanted not in rows:
        letters = listed(pick.letter for pick in opened.picks)
        raise _refused(which, f"there is no such design. Known: {letters}, and {front.ids[0]} to {front.ids[-1]}.")
    return rows[wanted]


def _steps_back(which: str) -> int | None:
    """Runs to go back: 0 for `last`, 2 for `last~2`; None for another name."""
    word, mark, count = which.partition("~")
    if word != LAST or (mark and not count.isdigit()):
        return None
    return int(count) if mark else 0


def _newest_first(results: Path, study: str) -> list[Path]:
    """Runs of a study, or of all studies, the newest first."""
    pattern = f"{study or '*'}/*/{folders.MANIFEST}"
    found = {path.parent.resolve() for path in results.glob(pattern)}
    return sorted(found, key=lambda folder: (started(folder), folder.name), reverse=True)


def started(folder: Path) -> str:
    """Second at which a run was started, with the order inside the second; a named run says it in its manifest."""
    stamp, _, number = folder.name.partition("-")
    if re.fullmatch(STAMP, stamp) and (number or "0").isdigit():
        return f"{stamp}-{int(number or 0):04d}"
    try:
        said = str(read_manifest(folder).get("started", ""))
    except SpecError:
        said = ""
    return said.replace("-", "").replace(":", "")


def _named(name: str, results: Path) -> Path:
    """Folder of a run that is named by study and time, by time, or by study alone."""
    for candidate in (results / name, *results.glob(f"*/{name}"), results / name / LAST):
        if (candidate / folders.MANIFEST).is_file():
            return candidate.resolve()
    studies = [path.name for path in results.glob("*") if path.is_dir()]
    hint = did_you_mean(name, [*studies, LAST]) or " Expected last, last~1, STUDY/last or the folder of a run."
    raise _refused(name, f"there is no such run in {results}.{hint}")


def _summary(folder: Path) -> Mapping[str, Any]:
    try:
        summary: dict[str, Any] = json.loads((folder / folders.SUMMARY).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return summary


def _refused(name: str, why: str) -> SpecError:
    return SpecError([Mistake(name, 0, 0, "", why)])
