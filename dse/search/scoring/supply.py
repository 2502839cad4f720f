"""What one accelerator of a design offers and costs: memory that may be filled, links, $/h, watts.

Columns over designs, gathered from one small table per device of the study. One price basis: system capital per
accelerator; a part without a unit price enters through its published ownership rate.
"""

from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np

from dse.arrays import FloatArray, IntArray
from dse.facts import catalog
from dse.facts.devices import Accelerator
from dse.facts.prices import PriceSet
from dse.facts.technologies import Link, Memory
from dse.facts.topology.reduce import Coefficients
from dse.physics import cost
from dse.physics.cost import SECONDS_PER_HOUR

YEAR = cost.HOURS_PER_YEAR * SECONDS_PER_HOUR
"""[s]."""

HOST_POWER = 740.0
"""Host and network share of an accelerator's power [W]: published 1.73 kW of utility power per H100 over a PUE of 1.2,
less the 700 W of the part (SemiAnalysis InferenceX constants, 2026-04). Parts with an own all-in figure use that."""

OWNERSHIP_OPEX_SHARE = 0.2
"""Power and colocation in an ownership rate [1]: "less than 20 %", SemiAnalysis InferenceX, 2026-04; an estimate."""

DRAM_POWER = 0.2e-9
"""Power of DRAM held in readiness [W/B]: about 13 W per 64 GB module (JEDEC-class RDIMM under load); an estimate."""


COPPER_DOMAIN = 72
"""Devices that copper links reach, a rack [1]: links that leave it are optical at both ends. Source: copper reaches
about 2 m at 200 Gbit/s per lane (SemiAnalysis, 2026-06), and the largest copper domain that ships has 72 devices."""


class Fleet(NamedTuple):
    """One row per device of the study, (d,)."""

    capital: FloatArray
    """System capital per accelerator [$]."""
    capacity: FloatArray
    """Package memory [B]."""
    memory_bandwidth: FloatArray
    """Of the package memory, data sheet [B/s]."""
    capacity_limit: FloatArray
    """The most its stacks can hold [B]."""
    memory_price: FloatArray
    """Of the package memory, before the vendor's margin [$/B]."""
    power: FloatArray
    host_power: FloatArray
    host_bandwidth: FloatArray
    scale_up: FloatArray
    scale_out: FloatArray


def fleet(devices: Sequence[Accelerator], memories: Mapping[str, Memory], prices: PriceSet) -> Fleet:
    """Table of the devices of a study."""
    rows = [_row(device, memories, prices) for device in devices]
    return Fleet(*(np.asarray(column, dtype=float) for column in zip(*rows, strict=True)))


def system_capital(device: Accelerator, prices: PriceSet) -> float:
    """Capital per accelerator on the basis of the study, from its unit price or its ownership rate [$].

    Ownership rates imply less capital than unit prices do for the same part, so a part that has only a rate is brought
    to the level of unit prices by the median ratio over the catalog's parts that have both (:func:`bridge`).
    """
    if device.price is not None:
        return _listed_capital(device, prices)
    if device.tco is None:
        raise ValueError(f"{device.id} has neither a price nor an ownership rate")
    return bridge(prices) * _implied_capital(device, prices)


def bridge(prices: PriceSet) -> float:
    """Median ratio of listed to rate-implied system capital over the parts of the catalog that have both [1]."""
    parts = [catalog.accelerator(name) for name in catalog.names("accelerators")]
    both = [part for part in parts if part.price is not None and part.tco is not None]
    return float(np.median([_listed_capital(part, prices) / _implied_capital(part, prices) for part in both]))


def _listed_capital(device: Accelerator, prices: PriceSet) -> float:
    assert device.price is not None
    host, network = prices.host_share.likely, prices.network_share.likely
    shares = {"device": host + network, "server": network, "system": 0.0}
    return float(getattr(device.price, prices.device_price)) + shares[device.price.basis]


def _implied_capital(device: Accelerator, prices: PriceSet) -> float:
    assert device.tco is not None
    rate = np.asarray(device.tco.hyperscaler * SECONDS_PER_HOUR)
    return float(cost.capex_from_rate(rate, OWNERSHIP_OPEX_SHARE, yearly_share(prices)))


def yearly_share(prices: PriceSet) -> float:
    """Share of the capital paid each year [1/year]."""
    return float(cost.annuity(prices.interest.likely, prices.depreciation.likely / YEAR))


