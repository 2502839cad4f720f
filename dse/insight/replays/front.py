"""Every lettered design of a run replayed in its steady state: analytic over simulated, class by class."""

from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

from dse.insight.replays.answer import Answer, answer
from dse.insight.replays.case import scenarios
from dse.insight.runs import Opened
from dse.insight.table import Table
from dse.insight.wording import cell
from dse.replay.design import size
from dse.replay.scenario import LIVES, Plan, Scenario, play
from dse.search.evaluation import Evaluator

STEPS = 30_000
"""Model calls measured per design and class: the 95th percentile then scatters by a few percent [1]."""

METRICS = {"tasks_per_s": "tasks/s", "ttft_mean": "TTFT mean", "ttft_p95": "TTFT p95", "tpot": "TPOT"}
"""Metrics that are compared as ratios."""


class Limits(NamedTuple):
    """How far analytic and simulated may be apart."""

    tasks_per_s: float = 0.10
    tpot: float = 0.10
    hit_rate: float = 0.05
    ttft_p95: float = 0.30


LIMITS = Limits()
"""Targets of agreement [1]."""


class Row(NamedTuple):
    """One class on one design."""

    design: str
    agent: str
    ratios: dict[str, float]
    """Metric -> analytic over simulated [1]."""
    hits: tuple[float, float]
    """Hit rate, analytic and simulated [1]."""
    within: bool
    """Whether all limits hold."""
    made: Answer

    def json(self) -> dict[str, Any]:
        """For programs."""
        values = {"analytic": dict(self.made.predicted), "simulated": dict(self.made.simulated)}
        head = {"design": self.design, "agent": self.agent, "within": self.within, "ratio": self.ratios}
        return head | values | {"utilisation": dict(self.made.utilisation), "requests": self.made.counts["finished"]}


def rows(
    opened: Opened,
    seed: int = 0,
    steps: int = STEPS,
    agent: str | None = None,
    told: Callable[[str, str], None] | None = None,
) -> Iterator[Row]:
    """Replay the lettered designs one after the other."""
    evaluator = Evaluator.of(opened.problem)
    for pick in opened.picks:
        for own in scenarios(opened, pick.row, agent, None, evaluator):
            if told is not None:
                told(pick.letter, own.agent)
            yield row(pick.letter, own, seed, steps)


def row(letter: str, own: Scenario, seed: int, steps: int) -> Row:
    """Replay one class at the rate that the closed form gives its whole instances."""
    whole, said = size(own.served), own.predicted()
    span = max(steps / whole.steps_per_s, LIVES * said["task_latency"] / own.steps_per_task)
    plan = Plan(whole.steps_per_s / own.steps_per_task, span, False, seed, whole)
    replayed = play(own, plan)
    if replayed.outcome.interrupted:
        raise KeyboardInterrupt
    made = answer(replayed, letter)
    ratios = {
        name: made.predicted[name] / made.simulated[name] if made.simulated[name] > 0 else float("inf")
        for name in METRICS
    }
    hits = (made.predicted["hit_rate"], made.simulated["hit_rate"])
    within = abs(hits[0] - hits[1]) <= LIMITS.hit_rate and all(
        1 - limit <= ratios[name] <= 1 / (1 - limit) for name, limit in LIMITS._asdict().items() if name != "hit_rate"
    )
    return Row(letter, own.agent, ratios, hits, within, made)


def table(found: list[Row]) -> Table:
    """Analytic over simulated of every class."""
    lines = []
    for own in found:
        ratios = (cell(own.ratios[name]) for name in METRICS)
        hits = (f"{100 * value:.1f}" for value in own.hits)
        lines.append((f"{own.design}  {own.agent}", *ratios, *hits, "yes" if own.within else "no"))
    heads = (*METRICS.values(), "hits % said", "seen", "in target")
    return Table(("analytic/simulated", *heads), tuple(lines))
