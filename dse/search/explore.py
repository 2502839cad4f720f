"""Search a study: sample, choose an engine, score what it proposes, keep the run on disk."""

import math
import time
from collections.abc import Callable, Generator
from contextlib import closing
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from dse.search import verdict
from dse.search.archive import empty_ledger
from dse.search.axes import Designs
from dse.search.budget import Budget
from dse.search.course import Course, Plan, Progress, joined
from dse.search.crews.workers import SMALLEST_BLOCK, Crew, cores, crew
from dse.search.engines import registry
from dse.search.engines.proposals import Feedback, Proposal, Start, unseen
from dse.search.engines.registry import Choice, Outlook
from dse.search.question import Question
from dse.search.runs import lock, promising, run, warm
from dse.search.runs.manifest import manifest
from dse.search.runs.passwords import concealed, without_password
from dse.search.runs.run import Epoch, Run

SAMPLE = 256
"""Designs that every search begins with: they set the reference point, and start the engines that learn."""

SAMPLE_FOR_SAMPLERS = 32
"""The same for Optuna samplers, which are meant for few and slow evaluations."""

SAMPLE_SHARE = 0.25
"""Most of a budget in seconds that the first sample may take."""

WORTHWHILE = 0.5
"""Seconds of work from which other processes pay for being started."""

SAVE_EVERY = 5.0
"""Seconds between two archives on disk, at least."""

SAVE_FIRST = 0.5
"""Seconds before the first one: a shorter search is sooner done again than saved."""

SAVE_COST = 20.0
"""A save may take one part in this many of the time."""

QUICK = 0.02
"""Seconds below which a block of the first sample is followed by one twice as long, and that a block takes in a
search by one process."""

ENUMERATED = 60.0
"""Seconds that an exhaustive search may take when only convergence is asked for."""

CERTAIN = 0.8
"""Part of a budget in seconds that an exhaustive search may be expected to take."""


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
    """Where a resumed run stood, then the last state on disk."""
    due: float
    """When the next state is written."""
    resumed_at: float = 0.0
    """Seconds that earlier parts of the run took."""


def explore(question: Question, options: Options) -> Run:
    """Search a study and return the run, also after Ctrl-C; its folder can be resumed."""
    registry.engine("random" if options.sampler == "auto" else options.sampler)
    if options.storage is not None and options.resume is None:
        from dse.search.runs import study_storage

        study_storage.reachable(options.storage)
    folder = options.resume or run.new_folder(options.results, question.name)
    with lock.locked(folder), lock.graceful():
        run.swept(folder)
        session = _session(question, options, folder)
        try:
            finished, interrupted = _conducted(session), False
        except KeyboardInterrupt:
            if session.course.archive is None:
                raise
            finished, interrupted = False, True
        return _closed(session, finished, interrupted)


def _session(question: Question, options: Options, folder: Path) -> Session:
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
    return Session(
        question, options, folder, notes, course, epoch, due=time.monotonic() + SAVE_FIRST, resumed_at=epoch.seconds
    )


def _scores(values: list[float] | None) -> np.ndarray | None:
    return None if values is None else np.array(values, dtype=np.float64)


def _conducted(session: Session) -> bool:
    """Search; whether the engine had nothing left to propose."""
    question, course = session.question, session.course
    if session.epoch and session.epoch.finished:
        return True
    alone = crew(question, 1)
    crews = [replace(alone, smallest=question.smallest or SAMPLE)]
    try:
        start, pace = _start(session, crews[0])
        choice = _choice(session, pace)
        if choice.name == "exhaustive":  # the order of an enumeration says nothing about what is left
            course.plan = course.plan._replace(budget=replace(course.plan.budget, converged=None))
        _note(session, choice, start)
        planned = min(question.space.size, course.plan.budget.evaluations) - course.evaluations
        wanted = session.options.workers or cores()
        if session.options.cluster:
            crews.append(_cluster(session))
        elif wanted > 1 and pace * planned > WORTHWHILE:
            crews.append(crew(question, wanted))
        elif question.smallest is None:
            crews.append(replace(alone, smallest=max(alone.smallest, int(QUICK / pace))))
        state = session.epoch.engine if session.epoch else None
        with closing(registry.engine(choice.name)(start, state)) as proposals:
            return _follow(session, proposals, crews[-1])
    finally:
        for hired in crews:
            hired.close()