def _row(device: Accelerator, memories: Mapping[str, Memory], prices: PriceSet) -> tuple[float, ...]:
    if device.memory is None or device.power is None:
        raise ValueError(f"{device.id} lacks memory or power")
    memory = memories.get(device.memory.technology)
    stacks, tallest = device.memory.stacks, memory.capacity_max or memory.capacity if memory else None
    limit = stacks * tallest if stacks and tallest else device.memory.capacity
    price = prices.memory.get(device.memory.technology)
    all_in = device.tco.all_in_power if device.tco else None
    return (
        system_capital(device, prices),
        device.memory.capacity,
        device.memory.bandwidth,
        max(limit, device.memory.capacity),
        price.likely if price else np.nan,
        device.power,
        all_in / prices.pue.likely - device.power if all_in else HOST_POWER,
        device.host_link.bandwidth if device.host_link else 1.0,
        (device.scale_up.bandwidth if device.scale_up else None) or 1.0,
        device.scale_out.bandwidth if device.scale_out else 1.0,
    )


class Options(NamedTuple):
    """What a design adds to the stock part of one pool, (n,) each."""

    memory_scale: FloatArray
    host_memory: FloatArray
    pool_memory: FloatArray
    pool_price: FloatArray
    optical_bandwidth: FloatArray
    fabric_capital: FloatArray
    fabric_power: FloatArray


class Economics(NamedTuple):
    """Money and power of one accelerator with everything that hangs on it, (n,) each."""

    capital: FloatArray
    hourly: FloatArray
    power: FloatArray


def economics(table: Fleet, device: IntArray, options: Options, prices: PriceSet, optics: Link) -> Economics:
    """Price and power of one accelerator of a pool, with its memory, host DRAM, pool share, optics and fabric."""
    extra_memory = (options.memory_scale - 1) * table.capacity[device]
    package = cost.memory_capex(extra_memory, np.nan_to_num(table.memory_price[device]), prices.vendor_margin.likely)
    dram = np.maximum(options.host_memory - prices.host_share_memory, 0) * prices.memory["ddr5_rdimm"].likely
    pooled = options.pool_memory * options.pool_price
    ports = 2 * options.optical_bandwidth * prices.optics.likely
    capital = table.capital[device] + package + dram + pooled + ports + options.fabric_capital
    light = options.optical_bandwidth * 2 * (optics.energy.likely if optics.energy else 0.0)
    memory_power = DRAM_POWER * (np.maximum(options.host_memory - prices.host_share_memory, 0) + options.pool_memory)
    extra = memory_power + light + options.fabric_power
    power = cost.facility_power(table.power[device], table.host_power[device], extra, prices.pue.likely)
    rate = cost.capex_rate(capital, yearly_share(prices), 1 - prices.spare_fraction.likely) * (
        1 + prices.operations.likely
    )
    return Economics(capital, cost.hourly_cost(rate, power, prices.electricity.likely), power)


def fabric(
    coefficients: Coefficients, rates: FloatArray, prices: PriceSet, optics: Link
) -> tuple[FloatArray, FloatArray]:
    """Capital [$] and power [W] per accelerator of a topology at rates (n, t) beyond what the device's price holds.

    A device's price holds the switches and copper of its own scale-up domain (one stage at its bandwidth) and the
    network share pays its scale-out; every further switch stage and every optical end of the scale-up fabric is added.
    Optical ends of accelerators are the lever's ports, priced with it.
    """
    capital, power = np.zeros(rates.shape[0]), np.zeros(rates.shape[0])
    for tier, symbol in enumerate(coefficients.bandwidth):
        if symbol == "scale_out":
            continue
        rate = rates[:, tier]
        own_stage = 1.0 if symbol == "scale_up" else 0.0
        beyond = max(0.0, 1 - (COPPER_DOMAIN - 1) / max(coefficients.domain - 1, 1))
        stages = max(coefficients.switch_port_capacity[tier] - own_stage, 0.0)
        far = 2 * coefficients.link_capacity[tier] * beyond
        ends = max(coefficients.optical_port_capacity[tier], far) - (2.0 if symbol == "optical" else 0.0)
        ends = max(ends, 0.0)
        capital += rate * (stages * prices.switching.likely + ends * prices.optics.likely)
        power += rate * ends * (optics.energy.likely if optics.energy else 0.0)
    return capital, power
