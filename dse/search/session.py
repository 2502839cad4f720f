"""One call of a search on disk: begun or resumed, saved on the way, closed with what people read."""

import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from dse.search import verdict
from dse.search.archive import Ledger, empty_ledger
from dse.search.budget import Budget
from dse.search.course import Course, Plan, Progress
from dse.search.crews.workers import cores
from dse.search.engines.proposals import Proposal
from dse.search.question import Question
from dse.search.runs import promising, run, sample, warm
from dse.search.runs.manifest import manifest
from dse.search.runs.passwords import concealed, without_password
from dse.search.runs.run import Epoch, Run

SAVE_EVERY = 5.0
"""Seconds between two archives on disk, at least."""

SAVE_FIRST = 0.5
"""Seconds before the first one: a shorter search is sooner done again than saved."""

SAVE_COST = 20.0
"""A save may take one part in this many of the time."""


def ignore(progress: Progress) -> None:
    """Report progress to nobody."""


@dataclass(frozen=True)
class Options:
    """How to search."""

    budget: Budget
    seed: int = 0
    workers: int | None = None
    """Processes; None takes one per core."""
    sampler: str = "auto"
    """Engine by name, see `registry.NAMES`."""
    results: Path = Path("results")
    """Where run folders are made."""
    resume: Path | None = None
    """Folder of a run to continue; its own seed and engine are used."""
    start_from: Path | None = None
    """Folder of a run, of any study, whose front is translated, scored again and given to the engine."""
    storage: str | None = None
    """Optuna storage URL of the study; None writes a journal file into the run folder."""
    cluster: str | None = None
    """Address of a running Dask scheduler whose workers score the designs; None scores them on this machine."""
    command: str = ""
    """Command line, for the manifest."""
    progress: Callable[[Progress], None] = ignore


@dataclass
class Session:
    """One call of `explore`: the course of the search, and what is on disk of it."""

    question: Question
    options: Options
    folder: Path
    manifest: dict[str, Any]
    course: Course
    epoch: Epoch | None
    """The last state on disk."""
    due: float
    """When the next state is written."""
    resumed: Epoch | None = None
    """Where a resumed run stood."""
    begun: sample.Begun | None = None
    """The scored sample, until it is on disk."""

    @property
    def resumed_at(self) -> float:
        """Seconds that earlier parts of the run took."""
        return self.resumed.seconds if self.resumed else 0.0


def opened(question: Question, options: Options, folder: Path) -> Session:
    """Begin a run, or continue one; a run that was killed before it was saved is begun anew as it was begun."""
    if options.resume is None:
        return _new(question, options, folder)
    notes = run.read_manifest(folder)
    run.refuse_other(notes, question)
    if "islands" in notes:
        raise run.refused(folder, "several processes work on this run: go on with --join in place of --resume")
    run.set_aside(folder)
    asked = replace(options, seed=int(notes["seed"]), sampler=notes.get("asked", options.sampler))
    if notes["sampler"] is None or not run.begun(folder):
        return _new(question, asked, folder, notes)
    return _resumed(question, asked, folder, notes)


def _new(question: Question, options: Options, folder: Path, notes: dict[str, Any] | None = None) -> Session:
    """Write what a run needs to be continued, the manifest last: a folder with a manifest is complete."""
    notes = notes or manifest(question, options.seed, str(options.budget), options.command)
    notes |= {"format": run.FORMAT, "asked": options.sampler, "limits": run.limits(options.budget)}
    notes |= {"command": concealed(notes["command"]), "storage": options.storage and without_password(options.storage)}
    if options.start_from is not None:
        notes["start_from"] = warm.start_from(question.space, options.start_from)
    if question.resolved:
        run.write_atomic(folder / run.PROBLEM, question.resolved.encode())
    for place, source in question.attachments.items():
        (folder / place).parent.mkdir(parents=True, exist_ok=True)
        run.write_atomic(folder / place, source.read_bytes())
    run.write_json(folder / run.MANIFEST, notes)
    plan = Plan(question.goals, question.space.size, options.budget, options.progress)
    ledger = empty_ledger(question.space.structure.sizes, len(question.goals))
    course = Course(plan, time.monotonic(), None, ledger, 0, [])
    return Session(question, options, folder, notes, course, None, due=course.began + SAVE_FIRST)


def _resumed(question: Question, options: Options, folder: Path, notes: dict[str, Any]) -> Session:
    epoch = run.load_epoch(folder)
    budget = options.budget.after(epoch.seconds, epoch.spent)
    notes = notes | {"limits": run.limits(budget)}
    run.write_json(folder / run.MANIFEST, notes)
    plan = Plan(question.goals, question.space.size, budget, options.progress)
    began = time.monotonic() - epoch.seconds
    course = Course(plan, began, epoch.archive, epoch.ledger, epoch.evaluations, list(epoch.history))
    course.reference, course.sampled = _scores(notes["reference_scores"]), True
    course.floor = epoch.spent
    return Session(question, options, folder, notes, course, epoch, time.monotonic() + SAVE_FIRST, resumed=epoch)