def _cluster(session: Session) -> Crew:
    from dse.search.crews import dask_crew

    return dask_crew.crew(session.question, str(session.options.cluster))


def _start(session: Session, alone: Crew) -> tuple[Start, float]:
    """Score the first sample, in this process; return it with the seconds a design takes.

    A resumed run scores the sample of its first part again, without counting it.
    """
    space, seed, course = session.question.space, int(session.manifest["seed"]), session.course
    few = session.options.sampler in registry.SAMPLER_ENGINES
    count = session.manifest["sample"] or (SAMPLE_FOR_SAMPLERS if few else SAMPLE)
    designs = space.sample(int(min(count, course.plan.budget.evaluations)), seed)
    if session.epoch:
        began = time.monotonic()
        feedback = joined(list(alone.score(designs)))
        pace = (time.monotonic() - began) / len(designs)
        return _warmed(session, Start(space, seed, designs, feedback), alone), pace
    blocks: list[Feedback] = []
    length = SMALLEST_BLOCK
    pace, done, patience = 0.0, 0, SAMPLE_SHARE * course.plan.budget.seconds
    while done < len(designs) and not (blocks and course.seconds > patience):
        block, began = designs.take(slice(done, done + length)), time.monotonic()
        parts = list(alone.score(block))
        spent = time.monotonic() - began
        course.waited += spent
        pace, length = spent / len(block), 2 * length if spent < QUICK else length
        course.keep(parts)
        scored = joined(parts)
        blocks.append(scored._replace(design=scored.design + done))
        done += len(block)
    feedback = Feedback(*(np.concatenate(parts) for parts in zip(*blocks, strict=True)))
    course.sample_done(feedback)
    session.manifest["sample"] = done
    return _warmed(session, Start(space, seed, designs.take(slice(0, done)), feedback), alone), pace


def _warmed(session: Session, start: Start, alone: Crew) -> Start:
    """Start with the translated front of another run scored as well, as far as the budget allows."""
    noted = session.manifest.get("start_from")
    if not noted:
        return start
    course, names = session.course, start.space.names
    rows = np.array(noted["rows"], dtype=np.int16).reshape(-1, len(names))
    fresh = unseen(Designs(rows, names), set(start.designs.identities()))
    if session.epoch is None:
        fresh = fresh.take(slice(0, int(min(len(fresh), course.plan.budget.evaluations - course.evaluations))))
    if not len(fresh):
        return start
    parts = list(alone.score(fresh))
    if session.epoch is None:
        course.keep(parts)
    found = joined(parts)
    pairs = zip(start.feedback, found._replace(design=found.design + len(start.designs)), strict=True)
    designs = Designs(np.concatenate([start.designs.rows, fresh.rows]), names)
    return Start(start.space, start.seed, designs, Feedback(*(np.concatenate(pair) for pair in pairs)))


def _choice(session: Session, pace: float) -> Choice:
    """Engine of a run: its own when resumed, the one asked for, or the one that fits."""
    known, asked, budget = session.manifest["sampler"], session.options.sampler, session.course.plan.budget
    if known:
        return Choice(known, session.manifest["reason"])
    if asked != "auto":
        return Choice(asked, f"{asked}: asked for")
    workers = session.options.workers or cores()
    unlimited = budget.converged is not None and math.isinf(budget.seconds) and math.isinf(budget.evaluations)
    seconds = ENUMERATED if unlimited else budget.seconds - session.course.seconds
    in_time = CERTAIN * seconds * workers / max(pace, 1e-9)
    affordable = min(budget.evaluations, in_time + session.course.evaluations)
    return registry.choose(Outlook(session.question.space.size, affordable, pace))


def _note(session: Session, choice: Choice, start: Start) -> None:
    """Write into the manifest what is known once the search proper begins."""
    sample = session.manifest["sample"] or len(start.designs)
    basis = f"worst feasible value of each objective in a seeded sample of {sample} designs"
    if not (start.feedback.violation[start.feedback.design < sample] <= 0).any():
        basis = "worst feasible value of each objective in the first blocks with a feasible design"
    session.manifest |= {
        "sampler": choice.name,
        "reason": choice.reason,
        "sample": sample,
        "reference_basis": basis,
    }
    _note_reference(session)
    run.write_json(session.folder / run.MANIFEST, session.manifest)


