r"""What a specification is worth on one design: every number it rests on, ten percent less and ten percent more.

Steps are finite because the model has kinks: more capacity helps until something else binds. All steps of all numbers
are scored in one array call (:mod:`.held`). The mapping is held first; then the best of the design's own
mappings may take over, so that one sees what the change is worth to someone who tunes the software again.

The elasticity of a metric y in a number x is

.. math:: e = \frac{\ln y(1.1\,x) - \ln y(0.9\,x)}{\ln 1.1 - \ln 0.9}
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np

from dse.arrays import BoolArray, FloatArray
from dse.insight.bill import Input, bill
from dse.insight.case import Case
from dse.insight.sensitivity.held import Scenario, Systems, scored
from dse.insight.sensitivity.varied import varied
from dse.insight.verdict import LIMITS
from dse.search.axes import Designs
from dse.search.evaluation import Evaluator
from dse.search.metrics import Goal, Metrics, minimised

STEP = 0.1
"""Relative change of a number, either way [1]."""

UNMOVED = 5e-5
"""Relative effects below this are none: they would show as 0.00 percent [1]."""


class Move(NamedTuple):
    """What one changed number does to a design."""

    held: Mapping[str, float]
    """Objective -> relative change with the mapping held [1]."""
    remapped: float | None
    """Relative change of the first objective with the best of the design's own mappings whose other objectives are no
    worse than before; None where none of them meets the targets [1]."""
    broken: tuple[str, ...]
    """Limits that the held mapping then violates and did not before, in words."""


class Effect(NamedTuple):
    """One number of a design, changed either way."""

    name: str
    """Path of the number."""
    value: str
    down: Move
    up: Move
    elasticity: Mapping[str, float]
    """Objective -> relative change per relative change of the number, mapping held [1]."""

    @property
    def size(self) -> float:
        """Largest relative change of the first objective, by which effects are sorted."""
        first = next(iter(self.down.held))
        return max(abs(self.down.held[first]), abs(self.up.held[first]))

    def moves(self) -> bool:
        """Whether anything changes at all."""
        values = [*self.down.held.values(), *self.up.held.values(), self.down.remapped or 0.0, self.up.remapped or 0.0]
        return max(map(abs, values)) > UNMOVED or bool(self.down.broken or self.up.broken)


@dataclass(frozen=True)
class Tornado:
    """Effects on one design, the largest first."""

    goals: tuple[Goal, ...]
    step: float
    effects: tuple[Effect, ...]
    unmoved: tuple[str, ...]
    """Numbers that the design rests on but a step of which changes nothing."""

    def json(self) -> dict[str, Any]:
        """For programs."""
        return {
            "step": self.step,
            "objectives": [goal.name for goal in self.goals],
            "effects": [
                {
                    "path": effect.name,
                    "value": effect.value,
                    "elasticity": dict(effect.elasticity),
                    "down": {**effect.down._asdict(), "held": dict(effect.down.held)},
                    "up": {**effect.up._asdict(), "held": dict(effect.up.held)},
                }
                for effect in self.effects
            ],
            "unmoved": list(self.unmoved),
        }


def tornado(evaluator: Evaluator, own: Case, designs: Designs, goals: Sequence[Goal], step: float = STEP) -> Tornado:
    """Effect of every number that a design rests on.

    Parameters
    ----------
    evaluator : Evaluator      of the problem
    own : Case                 the design with its mapping
    designs : Designs          its architecture, one row
    goals : sequence of Goal   objectives; the first is the one that others are traded against
    step : float               relative change either way [1]
    """
    lines = [line for line in bill(own) if not line.name.startswith("agents.")]
    systems = _systems(evaluator, own, designs)
    changes = [varied(own.plan, line.name, factor) for line in lines for factor in (1 - step, 1 + step)]
    stated, *found = scored(own.plan, systems, [Scenario(own.plan.problem), *changes])
    effects = [
        _effect(line, stated, (found[2 * place], found[2 * place + 1]), goals, step) for place, line in enumerate(lines)
    ]
    moving = sorted((effect for effect in effects if effect.moves()), key=lambda effect: -effect.size)
    return Tornado(tuple(goals), step, tuple(moving), tuple(e.name for e in effects if not e.moves()))


def _systems(evaluator: Evaluator, own: Case, designs: Designs) -> Systems:
    """The design as it is mapped, then its other undominated mappings."""
    others = evaluator(designs)
    mapping = {name: np.concatenate([own.metrics.mapping[name], others.mapping[name]]) for name in own.metrics.mapping}
    return Systems(Designs(np.repeat(designs.rows, 1 + len(others), axis=0), designs.names), mapping)


def _effect(line: Input, stated: Metrics, found: tuple[Metrics, Metrics], goals: Sequence[Goal], step: float) -> Effect:
    down, up = (_move(stated, changed, goals) for changed in found)
    span = math.log((1 + step) / (1 - step))
    slopes = {goal.name: math.log((1 + up.held[goal.name]) / (1 + down.held[goal.name])) / span for goal in goals}
    return Effect(line.name, line.value, down, up, slopes)


def _move(stated: Metrics, changed: Metrics, goals: Sequence[Goal]) -> Move:
    held = {goal.name: float(changed.columns[goal.name][0] / stated.columns[goal.name][0]) - 1 for goal in goals}
    before, after = minimised(stated, goals)[0], minimised(changed, goals)
    open_ = changed.feasible & no_worse(after[:, 1:], np.maximum(before[1:], after[0, 1:]))
    if not open_.any():
        open_ = changed.feasible
    best = float(after[open_, 0].min()) if open_.any() else None
    remapped = None if best is None else abs(best) / abs(before[0]) - 1
    missed = set(_broken(stated))
    return Move(held, remapped, tuple(limit for limit in _broken(changed) if limit not in missed))


def no_worse(points: FloatArray, limit: FloatArray) -> BoolArray:
    """Whether each row is at most the limit in every column, rounding aside."""
    return np.asarray((points <= limit + 1e-9 * np.abs(limit)).all(axis=1))


def _broken(changed: Metrics) -> list[str]:
    """Limits that the first system violates."""
    found = []
    for name, values in changed.columns.items():
        agent, _, last = name.rpartition(".")
        if last.startswith("slack_") and float(values[0]) < 0:
            what = LIMITS.get(last) or f"the limit on {last.removeprefix('slack_').replace('_', ' ')}"
            found.append(f"{what}{f' of {agent}' if agent else ''}")
    return found
