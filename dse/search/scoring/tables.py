"""Making phase tables: mappings are timed and reduced to the rows worth keeping, many tables in one stroke.

A row stays if no other row of its table is at least as good in every respect that a design can trade: work, waiting and
memory. Tables of one class are made below each other, as calls on the few hundred mappings of one
would take longer than the work; each row is what it would be alone.
"""

from collections.abc import Callable, Iterator, Sequence
from typing import Any, NamedTuple, TypeVar

import numpy as np
from numpy.typing import NDArray

from dse.arrays import FloatArray, IntArray
from dse.physics import demand, roofline, serving
from dse.search.pareto import nondominated
from dse.search.scoring import mappings, passes, phases
from dse.search.scoring.loads import Load, in_passes, pass_line
from dse.search.scoring.phases import APPEND_CHUNK, Alone, Asked, DecodeTable, Decoding, PrefillTable, Site

Number = TypeVar("Number", np.int64, np.float64)

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
    """Mappings of several tables of a class and phase, below each other."""

    orders: list[Order]
    counts: IntArray
    """Mappings of each table."""
    rows: IntArray
    """(n,) place of each mapping in what its table asks."""

    def take(self, rows: IntArray) -> "Stack":
        """Select rows; those of a table stay next to one another."""
        table = np.repeat(np.arange(self.counts.size), self.counts)[rows]
        return Stack(self.orders, np.bincount(table, minlength=self.counts.size), self.rows[rows])

    def gathered(self, columns: Callable[[Order], NDArray[Number]]) -> NDArray[Number]:
        """Columns of what is asked of each table (p, k), of the mappings of all of them."""
        ends = np.cumsum(self.counts)
        parts = [
            columns(item)[:, self.rows[end - size : end]]
            for item, end, size in zip(self.orders, ends.tolist(), self.counts.tolist(), strict=True)
        ]
        return np.concatenate(parts, axis=1)

    def grid(self) -> mappings.Grid:
        """All mappings."""
        return mappings.Grid(*self.gathered(lambda item: item.asked.degrees))


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
        return np.asarray(asked.stays[0] + asked.stays[1] * load.tail_context)

    for places, stack in _stacks(orders, need):
        yield Made(places, *_prefill(stack, load))


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
        return np.asarray(asked.stays[0] + here * asked.stays[1] * load.tail_context)

    for places, stack in _stacks(orders, need):
        yield Made(places, *_decode(stack, load, how, here))


def _prefill(stack: Stack, load: Load) -> tuple[IntArray, IntArray, FloatArray]:
    """Rows of prefill tables worth keeping: how many of each, their mappings, their columns."""
    grid, (weights_bytes, kv_bytes) = stack.grid(), stack.gathered(lambda item: item.asked.stays)
    bare, cached, short = _passed(stack, grid, slice(0, 3))
    per_token, per_area = _coefficients(bare, cached, grid, load, grid.size.astype(float))
    service, occupied = per_token * load.fresh + per_area * load.area, grid.devices / grid.attention_dp
    waited = in_passes(load, grid, short, per_token, per_area)
    held = weights_bytes + kv_bytes * load.tail_context
    chosen = _best(stack, [service * occupied, waited.pass_time + waited.response_of(load) * service, held])
    columns = np.stack(
        [*waited, per_token, per_area, occupied * per_token, occupied * per_area, weights_bytes, kv_bytes]
    )
    return stack.take(chosen).counts, np.stack(grid.rows(chosen)), columns[:, chosen]


