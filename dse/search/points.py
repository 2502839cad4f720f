"""Serving points: one class on one prefill mapping, one decode mapping and one home of its KV.

Every quantity is per agent step unless its name says otherwise, in flat columns of length m (one row a serving point).
The functions follow the life of a step: how much memory is left, how long KV survives, what must be recomputed, what
crosses the links, how long the step takes, what it costs.
"""

from typing import NamedTuple

import numpy as np

from dse.arrays import BoolArray, FloatArray, IntArray
from dse.facts.atoms import HIT, MISSED, Atoms
from dse.facts.distill import Curves, Moments
from dse.physics import queueing, retention, serving

HOME = {name: code for code, name in enumerate(serving.KV_HOMES)}


class ClassShape(NamedTuple):
    """What the evaluation needs of a workload class: moments, curves over retention time, representative steps."""

    moments: Moments
    curves: Curves
    atoms: Atoms
    steps: float
    """Model calls per task [1]."""
    cold_fresh: float
    """Share of E[a] that first steps and broken prefixes bring [tok]."""
    cold_area: float
    """Their share of the attention area [tok²]."""
    ttft_slo: float
    tpot_slo: float
    latency_slo: float


class PrefillSide(NamedTuple):
    """Columns of the prefill half of each point (gathered from the phase table and the design)."""

    pass_time: FloatArray
    per_token: FloatArray
    per_area: FloatArray
    work_token: FloatArray
    work_area: FloatArray
    rank_devices: FloatArray
    kv_bytes: FloatArray
    room: FloatArray
    tail_bytes: FloatArray
    memory: FloatArray
    host_bytes: FloatArray
    host_bandwidth: FloatArray
    bandwidth: FloatArray
    hourly: FloatArray
    power: FloatArray


class DecodeSide(NamedTuple):
    """Columns of the decode half; the append terms are prefill on the same instance."""

    step_time: FloatArray
    step_time_full: FloatArray
    work: FloatArray
    slots: FloatArray
    batch: FloatArray
    rank_requests: FloatArray
    rank_devices: FloatArray
    kv_bytes: FloatArray
    request_bytes: FloatArray
    room: FloatArray
    memory: FloatArray
    append_pass: FloatArray
    append_per_token: FloatArray
    append_per_area: FloatArray
    append_work_token: FloatArray
    append_work_area: FloatArray
    host_bytes: FloatArray
    host_bandwidth: FloatArray
    bandwidth: FloatArray
    hourly: FloatArray
    power: FloatArray


class Pool(NamedTuple):
    """The pooled memory as one accelerator sees it."""

    capacity: FloatArray
    bandwidth: FloatArray


class Operation(NamedTuple):
    """How the system is operated."""

    utilisation: float
    percentile: float
    affinity: float
    first_come: bool
    arrival_scv: float


class PointColumns(NamedTuple):
    """Result columns of serving points."""

    cost: FloatArray
    energy: FloatArray
    ratio: FloatArray
    violation: FloatArray
    ttft_p50: FloatArray
    ttft_p95: FloatArray
    ttft_p99: FloatArray
    tpot: FloatArray
    tpot_full: FloatArray
    latency_mean: FloatArray
    step_latency: FloatArray
    hit_rate: FloatArray
    retention_time: FloatArray
    prefill_seconds: FloatArray
    decode_seconds: FloatArray
    prefill_cost: FloatArray
    decode_cost: FloatArray
    prefill_link_share: FloatArray
    decode_link_share: FloatArray
    pool_share: FloatArray
    bistable: FloatArray
    slack_capacity: FloatArray
    slack_ttft: FloatArray
    slack_tpot: FloatArray
    slack_pool: FloatArray


