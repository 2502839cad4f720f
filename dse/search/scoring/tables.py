"""Making phase tables: mappings are timed and reduced to the rows worth keeping, many tables in one stroke.

A row stays if no other row of its table is at least as good in every respect that a design can trade: work, waiting and
memory. Tables of one class that ask for the same are made below each other, as calls on the few hundred mappings of one
would take longer than the work; each row is what it would be alone.
"""

from collections.abc import Callable, Iterator, Sequence
from typing import NamedTuple

import numpy as np

from dse.arrays import FloatArray, IntArray
from dse.physics import demand, roofline, serving
from dse.physics.calibration import Calibration
from dse.search.pareto import nondominated
from dse.search.scoring import mappings, passes, phases
from dse.search.scoring.loads import Load, in_passes, pass_line
from dse.search.scoring.phases import APPEND_CHUNK, Alone, Asked, DecodeTable, Decoding, PrefillTable, Site

RESOLUTION = 0.02
"""Rows closer than this in every criterion are one row, decades [1]: below the model's own error."""

ROWS = 6000
"""Mappings that are timed at once, if there are as many: their columns stay in the second-level cache."""


class Order(NamedTuple):
    """A table to make: its site, what its mappings ask for, and how long that takes but for the messages."""

    site: Site
    asked: Asked
    alone: Alone


class Made(NamedTuple):
    """Tables made in one stroke, below each other."""

    orders: list[int]
    """Place of each table among the orders."""
    sizes: IntArray
    """Rows of each."""
    grid: IntArray
    """(7, n) mappings."""
    columns: FloatArray
    """(c, n) columns of the table beside its grid."""


class Stack(NamedTuple):
    """Mappings of several tables that ask for the same, below each other."""

    orders: list[Order]
    counts: IntArray
    """Mappings of each table."""
    rows: IntArray
    """(n,) place of each mapping in what is asked."""

    @property
    def asked(self) -> Asked:
        """What all of them ask for."""
        return self.orders[0].asked

    def take(self, rows: IntArray) -> "Stack":
        """Select rows; those of a table stay next to one another."""
        table = np.repeat(np.arange(self.counts.size), self.counts)[rows]
        return Stack(self.orders, np.bincount(table, minlength=self.counts.size), self.rows[rows])


def prefill_table(site: Site, load: Load, chunks: tuple[int, ...]) -> PrefillTable:
    """One prefill table."""
    asked = phases.prefill_asked(site.shape, site.precision, site.reach, load, chunks)
    (made,) = prefill_tables(load, [_order(site, asked)])
    return PrefillTable(mappings.Grid(*made.grid), *made.columns)


def decode_table(site: Site, load: Load, how: Decoding) -> DecodeTable:
    """One decode table."""
    asked = phases.decode_asked(site.shape, site.precision, site.reach, load, how)
    (made,) = decode_tables(load, how, [_order(site, asked)])
    return DecodeTable(mappings.Grid(*made.grid), *made.columns)


def _order(site: Site, asked: Asked) -> Order:
    return Order(site, asked, phases.alone(asked, site.supply, site.calibration))


def prefill_tables(load: Load, orders: Sequence[Order]) -> Iterator[Made]:
    """Tables of the prefill mappings that fit the memory of each site, the undominated ones."""

    def need(asked: Asked) -> FloatArray:
        return asked.weights_bytes + asked.kv_bytes * load.tail_context

    for places, stack in _stacks(orders, need):
        made, columns = _prefill(stack, load)
        yield _made(places, made, columns)


def decode_tables(load: Load, how: Decoding, orders: Sequence[Order]) -> Iterator[Made]:
    """Tables of the decode mappings that fit the memory of each site, the undominated ones.

    Where attention is elsewhere there is one stage and no KV.
    """
    here = 0.0 if how.attention_elsewhere else 1.0
    if how.attention_elsewhere:
        orders = [
            item._replace(site=item.site._replace(reach=item.site.reach._replace(stages=(1,)))) for item in orders
        ]

    def need(asked: Asked) -> FloatArray:
        return asked.weights_bytes + here * asked.kv_bytes * load.tail_context

    for places, stack in _stacks(orders, need):
        made, columns = _decode(stack, load, how, here)
        yield _made(places, made, columns)


