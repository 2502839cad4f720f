"""Every lettered design of a run replayed in its steady state: analytic over simulated, class by class and load."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from typing import Any, NamedTuple

from dse.insight.replays.answer import Answer, answer
from dse.insight.replays.case import scenarios
from dse.insight.runs import Opened
from dse.insight.table import Table
from dse.insight.wording import cell
from dse.replay.design import size
from dse.replay.refit import loaded
from dse.replay.scenario import LIVES, Plan, Scenario, play
from dse.search.evaluation import Evaluator

STEPS = 30_000
"""Model calls measured per design and class: the 95th percentile then scatters by a few percent [1]."""

UTILISATIONS = (0.5, 0.8)
"""Loads of the pools that are replayed beside that of the study [1]."""

METRICS = {"tasks_per_s": "tasks/s", "ttft_mean": "TTFT mean", "ttft_p95": "TTFT p95", "tpot": "TPOT"}
"""Metrics that are compared as ratios."""


class Limits(NamedTuple):
    """How far the analytic figure may be from the simulated one, as part of it; hit rates as their difference."""

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
    load: float
    """Utilisation for which the instances are sized [1]."""
    ratios: dict[str, float]
    """Metric -> analytic over simulated [1]."""
    hits: tuple[float, float]
    """Hit rate, analytic and simulated [1]."""
    made: Answer

    @property
    def kept(self) -> dict[str, bool]:
        """Metric -> whether its limit holds; that of the 95th percentile is held against the mean too."""
        hit_rate = abs(self.hits[0] - self.hits[1]) <= LIMITS.hit_rate
        limits = LIMITS._asdict() | {"ttft_mean": LIMITS.ttft_p95}
        return {name: abs(self.ratios[name] - 1) <= limits[name] for name in METRICS} | {"hit_rate": hit_rate}

    @property
    def within(self) -> bool:
        """Whether all targets are met."""
        return all(self.kept[name] for name in LIMITS._fields)

    def json(self) -> dict[str, Any]:
        """For programs."""
        values = {"analytic": dict(self.made.predicted), "simulated": dict(self.made.simulated)}
        head = {
            "design": self.design,
            "agent": self.agent,
            "load": self.load,
            "within": self.within,
            "ratio": self.ratios,
        }
        return head | values | {"utilisation": dict(self.made.utilisation), "requests": self.made.counts["finished"]}


def rows(
    opened: Opened,
    seed: int = 0,
    steps: int = STEPS,
    agent: str | None = None,
    told: Callable[[str, str], None] | None = None,
) -> Iterator[Row]:
    """Replay the lettered designs one after the other, each class at every load."""
    evaluator, stated = Evaluator.of(opened.problem), opened.problem.serving.utilisation
    for pick in opened.picks:
        for own in scenarios(opened, pick.row, agent, None, evaluator):
            if told is not None:
                told(pick.letter, own.agent)
            for load in sorted({stated, *UTILISATIONS}):
                there = own if load == stated else replace(own, served=loaded(own.served, load))
                yield row(pick.letter, there, seed, steps)


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
    return Row(letter, own.agent, own.served.plan.operation.utilisation, ratios, hits, made)


def table(found: list[Row]) -> Table:
    """Analytic over simulated of every class."""
    lines = []
    for own in found:
        ratios = (cell(own.ratios[name]) for name in METRICS)
        hits = (f"{100 * value:.1f}" for value in own.hits)
        lines.append((f"{own.design}  {own.agent}  {own.load:g}", *ratios, *hits, "yes" if own.within else "no"))
    heads = (*METRICS.values(), "hits % said", "seen", "in target")
    return Table(("analytic/simulated", *heads), tuple(lines))


def summary(found: Sequence[Row]) -> Table:
    """How many classes are within each target, by load."""
    names = {**METRICS, "hit_rate": "hits"}
    lines = []
    for load in sorted({own.load for own in found}):
        rows = [own for own in found if own.load == load]
        counts = (str(sum(own.kept[name] for own in rows)) for name in names)
        lines.append((f"{load:g}", *counts, str(sum(own.within for own in rows)), str(len(rows))))
    return Table(("within, at load", *names.values(), "targets", "of"), tuple(lines))


def missed(found: Sequence[Row]) -> list[str]:
    """Where a target is missed, and by what: one line per load and metric."""
    names = {**METRICS, "hit_rate": "hits"}
    lines = []
    for load in sorted({own.load for own in found}):
        for name in LIMITS._fields:
            rows = [own for own in found if own.load == load and not own.kept[name]]
            if rows:
                said = (f"{own.design} {own.agent} {_apart(own, name)}" for own in rows)
                lines.append(f"{names[name]} at load {load:g}: {', '.join(said)}")
    return lines


def _apart(own: Row, name: str) -> str:
    """How far analytic and simulated are apart."""
    if name == "hit_rate":
        return f"{100 * (own.hits[0] - own.hits[1]):+.0f} points"
    return cell(own.ratios[name])
