"""Cells: the least device-seconds of one device type at every level of latency, per class; looked up by all boxes.

A prefill cell tells, for every bound on the time per output token and every level of latency, the fewest seconds of
any mapping that keeps the level. A decode cell lists its undominated mappings. Cells of ranges of choices are the best
of the cells of their choices, so a wider range never has a higher bound.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import product
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from dse.arrays import FloatArray, IntArray
from dse.search.bounds.crew import Clock
from dse.search.bounds.hardware import Hardware, Pooled, helped
from dse.search.bounds.loads import ClassLoad, Line, binned, class_load
from dse.search.bounds.rows import (
    LOOSE,
    DecodeRows,
    PrefillRows,
    Site,
    decode_rows,
    offloaded_rows,
    prefill_levels,
    prefill_rows,
    table_key,
    undominated,
)
from dse.search.scoring.block import Block
from dse.search.scoring.plan import Plan
from dse.search.scoring.techniques import KERNEL, KV, SUMS, kv_coding
from dse.search.space import Space

STEPS = 144
"""Bounds on the time per output token at which prefill mappings are tabulated."""

EVERY = 4
"""Of so many of these the latency of one is computed; that of the others is bounded by its neighbours'."""

MAPPINGS = 48
"""Decode mappings of a cell; where more are undominated, neighbours are replaced by their better half each."""

SEPARATE, COLOCATED, OFFLOADED = range(3)
MODES = {"disaggregated": SEPARATE, "colocated": COLOCATED, "attention_offload": OFFLOADED}
"""Code of each way to serve."""

Range = tuple[int, int]
"""Choices from the first up to, not including, the second."""

Place = tuple[int, ...]
"""Choice of topology, memory, light and each of the levers of a table's formats and techniques."""


class PrefillCell(NamedTuple):
    """Least device-seconds per task, (classes, steps, levels); infinite where no mapping keeps the level."""

    keeping: NDArray[np.float32]
    losing: NDArray[np.float32]
    cold: FloatArray
    """(classes,) of steps that find nothing, at any latency."""


class DecodeCell(NamedTuple):
    """Decode mappings, (classes, mappings), infinite seconds where there are fewer."""

    step: IntArray
    """Index of the bound on the time per output token that the mapping keeps."""
    seconds: FloatArray
    ratio: FloatArray
    mixed: FloatArray
    """(classes, levels) least device-seconds where decode devices prefill too."""


class Ranges(NamedTuple):
    """Choices of the levers that tables depend on."""

    topology: Range
    memory_scale: Range
    optical: Range
    weight: Range
    kv: Range
    draft: Range
    sums: Range
    kernel: Range


