"""Levers of a block of designs as columns of numbers: memories, links, prices and powers of both pools."""

from collections.abc import Mapping
from typing import Any, NamedTuple

import numpy as np

from dse.arrays import BoolArray, FloatArray, IntArray
from dse.facts.models import Model
from dse.facts.problem import Problem
from dse.facts.topology.reduce import tier_bandwidths
from dse.search.axes import Designs
from dse.search.scoring import supply
from dse.search.scoring.plan import NATIVE, NONE, Plan
from dse.search.scoring.techniques import LEVERS, recovery

OPTICAL_LINK = "ayar_labs_teraphy_gen3"
"""Catalog link whose energy the optical ports have: an optical I/O chiplet."""

COPPER_POOL_LINK = "pcie5_x16"
"""Catalog link to a pool where there is no optical port."""


DAY = 86_400.0
"""[s]."""


class Side(NamedTuple):
    """One pool of every design; (n, 2) columns hold the first and the second device type."""

    device: IntArray
    """Row of the fleet, -1 for no second type."""
    topology: IntArray
    """Index of the lever's choice."""
    usable: FloatArray
    """Memory that weights and KV may fill [B]."""
    memory: FloatArray
    """Package memory [B]."""
    host_memory: FloatArray
    host_bandwidth: FloatArray
    bandwidth: FloatArray
    """To the other pool [B/s]."""
    hourly: FloatArray
    power: FloatArray
    pool_hourly: FloatArray
    """Price that the pool adds per accelerator of the pool that owns it [$/h]."""
    pool_power: FloatArray


class Block(NamedTuple):
    """A block of designs in numbers."""

    prefill: Side
    decode: Side
    colocated: BoolArray
    offloaded: BoolArray
    pool_capacity: FloatArray
    pool_bandwidth: FloatArray
    pool_write_rate: FloatArray
    optical_bandwidth: FloatArray
    weight_dtype: IntArray
    kv_dtype: IntArray
    draft_length: IntArray
    techniques: dict[str, IntArray]
    """Choice of each lever of techniques."""
    quality: FloatArray
    device_power: FloatArray
    domain_power: FloatArray
    slacks: dict[str, FloatArray]
    doomed: BoolArray
    """Designs whose hardware already violates a requirement: one point per class tells by how much."""

    def __len__(self) -> int:
        """Count the designs."""
        return int(self.colocated.size)


def block(plan: Plan, designs: Designs) -> Block:
    """Columns of a block of designs."""
    levers = plan.problem.levers
    serving = np.asarray([str(choice) for choice in levers["serving"]])[_index(designs, "serving")]
    colocated, offloaded = serving == "colocated", serving == "attention_offload"
    optical = _numbers(plan, designs, "optical_bandwidth")
    pool_capacity, pool_price, media, writes = _pool(plan, designs, _numbers(plan, designs, "pool.capacity"))
    sides: dict[str, Side] = {}
    slacks: dict[str, FloatArray] = {}
    powers: dict[str, tuple[FloatArray, FloatArray]] = {}
    for name in ("prefill", "decode"):
        sides[name], extra, powers[name] = _side(plan, designs, name, optical, pool_capacity, pool_price)
        unused = colocated if name == "prefill" else np.zeros(len(designs), dtype=bool)
        slacks |= {f"slack_{name}_{key}": np.where(unused, 0.0, values) for key, values in extra.items()}
    shared = _shared(plan, sides["prefill"], sides["decode"])
    prefill, decode = (
        side._replace(bandwidth=np.maximum(side.bandwidth, _shared_fabric(plan, side, shared, optical)))
        for side in sides.values()
    )
    link = np.where(optical > 0, optical, np.minimum(_copper_pool(plan), decode.host_bandwidth[:, 0]))
    no_pool = pool_capacity <= 0
    known = {
        name: np.maximum(np.where(colocated, 0, powers["prefill"][index]), powers["decode"][index])
        for index, name in enumerate(("device_power", "domain_power"))
    } | {"quality": _quality(plan, designs)}
    slacks["slack_offload"] = np.where(offloaded & (decode.device[:, 1] < 0), -1.0, 0.0)
    return Block(
        prefill,
        decode,
        colocated,
        offloaded,
        pool_capacity,
        np.where(no_pool, 0.0, np.minimum(link, media)),
        np.where(no_pool, np.inf, writes),
        optical,
        _index(designs, "weight_dtype"),
        _index(designs, "kv_dtype"),
        _index(designs, "draft_length"),
        {name: _index(designs, name) for name in LEVERS},
        known["quality"],
        known["device_power"],
        known["domain_power"],
        slacks,
        np.min([*slacks.values(), *required(plan.problem, known).values()], axis=0) < 0,
    )


