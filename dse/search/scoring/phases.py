"""Phase tables: every mapping of one class on one device type, timed once and reduced to the rows worth keeping.

A table depends on few levers (device, topology, optical bandwidth, number formats), not on the whole design, so its
rows are computed once and shared by all designs. A row stays if no other row of its table is at least as good in every
respect that a design can trade: work, waiting and memory.
"""

from collections.abc import Sequence
from typing import NamedTuple, TypeVar

import numpy as np

from dse.arrays import FloatArray, IntArray
from dse.physics import demand, queueing, roofline, serving
from dse.physics.calibration import Calibration
from dse.physics.shape import Shape
from dse.physics.work import ledger, pass_work
from dse.search.pareto import nondominated
from dse.search.scoring import mappings, passes
from dse.search.scoring.loads import Load, in_passes, pass_line, short_pass

RESOLUTION = 0.02
"""Rows closer than this in every criterion are one row, decades [1]: below the model's own error."""

APPEND_CHUNK = 1024.0
"""Chunk in which a decode instance prefills what is appended to a warm context [tok]."""


class Site(NamedTuple):
    """One device type in one topology, serving one model in one pair of formats."""

    shape: Shape
    precision: demand.Precision
    supply: roofline.Supply
    paths: passes.Network
    capacity: float
    """Memory that weights and the longest context may fill, at the largest memory option [B]."""
    calibration: Calibration
    reach: mappings.Reach


class Decoding(NamedTuple):
    """How decode runs, beside its mapping."""

    batches: tuple[int, ...]
    """Batches of one attention rank [1]."""
    draft: float = 0.0
    """Tokens drafted per step [tok]."""
    gain: float = 1.0
    """Tokens won per step by drafting, its cost deducted [tok]."""
    attention_elsewhere: bool = False
    """Whether other devices hold the KV and run the attention core."""


class Asked(NamedTuple):
    """What the mappings of a model ask of any device: bytes that stay, and the demand of each pass."""

    grid: mappings.Grid
    weights_bytes: FloatArray
    """Per device [B]."""
    kv_bytes: FloatArray
    """Per token on each device of the rank [B/tok]."""
    works: tuple[demand.Work, ...]
    """Prefill: a chunk without and with the mean prefix, a short pass with it. Decode: a step at the mean busy slots, a
    full step, an appended chunk without and with the mean prefix, and a short one with it."""


class Alone(NamedTuple):
    """The same on one device type: passes are timed but for their messages, which need an interconnect."""

    grid: mappings.Grid
    weights_bytes: FloatArray
    kv_bytes: FloatArray
    times: tuple[roofline.LocalTime, ...]
    """Of each pass; of the groups the attention core alone."""
    sent: tuple[demand.Communication, ...]
    """Messages that differ from one another."""
    which: tuple[int, ...]
    """Messages of each pass, by their place in `sent`."""
    used: tuple[bool, ...]
    """Whether there is any message of each kind."""


class PrefillTable(NamedTuple):
    """Prefill mappings, one row each; times are those of one request on an idle instance."""

    grid: mappings.Grid
    pass_time: FloatArray
    """What a prompt waits in passes beside its own work where it may go to any instance [s]."""
    pinned_time: FloatArray
    """The same where sessions stay with the instance that has their KV [s]."""
    response: FloatArray
    """Time of a prompt's own tokens over their service [1]."""
    per_token: FloatArray
    """Service of one fresh token [s/tok]."""
    per_area: FloatArray
    """Service of one token² of attention [s/tok²]."""
    work_token: FloatArray
    """Device time of one fresh token [s/tok]."""
    work_area: FloatArray
    """Device time of one token² of attention [s/tok²]."""
    weights_bytes: FloatArray
    """Per device [B]."""
    kv_bytes: FloatArray
    """Per token on each device of the rank [B/tok]."""
    network_share: FloatArray
    """Exposed communication in the pass [1]."""
    memory_share: FloatArray
    """Memory-bound operators in the pass [1]."""

    def rank_devices(self) -> FloatArray:
        """Devices that share the requests of one attention rank [1]."""
        return np.asarray(self.grid.rank_devices, dtype=float)


