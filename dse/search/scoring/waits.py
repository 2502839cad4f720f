"""Latency of a step: quantiles over the mixture of warm, restored, cold and lost steps, not of an assumed law."""

from collections.abc import Sequence
from functools import lru_cache
from typing import NamedTuple

import numpy as np

from dse.arrays import BoolArray, FloatArray, IntArray
from dse.facts.workload.atoms import BROKEN, HIT, Atoms
from dse.facts.workload.distill import cell_of
from dse.physics import gated, queueing, serving
from dse.search.scoring.keeping import LEAST, Kept
from dse.search.scoring.sides import Operation, Setting

CELLS = 16_000
"""Numbers in an array of steps that are ranked at once: 128 kB, so that a handful stays in the second-level cache."""

WIDE_CELLS = 4 * CELLS
"""The same where all steps are ranked at several levels, as calls on smaller arrays take longer than the work."""


class Wait(NamedTuple):
    """Latency of a step."""

    ttft: FloatArray
    """(4, m) time to first token at 50, 95, 99 % and at the percentile of the study [s]."""
    latency: FloatArray
    """First to last token at the percentile of the study [s]."""
    latency_mean: FloatArray
    """The same on average [s]."""
    ttft_mean: FloatArray
    """Time to first token on average [s]."""


class Line(NamedTuple):
    """Time to first token of one kind of step, a linear form of its tokens; one row a point."""

    start: FloatArray
    """The rest of a pass in progress, and others in one's own [s]."""
    response: FloatArray
    """Time of a step's own tokens over their service [1]."""
    per_token: FloatArray
    """Service of a fresh token [s/tok]."""
    per_area: FloatArray
    """Service of a token² of attention [s/tok²]."""
    per_moved: FloatArray
    """Moving the KV of a token of the context between the pools [s/tok]."""

    def take(self, rows: IntArray | slice) -> "Line":
        """Select points."""
        return Line(*(column[rows] for column in self))


class Waiting(NamedTuple):
    """Everything that the time to first token of a point depends on, one row a point."""

    warm: Line
    """Steps that find their prefix, in HBM or below it."""
    cold: Line
    """All others."""
    per_cached: FloatArray
    """Reading a cached token back from the tier below HBM [s/tok]."""
    retention: FloatArray
    """Time for which KV is kept [s]."""
    lower: FloatArray
    """Share of the prefixes found that lie below HBM [1]."""
    blocked: FloatArray
    """Share of the requests that find no decode slot free [1]."""
    delay: FloatArray
    """Mean wait of those for one [s]."""
    joins: FloatArray
    """Rest of the decode step in progress, after which a request joins [s]."""
    warm_spread: FloatArray
    """Variance of the start of steps that find their prefix [s²]."""
    cold_spread: FloatArray
    """The same of all others [s²]."""
    place: FloatArray
    """Retention time as a fractional index of the grid [1]."""

    def take(self, rows: IntArray | slice) -> "Waiting":
        """Select points."""
        return Waiting(self.warm.take(rows), self.cold.take(rows), *(column[rows] for column in self[2:]))


class Steps(NamedTuple):
    """Representative steps of a class: found in HBM, found below it, and not found; (k,) each."""

    group: tuple[slice, slice, slice]
    fresh: FloatArray
    area: FloatArray
    cached: FloatArray
    output: FloatArray

    def take(self, kept: BoolArray) -> "Steps":
        """Select steps; the groups stay in their order."""
        ends = np.cumsum([0, *(int(kept[group].sum()) for group in self.group)])
        group = (slice(ends[0], ends[1]), slice(ends[1], ends[2]), slice(ends[2], ends[3]))
        return Steps(group, *(column[kept] for column in self[1:]))


