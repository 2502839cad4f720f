"""Rows of a front scored again under many samples of what is not known, their mapping kept, in array calls.

Prices act on the money of a serving point (:mod:`.outlay`), shares re-mix the classes, the model's error scales the
times of passes; everything that follows from them, waiting and latency included, is scored by the equations of the
evaluation. A range of any other number is followed to first order: its two ends are evaluated and the effect is
interpolated between them.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, NamedTuple

import numpy as np

from dse.arrays import BoolArray, FloatArray, IntArray
from dse.insight.decision.doubts import PHASES, Unknown
from dse.insight.decision.outlay import PUE, SIDES, Bare, Outlay, outlays
from dse.insight.runs import Opened
from dse.insight.sensitivity import columns, held
from dse.search.axes import Designs
from dse.search.evaluation import Evaluator, assembled
from dse.search.metrics import Goal, Metrics
from dse.search.scoring import block as blocks
from dse.search.scoring import supply
from dse.search.scoring.block import Block
from dse.search.scoring.classes import Candidates, ClassPoints, candidates, mapping, setting
from dse.search.scoring.plan import Plan
from dse.search.scoring.sides import Setting

CHUNK = 30_000
"""Rows times samples that are assembled at once: their columns fill some tens of megabytes."""

PREFILL_TIMES = ("pass_time", "pinned_time", "per_token", "per_area", "work_token", "work_area")
DECODE_TIMES = ("step_time", "step_time_full", "work")
APPEND_TIMES = tuple(
    f"append_{name}" for name in ("pass", "per_token", "per_area", "work_token", "work_area", "work_pass")
)
"""Columns of a serving point that scale with the model's error of a phase."""


class Outcome(NamedTuple):
    """Objectives of every sample and row."""

    values: FloatArray
    """(s, n, k) objectives in SI."""
    feasible: BoolArray
    """(s, n) whether every requirement is met."""


class _Class(NamedTuple):
    """Distinct serving points of one class among the rows."""

    row: IntArray
    """(n,) point of each row."""
    design: IntArray
    """(m,) distinct architecture of each point."""
    at: Setting
    outlay: Mapping[str, Outlay]
    device: Mapping[str, IntArray]
    """Side -> (m,) row of the fleet."""
    mapping: Mapping[str, IntArray]
    output: float


class _Effect(NamedTuple):
    """What one number does to first order: its ends, and the change at both."""

    unknown: Unknown
    objectives: tuple[FloatArray, FloatArray]
    """(n, k) decades."""
    slacks: tuple[Mapping[str, FloatArray], Mapping[str, FloatArray]]


