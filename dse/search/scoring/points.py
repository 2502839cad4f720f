"""The score of serving points, following the life of a step.

How much memory is left, how long KV survives (:mod:`keeping`), what must be recomputed, what crosses the links, how
long the step takes (:mod:`waits`), what it costs.
"""

from typing import NamedTuple

import numpy as np

from dse.arrays import BoolArray, FloatArray
from dse.physics import cost, retention, serving
from dse.search.scoring.keeping import Kept, kept
from dse.search.scoring.sides import Setting
from dse.search.scoring.waits import wait


class PointColumns(NamedTuple):
    """Result columns of serving points."""

    cost: FloatArray
    """Of one task [$]."""
    energy: FloatArray
    """Facility energy of one task at provisioned power [J]."""
    ratio: FloatArray
    """Step latency at the percentile over the class's [1]."""
    violation: FloatArray
    """Sum of the negative slacks, without sign [1]."""
    ttft_p50: FloatArray
    ttft_p95: FloatArray
    ttft_p99: FloatArray
    tpot: FloatArray
    """At the mean busy slots [s]."""
    tpot_full: FloatArray
    """With every slot busy; what the SLO is held against [s]."""
    latency_mean: FloatArray
    ttft_mean: FloatArray
    step_latency: FloatArray
    hit_rate: FloatArray
    retention_time: FloatArray
    prefill_seconds: FloatArray
    """Provisioned prefill device time per step [s]."""
    decode_seconds: FloatArray
    """Provisioned decode device time per step [s]."""
    prefill_cost: FloatArray
    decode_cost: FloatArray
    prefill_energy: FloatArray
    """Part of the energy that the prefill pool takes [J]."""
    prefill_link_share: FloatArray
    """Need of the busiest link over the provisioned device time, 1 where it binds [1]."""
    decode_link_share: FloatArray
    pool_share: FloatArray
    """Active KV in the pool [1]."""
    bistable: FloatArray
    """1 where a lost cache is not regained at unchanged load."""
    slack_capacity: FloatArray
    slack_pool: FloatArray
    slack_ttft: FloatArray
    slack_tpot: FloatArray
    slack_latency: FloatArray


class Standing(NamedTuple):
    """What a point costs, and all that is known of it before its latency."""

    cost: FloatArray
    energy: FloatArray
    tpot: FloatArray
    tpot_full: FloatArray
    prefill_seconds: FloatArray
    decode_seconds: FloatArray
    prefill_cost: FloatArray
    decode_cost: FloatArray
    prefill_energy: FloatArray
    prefill_link: FloatArray
    """Device-seconds per step that the links of the prefill pool need [s]."""
    decode_link: FloatArray
    spilled_share: FloatArray
    slack_capacity: FloatArray
    slack_pool: FloatArray
    slack_tpot: FloatArray


def standing(at: Setting, held: Kept) -> Standing:
    """Device time, cost, energy and token times of serving points whose retention is known."""
    active = _active_memory(at)
    work, links = _work(at, held), _links(at, held)
    prefill_seconds = np.where(at.colocated, 0.0, np.maximum(work.prefill + links.prefill_coding, links.prefill))
    beside = work.append + links.decode_coding
    own = work.decode * active.step_time / at.decode.step_time + beside
    decode_seconds = np.maximum(own, links.decode)
    share = np.minimum(at.operation.utilisation * beside / decode_seconds, 0.99)
    tpot_full = serving.shared_pass_time(active.step_time_full, share)
    steps = at.shape.steps
    prefill_cost = cost.task_cost(steps * prefill_seconds, at.prefill.hourly)
    decode_cost = cost.task_cost(steps * decode_seconds, at.decode.hourly)
    prefill_energy = steps * prefill_seconds * at.prefill.power
    return Standing(
        prefill_cost + decode_cost,
        prefill_energy + steps * decode_seconds * at.decode.power,
        serving.shared_pass_time(active.step_time, share),
        tpot_full,
        prefill_seconds,
        decode_seconds,
        prefill_cost,
        decode_cost,
        prefill_energy,
        links.prefill,
        links.decode,
        active.spilled_share,
        active.slack_capacity,
        active.slack_pool,
        1 - tpot_full / at.shape.tpot_slo,
    )


