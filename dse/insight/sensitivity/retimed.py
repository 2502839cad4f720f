"""Times of stated mappings on a site: the columns of a phase table for every one of them, none dropped.

A search keeps the undominated mappings of a table at a resolution of a few percent. To see what a change of a few
percent does, the mapping must stay while the times move. What the mappings ask for does not depend on the device, so it
is counted once; all passes of a table are then timed in one stroke.
"""

from typing import NamedTuple

import numpy as np

from dse.arrays import FloatArray
from dse.physics import demand, queueing, roofline, serving
from dse.physics.shape import Shape
from dse.physics.work import ledger, pass_work
from dse.search.scoring import mappings, passes
from dse.search.scoring.loads import Load, in_passes, pass_line, short_pass
from dse.search.scoring.phases import APPEND_CHUNK, DecodeTable, Decoding, PrefillTable, Site

ATTENTION = demand.GROUPS.index("attention_core")


class Asked(NamedTuple):
    """What mappings of one model ask of any device."""

    grid: mappings.Grid
    weights_bytes: FloatArray
    """Per device [B]."""
    kv_bytes: FloatArray
    """Per token on each device of the rank [B/tok]."""
    passes: int
    work: demand.Work
    """Demand of all passes below each other: prefill without and with a prefix, then a mean and a full decode step."""


def prefill_asked(shape: Shape, precision: demand.Precision, grid: mappings.Grid, load: Load) -> Asked:
    """Demand of prefill with these mappings."""
    held = ledger(shape, precision, passes.mapping(grid))
    kv_bytes = passes.kv_bytes_per_token(held, grid, load.cached + load.fresh, shape.sliding_window)
    return _asked(shape, precision, grid, (held.weights_bytes, kv_bytes), _passes(grid, load, grid.size.astype(float)))


def decode_asked(shape: Shape, precision: demand.Precision, grid: mappings.Grid, load: Load, draft: float) -> Asked:
    """Demand of decode with these mappings, and of prefill on the same instance."""
    held = ledger(shape, precision, passes.mapping(grid))
    kv_bytes = passes.kv_bytes_per_token(held, grid, load.decode_context, shape.sliding_window)
    batch, context = grid.size.astype(float), np.full(grid.size.shape, load.decode_context)
    tokens = np.full(batch.shape, 1.0 + draft)
    steps = [demand.Load(requests / grid.pp, tokens, context, tokens) for requests in (_slots(batch), batch)]
    chunks = _passes(grid, load, np.full(batch.shape, APPEND_CHUNK))
    return _asked(shape, precision, grid, (held.weights_bytes, kv_bytes), [*chunks, *steps])


def prefill_rows(site: Site, asked: Asked, load: Load) -> PrefillTable:
    """Prefill table of these mappings, whether or not they fit."""
    grid = asked.grid
    bare, cached, short = _timed(site, asked)
    per_token, per_area = _coefficients(bare, cached, grid, load, grid.size.astype(float))
    waited = in_passes(load, grid, short.seconds, per_token, per_area)
    occupied = grid.devices / grid.attention_dp
    return PrefillTable(
        grid=grid,
        **waited._asdict(),
        per_token=per_token,
        per_area=per_area,
        work_token=occupied * per_token,
        work_area=occupied * per_area,
        weights_bytes=asked.weights_bytes,
        kv_bytes=asked.kv_bytes,
    )


def decode_rows(site: Site, asked: Asked, load: Load, how: Decoding) -> DecodeTable:
    """Decode table of these mappings, whether or not they fit."""
    grid, batch = asked.grid, asked.grid.size.astype(float)
    slots = _slots(batch)
    bare, append, short, mean, full = _timed(site, asked)
    chunk = np.full(batch.shape, APPEND_CHUNK)
    per_token, per_area = _coefficients(bare, append, grid, load, chunk)
    occupied = grid.devices / grid.attention_dp
    return DecodeTable(
        grid=grid,
        slots=slots,
        step_time=mean.seconds / how.gain,
        step_time_full=full.seconds / how.gain,
        work=grid.devices * mean.seconds / (slots * how.gain),
        weights_bytes=asked.weights_bytes,
        kv_bytes=asked.kv_bytes,
        request_bytes=asked.kv_bytes * load.decode_context,
        attention_share=full.group_seconds[ATTENTION] / full.seconds,
        append_pass=append.seconds,
        append_per_token=per_token,
        append_per_area=per_area,
        append_work_token=occupied * per_token,
        append_work_area=occupied * per_area,
        append_work_pass=occupied * pass_line(load, chunk, short.seconds, append.seconds)[0] / grid.pp,
    )


def _slots(batch: FloatArray) -> FloatArray:
    """Mean busy slots of a batch; half a request at least."""
    return np.maximum(queueing.mean_slots(batch), np.minimum(batch, 0.5))


def _chunks(grid: mappings.Grid, load: Load, chunk: FloatArray) -> list[demand.Load]:
    """Passes over a chunk without a prefix, and on the mean one."""
    ranks, one = grid.attention_dp.astype(float), np.ones(chunk.shape)
    return [demand.Load(ranks, chunk, prefix * one, one) for prefix in (0.0, max(load.cached, 1.0))]


def _passes(grid: mappings.Grid, load: Load, chunk: FloatArray) -> list[demand.Load]:
    """Passes over a chunk without a prefix and on the mean one, and a short one on it."""
    prefix, one = np.full(chunk.shape, max(load.cached, 1.0)), np.ones(chunk.shape)
    return [*_chunks(grid, load, chunk), demand.Load(grid.attention_dp * one, short_pass(load, chunk), prefix, one)]


def _asked(
    shape: Shape,
    precision: demand.Precision,
    grid: mappings.Grid,
    held: tuple[FloatArray, FloatArray],
    loads: list[demand.Load],
) -> Asked:
    whole = demand.Load(*(np.concatenate(parts) for parts in zip(*loads, strict=True)))
    work = pass_work(shape, precision, passes.mapping(_repeated(grid, len(loads))), whole)
    return Asked(grid, *held, len(loads), work)


def _repeated(grid: mappings.Grid, times: int) -> mappings.Grid:
    return mappings.Grid(*(np.tile(column, times) for column in grid))


def _timed(site: Site, asked: Asked) -> list[roofline.PassTime]:
    """Time of every pass."""
    links = site.paths.links(_repeated(asked.grid, asked.passes), site.shape.experts_per_token)
    whole = roofline.pass_time(asked.work, site.supply, links, site.calibration)
    parts = [np.split(column, asked.passes, axis=-1) for column in whole]
    return [roofline.PassTime(*columns) for columns in zip(*parts, strict=True)]


def _coefficients(
    bare: roofline.PassTime, cached: roofline.PassTime, grid: mappings.Grid, load: Load, chunk: FloatArray
) -> tuple[FloatArray, FloatArray]:
    """Service per token and per area; stages work on several chunks at once."""
    prefix = np.full(chunk.shape, max(load.cached, 1.0))
    per_token, per_area = serving.prefill_coefficients(bare.seconds, cached.seconds, chunk, prefix)
    return per_token / grid.pp, per_area / grid.pp