@dataclass(eq=False)
class Cells:
    """All cells of a study, made when first used and kept."""

    plan: Plan
    space: Space
    prefill: Hardware
    decode: Hardware
    pooled: Pooled
    levels: FloatArray
    """Lower edge of each level of the latency over its target; the first is zero."""
    clock: Clock = field(default_factory=Clock)
    """Nothing is made once it is late."""
    loads: dict[tuple[int, int, int], ClassLoad] = field(default_factory=dict)
    tpots: dict[int, FloatArray] = field(default_factory=dict)
    coldest: dict[int, Line] = field(default_factory=dict)
    rows: dict[tuple[int, ...], tuple[PrefillRows, IntArray]] = field(default_factory=dict)
    helped_rows: dict[tuple[int, ...], list[DecodeRows]] = field(default_factory=dict)
    blocks: dict[tuple[int, int, int], Block] = field(default_factory=dict)
    prefill_cells: dict[tuple[object, ...], PrefillCell] = field(default_factory=dict)
    decode_cells: dict[tuple[object, ...], DecodeCell] = field(default_factory=dict)

    @property
    def classes(self) -> range:
        """Indices of the classes."""
        return range(len(self.plan.classes))

    def widest(self, name: str) -> Ranges:
        """All choices that one pool has."""
        own = (f"{name}.topology", f"{name}.memory_scale")
        return Ranges(*((0, len(self.plan.problem.choices(lever))) for lever in (*own, *SHARED)))

    def prefill_cell(self, kind: int, at: Ranges) -> PrefillCell:
        """Cell of a prefill device type; without any mapping where no choice in the ranges keeps the requirements."""
        if (kind, at) not in self.prefill_cells:
            found = [self._prefill_single(kind, place) for place in self._places(self.prefill, "prefill", kind, at)]
            shape = (len(self.classes), STEPS, self.levels.size)
            never = np.full(shape, np.inf, np.float32)
            nothing = PrefillCell(never, never, np.full(shape[0], np.inf))
            self.prefill_cells[kind, at] = PrefillCell(
                *(np.minimum.reduce(parts) for parts in zip(nothing, *found, strict=True))
            )
        return self.prefill_cells[kind, at]

    def decode_cell(self, mode: int, kinds: tuple[int, int], pool: bool, at: Ranges) -> DecodeCell:
        """Cell of a decode device type, with the type that runs its attention where that is moved; maybe empty."""
        pool = pool and mode != OFFLOADED
        if (mode, kinds, pool, at) not in self.decode_cells:
            places = self._places(self.decode, "decode", kinds[0], at)
            if mode == OFFLOADED:
                second = set(self._places(self.decode, "decode", kinds[1], at, lit=False))
                places = [place for place in places if (*place[:2], -1, *place[3:]) in second]
            shape = (len(self.classes), 1)
            nothing = DecodeCell(
                np.zeros(shape, dtype=np.int64),
                np.full(shape, np.inf),
                np.zeros(shape),
                np.full((shape[0], self.levels.size), np.inf),
            )
            found = [self._decode_single(mode, kinds, pool, place) for place in places]
            self.decode_cells[mode, kinds, pool, at] = found[0] if len(found) == 1 else joined([nothing, *found])
        return self.decode_cells[mode, kinds, pool, at]

    def _places(self, side: Hardware, name: str, kind: int, at: Ranges, lit: bool = True) -> list[Place]:
        """Single choices inside ranges that do not break a requirement, in the order of `Place`."""
        made = []
        for topology, memory in product(range(*at.topology), range(*at.memory_scale)):
            sound = ~side.doomed[kind, topology, memory].all(axis=0)
            lights = [light for light in range(*at.optical) if sound[light]]
            if lights and not (lit and self._lit(side, name, kind, topology)):
                lights = [-1]
            formats = product(*(range(*part) for part in (at.weight, at.kv, at.draft, at.sums, at.kernel)))
            made += [(topology, memory, light, *rest) for light, rest in product(lights, list(formats))]
        return made

    def _lit(self, side: Hardware, name: str, kind: int, topology: int) -> bool:
        device = self.plan.devices[side.types[kind]]
        wiring = str(self.plan.problem.levers[f"{name}.topology"][topology])
        return "optical" in self.plan.coefficients(device, wiring).bandwidth

    def _light(self, choice: int) -> float:
        return float(self.plan.problem.levers["optical_bandwidth"][choice]) if choice >= 0 else 0.0

    def load(self, agent: int, kv: int, coder: int = 0) -> ClassLoad:
        """Bounds of a class at a KV format and a coding of it on its way, on which latency and work do not depend."""
        if (agent, kv, coder) not in self.loads:
            problem = self.plan.problem
            own, technique = str(problem.levers["kv_dtype"][kv]), str(problem.choices(KV)[coder])
            ratio = kv_coding(problem, technique, own).ratio
            self.loads[agent, kv, coder] = class_load(self.plan, agent, self.plan.kv_token(agent, own), ratio)
        return self.loads[agent, kv, coder]

    def steps(self, agent: int) -> FloatArray:
        """Bounds on the time per output token of a class: zero, then even steps in its logarithm up to the target."""
        if agent not in self.tpots:
            target = self.plan.classes[agent].shape.tpot_slo
            self.tpots[agent] = np.concatenate([[0.0], np.geomspace(target / SPREAD, target, STEPS)[:-1]])
        return self.tpots[agent]

    def _prefill_rows(self, agent: int, kind: int, place: Sequence[int]) -> tuple[PrefillRows, IntArray]:
        """Rows of a table and the level of each at every bound on the time per token, -1 beyond the target."""
        topology, _, light, *formats = place
        key = (agent, kind, topology, light, *formats)
        if key not in self.rows:
            self.clock.heed()
            named = (int(self.prefill.types[kind]), topology, self._light(light))
            table = self.plan.prefill(table_key(self.plan, agent, "prefill", named, formats))
            load = self.load(agent, formats[1])
            rows = prefill_rows(table, load, self.plan.operation.utilisation)
            latency = prefill_levels(self.plan, agent, load, rows, self.steps(agent), EVERY)
            self.rows[key] = rows, np.where(latency <= LOOSE, binned(latency, self.levels), -1)
        return self.rows[key]

    def _prefill_single(self, kind: int, place: Place) -> PrefillCell:
        key = (kind, *place)
        if key not in self.prefill_cells:
            usable = float(self.prefill.usable[kind, 0, place[1], 0, 0])
            shape = (len(self.classes), STEPS, self.levels.size)
            keeping, losing = np.full(shape, np.inf, np.float32), np.full(shape, np.inf, np.float32)
            cold = np.full(shape[0], np.inf)
            for agent in self.classes:
                rows, levels = self._prefill_rows(agent, kind, place)
                fits = rows.need <= usable * LOOSE
                row, step = np.nonzero(fits[:, None] & (levels >= 0))
                for table, seconds in ((keeping, rows.keeping), (losing, rows.losing)):
                    np.minimum.at(table[agent], (step, levels[row, step]), seconds[row])
                cold[agent] = rows.cold[fits].min(initial=np.inf)
            self.prefill_cells[key] = PrefillCell(
                np.minimum.accumulate(keeping, axis=2), np.minimum.accumulate(losing, axis=2), cold
            )
        return self.prefill_cells[key]

    def _decode_single(self, mode: int, kinds: tuple[int, int], pool: bool, place: Place) -> DecodeCell:
        key = (mode, *kinds, int(pool), *place)
        if key not in self.decode_cells:
            self.clock.heed()
            found = [self._decode_rows(agent, mode, kinds, pool, place) for agent in self.classes]
            cells = [self._listed(agent, rows) for agent, rows in zip(self.classes, found, strict=True)]
            self.decode_cells[key] = DecodeCell(*(np.stack(column) for column in zip(*cells, strict=True)))
        return self.decode_cells[key]

    def _decode_rows(self, agent: int, mode: int, kinds: tuple[int, int], pool: bool, place: Place) -> DecodeRows:
        topology, memory, light, *formats = place
        named = (int(self.decode.types[kinds[0]]), topology, self._light(light))
        table_name = table_key(self.plan, agent, "decode", named, formats)
        load = self.load(agent, formats[1])
        if mode == OFFLOADED:
            key = (agent, kinds[0], topology, light, *formats)
            if key not in self.helped_rows:
                table = self.plan.decode(table_name._replace(attention_elsewhere=True))
                block = self._helped(kinds[0], topology, formats[1])
                self.helped_rows[key] = offloaded_rows(self.plan, agent, load, table, block)
            return self.helped_rows[key][kinds[1] * len(self.plan.problem.levers["decode.memory_scale"]) + memory]
        own = self.decode.bandwidth[kinds[0], topology, memory]
        host = float(self.plan.fleet.host_bandwidth[self.decode.types[kinds[0]]])
        site = Site(
            float(self.decode.usable[kinds[0], 0, memory, 0, 0]),
            min(float(own.min()), host),
            float(self.pooled.capacity.max()) if pool else 0.0,
            float(self.pooled.bandwidth.max()),
            mode == COLOCATED,
        )
        appends = "append_on_decode" in self.plan.problem.serving.kv_homes
        coldest = self._coldest(agent) if appends and mode == SEPARATE else None
        return decode_rows(self.plan, agent, load, self.plan.decode(table_name), site, coldest)

    def _helped(self, kind: int, topology: int, kv: int) -> Block:
        """Designs with every second device type beside a first one."""
        if (kind, topology, kv) not in self.blocks:
            self.blocks[kind, topology, kv] = helped(self.plan, self.space, self.decode, kind, topology, kv)
        return self.blocks[kind, topology, kv]

    def _coldest(self, agent: int) -> Line:
        """Least line of any prefill mapping of the study: what a step that finds nothing takes at the very least."""
        if agent not in self.coldest:
            lines = [
                self._prefill_rows(agent, kind, place)[0].cold_line
                for kind in range(self.prefill.types.size)
                for place in self._places(self.prefill, "prefill", kind, self.widest("prefill"))
            ]
            columns = zip(*lines, strict=True)
            self.coldest[agent] = Line(*(np.asarray([min(part.min() for part in column)]) for column in columns))
        return self.coldest[agent]

    def _listed(self, agent: int, rows: DecodeRows) -> tuple[IntArray, FloatArray, FloatArray, FloatArray]:
        """Undominated mappings of one class, and the least seconds at every level where decode prefills too."""
        step = binned(rows.tpot, self.steps(agent))
        usable = np.flatnonzero(rows.tpot <= self.plan.classes[agent].shape.tpot_slo * LOOSE)
        mappings = padded(step[usable], rows.seconds[usable], rows.ratio[usable])
        mixed = np.full(self.levels.size, np.inf)
        kept = np.flatnonzero(rows.mixed_latency <= LOOSE)
        np.minimum.at(mixed, binned(rows.mixed_latency[kept], self.levels), rows.mixed_seconds[kept])
        return (*mappings, np.minimum.accumulate(mixed))


