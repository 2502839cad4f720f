"""Serving points of one class for a block of designs: look up tables, prune, pair, score."""

from typing import Generic, NamedTuple

import numpy as np

from dse.arrays import BoolArray, FloatArray, IntArray
from dse.physics import serving
from dse.search.scoring.block import Block
from dse.search.scoring.offload import offloaded
from dse.search.scoring.phases import DecodeTable, PrefillTable, Table
from dse.search.scoring.plan import Plan, TableKey
from dse.search.scoring.points import PointColumns, evaluate_points
from dse.search.scoring.rows import Rows, gathered, paired, undominated
from dse.search.scoring.shelf import Shelf
from dse.search.scoring.sides import HOME, DecodeSide, Pool, PrefillSide, Setting
from dse.search.scoring.techniques import KERNEL, KV, SUMS, kv_coding

BATCH = 8192
"""Serving points scored at once: their columns stay in the cache, and calls take less time than the work."""


class ClassPoints(NamedTuple):
    """Scored serving points of one class."""

    design: IntArray
    columns: PointColumns
    mapping: dict[str, IntArray]
    output: float
    """Output tokens per step [tok]."""

    @property
    def size(self) -> int:
        """Count the points."""
        return int(self.design.size)

    def take(self, index: IntArray) -> "ClassPoints":
        """Select points."""
        columns = PointColumns(*(column[index] for column in self.columns))
        return ClassPoints(self.design[index], columns, {k: v[index] for k, v in self.mapping.items()}, self.output)


class Store(NamedTuple, Generic[Table]):
    """Tables below each other, and which of them each design and option of a block names."""

    rows: Table
    table: IntArray
    """(n, 2) table of each device type, -1 for none."""
    sizes: IntArray
    """Rows of each table."""


class Candidates(NamedTuple):
    """Serving points of one class before they are scored: a row of either table and a home of the KV each."""

    prefill_store: Store[PrefillTable]
    decode_store: Store[DecodeTable]
    prefill: Rows
    decode: Rows
    home: IntArray


class Pairing(NamedTuple):
    """Serving points of one class as pairs of table rows: each row of either phase is listed once."""

    prefill_store: Store[PrefillTable]
    decode_store: Store[DecodeTable]
    prefill: Rows
    decode: Rows
    left: IntArray
    """(m,) prefill row of each point."""
    right: IntArray
    """(m,) decode row of each point."""
    home: IntArray

    def candidates(self, points: IntArray | slice) -> Candidates:
        """Some points, spelled out."""
        prefill, decode = self.prefill.take(self.left[points]), self.decode.take(self.right[points])
        return Candidates(self.prefill_store, self.decode_store, prefill, decode, self.home[points])


def pairing(plan: Plan, block: Block, agent: int) -> Pairing:
    """Every serving point of one class that is worth scoring on the designs of a block."""
    keys, named = _keys(plan, block, agent, "prefill")
    prefill_store = _stored(*plan.prefill_tables(agent, keys), named)
    keys, named = _keys(plan, block, agent, "decode")
    decode_store = _stored(*plan.decode_tables(agent, keys), named)
    prefill = _prefill_rows(plan, block, agent, prefill_store)
    decode = _decode_rows(plan, block, agent, decode_store)
    pairs = paired(prefill, decode, len(block))
    pick, home = np.nonzero(_homes(plan, block)[prefill.design[pairs.prefill]])
    return Pairing(prefill_store, decode_store, prefill, decode, pairs.prefill[pick], pairs.decode[pick], home)


def candidates(plan: Plan, block: Block, agent: int) -> Candidates:
    """Every serving point of one class that is worth scoring on the designs of a block, spelled out."""
    return pairing(plan, block, agent).candidates(slice(None))