def _note_reference(session: Session) -> None:
    reference = session.course.reference
    if reference is not None and session.manifest["reference_scores"] is None:
        session.manifest["reference_scores"] = reference.tolist()
        session.manifest["reference_point"] = verdict.plain(reference, session.question.goals)
        run.write_json(session.folder / run.MANIFEST, session.manifest)


def _follow(session: Session, proposals: Generator[Proposal, Feedback, None], hired: Crew) -> bool:
    """Score what the engine proposes until it ends or the budget does; keep a state that can be resumed."""
    course, feedback = session.course, None
    while True:
        try:
            proposal = next(proposals) if feedback is None else proposals.send(feedback)
        except StopIteration:
            return True
        before = (course.ledger, course.evaluations)
        due = time.monotonic() >= session.due
        if due:
            _save(session, proposal, before)
        feedback = None
        try:
            feedback = course.score(hired, proposal.designs) if not course.over else None
        finally:
            if feedback is None:
                _save(session, proposal, before)
        if feedback is None:
            return False


def _save(session: Session, proposal: Proposal, before: tuple[Any, int]) -> None:
    """Write the archive as it is now, and the engine, ledger and count as they were before its last batch."""
    began = time.monotonic()
    course = session.course
    _note_reference(session)
    session.epoch = Epoch(
        archive=course.found(),
        ledger=before[0],
        engine=proposal.state(),
        evaluations=before[1],
        spent=course.evaluations,
        seconds=course.seconds,
        history=tuple(course.history),
    )
    run.save_epoch(session.folder, session.epoch)
    session.due = time.monotonic() + max(SAVE_EVERY, SAVE_COST * (time.monotonic() - began))


def _keep_state(session: Session, finished: bool) -> None:
    """Write the last archive; an interrupted engine goes on from its last whole state."""
    course, last = session.course, session.epoch
    safe = last if last and not finished else None
    epoch = Epoch(
        archive=course.found(),
        ledger=safe.ledger if safe else course.ledger,
        engine=last.engine if last else {},
        evaluations=safe.evaluations if safe else course.evaluations,
        spent=course.evaluations,
        seconds=course.seconds,
        history=tuple(course.history),
        finished=finished,
        tail=course.ledger.after(safe.ledger) if safe else None,
    )
    run.save_epoch(session.folder, epoch)


def _closed(session: Session, finished: bool, interrupted: bool) -> Run:
    """Write what people read."""
    from dse.search.runs import study

    question, course, folder, closing_began = session.question, session.course, session.folder, time.monotonic()
    course.look()
    archive, exhausted = course.found(), course.evaluations >= question.space.size
    reference = course.reference if course.reference is not None else archive.scores.max(axis=0)
    _note_reference(session)
    _keep_state(session, finished)
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
        "evaluations": course.evaluations,
        "wall_seconds": round(course.seconds, 3),
        "designs_per_second": round(course.evaluations / max(course.seconds, 1e-9), 1),
        "converged": course.converged,
        "start_from": {k: v for k, v in session.manifest.get("start_from", {}).items() if k != "rows"} or None,
    }
    searching = course.seconds
    facts |= verdict.summary(question, archive, course.ledger, reference)
    result = Run(folder, question, archive, facts, session.manifest)
    if question.external and facts["feasible"] and not interrupted:
        facts["external"] = promising.score(result, question.external, session.options.workers or cores())
    run.write_atomic(folder / run.FRONT, result.front().csv().encode())
    run.write_history(folder, tuple(course.history))
    run.write_json(folder / run.SUMMARY, facts)
    missed = study.record(result, course.ledger, session.options.storage)
    facts |= {"storage_missed": missed} if missed is not None else {}
    facts |= course.overhead(searching + time.monotonic() - closing_began - session.resumed_at)
    run.write_json(folder / run.SUMMARY, facts)
    return replace(result, summary=facts)
