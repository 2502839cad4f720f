"""Certificates of runs on disk: the front is scored again before anything is proved about it."""

import json
from dataclasses import replace
from pathlib import Path
from typing import NamedTuple

import numpy as np

from dse.arrays import FloatArray
from dse.facts.problem import load
from dse.search import pareto
from dse.search.archive import gather
from dse.search.ask import ask
from dse.search.axes import Designs, Rows
from dse.search.bounds import certify
from dse.search.bounds.certificate import CERTIFICATE, Certificate, Step, identity
from dse.search.bounds.certify import Effort
from dse.search.bounds.crew import Clock, Crew
from dse.search.bounds.yardstick import margins
from dse.search.frontier import shown
from dse.search.metrics import Metrics, scores, stack
from dse.search.question import Question
from dse.search.runs import run
from dse.search.runs.listed import listed_archive
from dse.search.runs.manifest import catalog_hash

MOST_DESIGNS = 400
"""Designs of a front that are scored again and certified with: more take longer and cover little more."""

PARTS = 16
"""Parts of a front that are scored in turn, each with members from all over it."""

RESCORING = 0.3
"""Part of the time in which the front is scored again [1]."""

RESOLUTION = float(np.log10(1.002))
"""Where a front has more, members within this of each other are one, then within twice this, and so on [decades]."""

SAME = 1e-5
"""Decades by which a score may move between two machines, or by being written with six digits."""


class Stored(NamedTuple):
    """The front of a run as it was found."""

    rows: Rows
    """(m, axes) architecture of each row."""
    scores: FloatArray
    """(m, k) objectives in decades, less is better."""


def certified(folder: Path, effort: Effort) -> Certificate:
    """Certify the front of a run and write the certificate into its folder; SpecError if the model has changed."""
    manifest = run.read_manifest(folder)
    question = ask(load(folder / run.PROBLEM))
    run.refuse_other(manifest, question)
    stored = _front(folder, question)
    designs, metrics = _rescored(_thinned(stored, question), question, effort)
    _refuse_moved(folder, question, stored, (designs, metrics))
    front = gather(metrics, designs.rows[metrics.design], question.goals)
    if not front.feasible:
        raise run.refused(folder, "the run found no feasible design: there is no front to certify")
    try:
        whole = _exhaustive(folder)
        made = _enumerated(question, len(front), effort) if whole else certify.certify(question, front, effort)
    except (ValueError, OverflowError) as error:
        raise run.refused(folder, f"this study has no bounds: {error}") from error
    run.write_json(folder / CERTIFICATE, made.json() | {"of": _identities(folder, question, stored)})
    return made


def _exhaustive(folder: Path) -> bool:
    """Whether the run scored every design, so that nothing is left to prove."""
    try:
        return bool(json.loads((folder / run.SUMMARY).read_text(encoding="utf-8")).get("exhaustive"))
    except (OSError, ValueError):
        return False


def _enumerated(question: Question, rows: int, effort: Effort) -> Certificate:
    """Certificate of a front that was enumerated: every design was scored by this very model."""
    size = question.space.size
    curve = tuple(Step(float(one), size) for one in margins(effort.epsilon))
    seconds = effort.clock.used
    return Certificate(question.name, effort.epsilon, size, 0, 0, size, 0, 0, 0.0, (), rows, 0, seconds, curve)


def _front(folder: Path, question: Question) -> Stored:
    """Front of the archive, or the rows that the table lists where only tables were kept."""
    if any((folder / name).exists() for name in (run.ARCHIVE, run.PREVIOUS)):
        archive = run.load_epoch(folder).archive
        return (
            Stored(archive.rows, archive.scores) if archive.feasible else Stored(archive.rows[:0], archive.scores[:0])
        )
    archive = listed_archive(folder, question)[0]
    return Stored(archive.rows, archive.scores)


def _identities(folder: Path, question: Question, stored: Stored) -> list[str]:
    """Names of the front that a certificate speaks about: of the whole, and of the rows that its table lists."""
    listed = listed_archive(folder, question)[0].scores if (folder / run.FRONT).exists() else stored.scores
    return [identity(stored.scores), identity(listed)]


def _thinned(front: Stored, question: Question) -> Designs:
    """Designs of a front, or of representatives of a long one."""
    step, kept = RESOLUTION, np.unique(front.rows, axis=0)
    while len(kept) > MOST_DESIGNS:
        kept = np.unique(front.rows[pareto.representatives(front.scores, step)], axis=0)
        step = 2 * step
    if not len(kept):
        raise run.refused(question.name, "the run found no feasible design: there is no front to certify")
    return Designs(kept, question.space.names)


def _rescored(designs: Designs, question: Question, effort: Effort) -> tuple[Designs, Metrics]:
    """Designs with their scores, as many as there is time for: a certificate against a part of a front is as true."""
    parts = [designs.take(np.arange(first, len(designs), PARTS)) for first in range(min(PARTS, len(designs)))]
    clock = replace(effort.clock, seconds=RESCORING * effort.seconds)
    done: list[tuple[Designs, Metrics]] = []
    with Crew((question, clock), effort.workers) as crew:
        for part, metrics in zip(parts, crew.map(_scored, parts), strict=True):
            if metrics is not None:
                done.append((part, metrics.owned_by(metrics.design + sum(len(before) for before, _ in done))))
    if not done:
        done = [(parts[0], question.evaluate(parts[0]))]
    rows = np.concatenate([part.rows for part, _ in done])
    return Designs(rows, question.space.names), stack([metrics for _, metrics in done])


def _scored(held: tuple[Question, Clock], designs: Designs) -> Metrics | None:
    question, clock = held
    return None if clock.late else question.evaluate(designs)


def _refuse_moved(folder: Path, question: Question, was: Stored, now: tuple[Designs, Metrics]) -> None:
    """Refuse a run of which a row has another score today: its front is not this model's."""
    designs, metrics = now
    names = {row.tobytes(): number for number, row in enumerate(designs.rows)}
    values = scores(metrics, question.goals)
    for row, old in zip(was.rows, was.scores, strict=True):
        own = names.get(row.tobytes())
        if own is None:
            continue
        mine = values[metrics.design == own]
        nearest = mine[np.abs(mine - old).max(axis=1).argmin()]
        if np.abs(nearest - old).max() > SAME:
            at = int(np.abs(nearest - old).argmax())
            raise run.refused(folder, _moved(folder, question, at, (float(old[at]), float(nearest[at]))))


def _moved(folder: Path, question: Question, at: int, pair: tuple[float, float]) -> str:
    goal = question.goals[at]
    name, factor = shown(goal.unit)
    unit = "" if name == "1" else f" {name}"
    before, after = (10.0 ** (-score if goal.maximize else score) / factor for score in pair)
    was, now = str(run.read_manifest(folder).get("catalog_sha256")), catalog_hash()
    where = f"the catalog was {was[:12]}, is {now[:12]}" if was != now else "the catalog is the same, the model is not"
    return (
        f"the run was scored by another version of the catalog or the model: a design of its front had "
        f"{goal.name} {before:.6g}{unit}, has {after:.6g}{unit} now ({where}). Start a new run"
    )