def setting(plan: Plan, block: Block, agent: int, found: Candidates, index: IntArray) -> Setting:
    """Some serving points of one class with everything their score depends on."""
    left, right, home = found.prefill.take(index), found.decode.take(index), found.home[index]
    design = left.design
    kv, codec = kv_tokens(plan, block, agent)
    return Setting(
        plan.classes[agent].shape,
        prefill_side(plan, block, agent, found.prefill_store, left, home == HOME["prefill"]),
        decode_side(plan, block, agent, found.decode_store, right, home != HOME["prefill"]),
        pool(block, design),
        home,
        block.colocated[design],
        kv[design],
        codec[design],
        plan.operation,
    )


def kv_tokens(plan: Plan, block: Block, agent: int) -> tuple[FloatArray, FloatArray]:
    """KV of one token of a class as links hold it, not sharded, on every design [B/tok]; its codec [s/B]."""
    formats = [str(choice) for choice in plan.problem.levers["kv_dtype"]]
    coders = [str(choice) for choice in plan.problem.choices(KV)]
    codings = [[kv_coding(plan.problem, coder, own) for coder in coders] for own in formats]
    ratio, codec = np.moveaxis(np.asarray(codings), 2, 0)[:, block.kv_dtype, block.techniques[KV]]
    whole = np.asarray([plan.kv_token(agent, own) for own in formats])[block.kv_dtype]
    return whole / ratio, codec


def class_points(plan: Plan, block: Block, agent: int) -> ClassPoints:
    """Score every serving point of one class on every design of a block."""
    return scored(plan, block, agent, candidates(plan, block, agent))


def scored(plan: Plan, block: Block, agent: int, found: Candidates) -> ClassPoints:
    """Score some serving points of one class."""
    every = np.arange(found.home.size)
    parts = [
        evaluate_points(setting(plan, block, agent, found, every[start : start + BATCH]))
        for start in range(0, every.size, BATCH)
    ]
    columns = PointColumns(*(np.concatenate(column) for column in zip(*parts, strict=True)))
    return ClassPoints(found.prefill.design, columns, mapping(found), plan.classes[agent].load.output)


def _keys(plan: Plan, block: Block, agent: int, phase: str) -> tuple[list[TableKey], IntArray]:
    """Tables that one pool of a block needs, and which of them each device type of a design uses."""
    problem, side = plan.problem, block.prefill if phase == "prefill" else block.decode
    used = side.device >= 0
    lit = plan.lit(phase)[side.device, side.topology[:, None]]
    light, shade = np.unique(np.where(lit, block.optical_bandwidth[:, None], 0.0), return_inverse=True)
    moved = (block.offloaded & (phase == "decode")).astype(np.int64)
    names = (f"{phase}.topology", "weight_dtype", "kv_dtype", "draft_length", SUMS, KERNEL)
    columns = (
        *(side.topology, block.weight_dtype, block.kv_dtype, block.draft_length),
        *(block.techniques[SUMS], block.techniques[KERNEL]),
    )
    code = (side.device * light.size + shade.reshape(side.device.shape)) * 2 + moved[:, None]
    choices = [problem.choices(name) for name in names]
    for own, column in zip(choices, columns, strict=True):
        code = code * len(own) + column[:, None]
    first, inverse = np.unique(code[used], return_index=True, return_inverse=True)[1:]
    design, option = (where[first] for where in np.nonzero(used))
    keys = []
    for row, kind in zip(design.tolist(), option.tolist(), strict=True):
        topology, weight, cache, draft, sums, kernel = (
            own[int(column[row])] for own, column in zip(choices, columns, strict=True)
        )
        light_here = float(block.optical_bandwidth[row]) if lit[row, kind] else 0.0
        device = plan.devices[int(side.device[row, kind])]
        formats = (str(weight), str(cache), int(draft), bool(moved[row]), str(sums), str(kernel))
        keys.append(TableKey(agent, device, str(topology), light_here, *formats))
    table = np.full(side.device.shape, -1, dtype=np.int64)
    table[used] = inverse.ravel()
    return keys, table


