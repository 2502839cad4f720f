"""Two designs side by side: choices that differ, metrics with the direction of their ratio, what caused the change."""

import math
from collections.abc import Mapping
from typing import NamedTuple

import numpy as np

from dse.facts.metrics import METRICS
from dse.insight import wording
from dse.insight.explain import Explanation, explain
from dse.insight.runs import Opened
from dse.insight.table import Table, shortened
from dse.insight.terms import Section
from dse.insight.verdict import SMALL_GAIN
from dse.search.frontier import ParetoSet

METRIC_NAMES = ("ttft_p95", "tpot", "task_latency", "cost_per_mtok", "energy_per_task", "hit_rate", "retention")
"""Compared beside the objectives."""

SECTIONS = {
    "cost": "cost",
    "cost_per_mtok": "cost",
    "tpot": "tpot",
    "tpot_full": "tpot",
    "ttft_p50": "ttft",
    "ttft_p95": "ttft",
    "ttft_p99": "ttft",
    "latency": "step",
    "step_latency": "step",
    "task_latency": "step",
}
"""Metric -> section of an explanation whose terms make it up."""


SUMMED = frozenset({"cost", "cost_per_mtok"})
"""Metrics of a mixture that are sums over its classes by share; the others are those of the worst class."""


LONGEST = 20
"""Characters of a name from which tables leave out the run that both designs share."""


class Comparison(NamedTuple):
    """What differs between two designs."""

    names: tuple[str, str]
    choices: dict[str, tuple[str, str]]
    """Lever or mapping -> both values."""
    metrics: dict[str, dict[str, float | str]]
    """Metric -> both values in SI, the ratio, the unit, whether the second is better, and the term behind it."""


class Cause(NamedTuple):
    """The term that changed most."""

    agent: str
    """Class of agents, empty where there is one."""
    term: str
    before: float
    after: float
    unit: str
    shares: tuple[float, float]
    """Part of the total of its section in both designs [1]."""

    def words(self) -> str:
        """Term with both values."""
        before, after = (wording.quantity(value, self.unit) for value in (self.before, self.after))
        unit = after.rpartition(" ")[2]
        whose = f" of {self.agent}" if self.agent else ""
        return f"{self.term}{whose} {before.removesuffix(f' {unit}')} → {after}"


def compare(first: tuple[Opened, int], second: tuple[Opened, int], names: tuple[str, str]) -> Comparison:
    """Compare two rows, of one run or of two."""
    fronts = [opened.front for opened, _ in (first, second)]
    rows = (first[1], second[1])
    levers = [front.levers(row) for front, row in zip(fronts, rows, strict=True)]
    maps = [mapping_words(front, row) for front, row in zip(fronts, rows, strict=True)]
    choices = {
        name: (wording.lever_word(name, levers[0].get(name, "")), wording.lever_word(name, levers[1].get(name, "")))
        for name in dict.fromkeys((*levers[0], *levers[1]))
        if levers[0].get(name) != levers[1].get(name)
    }
    choices |= {
        name: (maps[0].get(name, ""), maps[1].get(name, ""))
        for name in dict.fromkeys((*maps[0], *maps[1]))
        if maps[0].get(name) != maps[1].get(name)
    }
    question = fronts[0].question
    wanted = dict.fromkeys((*(goal.name for goal in question.goals), *METRIC_NAMES))
    columns = [front.archive.metrics.columns for front in fronts]
    told = (explain(*first, names[0]), explain(*second, names[1]))
    metrics: dict[str, dict[str, float | str]] = {}
    for name in wanted:
        if not all(name in own for own in columns):
            continue
        one, two = (float(own[name][row]) for own, row in zip(columns, rows, strict=True))
        ratio = two / one if one else float("inf")
        verdict = _verdict(name, ratio)
        found = cause(name, *told, _weights(name, second)) if verdict != SAME else None
        metrics[name] = {
            "first": one,
            "second": two,
            "ratio": ratio,
            "unit": question.unit(name),
            "verdict": verdict,
            "cause": found.words() if found else "",
        }
    return Comparison(_brief(names), choices, metrics)


def _brief(names: tuple[str, str]) -> tuple[str, str]:
    """Names of two designs; those of one run lose its name where that is long.

    >>> _brief(("last:A", "last:B")), _brief(("flagship/20261121T104030Z:A", "flagship/20261121T104030Z:B"))
    (('last:A', 'last:B'), ('A', 'B'))
    """
    (one, _, first), (two, _, second) = (name.rpartition(":") for name in names)
    return (first, second) if one == two and first != second and max(map(len, names)) > LONGEST else names


