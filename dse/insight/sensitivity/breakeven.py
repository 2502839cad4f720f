"""Where a choice starts to pay: the value of a price, a specification or a workload at which it equals the rest.

Two sets of designs are held against each other: those that take a choice and those that do not. Both come from the
front of a run: some of its designs, each with the lever set either way. Their mappings are chosen anew at a few values
of the varied number, everything else being as stated; between these values the mappings found are scored again. It is
no new search, so a choice may pay earlier than is said here in a design that was not considered; with ``search`` both
sides are also searched anew at those values.

Advantage of the choice is measured in three ways: the first objective at fixed levels of the others, as they are at
each lettered design (5 % behind it), positive where the choice is cheaper; and by how much the best design with the
choice lies before the front of the others, positive where it enters the front.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from itertools import pairwise
from typing import Any, NamedTuple

import numpy as np

from dse.arrays import FloatArray
from dse.insight.sensitivity.candidates import attained, joined, systems
from dse.insight.sensitivity.choices import Choice, Sides
from dse.insight.sensitivity.held import Scenario, Systems, scored
from dse.insight.sensitivity.varied import Knob, factors, knob, varied
from dse.search import pareto
from dse.search.axes import Designs
from dse.search.evaluation import Evaluator
from dse.search.metrics import Metrics, minimised, scores

ENTERS = "enters the front"
"""Name of the criterion that looks at all objectives at once."""

MAPPED = 5
"""Values of the varied number at which mappings are chosen anew."""

STEPS = 25
"""Values at which the curve is drawn."""

ROUNDS = 7
"""Halvings of each bracket."""

SIDE = 160
"""Rows of each side that are kept per value at which mappings are chosen; more are thinned."""

TIE = 1e-9
"""Advantage below which neither side is better [decades]."""

ASKED = "agents."
"""Start of the paths of what is asked; the levels of objectives per task are then left free."""

_FAR = 9.0
"""Stands for an advantage without measure: only one side attains the levels [decades]."""

_LEAP = 0.01
"""A change of the advantage by more than this within the last bracket is a jump, no crossing [decades]."""

Search = Callable[[Scenario], Designs]
"""Designs of a search of a varied problem."""


class Crossing(NamedTuple):
    """One value at which the choice and the rest are equal."""

    low: float
    """Largest value tried below it [unit of the number]."""
    value: float
    high: float
    pays_below: bool
    """Whether the choice is better below the value."""
    jump: bool
    """Whether one side stops attaining the levels there, instead of both being equal."""


class Criterion(NamedTuple):
    """One way to say that a choice pays."""

    name: str
    """Letter of a design, or `enters the front`."""
    advantage: tuple[float, ...]
    """Decades by which the choice is better at each value of the curve; +-9 where one side alone attains the levels,
    nan where neither does."""
    crossings: tuple[Crossing, ...]

    @property
    def always(self) -> bool | None:
        """Whether the choice is better at every value; None where that changes."""
        known = [gain > TIE for gain in self.advantage if np.isfinite(gain)]
        return None if self.crossings or not known else known[0]


@dataclass(frozen=True)
class Breakeven:
    """Values of one number at which a choice breaks even."""

    study: str
    prices: str
    choice: str
    path: str
    unit: str
    base: float
    """Stated value of the number."""
    values: tuple[float, ...]
    """Of the curve."""
    criteria: tuple[Criterion, ...]
    designs: tuple[int, int]
    """Architectures considered with and without the choice."""
    rows: tuple[int, int]
    """Mapped systems of either side."""
    mapped: tuple[float, ...]
    """Values at which mappings were chosen anew."""
    searched: bool

    def json(self) -> dict[str, Any]:
        """For programs."""
        criteria = [
            {
                "name": item.name,
                "always": item.always,
                "advantage_decades": [gain if np.isfinite(gain) else None for gain in item.advantage],
                "crossings": [crossing._asdict() for crossing in item.crossings],
            }
            for item in self.criteria
        ]
        own = {name: getattr(self, name) for name in self.__dataclass_fields__}
        return own | {"designs": list(self.designs), "rows": list(self.rows), "criteria": criteria}


class Span(NamedTuple):
    """Factors on the stated value between which a number is varied."""

    low: float
    high: float
    steps: int = STEPS
    """Points of the curve."""
    mapped: int = MAPPED
    """Values at which mappings are chosen anew."""


def breakeven(sides: Sides, choice: Choice, path: str, span: Span, search: Search | None = None) -> Breakeven:
    """Find where a choice breaks even.

    Parameters
    ----------
    sides : Sides              problem, and architectures with and without the choice
    choice : Choice            what is in question, for its name
    path : str                 number that is varied
    span : Span                factors on its stated value
    search : function          designs of a search of a varied problem, added to both sides
    """
    evaluator = Evaluator.of(sides.problem)
    if path.startswith(ASKED):
        sides = replace(sides, levels=_intensive(sides))
    number = knob(evaluator.plan, path)
    mapped = factors(span.mapped, span.low, span.high)
    both = _mapped(sides, evaluator, choice, [varied(evaluator.plan, path, factor) for factor in mapped], search)
    duel = _Duel.of(sides, evaluator, both, path)
    grid = factors(span.steps, span.low, span.high)
    curve = duel.at(grid)
    crossings = _crossings(duel, number, grid, curve)
    criteria = [
        Criterion(name, tuple(float(values[place]) for values in curve), crossings[place])
        for place, name in enumerate(duel.names)
    ]
    return Breakeven(
        sides.problem.name,
        sides.problem.prices.date,
        choice.text,
        path,
        number.unit,
        number.base,
        tuple(factor * number.base for factor in grid),
        tuple(criteria),
        (len(sides.taken), len(sides.other)),
        (len(both[0]), len(both[1])),
        tuple(factor * number.base for factor in mapped),
        search is not None,
    )


def _intensive(sides: Sides) -> FloatArray:
    """Levels of those objectives that are pure numbers; a task that is asked for differently is another unit."""
    kept = np.array([goal.unit == "1" for goal in sides.question.goals])
    return np.where(kept, sides.levels, np.inf)


def _mapped(
    sides: Sides, evaluator: Evaluator, choice: Choice, scenarios: Sequence[Scenario], search: Search | None
) -> tuple[Systems, Systems]:
    """Systems of either side: the rows that matter under each scenario."""
    parts: tuple[list[Systems], list[Systems]] = ([], [])
    for scenario in scenarios:
        own = Evaluator.of(scenario.problem) if scenario.problem is not sides.problem else evaluator
        extra = choice.split(sides, search(scenario)) if search else (None, None)
        for place, designs in enumerate((sides.taken, sides.other)):
            for block in (designs, extra[place]):
                if block is not None and len(block):
                    parts[place].append(_worthwhile(block, own(block), sides))
    return joined(parts[0]), joined(parts[1])


def _worthwhile(designs: Designs, found: Metrics, sides: Sides) -> Systems:
    """Rows of a side that no other row beats, thinned, with those that are best at each level."""
    goals = sides.question.goals
    rows = np.flatnonzero(found.feasible)
    if not rows.size:
        return systems(designs, found.take(rows))
    points = scores(found, goals)[rows]
    front = rows[pareto.nondominated(points)]
    spacing = 0.0
    kept = front
    while len(kept) > SIDE:
        spacing = max(2 * spacing, 1e-4)
        kept = front[pareto.representatives(scores(found, goals)[front], spacing)]
    values = minimised(found, goals)
    best = [_best(values[front], level) for level in sides.levels]
    wanted = np.unique([*kept, *(front[row] for row in best if row is not None)])
    return systems(designs, found.take(wanted.astype(np.int64)))


def _best(values: FloatArray, level: FloatArray) -> int | None:
    open_ = np.flatnonzero((values[:, 1:] <= level[1:]).all(axis=1))
    return int(open_[values[open_, 0].argmin()]) if open_.size else None


@dataclass(frozen=True)
class _Duel:
    """Two sides that are scored at any value of a number."""

    sides: Sides
    evaluator: Evaluator
    both: Systems
    taken: int
    """First rows of `both`, which take the choice."""
    path: str

    @classmethod
    def of(cls, sides: Sides, evaluator: Evaluator, both: tuple[Systems, Systems], path: str) -> "_Duel":
        rows = np.concatenate([part.designs.rows for part in both])
        mapping = {name: np.concatenate([part.mapping[name] for part in both]) for name in both[0].mapping}
        whole = Systems(Designs(rows, both[0].designs.names), mapping)
        return cls(sides, evaluator, whole, len(both[0]), path)

    @property
    def names(self) -> tuple[str, ...]:
        """Criteria."""
        return (*self.sides.letters, ENTERS)

    def at(self, values: Sequence[float]) -> list[FloatArray]:
        """Advantage of the choice by each criterion at each factor, all factors in one array call [decades]."""
        plan = self.evaluator.plan
        return [
            self._advantage(found) for found in scored(plan, self.both, [varied(plan, self.path, x) for x in values])
        ]

    def _advantage(self, found: Metrics) -> FloatArray:
        question, mine = self.sides.question, np.arange(len(found)) < self.taken
        ours, theirs = (attained(found, question, self.sides.levels, side) for side in (mine, ~mine))
        with np.errstate(divide="ignore", invalid="ignore"):
            gain = np.log10(np.abs(theirs) / np.abs(ours))
        gain = np.where(np.isfinite(ours) & np.isfinite(theirs), gain, np.where(np.isfinite(ours), _FAR, -_FAR))
        gain = np.where(~np.isfinite(ours) & ~np.isfinite(theirs), np.nan, gain)
        return np.append(gain, self._entry(found, mine))

    def _entry(self, found: Metrics, mine: np.ndarray) -> float:
        """By how much the best system with the choice lies before the front of the others [decades]."""
        points = scores(found, self.sides.question.goals)
        ours, theirs = points[mine & found.feasible], points[~mine & found.feasible]
        if not len(ours) or not len(theirs):
            return _FAR * (bool(len(ours)) - bool(len(theirs)))
        ours, theirs = ours[pareto.nondominated(ours)], theirs[pareto.nondominated(theirs)]
        return max(float((theirs - own).max(axis=1).min()) for own in ours)


class _Bracket(NamedTuple):
    """Two factors between which one criterion changes its mind."""

    place: int
    """Number of the criterion."""
    low: tuple[float, float]
    """Factor, advantage of the choice [decades]."""
    high: tuple[float, float]

    @property
    def middle(self) -> float:
        """Factor between the ends."""
        return float(np.sqrt(self.low[0] * self.high[0]))

    def halved(self, gain: float) -> "_Bracket":
        """Half in which the change lies, from the advantage in the middle."""
        below = (gain > TIE) == (self.low[1] > TIE)
        end = (self.middle, gain)
        return self._replace(low=end) if below else self._replace(high=end)

    def crossing(self, number: Knob) -> Crossing:
        """Value that the bracket stands for."""
        gains = (self.low[1], self.high[1])
        jump = max(map(abs, gains)) >= _FAR or abs(gains[0] - gains[1]) > _LEAP
        ends = (self.low[0], self.middle, self.high[0])
        low, value, high = (factor * number.base for factor in ends)
        return Crossing(low, value, high, gains[0] > TIE, jump)


def _crossings(
    duel: _Duel, number: Knob, grid: Sequence[float], curve: Sequence[FloatArray]
) -> dict[int, tuple[Crossing, ...]]:
    """Criterion -> values at which it changes its mind; all brackets are halved together."""
    brackets = []
    for place in range(len(duel.names)):
        known = [(x, float(values[place])) for x, values in zip(grid, curve, strict=True)]
        for low, high in pairwise(known):
            if np.isfinite([low[1], high[1]]).all() and (low[1] > TIE) != (high[1] > TIE):
                brackets.append(_Bracket(place, low, high))
    for _ in range(ROUNDS if brackets else 0):
        values = sorted({bracket.middle for bracket in brackets})
        gains = dict(zip(values, duel.at(values), strict=True))
        brackets = [bracket.halved(float(gains[bracket.middle][bracket.place])) for bracket in brackets]
    return {
        place: tuple(bracket.crossing(number) for bracket in brackets if bracket.place == place)
        for place in range(len(duel.names))
    }