def _stored(shelf: Shelf[TableKey, Table], places: IntArray, named: IntArray) -> Store[Table]:
    return Store(shelf.rows, np.where(named >= 0, places[named], -1), shelf.sizes)


def _prefill_rows(plan: Plan, block: Block, agent: int, store: Store[PrefillTable]) -> Rows:
    """Prefill rows worth pairing: undominated in cost, energy, wait and what memory they lack.

    One placeholder where the decode pool prefills too.
    """
    rows = gathered(store.table, store.sizes)
    table = store.rows
    load, slo = plan.classes[agent].load, plan.classes[agent].shape
    pick = (rows.design, rows.option)
    work = table.work_token[rows.row] * load.fresh + table.work_area[rows.row] * load.area
    service = table.per_token[rows.row] * load.fresh + table.per_area[rows.row] * load.area
    wait = table.pass_time[rows.row] + service / (1 - plan.operation.utilisation)
    room = block.prefill.usable[pick] - table.weights_bytes[rows.row] - table.kv_bytes[rows.row] * load.tail_context
    wait, lacking = np.maximum(wait, 0.1 * slo.ttft_slo), np.maximum(-room, 0)
    cost, energy = work * block.prefill.hourly[pick], work * block.prefill.power[pick]
    kept = undominated(rows, [cost, energy, wait, lacking], len(block))
    placeholder = np.unique(kept.design, return_index=True)[1]
    wanted = ~block.colocated[kept.design]
    wanted[placeholder] = True
    return _spared(kept.take(wanted), block)


def _decode_rows(plan: Plan, block: Block, agent: int, store: Store[DecodeTable]) -> Rows:
    """Decode rows worth pairing: undominated in cost, energy, step time and memory, within the token SLO where any is.

    Where attention is offloaded, what is left of a step counts, in its time once for each batch that alternates, and
    the memory need not hold the KV.
    """
    rows = gathered(store.table, store.sizes)
    if block.offloaded.any():
        rows = rows.take(~(block.offloaded[rows.design] & (rows.option == 1)))
    table = store.rows
    pick = (rows.design, rows.option)
    moved = block.offloaded[rows.design]
    rest = np.where(moved, 1 - table.attention_share[rows.row], 1.0)
    cost, energy = (rest * table.work[rows.row] * own[pick] for own in (block.decode.hourly, block.decode.power))
    held = np.where(moved, 0.0, table.rank_requests()[rows.row] * table.request_bytes[rows.row])
    share = (table.weights_bytes[rows.row] + held) / block.decode.usable[pick]
    turns = np.where(moved, plan.problem.serving.offload_batches * rest, 1.0)
    step = turns * table.step_time_full[rows.row] / plan.classes[agent].shape.tpot_slo
    late, step = np.maximum(step, 1.0), np.maximum(step, 0.1)
    hopeless = (late > 1) & _any(late <= 1, rows.design, len(block))[rows.design]
    full = (share > 1) & (block.pool_capacity[rows.design] <= 0) & ~moved
    hopeless |= full & _any(~full & ~hopeless, rows.design, len(block))[rows.design]
    kept = np.flatnonzero(~hopeless)
    criteria = [cost[kept], energy[kept], step[kept], share[kept]]
    return _spared(undominated(rows.take(kept), criteria, len(block)), block)


def _spared(rows: Rows, block: Block) -> Rows:
    """All rows of sound designs, the first one of designs that violate a requirement in any case."""
    first = np.zeros(rows.design.size, dtype=bool)
    first[np.unique(rows.design, return_index=True)[1]] = True
    return rows.take(first | ~block.doomed[rows.design])


def _any(flag: BoolArray, design: IntArray, count: int) -> BoolArray:
    found = np.zeros(count, dtype=bool)
    found[design[flag]] = True
    return found


