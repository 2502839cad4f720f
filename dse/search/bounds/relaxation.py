"""Bounds of boxes: for every level of latency the least cost and the least energy that any design in a box can have.

Each class takes the best pair of a prefill cell and a decode cell, each pool at the least price that the box allows;
caches lose nothing that costs less to keep, nothing waits for memory below HBM, and each class chooses for itself. The
mixture's cost and energy are sums over the classes, its latency is the worst class's, so a sum of the classes' bounds
at a level bounds every design whose latency lies there.
"""

from dataclasses import dataclass, field
from typing import Any, NamedTuple

import numpy as np

from dse.arrays import BoolArray, FloatArray, IntArray
from dse.physics.cost import SECONDS_PER_HOUR
from dse.search.bounds.boxes import Boxes, Columns
from dse.search.bounds.cells import COLOCATED, MODES, OFFLOADED, SEPARATE, Cells, Range, Ranges
from dse.search.bounds.hardware import Hardware
from dse.search.bounds.sets import Sets
from dse.search.scoring.techniques import KERNEL, KV, SUMS

PRICED = ("topology", "memory_scale", "host_memory")
"""Levers of one pool with a price."""

CHUNK = 64
"""Pairs of cells priced at once."""

TOGETHER = 6144
"""Pairs held at once."""

SAFETY = 1 - 2e-5
"""Bounds are lowered by this: they are computed in single precision."""


class Price(NamedTuple):
    """The best that one device type offers in some ranges."""

    hourly: float
    power: float
    bandwidth: float