def _decode(stack: Stack, load: Load, how: Decoding, here: float) -> tuple[IntArray, IntArray, FloatArray]:
    """Rows of decode tables worth keeping, as of prefill tables; chunks are timed on those alone."""
    grid, (weights_bytes, kv_bytes) = stack.grid(), stack.gathered(lambda item: item.asked.stays)
    mean, full = _passed(stack, grid, slice(0, 2))
    share = stack.gathered(lambda item: item.alone.core[1:2])[0] / full
    batch = grid.size.astype(float)
    work = grid.devices * mean / (phases.busy(batch) * how.gain)
    stays = 1 - (1 - here) * share
    used = weights_bytes + here * batch / grid.attention_dp * kv_bytes * load.decode_context
    chosen = _best(stack, [stays * work, stays * full, used])
    kept, grid, batch = stack.take(chosen), grid.rows(chosen), batch[chosen]
    bare, append, short = _passed(kept, grid, slice(2, 5))
    chunk = np.full(batch.shape, APPEND_CHUNK)
    per_token, per_area = _coefficients(bare, append, grid, load, chunk)
    occupied = grid.devices / grid.attention_dp
    columns = [
        phases.busy(batch),
        mean[chosen] / how.gain,
        full[chosen] / how.gain,
        work[chosen],
        weights_bytes[chosen],
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
    return kept.counts, np.stack(grid), np.stack(columns)


def _coefficients(
    bare: FloatArray, cached: FloatArray, grid: mappings.Grid, load: Load, chunk: FloatArray
) -> tuple[FloatArray, FloatArray]:
    """Service per token and per area of an instance, whose stages work on several chunks at once."""
    prefix = np.full(chunk.shape, phases.prefix(load))
    per_token, per_area = serving.prefill_coefficients(bare, cached, chunk, prefix)
    return per_token / grid.pp, per_area / grid.pp


def _stacks(orders: Sequence[Order], need: Callable[[Asked], FloatArray]) -> Iterator[tuple[list[int], Stack]]:
    """Orders whose messages are timed alike, cut such that their columns stay in the cache."""
    alike: dict[tuple[Any, ...], list[int]] = {}
    for place, item in enumerate(orders):
        known = item.site.calibration
        kind = (item.asked.which, item.asked.kinds, known.network, known.overlap, known.expert_skew)
        alike.setdefault(kind, []).append(place)
    index = _fitting(orders, need)
    for joined in alike.values():
        for places in _by_tiers(orders, joined, sum(index[place].size for place in joined)):
            counts = np.asarray([index[place].size for place in places])
            cut = (np.cumsum(counts) - counts) // ROWS
            for part in np.split(np.arange(counts.size), np.flatnonzero(np.diff(cut)) + 1):
                own = [places[at] for at in part]
                rows = np.concatenate([index[place] for place in own])
                yield own, Stack([orders[place] for place in own], counts[part], rows)


def _by_tiers(orders: Sequence[Order], places: list[int], rows: int) -> list[list[int]]:
    """Orders of as many tiers each, unless all of them are so few that another call takes longer than further tiers."""
    if rows <= ROWS:
        return [places]
    tiers: dict[int, list[int]] = {}
    for place in places:
        tiers.setdefault(orders[place].site.paths.rates.size, []).append(place)
    return list(tiers.values())


def _fitting(orders: Sequence[Order], need: Callable[[Asked], FloatArray]) -> list[IntArray]:
    """Rows in reach that fit; where none does, the one that lacks least, so that infeasibility keeps its size."""
    needed: dict[int, FloatArray] = {}
    reached: dict[tuple[int, mappings.Reach], IntArray] = {}
    found = []
    for item in orders:
        asked, known = item.asked, (id(item.asked), item.site.reach)
        if known[0] not in needed:
            needed[known[0]] = need(asked)
        if known not in reached:
            reached[known] = np.flatnonzero(mappings.within(asked.grid, item.site.reach))
        index, bytes_ = reached[known], needed[known[0]]
        fits = index[bytes_[index] <= item.site.capacity]
        found.append(fits if fits.size else index[[int(np.argmin(bytes_[index]))]])
    return found


def _passed(stack: Stack, grid: mappings.Grid, which: slice) -> FloatArray:
    """Time of some passes with their messages, (passes, n) [s]."""
    asked, site = stack.orders[0].asked, stack.orders[0].site
    networks = [item.site.paths for item in stack.orders]
    links = passes.links(networks, stack.counts, grid, site.shape.experts_per_token)
    seconds = stack.gathered(lambda item: item.alone.seconds[which])
    for place in set(asked.which[which]):
        sent = _messages(asked.kinds, stack.gathered(lambda item, place=place: item.asked.sent[place]))  # type: ignore[misc]
        exposed = roofline.exposed_time(sent, links, site.calibration)
        for own, its in zip(seconds, asked.which[which], strict=True):
            if its == place:
                own += exposed
    return seconds


def _messages(kinds: Sequence[int], columns: FloatArray) -> demand.Communication:
    """Messages of the kinds that are sent, from the count and the size of each; none of the others."""
    none = np.zeros(columns.shape[1])
    found = [demand.Message(none, none)] * len(demand.Communication._fields)
    for kind, count, size in zip(kinds, columns[::2], columns[1::2], strict=True):
        found[kind] = demand.Message(count, size)
    return demand.Communication(*found)


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
