"""What each single device type of a pool offers and costs under every choice of the levers that change it.

All numbers come from the columns of real designs (:func:`dse.search.scoring.block.block`), so a bound cannot use a
price or a memory that no design has.
"""

from itertools import product
from typing import Any, NamedTuple

import numpy as np

from dse.arrays import BoolArray, FloatArray, IntArray
from dse.search.axes import NEUTRAL, Designs
from dse.search.scoring import block as blocks
from dse.search.scoring.plan import Plan
from dse.search.scoring.techniques import LEVERS
from dse.search.space import Space

OWN = ("topology", "memory_scale", "host_memory")
"""Levers of one pool that change what a device of it offers; the optical bandwidth comes after them."""

LARGEST = 400_000
"""Combinations of a device with the levers that change it, at most: they are tabulated."""


class Hardware(NamedTuple):
    """One pool; tables are indexed [type, topology, memory scale, host memory, optical bandwidth]."""

    types: IntArray
    """(t,) row of the fleet of each device type that the pool may use."""
    first: IntArray
    """Choice of the device lever -> type."""
    second: IntArray
    """Choice of the second device lever -> type, -1 for none."""
    hourly: FloatArray
    """Price of a device without the pool's share [$/h]."""
    power: FloatArray
    usable: FloatArray
    """Memory that weights and KV may fill [B]."""
    bandwidth: FloatArray
    """To the other pool at best [B/s]."""
    doomed: BoolArray
    """Whether a pool with this device type violates a requirement in any case."""
    pool_hourly: FloatArray
    """[type, technology, capacity] what the pooled memory adds where this type owns it [$/h]."""
    pool_power: FloatArray


class Pooled(NamedTuple):
    """The pooled memory, [technology, capacity, optical bandwidth]."""

    capacity: FloatArray
    bandwidth: FloatArray
    """At best over the device types [B/s]."""
    write_rate: FloatArray
    quality_doomed: BoolArray
    """Whether choices violate a requirement on accuracy, one axis per lever of `judged`."""


def hardware(plan: Plan, space: Space, side: str) -> Hardware:
    """Tables of one pool."""
    first, second = (
        np.asarray([_row(plan, choice) for choice in plan.problem.levers[f"{side}.{which}"]])
        for which in ("device", "second_device")
    )
    types = np.unique(np.concatenate([first, second[second >= 0]]))
    names = [f"{side}.{name}" for name in OWN] + ["optical_bandwidth"]
    shape = [len(plan.problem.levers[name]) for name in names]
    if types.size * np.prod(shape) > LARGEST:
        raise OverflowError(f"the levers {', '.join(names)} have more than {LARGEST:,} combinations with the devices")
    grid = np.indices((types.size, *shape)).reshape(1 + len(shape), -1)
    chosen = dict(zip(names, grid[1:], strict=True)) | _device(plan, side, types[grid[0]])
    other = "decode" if side == "prefill" else "prefill"
    twin = _twins(plan, side, other)
    chosen |= {f"{other}.topology": twin[grid[1]]}
    part, own = _columns(plan, space, side, chosen)
    doomed = _doomed(plan, side, own, types[grid[0]], grid[1])
    side_columns = part.prefill if side == "prefill" else part.decode
    alone = side_columns.device[:, 1] < 0
    for name, slack in part.slacks.items():
        if name.startswith(f"slack_{side}_"):
            doomed |= alone & (slack < 0)
    full = (types.size, *shape)
    pool_hourly, pool_power = _pool_share(plan, space, side, types)
    return Hardware(
        types=types,
        first=np.searchsorted(types, first),
        second=np.where(second >= 0, np.searchsorted(types, second), -1),
        hourly=own.hourly[:, 0].reshape(full),
        power=own.power[:, 0].reshape(full),
        usable=own.usable[:, 0].reshape(full),
        bandwidth=own.bandwidth[:, 0].reshape(full),
        doomed=doomed.reshape(full),
        pool_hourly=pool_hourly,
        pool_power=pool_power,
    )


def pooled(plan: Plan, space: Space) -> Pooled:
    """Tables of the pooled memory."""
    levers = plan.problem.levers
    names = ("pool.technology", "pool.capacity", "optical_bandwidth")
    shape = tuple(len(levers[name]) for name in names)
    grid = np.indices(shape).reshape(3, -1)
    capacity, rate, bandwidth = np.zeros(grid.shape[1]), np.zeros(grid.shape[1]), np.zeros(grid.shape[1])
    for choice in range(len(levers["decode.device"])):
        chosen = dict(zip(names, grid, strict=True)) | {"decode.device": np.full(grid.shape[1], choice)}
        found = blocks.block(plan, _designs(plan, space, chosen))
        capacity, rate = found.pool_capacity, found.pool_write_rate
        bandwidth = np.maximum(bandwidth, found.pool_bandwidth)
    formats = np.indices([len(levers[name]) for name in judged(space)])
    chosen = dict(zip(judged(space), formats.reshape(len(formats), -1), strict=True))
    quality = blocks.block(plan, _designs(plan, space, chosen)).quality
    slacks = blocks.required(plan.problem, {"quality": quality}).values()
    bad = np.any([slack < 0 for slack in slacks], axis=0) if slacks else np.zeros(quality.shape, dtype=bool)
    return Pooled(
        capacity.reshape(shape), bandwidth.reshape(shape), rate.reshape(shape), bad.reshape(formats.shape[1:])
    )


def judged(space: Space) -> tuple[str, ...]:
    """Levers of a space that accuracy depends on."""
    return tuple(name for name in ("weight_dtype", "kv_dtype", *LEVERS) if name in space.names)


