"""Break-even values in sentences and tables, and as CSV."""

import csv
import io
from collections.abc import Sequence

import numpy as np

from dse.facts import units
from dse.insight import wording
from dse.insight.paths import words
from dse.insight.sensitivity.breakeven import ASKED, ENTERS, Breakeven, Criterion, Crossing
from dse.insight.table import Table, lines, wrapped

DRAWN = 5
"""Points of the curve that the table of a terminal shows, evenly spread."""

BEYOND = 8.0
"""Advantages beyond this have no measure: only one side attains the levels [decades]."""


def text(own: Breakeven) -> list[str]:
    """Break-even of one choice: the answer, the table, what is held fixed."""
    made = [f"{own.choice}: at which {words(own.path)} ({own.path}) does it pay?", ""]
    made += [line for said in answers(own) for line in wrapped("  ", said, "    ")]
    made += ["", "  advantage of the choice", *table(own), ""]
    return [*made, *wrapped("  ", fixed(own), "    "), f"  analytic estimate, prices {own.prices}"]


def answers(own: Breakeven) -> list[str]:
    """Answer by each criterion; lettered designs with the same answer share a sentence."""
    said: dict[str, list[str]] = {}
    for item in own.criteria:
        said.setdefault(_answer(own, item), []).append(item.name)
    return [f"{', '.join(names)}: {words}" for words, names in said.items()]


def _answer(own: Breakeven, item: Criterion) -> str:
    """Answer by one criterion."""
    entry = item.name == ENTERS
    if item.always is not None:
        tried = f"from {value(own, own.values[0])} to {value(own, own.values[-1])}"
        if entry:
            return f"{'yes' if item.always else 'no'}, at any value {tried}"
        return f"the choice is {'cheaper' if item.always else 'dearer, or does not get there,'} at any value {tried}"
    if not item.crossings:
        return "neither side attains these levels at any value tried"
    spans = wording.listed(_spans(own, item.crossings))
    within = max(max(one.high / one.value, one.value / one.low) - 1 for one in item.crossings)
    jumps = [value(own, crossing.value) for crossing in item.crossings if crossing.jump]
    how = f"; one side stops attaining the levels at {wording.listed(jumps)}" if jumps else ""
    found = f"{spans} (known within {wording.percent(within)}, stated {value(own, own.base)}{how})"
    return found if entry else f"the choice is cheaper {found}"


def _spans(own: Breakeven, crossings: Sequence[Crossing]) -> list[str]:
    """Stretches of the number in which the choice pays."""
    made, start = [], ""
    for crossing in crossings:
        here = value(own, crossing.value)
        if not crossing.pays_below:
            start = here
        else:
            made.append(f"between {start} and {here}" if start else f"below {here}")
            start = ""
    return [*made, f"above {start}"] if start else made


def table(own: Breakeven) -> list[str]:
    """Advantage of the choice along the number."""
    places = np.linspace(0, len(own.values) - 1, DRAWN).round().astype(int).tolist()
    heads = [value(own, own.values[place]) for place in places]
    rows = [(item.name, *(_gain(item.advantage[place]) for place in places)) for item in own.criteria]
    return lines(Table((words(own.path), *heads), tuple(rows)))


def fixed(own: Breakeven) -> str:
    """What is held fixed, and what was looked at."""
    searched = "searched anew at each of these values" if own.searched else "from the run's front, not a new search"
    mapped = ", ".join(value(own, number) for number in own.mapped)
    levels = "its latency over its target" if own.path.startswith(ASKED) else "its other objectives"
    return (
        f"held fixed: everything but {words(own.path)}; levels of a lettered design: {levels}, 5 % worse. Looked "
        f"at: {own.designs[0]} architectures with the choice ({own.rows[0]} mapped systems) and {own.designs[1]} "
        f"without ({own.rows[1]}), {searched}; mappings chosen anew at {mapped}. A gain is the part of the first "
        "objective that the choice saves, or by how much it lies before the front of the others; only: the other side "
        "does not attain the levels"
    )


def value(own: Breakeven, number: float) -> str:
    """Value of the varied number with its unit, or as a multiple of what is stated."""
    if own.unit == "1" and own.base == 1:
        return f"{wording.number(number)}x"
    return units.show(number, own.unit)


def _gain(decades: float) -> str:
    if not np.isfinite(decades):
        return "neither"
    if abs(decades) > BEYOND:
        return "only" if decades > 0 else "none"
    saved = 1 - 10.0**-decades
    return wording.percent(saved).replace("-", "−") if abs(saved) > 5e-5 else "0 %"


def csv_text(found: Sequence[Breakeven]) -> str:
    """Curves and crossings of several break-evens, one row each."""
    made = io.StringIO()
    writer = csv.writer(made, lineterminator="\n")
    writer.writerow(["kind", "choice", "path", "unit", "criterion", "value", "low", "high", "advantage [decades]"])
    for own in found:
        for item in own.criteria:
            start = (own.choice, own.path, own.unit, item.name)
            for x, gain in zip(own.values, item.advantage, strict=True):
                writer.writerow(["curve", *start, f"{x:.6g}", "", "", f"{gain:.6g}"])
            for crossing in item.crossings:
                numbers = (crossing.value, crossing.low, crossing.high)
                writer.writerow(["crossing", *start, *(f"{number:.6g}" for number in numbers), "0"])
    return made.getvalue()
