"""Phase tables: every mapping of one class on one device type, and what the passes of each ask for.

A table depends on few levers (device, topology, optical bandwidth, number formats), not on the whole design, so its
rows are computed once and shared by all designs (:mod:`dse.search.scoring.tables`). What is asked does not depend on
the device, and the times but for messages not on the interconnect, so these are shared by tables.
"""

from collections.abc import Sequence
from typing import NamedTuple, TypeVar

import numpy as np

from dse.arrays import FloatArray, IntArray
from dse.physics import demand, queueing, roofline
from dse.physics.calibration import Calibration
from dse.physics.shape import Shape
from dse.physics.work import ledger, pass_work
from dse.search.scoring import mappings, passes
from dse.search.scoring.loads import Load, short_pass

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
    degrees: IntArray
    """(7, n) the columns of the grid."""
    stays: FloatArray
    """(2, n) weights per device [B], KV of a token on each device of the rank [B/tok]."""
    passes: int
    work: demand.Work
    """Demand of all passes below each other. Prefill: a chunk without and with the mean prefix, a short one with it.
    Decode: a step at the mean busy slots, a full step, then the same three of an appended chunk."""
    kinds: tuple[int, ...]
    """Kinds of messages that some mapping sends, by their place in `demand.Communication`."""
    sent: FloatArray
    """(d, 2 k, n) count and size of each of these kinds, of the passes that differ from one another."""
    which: tuple[int, ...]
    """Messages of each pass, by their place in `sent`."""


class Alone(NamedTuple):
    """Passes on one device type but for their messages, which need an interconnect."""

    seconds: FloatArray
    """(passes, n) [s]."""
    core: FloatArray
    """(passes, n) attention core of each [s]."""


class PrefillTable(NamedTuple):
    """Prefill mappings, one row each; times are those of one request on an idle instance."""

    grid: mappings.Grid
    pass_time: FloatArray
    """What a prompt waits in passes beside its own work where it may go to any instance [s]."""
    pinned_time: FloatArray
    """The same where sessions stay with the instance that has their KV [s]."""
    response: FloatArray
    """Time of the own tokens of a step that finds its prefix, over their service [1]."""
    cold_response: FloatArray
    """The same of all other steps [1]."""
    pinned_response: FloatArray
    pinned_cold_response: FloatArray
    """Both where sessions stay with the instance that has their KV [1]."""
    spread: FloatArray
    """Variance of the wait where a prompt may go to any instance [s²]."""
    pinned_spread: FloatArray
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
    loads = _chunks(grid, load, grid.size.astype(float))
    return _asked(shape, precision, grid, load.cached + load.fresh, loads)


def decode_asked(shape: Shape, precision: demand.Precision, reach: mappings.Reach, load: Load, how: Decoding) -> Asked:
    """Demand of every decode mapping, and of prefill on the same instance."""
    grid = mappings.decode_grid(shape, reach, how.batches)
    batch, tokens = grid.size.astype(float), 1.0 + how.draft
    steps = [demand.Load(requests / grid.pp, tokens, load.decode_context, tokens) for requests in (busy(batch), batch)]
    appended = _chunks(grid, load, np.full(batch.shape, APPEND_CHUNK))
    return _asked(shape, precision, grid, load.decode_context, [*steps, *appended])


def alone(asked: Asked, supply: roofline.Supply, calibration: Calibration) -> Alone:
    """Time what is asked on one device type, but for the messages."""
    ranks = np.tile(asked.grid.ep, asked.passes)
    time, core = roofline.local_time(asked.work, supply, ranks, calibration), demand.GROUPS.index("attention_core")
    seconds = time.compute + time.memory + time.overhead
    return Alone(*(column.reshape(asked.passes, -1).copy() for column in (seconds, time.group_seconds[core])))


def busy(batch: FloatArray) -> FloatArray:
    """Mean busy slots of a batch; half a request at least."""
    return np.maximum(queueing.mean_slots(batch), np.minimum(batch, 0.5))


def prefix(load: Load) -> float:
    """Prefix of the passes that have one: the mean one [tok]."""
    return max(load.cached, 1.0)


def _chunks(grid: mappings.Grid, load: Load, chunk: FloatArray) -> list[demand.Load]:
    """Passes over a chunk without a prefix, and on the mean prefix, and a short one on it."""
    return [
        demand.Load(grid.attention_dp, tokens, before)
        for tokens, before in ((chunk, 0.0), (chunk, prefix(load)), (short_pass(load, chunk), prefix(load)))
    ]


def _asked(
    shape: Shape, precision: demand.Precision, grid: mappings.Grid, context: float, loads: Sequence[demand.Load]
) -> Asked:
    """Demand of every mapping for some passes, counted in one stroke."""
    held = ledger(shape, precision, passes.mapping(grid))
    kv_bytes = passes.kv_bytes_per_token(held, grid, context, shape.sliding_window)
    count, size = len(loads), grid.size.size
    columns = (
        np.concatenate([np.broadcast_to(np.asarray(part, float), size) for part in parts])
        for parts in zip(*loads, strict=True)
    )
    work = pass_work(shape, precision, passes.mapping(grid.repeated(count)), demand.Load(*columns))
    kinds = tuple(place for place, kind in enumerate(work.communication) if kind.count.any())
    sent = np.asarray([column for place in kinds for column in work.communication[place]]).reshape(-1, count, size)
    stays = np.stack([held.weights_bytes, kv_bytes])
    return Asked(grid, np.stack(grid), stays, count, work, kinds, *_unlike(list(np.moveaxis(sent, 1, 0))))


def _unlike(sent: Sequence[FloatArray]) -> tuple[FloatArray, tuple[int, ...]]:
    """Messages without repetition, as a prefix changes none unless contexts are split; the place of each pass's."""
    found: list[FloatArray] = []
    which = []
    for one in sent:
        same = (place for place, other in enumerate(found) if np.array_equal(one, other))
        which.append(next(same, len(found)))
        if which[-1] == len(found):
            found.append(one)
    return np.stack(found), tuple(which)


def stacked(tables: Sequence[Table]) -> Table:
    """Rows of several tables of one kind below each other."""
    grid = mappings.Grid(*(np.concatenate(columns) for columns in zip(*(table.grid for table in tables), strict=True)))
    columns = [np.concatenate(parts) for parts in zip(*(table[1:] for table in tables), strict=True)]
    return _made(tables[0], columns, grid)


def _made(like: Table, columns: Sequence[FloatArray], grid: mappings.Grid) -> Table:
    """Table of the kind of another with these columns."""
    names = type(like)._fields[1:]
    return like._replace(grid=grid, **dict(zip(names, columns, strict=True)))
