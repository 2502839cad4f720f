"""Keeping KV between steps: how long each tier can hold it, and what is lost when it cannot."""

from functools import lru_cache
from typing import NamedTuple

import numpy as np

from dse.arrays import BoolArray, FloatArray, IntArray
from dse.facts.workload.distill import grid_position
from dse.physics import gated, queueing, retention, serving
from dse.search.scoring.phases import APPEND_CHUNK
from dse.search.scoring.sides import HOME, Setting

LEAST = 1e-9
"""Keeps a division finite where a class has nothing to append [1]."""


class Kept(NamedTuple):
    """Retention of a class: how long KV is kept, what hits, from where, and what is lost."""

    time: FloatArray
    """Retention time of the largest tier [s]."""
    hit: FloatArray
    """Share of resumptions that find their prefix [1]."""
    restored: FloatArray
    """Share of these that find it below HBM [1]."""
    lost_tokens: FloatArray
    """Tokens recomputed per step [tok]."""
    lost_area: FloatArray
    """Attention area recomputed per step [tok²]."""
    host_tokens: FloatArray
    """Tokens read back from host DRAM per step [tok]."""
    pool_tokens: FloatArray
    """Tokens read back from the pool per step [tok]."""
    idle_share: FloatArray
    """Idle over active KV in the owner's HBM [1]."""
    lower: FloatArray
    """Share of the prefixes found that a step reads back from below HBM [1]."""
    per_cached: FloatArray
    """Reading a cached token back from there [s/tok]."""
    blocked: FloatArray
    """Share of the requests that find no decode slot free [1]."""
    append: FloatArray
    """Device time per step of prefill where the KV is, of steps whose prefix is there [s]."""
    place: FloatArray
    """Retention time as a fractional index of the grid [1]."""

    def take(self, rows: IntArray) -> "Kept":
        """Select points."""
        return Kept(*(column[rows] for column in self))


def kept(at: Setting) -> Kept:
    """Solve the retention time of each tier from the memory that the KV's owner has left.

    Instances belong to one class, so each class has its own characteristic time per tier; tiers are inclusive.
    """
    busy, append = _busy(at), np.where(at.at_home("append_on_decode"), append_work(at), 0.0)
    spare = _spare(at, busy)
    times = _times(at, _token_capacity(at, spare), append)
    near, curves = at.operation.affinity, at.shape.curves
    places = [grid_position(time) for time in times]
    hits = [near * curves.at_place("hit_by_time", place) for place in places]
    found = [near * curves.at_place("restore_tokens", place) for place in places]
    tokens, area = (
        near * curves.at_place(name, places[2]) + (1 - near) * getattr(curves, name)[0]
        for name in ("miss_tokens", "miss_area")
    )
    restored = (hits[2] - hits[0]) / np.maximum(hits[2], 1e-12)
    from_pool = hits[2] - hits[1] > hits[1] - hits[0]
    free, shared = at.at_home("prefill") | at.at_home("shared"), at.at_home("shared")
    return Kept(
        time=times[2],
        hit=hits[2],
        restored=restored,
        lost_tokens=tokens,
        lost_area=area,
        host_tokens=found[1] - found[0],
        pool_tokens=found[2] - found[1],
        idle_share=spare / np.maximum(busy, 1.0),
        lower=np.where(shared, 0.0, restored),
        per_cached=at.kv_token / _restore_rate(at, from_pool),
        blocked=np.where(free, 0.0, _blocked(at.decode.batch, at.decode.slots)),
        append=append,
        place=places[2],
    )


def _restore_rate(at: Setting, from_pool: BoolArray) -> FloatArray:
    """Rate at which a request's KV comes back from the tier below HBM [B/s]."""
    on_prefill = at.home == HOME["prefill"]
    devices = np.where(on_prefill, at.prefill.rank_devices, at.decode.rank_devices)
    host = np.where(on_prefill, at.prefill.host_bandwidth, at.decode.host_bandwidth)
    rate = np.where(from_pool, np.maximum(at.pool.bandwidth, 1.0), host)
    return serving.coded_bandwidth(rate, at.codec) * devices


def _blocked(batch: FloatArray, slots: FloatArray) -> FloatArray:
    """Share of the requests that find all slots of their instance busy."""
    first, place = np.unique(batch + slots / (2 * batch), return_index=True, return_inverse=True)[1:]
    known = [_blocking(*pair) for pair in zip(batch[first].tolist(), slots[first].tolist(), strict=True)]
    return np.asarray(known, dtype=float)[place]


_blocking = lru_cache(maxsize=4096)(queueing.blocking)


def prefill_demand(at: Setting, rows: IntArray, tokens: FloatArray, area: FloatArray) -> FloatArray:
    """Device-seconds of prefill per step when a step recomputes this many tokens and area more; (r,) or (r, g)."""
    work_token, work_area = at.prefill.work_token[rows], at.prefill.work_area[rows]
    if tokens.shape != rows.shape:
        work_token, work_area = work_token[:, None], work_area[:, None]
    fresh, whole = at.shape.moments.fresh + tokens, at.shape.moments.area + area
    return np.asarray((work_token * fresh + work_area * whole) / at.operation.utilisation)


