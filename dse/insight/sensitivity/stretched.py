"""Agents with other pauses, longer contexts or another share of the tasks: what is asked, varied by a factor."""

from dataclasses import replace
from fnmatch import fnmatchcase

import numpy as np

from dse.facts.agents import Agent
from dse.facts.errors import Mistake, SpecError
from dse.facts.problem import Problem
from dse.facts.workload.atoms import Atoms
from dse.facts.workload.classes import Longest, Workload
from dse.facts.workload.distill import RETENTION, curves, moments
from dse.facts.workload.sessions import Steps, share_prefix

QUANTITIES = ("share", "gap", "context")
"""What can be varied: part of the tasks, pause before a step, tokens of its prompt."""

_LONGEST = (0.5, 0.9, 0.95, 0.99, 1.0)


def stated(problem: Problem, path: str) -> tuple[float, str]:
    """Value and unit of `agents.NAME.share`, `.gap` (median) or `.context` (mean); a factor for several agents."""
    agents, quantity = _named(problem, path)
    if len(agents) > 1:
        return 1.0, "1"
    table, name = agents[0].workload.table, quantity
    if name == "share":
        return agents[0].share, "1"
    if name == "gap":
        return float(np.median(table.gap[~table.first])), "s"
    return float(table.context.mean()), "tok"


def changed(problem: Problem, path: str, factor: float) -> Problem:
    """Problem in which a quantity of one agent, or of all that a pattern names, is multiplied by a factor."""
    named, quantity = _named(problem, path)
    names = {agent.name for agent in named}
    if quantity == "share":
        return replace(problem, agents=_shared(problem.agents, names, factor, path))
    agents = tuple(
        replace(agent, workload=stretched(agent.workload, quantity, factor)) if agent.name in names else agent
        for agent in problem.agents
    )
    return replace(problem, agents=agents)


def stretched(workload: Workload, quantity: str, factor: float) -> Workload:
    """Class whose pauses, or whose prompts with the prefix they share, are longer by a factor.

    A prompt may so exceed what the model accepts: the question is what the hardware would make of it.
    """
    table, shared = workload.table, workload.shared_prefix
    if factor == 1:
        return workload
    if quantity == "gap":
        table = replace(table, gap=table.gap * factor)
        atoms = replace(workload.representative, weight=workload.representative.weights(RETENTION / factor))
    else:
        longer = {name: getattr(table, name) * factor for name in ("cached", "fresh", "observation")}
        table, shared = replace(table, **longer), shared * factor
        atoms = _longer(workload.representative, factor)
    return replace(
        workload,
        table=table,
        shared_prefix=shared,
        moments=moments(table),
        served=moments(share_prefix(table, shared)),
        curves=curves(table, shared),
        representative=atoms,
        longest=_longest(table),
    )


def _longer(atoms: Atoms, factor: float) -> Atoms:
    """Atoms with longer prompts; they stand for the same steps as before."""
    return replace(atoms, fresh=atoms.fresh * factor, cached=atoms.cached * factor)


def _shared(agents: tuple[Agent, ...], names: set[str], factor: float, path: str) -> tuple[Agent, ...]:
    """Agents of which some have a larger share, the others less in proportion."""
    before = sum(agent.share for agent in agents if agent.name in names)
    if len(names) == len(agents) or before <= 0:
        raise SpecError([Mistake("", 0, 0, path, "a share can be varied where other agents take the rest")])
    after = min(before * factor, 1.0)
    rest = (1 - after) / (1 - before)
    return tuple(
        replace(agent, share=agent.share * (after / before if agent.name in names else rest)) for agent in agents
    )


def _named(problem: Problem, path: str) -> tuple[list[Agent], str]:
    _, _, rest = path.partition(".")
    name, _, quantity = rest.rpartition(".")
    found = [agent for agent in problem.agents if fnmatchcase(agent.name, name)]
    if quantity not in QUANTITIES or not found:
        known = ", ".join(agent.name for agent in problem.agents)
        message = f"expected agents.NAME.{{{', '.join(QUANTITIES)}}}; agents of this study: {known}"
        raise SpecError([Mistake("", 0, 0, path, message)])
    return found, quantity


def _longest(table: Steps) -> Longest:
    order = np.argsort(table.session, kind="stable")
    starts = np.flatnonzero(np.diff(table.session[order], prepend=-1))
    peak = np.maximum.reduceat(table.held[order], starts)
    return Longest(*np.quantile(peak, _LONGEST).tolist())
