"""Certificates: how far the front of a run can be from the true one, proved by bounds over parts of the space.

A part is *covered* if every design in it has a member of the front that is at most epsilon worse in every objective,
so that no design there can beat the front by more than epsilon. Bounds (:mod:`dse.search.bounds`) cover boxes of many
designs at once; what is left in the end is scored design by design if the effort allows. The smallest epsilon that is
known to cover each part is kept, so that a certificate tells a curve: within which margin the front is in which share.
"""

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from typing import NamedTuple

import numpy as np

from dse.arrays import BoolArray, FloatArray, IntArray
from dse.search import pareto
from dse.search.archive import Archive
from dse.search.axes import Designs
from dse.search.bounds.boxes import members
from dse.search.bounds.branch import Bounds, Branching, unknown_levers
from dse.search.bounds.certificate import Certificate, Step
from dse.search.bounds.crew import Clock, Crew
from dse.search.bounds.margins import Margins
from dse.search.bounds.rest import rest
from dse.search.bounds.tables import fill
from dse.search.bounds.yardstick import unbounded, yardstick
from dse.search.evaluation import Evaluator
from dse.search.metrics import scores
from dse.search.question import Question
from dse.search.scoring.block import block

TIE = 10.0**-pareto.DECIMALS
"""Decades within which two scores are equal."""

BLOCK = 128
"""Designs scored at once when the rest of a space is small enough to be scored."""

PACE = 50.0
"""Designs that are surely scored in a second, tables included [1/s]."""

FILLING = 0.7
"""Part of the time after which boxes are bounded with the tables that there are [1]."""


@dataclass(frozen=True)
class Effort:
    """How hard to try: until the time is over, or until so many boxes are bounded; scoring a design counts as a box."""

    epsilon: float = 0.05
    seconds: float = 60.0
    boxes: float = math.inf
    workers: int = 1
    progress: Callable[[float, float], None] = lambda seconds, share: None
    """Called with the seconds used and the share of the space that is settled."""
    began: float = field(default_factory=lambda: Clock().began)

    @property
    def clock(self) -> Clock:
        """Clock of this effort."""
        return Clock(self.seconds, self.began)

    def payable(self, designs: int, bounded: int = 0) -> bool:
        """Whether so many designs can be scored with what is left of the effort."""
        if math.isfinite(self.boxes):
            return designs <= self.boxes - bounded
        return designs <= PACE * (self.seconds - self.clock.used)


class Scored(NamedTuple):
    """Designs scored one by one."""

    designs: int
    need: IntArray
    """(k + 1,) designs by the smallest margin within which they do not beat the front."""
    farthest: float
    """Decades by which all objectives are beaten at most."""


def certify(question: Question, front: Archive, effort: Effort) -> Certificate:
    """Certificate of a front, whose rows must be scored by this question's own model.

    Raises
    ------
    ValueError
        if the study is not scored by the model of this package, or has levers without a bound
    """
    evaluator = question.evaluate
    if not isinstance(evaluator, Evaluator):
        raise ValueError("only the package's own model has bounds")
    odd = unknown_levers(evaluator.problem, question.space)
    if odd:
        raise ValueError(f"no bounds are known for the lever {odd[0]}")
    rows = front.metrics.take(np.flatnonzero(front.metrics.feasible))
    stick = yardstick(rows.columns, question.goals, evaluator.problem.load, effort.epsilon)
    bounds, missing = Bounds.of(evaluator.plan, question.space, stick, effort.epsilon), unbounded(question.goals)
    search = _begun(question, bounds, effort, bounding=not missing)
    sound = search.left
    with Crew(bounds, effort.workers) as crew:
        while len(search.open.boxes) and not missing and _worthwhile(search, effort):
            search.step(crew, effort.boxes - search.bounded)
            effort.progress(effort.clock.used, 1 - search.left / question.space.size)
    scored = _scored(question, front.scores[np.flatnonzero(front.metrics.feasible)], search, effort)
    return _stated(question, search, scored, effort, sound)