def _busy(at: Setting) -> FloatArray:
    """Active KV on a decode device at the mean busy slots [B]."""
    decode = at.decode
    return decode.slots / decode.batch * decode.rank_requests * decode.request_bytes


def _spare(at: Setting, busy: FloatArray) -> FloatArray:
    """HBM of the owner's devices that idle KV may fill [B]."""
    on_prefill = at.at_home("prefill")
    room = np.where(on_prefill, at.prefill.room - at.prefill.tail_bytes, at.decode.room - busy)
    return np.maximum(np.where(at.at_home("shared"), 0.0, room), 0.0)


def _token_capacity(at: Setting, spare: FloatArray) -> tuple[FloatArray, FloatArray, FloatArray]:
    """Tokens that HBM, host DRAM and pool can keep, per device of the owner; each tier holds what is above it."""
    on_prefill, prefill, decode = at.at_home("prefill"), at.prefill, at.decode
    spread = np.where(on_prefill, prefill.kv_bytes * prefill.rank_devices, decode.kv_bytes * decode.rank_devices)
    hbm = spare / spread
    host = np.where(at.at_home("shared"), 0.0, np.where(on_prefill, prefill.host_bytes, decode.host_bytes))
    spill = np.maximum(decode.rank_requests * decode.request_bytes - decode.room, 0)
    pool = np.maximum(at.pool.capacity - spill, 0)
    below = np.maximum(hbm, host / at.kv_token)
    return hbm, below, np.maximum(below, pool / at.kv_token)


def append_work(at: Setting) -> FloatArray:
    """Device time per step of prefill where the KV is: a pass takes all ranks for as long as its longest chunk [s].

    Never below that of passes in which every rank has a chunk.
    """
    shape, decode = at.shape, at.decode
    full, chunks, floor = shape.append_full, shape.append_chunks, decode.append_work_pass
    tokens = max(shape.moments.fresh - shape.cold_fresh, LEAST)
    filled = decode.append_work_token * tokens + decode.append_work_area * (shape.moments.area - shape.cold_area)
    steps, ranks = shape.moments.output / decode.slots, decode.batch / decode.rank_requests
    whole, every = gated.line_passes(full, steps), gated.line_passes(chunks, steps)
    short = (tokens - full * APPEND_CHUNK) / max(chunks - full, LEAST)
    longest = whole * APPEND_CHUNK + (every - whole) * short
    alone = ranks * (longest * (filled / tokens - floor / APPEND_CHUNK) + floor * every)
    return np.asarray(np.maximum(alone, filled + floor * (chunks - tokens / APPEND_CHUNK)))


def _appended(at: Setting, part: FloatArray) -> FloatArray:
    """Device-seconds per step that decode devices spend on prefill while nothing is lost [s]."""
    moments, decode = at.shape.moments, at.decode
    whole = decode.append_work_token * moments.fresh + decode.append_work_area * moments.area
    return np.where(at.colocated, whole, part) / at.operation.utilisation


def _times(at: Setting, tiers: tuple[FloatArray, FloatArray, FloatArray], append: FloatArray) -> list[FloatArray]:
    """Characteristic time of each tier; where the prefill pool is home, its size depends on the misses.

    Prefixes found stay in their tier while their step runs, but for those in the HBM of a decode pool, which join the
    active KV there: below it they take room from idle ones for as long as the step decodes. Where the prefill pool is
    home this is left out, so that its retention is a matter of its own rows; replays differ by two points of hits.
    """
    curves, moments = at.shape.curves, at.shape.moments
    grid, occupancy = curves.retention[:-1], curves.occupancy[:-1]
    seconds = moments.output * at.decode.work + _appended(at, append)
    requests = at.decode.slots / at.decode.batch * at.decode.rank_requests / at.decode.rank_devices
    busy = moments.cached * requests * moments.output * at.decode.work
    rows = np.flatnonzero(at.at_home("prefill"))
    if rows.size:
        demand = prefill_demand(at, rows, curves.miss_tokens[None, :-1], curves.miss_area[None, :-1])
        top = retention.self_consistent_time(grid, occupancy, np.zeros(rows.size), tiers[2][rows], demand)
        seconds, busy = seconds.copy(), busy.copy()
        seconds[rows] = prefill_demand(at, rows, curves.at("miss_tokens", top), curves.at("miss_area", top))
        busy[rows] = 0.0
    nearest = retention.characteristic_time(grid, occupancy, tiers[0] * seconds)
    below = [retention.characteristic_time(grid, occupancy, tier * seconds - busy) for tier in tiers[1:]]
    return [nearest, *np.maximum.accumulate([nearest, *below])[1:]]
