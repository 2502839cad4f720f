"""From a named design, or a study that holds one, to what can be replayed."""

from pathlib import Path

from dse.facts.errors import Mistake, SpecError, did_you_mean, listed
from dse.facts.problem import Problem, load
from dse.insight.case import Case, ClassCase, case, table_key
from dse.insight.explain import design_of
from dse.insight.runs import Opened
from dse.replay.design import Served
from dse.replay.scenario import Scenario, of_class, of_file
from dse.search.ask import ask
from dse.search.evaluation import Evaluator

STUDY = (".yaml", ".yml")
"""Endings of a design that is written as a study with one choice per lever."""


def scenarios(
    opened: Opened, row: int, agent: str | None = None, trace: Path | None = None, evaluator: Evaluator | None = None
) -> list[Scenario]:
    """What one row of a front serves: all classes with their own sessions, or one class with a trace file."""
    _refuse_agent(opened.problem, agent, trace)
    own = case(evaluator or Evaluator.of(opened.problem), design_of(opened, row), opened.front.mapping(row))
    return _of(own, agent, trace)


def of_study(path: Path, agent: str | None = None, trace: Path | None = None) -> list[Scenario]:
    """The same for a study whose levers have one choice each, on its cheapest mapping."""
    problem = load(path)
    _refuse_agent(problem, agent, trace)
    space = ask(problem).space
    if space.size != 1:
        message = f"holds {space.size:,} designs; to be replayed, a study has one choice per lever"
        raise SpecError([Mistake(str(path), 0, 0, "levers", message)])
    return _of(case(Evaluator.of(problem), next(iter(space.blocks())), {}), agent, trace)


def served(own: Case, item: ClassCase) -> Served:
    """One class of a case, as the replay wants it."""
    keys = [table_key(own, item.index, pool, item.mapping[f"{pool}.type"]) for pool in ("prefill", "decode")]
    return Served(own.plan, own.block, item.index, item.at, item.columns, item.mapping, *keys)


def _of(own: Case, agent: str | None, trace: Path | None) -> list[Scenario]:
    chosen = [item for item in own.classes if agent in (None, item.name)]
    return [of_class(served(own, item)) if trace is None else of_file(served(own, item), trace) for item in chosen]


def _refuse_agent(problem: Problem, agent: str | None, trace: Path | None) -> None:
    """Refuse an agent that the study does not have, and a trace that nobody is named to serve."""
    names = [known.name for known in problem.agents]
    if agent is not None and agent not in names:
        message = f"{agent} is no agent of the study.{did_you_mean(agent, names)} Known: {listed(names)}"
        raise SpecError([Mistake("--agent", 0, 0, "", message)])
    if trace is not None and agent is None and len(names) > 1:
        message = f"a trace is served by one agent: name it. Known: {listed(names)}"
        raise SpecError([Mistake("--agent", 0, 0, "", message)])