class DecodeTable(NamedTuple):
    """Decode mappings, one row each; append columns are prefill on the same instance."""

    grid: mappings.Grid
    slots: FloatArray
    """Mean busy slots [1]."""
    step_time: FloatArray
    """Time per output token at the mean busy slots [s]."""
    step_time_full: FloatArray
    """The same with every slot busy [s]."""
    work: FloatArray
    """Device time of one output token [s]."""
    weights_bytes: FloatArray
    """Per device [B]."""
    kv_bytes: FloatArray
    """Per token on each device of the rank [B/tok]."""
    request_bytes: FloatArray
    """KV of one request on each device of the rank, at the mean decode context [B]."""
    compute: FloatArray
    """Compute-bound part of a full step [s]."""
    memory: FloatArray
    """Memory-bound part [s]."""
    network: FloatArray
    """Exposed communication [s]."""
    overhead: FloatArray
    """Floors of kernels, layers, steps and requests [s]."""
    attention_share: FloatArray
    """Attention core in a full step [1]."""
    append_pass: FloatArray
    append_per_token: FloatArray
    append_per_area: FloatArray
    append_work_token: FloatArray
    append_work_area: FloatArray
    append_work_pass: FloatArray

    def rank_devices(self) -> FloatArray:
        """Devices that share the requests of one attention rank [1]."""
        return np.asarray(self.grid.rank_devices, dtype=float)

    def devices(self) -> FloatArray:
        """Devices of one instance [1]."""
        return np.asarray(self.grid.devices, dtype=float)

    def batch(self) -> FloatArray:
        """Requests in a full step [1]."""
        return np.asarray(self.grid.size, dtype=float)

    def rank_requests(self) -> FloatArray:
        """Requests of a full step on one attention rank [1]."""
        return self.batch() / self.grid.attention_dp


Table = TypeVar("Table", PrefillTable, DecodeTable)


def timed(site: Site, grid: mappings.Grid, load: demand.Load) -> roofline.PassTime:
    """Time of one pass of every mapping."""
    work = pass_work(site.shape, site.precision, passes.mapping(grid), load)
    return roofline.pass_time(work, site.supply, site.paths.links(grid, site.shape.experts_per_token), site.calibration)


def prefill_asked(
    shape: Shape, precision: demand.Precision, reach: mappings.Reach, load: Load, chunks: tuple[int, ...]
) -> Asked:
    """Demand of every prefill mapping."""
    grid = mappings.prefill_grid(shape, reach, chunks)
    held = ledger(shape, precision, passes.mapping(grid))
    kv_bytes = passes.kv_bytes_per_token(held, grid, load.cached + load.fresh, shape.sliding_window)
    chunk = grid.size.astype(float)
    works = _chunk_works(shape, precision, grid, load, chunk)
    return Asked(grid, held.weights_bytes, kv_bytes, works)


def decode_asked(shape: Shape, precision: demand.Precision, reach: mappings.Reach, load: Load, how: Decoding) -> Asked:
    """Demand of every decode mapping, and of prefill on the same instance."""
    grid = mappings.decode_grid(shape, reach, how.batches)
    held = ledger(shape, precision, passes.mapping(grid))
    kv_bytes = passes.kv_bytes_per_token(held, grid, load.decode_context, shape.sliding_window)
    batch, tokens = grid.size.astype(float), 1.0 + how.draft

    def step(requests: FloatArray) -> demand.Work:
        asked = demand.Load(requests / grid.pp, tokens, load.decode_context, tokens)
        return pass_work(shape, precision, passes.mapping(grid), asked)

    appended = _chunk_works(shape, precision, grid, load, np.full(batch.shape, APPEND_CHUNK))
    return Asked(grid, held.weights_bytes, kv_bytes, (step(_busy(batch)), step(batch), *appended))


def alone(asked: Asked, supply: roofline.Supply, calibration: Calibration) -> Alone:
    """Time what is asked on one device type, but for the messages."""
    core = demand.GROUPS.index("attention_core")
    times = [roofline.local_time(work, supply, asked.grid.ep, calibration) for work in asked.works]
    return Alone(
        asked.grid,
        asked.weights_bytes,
        asked.kv_bytes,
        tuple(time._replace(group_seconds=time.group_seconds[core : core + 1].copy()) for time in times),
        *_unlike([work.communication for work in asked.works]),
    )


