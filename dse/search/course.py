"""The course of one search: what has been scored so far, within a budget."""

import math
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from dse.arrays import FloatArray
from dse.search import pareto
from dse.search.archive import Archive, Ledger, merged, recorded, shortened, yardstick
from dse.search.axes import Designs
from dse.search.budget import Budget
from dse.search.crews.workers import Crew, Scored
from dse.search.engines.proposals import Feedback
from dse.search.metrics import Goal, Metrics

MERGE = 8
"""Blocks after which the archive is brought up to date, so many more for every `LONG` of its rows."""

LONG = 2048
"""Rows of an archive that take as long to go through as the blocks themselves [1]."""

GLANCE = 0.1
"""Seconds between two reports of progress, and between two points of the history of a short search."""


SHRINKING = 0.5
"""Ratio of the gains of two windows that is assumed until two were seen."""

NOTHING = Metrics(np.zeros(0, dtype=np.int64), {}, {}, np.zeros(0))
"""Stands for the rows of a block that are in the archive: a batch only waits for its scores."""

SPACING = 0.001
"""Seconds between two points of the history per second searched: a long search has few thousand points."""


class Progress(NamedTuple):
    """What a person may want to see while a search runs."""

    evaluations: int
    seconds: float
    share: float
    """Part of the budget, or of the space if that is smaller, that is used: 0 to 1."""
    front: int
    hypervolume: float
    designs_per_second: float
    seconds_left: float


class Window(NamedTuple):
    """Where a window of convergence began."""

    evaluations: int
    seconds: float
    volume: float


class Plan(NamedTuple):
    """Fixed for a search."""

    goals: tuple[Goal, ...]
    size: int
    budget: Budget
    progress: Callable[[Progress], None]


