"""Latency of a step: quantiles over the mixture of warm, restored, cold and lost steps, not of an assumed law."""

from typing import NamedTuple

import numpy as np

from dse.arrays import FloatArray, IntArray
from dse.facts.atoms import HIT
from dse.physics import queueing, serving
from dse.search.scoring.keeping import Kept
from dse.search.scoring.sides import HOME, Setting

ROWS = 256
"""Points whose steps (some 96 each) are ranked at once: they stay in the second-level cache."""


class Wait(NamedTuple):
    """Latency of a step."""

    ttft: FloatArray
    """(4, m) time to first token at 50, 95, 99 % and at the percentile of the study [s]."""
    latency: FloatArray
    """First to last token at the percentile of the study [s]."""
    latency_mean: FloatArray
    """The same on average [s]."""


class Line(NamedTuple):
    """Time to first token of one kind of step, a linear form of its tokens; one row a point."""

    start: FloatArray
    """A pass in progress and the pipeline's filling [s]."""
    per_token: FloatArray
    """Service of a fresh token [s/tok]."""
    per_area: FloatArray
    """Service of a token² of attention [s/tok²]."""
    per_moved: FloatArray
    """Moving the KV of a token of the context between the pools [s/tok]."""
    per_cached: FloatArray
    """Reading a cached token back from the tier below [s/tok]."""

    def take(self, rows: slice) -> "Line":
        """Select points."""
        return Line(*(column[rows] for column in self))


class Steps(NamedTuple):
    """Representative steps of a class: found in HBM, found below it, and not found; (k,) each."""

    group: tuple[slice, slice, slice]
    fresh: FloatArray
    area: FloatArray
    cached: FloatArray
    output: FloatArray


def wait(at: Setting, kept: Kept, tpot: FloatArray, tpot_full: FloatArray) -> Wait:
    """Step latency of every point: quantiles while every slot is busy, the mean at the mean busy slots."""
    warm, cold = first_token_line(at, warm=True), first_token_line(at, warm=False)
    lower = np.where(at.at_home("shared"), 0.0, kept.restored)
    below = warm._replace(per_cached=at.kv_token / _restore_rate(at, kept))
    count = at.kv_token.size
    ttft, latency, mean = np.empty((4, count)), np.empty(count), np.empty(count)
    for first in range(0, count, ROWS):
        rows = slice(first, first + ROWS)
        steps, weights = _steps(at, kept.time[rows], lower[rows])
        lines = [line.take(rows) for line in (warm, below, cold)]
        ttft[:, rows], latency[rows], mean[rows] = _slice(at, steps, weights, lines, tpot[rows], tpot_full[rows])
    return Wait(ttft, latency, mean)


def _slice(
    at: Setting, steps: Steps, weights: FloatArray, lines: list[Line], tpot: FloatArray, tpot_full: FloatArray
) -> tuple[FloatArray, FloatArray, FloatArray]:
    """Quantiles of the time to first token, quantile and mean of the latency, for a few points."""
    level = at.operation.percentile / 100
    service = np.zeros(weights.shape)
    for group, line in zip(steps.group, lines, strict=True):
        service[:, group] = line.per_token[:, None] * steps.fresh[group]
        service[:, group] += line.per_area[:, None] * steps.area[group]
    ttft = _response(at, service, weights)
    for group, line in zip(steps.group, lines, strict=True):
        ttft[:, group] += line.start[:, None]
        ttft[:, group] += line.per_moved[:, None] * (steps.cached[group] + steps.fresh[group])
    ttft[:, steps.group[1]] += lines[1].per_cached[:, None] * steps.cached[steps.group[1]]
    latency = ttft + np.maximum(steps.output - 1, 0) * tpot_full[:, None]
    total = weights.sum(axis=1)
    later = (weights * np.maximum(steps.output - 1, 0)).sum(axis=1) * tpot
    return (
        queueing.mixture_quantiles(ttft, weights, (0.5, 0.95, 0.99, level)),
        queueing.mixture_quantiles(latency, weights, (level,))[0],
        ((weights * ttft).sum(axis=1) + later) / total,
    )


def first_token_line(at: Setting, *, warm: bool) -> Line:
    """Time to first token of steps that find their prefix, or of those that do not: own work shared, KV moved."""
    prefill, decode = at.prefill, at.decode
    appends = at.at_home("append_on_decode")
    here = at.colocated | appends if warm else at.colocated
    link = np.minimum(prefill.bandwidth * prefill.rank_devices, decode.bandwidth * decode.rank_devices)
    crosses = at.at_home("prefill") | at.at_home("decode") | (appends & (not warm))
    pool = np.maximum(at.pool.bandwidth, 1.0) * np.minimum(prefill.rank_devices, decode.rank_devices)
    crossings = serving.pool_tokens(1.0, 0.0, 0.0).sum()
    moved = np.where(crosses, at.kv_token / link, 0.0)
    return Line(
        np.where(here, decode.append_pass, prefill.pass_time),
        np.where(here, decode.append_per_token, prefill.per_token),
        np.where(here, decode.append_per_area, prefill.per_area),
        np.where(at.at_home("shared"), crossings * at.kv_token / pool, moved),
        np.zeros(at.kv_token.size),
    )


def _steps(at: Setting, retention: FloatArray, lower: FloatArray) -> tuple[Steps, FloatArray]:
    """Representative steps, and their weights (n, k) at retention times and shares restored from below HBM."""
    atoms, near = at.shape.atoms, at.operation.affinity
    weights = atoms.weights(retention)
    if near < 1:
        weights = near * weights + (1 - near) * atoms.weights(np.zeros(1))
    warm, cold = np.flatnonzero(atoms.kind == HIT), np.flatnonzero(atoms.kind != HIT)
    below = warm if (lower > 0).any() else warm[:0]
    order: IntArray = np.concatenate([warm, below, cold])
    ends = (0, warm.size, warm.size + below.size, order.size)
    group = (slice(*ends[0:2]), slice(*ends[1:3]), slice(*ends[2:4]))
    weights = weights[:, order]
    weights[:, group[1]] *= lower[:, None]
    weights[:, group[0]] *= 1 - lower[:, None]
    return Steps(group, atoms.fresh[order], atoms.area[order], atoms.cached[order], atoms.output[order]), weights


def _restore_rate(at: Setting, kept: Kept) -> FloatArray:
    """Rate at which a request's KV comes back from the tier below HBM [B/s]."""
    on_prefill = at.home == HOME["prefill"]
    devices = np.where(on_prefill, at.prefill.rank_devices, at.decode.rank_devices)
    host = np.where(on_prefill, at.prefill.host_bandwidth, at.decode.host_bandwidth)
    return np.where(kept.from_pool > 0, np.maximum(at.pool.bandwidth, 1.0), host) * devices


def _response(at: Setting, service: FloatArray, weights: FloatArray) -> FloatArray:
    """Response to each step's own work at the operating point under the queueing discipline of the study."""
    operation = at.operation
    if not operation.first_come:
        return queueing.processor_sharing_response(service, operation.utilisation)
    mean = (service * weights).sum(axis=1) / weights.sum(axis=1)
    square = (service**2 * weights).sum(axis=1) / weights.sum(axis=1)
    scv = np.maximum(square / mean**2 - 1, 0)
    return service + queueing.first_come_wait(mean, scv, operation.arrival_scv, operation.utilisation)[:, None]