def required(problem: Problem, columns: Mapping[str, FloatArray]) -> dict[str, FloatArray]:
    """Slack of every sentence of the study about one of these columns; negative where it is violated."""
    slacks = {}
    for sentence in problem.require:
        if sentence.column in columns:
            values, limit = columns[sentence.column], sentence.limit
            slack = (limit - values) if sentence.at_most else (values - limit)
            slacks[f"slack_{sentence.column}"] = slack / max(abs(limit), 1e-30)
    return slacks


def _index(designs: Designs, name: str) -> IntArray:
    """Choice of a lever per design; a lever that is not an axis has one choice."""
    return designs[name] if name in designs.names else np.zeros(len(designs), dtype=np.int64)


def _numbers(plan: Plan, designs: Designs, name: str) -> FloatArray:
    """Choice of a lever per design, as a number."""
    return np.asarray([float(choice) for choice in plan.problem.levers[name]])[_index(designs, name)]


def _side(
    plan: Plan, designs: Designs, name: str, optical: FloatArray, pool_capacity: FloatArray, pool_price: FloatArray
) -> tuple[Side, dict[str, FloatArray], tuple[FloatArray, FloatArray]]:
    """One pool: its columns, the slacks of its hardware, the power of a device and of a domain."""
    problem, fleet, prices = plan.problem, plan.fleet, plan.problem.prices
    levers, optics = problem.levers, problem.links[OPTICAL_LINK]
    known = {device: row for row, device in enumerate(plan.devices)}
    device = np.stack(
        [
            np.asarray([known.get(str(choice), -1) for choice in levers[f"{name}.{which}"]])[
                _index(designs, f"{name}.{which}")
            ]
            for which in ("device", "second_device")
        ],
        axis=1,
    )
    scale = _numbers(plan, designs, f"{name}.memory_scale")
    host = _numbers(plan, designs, f"{name}.host_memory")
    topology = _index(designs, f"{name}.topology")
    capacity = fleet.capacity[device] * scale[:, None]
    settings = problem.serving
    usable = settings.memory_utilisation * capacity - settings.runtime_reserve - settings.activation_reserve
    fabric_capital, fabric_power, domain, needs_light = _fabric(plan, name, device, topology, optical)
    zero = np.zeros_like(optical)
    hourly, power, pool_hourly, pool_power = (np.zeros(device.shape) for _ in range(4))
    for option in range(2):
        options = supply.Options(
            scale, host, zero, pool_price, optical, fabric_capital[:, option], fabric_power[:, option]
        )
        base = supply.economics(fleet, device[:, option], options, prices, optics)
        full = supply.economics(fleet, device[:, option], options._replace(pool_memory=pool_capacity), prices, optics)
        hourly[:, option], power[:, option] = base.hourly, base.power
        pool_hourly[:, option], pool_power[:, option] = full.hourly - base.hourly, full.power - base.power
    nic = fleet.scale_out[device]
    side = Side(
        device,
        topology,
        usable,
        capacity,
        host,
        fleet.host_bandwidth[device],
        np.maximum(nic, optical[:, None]),
        hourly,
        power,
        pool_hourly,
        pool_power,
    )
    limit = fleet.capacity_limit[device]
    over = np.where(device >= 0, np.minimum((limit - capacity) / limit, 0.0), 0.0).min(axis=1)
    slacks = {"stacks": over, "optics": np.where(needs_light & (optical <= 0), -1.0, 0.0)}
    it_power = np.where(device >= 0, power / prices.pue.likely, 0.0)
    return side, slacks, (it_power.max(axis=1), (it_power * domain).max(axis=1))


def _fabric(
    plan: Plan, name: str, device: IntArray, topology: IntArray, optical: FloatArray
) -> tuple[FloatArray, FloatArray, IntArray, BoolArray]:
    """Capital and power of the interconnect beyond the stock part, devices of a domain, whether it needs optics."""
    capital, power = np.zeros(device.shape), np.zeros(device.shape)
    domain, light = np.ones(device.shape, dtype=np.int64), np.zeros(device.shape[0], dtype=bool)
    wirings = [str(choice) for choice in plan.problem.levers[f"{name}.topology"]]
    kind = np.where(device >= 0, device * len(wirings) + topology[:, None], -1)
    for code in np.unique(kind[kind >= 0]).tolist():
        row, wiring, where = code // len(wirings), wirings[code % len(wirings)], kind == code
        coefficients = plan.coefficients(plan.devices[row], wiring)
        domain[where] = coefficients.domain
        light |= where.any(axis=1) & ("optical" in coefficients.bandwidth)
        if wiring == NATIVE:
            continue
        lit = np.broadcast_to(optical[:, None], device.shape)[where]
        own = {"scale_up": plan.fleet.scale_up[row], "scale_out": plan.fleet.scale_out[row]}
        symbols = {name: np.full(lit.shape, rate) for name, rate in own.items()} | {"optical": lit}
        rates, optics = tier_bandwidths(coefficients, symbols), plan.problem.links[OPTICAL_LINK]
        capital[where], power[where] = supply.fabric(coefficients, rates, plan.problem.prices, optics)
    return capital, power, domain, light


