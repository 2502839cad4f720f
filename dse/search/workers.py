"""Scoring of designs by worker processes, with the same result at any number of them.

Blocks are cut by the number of designs alone and merged in their order. A worker sends back all scores,
but full columns only of the rows that its own block does not dominate.
"""

import multiprocessing
import os
import signal
import sys
from collections import deque
from collections.abc import Callable, Generator, Iterator, Sequence
from concurrent.futures import Future, ProcessPoolExecutor
from dataclasses import dataclass
from typing import NamedTuple, TypeAlias

import numpy as np

from dse.search import pareto
from dse.search.axes import Designs
from dse.search.metrics import Goal, Metrics, scores
from dse.search.proposals import Feedback

Evaluator: TypeAlias = Callable[[Designs], Metrics]

SMALLEST_BLOCK = 16
"""Designs per block of a small batch: some milliseconds of work each, so that cores share a generation."""

BLOCKS_PER_BATCH = 64
"""Blocks that a large batch is cut into."""

AHEAD = 3
"""Blocks per worker that wait in the queue; the rest is cut when they are done."""


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


def blocks(designs: Designs) -> Iterator[Designs]:
    """Cut a batch; the cut depends on its length only."""
    length = max(SMALLEST_BLOCK, -(-len(designs) // BLOCKS_PER_BATCH))
    for first in range(0, len(designs), length):
        yield designs.take(slice(first, first + length))


_task: list[tuple[Evaluator, tuple[Goal, ...]]] = []


def _enter(evaluate: Evaluator, goals: tuple[Goal, ...]) -> None:
    """Prepare a worker: it keeps its evaluator, and leaves Ctrl-C to the parent."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    _task[:] = [(evaluate, goals)]


def _work(designs: Designs) -> Scored:
    evaluate, goals = _task[0]
    return reduced(designs, evaluate(designs), goals)


def cores() -> int:
    """Cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


@dataclass(frozen=True)
class Crew:
    """Scores batches, in this process or in others."""

    evaluate: Evaluator
    goals: tuple[Goal, ...]
    pool: ProcessPoolExecutor | None
    workers: int

    def score(self, designs: Designs) -> Generator[Scored, None, None]:
        """Yield the blocks of a batch in order; closing the iterator drops what was not begun."""
        if self.pool is None:
            for block in blocks(designs):
                yield reduced(block, self.evaluate(block), self.goals)
            return
        waiting: deque[Future[Scored]] = deque()
        try:
            for block in blocks(designs):
                waiting.append(self.pool.submit(_work, block))
                if len(waiting) >= AHEAD * self.workers:
                    yield waiting.popleft().result()
            while waiting:
                yield waiting.popleft().result()
        finally:
            for future in waiting:
                future.cancel()

    def close(self) -> None:
        """Let the workers go."""
        if self.pool is not None:
            self.pool.shutdown(wait=True, cancel_futures=True)


def crew(evaluate: Evaluator, goals: tuple[Goal, ...], workers: int) -> Crew:
    """Hire workers; one worker is this process itself.

    Workers are forked where that is possible: they inherit the tables that the evaluation has built, and a
    script needs no guard around its main part.
    """
    if workers <= 1:
        return Crew(evaluate, goals, None, 1)
    method = "fork" if sys.platform.startswith("linux") else "spawn"
    pool = ProcessPoolExecutor(workers, multiprocessing.get_context(method), _enter, (evaluate, goals))
    return Crew(evaluate, goals, pool, workers)