class Law(NamedTuple):
    """What the quantiles of a point need beside those of its mixture of steps, one row a point."""

    mean: FloatArray
    """Mean of the mixture, queue excluded [s]."""
    output: FloatArray
    """Mean tokens after the first [tok]."""
    delay: FloatArray
    """Mean wait for a decode slot and the step in progress [s]."""
    excess: FloatArray
    """By how much the waits exceed their means at the level [s]."""

    def take(self, rows: IntArray | slice) -> "Law":
        """Select points."""
        return Law(*(column[rows] for column in self))

    def joined(self, reading: FloatArray, mean: FloatArray | float = 0.0) -> FloatArray:
        """Quantile of the whole from that of the mixture, whose mean is larger by ``mean`` [s]."""
        return queueing.joined_quantile(reading, self.mean + mean, self.delay, self.excess)


def waiting(at: Setting, kept: Kept, tpot: FloatArray) -> Waiting:
    """Lines of every point, the time that its KV is kept, how much of it lies below HBM, the wait for a slot."""
    output = at.shape.moments.output
    spread = at.shape.moments.output_squared / (2 * output**2)
    torn = _torn(at, kept.hit)
    return Waiting(
        *first_token_lines(at, torn),
        kept.per_cached,
        kept.time,
        kept.lower,
        kept.blocked,
        spread * output * tpot / (at.decode.batch - at.decode.slots),
        tpot / 2,
        *_spreads(at, torn),
        kept.place,
    )


def _torn(at: Setting, hit: FloatArray) -> FloatArray:
    """Share of the steps without a prefix that still go where their session's KV is, as what broke was kept [1]."""
    found, broken = _resumed(at.shape.atoms)
    return np.where(at.at_home("prefill"), broken * hit / np.maximum(1 - found * hit, LEAST), 0.0)


@lru_cache(maxsize=64)
def _resumed(atoms: Atoms) -> tuple[float, float]:
    """Steps that find their prefix if nothing is lost, and those that have broken it [1]."""
    weight = atoms.weight[-1]
    return float(weight[atoms.kind == HIT].sum()), float(weight[atoms.kind == BROKEN].sum())


def _spreads(at: Setting, torn: FloatArray) -> tuple[FloatArray, FloatArray]:
    """Variance of the start of steps that find their prefix, and of all others; two phases where decode prefills."""
    prefill, here = at.prefill, at.decode.append_pass**2 / 2
    between = torn * (1 - torn) * (prefill.pinned_time - prefill.pass_time) ** 2
    mixed = prefill.spread + torn * (prefill.pinned_spread - prefill.spread) + between
    warm = np.where(at.at_home("prefill"), prefill.pinned_spread, prefill.spread)
    appended = at.colocated | at.at_home("append_on_decode")
    return np.where(appended, here, warm), np.where(at.colocated, here, mixed)


def wait(at: Setting, kept: Kept, tpot: FloatArray, tpot_full: FloatArray) -> Wait:
    """Step latency of every point: quantiles while every slot is busy, the mean at the mean busy slots."""
    whole, atoms = waiting(at, kept, tpot), at.shape.atoms
    count = at.kv_token.size
    ttft, latency, queue = np.empty((4, count)), np.empty(count), np.empty(count)
    levels = (0.5, 0.95, 0.99, at.operation.percentile / 100)
    laws = law(atoms, at.operation, whole, forms(whole), levels)
    length = WIDE_CELLS // (2 * len(atoms))
    for first in range(0, count, length):
        rows = slice(first, first + length)
        part = whole.take(rows)
        steps, weights = _steps(atoms, at.operation, part)
        queue[rows] = queued(at.operation, steps, weights, part)
        values = first_token(at.operation, steps, weights, part)
        readings = queueing.mixture_quantiles(values, weights, levels)
        ttft[:, rows] = [own.take(rows).joined(read, queue[rows]) for own, read in zip(laws, readings, strict=True)]
        values += steps.output * tpot_full[rows, None]
        own = laws[3].take(rows)
        reading = queueing.mixture_quantiles(values, weights, levels[3:])[0]
        latency[rows] = own.joined(reading, queue[rows] + own.output * tpot_full[rows])
    mean = laws[0].mean + laws[0].delay + queue
    return Wait(ttft, latency, mean + laws[0].output * tpot, mean)


