"""Any number a study rests on, by its path, and the study with that number changed.

Paths are those of `--set`, and some more: `*` stands for every part (`devices.*.memory.bandwidth`,
`prices.memory.hbm*`), `topologies.NAME.hop_latency` for the latency of an interconnect's links, `calibration.compute`,
`.memory`, `.network` and `.overhead` for the constants of the time model, `agents.NAME.share`, `.gap` and `.context`
for what is asked. Two levers may be varied as if the part got better: `optical_bandwidth` and `pool.capacity` change
the quantity of every design and leave the price of a port or a module as it is. The price of a device without a list
price is the ownership rate that stands for it. A memory whose capacity is varied has denser stacks: how far taller
stacks may enlarge it moves along.
"""

from collections.abc import Mapping
from dataclasses import replace
from fnmatch import fnmatchcase
from typing import Any, NamedTuple

import numpy as np

from dse.facts import places
from dse.facts.errors import Mistake, SpecError
from dse.facts.levers import NATIVE, NONE
from dse.facts.problem import Problem
from dse.facts.topology.network import load_topology
from dse.insight.sensitivity import stretched
from dse.insight.sensitivity.held import Scenario
from dse.physics.calibration import Calibration
from dse.search.scoring.plan import Plan

SECTIONS = ("devices", "memories", "links", "techniques", "prices", "serving")
"""Parts of a problem whose numbers have a path."""

BOUGHT = ("optical_bandwidth", "pool.capacity")
"""Levers that can be varied at an unchanged price of the port or module."""

PRICE, RATE = ".price", "tco.hyperscaler"
"""Price of a device, and the rate that stands for it where there is none."""

TIMES = ("compute", "memory", "network", "overhead")
"""Groups of constants of the time model: shares of the peak, of the bandwidth, of the links, and fixed times."""

_LINK_SHARES = ("efficiency", "direct_efficiency", "in_network_efficiency", "exchange_efficiency")
_LINK_TIMES = ("alpha", "hop", "pipeline", "direct_alpha", "exchange_alpha")
_OVERHEADS = ("layer", "step", "request")


class Knob(NamedTuple):
    """A number that can be varied."""

    path: str
    base: float
    """Stated value [SI]; 1 where the path stands for several values, which are varied by a factor."""
    unit: str
    """SI; 1 for a factor."""


def knob(plan: Plan, path: str) -> Knob:
    """Stated value of the number at a path; SpecError where there is none."""
    problem, (section, _, rest) = plan.problem, path.partition(".")
    if path in BOUGHT:
        return Knob(path, 1.0, "1")
    if section == "topologies" and rest.endswith(".hop_latency"):
        return _hop(problem, path)
    if section == "calibration" and rest in TIMES:
        return Knob(path, 1.0, "1")
    if section == "agents":
        base, unit = stretched.stated(problem, path)
        return Knob(path, base, unit)
    found = _numbers(problem, path)
    if not found:
        raise _unknown(path)
    units = {_unit(problem, name) for name in found}
    same = len(units) == 1 and max(found.values()) == min(found.values())
    return Knob(path, next(iter(found.values())), units.pop()) if same else Knob(path, 1.0, "1")


def varied(plan: Plan, path: str, factor: float) -> Scenario:
    """Problem in which the number, or all numbers, at a path are multiplied by a factor."""
    problem, (section, _, rest) = plan.problem, path.partition(".")
    if path in BOUGHT:
        return Scenario(_bought(problem, path, factor), light=factor if path == BOUGHT[0] else 1.0)
    if section == "topologies":
        names = {NATIVE, *problem.topologies}
        wanted = rest.removesuffix(".hop_latency")
        return Scenario(problem, {name: factor for name in names if fnmatchcase(name, wanted)})
    if section == "calibration":
        return Scenario(problem, calibration=_recalibrated(plan.calibration, rest, factor))
    if section == "agents":
        return Scenario(stretched.changed(problem, path, factor))
    found = _numbers(problem, path)
    if not found:
        raise _unknown(path)
    changed = problem.with_values({name: number * factor for name, number in found.items()})
    return Scenario(_stacked(changed, found, factor))


def _numbers(problem: Problem, path: str) -> dict[str, float]:
    """Path -> stated number, of all paths that a pattern names."""
    section, _, rest = path.partition(".")
    if section not in SECTIONS:
        return {}
    found: dict[str, float] = {}
    for name in _expanded(getattr(problem, section), tuple(rest.split("."))):
        number = _value(problem, section, name)
        if number is not None and places.quantity_at(getattr(problem, section), name) is not None:
            found[f"{section}.{name}"] = number
    if section == "devices" and rest.endswith(PRICE):
        rates = _numbers(problem, f"{path.removesuffix(PRICE)}.{RATE}")
        found |= {name: rate for name, rate in rates.items() if problem.devices[name.split(".")[1]].price is None}
    return found


