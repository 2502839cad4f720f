"""The numbers a design rests on: value, source, date, whether it is an estimate; each can be varied by its name."""

from collections.abc import Iterator
from typing import Any, NamedTuple

from dse.facts import calibration
from dse.facts.devices import Accelerator
from dse.facts.problem import Problem
from dse.facts.quantities import Uncertain
from dse.facts.topology.network import load_topology
from dse.insight.case import Case
from dse.insight.technique_words import numbers
from dse.insight.wording import lever_word, percent, quantity
from dse.search.scoring.block import COPPER_POOL_LINK, OPTICAL_LINK
from dse.search.scoring.plan import NATIVE, NONE

SPECIFICATIONS = (
    ("peak.bf16", "FLOP/s"),
    ("peak.fp8", "FLOP/s"),
    ("peak.fp4", "FLOP/s"),
    ("peak.int8", "FLOP/s"),
    ("efficiency.bf16", "1"),
    ("efficiency.fp8", "1"),
    ("efficiency.fp4", "1"),
    ("memory.capacity", "B"),
    ("memory.bandwidth", "B/s"),
    ("scale_up.bandwidth", "B/s"),
    ("scale_out.bandwidth", "B/s"),
    ("host_link.bandwidth", "B/s"),
    ("power", "W"),
    ("tco.all_in_power", "W"),
)
"""Numbers of a device that an evaluation uses, with their unit."""

RATES = (
    ("host_share", "$"),
    ("network_share", "$"),
    ("host_share_memory", "B"),
    ("electricity", "$/J"),
    ("pue", "1"),
    ("depreciation", "s"),
    ("interest", "1"),
    ("spare_fraction", "1"),
    ("operations", "1"),
    ("optics", "$/(B/s)"),
    ("switching", "$/(B/s)"),
    ("vendor_margin", "1"),
)
"""Numbers of a price set that every design uses, with their unit."""

CONSTANTS = {
    "compute": "shares of the peak",
    "memory": "shares of the bandwidth",
    "network": "shares of the link bandwidth",
    "overhead": "start-up times",
}
"""Groups of fitted constants, as `varied` names them."""

SETTINGS = (("utilisation", "1"), ("memory_utilisation", "1"), ("runtime_reserve", "B"))
"""Parameters of the operating point that every design uses."""


class Input(NamedTuple):
    """One number of the catalog or of the study."""

    name: str
    """Path by which it can be set or varied."""
    value: str
    source: str
    date: str
    estimate: bool


def bill(own: Case) -> list[Input]:
    """Inputs of a design, devices first."""
    problem = own.plan.problem
    found = [line for name in devices(own) for line in _device(name, problem.devices[name])]
    return [
        *found,
        *_prices(own),
        *_memories(own),
        *_links(own),
        *_techniques(own),
        *_topologies(own),
        *_agents(problem),
        *_serving(problem),
        *_constants(),
    ]


def devices(own: Case) -> list[str]:
    """Device types of a design; those of an unused prefill pool are left out."""
    sides = [own.block.decode] if bool(own.block.colocated[0]) else [own.block.prefill, own.block.decode]
    rows = [int(row) for side in sides for row in side.device[0] if row >= 0]
    return [own.plan.devices[row] for row in dict.fromkeys(rows)]


def _device(name: str, device: Accelerator) -> Iterator[Input]:
    sheet = device.sources[0] if device.sources else "this study"
    for path, unit in SPECIFICATIONS:
        value: Any = device
        for part in path.split("."):
            value = getattr(value, part, None)
        if value is not None:
            text = quantity(float(value), unit)
            yield Input(f"devices.{name}.{path}", text, *_origin(device, path, sheet))
    if device.price is not None:
        yield _uncertain(f"devices.{name}.price", device.price, "$")
    elif device.tco is not None:
        owned = quantity(device.tco.hyperscaler, "$/s")
        yield Input(f"devices.{name}.tco.hyperscaler", owned, device.tco.source, "", device.tco.estimate)


def _origin(device: Accelerator, path: str, sheet: str) -> tuple[str, str, bool]:
    """Source, date and estimate flag of one number of a device."""
    group = path.split(".")[0]
    if group == "efficiency" and device.efficiency is not None:
        return device.efficiency.source, "", False
    if group == "tco" and device.tco is not None:
        return device.tco.source, "", device.tco.estimate
    rule = device.derived.get(path) or device.derived.get(group)
    doubt = any(path == field or path.startswith(f"{field}.") for field in device.unverified)
    inferred = group == "host_link" and device.host_link is not None and device.host_link.estimate
    return rule or sheet, str(device.year or ""), bool(rule) or doubt or inferred


def _uncertain(name: str, number: Uncertain[Any], unit: str) -> Input:
    low, high = quantity(number.low, unit).rsplit(" ", 1)[0], quantity(number.high, unit).rsplit(" ", 1)[0]
    value = quantity(number.likely, unit)
    spread = f" ({low} to {high})" if number.low != number.high else ""
    return Input(name, f"{value}{spread}", number.source, number.date or "", number.estimate)