def law(atoms: Atoms, operation: Operation, whole: Waiting, lines: FloatArray, levels: Sequence[float]) -> list[Law]:
    """Means of every point, from those of its kinds of steps, and the spread of its waits at each level.

    ``lines`` are the :func:`forms` of the points.
    """
    means = _means(atoms, operation.affinity)
    cell, share = cell_of(whole.place)
    sizes, after = np.take(means, cell, axis=-1), np.take(means, cell + 1, axis=-1)
    sizes *= 1 - share
    after *= share
    sizes += after
    warm, cold = sizes
    near, _, lost = lines
    mean = np.einsum("ij,ij->j", near, warm[:4]) + np.einsum("ij,ij->j", lost, cold[:4])
    mean += whole.lower * whole.per_cached * warm[3]
    start = whole.warm.start * warm[0] + whole.cold.start * cold[0]
    between = warm[0] * cold[0] * (whole.warm.start - whole.cold.start) ** 2
    spread = whole.warm_spread * warm[0] + whole.cold_spread * cold[0] + between
    output, delay = warm[4] + cold[4], whole.blocked * whole.delay + whole.joins
    excess = {
        level: np.hypot(
            gated.pass_excess(start, spread, level), queueing.delay_excess(whole.blocked, whole.delay, level)
        )
        for level in {*levels}
    }
    return [Law(mean, output, delay, excess[level]) for level in levels]


@lru_cache(maxsize=64)
def _means(atoms: Atoms, affinity: float) -> FloatArray:
    """(2, 5, 48) of steps that find their prefix and others: share, fresh, area, cached, output, by retention time."""
    sizes = np.stack(
        [np.ones(len(atoms)), atoms.fresh, atoms.area, atoms.cached, np.maximum(atoms.output - 1, 0)], axis=1
    )
    weight = atoms.routed(affinity)
    return np.stack([((weight * own) @ sizes).T for own in (atoms.kind == HIT, atoms.kind != HIT)])


def first_token(operation: Operation, steps: Steps, weights: FloatArray, part: Waiting) -> FloatArray:
    """Time to first token of every step of every point, (m, k) [s]."""
    ttft, waited = np.empty((part.retention.size, steps.fresh.size)), queued(operation, steps, weights, part)
    for group, form in zip(steps.group, forms(part), strict=True):
        own = ttft[:, group]
        np.multiply(form[1][:, None], steps.fresh[group], out=own)
        own += form[2][:, None] * steps.area[group]
        own += form[3][:, None] * steps.cached[group]
        own += (form[0] + waited)[:, None]
    return ttft


def forms(part: Waiting) -> FloatArray:
    """Time to first token as a linear form of each group of steps, (3, 4, m).

    A constant, by fresh token, by area, by cached token.

    The response to each step's own work is in the form; under first come, first served the time in the queue comes on
    top (:func:`queued`).
    """
    made = np.empty((3, 4, part.retention.size))
    for line, own in ((part.warm, made[0]), (part.cold, made[2])):
        own[0], own[3] = line.start, line.per_moved
        np.multiply(line.response, line.per_token, out=own[1])
        own[1] += line.per_moved
        np.multiply(line.response, line.per_area, out=own[2])
    made[1] = made[0]
    made[1, 3] += part.per_cached
    return made


