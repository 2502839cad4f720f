"""A study without a feasible design: for every limit, the smallest relaxation of it alone that would help.

The designs that came closest are scored again with one limit at a time moved out of the way; what is then feasible
tells how far the limit must move, and the distance is halved until it is known to one percent. Every relaxation named
has been evaluated: a run with it finds a feasible design.
"""

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any, NamedTuple

import numpy as np

from dse.facts import units
from dse.facts.levers import NONE
from dse.facts.metrics import METRICS, Requirement
from dse.facts.problem import Problem
from dse.insight import wording
from dse.search.axes import Designs
from dse.search.evaluation import Evaluator
from dse.search.metrics import Metrics
from dse.search.runs.run import Run, load_epoch
from dse.search.scoring.plan import Plan

CLOSEST = 64
"""Designs that are scored again: those with the least violation in the run."""

FAR = 1e4
"""Factor by which a limit is moved out of the way [1]."""

EXACT = 1.01
"""Factor to which the smallest relaxation is known [1]."""

DIGITS = 3
"""Significant digits of a relaxed limit; it is rounded to the generous side."""

MORE = (1.0, 1.1, 1.25, 1.5, 2.0)
"""Factors on latency limits that are moved together, the least that helps is taken [1]."""

TARGETS = ("ttft", "tpot")

HINTS: Mapping[str, str] = {
    "slack_capacity": "offer devices with more memory, or a larger `decode.memory_scale`",
    "slack_pool": "offer a larger `pool.capacity`",
    "slack_prefill_stacks": "offer `prefill.memory_scale: 1`",
    "slack_decode_stacks": "offer `decode.memory_scale: 1`",
    "slack_prefill_optics": "offer an `optical_bandwidth` above zero, or `prefill.topology: native`",
    "slack_decode_optics": "offer an `optical_bandwidth` above zero, or `decode.topology: native`",
    "slack_offload": "offer a `decode.second_device` for attention offload",
}
"""Slack of hardware, which no limit of a study stands for -> the lever that would help."""


class Relaxation(NamedTuple):
    """One limit, and how far it must move for some design to meet every other one."""

    what: str
    """In words."""
    before: float
    """Limit of the study [SI]."""
    after: float | None
    """Smallest limit that helps [SI]; None where moving this limit alone does not."""
    unit: str
    change: str
    """What to type after `--set`."""
    levers: Mapping[str, Any]
    """Design that becomes feasible."""

    @property
    def factor(self) -> float:
        """How far the limit moves [1]."""
        return math.inf if self.after is None else max(self.after / self.before, self.before / self.after)

    def sentence(self) -> str:
        """What it takes."""
        before = wording.quantity(self.before, self.unit)
        if self.after is None:
            return f"{self.what} ({before}): not enough by itself"
        return f"{self.what}: {before} to {wording.quantity(self.after, self.unit)} (x {wording.number(self.factor)})"


@dataclass(frozen=True)
class _Limit:
    """A limit of the study that a user can move."""

    what: str
    column: str
    """Slack of it."""
    value: float
    unit: str
    at_most: bool
    moved: Callable[[float], Problem]
    """Study with another limit."""
    change: Callable[[float], str]
    """The same as an option."""


def advice(problem: Problem, run: Run) -> dict[str, Any]:
    """For the summary of a run: relaxations of single limits, of several together, and levers to widen.

    Where no single limit is enough, those that the closest design with sound hardware misses are moved together.
    """
    missed = dict((run.summary.get("nearest") or {}).get("missed", {}))
    designs, plan = closest(run), Evaluator.of(problem).plan
    metrics = Evaluator(problem, plan)(designs)
    found = relaxations(plan, designs, metrics, missed)
    alone = any(item.after is not None for item in found)
    return {
        "relaxations": [_json(item) for item in found],
        "together": [] if alone else _together(plan, designs, metrics),
        "hints": hints(problem, missed),
    }


