"""From a problem to the question that the engines search: its space, its goals, its evaluator."""

import math
from dataclasses import replace
from pathlib import Path
from typing import Any

from dse.facts import writer
from dse.facts.convergence import convergence
from dse.facts.external import External
from dse.facts.levers import REGISTRY
from dse.facts.metrics import METRICS
from dse.facts.problem import Problem, dump
from dse.facts.topology.network import load_topology
from dse.physics.serving import KV_HOMES
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
    files = attachments(problem)
    places = {name: f"topologies/{path.name}" for name, path in problem.topologies.items()}
    resolved = writer.text({**dump(problem), "topologies": places, **_evaluator(problem)})
    space, units = Space.of(problem), units | TERM_UNITS
    question = Question(problem.name, space, goals, evaluator, units, LABELS, resolved, files)
    return question if problem.evaluator is None else _with_program(question, problem.evaluator)


def _with_program(question: Question, stated: External) -> Question:
    """Question whose designs, or whose promising rows, a program of the user scores."""
    if stated.stage == "after" or stated.command is None:
        return replace(question, external=stated)
    program = Program(stated.command, stated.timeout, stated.retries)
    units = {ANALYTIC + goal.name: goal.unit for goal in question.goals}
    instead = Instead(question.evaluate, question.space, question.goals, program)
    return replace(question, evaluate=instead, units={**question.units, **units}, smallest=1)


def attachments(problem: Problem) -> dict[str, Path]:
    """Files beside a problem, so that a run folder can be moved: topologies with their graphs, the trace to replay."""
    files: dict[str, Path] = {place: path for place, path in [_trace(problem)] if path is not None}
    for path in problem.topologies.values():
        files[f"topologies/{path.name}"] = path
        graph = load_topology(path).file
        if graph is not None:
            files[f"topologies/{graph}"] = path.parent / graph
    return files


def _trace(problem: Problem) -> tuple[str, Path | None]:
    """Place beside the resolved study, and file, of the trace that an evaluator replays."""
    replay = problem.evaluator.replay if problem.evaluator is not None else None
    if replay is None or replay.trace is None:
        return "", None
    return f"traces/{Path(replay.trace).name}", Path(replay.trace)


def _evaluator(problem: Problem) -> dict[str, Any]:
    """Section of the resolved study whose trace lies beside it; nothing where no trace is replayed."""
    place, file = _trace(problem)
    if problem.evaluator is None or problem.evaluator.replay is None or file is None:
        return {}
    replay = problem.evaluator.replay.model_copy(update={"trace": place})
    section = problem.evaluator.model_copy(update={"replay": replay})
    return {"evaluator": section.model_dump(mode="json", exclude_none=True)}


def limits(problem: Problem) -> Budget:
    """Budget that a study states."""
    stated = problem.budget
    settled = convergence(stated.converged) if stated.converged else None
    return Budget(stated.time or math.inf, stated.evaluations or math.inf, converged=settled)