def _homes(plan: Plan, block: Block) -> BoolArray:
    """KV homes open to each design, (n, homes)."""
    allowed = np.asarray([name in plan.problem.serving.kv_homes for name in serving.KV_HOMES])
    homes = np.broadcast_to(allowed, (len(block), allowed.size)).copy()
    homes[:, HOME["shared"]] &= block.pool_capacity > 0
    homes[block.offloaded, HOME["append_on_decode"]] = False
    homes[block.colocated] = np.arange(allowed.size) == HOME["decode"]
    homes[block.doomed] &= np.cumsum(homes[block.doomed], axis=1) == 1
    homes[~homes.any(axis=1), HOME["decode"]] = True
    return homes


def pool(block: Block, design: IntArray) -> Pool:
    """Pooled memory of some designs."""
    return Pool(
        block.pool_capacity[design],
        block.pool_bandwidth[design],
        block.optical_bandwidth[design] > 0,
        block.pool_write_rate[design],
    )


def prefill_side(
    plan: Plan, block: Block, agent: int, store: Store[PrefillTable], rows: Rows, owner: BoolArray
) -> PrefillSide:
    """Prefill columns of table rows; the pool hangs on the side that owns the KV (``owner``)."""
    table = store.rows
    side, pick, at = block.prefill, (rows.design, rows.option), rows.row
    weights, kv_bytes = table.weights_bytes[at], table.kv_bytes[at]
    return PrefillSide(
        table.pass_time[at],
        table.pinned_time[at],
        table.response[at],
        table.cold_response[at],
        table.pinned_response[at],
        table.pinned_cold_response[at],
        table.spread[at],
        table.pinned_spread[at],
        table.per_token[at],
        table.per_area[at],
        table.work_token[at],
        table.work_area[at],
        table.rank_devices()[at],
        kv_bytes,
        side.usable[pick] - weights,
        kv_bytes * plan.classes[agent].load.tail_context,
        side.memory[pick],
        side.host_memory[rows.design],
        side.host_bandwidth[pick],
        side.bandwidth[pick],
        side.hourly[pick] + owner * side.pool_hourly[pick],
        side.power[pick] + owner * side.pool_power[pick],
    )


def decode_side(
    plan: Plan, block: Block, agent: int, store: Store[DecodeTable], rows: Rows, owner: BoolArray
) -> DecodeSide:
    """Decode columns of table rows, with attention moved to the second device type where the design says so."""
    table = store.rows
    side, pick, at = block.decode, (rows.design, rows.option), rows.row
    decode = DecodeSide(
        table.step_time[at],
        table.step_time_full[at],
        table.work[at],
        table.slots[at],
        table.batch()[at],
        table.rank_requests()[at],
        table.rank_devices()[at],
        table.kv_bytes[at],
        table.request_bytes[at],
        side.usable[pick] - table.weights_bytes[at],
        side.memory[pick],
        table.append_pass[at],
        table.append_per_token[at],
        table.append_per_area[at],
        table.append_work_token[at],
        table.append_work_area[at],
        table.append_work_pass[at],
        side.host_memory[rows.design],
        side.host_bandwidth[pick],
        side.bandwidth[pick],
        side.hourly[pick] + owner * side.pool_hourly[pick],
        side.power[pick] + owner * side.pool_power[pick],
    )
    return offloaded(plan, block, agent, decode, rows, table.attention_share[at], table.devices()[at], owner)


def mapping(found: Candidates) -> dict[str, IntArray]:
    """How each point uses its design, by name."""
    names = ("tp", "pp", "attention_dp", "moe_tp", "ep", "cp", "size")
    used = {"kv_home": found.home, "prefill.type": found.prefill.option, "decode.type": found.decode.option}
    sides: tuple[tuple[str, Store[PrefillTable] | Store[DecodeTable], Rows], ...] = (
        ("prefill", found.prefill_store, found.prefill),
        ("decode", found.decode_store, found.decode),
    )
    for side, store, rows in sides:
        last = "chunk" if side == "prefill" else "batch"
        for name, column in zip(names, store.rows.grid, strict=True):
            used[f"{side}.{last if name == 'size' else name}"] = column[rows.row]
    return used