def evaluate_points(
    shape: ClassShape,
    prefill: PrefillSide,
    decode: DecodeSide,
    pool: Pool,
    home: IntArray,
    colocated: BoolArray,
    *,
    kv_token: FloatArray,
    operation: Operation,
) -> PointColumns:
    """Score serving points of one class; ``kv_token`` is the unsharded KV of one token [B/tok]."""
    active = _active_memory(prefill, decode, pool, colocated)
    utilisation = operation.utilisation
    kept = _retain(shape, prefill, decode, pool, home, colocated, kv_token, operation)
    work = _work(shape, prefill, decode, home, colocated, kept, utilisation)
    links = _links(shape, prefill, decode, pool, home, colocated, kept, kv_token, utilisation)
    prefill_seconds = np.where(colocated, 0.0, np.maximum(work.prefill, links.prefill))
    decode_seconds = np.maximum(work.decode * active.step_time / decode.step_time + work.append, links.decode)
    share = work.append / np.maximum(decode_seconds, 1e-30)
    tpot = serving.shared_pass_time(active.step_time, np.minimum(share, 0.99))
    tpot_full = serving.shared_pass_time(active.step_time_full, np.minimum(share, 0.99))
    wait = _latency(shape, prefill, decode, pool, home, colocated, kept, tpot_full, kv_token, operation)
    prefill_cost = shape.steps * prefill_seconds * prefill.hourly / 3600
    decode_cost = shape.steps * decode_seconds * decode.hourly / 3600
    energy = shape.steps * (prefill_seconds * prefill.power + decode_seconds * decode.power)
    slack_ttft = 1 - wait.ttft[3] / shape.ttft_slo
    slack_tpot = 1 - tpot_full / shape.tpot_slo
    violation = sum(
        np.maximum(-slack, 0) for slack in (active.slack_capacity, active.slack_pool, slack_ttft, slack_tpot)
    )
    return PointColumns(
        cost=prefill_cost + decode_cost,
        energy=energy,
        ratio=wait.latency / shape.latency_slo,
        violation=np.asarray(violation),
        ttft_p50=wait.ttft[0],
        ttft_p95=wait.ttft[1],
        ttft_p99=wait.ttft[2],
        tpot=tpot,
        tpot_full=tpot_full,
        latency_mean=wait.latency_mean,
        step_latency=wait.latency,
        hit_rate=kept.hit,
        retention_time=kept.time,
        prefill_seconds=prefill_seconds,
        decode_seconds=decode_seconds,
        prefill_cost=prefill_cost,
        decode_cost=decode_cost,
        prefill_link_share=links.prefill / np.maximum(prefill_seconds, 1e-30),
        decode_link_share=links.decode / np.maximum(decode_seconds, 1e-30),
        pool_share=active.spilled_share,
        bistable=_bistable(shape, prefill, kept, utilisation),
        slack_capacity=active.slack_capacity,
        slack_ttft=slack_ttft,
        slack_tpot=slack_tpot,
        slack_pool=active.slack_pool,
    )


class _Active(NamedTuple):
    """Active KV placed in HBM and pool."""

    step_time: FloatArray
    step_time_full: FloatArray
    spilled_share: FloatArray
    slack_capacity: FloatArray
    slack_pool: FloatArray


def _active_memory(prefill: PrefillSide, decode: DecodeSide, pool: Pool, colocated: BoolArray) -> _Active:
    """Fit active KV into HBM and spill the rest to the pool, whose link then bounds the step."""
    need = decode.rank_requests * decode.request_bytes
    spilled = np.maximum(need - decode.room, 0)
    reachable = (pool.capacity > 0) & (decode.room >= 0)
    over_link = np.where(reachable, spilled / np.maximum(pool.bandwidth, 1.0), 0)
    on_decode = np.where(reachable & (spilled > 0), 0.0, (decode.room - need) / decode.memory)
    on_prefill = np.where(colocated, np.inf, (prefill.room - prefill.tail_bytes) / prefill.memory)
    in_pool = np.where(reachable, (pool.capacity - spilled) / np.maximum(pool.capacity, 1.0), 0.0)
    return _Active(
        np.maximum(decode.step_time, over_link * decode.slots / decode.batch),
        np.maximum(decode.step_time_full, over_link),
        spilled / np.maximum(need, 1.0),
        np.minimum(on_decode, on_prefill),
        in_pool,
    )


class _Kept(NamedTuple):
    """Retention of a class: how long KV is kept, what hits, from where, and what is lost."""

    time: FloatArray
    hit: FloatArray
    restored: FloatArray
    """Share of the hits that come from a tier below HBM [1]."""
    from_pool: FloatArray
    """1 where most of these come from the pool, 0 where from host DRAM."""
    lost_tokens: FloatArray
    lost_area: FloatArray
    host_tokens: FloatArray
    pool_tokens: FloatArray
    idle_share: FloatArray


