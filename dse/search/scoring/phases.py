"""Phase tables: every mapping of one class on one device type, timed once and reduced to the rows worth keeping.

A table depends on few levers (device, topology, optical bandwidth, number formats), not on the whole design, so its
rows are computed once and shared by all designs. A row stays if no other row of its table is at least as good in every
respect that a design can trade: work, waiting and memory.
"""

from collections.abc import Sequence
from typing import NamedTuple, TypeVar

import numpy as np

from dse.arrays import FloatArray
from dse.physics import demand, queueing, roofline, serving
from dse.physics.calibration import Calibration
from dse.physics.shape import Shape
from dse.physics.work import ledger, pass_work
from dse.search.pareto import nondominated
from dse.search.scoring import mappings, passes

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


class Load(NamedTuple):
    """The moments of a class that size its passes."""

    fresh: float
    """E[a] [tok]."""
    area: float
    """E[a (p + a/2)] [tok²]."""
    cached: float
    """E[p] [tok]."""
    output: float
    """E[o] [tok]."""
    decode_context: float
    """Mean context over output tokens [tok]."""
    tail_context: float
    """Context that must fit once, the 99th percentile over sessions [tok]."""


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


class PrefillTable(NamedTuple):
    """Prefill mappings, one row each; times are those of one request on an idle instance."""

    grid: mappings.Grid
    pass_time: FloatArray
    """One full chunk on the mean prefix [s]."""
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


def prefill_table(site: Site, load: Load, chunks: tuple[int, ...]) -> PrefillTable:
    """Time the prefill mappings of a site that fit its memory, and keep the undominated ones."""
    grid = mappings.prefill_grid(site.shape, site.reach, chunks)
    held = ledger(site.shape, site.precision, passes.mapping(grid))
    kv_bytes = passes.kv_bytes_per_token(held, grid, load.cached + load.fresh, site.shape.sliding_window)
    index = _fitting(held.weights_bytes + kv_bytes * load.tail_context, site.capacity)
    grid, weights, kv_bytes = grid.rows(index), held.weights_bytes[index], kv_bytes[index]
    cached, per_token, per_area = _prefilled(site, grid, load, grid.size.astype(float))
    occupied = grid.devices / grid.attention_dp
    table = PrefillTable(
        grid,
        cached.seconds,
        per_token,
        per_area,
        occupied * per_token,
        occupied * per_area,
        weights,
        kv_bytes,
        cached.network / cached.seconds,
        cached.memory / cached.seconds,
    )
    service = per_token * load.fresh + per_area * load.area
    criteria = [service * occupied, cached.seconds + 4 * service, weights + kv_bytes * load.tail_context]
    return _kept(table, criteria)


def decode_table(site: Site, load: Load, how: Decoding) -> DecodeTable:
    """Time the decode mappings of a site that fit its memory, and keep the undominated ones."""
    stages = (1,) if how.attention_elsewhere else site.reach.stages
    grid = mappings.decode_grid(site.shape, site.reach._replace(stages=stages), how.batches)
    held = ledger(site.shape, site.precision, passes.mapping(grid))
    kv_bytes = passes.kv_bytes_per_token(held, grid, load.decode_context, site.shape.sliding_window)
    here = 0.0 if how.attention_elsewhere else 1.0
    index = _fitting(held.weights_bytes + here * kv_bytes * load.tail_context, site.capacity)
    grid, weights, kv_bytes = grid.rows(index), held.weights_bytes[index], kv_bytes[index]
    batch = grid.size.astype(float)
    slots = np.maximum(queueing.mean_slots(batch), np.minimum(batch, 0.5))
    request_bytes = kv_bytes * load.decode_context

    def step(requests: FloatArray) -> roofline.PassTime:
        tokens = 1.0 + how.draft
        return timed(site, grid, demand.Load(requests / grid.pp, tokens, load.decode_context, tokens))

    mean, full = step(slots), step(batch)
    append, per_token, per_area = _prefilled(site, grid, load, np.full(batch.shape, APPEND_CHUNK))
    occupied = grid.devices / grid.attention_dp
    attention = full.group_seconds[demand.GROUPS.index("attention_core")] / full.seconds
    table = DecodeTable(
        grid,
        slots,
        mean.seconds / how.gain,
        full.seconds / how.gain,
        grid.devices * mean.seconds / (slots * how.gain),
        weights,
        kv_bytes,
        request_bytes,
        full.compute,
        full.memory,
        full.network,
        full.overhead,
        attention,
        append.seconds,
        per_token,
        per_area,
        occupied * per_token,
        occupied * per_area,
    )
    stays = 1 - (1 - here) * attention
    used = weights + here * batch / grid.attention_dp * request_bytes
    return _kept(table, [stays * table.work, stays * full.seconds, used])


def _prefilled(
    site: Site, grid: mappings.Grid, load: Load, chunk: FloatArray
) -> tuple[roofline.PassTime, FloatArray, FloatArray]:
    """Pass over a chunk on the mean prefix, service per token and per area; stages work on several chunks at once."""
    prefix = np.full(chunk.shape, max(load.cached, 1.0))
    bare = timed(site, grid, demand.Load(grid.attention_dp, chunk, 0.0))
    cached = timed(site, grid, demand.Load(grid.attention_dp, chunk, prefix))
    per_token, per_area = serving.prefill_coefficients(bare.seconds, cached.seconds, chunk, prefix)
    return cached, per_token / grid.pp, per_area / grid.pp


def _fitting(need: FloatArray, capacity: float) -> np.ndarray:
    """Rows that fit; where none does, the one that lacks least, so that infeasibility keeps its size."""
    fits = np.flatnonzero(need <= capacity)
    return fits if fits.size else np.asarray([int(np.argmin(need))])


def _kept(table: Table, criteria: list[FloatArray]) -> Table:
    """Rows that no other row beats in all criteria, at the table's resolution, cheapest first."""
    scores = np.round(np.log10(np.stack(criteria, axis=1)) / RESOLUTION) * RESOLUTION
    distinct = np.flatnonzero(nondominated(scores))
    distinct = distinct[np.argsort(criteria[0][distinct], kind="stable")]
    distinct = distinct[np.sort(np.unique(scores[distinct], axis=0, return_index=True)[1])]
    return _made(table, [column[distinct] for column in table[1:]], table.grid.rows(distinct))


def stacked(tables: Sequence[Table]) -> Table:
    """Rows of several tables of one kind below each other."""
    grid = mappings.Grid(*(np.concatenate(columns) for columns in zip(*(table.grid for table in tables), strict=True)))
    columns = [np.concatenate(parts) for parts in zip(*(table[1:] for table in tables), strict=True)]
    return _made(tables[0], columns, grid)


def _made(like: Table, columns: Sequence[FloatArray], grid: mappings.Grid) -> Table:
    """Table of the kind of another with these columns."""
    names = type(like)._fields[1:]
    return like._replace(grid=grid, **dict(zip(names, columns, strict=True)))