def _prices(own: Case) -> Iterator[Input]:
    prices = own.plan.problem.prices
    for name, unit in RATES:
        value = getattr(prices, name)
        if isinstance(value, Uncertain):
            yield _uncertain(f"prices.{name}", value, unit)
        else:
            yield Input(f"prices.{name}", quantity(value, unit), f"price set {prices.id}", prices.date, True)
    for name in dict.fromkeys(("ddr5_rdimm", str(own.levers["pool.technology"]), *_enlarged(own))):
        if name in prices.memory:
            yield _uncertain(f"prices.memory.{name}", prices.memory[name], "$/B")


def _enlarged(own: Case) -> list[str]:
    """Technologies of package memories that the design enlarges."""
    scaled = any(float(own.levers[f"{pool}.memory_scale"]) > 1 for pool in ("prefill", "decode"))
    held = [own.plan.problem.devices[name].memory for name in devices(own)]
    return [memory.technology for memory in held if memory is not None and scaled]


def _memories(own: Case) -> Iterator[Input]:
    name = str(own.levers["pool.technology"])
    if name == NONE:
        return
    memory = own.plan.problem.memories[name]
    source = memory.sources[0] if memory.sources else "this study"
    for field, unit in (("bandwidth", "B/s"), ("capacity", "B")):
        value = getattr(memory, field)
        if value:
            rule = memory.derived.get(field)
            yield Input(f"memories.{name}.{field}", quantity(value, unit), rule or source, "", bool(rule))
    if memory.writes_per_day is not None:
        yield _uncertain(f"memories.{name}.writes_per_day", memory.writes_per_day, "1")
    yield _lever(own, "pool.capacity")


def _links(own: Case) -> Iterator[Input]:
    links = own.plan.problem.links
    if float(own.levers["optical_bandwidth"]) > 0:
        energy = links[OPTICAL_LINK].energy
        if energy is not None:
            yield _uncertain(f"links.{OPTICAL_LINK}.energy", energy, "J/B")
        yield _lever(own, "optical_bandwidth")
    elif str(own.levers["pool.technology"]) != NONE:
        link = links[COPPER_POOL_LINK]
        source = link.sources[0] if link.sources else "catalog"
        yield Input(
            f"links.{COPPER_POOL_LINK}.bandwidth", quantity(link.bandwidth or 0.0, "B/s"), source, "", link.estimate
        )


def _techniques(own: Case) -> Iterator[Input]:
    for used, field, unit in numbers(own):
        value, name = getattr(used, field), f"techniques.{used.id}.{field}"
        if isinstance(value, Uncertain):
            yield _uncertain(name, value, unit)
        else:
            source = used.sources[0] if used.sources else "this study"
            yield Input(name, quantity(value, unit), used.derived.get(field, source), "", field in used.derived)


def _lever(own: Case, name: str) -> Input:
    return Input(name, lever_word(name, own.levers[name]), "lever of the study", "", False)


def _topologies(own: Case) -> Iterator[Input]:
    pools = ("decode",) if bool(own.block.colocated[0]) else ("prefill", "decode")
    for name in dict.fromkeys(str(own.levers[f"{pool}.topology"]) for pool in pools):
        if name == NATIVE:
            yield Input("topologies.native.hop_latency", "by technology", "wiring table of the package", "", True)
            continue
        latency = next(iter(load_topology(own.plan.problem.topologies[name]).tiers.values())).hop_latency
        text = quantity(latency.value, "s")
        yield Input(f"topologies.{name}.hop_latency", text, latency.source, "", latency.estimate)


def _agents(problem: Problem) -> Iterator[Input]:
    for agent in problem.agents:
        work = agent.workload
        yield Input(f"agents.{agent.name}.workload", work.id, work.source, "", work.estimate)
        total = getattr(agent.model, "published_total", None)
        size = f"{agent.model.id}" + (f", {total / 1e9:.0f} B parameters" if total else "")
        yield Input(f"agents.{agent.name}.model", size, "published configuration", "", False)
        crew = agent.spec.subagents
        if crew is not None:
            dealt = f"{crew.count}, brief {percent(crew.brief)}, report {quantity(crew.report, 'tok')}"
            yield Input(f"agents.{agent.name}.subagents", dealt, "documented default or this study", "", True)


def _serving(problem: Problem) -> Iterator[Input]:
    for name, unit in SETTINGS:
        value = quantity(getattr(problem.serving, name), unit)
        yield Input(f"serving.{name}", value, "documented default or this study", "", True)


def _constants() -> Iterator[Input]:
    origin = calibration.load().provenance
    for group, what in CONSTANTS.items():
        yield Input(f"calibration.{group}", what, f"fitted; {origin.data}", origin.date, False)