def cause(
    metric: str, first: Explanation, second: Explanation, weights: Mapping[str, float] | None = None
) -> Cause | None:
    """Term of a metric that changed most between two designs; None for a metric without terms.

    ``weights`` say how much each class of agents counts; all alike where there are none.
    """
    agent, _, last = metric.rpartition(".")
    section = SECTIONS.get(last)
    if section is None:
        return None
    known = {item.name: item.sections for item in second.classes}
    found = [
        own
        for item in first.classes
        if item.name in known and agent in ("", item.name)
        for own in _causes(item.name, item.sections[section], known[item.name][section])
    ]
    if not found:
        return None
    counted = dict(weights or {})
    largest = max(found, key=lambda own: abs(own.after - own.before) * counted.get(own.agent, 1.0))
    return largest if len(first.classes) > 1 else largest._replace(agent="")


def _weights(metric: str, design: tuple[Opened, int]) -> dict[str, float]:
    """How much each class counts in a metric of the mixture: its share in a sum, else only the worst class."""
    opened, row = design
    agents = opened.problem.agents
    if metric in SUMMED:
        return {agent.name: agent.share for agent in agents}
    columns = opened.front.archive.metrics.columns
    values = {agent.name: float(columns.get(f"{agent.name}.{metric}", np.zeros(row + 1))[row]) for agent in agents}
    worst = max(values, key=lambda name: values[name])
    return {name: float(name == worst) for name in values}


def _causes(agent: str, before: Section, after: Section) -> list[Cause]:
    """Every term of a section in both designs; one that is absent adds nothing."""
    old, new = ({term.name: term for term in section.terms} for section in (before, after))
    made = []
    for name in dict.fromkeys((*old, *new)):
        terms = [own.get(name) for own in (old, new)]
        values = [term.value if term else 0.0 for term in terms]
        shares = [(term.share or 0.0) if term else 0.0 for term in terms]
        unit = next(term.unit for term in terms if term)
        made.append(Cause(agent, name, values[0], values[1], unit, (shares[0], shares[1])))
    return made


def sentences(found: Comparison) -> list[tuple[str, str]]:
    """What the second design does better and worse than the first, the largest ratio first, and what is behind it."""
    ranked = sorted(found.metrics.items(), key=lambda item: -abs(_decades(float(item[1]["ratio"]))))
    said = []
    for verdict in ("better", "worse"):
        names = [
            f"{wording.metric_name(name)} {wording.cell(float(own['ratio']))}x"
            for name, own in ranked
            if own["verdict"] == verdict
        ]
        said.append((verdict, ", ".join(names) or "in nothing that is compared"))
    cause = next(
        (f"{wording.metric_name(name)} changes most by {own['cause']}" for name, own in ranked if own["cause"]), ""
    )
    return [*said, ("cause", cause)] if cause else said


def _decades(ratio: float) -> float:
    return math.log10(ratio) if 0 < ratio < math.inf else math.inf


ROOM, SHORTEST = 60, 16
"""Characters of a line that the other columns leave to a cause and both names, and the least that a cause gets."""


def tables(found: Comparison, whole: bool = False) -> list[Table]:
    """Choices and metrics, as tables; unless they may be as wide as they like, causes are cut to a terminal."""
    room = max(ROOM - 2 * max(map(len, found.names)), SHORTEST)
    head = (found.names[0], found.names[1])
    rows = []
    for name, own in found.metrics.items():
        shown = wording.display(name, str(own["unit"]))
        values = [wording.cell(float(own[side]) / shown.size) for side in ("first", "second")]
        ratio, verdict = f"{wording.cell(float(own['ratio']))}x", str(own["verdict"])
        text = str(own["cause"]) if whole else shortened(str(own["cause"]), room)
        rows.append((wording.heading(name, str(own["unit"])), *values, ratio, verdict, text))
    choices = tuple((wording.lever_name(name), *pair) for name, pair in found.choices.items())
    return [
        Table(("choice", *head), choices),
        Table(("metric", *head, "ratio", "", "largest change"), tuple(rows), frozenset({0, 4, 5})),
    ]


SAME = "same"
"""Verdict on two values that the model cannot tell apart."""


def _verdict(name: str, ratio: float) -> str:
    if abs(ratio - 1) <= SMALL_GAIN:
        return SAME
    metric = METRICS.get(name.rsplit(".", 1)[-1])
    if metric is None:
        return ""
    return "better" if (ratio > 1) == (metric.better == "higher") else "worse"


def mapping_words(front: ParetoSet, row: int) -> dict[str, str]:
    """How software uses one design, codes in words."""
    return {name: front.question.word(name, code) for name, code in front.mapping(row).items()}
