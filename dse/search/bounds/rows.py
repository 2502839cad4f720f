"""Rows of phase tables as bounds: device-seconds per task on either pool, and the latency that they allow."""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from dse.arrays import FloatArray, IntArray
from dse.physics import serving
from dse.search.bounds.loads import ClassLoad, Line, least_latency
from dse.search.scoring.block import Block
from dse.search.scoring.offload import offloaded
from dse.search.scoring.phases import DecodeTable, PrefillTable
from dse.search.scoring.plan import Plan, TableKey
from dse.search.scoring.rows import Rows
from dse.search.scoring.sides import DecodeSide
from dse.search.scoring.techniques import KERNEL, SUMS

LOOSE = 1 + 1e-9
"""A slack is called violated beyond rounding only."""


class PrefillRows(NamedTuple):
    """Prefill mappings of one table for one class."""

    need: FloatArray
    """Memory that weights and the longest context take [B]."""
    keeping: FloatArray
    """Device-seconds per task if caches keep what they can [s]."""
    losing: FloatArray
    """The same if they lose much [s]."""
    cold: FloatArray
    """The same for steps that find nothing, the rest staying on the decode pool [s]."""
    line: Line
    cold_line: Line
    """Of steps that do not find their prefix."""


class DecodeRows(NamedTuple):
    """Decode mappings of one table for one class, on one memory option."""

    tpot: FloatArray
    """Time per output token with every slot busy [s]."""
    seconds: FloatArray
    """Device-seconds of decode per task, on devices of the first type [s]."""
    ratio: FloatArray
    """Devices of a second type that go with each of the first [1]."""
    mixed_seconds: FloatArray
    """Device-seconds per task with the appends, or with all of prefill where pools are one [s]."""
    mixed_latency: FloatArray
    """Least step latency over its target of that [1]."""


def prefill_rows(table: PrefillTable, load: ClassLoad, utilisation: float) -> PrefillRows:
    """Bounds of every row of a prefill table."""

    def seconds(tokens: float, area: float) -> FloatArray:
        return load.scale * (table.work_token * tokens + table.work_area * area) / utilisation

    columns = np.stack(
        [
            table.weights_bytes + table.kv_bytes * load.tail,
            seconds(*load.keeping),
            seconds(*load.losing),
            seconds(*load.cold),
            *(table.pass_time, table.response, table.per_token, table.per_area, table.cold_response),
        ]
    )
    need, keeping, losing, cold, *line, later = columns[:, undominated(columns)]
    warm = Line(*line)
    return PrefillRows(need, keeping, losing, cold, warm, warm._replace(response=later))


def undominated(columns: FloatArray) -> IntArray:
    """Columns that no other one matches or beats in every row; of equal ones the first stays."""
    below = (columns[:, :, None] <= columns[:, None, :]).all(axis=0)
    earlier = np.arange(columns.shape[1])[:, None] < np.arange(columns.shape[1])
    return np.flatnonzero(~(below & (~below.T | earlier)).any(axis=0))


class Site(NamedTuple):
    """Where decode rows sit: what their side offers at best."""

    usable: float
    """Memory that weights and KV may fill [B]."""
    bandwidth: float
    """Least bandwidth to anything else, for the bound of the prefill share from above [B/s]."""
    pool_capacity: float
    """Most pooled memory per device, 0 for none [B]."""
    pool_bandwidth: float
    """Best bandwidth to it [B/s]."""
    colocated: bool


def decode_rows(
    plan: Plan, agent: int, load: ClassLoad, table: DecodeTable, site: Site, coldest: Line | None
) -> DecodeRows:
    """Bounds of the rows of a decode table that can hold their batch; ``coldest`` is the best line of any prefill.

    Where decode devices prefill too, only rows that no other one beats in every respect have a latency.
    """
    item, limit = plan.classes[agent], plan.operation.utilisation
    room = site.usable - table.weights_bytes
    spilled = np.maximum(table.rank_requests() * table.request_bytes - room, 0)
    fits = (spilled <= 0) | ((room >= 0) & (spilled <= site.pool_capacity))
    kept = np.flatnonzero(fits & (room >= 0))
    over = spilled[kept] / max(site.pool_bandwidth, 1.0)
    tpot = np.maximum(table.step_time_full[kept], over)
    own = load.output * table.work[kept]
    tokens, area = load.keeping if site.colocated else load.warm
    append = (table.append_work_token[kept] * tokens + table.append_work_area[kept] * area) / limit
    links = 0.0 if site.pool_capacity > 0 else load.crossing / site.bandwidth
    share = np.where(over > 0, 0.0, np.minimum(limit * append / np.maximum(own + append, links), 0.99))
    mixed = serving.shared_pass_time(tpot, share * (site.pool_capacity <= 0))
    latency = np.full(kept.size, np.inf)
    if site.colocated or coldest is not None:
        sharing = np.full(kept.size, 1.0 if plan.operation.first_come else 1 / (1 - limit))
        lines = np.stack([table.append_pass[kept], sharing, table.append_per_token[kept], table.append_per_area[kept]])
        timely = np.flatnonzero(mixed <= item.shape.tpot_slo * LOOSE)
        timely = timely[undominated(np.stack([mixed, own + append, *lines])[:, timely])]
        warm = Line(*lines[:, timely])
        cold = warm if site.colocated or coldest is None else coldest
        found = least_latency(plan, agent, load, (warm, cold), mixed[timely, None])
        latency[timely] = np.where(found.first <= LOOSE, found.whole[:, 0], np.inf)
    tpot = np.where(site.colocated, np.inf, tpot)
    return DecodeRows(tpot, load.scale * own, np.zeros(kept.size), load.scale * (own + append), latency)