def _retain(
    shape: ClassShape,
    prefill: PrefillSide,
    decode: DecodeSide,
    pool: Pool,
    home: IntArray,
    colocated: BoolArray,
    kv_token: FloatArray,
    operation: Operation,
) -> _Kept:
    """Solve the retention time of each tier from the memory that the KV's owner has left (inclusive tiers)."""
    on_prefill = (home == HOME["prefill"]) & ~colocated
    on_pool = (home == HOME["shared"]) & ~colocated
    busy = decode.slots / decode.batch * decode.rank_requests * decode.request_bytes
    spare = np.maximum(np.where(on_prefill, prefill.room - prefill.tail_bytes, decode.room - busy), 0)
    spread = np.where(
        on_prefill, prefill.kv_bytes * prefill.rank_devices, decode.kv_bytes * decode.rank_devices
    )
    hbm = np.where(on_pool, 0.0, spare / spread)
    host = np.where(on_pool, 0.0, np.where(on_prefill, prefill.host_bytes, decode.host_bytes) / kv_token)
    spill = np.maximum(decode.rank_requests * decode.request_bytes - decode.room, 0)
    pooled = np.maximum(pool.capacity - spill, 0) / kv_token
    tiers = (hbm, np.maximum(hbm, host), np.maximum(np.maximum(hbm, host), pooled))
    grid, occupancy = shape.curves.retention[:-1], shape.curves.occupancy[:-1]
    seconds = shape.moments.output * decode.work
    rows = np.flatnonzero(on_prefill)
    if rows.size:
        top = _prefill_home_time(shape, prefill, rows, tiers[2], operation.utilisation)
        seconds = seconds.copy()
        seconds[rows] = _prefill_demand(
            shape,
            prefill,
            rows,
            shape.curves.at("miss_tokens", top),
            shape.curves.at("miss_area", top),
            operation.utilisation,
        )
    times = [retention.characteristic_time(grid, occupancy, tier * seconds) for tier in tiers]
    near = operation.affinity
    hits = [near * shape.curves.at("hit_by_time", time) for time in times]
    found = [near * shape.curves.at("restore_tokens", time) for time in times]
    tokens, area = (
        near * shape.curves.at(name, times[2]) + (1 - near) * getattr(shape.curves, name)[0]
        for name in ("miss_tokens", "miss_area")
    )
    return _Kept(
        time=times[2],
        hit=hits[2],
        restored=(hits[2] - hits[0]) / np.maximum(hits[2], 1e-12),
        from_pool=(hits[2] - hits[1] > hits[1] - hits[0]).astype(float),
        lost_tokens=tokens,
        lost_area=area,
        host_tokens=found[1] - found[0],
        pool_tokens=found[2] - found[1],
        idle_share=spare / np.maximum(busy, 1.0),
    )


def _prefill_demand(
    shape: ClassShape,
    prefill: PrefillSide,
    rows: IntArray,
    tokens: FloatArray,
    area: FloatArray,
    utilisation: float,
) -> FloatArray:
    """Device-seconds of prefill per step when a step recomputes this many tokens and area more."""
    work_token, work_area = prefill.work_token[rows], prefill.work_area[rows]
    if tokens.shape != rows.shape:
        work_token, work_area = work_token[:, None], work_area[:, None]
    fresh, whole = shape.moments.fresh + tokens, shape.moments.area + area
    return np.asarray((work_token * fresh + work_area * whole) / utilisation)


def _prefill_home_time(
    shape: ClassShape, prefill: PrefillSide, rows: IntArray, tokens: FloatArray, utilisation: float
) -> FloatArray:
    """Retention time where the prefill pool, sized by its misses, is home."""
    curves = shape.curves
    demand = _prefill_demand(
        shape, prefill, rows, curves.miss_tokens[None, :-1], curves.miss_area[None, :-1], utilisation
    )
    return retention.self_consistent_time(
        curves.retention[:-1], curves.occupancy[:-1], np.zeros(rows.size), tokens[rows], demand
    )


class _Work(NamedTuple):
    """Device-seconds per step: prefill on its own pool, prefill on the decode pool, decode."""

    prefill: FloatArray
    append: FloatArray
    decode: FloatArray