def _prefill(stack: Stack, load: Load) -> tuple[Stack, list[FloatArray]]:
    """Rows of prefill tables worth keeping, with their columns."""
    asked, grid = stack.asked, stack.asked.grid.rows(stack.rows)
    bare, cached, short = _passed(stack, slice(0, 3))
    per_token, per_area = _coefficients(bare, cached, grid, load, grid.size.astype(float))
    service, occupied = per_token * load.fresh + per_area * load.area, grid.devices / grid.attention_dp
    waited = in_passes(load, grid, short, per_token, per_area)
    held = asked.weights_bytes[stack.rows] + asked.kv_bytes[stack.rows] * load.tail_context
    chosen = _best(stack, [service * occupied, waited.pass_time + waited.response_of(load) * service, held])
    kept = stack.take(chosen)
    occupied, per_token, per_area = occupied[chosen], per_token[chosen], per_area[chosen]
    return kept, [
        *(column[chosen] for column in waited),
        per_token,
        per_area,
        occupied * per_token,
        occupied * per_area,
        asked.weights_bytes[kept.rows],
        asked.kv_bytes[kept.rows],
    ]


def _decode(stack: Stack, load: Load, how: Decoding, here: float) -> tuple[Stack, list[FloatArray]]:
    """Rows of decode tables worth keeping, with their columns; chunks are timed on those alone."""
    asked, grid = stack.asked, stack.asked.grid.rows(stack.rows)
    mean, full = _passed(stack, slice(0, 2))
    share = _parts(stack, [item.alone.core[1:2] for item in stack.orders])[0] / full
    batch = grid.size.astype(float)
    work = grid.devices * mean / (phases.busy(batch) * how.gain)
    stays = 1 - (1 - here) * share
    kv_bytes = asked.kv_bytes[stack.rows]
    used = asked.weights_bytes[stack.rows] + here * batch / grid.attention_dp * kv_bytes * load.decode_context
    chosen = _best(stack, [stays * work, stays * full, used])
    kept, grid, batch = stack.take(chosen), grid.rows(chosen), batch[chosen]
    bare, append, short = _passed(kept, slice(2, 5))
    chunk = np.full(batch.shape, APPEND_CHUNK)
    per_token, per_area = _coefficients(bare, append, grid, load, chunk)
    occupied = grid.devices / grid.attention_dp
    return kept, [
        phases.busy(batch),
        mean[chosen] / how.gain,
        full[chosen] / how.gain,
        work[chosen],
        asked.weights_bytes[kept.rows],
        kv_bytes[chosen],
        kv_bytes[chosen] * load.decode_context,
        share[chosen],
        append,
        per_token,
        per_area,
        occupied * per_token,
        occupied * per_area,
        occupied * pass_line(load, chunk, short, append)[0] / grid.pp,
    ]


def _made(places: list[int], kept: Stack, columns: Sequence[FloatArray]) -> Made:
    return Made(places, kept.counts, np.stack(kept.asked.grid)[:, kept.rows], np.stack(columns))


def _coefficients(
    bare: FloatArray, cached: FloatArray, grid: mappings.Grid, load: Load, chunk: FloatArray
) -> tuple[FloatArray, FloatArray]:
    """Service per token and per area of an instance, whose stages work on several chunks at once."""
    prefix = np.full(chunk.shape, phases.prefix(load))
    per_token, per_area = serving.prefill_coefficients(bare, cached, chunk, prefix)
    return per_token / grid.pp, per_area / grid.pp


