"""The largest rate at which a design still meets its targets, by bisection over replays."""

from collections.abc import Callable
from dataclasses import replace
from typing import NamedTuple

import numpy as np

from dse.replay.outcome import Outcome
from dse.replay.scenario import Plan, Replayed, Scenario, play

TOLERANCE = 0.02
"""Width of the bracket at which the search ends, as a share of the rate [1]."""

WIDEST = 5
"""Doublings or halvings of the rate before the search gives up [1]."""


class Targets(NamedTuple):
    """Latency targets at a percentile."""

    ttft: float
    tpot: float
    level: float
    """Percentile [1]."""


class Best(NamedTuple):
    """Result of the search."""

    rate: float
    """Tasks per second; 0 where even the slowest tried misses the targets [1/s]."""
    replayed: Replayed
    """At that rate, or at the slowest tried."""
    tried: tuple[tuple[float, bool], ...]
    """Every rate with whether it met the targets."""


def targets(scenario: Scenario) -> Targets:
    """Targets of the class, at the percentile of the study."""
    shape = scenario.served.plan.classes[scenario.served.agent].shape
    return Targets(shape.ttft_slo, shape.tpot_slo, scenario.served.plan.operation.percentile / 100)


def meets(outcome: Outcome, wanted: Targets) -> bool:
    """Whether the requests that count meet both targets at the percentile, and as many end as come."""
    if outcome.ttft.size == 0 or outcome.counts.rejected > 0:
        return False
    tpot = outcome.tpot
    late = float(np.quantile(outcome.ttft, wanted.level)) > wanted.ttft
    slow = tpot.size > 0 and float(np.quantile(tpot, wanted.level)) > wanted.tpot
    return not late and not slow


def find_rate(scenario: Scenario, plan: Plan, tried: Callable[[float, bool], None] | None = None) -> Best:
    """Bisect the largest rate of tasks that meets the targets on the instances of the starting rate."""
    wanted = targets(scenario)
    first = play(scenario, plan)
    held = replace(plan, size=first.size)
    known: dict[float, Replayed] = {}
    said: list[tuple[float, bool]] = []

    def good(rate: float) -> bool:
        known[rate] = first if rate == first.tasks_per_s else play(scenario, replace(held, rate=rate))
        if known[rate].outcome.interrupted:
            raise KeyboardInterrupt
        said.append((rate, meets(known[rate].outcome, wanted)))
        if tried is not None:
            tried(*said[-1])
        return said[-1][1]

    try:
        return _bisected(first, known, said, good)
    except KeyboardInterrupt:
        best = max((rate for rate, fine in said if fine), default=0.0)
        return Best(best, known.get(best, first), tuple(said))


def _bisected(
    first: Replayed, known: dict[float, Replayed], said: list[tuple[float, bool]], good: Callable[[float], bool]
) -> Best:
    """Double or halve until the targets are on the other side, then halve the bracket."""
    low = high = first.tasks_per_s
    fine = good(low)
    for _ in range(WIDEST):
        low, high = (high, 2 * high) if fine else (low / 2, low)
        if good(high if fine else low) != fine:
            break
    else:
        rate = high if fine else 0.0
        return Best(rate, known[high if fine else low], tuple(said))
    while high / low > 1 + TOLERANCE:
        middle = (low * high) ** 0.5
        low, high = (middle, high) if good(middle) else (low, middle)
    return Best(low, known[low], tuple(said))
