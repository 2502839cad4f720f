"""Certificates: how far the front of a run can be from the true one, proved by bounds over parts of the space.

A part is *covered* if every design in it has a member of the front that is at most epsilon worse in every objective,
so that no design there can beat the front by more than epsilon. Bounds (:mod:`dse.search.bounds`) cover boxes of many
designs at once; what is left in the end is scored design by design if the time allows.
"""

import time
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from dse.arrays import BoolArray, FloatArray
from dse.search import pareto
from dse.search.archive import Archive
from dse.search.axes import Designs
from dse.search.bounds.boxes import members
from dse.search.bounds.branch import Bounds, Branching, unknown_levers
from dse.search.bounds.certificate import Certificate
from dse.search.bounds.yardstick import unbounded, yardstick
from dse.search.evaluation import Evaluator
from dse.search.metrics import scores
from dse.search.question import Question
from dse.search.scoring.block import block

TIE = 10.0**-pareto.DECIMALS
"""Decades within which two scores are equal."""

BLOCK = 128
"""Designs scored at once when the rest of a space is small enough to be scored."""

FIRST_PACE = 100.0
"""Designs scored per second until it is measured; low, because the first ones make their tables [1/s]."""


@dataclass(frozen=True)
class Effort:
    """How hard to try."""

    epsilon: float = 0.05
    seconds: float = 60.0
    progress: Callable[[float, float], None] = lambda seconds, share: None
    """Called with the seconds used and the share of the space that is settled."""


def certify(question: Question, front: Archive, effort: Effort) -> Certificate:
    """Certificate of a front, whose rows must be scored by this question's own model.

    Raises
    ------
    ValueError
        if the study is not scored by the model of this package, or has levers without a bound
    """
    began, evaluator = time.monotonic(), question.evaluate
    if not isinstance(evaluator, Evaluator):
        raise ValueError("only the package's own model has bounds")
    odd = unknown_levers(evaluator.problem, question.space)
    if odd:
        raise ValueError(f"no bounds are known for the lever {odd[0]}")
    goals, load = question.goals, evaluator.problem.load
    rows = front.metrics.take(np.flatnonzero(front.metrics.feasible))
    stick = yardstick(rows.columns, goals, load, effort.epsilon)
    bounds = Bounds.of(evaluator.plan, question.space, stick, effort.epsilon)
    search = Branching.of(bounds)
    sound, missing = search.left, unbounded(goals)
    tally = _Tally(question, front.scores[np.flatnonzero(front.metrics.feasible)], effort, began)
    while len(search.boxes) and not missing and not tally.late and not tally.payable(search.left):
        search.step()
        effort.progress(tally.seconds, 1 - search.left / question.space.size)
    tally.score(bounds, search)
    return Certificate(
        study=question.name,
        epsilon=effort.epsilon,
        designs=question.space.size,
        infeasible=question.space.size - sound,
        covered=search.pruned,
        scored=tally.scored - tally.beating,
        beating=tally.beating,
        left=sound - search.pruned - tally.scored,
        beaten_by=10.0**tally.farthest - 1,
        unbounded=tuple(missing),
        rows=len(rows),
        boxes=search.bounded,
        seconds=tally.seconds,
    )


@dataclass(eq=False)
class _Tally:
    """Designs scored one by one, and how often they beat the front."""

    question: Question
    front: FloatArray
    effort: Effort
    began: float
    scored: int = 0
    beating: int = 0
    farthest: float = 0.0
    """Decades by which all objectives are beaten at most."""
    pace: float = FIRST_PACE

    @property
    def seconds(self) -> float:
        """Time since the start [s]."""
        return time.monotonic() - self.began

    @property
    def late(self) -> bool:
        """Whether the time is over."""
        return self.seconds >= self.effort.seconds

    def payable(self, designs: int) -> bool:
        """Whether so many designs can be scored in the time that is left."""
        return designs <= self.pace * (self.effort.seconds - self.seconds) / 2

    def score(self, bounds: Bounds, search: Branching) -> None:
        """Score what the bounds left, as far as the time goes."""
        if not self.payable(search.left):
            return
        for designs in members(search.remaining(), self.question.space, bounds.sets, BLOCK):
            if self.late:
                return
            self._score(designs)
            self.effort.progress(self.seconds, 1 - (search.left - self.scored) / self.question.space.size)

    def _score(self, designs: Designs) -> None:
        evaluator = self.question.evaluate
        assert isinstance(evaluator, Evaluator)
        sound = ~doomed(evaluator, designs)
        metrics = self.question.evaluate(designs.take(sound))
        usable = metrics.take(np.flatnonzero(metrics.feasible))
        lead = beaten(scores(usable, self.question.goals), self.front)
        over = lead > np.log10(1 + self.effort.epsilon) + TIE
        self.scored += int(sound.sum())
        self.beating += len(np.unique(usable.design[over]))
        self.farthest = max(self.farthest, float(lead[over].max(initial=0.0)))


def doomed(evaluator: Evaluator, designs: Designs) -> BoolArray:
    """(n,) whether the hardware or the formats of a design violate a requirement, whatever its mapping."""
    return block(evaluator.plan, designs).doomed


def beaten(points: FloatArray, front: FloatArray) -> FloatArray:
    """(m,) decades by which a point is better than the front: the least, over its members, of the largest gain.

    >>> beaten(np.array([[0.0, 0.0], [2.0, 2.0]]), np.array([[1.0, 0.5], [0.0, 3.0]])).tolist()
    [1.0, -1.0]
    """
    if not len(front):
        return np.full(len(points), np.inf)
    least = np.full(len(points), np.inf)
    for member in front:
        np.minimum(least, (member - points).max(axis=1), out=least)
    return least
