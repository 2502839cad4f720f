"""Four questions of system design that have a break-even for an answer, asked of any run."""

from collections import Counter
from collections.abc import Callable, Mapping
from typing import NamedTuple

from dse.facts.errors import Mistake, SpecError
from dse.facts.problem import Problem
from dse.insight.runs import Opened
from dse.insight.sensitivity.breakeven import Breakeven, Search, Span, breakeven
from dse.insight.sensitivity.choices import choice, sides

MOSTLY = 0.98
"""Largest share of the tasks that one class is given [1]."""


class Asked(NamedTuple):
    """One break-even: a choice, the number that is varied, and how far."""

    choice: str
    path: str
    span: Span


def _optics(_: Opened) -> list[Asked]:
    return [Asked("optical_bandwidth!=0", "prices.optics", Span(0.03, 30))]


def _pool(_: Opened) -> list[Asked]:
    return [
        Asked("pool.technology!=none", "agents.*.context", Span(0.25, 2.5, 13)),
        Asked("pool.technology!=none", "agents.*.gap", Span(0.1, 100, 13)),
    ]


def _hbm(opened: Opened) -> list[Asked]:
    return [Asked("decode.memory_scale!=1", f"prices.memory.{_package_memory(opened)}", Span(0.03, 30))]


def _mixture(opened: Opened) -> list[Asked]:
    agents = opened.problem.agents
    if len(agents) < 2:
        raise SpecError([Mistake("--question", 0, 0, "mixture", "the study has one class of agents: nothing to mix")])
    return [
        Asked("devices=mixed", f"agents.{agent.name}.share", Span(0.05, MOSTLY / agent.share, 13)) for agent in agents
    ]


QUESTIONS: Mapping[str, tuple[str, Callable[[Opened], list[Asked]]]] = {
    "optics": ("below which price per GB/s does optical I/O pay?", _optics),
    "pool": ("from which context length or pause between steps does a memory pool pay?", _pool),
    "hbm": ("how much is further HBM worth on a decode part?", _hbm),
    "mixture": ("at which mixture of agents do several device types pay?", _mixture),
}
"""Name -> the question in words, and what to ask a run."""


def asked(opened: Opened, name: str) -> list[Asked]:
    """Break-evens that answer a question."""
    if name not in QUESTIONS:
        raise SpecError([Mistake("--question", 0, 0, name, f"expected one of {', '.join(QUESTIONS)}")])
    return QUESTIONS[name][1](opened)


def answer(opened: Opened, item: Asked, anew: Search | None = None) -> Breakeven:
    """Break-even of one question: the same numbers wherever it is asked."""
    taken = choice(opened, item.choice)
    return breakeven(sides(opened, taken), taken, item.path, item.span, anew)


def _package_memory(opened: Opened) -> str:
    """Memory technology of most decode devices on the front that has a price."""
    problem: Problem = opened.problem
    counts: Counter[str] = Counter()
    for row in range(len(opened.front)):
        memory = problem.devices[str(opened.front.levers(row)["decode.device"])].memory
        if memory is not None and memory.technology in problem.prices.memory:
            counts[memory.technology] += 1
    if not counts:
        raise SpecError([Mistake("--question", 0, 0, "hbm", "no decode device has a memory with a price")])
    return counts.most_common(1)[0][0]
