"""The replay as second fidelity: one candidate of a search in, the metrics that its replay measured out.

Every agent is served at the rate that the closed form gives its whole instances. Cost and energy are those of the model
over the share of the calls that was really served; latencies, token times and hit rates are what the requests saw.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from dse.arrays import FloatArray
from dse.facts.errors import Mistake, SpecError
from dse.facts.external import Simulation
from dse.facts.problem import Problem
from dse.insight.case import Case, ClassCase, case
from dse.insight.replays.case import served
from dse.replay.design import size
from dse.replay.outcome import Outcome
from dse.replay.scenario import LIVES, Plan, Replayed, Scenario, of_class, of_file, play
from dse.search.ask import ask
from dse.search.evaluation import WORST_LOW, Evaluator

QUANTILES = {"p50": 0.50, "p95": 0.95, "p99": 0.99}
"""Quantiles in the names of metrics [1]."""

STEP_QUANTILES = ("p50", "p95", "p99")
"""Quantiles of the steps per task that a class keeps."""

WEIGHTED = ("cost", "energy_per_task")
"""Metrics of which the study's is the sum over its agents, weighted by their shares."""


class Second:
    """Replays candidates of one study; a program that answers JSON lines holds it."""

    def __init__(self, problem: Problem) -> None:
        self.problem = problem
        self.evaluator = Evaluator.of(problem)
        self.space = ask(problem).space
        stated = problem.evaluator.replay if problem.evaluator is not None else None
        self.stated = stated or Simulation()

    def __call__(self, request: Mapping[str, Any]) -> dict[str, Any]:
        """Answer to one candidate: its metrics, or why there are none."""
        try:
            own = case(self.evaluator, self.space.encode(request["levers"]), request["mapping"])
            if not own.kept:
                return {"id": request["id"], "error": "the model does not offer this mapping of the design"}
            found = measured(own, self.stated)
        except SpecError as error:
            return {"id": request["id"], "error": error.mistakes[0].message}
        return {"id": request["id"], "metrics": {name: found[name] for name in request["wanted"]}}


def measured(own: Case, stated: Simulation) -> dict[str, float]:
    """Replay all agents of a design; metrics of the study, and of its agents with their name before."""
    parts = {item.name: _agent(own, item, stated) for item in own.classes}
    shares = [own.plan.classes[item.index].agent.share for item in own.classes]
    metrics = {f"{agent}.{name}": value for agent, part in parts.items() for name, value in part.items()}
    for name in next(iter(parts.values())):
        values = [part[name] for part in parts.values()]
        if name in WEIGHTED:
            metrics[name] = float(np.dot(shares, values))
        else:
            metrics[name] = min(values) if name in WORST_LOW else max(values)
    output = sum(share * part["output"] for share, part in zip(shares, parts.values(), strict=True))
    metrics |= {
        "throughput": 1 / metrics["energy_per_task"],
        "energy_per_token": metrics["energy_per_task"] / output,
        "cost_per_mtok": metrics["cost"] / output,
    }
    return metrics


def _agent(own: Case, item: ClassCase, stated: Simulation) -> dict[str, float]:
    """Replay one agent; what its requests saw, and what a task costs at the rate that was served."""
    asked = served(own, item)
    mine = stated.trace is not None and stated.agent in (None, item.name)
    scenario = of_file(asked, Path(str(stated.trace))) if mine else of_class(asked)
    replayed = replay(scenario, stated)
    outcome = replayed.outcome
    if outcome.interrupted:
        raise KeyboardInterrupt
    if outcome.ttft.size == 0 or outcome.steps_per_s <= 0:
        raise SpecError([Mistake("", 0, 0, item.name, f"no request of {item.name} was finished in the replay")])
    return _seen(scenario, outcome) | _paid(scenario, outcome)


def replay(scenario: Scenario, stated: Simulation) -> Replayed:
    """Serve the sessions of a scenario at the rate that the closed form gives whole instances."""
    whole, said = size(scenario.served), scenario.predicted()
    span = max(stated.calls / whole.steps_per_s, LIVES * said["task_latency"] / scenario.steps_per_task)
    return play(scenario, Plan(whole.steps_per_s / scenario.steps_per_task, span, False, stated.seed, whole))


def served_share(outcome: Outcome) -> float:
    """Calls that were finished over those that were asked for, in the time that counts [1]."""
    return min(outcome.steps_per_s / outcome.offered, 1.0)


def _seen(scenario: Scenario, outcome: Outcome) -> dict[str, float]:
    """Latencies, token times and hit rate of the requests."""
    plan, shape = scenario.served.plan, scenario.served.plan.classes[scenario.served.agent].shape
    level = plan.operation.percentile / 100
    step = _quantile(outcome.latency, level)
    mean = float(outcome.latency.mean())
    counts = dict(zip(STEP_QUANTILES, shape.step_quantiles, strict=True))
    return {
        "latency": step / shape.latency_slo,
        "step_latency": step,
        "task_latency": scenario.steps_per_task * mean,
        **{f"task_latency_{name}": count * mean for name, count in counts.items()},
        "ttft_mean": float(outcome.ttft.mean()),
        **{f"ttft_{name}": _quantile(outcome.ttft, share) for name, share in QUANTILES.items()},
        "tpot": outcome.tpot_mean,
        "tpot_full": _quantile(outcome.tpot, QUANTILES["p95"]),
        "tokens_per_s_user": 1 / outcome.tpot_mean if outcome.tpot_mean > 0 else 0.0,
        "hit_rate": outcome.hit_rate,
    }


def _paid(scenario: Scenario, outcome: Outcome) -> dict[str, float]:
    """Cost and energy of a task at the rate that was served, and its output."""
    columns, share = scenario.served.columns, served_share(outcome)
    output = scenario.steps_per_task * float(scenario.trace.steps.output.mean())
    cost = float(columns.cost[0]) / share
    return {
        "cost": cost,
        "energy_per_task": float(columns.energy[0]) / share,
        "output": output,
        "cost_per_mtok": cost / output,
    }


def _quantile(values: FloatArray, level: float) -> float:
    return float(np.quantile(values, level)) if values.size else 0.0