def evaluate_points(at: Setting) -> PointColumns:
    """Score serving points of one class."""
    held = kept(at)
    own = standing(at, held)
    waited = wait(at, held, own.tpot, own.tpot_full)
    slacks = (
        own.slack_capacity,
        own.slack_pool,
        1 - waited.ttft[3] / at.shape.ttft_slo,
        own.slack_tpot,
        1 - waited.latency / at.shape.latency_slo,
    )
    return PointColumns(
        own.cost,
        own.energy,
        waited.latency / at.shape.latency_slo,
        lacking(*slacks),
        waited.ttft[0],
        waited.ttft[1],
        waited.ttft[2],
        own.tpot,
        own.tpot_full,
        waited.latency_mean,
        waited.ttft_mean,
        waited.latency,
        held.hit,
        held.time,
        own.prefill_seconds,
        own.decode_seconds,
        own.prefill_cost,
        own.decode_cost,
        own.prefill_energy,
        own.prefill_link / np.maximum(own.prefill_seconds, 1e-30),
        own.decode_link / own.decode_seconds,
        own.spilled_share,
        _bistable(at, held),
        *slacks,
    )


def lacking(*slacks: FloatArray) -> FloatArray:
    """Sum of the negative slacks, without sign [1]."""
    return np.asarray(np.sum([np.maximum(-slack, 0) for slack in slacks], axis=0))


class _Active(NamedTuple):
    """Active KV placed in HBM and pool."""

    step_time: FloatArray
    step_time_full: FloatArray
    spilled_share: FloatArray
    slack_capacity: FloatArray
    slack_pool: FloatArray


def _active_memory(at: Setting) -> _Active:
    """Fit active KV into HBM and spill the rest to the pool, whose link then bounds the step."""
    prefill, decode, pool = at.prefill, at.decode, at.pool
    need = decode.rank_requests * decode.request_bytes
    spilled = np.maximum(need - decode.room, 0)
    reachable = (pool.capacity > 0) & (decode.room >= 0)
    over_link = np.where(reachable, spilled / np.maximum(pool.bandwidth, 1.0), 0)
    on_decode = np.where(reachable & (spilled > 0), 0.0, (decode.room - need) / decode.memory)
    on_prefill = np.where(at.colocated, np.inf, (prefill.room - prefill.tail_bytes) / prefill.memory)
    in_pool = np.where(reachable, (pool.capacity - spilled) / np.maximum(pool.capacity, 1.0), 0.0)
    return _Active(
        np.maximum(decode.step_time, over_link * decode.slots / decode.batch),
        np.maximum(decode.step_time_full, over_link),
        spilled / np.maximum(need, 1.0),
        np.minimum(on_decode, on_prefill),
        in_pool,
    )


class _Work(NamedTuple):
    """Device-seconds per step: prefill on its own pool, prefill on the decode pool, decode."""

    prefill: FloatArray
    append: FloatArray
    decode: FloatArray


def _work(at: Setting, held: Kept) -> _Work:
    """Prefill work follows the fresh tokens and what was lost; warm appends may stay on the decode pool."""
    shape, prefill, decode = at.shape, at.prefill, at.decode
    tokens, area = shape.moments.fresh + held.lost_tokens, shape.moments.area + held.lost_area
    appends = at.at_home("append_on_decode")
    here_tokens = np.where(at.colocated, tokens, np.where(appends, shape.moments.fresh - shape.cold_fresh, 0.0))
    here_area = np.where(at.colocated, area, np.where(appends, shape.moments.area - shape.cold_area, 0.0))
    away = prefill.work_token * (tokens - here_tokens) + prefill.work_area * (area - here_area)
    here = np.where(appends, held.append, decode.append_work_token * here_tokens + decode.append_work_area * here_area)
    return _Work(away / at.operation.utilisation, here / at.operation.utilisation, shape.moments.output * decode.work)