def _work(
    shape: ClassShape,
    prefill: PrefillSide,
    decode: DecodeSide,
    home: IntArray,
    colocated: BoolArray,
    kept: _Kept,
    utilisation: float,
) -> _Work:
    """Prefill work follows the fresh tokens and what was lost; warm appends may stay on the decode pool."""
    tokens, area = shape.moments.fresh + kept.lost_tokens, shape.moments.area + kept.lost_area
    appends = (home == HOME["append_on_decode"]) & ~colocated
    here_tokens = np.where(colocated, tokens, np.where(appends, shape.moments.fresh - shape.cold_fresh, 0.0))
    here_area = np.where(colocated, area, np.where(appends, shape.moments.area - shape.cold_area, 0.0))
    away = prefill.work_token * (tokens - here_tokens) + prefill.work_area * (area - here_area)
    here = decode.append_work_token * here_tokens + decode.append_work_area * here_area
    return _Work(away / utilisation, here / utilisation, shape.moments.output * decode.work)


class _Links(NamedTuple):
    """Device-seconds per step that the links of each pool need at the utilisation limit."""

    prefill: FloatArray
    decode: FloatArray


def _links(
    shape: ClassShape,
    prefill: PrefillSide,
    decode: DecodeSide,
    pool: Pool,
    home: IntArray,
    colocated: BoolArray,
    kept: _Kept,
    kv_token: FloatArray,
    utilisation: float,
) -> _Links:
    """KV between the pools, write-through to the lower tiers and restores from them; links are full duplex."""
    fresh, output = shape.moments.fresh + kept.lost_tokens, shape.moments.output
    cached = shape.moments.cached - kept.lost_tokens
    forth, back = _between(home, colocated, cached, fresh, output)
    network = kv_token * np.maximum(forth, back) / utilisation
    read_write = np.maximum(kept.host_tokens, fresh + output) * kv_token / utilisation
    pooled = serving.pool_tokens(cached, fresh, output) * kv_token / utilisation
    spill = np.maximum(kept.pool_tokens, fresh + output) * kv_token / utilisation
    on_pool = (home == HOME["shared"]) & ~colocated
    on_prefill = (home == HOME["prefill"]) & ~colocated
    has_pool = pool.capacity > 0
    pool_bandwidth = np.maximum(pool.bandwidth, 1.0)

    def side(
        owner: BoolArray,
        host: FloatArray,
        host_bandwidth: FloatArray,
        bandwidth: FloatArray,
        share: FloatArray,
    ) -> FloatArray:
        to_host = np.where(owner & (host > 0), read_write / host_bandwidth, 0)
        to_pool = np.where(on_pool, share, np.where(owner & has_pool, spill, 0)) / pool_bandwidth
        return np.maximum(np.maximum(network / bandwidth, to_host), to_pool)

    owner_decode = ~on_prefill & ~on_pool
    return _Links(
        side(on_prefill, prefill.host_bytes, prefill.host_bandwidth, prefill.bandwidth, pooled[0]),
        side(owner_decode, decode.host_bytes, decode.host_bandwidth, decode.bandwidth, pooled[1]),
    )


def _between(
    home: IntArray, colocated: BoolArray, cached: FloatArray, fresh: FloatArray, output: FloatArray | float
) -> tuple[FloatArray, FloatArray]:
    """Tokens forth and back between the pools for each point's home; none when one pool does both."""
    forth, back = np.zeros(np.broadcast(home, fresh).shape), np.zeros(np.broadcast(home, fresh).shape)
    for name in ("prefill", "decode"):
        there, here = serving.transfer_tokens(name, cached, fresh, output)
        mine = (home == HOME[name]) & ~colocated
        forth, back = np.where(mine, there, forth), np.where(mine, here, back)
    return forth, back


class _Wait(NamedTuple):
    """Latency of a step: TTFT at 50, 95, 99 % and the study's percentile, first to last token there and on average."""

    ttft: FloatArray
    latency: FloatArray
    latency_mean: FloatArray