@dataclass
class Course:
    """The one thing that changes during a search."""

    plan: Plan
    began: float
    archive: Archive | None
    ledger: Ledger
    evaluations: int
    history: list[tuple[float, ...]]
    reference: FloatArray | None = None
    looked: float = 0.0
    sampled: bool = False
    """Whether the first sample is complete, so that a reference point may be set."""
    waited: float = 0.0
    """Seconds spent on, or waiting for, evaluations."""
    window: Window | None = None
    """Start of the window over which convergence is judged; a resumed search begins a fresh one."""
    known: FloatArray | None = None
    """Yardstick of the batch: what is remembered of a design must not depend on how a batch is cut."""
    gains: tuple[float, ...] = ()
    """Relative gains of hypervolume over the last windows."""
    floor: int = 0
    """Designs scored before this part of a resumed run, those of the batch that it does again included."""

    @property
    def scored(self) -> int:
        """Designs scored in all parts of a run, each counted once."""
        return max(self.evaluations, self.floor)

    @property
    def seconds(self) -> float:
        """Time since the search began, pauses between resumed parts not counted."""
        return time.monotonic() - self.began

    @property
    def over(self) -> bool:
        """Whether the budget is used up."""
        return self.converged or self.plan.budget.reached(self.seconds, self.evaluations)

    @property
    def converged(self) -> bool:
        """Whether the last window gained less than the budget asks for."""
        wanted = self.plan.budget.converged
        return wanted is not None and bool(self.gains) and self.gains[-1] < wanted.gain

    def score(self, crew: Crew, designs: Designs) -> Feedback | None:
        """Score a batch and keep what matters; None when the budget ended before the batch did."""
        allowed = min(len(designs), self.plan.budget.evaluations - self.evaluations)
        done: list[Scored] = []
        fresh: list[Scored] = []
        self.known = yardstick(self.archive)
        results = crew.score(designs.take(slice(0, int(allowed))))
        try:
            for part in self._timed(results):
                done.append(part._replace(kept=NOTHING))
                fresh.append(part)
                if len(fresh) >= MERGE * (1 + (len(self.archive) if self.archive else 0) // LONG):
                    self.keep(fresh)
                    fresh = []
                if self.plan.budget.reached(self.seconds, 0):
                    break
        finally:
            results.close()
            self.keep(fresh)
            self.ledger = shortened(self.ledger, self.known)
        complete = sum(len(part.designs) for part in done) == len(designs)
        self._judge()
        return joined(done) if complete else None

    def _timed(self, results: Iterator[Scored]) -> Iterator[Scored]:
        """Count the time until each result is there."""
        while True:
            began = time.monotonic()
            part = next(results, None)
            self.waited += time.monotonic() - began
            if part is None:
                return
            yield part

    def _judge(self) -> None:
        """Close a window of convergence once it is long enough, and open the next."""
        wanted = self.plan.budget.converged
        if wanted is None or self.reference is None:
            return
        now, last = Window(self.evaluations, self.seconds, 0.0), self.window
        if last and (
            now.evaluations - last.evaluations < wanted.evaluations or now.seconds - last.seconds < wanted.seconds
        ):
            return
        self.look()
        self.window = now._replace(volume=self.history[-1][-1])
        if last and self.window.volume > 0:
            self.gains = (*self.gains[-1:], 1 - last.volume / self.window.volume)

    def _nearing(self) -> float:
        """Estimate how far a search is on its way to convergence, 0 to 1: gains go on shrinking as they did."""
        wanted = self.plan.budget.converged
        if wanted is None or not self.evaluations:
            return 0.0
        latest, pace = self.gains[-1] if self.gains else 1.0, SHRINKING
        if len(self.gains) == 2 and 0 < self.gains[1] < self.gains[0]:
            pace = self.gains[1] / self.gains[0]
        windows = max(math.log(max(wanted.gain, 1e-12) / max(latest, 1e-12)) / math.log(pace), 0.0) + 1
        rate = self.evaluations / max(self.looked, 1e-9)
        return self.evaluations / (self.evaluations + windows * max(wanted.evaluations, wanted.seconds * rate))

    def sample_done(self, feedback: Feedback) -> None:
        """Set the reference point from the first sample, or leave it to the first feasible block."""
        self.sampled = True
        self._refer(feedback)

    def _refer(self, feedback: Feedback) -> None:
        good = feedback.violation <= 0
        if self.sampled and self.reference is None and good.any():
            self.reference = pareto.worst(feedback.scores[good])

    def keep(self, parts: Sequence[Scored]) -> None:
        """Bring archive, ledger and count up to date with a few blocks."""
        if not parts:
            return
        designs, feedback = _stacked(parts), joined(parts)
        rows = [part.designs.rows[part.kept.design] for part in parts]
        self.archive = merged(self.archive, rows, [part.kept for part in parts], self.plan.goals)
        self.ledger = recorded(self.ledger, designs, feedback, self.known)
        self.evaluations += len(designs)
        self._refer(feedback)
        if self.seconds - self.looked >= GLANCE:
            self.look()

    def look(self) -> None:
        """Add a point to the history and report progress."""
        self.looked = self.seconds
        feasible = self.archive is not None and self.archive.feasible
        front = self.archive.scores if self.archive is not None and feasible else np.zeros((0, 1))
        volume = pareto.hypervolume(front, self.reference) if self.reference is not None and len(front) else 0.0
        if len(self.history) > 1 and self.looked - self.history[-2][1] < SPACING * self.looked:
            self.history.pop()
        self.history.append((self.scored, self.looked, len(front), volume))
        limited = max(self.plan.budget.share(self.looked, self.evaluations), self.evaluations / self.plan.size)
        share = 1.0 if self.converged else max(limited, self._nearing())
        rate = self.scored / max(self.looked, 1e-9)
        left = self.looked * (1 / share - 1) if share > 0 else float("inf")
        self.plan.progress(Progress(self.scored, self.looked, share, len(front), volume, rate, left))

    def overhead(self, seconds: float) -> dict[str, float]:
        """Time of a search beside its evaluations: proposing designs, keeping archives, writing records.

        ``seconds`` is the time of this part of the search, records included. A part that scored nothing has no share.
        """
        if not self.waited:
            return {}
        spent, own = self.waited, max(seconds - self.waited, 0.0)
        return {
            "evaluation_seconds": round(spent, 3),
            "overhead_seconds": round(own, 3),
            "overhead_share": round(own / spent, 4),
        }

    def found(self) -> Archive:
        """Return the archive, once something was scored."""
        if self.archive is None:
            raise ValueError("nothing was scored yet: the budget must allow at least one evaluation")
        return self.archive


def joined(parts: Sequence[Scored]) -> Feedback:
    """Feedback of blocks below each other."""
    sizes = np.cumsum([0, *(len(part.designs) for part in parts)])
    return Feedback(
        scores=np.concatenate([part.feedback.scores for part in parts]),
        violation=np.concatenate([part.feedback.violation for part in parts]),
        design=np.concatenate([p.feedback.design + s for p, s in zip(parts, sizes, strict=False)]),
    )


def _stacked(parts: Sequence[Scored]) -> Designs:
    return Designs(np.concatenate([part.designs.rows for part in parts]), parts[0].designs.names)
