"""The two sides of a choice: architectures of a run with a lever set one way, and set the other way."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any, NamedTuple

import numpy as np

from dse.arrays import BoolArray, FloatArray
from dse.facts import levers
from dse.facts.errors import Mistake, SpecError, did_you_mean
from dse.facts.levers import NONE
from dse.facts.problem import Problem
from dse.insight.runs import Opened
from dse.insight.sensitivity.candidates import relaxed, thinned
from dse.search.ask import ask
from dse.search.axes import Designs
from dse.search.metrics import minimised
from dse.search.question import Question

MIXED = "devices"
"""Choice that no lever makes by itself: whether a system has several device types."""

STARTS = 12
"""Designs of the front from which both sides are made, the lettered ones among them."""

MOST = 96
"""Architectures of a side; more are thinned evenly."""

OFFERED: Mapping[str, tuple[str | float, ...]] = {
    "optical_bandwidth": (0.0, 100e9, 400e9, 1200e9),
    "pool.technology": (NONE, "cxl_ddr5"),
    "pool.capacity": (512e9, 2e12),
    "decode.memory_scale": (1.0, 1.5),
}
"""Choices that are tried where a study holds the lever at one value."""


class Choice(NamedTuple):
    """What is in question: a lever that takes one of some choices, or does not."""

    text: str
    """As it was typed."""
    lever: str
    wanted: frozenset[Any]
    inverted: bool
    """Whether the choices named are those that are not taken."""

    def taken(self, problem: Problem, designs: Designs) -> BoolArray:
        """Which designs take the choice."""
        if self.lever == MIXED:
            kinds = np.array([len(device_types(problem, designs, row)) > 1 for row in range(len(designs))], dtype=bool)
            return np.asarray(kinds != self.inverted, dtype=bool)
        choices = problem.levers[self.lever]
        chosen = np.array([choice in self.wanted for choice in choices])[_index(designs, self.lever)]
        return np.asarray(chosen != self.inverted, dtype=bool)

    def split(self, sides: "Sides", designs: Designs) -> tuple[Designs, Designs]:
        """Designs that take the choice, and the others."""
        taken = self.taken(sides.problem, designs)
        return designs.take(taken), designs.take(~taken)


@dataclass(frozen=True)
class Sides:
    """Architectures on either side of a choice."""

    problem: Problem
    """Of the run, its levers widened where the choice needs it."""
    question: Question
    taken: Designs
    other: Designs
    letters: tuple[str, ...]
    """Lettered designs of the run."""
    levels: FloatArray
    """(letters, k) objectives just behind them, turned so that less is better."""


def choice(opened: Opened, text: str) -> Choice:
    """Choice as typed: `NAME=CHOICE|CHOICE`, `NAME!=CHOICE`, or `devices=mixed`."""
    name, mark, listed = text.partition("=")
    inverted = name.endswith("!")
    name = name.removesuffix("!").strip()
    if not mark or not listed:
        raise _refused(text, "expected NAME=CHOICE|CHOICE or NAME!=CHOICE, for example pool.technology!=none")
    if name == MIXED:
        if listed not in ("mixed", "single"):
            raise _refused(text, "expected devices=mixed or devices=single")
        return Choice(text, MIXED, frozenset(), (listed == "single") != inverted)
    if name not in levers.REGISTRY:
        raise _refused(text, f'there is no lever "{name}".{did_you_mean(name, levers.REGISTRY)}')
    lever, problem = levers.REGISTRY[name], opened.problem
    tables: Mapping[str, Mapping[str, object]] = {
        "device": problem.devices,
        "topology": problem.topologies,
        "pool": problem.memories,
        "technique": problem.techniques,
    }
    known = tables.get(lever.kind, {})
    try:
        wanted = frozenset(
            levers.choice(lever, _written(item.strip(), lever.kind), dict(known)) for item in listed.split("|")
        )
    except ValueError as error:
        raise _refused(text, str(error)) from None
    return Choice(text, name, wanted, inverted)


def sides(opened: Opened, own: Choice) -> Sides:
    """Both sides of a choice, from designs of the front of a run."""
    problem = _widened(opened.problem, own)
    question = ask(problem)
    front = opened.front
    picks = [pick.row for pick in opened.picks]
    count = max(STARTS - len(picks), 0)
    spread = thinned(front.archive.scores[: len(front)], 10 * STARTS)
    rows = list(dict.fromkeys([*picks, *spread[np.linspace(0, len(spread) - 1, count).astype(int)].tolist()]))
    starts = [{name: c for name, c in front.levers(row).items() if c != "inert"} for row in rows]
    made = [dict(item) for start in starts for item in _either(problem, own, start)]
    designs = question.space.encode(*made)
    unique = np.unique(designs.rows, axis=0, return_index=True)[1]
    designs = designs.take(np.sort(unique))
    taken = own.taken(problem, designs)
    if taken.all() or not taken.any():
        raise _refused(own.text, "all designs considered are on one side of this choice")
    levels = relaxed(minimised(front.archive.metrics, question.goals)[picks])
    letters = tuple(pick.letter for pick in opened.picks)
    return Sides(problem, question, _some(designs.take(taken)), _some(designs.take(~taken)), letters, levels)


def device_types(problem: Problem, designs: Designs, row: int) -> set[str]:
    """Device types of a design."""
    names = ["decode.device", "decode.second_device"]
    if str(_choice(problem, designs, "serving", row)) != "colocated":
        names += ["prefill.device", "prefill.second_device"]
    return {str(_choice(problem, designs, name, row)) for name in names} - {NONE}


def _either(problem: Problem, own: Choice, start: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    """A design as it is, and with the lever at each of its choices, those that depend on the lever included."""
    if own.lever == MIXED:
        kinds = {str(start[name]) for name in start if name.endswith("device")} - {NONE}
        alone: dict[str, Any] = {"prefill.second_device": NONE, "decode.second_device": NONE}
        serving = "disaggregated" if start["serving"] == "attention_offload" else start["serving"]
        single = [
            {**start, **alone, "serving": serving, "prefill.device": kind, "decode.device": kind}
            for kind in sorted(kinds)
            if kind in problem.levers["prefill.device"] and kind in problem.levers["decode.device"]
        ]
        return [start, *single]
    depending = [name for name, lever in levers.REGISTRY.items() if own.lever in dict(lever.inert)]
    made: list[Mapping[str, Any]] = [start]
    for value in problem.levers[own.lever]:
        changed = [{**start, own.lever: value}]
        for name in depending if value != NONE else ():
            changed = [{**item, name: other} for item in changed for other in problem.levers[name]]
        made += changed
    return made


def _widened(problem: Problem, own: Choice) -> Problem:
    """Problem that offers both sides of the choice."""
    if own.lever == MIXED:
        return problem
    rows = dict(problem.levers)
    names = [own.lever, *(name for name, lever in levers.REGISTRY.items() if own.lever in dict(lever.inert))]
    for name in names:
        if len(rows[name]) == 1 and name in OFFERED:
            rows[name] = tuple(dict.fromkeys((*rows[name], *OFFERED[name])))
    missing = sorted(own.wanted - set(rows[own.lever]), key=str)
    rows[own.lever] = (*rows[own.lever], *missing)
    return replace(problem, levers=rows)


def _some(designs: Designs) -> Designs:
    """Designs, evenly thinned where there are many."""
    if len(designs) <= MOST:
        return designs
    return designs.take(np.unique(np.linspace(0, len(designs) - 1, MOST).astype(np.int64)))


def _index(designs: Designs, name: str) -> Any:
    return designs[name] if name in designs.names else np.zeros(len(designs), dtype=np.int64)


def _choice(problem: Problem, designs: Designs, name: str, row: int) -> Any:
    return problem.levers[name][int(_index(designs, name)[row])]


def _written(text: str, kind: str) -> str | float:
    if kind not in ("quantity", "count"):
        return text
    try:
        return float(text)
    except ValueError:
        return text


def _refused(text: str, why: str) -> SpecError:
    return SpecError([Mistake("--lever", 0, 0, text, why)])