def _begun(question: Question, bounds: Bounds, effort: Effort, bounding: bool) -> Branching:
    """Boxes of the whole space, and the tables that bound them if that is not done sooner by scoring all designs."""
    ordered = bounding and not effort.payable(question.space.size)
    if ordered:
        bounds.cells.clock = replace(effort.clock, seconds=FILLING * effort.seconds)
        ordered = fill(bounds.cells, effort.workers)
    bounds.cells.clock = effort.clock
    return Branching.of(bounds, ordered)


def _worthwhile(search: Branching, effort: Effort) -> bool:
    """Whether to bound more boxes: there is effort left, and too little of it to score the rest."""
    return not effort.clock.late and search.bounded < effort.boxes and not effort.payable(search.left, search.bounded)


def _scored(question: Question, front: FloatArray, search: Branching, effort: Effort) -> Scored:
    """Score what the bounds left, as far as the effort goes."""
    count, need, farthest = 0, np.zeros(len(search.proved), dtype=np.int64), 0.0
    if effort.payable(search.left, search.bounded) and search.left:
        judge = Judge(question, front, search.bounds.margins, effort.clock)
        with Crew(judge, effort.workers if search.left > BLOCK else 1) as crew:
            for own in crew.map(Judge.scored, _remaining(question, search)):
                count, need, farthest = count + own.designs, need + own.need, max(farthest, own.farthest)
                effort.progress(effort.clock.used, 1 - (search.left - count) / question.space.size)
    return Scored(count, need, farthest)


def _remaining(question: Question, search: Branching) -> Iterator[Designs]:
    boxes = search.remaining().boxes
    return members(boxes, question.space, search.bounds.sets, BLOCK)


@dataclass(frozen=True)
class Judge:
    """Scores designs and tells by how much they beat a front."""

    question: Question
    front: FloatArray
    margins: Margins
    clock: Clock

    def scored(self, designs: Designs) -> Scored:
        """Score designs; none once the time is over."""
        counts = np.zeros(self.margins.epsilons.size + 1, dtype=np.int64)
        evaluator = self.question.evaluate
        if self.clock.late or not isinstance(evaluator, Evaluator):
            return Scored(0, counts, 0.0)
        designs = designs.take(~doomed(evaluator, designs))
        metrics = evaluator(designs)
        usable = metrics.take(np.flatnonzero(metrics.feasible))
        lead = np.full(len(designs), -np.inf)
        np.maximum.at(lead, usable.design, beaten(scores(usable, self.question.goals), self.front))
        need = np.searchsorted(np.log10(1 + self.margins.epsilons) + TIE, lead)
        np.add.at(counts, need, 1)
        return Scored(len(designs), counts, float(lead[need > self.margins.target].max(initial=0.0)))


def _stated(question: Question, search: Branching, scored: Scored, effort: Effort, sound: int) -> Certificate:
    known, size = search.bounds.margins, question.space.size
    beating = int(scored.need[known.target + 1 :].sum())
    left = sound - search.pruned - scored.designs
    counts = search.proved + scored.need
    open_ = search.remaining()
    if left == sound - search.pruned:
        np.add.at(counts, open_.need, open_.designs)
    within = size - sound + np.cumsum(counts)[:-1]
    return Certificate(
        study=question.name,
        epsilon=effort.epsilon,
        designs=size,
        infeasible=size - sound,
        covered=search.pruned,
        scored=scored.designs - beating,
        beating=beating,
        left=left,
        beaten_by=10.0**scored.farthest - 1,
        unbounded=tuple(unbounded(question.goals)),
        rows=known.members,
        boxes=search.bounded,
        seconds=effort.clock.used,
        curve=tuple(Step(float(one), int(count)) for one, count in zip(known.epsilons, within, strict=True)),
        rest=rest(search) if left else (),
    )


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