@dataclass(eq=False)
class Relaxation:
    """Bounds of boxes of one study."""

    cells: Cells
    sets: tuple[Sets, Sets]
    exchange: FloatArray
    """(mixes, levels) worth of an energy in cost, for the bounds on both together [$/J]."""
    prices: dict[tuple[int, ...], Price] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.columns = Columns.of(self.cells.space)
        self.modes = np.array([MODES[str(choice)] for choice in self.cells.plan.problem.levers["serving"]])

    def bound(self, boxes: Boxes) -> FloatArray:
        """(n, 2 + mixes, levels) least cost [$/task], energy [J/task] and mixes of the designs of each box."""
        if len(boxes) == 0:
            return np.zeros((0, 2 + len(self.exchange), self.cells.levels.size))
        sizes = np.prod([self._sizes(boxes, side) for side in range(2)], axis=0)
        part = np.cumsum(sizes) // TOGETHER
        starts = np.flatnonzero(np.diff(part, prepend=-1))
        ends = np.append(starts[1:], len(boxes))
        return np.concatenate([self._bound(boxes.take(slice(a, b))) for a, b in zip(starts, ends, strict=True)])

    def _bound(self, boxes: Boxes) -> FloatArray:
        owner, keys = self.pairs(boxes)
        distinct, inverse = np.unique(keys, axis=0, return_inverse=True)
        priced = [self._priced(distinct[start : start + CHUNK]) for start in range(0, len(distinct), CHUNK)]
        shape = (len(boxes), len(self.cells.classes), 2 + len(self.exchange), self.cells.levels.size)
        best = np.full(shape, np.inf, np.float32)
        used, starts = np.unique(owner, return_index=True)
        if used.size:
            best[used] = np.minimum.reduceat(np.concatenate(priced)[inverse.ravel()], starts, axis=0)
        return np.asarray(best.sum(axis=1, dtype=np.float64) * SAFETY)

    def _sizes(self, boxes: Boxes, side: int) -> IntArray:
        return np.array([len(kinds) for kinds in self.sets[side].kinds])[boxes.sets[:, side]]

    def pairs(self, boxes: Boxes) -> tuple[IntArray, IntArray]:
        """Pairs of device types that a class of each box may use: the box, and everything their bound depends on."""
        mode = self.modes[boxes.low[:, self.columns.place["serving"]]]
        rest = self.columns.ranges(
            boxes,
            *(f"{name}.{lever}" for name in ("prefill", "decode") for lever in PRICED),
            *("optical_bandwidth", "weight_dtype", "kv_dtype", "draft_length", "pool.technology", "pool.capacity"),
            *(SUMS, KERNEL, KV),
        )
        sizes = [self._sizes(boxes, side) for side in range(2)]
        owner = np.repeat(np.arange(len(boxes)), sizes[0] * sizes[1])
        offset = np.arange(owner.size) - (np.cumsum(sizes[0] * sizes[1]) - sizes[0] * sizes[1])[owner]
        place = (offset // sizes[1][owner], offset % sizes[1][owner])
        found = []
        for side in range(2):
            kinds = self.sets[side].kinds
            start = np.cumsum([0, *(len(one) for one in kinds)])[boxes.sets[owner, side]]
            found.append(np.concatenate(kinds)[start + place[side]])
        return owner, np.column_stack([mode[owner], found[0][:, 0], found[1], rest[owner]])

    def _priced(self, keys: IntArray) -> FloatArray:
        """(n, classes, 2 + mixes, levels) bounds of pairs, all classes."""
        made = np.empty(
            (len(keys), len(self.cells.classes), 2 + len(self.exchange), self.cells.levels.size), np.float32
        )
        for mode in (SEPARATE, COLOCATED, OFFLOADED):
            rows = np.flatnonzero(keys[:, 0] == mode)
            if rows.size:
                made[rows] = Pairs(self, mode, keys[rows]).curves()
        return np.asarray(made)

    def price(self, side: Hardware, name: int, kind: int, ranges: IntArray) -> Price:
        """Least price and power and the best link of a device type over ranges of topology, memory, host, light."""
        key = (name, kind, *ranges.tolist())
        if key not in self.prices:
            topology, memory, host, light = (slice(ranges[i], ranges[i + 1]) for i in range(0, 8, 2))
            sound = ~side.doomed[kind, topology, memory, host, light]
            hourly, power, bandwidth = (
                table[kind, topology, memory, host, light][sound] for table in (side.hourly, side.power, side.bandwidth)
            )
            self.prices[key] = Price(
                float(hourly.min(initial=np.inf)) / SECONDS_PER_HOUR,
                float(power.min(initial=np.inf)),
                float(bandwidth.max(initial=1.0)),
            )
        return self.prices[key]


class Pooling(NamedTuple):
    """The pooled memory of some pairs, (n,)."""

    present: BoolArray
    certain: BoolArray
    """Whether every choice in the range has one."""
    bandwidth: FloatArray
    write_rate: FloatArray
    shares_port: BoolArray
    technology: IntArray
    capacity: IntArray
    """(n, 2) range."""


class Pairs:
    """Some pairs of cells of one way to serve, with the numbers that turn seconds into cost and energy."""

    def __init__(self, relaxation: Relaxation, mode: int, keys: IntArray) -> None:
        self.relaxation, self.mode, self.keys = relaxation, mode, keys
        cells = relaxation.cells
        self.cells, self.homes = cells, cells.plan.problem.serving.kv_homes
        optical = keys[:, 16:18]
        self.pool = _pooling(cells, optical, keys[:, 24], keys[:, 26:28])
        self.first = _prices(relaxation, cells.prefill, 0, keys[:, 1], np.column_stack([keys[:, 4:10], optical]))
        self.second = _prices(relaxation, cells.decode, 1, keys[:, 2], np.column_stack([keys[:, 10:16], optical]))
        self.helper = _prices(relaxation, cells.decode, 1, keys[:, 3], np.column_stack([keys[:, 10:16], optical]))
        owner = keys[:, 3] if mode == OFFLOADED else keys[:, 2]
        self.pool_first = _pool_prices(cells.prefill, keys[:, 1], self.pool)
        self.pool_second = _pool_prices(cells.decode, owner, self.pool)
        self._look_up()

    def _look_up(self) -> None:
        """Cells of every pair, stacked; pairs share most of them."""
        cells, keys, mode = self.cells, self.keys, self.mode
        formats = keys[:, [*range(16, 24), *range(28, 32)]]
        prefill = np.column_stack([keys[:, 1], keys[:, 4:8], formats])
        decode = np.column_stack([keys[:, 2:4], self.pool.present, keys[:, 10:14], formats])
        distinct, self.prefill_at = np.unique(prefill, axis=0, return_inverse=True)
        found = [] if mode == COLOCATED else [cells.prefill_cell(row[0], _ranges(row[1:])) for row in distinct.tolist()]
        self.prefill = (
            [np.stack([np.asarray(cell[i], np.float32) for cell in found]) for i in range(3)] if found else []
        )
        distinct, self.decode_at = np.unique(decode, axis=0, return_inverse=True)
        held = [cells.decode_cell(mode, (r[0], r[1]), bool(r[2]), _ranges(r[3:])) for r in distinct.tolist()]
        self.decode = [np.stack([np.asarray(cell[i]) for cell in held]) for i in range(4)]

    def curves(self) -> FloatArray:
        """(n, classes, 2 + mixes, levels) bounds."""
        return np.stack([self._class(agent) for agent in self.cells.classes], axis=1)

    def _class(self, agent: int) -> FloatArray:
        """Bounds of one class: the best home of its KV."""
        floors = _floors(self, agent)
        best = np.full((len(self.keys), 2 + len(self.relaxation.exchange), self.cells.levels.size), np.inf, np.float32)
        mixed = np.maximum(self.decode[3][self.decode_at, agent], floors.spill[:, None])
        price = self.second[:, :2] + self.pool_second
        if self.mode == COLOCATED:
            return self._mixes(mixed * price[:, :1], mixed * price[:, 1:])
        if self.mode == SEPARATE and "append_on_decode" in self.homes:
            cold = self.prefill[2][self.prefill_at, agent][:, None]
            parts = [cold * self.first[:, [i]] + mixed * price[:, [i]] for i in range(2)]
            np.minimum(best, self._mixes(*parts), out=best)
        filled = max(int(np.isfinite(self.decode[1][:, agent]).sum(axis=1).max()), 1)
        step = self.decode[0][self.decode_at, agent, :filled]
        seconds, ratio = (np.asarray(self.decode[i][self.decode_at, agent, :filled], dtype=np.float64) for i in (1, 2))
        line = np.arange(len(step))[:, None]
        keeping = self.prefill[0][self.prefill_at[line.ravel()][:, None], agent, step]
        losing = self.prefill[1][self.prefill_at[line.ravel()][:, None], agent, step]
        for through, floor, owner in (
            (keeping, (floors.first_decode, floors.second_decode), 1),
            (losing, (floors.none, floors.spill), 1),
            (keeping, (floors.first_prefill, floors.second_prefill), 0),
        ):
            if owner == 0 and "prefill" not in self.homes:
                continue
            work = np.maximum(through, floor[0][:, None, None].astype(np.float32))
            spent: FloatArray = np.maximum(seconds, floor[1][:, None])
            np.minimum(best, self._shared(work, spent, ratio, owner), out=best)
        return np.asarray(best)

    def _shared(self, work: FloatArray, seconds: FloatArray, ratio: FloatArray, owner: int) -> FloatArray:
        """Best mapping at every level: prefill seconds (n, mappings, levels) with decode seconds (n, mappings)."""
        columns = []
        for index in range(2):
            first = self.first[:, index] + (0 if owner else self.pool_first[:, index])
            pool = self.pool_second[:, index] if owner else np.zeros(len(first))
            mine = self.second[:, index] + (0 if self.mode == OFFLOADED else pool)
            other = self.helper[:, index] + (pool if self.mode == OFFLOADED else 0)
            rate = mine[:, None] + (ratio * other[:, None] if self.mode == OFFLOADED else 0)
            spent = np.where(np.isfinite(seconds), seconds * rate, np.inf).astype(np.float32)
            columns.append(work * first[:, None, None].astype(np.float32) + spent[:, :, None])
        both = [columns[0] + columns[1] * worth.astype(np.float32) for worth in self.relaxation.exchange]
        return np.stack([column.min(axis=1) for column in (*columns, *both)], axis=1)

    def _mixes(self, cost: FloatArray, energy: FloatArray) -> FloatArray:
        both = [cost + worth * energy for worth in self.relaxation.exchange]
        return np.stack([cost, energy, *both], axis=1).astype(np.float32)


class Floors(NamedTuple):
    """Device-seconds per task that links need at least, (n,) each."""

    none: FloatArray
    spill: FloatArray
    """Of the owner of a pool: everything fresh is written through to it."""
    first_decode: FloatArray
    """Of the prefill pool where the KV lives on decode or in the pool."""
    second_decode: FloatArray
    first_prefill: FloatArray
    """Of the prefill pool where the KV lives there."""
    second_prefill: FloatArray


def _floors(pairs: Pairs, agent: int) -> Floors:
    """What links need, whatever the mapping; a pool's port is shared with the other pool where it is optical."""
    pool, ranges = pairs.pool, [tuple(row) for row in pairs.keys[:, [20, 21, 32, 33]].tolist()]
    loads = {key: _least(pairs.cells, agent, key[:2], key[2:]) for key in set(ranges)}
    load: dict[str, FloatArray] = {
        name: np.array([loads[key][name] for key in ranges])
        for name in ("between", "whole", "first_pool", "second_pool", "spilled", "written")
    }
    spill = np.where(pool.certain, np.maximum(load["spilled"] / pool.bandwidth, load["written"] / pool.write_rate), 0.0)
    first, second = pairs.first[:, 2], pairs.second[:, 2]

    def ports(moved: FloatArray) -> FloatArray:
        return np.where(pool.shares_port & pool.certain, moved + spill, np.maximum(moved, spill))

    shared = pool.present & ("shared" in pairs.homes)
    if "decode" in pairs.homes or not shared.all():
        on_decode = load["between"] / first, ports(load["between"] / second)
    else:
        on_decode = np.full(len(first), np.inf), np.full(len(first), np.inf)
    in_pool = [np.where(shared, load[name] / pool.bandwidth, np.inf) for name in ("first_pool", "second_pool")]
    return Floors(
        np.zeros(len(first)),
        spill,
        np.minimum(on_decode[0], in_pool[0]),
        np.minimum(on_decode[1], np.maximum(in_pool[1], spill)),
        ports(load["whole"] / first),
        load["whole"] / second,
    )


def _least(cells: Cells, agent: int, formats: Range, coders: Range) -> dict[str, float]:
    """Least of every floor over KV formats and their codings, per task."""
    loads = [cells.load(agent, kv, coder) for kv in range(*formats) for coder in range(*coders)]
    scale = loads[0].scale
    found: dict[str, Any] = {
        name: min(getattr(load, name) for load in loads) for name in ("between", "whole", "spilled", "written")
    }
    found |= {name: min(load.pooled[i] for load in loads) for i, name in enumerate(("first_pool", "second_pool"))}
    return {name: scale * float(value) for name, value in found.items()}


def _ranges(row: list[int]) -> Ranges:
    return Ranges(*((row[i], row[i + 1]) for i in range(0, len(row), 2)))


def _prices(relaxation: Relaxation, side: Hardware, name: int, kinds: IntArray, ranges: IntArray) -> FloatArray:
    """(n, 3) price [$/s], power [W] and link [B/s] of a device type each; zeros where there is none."""
    nothing = Price(0.0, 0.0, 1.0)
    found = [
        relaxation.price(side, name, int(kind), part) if kind >= 0 else nothing
        for kind, part in zip(kinds, ranges, strict=True)
    ]
    return np.array(found, dtype=np.float64).reshape(len(kinds), 3)


def _pooling(cells: Cells, optical: IntArray, technology: IntArray, capacity: IntArray) -> Pooling:
    held = cells.pooled
    parts = [
        (tech, slice(*size), slice(*light))
        for tech, size, light in zip(technology.tolist(), capacity.tolist(), optical.tolist(), strict=True)
    ]
    light = np.asarray([float(choice) for choice in cells.plan.problem.levers["optical_bandwidth"]])
    return Pooling(
        np.array([bool((held.capacity[part] > 0).any()) for part in parts]),
        np.array([bool((held.capacity[part] > 0).all()) for part in parts]),
        np.array([max(float(held.bandwidth[part].max()), 1.0) for part in parts]),
        np.array([float(held.write_rate[part].max()) for part in parts]),
        np.array([bool((light[part[2]] > 0).all()) for part in parts]),
        technology,
        capacity,
    )


def _pool_prices(side: Hardware, kinds: IntArray, pool: Pooling) -> FloatArray:
    """(n, 2) least price [$/s] and power [W] that the pooled memory adds to its owner's devices."""
    return np.array(
        [
            (
                float(side.pool_hourly[kind, tech, slice(*size)].min()) / SECONDS_PER_HOUR,
                float(side.pool_power[kind, tech, slice(*size)].min()),
            )
            if kind >= 0
            else (0.0, 0.0)
            for kind, tech, size in zip(kinds.tolist(), pool.technology.tolist(), pool.capacity.tolist(), strict=True)
        ]
    ).reshape(len(kinds), 2)