def _latency(
    shape: ClassShape,
    prefill: PrefillSide,
    decode: DecodeSide,
    pool: Pool,
    home: IntArray,
    colocated: BoolArray,
    kept: _Kept,
    tpot: FloatArray,
    kv_token: FloatArray,
    operation: Operation,
) -> _Wait:
    """Quantiles over the mixture of warm, restored, cold and lost steps, not of an assumed law."""
    atoms = shape.atoms
    warm = atoms.kind == HIT
    owner_rank = np.where(home == HOME["prefill"], prefill.rank_devices, decode.rank_devices)
    host = np.where(home == HOME["prefill"], prefill.host_bandwidth, decode.host_bandwidth)
    below = np.where(kept.from_pool > 0, np.maximum(pool.bandwidth, 1.0), host) * owner_rank
    weights = atoms.weights(kept.time)
    if operation.affinity < 1:
        weights = operation.affinity * weights + (1 - operation.affinity) * atoms.weights(np.zeros(1))
    ttft = _first_token(atoms, weights, prefill, decode, pool, home, colocated, kv_token, operation)
    restored = ttft[:, warm] + (kv_token / below)[:, None] * atoms.cached[warm]
    lower = weights[:, warm] * kept.restored[:, None]
    weights[:, warm] -= lower
    ttft, weights = np.concatenate([ttft, restored], axis=1), np.concatenate([weights, lower], axis=1)
    output = np.concatenate([atoms.output, atoms.output[warm]])
    latency = ttft + np.maximum(output - 1, 0) * tpot[:, None]
    level = operation.percentile / 100
    return _Wait(
        queueing.mixture_quantiles(ttft, weights, (0.5, 0.95, 0.99, level)),
        queueing.mixture_quantiles(latency, weights, (level,))[0],
        (latency * weights).sum(axis=1) / weights.sum(axis=1),
    )


def _first_token(
    atoms: Atoms,
    weights: FloatArray,
    prefill: PrefillSide,
    decode: DecodeSide,
    pool: Pool,
    home: IntArray,
    colocated: BoolArray,
    kv_token: FloatArray,
    operation: Operation,
) -> FloatArray:
    """Time to first token of every atom on every point, (m, k): a pass in progress, own work shared, KV moved."""
    appends = ((home == HOME["append_on_decode"]) & ~colocated)[:, None]
    warm = atoms.kind == HIT
    here = colocated[:, None] | (appends & warm)
    wait = np.where(here, decode.append_pass[:, None], prefill.pass_time[:, None])
    per_token = np.where(here, decode.append_per_token[:, None], prefill.per_token[:, None])
    per_area = np.where(here, decode.append_per_area[:, None], prefill.per_area[:, None])
    service = _queued(per_token * atoms.fresh + per_area * atoms.area, weights, operation)
    link = np.minimum(prefill.bandwidth * prefill.rank_devices, decode.bandwidth * decode.rank_devices)[
        :, None
    ]
    forth, back = _between(home[:, None], colocated[:, None], atoms.cached, atoms.fresh, 0.0)
    moved = np.where(appends & ~warm, atoms.cached + atoms.fresh, forth + back)
    on_pool = ((home == HOME["shared"]) & ~colocated)[:, None]
    pool_rate = np.maximum(pool.bandwidth * np.minimum(prefill.rank_devices, decode.rank_devices), 1.0)[
        :, None
    ]
    through_pool = np.where(on_pool, 2 * (atoms.cached + atoms.fresh) * kv_token[:, None] / pool_rate, 0)
    return np.asarray(wait + service + moved * kv_token[:, None] / link + through_pool)


def _queued(service: FloatArray, weights: FloatArray, operation: Operation) -> FloatArray:
    """Response of each atom's own work at the operating point under the queueing discipline of the study."""
    if not operation.first_come:
        return queueing.processor_sharing_response(service, operation.utilisation)
    mean = (service * weights).sum(axis=1) / weights.sum(axis=1)
    square = (service**2 * weights).sum(axis=1) / weights.sum(axis=1)
    scv = np.maximum(square / mean**2 - 1, 0)
    return (
        service + queueing.first_come_wait(mean, scv, operation.arrival_scv, operation.utilisation)[:, None]
    )


def _bistable(shape: ClassShape, prefill: PrefillSide, kept: _Kept, utilisation: float) -> FloatArray:
    """1 where the operating point does not recover from a cold cache at unchanged load, else 0."""
    warm = prefill.work_token * shape.moments.fresh + prefill.work_area * shape.moments.area
    lost = prefill.work_token * shape.curves.miss_tokens[0] + prefill.work_area * shape.curves.miss_area[0]
    flag = retention.collapses(1 - kept.hit, warm, warm + lost, utilisation, kept.idle_share)
    return np.asarray(flag, dtype=float)