def _row(plan: Plan, choice: object) -> int:
    return plan.devices.index(str(choice)) if str(choice) in plan.devices else -1


def _device(plan: Plan, side: str, row: IntArray) -> dict[str, IntArray]:
    """Put a device of the fleet on one of its two levers, the other resting."""
    known = [_row(plan, choice) for choice in plan.problem.levers[f"{side}.device"]]
    second = [_row(plan, choice) for choice in plan.problem.levers[f"{side}.second_device"]]
    none = second.index(-1) if -1 in second else 0
    place = {device: (known.index(device), none) for device in known}
    place |= {device: (0, second.index(device)) for device in second if device >= 0 and device not in known}
    both = np.asarray([place[device] for device in row.tolist()])
    return {f"{side}.device": both[:, 0], f"{side}.second_device": both[:, 1]}


def _twins(plan: Plan, side: str, other: str) -> IntArray:
    """The same interconnect among the choices of the other pool, so that both may share it; else its first."""
    mine, theirs = (plan.problem.levers[f"{name}.topology"] for name in (side, other))
    return np.asarray([theirs.index(choice) if choice in theirs else 0 for choice in mine])


def _columns(plan: Plan, space: Space, side: str, chosen: dict[str, IntArray]) -> tuple[blocks.Block, blocks.Side]:
    """Block of made-up designs, and one of its sides with the device in question in the first column."""
    found = blocks.block(plan, _designs(plan, space, chosen))
    own = found.prefill if side == "prefill" else found.decode
    known = np.asarray([_row(plan, choice) for choice in plan.problem.levers[f"{side}.device"]])
    second = np.asarray([_row(plan, choice) for choice in plan.problem.levers[f"{side}.second_device"]])
    there = second[chosen[f"{side}.second_device"]]
    column = np.where((there >= 0) & ~np.isin(there, known), 1, 0)
    line = np.arange(column.size)

    picked: dict[str, Any] = {
        name: values[line, column][:, None] if values.ndim == 2 else values for name, values in own._asdict().items()
    }
    return found, blocks.Side(**picked)


def _designs(plan: Plan, space: Space, chosen: dict[str, IntArray], serving: str = "disaggregated") -> Designs:
    """Rows of choices: the ones given, separate pools where the study allows them, everything else at its first."""
    levers = plan.problem.levers
    count = max(values.size for values in chosen.values())
    columns = []
    for name in space.names:
        choices = [str(choice) for choice in levers[name]]
        resting = choices.index(NEUTRAL) if NEUTRAL in choices else 0
        if name == "serving":
            resting = next((index for index, choice in enumerate(choices) if choice == serving), 0)
        columns.append(chosen.get(name, np.full(count, resting)))
    return Designs(np.stack(columns, axis=1).astype(np.int16), space.names)


def _doomed(plan: Plan, side: str, own: blocks.Side, row: IntArray, topology: IntArray) -> BoolArray:
    """Whether power alone breaks a requirement: the largest pool counts, so one device type is enough."""
    device = own.power[:, 0] / plan.problem.prices.pue.likely
    wirings = plan.problem.levers[f"{side}.topology"]
    domain = np.ones((len(plan.devices), len(wirings)))
    for index, wiring in product(np.unique(row).tolist(), range(len(wirings))):
        domain[index, wiring] = plan.coefficients(plan.devices[index], str(wirings[wiring])).domain
    columns = {"device_power": device, "domain_power": device * domain[row, topology]}
    doomed = np.zeros(device.shape, dtype=bool)
    for sentence in plan.problem.require:
        if sentence.column in columns and sentence.at_most:
            doomed |= columns[sentence.column] > sentence.limit
    return doomed


def _pool_share(plan: Plan, space: Space, side: str, types: IntArray) -> tuple[FloatArray, FloatArray]:
    """Price and power that the pooled memory adds to each device type."""
    shape = (types.size, len(plan.problem.levers["pool.technology"]), len(plan.problem.levers["pool.capacity"]))
    grid = np.indices(shape).reshape(3, -1)
    chosen = {"pool.technology": grid[1], "pool.capacity": grid[2]} | _device(plan, side, types[grid[0]])
    _, own = _columns(plan, space, side, chosen)
    return own.pool_hourly[:, 0].reshape(shape), own.pool_power[:, 0].reshape(shape)


def helped(plan: Plan, space: Space, side: Hardware, first: int, topology: int, kv: int) -> blocks.Block:
    """Block of designs whose decode pool has one first device type and every second one, with every memory option.

    Second types run slowest, memory options fastest; links are the best of the study.
    """
    levers = plan.problem.levers
    light = [float(choice) for choice in levers["optical_bandwidth"]]
    seconds = [_row(plan, choice) for choice in levers["decode.second_device"]]
    kinds = [seconds.index(row) if row in seconds else -1 for row in side.types.tolist()]
    grid = np.indices((len(kinds), len(levers["decode.memory_scale"]))).reshape(2, -1)
    fixed = {
        "decode.device": side.first.tolist().index(first),
        "decode.topology": topology,
        "prefill.topology": int(_twins(plan, "decode", "prefill")[topology]),
        "optical_bandwidth": int(np.argmax(light)),
        "kv_dtype": kv,
    }
    chosen = {name: np.full(grid.shape[1], value) for name, value in fixed.items()}
    chosen |= {"decode.second_device": np.asarray(kinds)[grid[0]], "decode.memory_scale": grid[1]}
    return blocks.block(plan, _designs(plan, space, chosen, "attention_offload"))
