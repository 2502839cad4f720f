"""The catalog numbers a design rests on: value, source, date, whether it is an estimate."""

from collections.abc import Iterator
from typing import Any, NamedTuple

from dse.facts.devices import Accelerator
from dse.facts.problem import Problem
from dse.facts.quantities import Uncertain
from dse.insight.case import Case
from dse.insight.wording import quantity

SPECIFICATIONS = (
    ("peak.bf16", "FLOP/s"),
    ("peak.fp8", "FLOP/s"),
    ("peak.fp4", "FLOP/s"),
    ("memory.capacity", "B"),
    ("memory.bandwidth", "B/s"),
    ("scale_up.bandwidth", "B/s"),
    ("scale_out.bandwidth", "B/s"),
    ("host_link.bandwidth", "B/s"),
    ("power", "W"),
)
"""Numbers of a device that an evaluation uses, with their unit."""

RATES = (
    ("host_share", "$"),
    ("network_share", "$"),
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


class Input(NamedTuple):
    """One number of the catalog or of the study."""

    name: str
    value: str
    source: str
    date: str
    estimate: bool


def bill(own: Case) -> list[Input]:
    """Inputs of a design, devices first."""
    used = [
        own.plan.devices[row] for side in (own.block.prefill, own.block.decode) for row in side.device[0] if row >= 0
    ]
    found = [line for name in dict.fromkeys(used) for line in _device(name, own.plan.problem.devices[name])]
    return [*found, *_prices(own), *_agents(own.plan.problem), *_serving(own.plan.problem)]


def _device(name: str, device: Accelerator) -> Iterator[Input]:
    sheet = device.sources[0] if device.sources else "this study"
    for path, unit in SPECIFICATIONS:
        value: Any = device
        for part in path.split("."):
            value = getattr(value, part, None)
        if value is None:
            continue
        rule = device.derived.get(path) or device.derived.get(path.split(".")[0])
        doubt = any(path == field or path.startswith(f"{field}.") for field in device.unverified)
        guessed = (
            bool(rule)
            or doubt
            or (path.startswith("host_link") and device.host_link is not None and device.host_link.estimate)
        )
        yield Input(
            f"devices.{name}.{path}", quantity(float(value), unit), rule or sheet, str(device.year or ""), guessed
        )
    if device.price is not None:
        yield _uncertain(f"devices.{name}.price", device.price, "$")
    elif device.tco is not None:
        owned = quantity(device.tco.hyperscaler, "$/s")
        yield Input(f"devices.{name}.tco.hyperscaler", owned, device.tco.source, "", device.tco.estimate)


def _uncertain(name: str, number: Uncertain[Any], unit: str) -> Input:
    low, high = quantity(number.low, unit).rsplit(" ", 1)[0], quantity(number.high, unit).rsplit(" ", 1)[0]
    value = quantity(number.likely, unit)
    spread = f" ({low} to {high})" if number.low != number.high else ""
    return Input(name, f"{value}{spread}", number.source, number.date or "", number.estimate)


def _prices(own: Case) -> Iterator[Input]:
    prices = own.plan.problem.prices
    for name, unit in RATES:
        yield _uncertain(f"prices.{name}", getattr(prices, name), unit)
    pool = str(own.levers["pool.technology"])
    for name in dict.fromkeys(("ddr5_rdimm", pool)):
        if name in prices.memory:
            yield _uncertain(f"prices.memory.{name}", prices.memory[name], "$/B")


def _agents(problem: Problem) -> Iterator[Input]:
    for agent in problem.agents:
        work = agent.workload
        yield Input(f"agents.{agent.name}.workload", work.id, work.source, "", work.estimate)
        total = getattr(agent.model, "published_total", None)
        size = f"{agent.model.id}" + (f", {total / 1e9:.0f} B parameters" if total else "")
        yield Input(f"agents.{agent.name}.model", size, "published configuration", "", False)


def _serving(problem: Problem) -> Iterator[Input]:
    settings, source = problem.serving, "documented default or this study"
    yield Input("serving.utilisation", f"{settings.utilisation:g}", source, "", True)
    yield Input("serving.memory_utilisation", f"{settings.memory_utilisation:g}", source, "", True)
    yield Input("serving.runtime_reserve", quantity(settings.runtime_reserve, "B"), source, "", True)
