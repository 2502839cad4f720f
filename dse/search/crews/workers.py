"""Scoring of designs by worker processes, with the same result at any number of them.

The score of a design does not depend on the block it is in, and blocks are merged in their order. A worker sends back
all scores, but full columns only of the rows that its own block does not dominate.
"""

import os
from collections import deque
from collections.abc import Callable, Generator, Iterator, Sequence
from concurrent.futures import Future
from dataclasses import dataclass
from functools import partial
from typing import Any, NamedTuple, Protocol, TypeAlias

import numpy as np

from dse.facts.errors import Mistake, SpecError
from dse.search import pareto
from dse.search.axes import Designs
from dse.search.crews import processes
from dse.search.engines.proposals import Feedback
from dse.search.metrics import Goal, Metrics, scores
from dse.search.question import Question
from dse.search.runs import lock

Evaluator: TypeAlias = Callable[[Designs], Metrics]

SMALLEST_BLOCK, LARGEST_BLOCK = 16, 128
"""Designs per block: with fewer, calls on small arrays take longer than the work; of more, columns leave the cache."""

AHEAD = 3
"""Blocks per worker that wait in the queue; the rest is cut when they are done."""

LOSSES = 5
"""Times in a row that a block may lose its worker before the search gives up."""


class Scored(NamedTuple):
    """Results of one block."""

    designs: Designs
    feedback: Feedback
    kept: Metrics
    """Rows that no other feasible row of the block dominates, or its least violating row."""


def reduced(designs: Designs, metrics: Metrics, goals: Sequence[Goal]) -> Scored:
    """Scores of all rows, columns of those that may matter; rows with infinite objectives are infeasible."""
    values = scores(metrics, goals)
    if np.isnan(values).any() or np.isnan(metrics.violation).any():
        raise ValueError("an objective or a violation is not a number: this is a bug of the evaluation")
    if (metrics.violation < 0).any():
        raise ValueError("a violation is negative: it counts how much is missing, so it is zero or more")
    violation = np.where(np.isfinite(values).all(axis=1), metrics.violation, np.inf)
    checked = Metrics(metrics.design, metrics.columns, metrics.mapping, violation)
    usable = np.flatnonzero(violation <= 0)
    kept = usable[pareto.nondominated(values[usable])] if len(usable) else _least(designs, checked)
    return Scored(designs, Feedback(values, violation, metrics.design), checked.take(kept))


def _least(designs: Designs, metrics: Metrics) -> np.ndarray:
    tied = np.flatnonzero(metrics.violation == metrics.violation.min())
    identity = designs.rows[metrics.design[tied]]
    return tied[np.lexsort([*identity.T[::-1]])[:1]]


def shared(count: int, workers: int) -> int:
    """Designs per block where workers get as many blocks each, all of one size.

    >>> shared(140, 2), shared(600, 2), shared(20, 4)
    (70, 100, 16)
    """
    rounds = -(-count // (workers * LARGEST_BLOCK))
    return max(-(-count // max(workers * rounds, 1)), SMALLEST_BLOCK)


def blocks(designs: Designs, length: int) -> Iterator[Designs]:
    """Cut a batch."""
    for first in range(0, len(designs), length):
        yield designs.take(slice(first, first + length))


def _work(evaluate: Evaluator, goals: tuple[Goal, ...], designs: Designs) -> Scored:
    return reduced(designs, evaluate(designs), goals)


def cores() -> int:
    """Cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


class Promise(Protocol):
    """A block that is being scored somewhere."""

    def result(self) -> Scored:
        """Wait for the scores."""

    def cancel(self) -> Any:
        """Drop the block if it was not begun."""


class Team(Protocol):
    """Workers of one kind: processes of this machine, or a cluster."""

    @property
    def workers(self) -> int:
        """Blocks that can be scored at the same time."""

    @property
    def lost(self) -> tuple[type[Exception], ...]:
        """Errors that mean that a worker went away, and not that the evaluation is wrong."""

    def submit(self, designs: Designs) -> Promise:
        """Send a block out."""

    def renew(self) -> None:
        """Replace workers that went away."""

    def close(self) -> None:
        """Let the workers go."""


class Processes:
    """Processes of this machine."""

    lost: tuple[type[Exception], ...] = (processes.WorkerLost,)

    def __init__(self, evaluate: Evaluator, goals: tuple[Goal, ...], workers: int) -> None:
        self.workers = workers
        self._work = partial(_work, evaluate, goals)
        self._team = processes.Team(self._work, workers)

    def submit(self, designs: Designs) -> Future[Scored]:
        """Send a block out."""
        return self._team.submit(designs)

    def renew(self) -> None:
        """Hire anew: a team that lost one worker cannot be used any more."""
        self._team.close(patience=0.0)
        self._team = processes.Team(self._work, self.workers)

    def close(self) -> None:
        """Let the workers go."""
        self._team.close()


class _Sent(NamedTuple):
    block: Designs
    promise: Promise


@dataclass(frozen=True)
class Crew:
    """Scores batches, in this process or by a team."""

    evaluate: Evaluator
    goals: tuple[Goal, ...]
    team: Team | None = None
    block: int | None = None
    """Designs per block; None shares a batch evenly."""

    def score(self, designs: Designs) -> Generator[Scored, None, None]:
        """Yield the blocks of a batch in order; closing the iterator drops what was not begun."""
        length = self.block or shared(len(designs), self.team.workers if self.team else 1)
        if self.team is None:
            for block in blocks(designs, length):
                yield reduced(block, self.evaluate(block), self.goals)
            return
        waiting: deque[_Sent] = deque()
        try:
            for block in blocks(designs, length):
                waiting.append(_Sent(block, _sent(self.team, block)))
                if len(waiting) >= AHEAD * self.team.workers:
                    yield _first(self.team, waiting)
            while waiting:
                yield _first(self.team, waiting)
        finally:
            for sent in waiting:
                sent.promise.cancel()

    def close(self) -> None:
        """Let the workers go."""
        if self.team is not None:
            self.team.close()


def crew(question: Question, workers: int) -> Crew:
    """Hire workers; one worker is this process itself."""
    evaluate, goals = question.evaluate, question.goals
    team = Processes(evaluate, goals, workers) if workers > 1 else None
    return Crew(evaluate, goals, team, question.block)


def _first(team: Team, waiting: deque[_Sent]) -> Scored:
    """Scores of the block sent first; blocks whose worker died are sent again."""
    for _ in range(LOSSES):
        lock.heed()
        try:
            scored = waiting[0].promise.result()
        except team.lost:
            team.renew()
            again = [_Sent(sent.block, _again(team, sent)) for sent in waiting]
            waiting.clear()
            waiting.extend(again)
        else:
            waiting.popleft()
            return scored
    why = (
        f"workers died {LOSSES} times in a row while they scored the same designs: is memory short? "
        "What was scored before is kept: resume the run, with fewer --workers"
    )
    raise SpecError([Mistake("", 0, 0, "workers", why)])


def _sent(team: Team, block: Designs) -> Promise:
    """Send a block; a team that is found broken only now is renewed."""
    try:
        return team.submit(block)
    except team.lost:
        team.renew()
        return team.submit(block)


def _again(team: Team, sent: _Sent) -> Promise:
    """Keep what is done of a block that was out when a worker died, or send it again."""
    promise = sent.promise
    if isinstance(promise, Future) and promise.done() and not promise.cancelled() and promise.exception() is None:
        return promise
    return _sent(team, sent.block)
