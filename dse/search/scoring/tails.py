"""Quantiles at the percentile of the study alone, from the few steps that can lie there.

Most representative steps of a class can never be the one at 95 %: at any times of any hardware, other steps take at
least as long (more fresh tokens, a longer prefix, no shorter an output) and weigh more than 5 %. Their weights are
added up in advance, and only the rest is timed and ranked. The readings are those of :mod:`waits`, not bounds of them,
to the rounding of a sum.
"""

from collections.abc import Iterator
from functools import lru_cache
from itertools import pairwise
from typing import NamedTuple

import numpy as np

from dse.arrays import BoolArray, FloatArray, IntArray
from dse.facts.workload.atoms import Atoms
from dse.facts.workload.distill import cell_of
from dse.physics import queueing
from dse.search.scoring.readings import longest, mixtures, pays, readings, within
from dse.search.scoring.sides import ClassShape, Operation
from dse.search.scoring.waits import CELLS, Line, Steps, Waiting, forms, law, ordered, queued

GRAIN = 8
"""Parts into which the share restored from below HBM is cut, so that points share a choice of steps."""

LEAST_ROWS, MOST_ROWS = 64, 512
"""Points that are timed at once, if there are as many."""

READ_ROWS = 4096
"""Points whose mixtures are read one after the other, so that their columns stay in the cache."""

FEW = 24
"""Points of one kind that are not worth a choice of steps of their own: they are read among all steps."""

PRODUCT = 250_000
"""Multiplications of a matrix product that an array library still does on one thread [1]."""

SLACK = 1e-9
"""Weight by which a step must be out of reach of the percentile, against rounding [1]."""

COLD_SLOWER, WARM_SLOWER = 1, 2
"""Which of the lines of a point is nowhere below the other; both bits where they are one line."""

MIXED = 4 * (GRAIN + 1)
"""Kind of the points whose own kind has few."""


class Tail(NamedTuple):
    """Steps that may lie at the percentile, and what is known of the others."""

    steps: Steps
    sizes: tuple[FloatArray, FloatArray, FloatArray]
    """What each group's linear form multiplies, (4, k): one, fresh tokens, area, cached tokens."""
    weight: FloatArray
    """(48, k) weights of these steps at each retention time of the grid [1]."""
    below: FloatArray
    """(48, 3) weights of all other steps, by group [1]."""


class Batch(NamedTuple):
    """Points that share a tail, next to one another."""

    tail: Tail
    rows: slice
    part: Waiting
    forms: FloatArray
    weights: FloatArray
    below: FloatArray


def at_percentile(
    shape: ClassShape, operation: Operation, whole: Waiting, per_output: FloatArray | None = None
) -> FloatArray:
    """Quantile of the time to first token, or with a time per output token that of the whole step, (m,) [s]."""
    if _looped(operation, whole.retention.size):
        return _read(shape, operation, whole, per_output)
    found = np.empty(whole.retention.size)
    level = (operation.percentile / 100,)
    order, kind = _sorted(whole)
    output = None if per_output is None else per_output[order]
    sorted_ = whole.take(order)
    lines = forms(sorted_)
    (laws,) = law(shape.atoms, operation, sorted_, lines, level)
    for batch in _batches(shape.atoms, operation, sorted_, lines, kind, per_output is not None):
        own = laws.take(batch.rows)
        values, later = _first_token(operation, batch)
        if output is not None:
            values += batch.tail.steps.output * output[batch.rows, None]
            later += own.output * output[batch.rows]
        reading = queueing.mixture_quantiles(values, batch.weights, level, batch.below)[0]
        found[batch.rows] = own.joined(reading, later)
    return _restored(found, order)


def in_time(shape: ClassShape, operation: Operation, whole: Waiting, per_output: FloatArray) -> FloatArray:
    """Quantile of the whole step where it and that of the time to first token are within their targets, else infinite.

    The latter lies between two neighbours. So it is within the target where the steps within weigh more than the level
    by half the heaviest step, and beyond it where they weigh less by as much; in between it is read.
    """
    if _looped(operation, whole.retention.size):
        return _read_in_time(shape, operation, whole, per_output)
    found = np.full(whole.retention.size, np.inf)
    level = operation.percentile / 100
    order, kind = _sorted(whole)
    output, sorted_ = per_output[order], whole.take(order)
    lines = forms(sorted_)
    (laws,) = law(shape.atoms, operation, sorted_, lines, (level,))
    for batch in _batches(shape.atoms, operation, sorted_, lines, kind, True):
        own, weights, below = laws.take(batch.rows), batch.weights, batch.below
        values, later = _first_token(operation, batch)
        limit = queueing.reading_within(shape.ttft_slo, own.mean + later, own.delay, own.excess)
        within = np.einsum("ij,ij->i", weights, values <= limit[:, None]) + below
        margin = weights.max() / 2 + SLACK
        good = within - level >= margin
        open_ = np.flatnonzero(~good & (within - level > -margin))
        if open_.size:
            ttft = queueing.mixture_quantiles(values[open_], weights[open_], (level,), below[open_])[0]
            good[open_] = 1 - own.take(open_).joined(ttft, later[open_]) / shape.ttft_slo >= 0
        rows = np.flatnonzero(good)
        later += own.output * output[batch.rows]
        values += batch.tail.steps.output * output[batch.rows, None]
        if rows.size < good.size:
            values, weights, below = values[rows], weights[rows], below[rows]
        if rows.size:
            reading = queueing.mixture_quantiles(values, weights, (level,), below)[0]
            found[batch.rows.start + rows] = own.take(rows).joined(reading, later[rows])
    return _restored(np.where(_met(found, shape.latency_slo), found, np.inf), order)