def relaxations(plan: Plan, designs: Designs, metrics: Metrics, missed: Mapping[str, float]) -> tuple[Relaxation, ...]:
    """Smallest relaxation of every limit that the nearest design misses, or that would help another one.

    Parameters
    ----------
    plan : Plan             of the study
    designs, metrics        the closest designs and their scores
    missed                  slack column -> slack of the limits that the nearest design misses
    """
    violated = _missed(metrics)
    own = {limit.column: limit for limit in _limits(plan.problem) if limit.column in violated}
    found = {column: _smallest(plan, designs, limit) for column, limit in own.items()}
    kept = [item for column, item in found.items() if item.after is not None or column in missed]
    return tuple(sorted(kept, key=lambda item: item.factor))


def hints(problem: Problem, missed: Mapping[str, float]) -> list[str]:
    """Levers to widen for limits of hardware, unless the study offers what would help."""
    levers = problem.levers
    offered = {
        "slack_prefill_stacks": 1.0 in levers["prefill.memory_scale"],
        "slack_decode_stacks": 1.0 in levers["decode.memory_scale"],
        "slack_prefill_optics": any(float(choice) > 0 for choice in levers["optical_bandwidth"]),
        "slack_decode_optics": any(float(choice) > 0 for choice in levers["optical_bandwidth"]),
        "slack_offload": any(choice != NONE for choice in levers["decode.second_device"]),
    }
    names = dict.fromkeys(column.rsplit(".", 1)[-1] for column in missed)
    return [HINTS[name] for name in names if name in HINTS and not offered.get(name, False)]


def _together(plan: Plan, designs: Designs, metrics: Metrics) -> list[str]:
    """Options that move every limit that one design misses to what it reaches; empty where hardware stands in the way.

    A step that takes the time of a late first token and of late others may still be late as a whole, so latencies are
    given a little more until the design is feasible.
    """
    limits = _limits(plan.problem)
    movable = {limit.column for limit in limits}
    hard = [
        values
        for name, values in metrics.columns.items()
        if "slack_" in name and name not in movable and not name.endswith("slack_latency")
    ]
    sound = np.flatnonzero(np.min(hard, axis=0) >= 0)
    if sound.size == 0:
        return []
    row = int(sound[np.argmin(metrics.violation[sound])])
    design = designs.take(metrics.design[row : row + 1])
    slack = {limit.column: float(metrics.columns[limit.column][row]) for limit in limits}
    late = any(values[row] < 0 for name, values in metrics.columns.items() if name.endswith("slack_latency"))
    for more in MORE:
        problem, options = _moved(plan.problem, slack, more if late else 1.0)
        moved = replace(plan, problem=problem, classes=Plan.of(problem).classes)
        if bool(Evaluator(problem, moved)(design).feasible.any()):
            return options
    return []


def _moved(problem: Problem, slack: Mapping[str, float], more: float) -> tuple[Problem, list[str]]:
    """Study with every missed limit where a design reaches it, and the options that say so."""
    options: dict[str, str] = {}
    for number, limit in enumerate(_limits(problem)):
        if slack[limit.column] >= 0:
            continue
        reached = _at(limit, slack[limit.column])
        value = _rounded(reached * more if limit.unit == "s" else reached, 1 if limit.at_most else -1)
        # Sentences of a study are one list: each change starts from the ones before.
        current = _limits(problem)[number]
        problem, option = current.moved(value), current.change(value)
        options[option.partition("=")[0]] = option
    return problem, list(options.values())


def closest(run: Run) -> Designs:
    """Designs of a run that come closest to meeting every requirement."""
    ledger = load_epoch(run.folder).ledger
    order = np.argsort(ledger.violation, kind="stable")[:CLOSEST]
    rows = np.unique(np.concatenate([run.archive.rows[:1], ledger.rows[order]]), axis=0)
    return Designs(rows, tuple(axis.name for axis in run.question.space.axes))


def _missed(metrics: Metrics) -> frozenset[str]:
    """Slacks that some row violates; a latency target is missed through the targets it is made of."""
    found = {name for name, values in metrics.columns.items() if "slack_" in name and bool((values < 0).any())}
    for name in [name for name in found if name.endswith("slack_latency")]:
        agent = name.removesuffix("slack_latency")
        found |= {f"{agent}slack_{target}" for target in TARGETS}
    return frozenset(found)


def _limits(problem: Problem) -> list[_Limit]:
    """Latency targets of every agent, then the sentences of the study."""
    own = [_target(problem, number, name) for number in range(len(problem.agents)) for name in TARGETS]
    return own + [_required(problem, number) for number in range(len(problem.require))]