def _unlike(
    sent: Sequence[demand.Communication],
) -> tuple[tuple[demand.Communication, ...], tuple[int, ...], tuple[bool, ...]]:
    """Messages without repetition (a prefix changes none unless contexts are split), their places and their kinds."""
    found: list[demand.Communication] = []
    which = []
    for one in sent:
        same = (place for place, other in enumerate(found) if np.array_equal(np.asarray(one), np.asarray(other)))
        which.append(next(same, len(found)))
        if which[-1] == len(found):
            found.append(one)
    used = tuple(any(bool(message.count.any()) for message in kind) for kind in zip(*found, strict=True))
    return tuple(found), tuple(which), used


def prefill_table(site: Site, load: Load, chunks: tuple[int, ...], known: Alone | None = None) -> PrefillTable:
    """Time the prefill mappings of a site that fit its memory, and keep the undominated ones.

    ``known`` are passes of the site's device on this or a wider grid, timed before but for their messages.
    """
    if known is None:
        known = alone(
            prefill_asked(site.shape, site.precision, site.reach, load, chunks), site.supply, site.calibration
        )
    index = _fitting(known, site, known.weights_bytes + known.kv_bytes * load.tail_context)
    grid, held = known.grid.rows(index), known.weights_bytes[index] + known.kv_bytes[index] * load.tail_context
    bare, cached, short = _finished(site, known, index)
    per_token, per_area = _coefficients(bare, cached, grid, load, grid.size.astype(float))
    service, occupied = per_token * load.fresh + per_area * load.area, grid.devices / grid.attention_dp
    waited = in_passes(load, grid, short.seconds, service)
    chosen = _best([service * occupied, waited.anywhere + waited.response * service, held])
    index, cached, per_token, per_area = index[chosen], _some(cached, chosen), per_token[chosen], per_area[chosen]
    grid = known.grid.rows(index)
    occupied = grid.devices / grid.attention_dp
    return PrefillTable(
        grid,
        waited.anywhere[chosen],
        waited.pinned[chosen],
        waited.response[chosen],
        per_token,
        per_area,
        occupied * per_token,
        occupied * per_area,
        known.weights_bytes[index],
        known.kv_bytes[index],
        cached.network / cached.seconds,
        cached.memory / cached.seconds,
    )


def decode_table(site: Site, load: Load, how: Decoding, known: Alone | None = None) -> DecodeTable:
    """Time the decode mappings of a site that fit its memory, and keep the undominated ones.

    ``known`` as for :func:`prefill_table`. Where attention is elsewhere there is one stage and no KV.
    """
    if known is None:
        known = alone(decode_asked(site.shape, site.precision, site.reach, load, how), site.supply, site.calibration)
    here = 0.0 if how.attention_elsewhere else 1.0
    site = site._replace(reach=site.reach._replace(stages=(1,))) if how.attention_elsewhere else site
    index = _fitting(known, site, known.weights_bytes + here * known.kv_bytes * load.tail_context)
    passed = _finished(site, known, index)
    mean, full = passed[:2]
    grid, weights, kv_bytes = known.grid.rows(index), known.weights_bytes[index], known.kv_bytes[index]
    batch = grid.size.astype(float)
    work = grid.devices * mean.seconds / (_busy(batch) * how.gain)
    stays = 1 - (1 - here) * full.group_seconds[0] / full.seconds
    used = weights + here * batch / grid.attention_dp * kv_bytes * load.decode_context
    chosen = _best([stays * work, stays * full.seconds, used])
    index, grid, weights, kv_bytes = index[chosen], grid.rows(chosen), weights[chosen], kv_bytes[chosen]
    mean, full, bare, append, short = (_some(one, chosen) for one in passed)
    batch = grid.size.astype(float)
    chunk = np.full(batch.shape, APPEND_CHUNK)
    per_token, per_area = _coefficients(bare, append, grid, load, chunk)
    occupied = grid.devices / grid.attention_dp
    return DecodeTable(
        grid,
        _busy(batch),
        mean.seconds / how.gain,
        full.seconds / how.gain,
        work[chosen],
        weights,
        kv_bytes,
        kv_bytes * load.decode_context,
        full.compute,
        full.memory,
        full.network,
        full.overhead,
        full.group_seconds[0] / full.seconds,
        append.seconds,
        per_token,
        per_area,
        occupied * per_token,
        occupied * per_area,
        occupied * pass_line(load, chunk, short.seconds, append.seconds)[0] / grid.pp,
    )