SPREAD = 12.0
"""Target over the least time per output token that is told apart from zero [1]."""

SHARED = ("optical_bandwidth", "weight_dtype", "kv_dtype", "draft_length", SUMS, KERNEL)
"""Levers of `Ranges` that both pools share."""


def joined(cells: Sequence[DecodeCell]) -> DecodeCell:
    """Cell that holds the mappings of several."""
    step, seconds, ratio = (np.concatenate(column, axis=1) for column in list(zip(*cells, strict=True))[:3])
    found = [padded(*columns) for columns in zip(step, seconds, ratio, strict=True)]
    steps, least, helpers = (np.stack(column) for column in zip(*found, strict=True))
    return DecodeCell(steps, least, helpers, np.min([cell.mixed for cell in cells], axis=0))


def padded(step: IntArray, seconds: FloatArray, ratio: FloatArray) -> tuple[IntArray, FloatArray, FloatArray]:
    """Undominated mappings in the order of their steps, merged to `MAPPINGS` at most, filled up with none."""
    finite = np.flatnonzero(np.isfinite(seconds))
    columns = np.stack([step[finite].astype(float), seconds[finite], ratio[finite]])
    columns = columns[:, np.lexsort(columns[::-1])]
    points = columns[:, undominated(columns)].T
    while len(points) > MAPPINGS:
        points = merged(points, len(points) - MAPPINGS)
    made = np.full((MAPPINGS, 3), np.inf)
    made[:, 0], made[:, 2] = 0.0, 0.0
    made[: len(points)] = points[np.argsort(points[:, 0], kind="stable")]
    return made[:, 0].astype(np.int64), made[:, 1], made[:, 2]


def merged(points: FloatArray, count: int) -> FloatArray:
    """Points, up to `count` pairs of neighbours replaced by the best of both, those first that lose least."""
    both, worse = np.minimum(points[1:], points[:-1]), np.maximum(points[1:], points[:-1])
    loss = np.log((worse[:, 1:] + TINY) / (both[:, 1:] + TINY)).sum(axis=1) + (worse[:, 0] - both[:, 0]) / STEPS
    gone = np.zeros(len(points), dtype=bool)
    made: list[int] = []
    for at in np.argsort(loss).tolist():
        if len(made) < count and not gone[at] and not gone[at + 1]:
            gone[at : at + 2] = True
            made.append(at)
    together = np.concatenate([points[~gone], both[made]])
    return np.asarray(together[np.argsort(together[:, 0], kind="stable")])


TINY = 1e-12
"""Keeps the ratio of two zeros at one."""
