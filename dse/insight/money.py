"""Where the money goes: the hourly price of a device taken apart, and what a task pays for.

Prices enter the cost linearly, so a part is what disappears when its price is set to zero; the split therefore follows
the evaluation whatever it does inside.
"""

from collections.abc import Mapping
from dataclasses import replace

import numpy as np

from dse.facts.devices import Accelerator
from dse.insight.case import Case, ClassCase
from dse.insight.terms import Section, Term, parts
from dse.insight.wording import number, quantity
from dse.search.axes import Designs
from dse.search.scoring import block as blocks
from dse.search.scoring import supply
from dse.search.scoring.block import Side

PARTS: Mapping[str, tuple[str, ...]] = {
    "electricity": ("prices.electricity",),
    "host share": ("prices.host_share",),
    "network share": ("prices.network_share",),
    "host DRAM": ("prices.memory.ddr5_rdimm",),
    "optics": ("prices.optics",),
    "switching": ("prices.switching",),
}
"""Part of the hourly price -> prices that carry it."""

SECONDS_PER_HOUR = 3600.0


def hourly(own: Case, designs: Designs, pool: str, option: int) -> dict[str, float]:
    """Part -> $/h of one device of a pool, the pool memory it owns apart; the parts add up."""
    side = _side(own.block, pool)
    device = own.plan.problem.devices[own.plan.devices[int(side.device[0, option])]]
    whole = float(side.hourly[0, option])
    found = {}
    for part, paths in {**PARTS, **_package_memory(own, device)}.items():
        found[part] = whole - _without(own, designs, pool, option, paths)
    found["device"] = whole - sum(found.values())
    found["pool memory"] = float(side.pool_hourly[0, option])
    return found


def cost_section(own: Case, designs: Designs, item: ClassCase) -> Section:
    """Cost of a task of one class: pools, and the parts of their prices."""
    columns = item.columns
    total = float(columns.cost[0])
    terms: dict[str, float] = {}
    for pool, cost, owner in _pools(item):
        option = item.mapping[f"{pool}.type"]
        split = hourly(own, designs, pool, option)
        split["pool memory"] *= owner
        price = sum(split.values())
        for part, rate in split.items():
            name = f"{pool} {part}" if part == "device" else part
            terms[name] = terms.get(name, 0.0) + cost * rate / price
    lines = [Term(name, value, "$/task") for name, value in terms.items()]
    steps = item.at.shape.steps
    spent = []
    for pool, _, _ in _pools(item):
        seconds = float(getattr(columns, f"{pool}_seconds")[0])
        rate = float(getattr(item.at, pool).hourly[0])
        spent.append(f"{pool} {number(steps * seconds)} device-s x {number(rate)} $/h")
    note = f"{' + '.join(spent)} (cost C8); energy {quantity(float(columns.energy[0]), 'J')}"
    return Section(f"cost {quantity(total, '$/task')}", parts(lines, 0.001), note)


def _pools(item: ClassCase) -> list[tuple[str, float, bool]]:
    """Pool, what a task pays for it, whether it owns the KV."""
    on_prefill = item.home == "prefill" and not item.colocated
    decode = ("decode", float(item.columns.decode_cost[0]), not on_prefill)
    return [decode] if item.colocated else [("prefill", float(item.columns.prefill_cost[0]), on_prefill), decode]


def _side(block: blocks.Block, pool: str) -> Side:
    return block.prefill if pool == "prefill" else block.decode


def _package_memory(own: Case, device: Accelerator) -> dict[str, tuple[str, ...]]:
    """Price of what is added to the package, where the price set knows the technology."""
    technology = device.memory.technology if device.memory else ""
    known = technology in own.plan.problem.prices.memory and technology != "ddr5_rdimm"
    return {"added package memory": (f"prices.memory.{technology}",)} if known else {}


def _without(own: Case, designs: Designs, pool: str, option: int, paths: tuple[str, ...]) -> float:
    """Hourly price when some prices are zero [$/h]."""
    problem = own.plan.problem.with_values(dict.fromkeys(paths, 0.0))
    devices = [problem.devices[name] for name in own.plan.devices]
    plan = replace(own.plan, problem=problem, fleet=supply.fleet(devices, problem.memories, problem.prices))
    return float(np.asarray(_side(blocks.block(plan, designs), pool).hourly)[0, option])
