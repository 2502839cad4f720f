"""Search a study: sample, choose an engine, score what it proposes, keep the run on disk."""

import math
import time
from collections.abc import Generator
from contextlib import closing
from dataclasses import replace

import numpy as np

from dse.search.axes import Designs
from dse.search.course import joined
from dse.search.crews.workers import LARGEST_BLOCK, SMALLEST_BLOCK, Crew, cores, crew
from dse.search.engines import registry
from dse.search.engines.proposals import Feedback, Proposal, Start
from dse.search.engines.seen import Seen
from dse.search.question import Question
from dse.search.runs import lock, run, sample
from dse.search.runs.run import Run
from dse.search.session import Options, Session, closed, note, opened, save

SAMPLE = 64
"""Designs that every search begins with: they set the reference point, and start the engines that learn."""

SAMPLE_FOR_SAMPLERS = 32
"""The same for Optuna samplers, which are meant for few and slow evaluations."""

SAMPLE_SHARE = 0.25
"""Most of a budget in seconds that the first sample may take."""

WORTHWHILE = 0.5
"""Seconds of work from which other processes pay for being started."""

QUICK = 0.02
"""Seconds below which a block of the first sample is followed by one twice as long, and that a block takes in a
search by one process."""

ENUMERATED = 60.0
"""Seconds that an exhaustive search may take when only convergence is asked for."""

CERTAIN = 0.8
"""Part of a budget in seconds that an exhaustive search may be expected to take."""


def explore(question: Question, options: Options) -> Run:
    """Search a study and return the run, also after Ctrl-C; its folder can be resumed."""
    registry.engine("random" if options.sampler == "auto" else options.sampler)
    if options.storage is not None and options.resume is None:
        from dse.search.runs import study_storage

        study_storage.reachable(options.storage)
    folder = options.resume or run.new_folder(options.results, question.name)
    with lock.locked(folder), lock.graceful():
        run.swept(folder)
        session = opened(question, options, folder)
        try:
            finished, interrupted = _conducted(session), False
        except KeyboardInterrupt:
            if session.course.archive is None:
                raise
            finished, interrupted = False, True
        return closed(session, finished, interrupted)


def _conducted(session: Session) -> bool:
    """Search; whether the engine had nothing left to propose."""
    question, course = session.question, session.course
    if session.epoch and session.epoch.finished:
        return True
    alone = crew(question, 1)
    crews = [alone]
    try:
        start, pace = _start(session, alone)
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
        elif question.block is None and (quick := int(QUICK / pace)) > LARGEST_BLOCK:
            crews.append(replace(alone, block=quick))
        state = session.epoch.engine if session.epoch else None
        with closing(registry.engine(choice.name)(start, state)) as proposals:
            return _follow(session, proposals, crews[-1])
    finally:
        for hired in crews:
            hired.close()


def _cluster(session: Session) -> Crew:
    from dse.search.crews import dask_crew

    return dask_crew.crew(session.question, str(session.options.cluster))


def _start(session: Session, alone: Crew) -> sample.Begun:
    """Score the first sample, in this process; return it with the seconds a design takes."""
    space, seed, course = session.question.space, int(session.manifest["seed"]), session.course
    few = session.options.sampler in registry.SAMPLER_ENGINES
    count = session.manifest["sample"] or (SAMPLE_FOR_SAMPLERS if few else SAMPLE)
    designs = space.sample(int(min(count, course.plan.budget.evaluations)), seed)
    if session.epoch:
        return _recalled(session, designs, alone)
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
    start = _warmed(
        session, Start(space, seed, designs.take(slice(0, done)), feedback, session.question.generation), alone
    )
    session.begun = sample.Begun(start, pace)
    return session.begun


def _recalled(session: Session, designs: Designs, alone: Crew) -> sample.Begun:
    """Sample of the first part of a resumed run; one that was lost is scored again, without being counted."""
    space, seed = session.question.space, int(session.manifest["seed"])
    nothing = Feedback(np.zeros((0, 1)), np.zeros(0), np.zeros(0, dtype=np.int64))
    bare = Start(space, seed, designs, nothing, session.question.generation)
    kept = sample.load(session.folder, bare)
    if kept is not None:
        return kept
    began = time.monotonic()
    feedback = joined(list(alone.score(designs)))
    pace = (time.monotonic() - began) / len(designs)
    return sample.Begun(_warmed(session, replace(bare, feedback=feedback), alone), pace)


def _warmed(session: Session, start: Start, alone: Crew) -> Start:
    """Start with the translated front of another run scored as well, as far as the budget allows."""
    noted = session.manifest.get("start_from")
    if not noted:
        return start
    course, names = session.course, start.space.names
    rows = np.array(noted["rows"], dtype=np.int16).reshape(-1, len(names))
    found = Designs(rows, names)
    fresh = found.take(Seen(start.designs.rows).missing(found))
    if session.epoch is None:
        fresh = fresh.take(slice(0, int(min(len(fresh), course.plan.budget.evaluations - course.evaluations))))
    if not len(fresh):
        return start
    parts = list(alone.score(fresh))
    if session.epoch is None:
        course.keep(parts)
    scored = joined(parts)
    pairs = zip(start.feedback, scored._replace(design=scored.design + len(start.designs)), strict=True)
    designs = Designs(np.concatenate([start.designs.rows, fresh.rows]), names)
    return replace(start, designs=designs, feedback=Feedback(*(np.concatenate(pair) for pair in pairs)))


def _choice(session: Session, pace: float) -> registry.Choice:
    """Engine of a run: its own when resumed, the one asked for, or the one that fits."""
    known, asked, budget = session.manifest["sampler"], session.options.sampler, session.course.plan.budget
    if known:
        return registry.Choice(known, session.manifest["reason"])
    if asked != "auto":
        return registry.Choice(asked, f"{asked}: asked for")
    workers = session.options.workers or cores()
    unlimited = budget.converged is not None and math.isinf(budget.seconds) and math.isinf(budget.evaluations)
    seconds = ENUMERATED if unlimited else budget.seconds - session.course.seconds
    in_time = CERTAIN * seconds * workers / max(pace, 1e-9)
    affordable = min(budget.evaluations, in_time + session.course.evaluations)
    return registry.choose(registry.Outlook(session.question.space.size, affordable, pace))


def _note(session: Session, choice: registry.Choice, start: Start) -> None:
    """Write into the manifest what is known once the search proper begins."""
    count = session.manifest["sample"] or len(start.designs)
    basis = f"worst feasible value of each objective in a seeded sample of {count} designs"
    if not (start.feedback.violation[start.feedback.design < count] <= 0).any():
        basis = "worst feasible value of each objective in the first blocks with a feasible design"
    note(session, {"sampler": choice.name, "reason": choice.reason, "sample": count, "reference_basis": basis})


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
            save(session, proposal, before)
        feedback = None
        try:
            feedback = course.score(hired, proposal.designs) if not course.over else None
        finally:
            if feedback is None:
                save(session, proposal, before)
        if feedback is None:
            return False