def queued(operation: Operation, steps: Steps, weights: FloatArray, part: Waiting) -> FloatArray:
    """Mean wait of a point for the service of others, first come first served; it looks at all steps (m,) [s]."""
    if not operation.first_come:
        return np.zeros(part.retention.size)
    service = np.empty(weights.shape)
    for group, line in zip(steps.group, (part.warm, part.warm, part.cold), strict=True):
        service[:, group] = line.per_token[:, None] * steps.fresh[group] + line.per_area[:, None] * steps.area[group]
    total = weights.sum(axis=1)
    mean, square = (service * weights).sum(axis=1) / total, (service**2 * weights).sum(axis=1) / total
    scv = np.maximum(square / mean**2 - 1, 0)
    return queueing.first_come_wait(mean, scv, operation.arrival_scv, operation.utilisation)


def first_token_lines(at: Setting, torn: FloatArray | float) -> tuple[Line, Line]:
    """Time to first token of steps that find their prefix, and of those that do not: own work shared, KV moved.

    Who has nothing to find goes to the prefill instance with the least to do, but for a share ``torn``.
    """
    prefill, decode = at.prefill, at.decode
    appends, on_prefill, shared = (at.at_home(name) for name in ("append_on_decode", "prefill", "shared"))
    coded = [serving.coded_bandwidth(part.bandwidth, at.codec) for part in (prefill, decode, at.pool)]
    link = np.minimum(coded[0] * prefill.rank_devices, coded[1] * decode.rank_devices)
    pool = np.maximum(coded[2], 1.0) * np.minimum(prefill.rank_devices, decode.rank_devices)
    over_link, over_pool = at.kv_token / link, serving.pool_tokens(1.0, 0.0, 0.0).sum() * at.kv_token / pool
    crosses = on_prefill | at.at_home("decode")
    shared_load = 0.0 if at.operation.first_come else at.operation.utilisation
    sharing = queueing.processor_sharing_response(np.ones(at.kv_token.shape), shared_load)

    def line(here: BoolArray, crosses: BoolArray, start: FloatArray, response: FloatArray) -> Line:
        return Line(
            np.where(here, decode.append_pass, start),
            np.where(here, sharing, response),
            np.where(here, decode.append_per_token, prefill.per_token),
            np.where(here, decode.append_per_area, prefill.per_area),
            np.where(shared, over_pool, np.where(crosses, over_link, 0.0)),
        )

    start = np.where(on_prefill, prefill.pinned_time, prefill.pass_time)
    response = np.where(on_prefill, prefill.pinned_response, prefill.response)
    cold_start = prefill.pass_time + torn * (prefill.pinned_time - prefill.pass_time)
    cold_response = prefill.cold_response + torn * (prefill.pinned_cold_response - prefill.cold_response)
    return (
        line(at.colocated | appends, crosses, start, response),
        line(at.colocated, crosses | appends, cold_start, cold_response),
    )


def ordered(atoms: Atoms, *, below: bool) -> tuple[Steps, IntArray]:
    """Steps found in HBM, found below it where asked for, and not found; the atom that each comes from."""
    warm, cold = np.flatnonzero(atoms.kind == HIT), np.flatnonzero(atoms.kind != HIT)
    under = warm if below else warm[:0]
    order: IntArray = np.concatenate([warm, under, cold])
    group = (
        slice(0, warm.size),
        slice(warm.size, warm.size + under.size),
        slice(warm.size + under.size, order.size),
    )
    output = np.maximum(atoms.output[order] - 1, 0)
    return Steps(group, atoms.fresh[order], atoms.area[order], atoms.cached[order], output), order


def _steps(atoms: Atoms, operation: Operation, part: Waiting) -> tuple[Steps, FloatArray]:
    """Representative steps, and their weights (n, k) at retention times and shares restored from below HBM."""
    steps, order = ordered(atoms, below=bool((part.lower > 0).any()))
    near = operation.affinity
    weights = atoms.weights(part.retention)
    if near < 1:
        weights = near * weights + (1 - near) * atoms.weights(np.zeros(1))
    weights = weights[:, order]
    weights[:, steps.group[1]] *= part.lower[:, None]
    weights[:, steps.group[0]] *= 1 - part.lower[:, None]
    return steps, weights