def _busy(batch: FloatArray) -> FloatArray:
    """Mean busy slots of a batch; half a request at least."""
    return np.maximum(queueing.mean_slots(batch), np.minimum(batch, 0.5))


def _prefix(load: Load) -> float:
    return max(load.cached, 1.0)


def _chunk_works(
    shape: Shape, precision: demand.Precision, grid: mappings.Grid, load: Load, chunk: FloatArray
) -> tuple[demand.Work, ...]:
    """Demand of a pass over a chunk without a prefix, and on the mean prefix, and of a short one on it."""
    prefix = np.full(chunk.shape, _prefix(load))
    return tuple(
        pass_work(shape, precision, passes.mapping(grid), demand.Load(grid.attention_dp, tokens, before))
        for tokens, before in ((chunk, 0.0), (chunk, prefix), (short_pass(load, chunk), prefix))
    )


def _coefficients(
    bare: roofline.PassTime, cached: roofline.PassTime, grid: mappings.Grid, load: Load, chunk: FloatArray
) -> tuple[FloatArray, FloatArray]:
    """Service per token and per area of an instance, whose stages work on several chunks at once."""
    prefix = np.full(chunk.shape, _prefix(load))
    per_token, per_area = serving.prefill_coefficients(bare.seconds, cached.seconds, chunk, prefix)
    return per_token / grid.pp, per_area / grid.pp


def _finished(site: Site, known: Alone, index: IntArray) -> list[roofline.PassTime]:
    """Passes of some mappings with their messages on the site's interconnect, all of them in one stroke."""
    count = len(known.sent)
    none = np.zeros(count * index.size)
    sent = demand.Communication(
        *(
            demand.Message(*(np.concatenate([part[index] for part in parts]) for parts in zip(*kind, strict=True)))
            if used
            else demand.Message(none, none)
            for kind, used in zip(zip(*known.sent, strict=True), known.used, strict=True)
        )
    )
    links = site.paths.links(known.grid.rows(index).repeated(count), site.shape.experts_per_token)
    exposed = roofline.exposed_time(sent, links, site.calibration).reshape(count, index.size)
    return [
        roofline.joined(roofline.LocalTime(*(column[..., index] for column in time)), exposed[place])
        for time, place in zip(known.times, known.which, strict=True)
    ]


def _some(passed: roofline.PassTime, rows: IntArray) -> roofline.PassTime:
    return roofline.PassTime(*(column[..., rows] for column in passed))


def _fitting(known: Alone, site: Site, need: FloatArray) -> IntArray:
    """Rows in reach that fit; where none does, the one that lacks least, so that infeasibility keeps its size."""
    index = np.flatnonzero(mappings.within(known.grid, site.reach))
    fits = index[need[index] <= site.capacity]
    return fits if fits.size else index[[int(np.argmin(need[index]))]]


def _best(criteria: list[FloatArray]) -> IntArray:
    """Rows that no other row beats in all criteria, at the tables' resolution, cheapest first."""
    scores = np.round(np.log10(np.stack(criteria, axis=1)) / RESOLUTION) * RESOLUTION
    distinct = np.flatnonzero(nondominated(scores))
    distinct = distinct[np.argsort(criteria[0][distinct], kind="stable")]
    order = np.lexsort(scores[distinct].T)
    fresh = np.ones(order.size, dtype=np.bool_)
    fresh[1:] = (scores[distinct][order][1:] != scores[distinct][order][:-1]).any(axis=1)
    return distinct[np.sort(order[fresh])]


def stacked(tables: Sequence[Table]) -> Table:
    """Rows of several tables of one kind below each other."""
    grid = mappings.Grid(*(np.concatenate(columns) for columns in zip(*(table.grid for table in tables), strict=True)))
    columns = [np.concatenate(parts) for parts in zip(*(table[1:] for table in tables), strict=True)]
    return _made(tables[0], columns, grid)


def _made(like: Table, columns: Sequence[FloatArray], grid: mappings.Grid) -> Table:
    """Table of the kind of another with these columns."""
    names = type(like)._fields[1:]
    return like._replace(grid=grid, **dict(zip(names, columns, strict=True)))