def _stacks(orders: Sequence[Order], need: Callable[[Asked], FloatArray]) -> Iterator[tuple[list[int], Stack]]:
    """Orders that ask for the same, of one calibration and as many tiers, cut such that their columns stay in cache."""
    alike: dict[tuple[int, Calibration, int], list[int]] = {}
    for place, item in enumerate(orders):
        kind = (id(item.asked), item.site.calibration, item.site.paths.rates.size)
        alike.setdefault(kind, []).append(place)
    for places in alike.values():
        index = _fitting([orders[place] for place in places], need(orders[places[0]].asked))
        counts = np.asarray([rows.size for rows in index])
        cut = (np.cumsum(counts) - counts) // ROWS
        for part in np.split(np.arange(counts.size), np.flatnonzero(np.diff(cut)) + 1):
            own = [places[at] for at in part]
            rows = np.concatenate([index[at] for at in part])
            yield own, Stack([orders[place] for place in own], counts[part], rows)


def _fitting(orders: Sequence[Order], need: FloatArray) -> list[IntArray]:
    """Rows in reach that fit; where none does, the one that lacks least, so that infeasibility keeps its size."""
    reached: dict[mappings.Reach, IntArray] = {}
    found = []
    for item in orders:
        reach = item.site.reach
        if reach not in reached:
            reached[reach] = np.flatnonzero(mappings.within(item.asked.grid, reach))
        index = reached[reach]
        fits = index[need[index] <= item.site.capacity]
        found.append(fits if fits.size else index[[int(np.argmin(need[index]))]])
    return found


def _passed(stack: Stack, which: slice) -> FloatArray:
    """Time of some passes with their messages, (passes, n) [s]."""
    asked, site = stack.asked, stack.orders[0].site
    networks = [item.site.paths for item in stack.orders]
    links = passes.links(networks, stack.counts, asked.grid.rows(stack.rows), site.shape.experts_per_token)
    sent = {
        place: roofline.exposed_time(_some(asked.sent[place], stack.rows), links, site.calibration)
        for place in set(asked.which[which])
    }
    seconds = _parts(stack, [item.alone.seconds[which] for item in stack.orders])
    for own, place in zip(seconds, asked.which[which], strict=True):
        own += sent[place]
    return seconds


def _parts(stack: Stack, columns: Sequence[FloatArray]) -> FloatArray:
    """Columns of each table's own mappings (p, k), below each other."""
    ends = np.cumsum(stack.counts)
    parts = (own[:, stack.rows[end - size : end]] for own, end, size in zip(columns, ends, stack.counts, strict=True))
    return np.concatenate(list(parts), axis=1)


def _some(sent: demand.Communication, rows: IntArray) -> demand.Communication:
    """Messages of some mappings; a kind that none of all sends is not looked at."""
    none = np.zeros(rows.size)
    return demand.Communication(
        *(
            demand.Message(kind.count[rows], kind.size[rows]) if kind.count.any() else demand.Message(none, none)
            for kind in sent
        )
    )


def _best(stack: Stack, criteria: list[FloatArray]) -> IntArray:
    """Rows that no other row of their table beats in all criteria, at the tables' resolution, cheapest first."""
    scores = np.round(np.log10(np.stack(criteria, axis=1)) / RESOLUTION) * RESOLUTION
    ends = np.cumsum(stack.counts)
    best = [nondominated(scores[end - size : end]) for end, size in zip(ends, stack.counts, strict=True)]
    distinct = np.flatnonzero(np.concatenate(best))
    table = np.repeat(np.arange(ends.size), stack.counts)[distinct]
    order = np.lexsort((criteria[0][distinct], table))
    distinct, table = distinct[order], table[order]
    own = scores[distinct]
    order = np.lexsort((*own.T, table))
    fresh = np.ones(order.size, dtype=np.bool_)
    fresh[1:] = (own[order][1:] != own[order][:-1]).any(axis=1) | (np.diff(table[order]) > 0)
    return distinct[np.sort(order[fresh])]
