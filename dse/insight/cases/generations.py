"""Splitwise, arXiv 2311.18677: which phase belongs on the newer part."""

from dse.facts.problem import Problem
from dse.insight.cases.answers import Answers
from dse.insight.cases.relation import Relation, above
from dse.search.scoring.supply import system_capital

OLD, NEW = "a100_80g_sxm", "h100_sxm"

SOURCE_PRICE_RATIO = 38 / 17.6
"""Hourly price of a machine with eight H100 over one with eight A100 in the source, table 1 [1]."""

PRICES_GAP = (
    "at today's estimates a H100 system costs 1.4 of an A100 system and decodes 1.7 times as fast; at the price ratio "
    "of the source the mix wins (row above)"
)


def relations(problem: Problem) -> tuple[Relation, ...]:
    """Equal cost, equal power, and the mix at two price ratios."""
    today, then = Answers.of(problem), Answers.of(_with_source_prices(problem))
    together = today.where(serving="colocated", decode__device=NEW)
    apart = _pair(today, NEW, NEW)
    old_power = 1 / _pair(today, NEW, OLD).best("throughput")
    new_power = 1 / _pair(today, OLD, NEW).best("throughput")
    return (
        above(
            "cost per task on H100, one machine for both phases over split phases",
            together.best("cost") / apart.best("cost"),
            unit="x",
        ),
        above(
            "tasks per joule on H100, split phases over one machine",
            apart.best("throughput") / together.best("throughput"),
            unit="x",
        ),
        above(
            "of the mixed pairs the newer part belongs on prompts: energy per task, A100 + H100 over H100 + A100",
            new_power / old_power,
            unit="x",
        ),
        above(
            "cost per task, H100 for both over H100 prompts + A100 tokens, at the price ratio of the source",
            _mix(then),
            unit="x",
        ),
        above("the same at today's prices", _mix(today), unit="x", gap=PRICES_GAP),
    )


def _pair(answers: Answers, prefill: str, decode: str) -> Answers:
    return answers.where(serving="disaggregated", prefill__device=prefill, decode__device=decode)


def _mix(answers: Answers) -> float:
    return _pair(answers, NEW, NEW).best("cost") / _pair(answers, NEW, OLD).best("cost")


def _with_source_prices(problem: Problem) -> Problem:
    """Problem whose A100 system costs per hour what the source's ratio makes of the H100 system."""
    old, new = problem.devices[OLD], problem.devices[NEW]
    assert old.price is not None
    wanted = system_capital(new, problem.prices) / SOURCE_PRICE_RATIO
    price = old.price.likely - (system_capital(old, problem.prices) - wanted)
    return problem.with_values({f"devices.{OLD}.price.likely": price})