def _met(latency: FloatArray, target: float) -> BoolArray:
    return np.asarray(1 - latency / target >= 0)


def _looped(operation: Operation, readings: int) -> bool:
    """Whether points are read one by one; who is served first come first served waits for all steps alike."""
    return not operation.first_come and pays(readings)


def _read(shape: ClassShape, operation: Operation, whole: Waiting, per_output: FloatArray | None) -> FloatArray:
    """The same as :func:`at_percentile`, point by point."""
    level, steps = operation.percentile / 100, longest(shape.atoms, operation.affinity, per_output is not None)
    lines = forms(whole)
    (own,) = law(shape.atoms, operation, whole, lines, (level,))
    reading = readings(mixtures(lines, whole.lower, whole.place), steps, per_output, level)
    return own.joined(reading, 0.0 if per_output is None else own.output * per_output)


def _read_in_time(shape: ClassShape, operation: Operation, whole: Waiting, per_output: FloatArray) -> FloatArray:
    """The same as :func:`in_time`, point by point."""
    level, atoms, near = operation.percentile / 100, shape.atoms, operation.affinity
    found = np.full(whole.retention.size, np.inf)
    for first in range(0, found.size, READ_ROWS):
        part = whole.take(slice(first, first + READ_ROWS))
        lines = forms(part)
        of, (own,) = mixtures(lines, part.lower, part.place), law(atoms, operation, part, lines, (level,))
        limit = queueing.reading_within(shape.ttft_slo, own.mean, own.delay, own.excess)
        rows = np.flatnonzero(within(of, longest(atoms, near, False), limit, level))
        own, output = own.take(rows), per_output[first + rows]
        reading = readings(of.take(rows), longest(atoms, near, True), output, level)
        latency = own.joined(reading, own.output * output)
        found[first + rows] = np.where(_met(latency, shape.latency_slo), latency, np.inf)
    return found


def _restored(found: FloatArray, order: IntArray) -> FloatArray:
    """Values in the order in which the points came."""
    values = np.empty_like(found)
    values[order] = found
    return values


def _sorted(whole: Waiting) -> tuple[IntArray, IntArray]:
    """Order in which points that share a tail are neighbours, and the kind of each: its slower line, its grain."""
    slower = COLD_SLOWER * _nowhere_below(whole.cold, whole.warm) + WARM_SLOWER * _nowhere_below(whole.warm, whole.cold)
    grain = np.ceil(np.clip(whole.lower, 0.0, 1.0) * GRAIN).astype(np.int64)
    kind = slower * (GRAIN + 1) + grain
    kind = np.where(np.bincount(kind, minlength=MIXED)[kind] < FEW, MIXED, kind)
    order = np.lexsort((whole.retention, kind))
    return order, kind[order]