def offloaded_rows(plan: Plan, agent: int, load: ClassLoad, table: DecodeTable, block: Block) -> list[DecodeRows]:
    """Bounds of decode rows whose attention runs on the second device type, for each design of a block."""
    designs, count = len(block), table.work.size
    row, design = np.tile(np.arange(count), designs), np.repeat(np.arange(designs), count)
    rows = Rows(design, np.zeros(row.size, dtype=np.int64), row)
    side, nothing, unused = block.decode, np.zeros(row.size), np.ones(row.size)
    plain = DecodeSide(
        table.step_time[row],
        table.step_time_full[row],
        table.work[row],
        table.slots[row],
        table.batch()[row],
        table.rank_requests()[row],
        table.rank_devices()[row],
        table.kv_bytes[row],
        table.request_bytes[row],
        side.usable[design, 0] - table.weights_bytes[row],
        *(unused,) * 7,
        nothing,
        nothing + 1,
        side.bandwidth[design, 0],
        side.hourly[design, 0],
        side.power[design, 0],
    )
    alone = np.zeros(row.size, dtype=bool)
    moved = offloaded(plan, block, agent, plain, rows, table.attention_share[row], table.devices()[row], alone)
    ratio = (moved.hourly - side.hourly[design, 0]) / np.maximum(side.hourly[design, 1], TINY)
    seconds = load.scale * load.output * moved.work
    held = moved.rank_requests * moved.request_bytes
    fits = (moved.room >= 0) & (moved.room >= held / LOOSE) & (block.decode.device[design, 1] >= 0)
    made = []
    for own in range(designs):
        kept = np.flatnonzero(fits & (design == own))
        never = np.full(kept.size, np.inf)
        made.append(DecodeRows(moved.step_time_full[kept], seconds[kept], ratio[kept], never, never))
    return made


TINY = 1e-30
"""Keeps a division by a price that is not there finite."""


def prefill_levels(
    plan: Plan, agent: int, load: ClassLoad, rows: PrefillRows, tpots: FloatArray, every: int
) -> FloatArray:
    """(rows, tpots) least step latency over its target, infinite where the first token comes too late in any case.

    Of ``every`` times per output token it is computed for one. Between two of them it is no less than at the smaller,
    and no less than at the larger times their ratio: all parts of a step would have to shrink by as much.
    """
    nodes = np.unique([*range(0, tpots.size, every), tpots.size - 1])
    found = least_latency(plan, agent, load, (rows.line, rows.cold_line), tpots[None, nodes])
    place = np.arange(tpots.size)
    before, after = np.searchsorted(nodes, place, side="right") - 1, np.searchsorted(nodes, place)
    ratio = tpots / np.maximum(tpots[nodes[after]], TINY)
    whole = np.maximum(found.whole[:, before], found.whole[:, after] * ratio)
    return np.where(found.first[:, None] <= LOOSE, whole, np.inf)


def table_key(plan: Plan, agent: int, side: str, place: tuple[int, int, float], formats: Sequence[int]) -> TableKey:
    """Key of a phase table: device, interconnect and light, choices of the formats, the draft and the techniques."""
    levers = plan.problem.levers
    device, topology, light = place
    return TableKey(
        agent,
        plan.devices[device],
        str(levers[f"{side}.topology"][topology]),
        light,
        str(levers["weight_dtype"][formats[0]]),
        str(levers["kv_dtype"][formats[1]]),
        int(levers["draft_length"][formats[2]]),
        False,
        *(str(plan.problem.choices(name)[row]) for name, row in zip((SUMS, KERNEL), formats[3:], strict=True)),
    )