def _expanded(root: Any, names: tuple[str, ...]) -> list[str]:
    """Dotted paths below a part that a pattern names."""
    if not names:
        return [""]
    known = root if isinstance(root, Mapping) else getattr(type(root), "model_fields", {})
    made = []
    for name in known:
        if fnmatchcase(name, names[0]):
            below = root[name] if isinstance(root, Mapping) else getattr(root, name)
            made += [f"{name}.{end}".rstrip(".") for end in _expanded(below, names[1:])] if below is not None else []
    return made


def _value(problem: Problem, section: str, path: str) -> float | None:
    """Number at a path; of a range the end that is used."""
    here: Any = getattr(problem, section)
    names = path.split(".")
    for name in names:
        here = here[name] if isinstance(here, Mapping) else getattr(here, name)
    if hasattr(here, "likely"):
        here = getattr(here, problem.prices.device_price if names[-1] == "price" else "likely")
    return float(here) if isinstance(here, int | float) and not isinstance(here, bool) else None


def _unit(problem: Problem, path: str) -> str:
    section, _, rest = path.partition(".")
    quantity = places.quantity_at(getattr(problem, section), rest)
    return quantity.unit if quantity else "1"


def _hop(problem: Problem, path: str) -> Knob:
    """Latency of the first tier of one interconnect; a factor for several."""
    name = path.removeprefix("topologies.").removesuffix(".hop_latency")
    if name == NATIVE or any(mark in name for mark in "*?["):
        return Knob(path, 1.0, "1")
    if name not in problem.topologies:
        raise _unknown(path)
    tiers = load_topology(problem.topologies[name]).tiers
    return Knob(path, next(iter(tiers.values())).hop_latency.value, "s")


def _stacked(problem: Problem, paths: Mapping[str, float], factor: float) -> Problem:
    """Problem in which a memory that got larger by a factor may also be enlarged by taller stacks as before."""
    names = [path.split(".")[1] for path in paths if path.startswith("devices.") and path.endswith(".memory.capacity")]
    devices = dict(problem.devices)
    for name in names:
        memory = devices[name].memory
        if memory is not None and memory.stacks:
            denser = memory.model_copy(update={"stacks": memory.stacks * factor})
            devices[name] = devices[name].model_copy(update={"memory": denser})
    return replace(problem, devices=devices) if names else problem


def _bought(problem: Problem, lever: str, factor: float) -> Problem:
    """Problem whose ports or modules offer more for the same money."""
    scaled = tuple(float(choice) * factor for choice in problem.levers[lever])
    technologies = [str(name) for name in problem.levers["pool.technology"] if name != NONE]
    priced = ["prices.optics"] if lever == BOUGHT[0] else [f"prices.memory.{name}" for name in technologies]
    cheaper = {name: number / factor for path in priced for name, number in _numbers(problem, path).items()}
    return replace(problem.with_values(cheaper), levers={**problem.levers, lever: scaled})


def _recalibrated(known: Calibration, group: str, factor: float) -> Calibration:
    """Constants of one group multiplied by a factor."""
    if group not in TIMES:
        raise _unknown(f"calibration.{group}")
    network, overhead = known.network, known.overhead
    if group == "network":
        return known._replace(
            network=network._replace(**{name: getattr(network, name) * factor for name in _LINK_SHARES})
        )
    field = "floor" if group == "overhead" else group
    linear, attention, experts = (
        type(own)(*(curve._replace(**{field: getattr(curve, field) * factor}) for curve in own))
        for own in (known.linear, known.attention, known.experts)
    )
    if group == "overhead":
        network = network._replace(**{name: getattr(network, name) * factor for name in _LINK_TIMES})
        overhead = overhead._replace(**{name: getattr(overhead, name) * factor for name in _OVERHEADS})
    return known._replace(linear=linear, attention=attention, experts=experts, network=network, overhead=overhead)


def _unknown(path: str) -> SpecError:
    sections = (*SECTIONS, "topologies", "calibration", "agents")
    message = (
        f'there is no number "{path}" to vary: expected a dotted path that starts with {", ".join(sections)}, '
        f"or {' or '.join(BOUGHT)}; `*` stands for every part"
    )
    return SpecError([Mistake("", 0, 0, path, message)])


def factors(steps: int, low: float, high: float) -> tuple[float, ...]:
    """Factors in equal ratios between two ends.

    >>> factors(3, 0.1, 10.0)
    (0.1, 1.0, 10.0)
    """
    return tuple(float(f"{factor:.12g}") for factor in np.geomspace(low, high, steps))
