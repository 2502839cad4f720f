"""The score of a design, in the order of a method section.

1. Levers become columns: devices, memories, links, prices of every design (:class:`Block`).
2. Each class takes its serving points: every undominated prefill mapping with every undominated decode mapping and
   every home of the KV, scored as far as the choice among them needs (:mod:`dse.search.scoring.screening`).
3. The classes are combined: for every level of latency the cheapest and the most frugal choice
   (:mod:`dse.search.scoring.combine`).
4. The points that stay are scored in full by :mod:`dse.search.scoring.points`; the rows get their metrics and their
   violations.
"""

from dataclasses import dataclass

import numpy as np

from dse.arrays import FloatArray, IntArray
from dse.facts.problem import Problem
from dse.search.axes import Designs
from dse.search.metrics import Metrics, stack
from dse.search.scoring import block as blocks
from dse.search.scoring.block import Block
from dse.search.scoring.classes import ClassPoints, scored
from dse.search.scoring.combine import combine
from dse.search.scoring.plan import Plan
from dse.search.scoring.screening import screened
from dse.search.scoring.sides import ClassShape

CHUNK = 128
"""Designs scored at once: their serving points fill a few dozen megabytes."""


@dataclass(frozen=True, eq=False)
class Evaluator:
    """Scores blocks of designs of one problem; a callable that worker processes can hold."""

    problem: Problem
    plan: Plan

    @classmethod
    def of(cls, problem: Problem) -> "Evaluator":
        """Evaluator of a problem."""
        return cls(problem, Plan.of(problem))

    def __call__(self, designs: Designs) -> Metrics:
        """Score designs: every non-dominated mapping of each, or its least violating one."""
        parts = [self._chunk(designs, start) for start in range(0, len(designs), CHUNK)]
        return stack(parts)

    def _chunk(self, designs: Designs, start: int) -> Metrics:
        part = designs.take(slice(start, start + CHUNK))
        metrics = score(self.plan, blocks.block(self.plan, part))
        return metrics.owned_by(metrics.design + start)


def evaluate(problem: Problem, designs: Designs) -> Metrics:
    """Score designs of a problem with all their mappings."""
    return Evaluator.of(problem)(designs)


def score(plan: Plan, block: Block) -> Metrics:
    """Steps 2 to 4 for one block."""
    pairs, short = screened(plan, block)
    rows = combine(short.points, len(block), len(pairs))
    found, chosen = [], np.empty_like(rows.point)
    for agent, own in enumerate(pairs):
        picked, chosen[:, agent] = np.unique(short.origin[rows.point[:, agent]], return_inverse=True)
        found.append(scored(plan, block, agent, own.candidates(picked)))
    return assembled(plan, block, found, rows.design, chosen)


def assembled(plan: Plan, block: Block, found: list[ClassPoints], design: IntArray, point: IntArray) -> Metrics:
    """Columns of the mixture and of each class."""
    columns: dict[str, FloatArray] = {}
    mapping: dict[str, IntArray] = {}
    picked = [part.take(point[:, agent]) for agent, part in enumerate(found)]
    tables = [_class_columns(item.shape, part) for item, part in zip(plan.classes, picked, strict=True)]
    for item, part, table in zip(plan.classes, picked, tables, strict=True):
        columns |= {f"{item.agent.name}.{name}": values for name, values in table.items()}
        mapping |= {f"{item.agent.name}.{name}": values for name, values in part.mapping.items()}
    columns |= _mixture(plan, picked, tables)
    columns |= {name: getattr(block, name)[design] for name in ("device_power", "domain_power", "quality")}
    if plan.problem.load is not None:
        columns |= _sized(plan, plan.problem.load, picked)
    violation = sum((part.columns.violation for part in picked), np.zeros(design.size))
    slacks = {name: values[design] for name, values in block.slacks.items()}
    slacks |= blocks.required(plan.problem, columns)
    columns |= slacks
    for values in slacks.values():
        violation = violation + np.maximum(-values, 0)
    return Metrics(design, columns, mapping, violation)