def _target(problem: Problem, number: int, name: str) -> _Limit:
    agent = problem.agents[number]

    def moved(value: float) -> Problem:
        other = replace(agent, slo=agent.slo._replace(**{name: value}))
        return replace(problem, agents=(*problem.agents[:number], other, *problem.agents[number + 1 :]))

    def change(value: float) -> str:
        return f"agents.{agent.name}.slo.{name}={units.exact(value, 's')}"

    what = f"the {name.upper()} target of {agent.name}"
    return _Limit(what, f"{agent.name}.slack_{name}", getattr(agent.slo, name), "s", True, moved, change)


def _required(problem: Problem, number: int) -> _Limit:
    sentence = problem.require[number]

    def sentences(value: float) -> tuple[Requirement, ...]:
        other = sentence.model_copy(update={"limit": value})
        return (*problem.require[:number], other, *problem.require[number + 1 :])

    def change(value: float) -> str:
        written = ", ".join(f'"{own.model_dump(mode="json")}"' for own in sentences(value))
        return f"require=[{written}]"

    unit = METRICS[sentence.metric].unit
    what = f"the limit on {wording.metric_name(sentence.column)}"
    column = f"slack_{sentence.column}"
    return _Limit(
        what,
        column,
        sentence.limit,
        unit,
        sentence.at_most,
        lambda value: replace(problem, require=sentences(value)),
        change,
    )


def _smallest(plan: Plan, designs: Designs, limit: _Limit) -> Relaxation:
    """Smallest relaxation of one limit."""
    sign = 1 if limit.at_most else -1
    far = limit.value * FAR**sign
    found = _feasible(plan, designs, limit, far)
    if found is None:
        return Relaxation(limit.what, limit.value, None, limit.unit, "", {})
    reached, best = found
    failed = limit.value
    while (reached / failed) ** sign > EXACT:
        tried = math.sqrt(reached * failed)
        found = _feasible(plan, designs, limit, tried)
        if found is None:
            failed = tried
        else:
            reached, best = found
    after = _rounded(reached, sign)
    levers = {name: choices[int(best[name][0])] for name, choices in plan.problem.levers.items() if name in best.names}
    return Relaxation(limit.what, limit.value, after, limit.unit, limit.change(after), levers)


def _feasible(plan: Plan, designs: Designs, limit: _Limit, value: float) -> tuple[float, Designs] | None:
    """Least relaxed value among the feasible rows at a limit and its design; None where there is no feasible row."""
    problem = limit.moved(value)
    # Times of passes do not depend on a limit: the tables of the plan stay.
    moved = replace(plan, problem=problem, classes=Plan.of(problem).classes)
    metrics = Evaluator(problem, moved)(designs)
    rows = np.flatnonzero(metrics.feasible)
    if rows.size == 0:
        return None
    slack = metrics.columns[limit.column][rows]
    row = rows[int(np.argmax(slack))]
    reached = _at(replace(limit, value=value), float(slack.max()))
    bound = max if limit.at_most else min
    return bound(reached, limit.value), designs.take(metrics.design[row : row + 1])


def _at(limit: _Limit, slack: float) -> float:
    """Value of the metric that has this slack."""
    return limit.value * (1 - slack if limit.at_most else 1 + slack)


def _rounded(value: float, sign: int) -> float:
    """Three significant digits on the generous side.

    >>> _rounded(0.012341, 1), _rounded(98.76, -1)
    (0.0124, 98.7)
    """
    step = 10.0 ** (math.floor(math.log10(abs(value))) - DIGITS + 1)
    near = round(value / step)
    steps = (
        near
        if math.isclose(near * step, value, rel_tol=1e-9)
        else (math.ceil if sign > 0 else math.floor)(value / step)
    )
    return float(f"{steps * step:.{DIGITS}g}")


def _json(item: Relaxation) -> dict[str, Any]:
    return {
        "limit": item.what,
        "before": item.before,
        "after": item.after,
        "unit": item.unit,
        "factor": None if item.after is None else item.factor,
        "set": item.change,
        "levers": dict(item.levers),
        "sentence": item.sentence(),
    }
