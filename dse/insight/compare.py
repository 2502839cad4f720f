"""Two designs side by side: choices that differ, metrics with the direction of their ratio."""

from typing import NamedTuple

from dse.facts.metrics import METRICS
from dse.insight import wording
from dse.insight.runs import Opened
from dse.insight.table import Table
from dse.insight.verdict import SMALL_GAIN
from dse.search.frontier import ParetoSet

METRIC_NAMES = ("ttft_p95", "tpot", "task_latency", "cost_per_mtok", "energy_per_task", "hit_rate", "retention")
"""Compared beside the objectives."""


class Comparison(NamedTuple):
    """What differs between two designs."""

    names: tuple[str, str]
    choices: dict[str, tuple[str, str]]
    """Lever or mapping -> both values."""
    metrics: dict[str, dict[str, float | str]]
    """Metric -> both values in SI, the ratio, the unit, and whether the second is better."""


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
    metrics: dict[str, dict[str, float | str]] = {}
    for name in wanted:
        if not all(name in own for own in columns):
            continue
        one, two = (float(own[name][row]) for own, row in zip(columns, rows, strict=True))
        ratio = two / one if one else float("inf")
        metrics[name] = {
            "first": one,
            "second": two,
            "ratio": ratio,
            "unit": question.unit(name),
            "verdict": _verdict(name, ratio),
        }
    return Comparison(names, choices, metrics)


def tables(found: Comparison) -> list[Table]:
    """Choices and metrics, as tables."""
    head = (found.names[0], found.names[1])
    rows = []
    for name, own in found.metrics.items():
        shown = wording.display(name, str(own["unit"]))
        values = [wording.cell(float(own[side]) / shown.size) for side in ("first", "second")]
        rows.append(
            (wording.heading(name, str(own["unit"])), *values, f"{float(own['ratio']):.2f}x", str(own["verdict"]))
        )
    choices = tuple((name.replace("_", " "), *pair) for name, pair in found.choices.items())
    return [
        Table(("choice", *head), choices),
        Table(("metric", *head, "ratio", ""), tuple(rows), frozenset({0, 4})),
    ]


def _verdict(name: str, ratio: float) -> str:
    if abs(ratio - 1) <= SMALL_GAIN:
        return "same"
    metric = METRICS.get(name.rsplit(".", 1)[-1])
    if metric is None:
        return ""
    return "better" if (ratio > 1) == (metric.better == "higher") else "worse"


def mapping_words(front: ParetoSet, row: int) -> dict[str, str]:
    """How software uses one design, codes in words."""
    return {name: front.question.word(name, code) for name, code in front.mapping(row).items()}