def _batches(
    atoms: Atoms, operation: Operation, whole: Waiting, lines: FloatArray, kind: IntArray, whole_step: bool
) -> Iterator[Batch]:
    """Cut ordered points into batches, with their linear forms and the weights of their steps."""
    cell, share = cell_of(whole.place)
    edges = np.flatnonzero(np.diff(kind, prepend=-1, append=-1))
    for start, stop in pairwise(edges.tolist()):
        at = start
        while at < stop:
            end = min(stop, at + MOST_ROWS)
            cells = int(cell[at]), int(cell[end - 1])
            tail = _tail(atoms, operation, int(kind[at]), cells, whole_step)
            count = tail.steps.fresh.size
            most = min(CELLS // count, PRODUCT // (count * (cells[1] - cells[0] + 2)))
            rows = slice(at, min(end, at + max(LEAST_ROWS, most)))
            part = whole.take(rows)
            weights, below = _weights(tail, part.lower, cell[rows], share[rows])
            yield Batch(tail, rows, part, lines[..., rows], weights, below)
            at = rows.stop


def _weights(tail: Tail, lower: FloatArray, cell: IntArray, share: FloatArray) -> tuple[FloatArray, FloatArray]:
    """Weights of the steps of a tail at each point (n, k), and of all others together (n,) [1]."""
    first, rows = int(cell[0]), np.arange(cell.size)
    nodes = slice(first, int(cell[-1]) + 2)
    hats = np.zeros((cell.size, nodes.stop - first))
    hats[rows, cell - first], hats[rows, cell - first + 1] = 1 - share, share
    weights, below = np.empty((cell.size, tail.steps.fresh.size)), np.zeros(cell.size)
    for number, (group, factor) in enumerate(zip(tail.steps.group, (1 - lower, lower, None), strict=True)):
        own = hats if factor is None else hats * factor[:, None]
        np.matmul(own, tail.weight[nodes, group], out=weights[:, group])
        below += own @ tail.below[nodes, number]
    return weights, below


def _first_token(operation: Operation, batch: Batch) -> tuple[FloatArray, FloatArray]:
    """Time to first token of the steps of a batch (n, k), and what of it is queue (n,) [s]."""
    values = np.empty_like(batch.weights)
    for group, form, sizes in zip(batch.tail.steps.group, batch.forms, batch.tail.sizes, strict=True):
        np.matmul(form.T, sizes, out=values[:, group])
    queue = queued(operation, batch.tail.steps, batch.weights, batch.part)
    if operation.first_come:
        values += queue[:, None]
    return values, queue


@lru_cache(maxsize=1024)
def _tail(atoms: Atoms, operation: Operation, kind: int, cells: tuple[int, int], whole_step: bool) -> Tail:
    r"""Steps that may lie at the percentile at retention times in some cells of the grid.

    The reading lies between two neighbours in the order of time, the upper of which has its middle at or above the
    level. A step is neither of them if those that surely follow it weigh

    .. math:: \sum_{j \in D} w_j - \max_{j \in D} w_j / 2 > 1 - \ell

    because then even the middle of its next follower is below the level.
    """
    slower, grain = divmod(kind, GRAIN + 1)
    steps, origin = ordered(atoms, below=grain > 0 or kind == MIXED)
    weight = atoms.routed(operation.affinity)[:, origin]
    least, most = np.ones(origin.size), np.ones(origin.size)
    least[steps.group[0]], most[steps.group[0]] = 1 - grain / GRAIN, 1 - max(grain - 1, 0) / GRAIN
    least[steps.group[1]], most[steps.group[1]] = max(grain - 1, 0) / GRAIN, grain / GRAIN
    nodes = weight[cells[0] : cells[1] + 2]
    least, most = least * nodes.min(axis=0), most * nodes.max(axis=0)
    after = _after(atoms, steps.group[1].stop > steps.group[1].start, slower, whole_step)
    out = after @ least - (after * most).max(axis=1) / 2 > 1 - operation.percentile / 100 + SLACK
    kept = (most > 0) & (~out | operation.first_come) | (kind == MIXED)
    below = np.stack([(weight[:, group] * ~kept[group]).sum(axis=1) for group in steps.group], axis=1)
    steps = steps.take(kept)
    one, two, three = (
        np.stack([np.ones(steps.fresh[group].size), steps.fresh[group], steps.area[group], steps.cached[group]])
        for group in steps.group
    )
    return Tail(steps, (one, two, three), np.ascontiguousarray(weight[:, kept]), below)


@lru_cache(maxsize=128)
def _after(atoms: Atoms, below: bool, slower: int, whole_step: bool) -> BoolArray:
    """(k, k) whether the step of the column surely takes longer than that of the row, on all hardware of a kind."""
    steps, _ = ordered(atoms, below=below)
    sizes = [steps.fresh, steps.cached, *([steps.output] if whole_step else [])]
    longer = np.all([size >= size[:, None] for size in sizes], axis=0)
    longer &= np.any([size > size[:, None] for size in sizes], axis=0)
    warm, under, cold = steps.group
    comparable = np.zeros_like(longer)
    for row, column in ((warm, warm), (warm, under), (under, under), (cold, cold)):
        comparable[row, column] = True
    comparable[warm, cold] = bool(slower & COLD_SLOWER)
    comparable[cold, warm] = comparable[cold, under] = bool(slower & WARM_SLOWER)
    return np.asarray(longer & comparable)


def _nowhere_below(line: Line, other: Line) -> BoolArray:
    """(m,) whether a step takes at least as long by one line as by the other, whatever its size."""
    return np.asarray(np.all([mine >= its for mine, its in zip(line, other, strict=True)], axis=0))