def _class_columns(shape: ClassShape, part: ClassPoints) -> dict[str, FloatArray]:
    """Metrics and terms of one class at its serving points."""
    c, steps = part.columns, shape.steps
    return {
        "latency": c.ratio,
        "cost": c.cost,
        "energy_per_task": c.energy,
        "ttft_p50": c.ttft_p50,
        "ttft_p95": c.ttft_p95,
        "ttft_p99": c.ttft_p99,
        "tpot": c.tpot,
        "tpot_full": c.tpot_full,
        "tokens_per_s_user": 1 / c.tpot,
        "step_latency": c.step_latency,
        "task_latency": steps * c.latency_mean,
        **{
            f"task_latency_{name}": count * c.latency_mean
            for name, count in zip(("p50", "p95", "p99"), shape.step_quantiles, strict=True)
        },
        "ttft_mean": c.ttft_mean,
        "hit_rate": c.hit_rate,
        "retention": c.retention_time,
        "prefill_seconds": steps * c.prefill_seconds,
        "decode_seconds": steps * c.decode_seconds,
        "prefill_cost": c.prefill_cost,
        "decode_cost": c.decode_cost,
        "cost_per_mtok": c.cost / (steps * part.output),
        "prefill_link_share": c.prefill_link_share,
        "decode_link_share": c.decode_link_share,
        "pool_share": c.pool_share,
        "bistable": c.bistable,
        "slack_capacity": c.slack_capacity,
        "slack_ttft": c.slack_ttft,
        "slack_tpot": c.slack_tpot,
        "slack_pool": c.slack_pool,
        "slack_latency": c.slack_latency,
    }


WORST_HIGH = (
    "latency",
    "ttft_mean",
    "ttft_p50",
    "ttft_p95",
    "ttft_p99",
    "tpot",
    "tpot_full",
    "step_latency",
    "task_latency",
    "task_latency_p50",
    "task_latency_p95",
    "task_latency_p99",
    "bistable",
)
WORST_LOW = ("tokens_per_s_user", "hit_rate", "retention")


def _mixture(plan: Plan, picked: list[ClassPoints], tables: list[dict[str, FloatArray]]) -> dict[str, FloatArray]:
    """Share-weighted sums of cost and energy, worst classes of latencies."""
    shares = [item.agent.share for item in plan.classes]

    def weighted(name: str) -> FloatArray:
        return np.asarray(sum(share * getattr(part.columns, name) for share, part in zip(shares, picked, strict=True)))

    steps = [item.shape.steps for item in plan.classes]
    cost, energy = weighted("cost"), weighted("energy")
    output = sum(share * step * part.output for share, step, part in zip(shares, steps, picked, strict=True))
    prefill, decode = (
        np.asarray(
            sum(
                share * step * getattr(part.columns, name)
                for share, step, part in zip(shares, steps, picked, strict=True)
            )
        )
        for name in ("prefill_seconds", "decode_seconds")
    )
    seconds = prefill + decode
    worst = {name: np.max([table[name] for table in tables], axis=0) for name in WORST_HIGH}
    worst |= {name: np.min([table[name] for table in tables], axis=0) for name in WORST_LOW}
    return worst | {
        "cost": cost,
        "throughput": 1 / energy,
        "energy_per_task": energy,
        "energy_per_token": energy / output,
        "cost_per_mtok": cost / output,
        "tasks_per_s_device": 1 / seconds,
        "output_tokens_per_s_device": output / seconds,
        "cost_per_device_hour": cost / seconds,
        "prefill_seconds": prefill,
        "decode_seconds": decode,
        "prefill_cost": weighted("prefill_cost"),
        "decode_cost": weighted("decode_cost"),
    }


def _sized(plan: Plan, load: float, picked: list[ClassPoints]) -> dict[str, FloatArray]:
    """Metrics of a system for a stated load: whole instances of every class and phase, rounding loss included."""
    devices, hourly, power = (np.zeros(picked[0].size) for _ in range(3))
    for item, part in zip(plan.classes, picked, strict=True):
        rate = load * item.agent.share * item.shape.steps
        c = part.columns
        for seconds, cost, energy, side in (
            (c.prefill_seconds, c.prefill_cost, c.prefill_energy, "prefill"),
            (c.decode_seconds, c.decode_cost, c.energy - c.prefill_energy, "decode"),
        ):
            instance = np.prod([part.mapping[f"{side}.{degree}"] for degree in DEGREES], axis=0)
            needed = rate * seconds
            whole = np.ceil(needed / instance - 1e-9) * instance
            growth = np.where(needed > 0, whole / np.maximum(needed, 1e-30), 0.0)
            devices += whole
            hourly += growth * load * item.agent.share * cost
            power += growth * load * item.agent.share * energy
    tasks = np.full(devices.size, load)
    return {"tasks_per_s": tasks, "devices": devices, "system_cost": hourly, "system_power": power}


DEGREES = ("tp", "pp", "attention_dp", "cp")
"""Degrees whose product is the devices of an instance."""
