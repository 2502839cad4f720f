"""From a problem to the question that the engines search: its space, its goals, its evaluator."""

import math
from dataclasses import replace

from dse.facts.convergence import convergence
from dse.facts.external import External
from dse.facts.levers import REGISTRY
from dse.facts.metrics import METRICS
from dse.facts.problem import Problem
from dse.physics.serving import KV_HOMES
from dse.search.attached import attachments, resolved
from dse.search.budget import Budget
from dse.search.crews.external import ANALYTIC, Instead, Program
from dse.search.evaluation import Evaluator
from dse.search.metrics import Goal
from dse.search.question import Question
from dse.search.space import Space

TERM_UNITS = {
    "retention": "s",
    "prefill_seconds": "s",
    "decode_seconds": "s",
    "prefill_cost": "$/task",
    "decode_cost": "$/task",
    "chunk": "tok",
}
"""Units of columns that are terms of a metric rather than metrics."""

LABELS = {"kv_home": KV_HOMES, "type": ("device", "second_device")}
"""Words for the codes of mapping columns."""


def ask(problem: Problem) -> Question:
    """Question that a study asks of the search, scored by the model."""
    goals = tuple(Goal(goal.column, goal.maximize, goal.unit) for goal in problem.objectives)
    units = {name: lever.unit for name, lever in REGISTRY.items()} | {name: row.unit for name, row in METRICS.items()}
    evaluator = Evaluator.of(problem)
    space, units = Space.of(problem), units | TERM_UNITS
    question = Question(problem.name, space, goals, evaluator, units, LABELS, resolved(problem), attachments(problem))
    return question if problem.evaluator is None else _with_program(question, problem.evaluator)


def _with_program(question: Question, stated: External) -> Question:
    """Question whose designs, or whose promising rows, a program of the user scores."""
    if stated.stage == "after" or stated.command is None:
        return replace(question, external=stated)
    program = Program(stated.command, stated.timeout, stated.retries)
    units = {ANALYTIC + goal.name: goal.unit for goal in question.goals}
    instead = Instead(question.evaluate, question.space, question.goals, program)
    return replace(question, evaluate=instead, units={**question.units, **units}, block=1)


def limits(problem: Problem) -> Budget:
    """Budget that a study states."""
    stated = problem.budget
    settled = convergence(stated.converged) if stated.converged else None
    return Budget(stated.time or math.inf, stated.evaluations or math.inf, converged=settled)