class _Links(NamedTuple):
    """Device-seconds per step that the links of each pool need at the utilisation limit."""

    prefill: FloatArray
    decode: FloatArray
    prefill_coding: FloatArray
    """Of the devices themselves: compressing and restoring what crosses them."""
    decode_coding: FloatArray


def _links(at: Setting, held: Kept) -> _Links:
    """KV between the pools, write-through to the lower tiers and restores; links are full duplex, flash endures."""
    fresh, output = at.shape.moments.fresh + held.lost_tokens, at.shape.moments.output
    cached = at.shape.moments.cached - held.lost_tokens
    scale = at.kv_token / at.operation.utilisation
    on_prefill, on_pool = at.at_home("prefill"), at.at_home("shared")
    cold = at.shape.cold_fresh + held.lost_tokens
    forth, back = np.where(at.at_home("append_on_decode"), cold, 0.0), np.zeros(fresh.size)
    for name, owner in (("prefill", on_prefill), ("decode", at.at_home("decode"))):
        there, here = serving.transfer_tokens(name, cached, fresh, output)
        forth, back = np.where(owner, there, forth), np.where(owner, here, back)
    between = scale * np.maximum(forth, back)
    host = scale * np.maximum(held.host_tokens, fresh + output)
    spill = scale * np.maximum(held.pool_tokens, fresh + output)
    tokens = serving.pool_tokens(cached, fresh, output)
    pooled = scale * tokens

    def pool_time(owner: BoolArray, through: FloatArray) -> FloatArray:
        used = on_pool | (owner & (at.pool.capacity > 0))
        moved = np.where(on_pool, through, np.where(used, spill, 0))
        written = np.where(used, at.kv_token * (fresh + output), 0)
        return np.maximum(moved / np.maximum(at.pool.bandwidth, 1.0), written / at.pool.write_rate)

    def host_time(owner: BoolArray, capacity: FloatArray, bandwidth: FloatArray) -> FloatArray:
        return np.where(owner & (capacity > 0), host / bandwidth, 0)

    on_decode = ~on_prefill & ~on_pool

    def ports(transfer: FloatArray, pool: FloatArray, host: FloatArray) -> FloatArray:
        network = np.where(at.pool.shares_port, transfer + pool, np.maximum(transfer, pool))
        return np.maximum(network, host)

    coded = bool(at.codec.any())

    def coding(owner: BoolArray, capacity: FloatArray, through: FloatArray) -> FloatArray:
        if not coded:
            return np.zeros(fresh.size)
        lower = fresh + output + held.host_tokens + held.pool_tokens
        below = owner & ((capacity > 0) | (at.pool.capacity > 0))
        return scale * at.codec * np.where(on_pool, through, forth + back + np.where(below, lower, 0))

    prefill_host = host_time(on_prefill, at.prefill.host_bytes, at.prefill.host_bandwidth)
    decode_host = host_time(on_decode, at.decode.host_bytes, at.decode.host_bandwidth)
    return _Links(
        ports(between / at.prefill.bandwidth, pool_time(on_prefill, pooled[0]), prefill_host),
        ports(between / at.decode.bandwidth, pool_time(on_decode, pooled[1]), decode_host),
        coding(on_prefill, at.prefill.host_bytes, tokens[0]),
        coding(on_decode, at.decode.host_bytes, tokens[1]),
    )


def _bistable(at: Setting, held: Kept) -> FloatArray:
    """1 where the operating point does not recover from a cold cache at unchanged load, else 0."""
    work_token = np.where(at.colocated, at.decode.append_work_token, at.prefill.work_token)
    work_area = np.where(at.colocated, at.decode.append_work_area, at.prefill.work_area)
    warm = work_token * at.shape.moments.fresh + work_area * at.shape.moments.area
    lost = work_token * at.shape.curves.miss_tokens[0] + work_area * at.shape.curves.miss_area[0]
    flag = retention.collapses(1 - held.hit, warm, warm + lost, at.operation.utilisation, held.idle_share)
    return np.asarray(flag, dtype=float)