def _pool(plan: Plan, designs: Designs, capacity: FloatArray) -> tuple[FloatArray, FloatArray, FloatArray, FloatArray]:
    """Pool memory per accelerator [B], its price [$/B], the bandwidth of its media and the writes it endures [B/s]."""
    index, choices = _index(designs, "pool.technology"), plan.problem.levers["pool.technology"]
    present, price, speed = (np.zeros(len(choices)) for _ in range(3))
    endured = np.full(len(choices), np.inf)
    for row, choice in enumerate(choices):
        if choice == NONE:
            continue
        memory = plan.problem.memories[str(choice)]
        present[row], price[row] = 1.0, plan.problem.prices.memory[str(choice)].likely
        speed[row] = (memory.bandwidth or 0.0) / (memory.capacity or np.inf)
        if memory.writes_per_day:
            endured[row] = memory.writes_per_day.likely / DAY
    held = present[index] * capacity
    flash = np.isfinite(endured)[index] & (held > 0)
    limit = np.where(flash, np.where(np.isfinite(endured), endured, 0.0)[index] * held, np.inf)
    return held, price[index], speed[index] * held, limit


def _copper_pool(plan: Plan) -> float:
    return float(plan.problem.links[COPPER_POOL_LINK].bandwidth or 0.0)


def _shared_fabric(plan: Plan, side: Side, shared: IntArray, optical: FloatArray) -> FloatArray:
    """Bandwidth to the other pool where both sit on one interconnect, per device type, (n, 2) [B/s].

    ``shared`` is the index of that interconnect among the prefill pool's choices, -1 where there is none.
    """
    found = np.zeros(side.device.shape)
    wirings = plan.problem.levers["prefill.topology"]
    light, shade = np.unique(optical, return_inverse=True)
    kind = (side.device * len(wirings) + shared[:, None]) * light.size + shade.reshape(-1, 1)
    kind = np.where((side.device >= 0) & (shared >= 0)[:, None], kind, -1)
    for code in np.unique(kind[kind >= 0]).tolist():
        (row, wiring), shine = divmod(code // light.size, len(wirings)), light[code % light.size]
        where = kind == code
        found[where] = plan.network(plan.devices[row], str(wirings[wiring]), float(shine)).transfer
    return found


def _shared(plan: Plan, prefill: Side, decode: Side) -> IntArray:
    """Index of the interconnect that joins both pools of each design, -1 where they have their own."""
    names = [str(choice) for choice in plan.problem.levers["decode.topology"]]
    same = [
        names.index(str(choice)) if choice != NATIVE and str(choice) in names else -2
        for choice in plan.problem.levers["prefill.topology"]
    ]
    return np.where(np.asarray(same)[prefill.topology] == decode.topology, prefill.topology, -1)


def _quality(plan: Plan, designs: Designs) -> FloatArray:
    """Accuracy kept by the number formats, the worst class, and by the techniques [percent of the release]."""
    weights = [str(choice) for choice in plan.problem.levers["weight_dtype"]]
    caches = [str(choice) for choice in plan.problem.levers["kv_dtype"]]
    table = np.array([[min(_kept(item.agent.model, w, k) for item in plan.classes) for k in caches] for w in weights])
    formats = table[_index(designs, "weight_dtype"), _index(designs, "kv_dtype")]
    chosen = [(plan.problem.choices(name), _index(designs, name)) for name in LEVERS]
    parts = (np.asarray([recovery(plan.problem, str(name)) for name in names])[index] for names, index in chosen)
    return np.asarray(np.prod([formats, *(part / 100 for part in parts)], axis=0))


def _kept(model: Model, weight: Any, cache: Any) -> float:
    scores = [model.quality.weight.get(weight), model.quality.kv.get(cache)]
    product = 100.0
    for found in scores:
        product *= found.recovery / 100 if found else 1.0
    return product