@dataclass(frozen=True, eq=False)
class Rescorer:
    """Some rows of a front, ready to be scored under samples."""

    plan: Plan
    goals: tuple[Goal, ...]
    block: Block
    owner: IntArray
    """(n,) distinct architecture of each row."""
    classes: tuple[_Class, ...]
    effects: tuple[_Effect, ...]

    @classmethod
    def of(cls, opened: Opened, rows: IntArray, own: Sequence[Unknown]) -> "Rescorer":
        """Prepare rows of the front of a run for samples of these unknowns."""
        archive = opened.front.archive
        designs = Designs(archive.rows[rows], opened.run.question.space.names)
        used = {name: values[rows] for name, values in archive.metrics.mapping.items()}
        return cls.of_systems(opened, held.Systems(designs, used), own)

    @classmethod
    def of_systems(cls, opened: Opened, systems: held.Systems, own: Sequence[Unknown]) -> "Rescorer":
        """Prepare any systems of a study for samples of these unknowns."""
        distinct, owner = np.unique(systems.designs.rows, axis=0, return_inverse=True)
        designs, used = Designs(distinct, systems.designs.names), systems.mapping
        plan = Evaluator.of(opened.problem).plan
        block = blocks.block(plan, designs)
        found = [candidates(plan, block, agent) for agent in range(len(plan.classes))]
        points = [_points(plan, found[agent], agent, owner.ravel(), used) for agent in range(len(found))]

        def probe(values: Mapping[str, float]) -> list[dict[str, Bare]]:
            priced = _priced(plan, values) if values else plan
            own_block = blocks.block(priced, designs) if values else block
            ats = [setting(priced, own_block, agent, found[agent], points[agent][0]) for agent in range(len(found))]
            return [{side: Bare(getattr(at, side).hourly, getattr(at, side).power) for side in SIDES} for at in ats]

        money = outlays(opened.problem.prices, own, probe)
        classes = tuple(
            _class(plan, block, found[agent], agent, points[agent], money[agent]) for agent in range(len(found))
        )
        goals = opened.front.question.goals
        effects = _effects(plan, systems, goals, [item for item in own if item.kind == "other"])
        return cls(plan, goals, block, owner.ravel(), classes, effects)

    def __call__(self, values: Mapping[str, FloatArray]) -> Outcome:
        """Score every row under every sample; `values` are path -> (s,)."""
        size = next(iter(values.values())).size if values else 1
        step = max(CHUNK // max(len(self.owner), 1), 1)
        parts = [
            self._chunk(
                {path: column[start : start + step] for path, column in values.items()}, min(step, size - start)
            )
            for start in range(0, size, step)
        ]
        return Outcome(*(np.concatenate(column) for column in zip(*parts, strict=True)))

    def _chunk(self, values: Mapping[str, FloatArray], size: int) -> Outcome:
        rows, owner = len(self.owner), np.tile(self.owner, size)
        sample = np.repeat(np.arange(size), rows)
        parts, point = [], []
        for item in self.classes:
            count = len(item.design)
            scored = columns.evaluated([_sampled(self.plan, item, values, size)])[0]
            tiled = {name: np.tile(column, size) for name, column in item.mapping.items()}
            parts.append(ClassPoints(np.tile(item.design, size), scored, tiled, item.output))
            point.append(sample * count + np.tile(item.row, size))
        plan = _mixed(self.plan, values, sample)
        metrics = assembled(plan, self.block, parts, owner, np.stack(point, axis=1))
        objectives = np.stack([metrics.columns[goal.name] for goal in self.goals], axis=1)
        shape = (size, rows)
        outcome = Outcome(objectives.reshape(*shape, len(self.goals)), metrics.feasible.reshape(shape))
        return _followed(self.effects, outcome, metrics, values) if self.effects else outcome


def _priced(plan: Plan, values: Mapping[str, float]) -> Plan:
    """Plan at other prices; times do not change."""
    problem = plan.problem.with_values(values)
    devices = [problem.devices[name] for name in plan.devices]
    return replace(plan, problem=problem, fleet=supply.fleet(devices, problem.memories, problem.prices))


def _points(
    plan: Plan, found: Candidates, agent: int, owner: IntArray, used: Mapping[str, IntArray]
) -> tuple[IntArray, IntArray]:
    """Candidates that the rows use, each once, and which of them each row uses."""
    offered, prefix = mapping(found), f"{plan.classes[agent].agent.name}."
    names = [name for name in offered if prefix + name in used]
    wanted = np.column_stack([owner, *(used[prefix + name] for name in names)])
    distinct, row = np.unique(wanted, axis=0, return_inverse=True)
    known = np.column_stack([offered[name] for name in names])
    order = np.argsort(found.prefill.design, kind="stable")
    design = found.prefill.design[order]
    first, last = (np.searchsorted(design, distinct[:, 0], side) for side in ("left", "right"))
    # A mapping that a changed model no longer offers gives way to the one that differs in the fewest entries.
    index = [
        order[start:end][int(np.argmin((known[order[start:end]] != line[1:]).sum(axis=1)))]
        for start, end, line in zip(first, last, distinct, strict=True)
    ]
    return np.asarray(index, dtype=np.int64), row.ravel()


def _class(
    plan: Plan,
    block: Block,
    found: Candidates,
    agent: int,
    points: tuple[IntArray, IntArray],
    outlay: Mapping[str, Outlay],
) -> _Class:
    index, row = points
    left, right = found.prefill.take(index), found.decode.take(index)
    device = {
        "prefill": block.prefill.device[left.design, left.option],
        "decode": block.decode.device[right.design, right.option],
    }
    used = {name: column[index] for name, column in mapping(found).items()}
    at = setting(plan, block, agent, found, index)
    return _Class(row, left.design, at, outlay, device, used, plan.classes[agent].load.output)


def _sampled(plan: Plan, item: _Class, values: Mapping[str, FloatArray], size: int) -> Setting:
    """Serving points of a class under samples, those of the first sample first."""
    at, prices = item.at, plan.problem.prices
    pue = values.get(PUE, np.full(size, prices.pue.likely))
    changes: dict[str, dict[str, FloatArray]] = {}
    for side in SIDES:
        power = item.outlay[side].power(pue)
        changes[side] = {"power": power, "hourly": item.outlay[side].hourly(prices, values, power)}
    slower = {
        (phase, side): _factor(plan, phase, item.device[side], values, size) for phase in PHASES for side in SIDES
    }
    for phase, side, names in (
        ("prefill", "prefill", PREFILL_TIMES),
        ("decode", "decode", DECODE_TIMES),
        ("prefill", "decode", APPEND_TIMES),
    ):
        part: Any = getattr(at, side)
        changes[side] |= {name: slower[phase, side] * getattr(part, name) for name in names}
    whole = columns.tiled(at, size)
    return whole._replace(
        prefill=_replaced(whole.prefill, changes["prefill"]), decode=_replaced(whole.decode, changes["decode"])
    )


def _factor(plan: Plan, phase: str, device: IntArray, values: Mapping[str, FloatArray], size: int) -> FloatArray:
    """(s, m) model error of a phase on the device of each point."""
    one = np.ones(size)
    own = [values.get(f"time.{phase}.{name}", one) for name in plan.devices]
    table = np.stack([*own, one], axis=1) * values.get(f"time.{phase}", one)[:, None]
    return np.asarray(table[:, device])


def _replaced(part: Any, changes: Mapping[str, FloatArray]) -> Any:
    """Columns of a pool, some of them replaced by (s, m) ones."""
    return part._replace(**{name: column.ravel() for name, column in changes.items()})


def _mixed(plan: Plan, values: Mapping[str, FloatArray], sample: IntArray) -> Plan:
    """Plan whose shares are those of each sample, one column over all rows; their sum stays one."""
    names = [item.agent.name for item in plan.classes]
    drawn = {name: values[f"agents.{name}.share"] for name in names if f"agents.{name}.share" in values}
    if not drawn:
        return plan
    size = next(iter(drawn.values())).size
    table = np.stack([drawn.get(item.agent.name, np.full(size, item.agent.share)) for item in plan.classes])
    table = (table / table.sum(axis=0))[:, sample]
    # A share takes part in sums and products only, so a column of shares may stand for it.
    mixed: Any = [
        item._replace(agent=replace(item.agent, share=share)) for item, share in zip(plan.classes, table, strict=True)
    ]
    return replace(plan, classes=tuple(mixed))


def _effects(plan: Plan, systems: held.Systems, goals: Sequence[Goal], own: Sequence[Unknown]) -> tuple[_Effect, ...]:
    """First-order effects of numbers that neither money nor a factor of time stands for."""
    if not own:
        return ()
    scenarios = [
        held.Scenario(plan.problem.with_values({item.path: end}))
        for item in own
        for end in (item.range.low, item.range.high)
    ]
    base, *ends = held.scored(plan, systems, [held.Scenario(plan.problem), *scenarios])
    found = []
    for number, item in enumerate(own):
        pair = ends[2 * number : 2 * number + 2]
        steps = [_decades(end, goals) - _decades(base, goals) for end in pair]
        gaps = [{name: end.columns[name] - base.columns[name] for name in _slacks(base)} for end in pair]
        found.append(_Effect(item, (steps[0], steps[1]), (gaps[0], gaps[1])))
    return tuple(found)


def _followed(
    effects: Sequence[_Effect], outcome: Outcome, metrics: Metrics, values: Mapping[str, FloatArray]
) -> Outcome:
    """Outcome with the first-order effects on objectives and slacks added."""
    size, rows, _ = outcome.values.shape
    shift = np.zeros_like(outcome.values)
    slacks = {name: metrics.columns[name].reshape(size, rows).copy() for name in _slacks(metrics)}
    for effect in effects:
        low, _, high = effect.unknown.range
        at, stated = values[effect.unknown.path], effect.unknown.stated
        down = np.clip((stated - at) / (stated - low), 0, None) if stated > low else np.zeros(size)
        up = np.clip((at - stated) / (high - stated), 0, None) if high > stated else np.zeros(size)
        for weight, step, gaps in zip((down, up), effect.objectives, effect.slacks, strict=True):
            shift += weight[:, None, None] * step
            for name, gap in gaps.items():
                slacks[name] += weight[:, None] * gap
    feasible = np.all([slack >= 0 for slack in slacks.values()], axis=0)
    return Outcome(outcome.values * 10.0**shift, feasible)


def _slacks(metrics: Metrics) -> list[str]:
    return [name for name in metrics.columns if name.rsplit(".", 1)[-1].startswith("slack_")]


def _decades(metrics: Metrics, goals: Sequence[Goal]) -> FloatArray:
    return np.log10(np.stack([metrics.columns[goal.name] for goal in goals], axis=1))