def _scores(values: list[float] | None) -> np.ndarray | None:
    return None if values is None else np.array(values, dtype=np.float64)


def note_reference(session: Session) -> None:
    """Write the reference point into the manifest as soon as there is one."""
    if _referred(session):
        run.write_json(session.folder / run.MANIFEST, session.manifest)


def note(session: Session, facts: dict[str, Any]) -> None:
    """Write facts into the manifest, and the reference point if there is one."""
    session.manifest |= facts
    _referred(session)
    run.write_json(session.folder / run.MANIFEST, session.manifest)


def _referred(session: Session) -> bool:
    """Whether there is a reference point that the manifest did not have."""
    reference = session.course.reference
    if reference is None or session.manifest["reference_scores"] is not None:
        return False
    session.manifest["reference_scores"] = reference.tolist()
    session.manifest["reference_point"] = verdict.plain(reference, session.question.goals)
    return True


def _keep_sample(session: Session) -> None:
    """Write the sample, without which nothing on disk can be resumed, before the first state."""
    if session.begun is not None:
        sample.save(session.folder, session.begun)
        session.begun = None


def save(session: Session, proposal: Proposal, before: tuple[Any, int]) -> None:
    """Write the archive as it is now, and the engine, ledger and count as they were before its last batch."""
    began = time.monotonic()
    course = session.course
    note_reference(session)
    _keep_sample(session)
    session.epoch = Epoch(
        archive=course.found(),
        ledger=before[0],
        engine=proposal.state(),
        evaluations=before[1],
        spent=course.scored,
        seconds=course.seconds,
        history=tuple(course.history),
    )
    run.save_epoch(session.folder, session.epoch, packed=False)
    session.due = time.monotonic() + max(SAVE_EVERY, SAVE_COST * (time.monotonic() - began))


def _keep_state(session: Session, finished: bool) -> Ledger:
    """Write the last archive, and return the ledger of all parts; an engine goes on from its last whole state."""
    _keep_sample(session)
    course, last = session.course, session.epoch
    safe = last if last and not finished else None
    epoch = Epoch(
        archive=course.found(),
        ledger=safe.ledger if safe else course.ledger,
        engine=last.engine if last else {},
        evaluations=safe.evaluations if safe else course.evaluations,
        spent=course.scored,
        seconds=course.seconds,
        history=tuple(course.history),
        finished=finished,
        tail=_tail(session, safe),
    )
    run.save_epoch(session.folder, epoch)
    return run.told(epoch)


def _tail(session: Session, safe: Epoch | None) -> Ledger | None:
    """What the batch in progress added: that of the part before, where this part did not come as far again."""
    if safe is None:
        return None
    course, before = session.course, session.resumed
    if before and before.tail and course.evaluations < before.spent:
        return before.tail
    return course.ledger.after(safe.ledger)


def closed(session: Session, finished: bool, interrupted: bool) -> Run:
    """Write what people read."""
    from dse.search.runs import study

    question, course, folder, closing_began = session.question, session.course, session.folder, time.monotonic()
    course.look()
    archive, exhausted = course.found(), course.scored >= question.space.size
    reference = course.reference if course.reference is not None else archive.scores.max(axis=0)
    note_reference(session)
    ledger = _keep_state(session, finished)
    facts = {
        "study": question.name,
        "run": folder.name,
        "sampler": session.manifest["sampler"],
        "reason": session.manifest["reason"],
        "exhaustive": exhausted,
        "finished": finished or exhausted,
        "interrupted": interrupted,
        "seed": session.manifest["seed"],
        "space_size": question.space.size,
        "evaluations": course.scored,
        "wall_seconds": round(course.seconds, 3),
        "designs_per_second": round(course.scored / max(course.seconds, 1e-9), 1),
        "converged": course.converged,
        "start_from": {k: v for k, v in session.manifest.get("start_from", {}).items() if k != "rows"} or None,
    }
    searching = course.seconds
    facts |= verdict.summary(question, archive, ledger, reference)
    result = Run(folder, question, archive, facts, session.manifest)
    run.write_atomic(folder / run.FRONT, result.front().csv().encode())
    run.write_history(folder, tuple(course.history))
    run.write_json(folder / run.SUMMARY, facts)
    missed = study.record(result, ledger, session.options.storage)
    facts |= {"storage_missed": missed} if missed is not None else {}
    facts |= course.overhead(searching + time.monotonic() - closing_began - session.resumed_at)
    run.write_json(folder / run.SUMMARY, facts)
    if question.external and facts["feasible"] and not interrupted:
        facts |= _seconded(result, session.options.workers or cores())
        run.write_json(folder / run.SUMMARY, facts)
    return replace(result, summary=facts)


def _seconded(result: Run, workers: int) -> dict[str, Any]:
    """What another evaluator says of a run that is complete without it; Ctrl-C keeps the answers that came."""
    assert result.question.external is not None
    try:
        return {"external": promising.score(result, result.question.external, workers)}
    except KeyboardInterrupt:
        return {"interrupted": True}
