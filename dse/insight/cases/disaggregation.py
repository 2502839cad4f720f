"""Beyond the Buzz, arXiv 2506.05508: when disaggregation pays, and at which ratio of prefill to decode devices."""

from dataclasses import replace
from itertools import pairwise

import numpy as np

from dse.facts.problem import Problem
from dse.facts.workload.classes import load_workload
from dse.insight.cases.answers import Answers
from dse.insight.cases.relation import Relation, above

LENGTHS = ("prompt_heavy", "balanced", "answer_heavy")
"""Workloads beside the case, from long prompts to long answers."""

INTERACTIVITY = (10.0, 20.0, 40.0, 60.0, 80.0, 100.0)
"""Rates that one user sees, relaxed to tight [tok/s]."""

MIDDLE = 60.0
"""Interactivity at which gains are compared [tok/s]: the middle of the range."""


def relations(problem: Problem) -> tuple[Relation, ...]:
    """Gains over three pairs of lengths, and the ratio along the front of the first."""
    scored = {name: Answers.of(_with(problem, name)).feasible for name in LENGTHS}
    long, even, short = (_gain(own) for own in scored.values())
    front = scored["prompt_heavy"].where(serving="disaggregated")
    ratios = [_densest(front, rate)[1] for rate in INTERACTIVITY]
    fall = ratios[0] / ratios[-1]
    return (
        above("tok/s per GPU at 60 tok/s and user, 8K in 0.5K out, disaggregated over colocated", long, 1.2, "x"),
        above("that gain over the gain at 2K in 1K out", long / even, unit="x"),
        above("the gain at 2K in 1K out over that at 0.5K in 4K out", even / short, unit="x"),
        above("best prefill devices per decode device, relaxed (10 tok/s) over tight (100 tok/s)", fall, 1.5, "x"),
        Relation("steps of interactivity at which that ratio rises", _rises(ratios), 0, 0, trend=True),
        above(
            "devices for equal rate at 10 tok/s, as many of either kind over matched in rate",
            2 * max(ratios[0], 1.0) / (ratios[0] + 1.0),
            1.05,
            "x",
        ),
    )


def _gain(answers: Answers) -> float:
    """Tokens per second and GPU of disaggregated over colocated serving."""
    apart, together = (answers.where(serving=name) for name in ("disaggregated", "colocated"))
    return _densest(apart, MIDDLE)[0] / _densest(together, MIDDLE)[0]


def _with(problem: Problem, name: str) -> Problem:
    """The same question for another pair of lengths."""
    agent = problem.agents[0]
    beside = agent.spec.workload.replace("prompt_heavy", name)
    return replace(problem, agents=(replace(agent, workload=load_workload(beside)),))


def _densest(answers: Answers, rate: float) -> tuple[float, float]:
    """Most tokens per second and GPU for users who see at least a rate, and its prefill devices per decode device."""
    fast = answers.rows(answers.column(_USER) >= rate)
    density = fast.column("output_tokens_per_s_device")
    row = int(np.argmax(density))
    return float(density[row]), float(fast.column("prefill_seconds")[row] / fast.column("decode_seconds")[row])


def _rises(ratios: list[float]) -> int:
    return sum(later > earlier * (1 + 1e-9) for earlier, later in pairwise(ratios))


_USER = "tokens_per_s_user"
"""Metric of interactivity."""
