"""What every design must do for a class: the least that is lost, moved and written per step."""

from typing import NamedTuple

import numpy as np

from dse.arrays import FloatArray, IntArray
from dse.facts.workload.atoms import HIT
from dse.physics import serving
from dse.search.bounds.quantile import least_quantile
from dse.search.scoring.plan import Plan

HARDLY = 0.05
"""A retention that loses less than this share of the cached tokens counts as keeping: what crosses the links is then
bounded by nearly all of them, and what is recomputed by nothing; a shorter one by what it recomputes [1]."""


class ClassLoad(NamedTuple):
    """Bounds of one class that no lever changes; tokens per step, already over the utilisation limit where divided."""

    scale: float
    """Price of one class's step in a task of the mixture: share times steps [1]."""
    keeping: tuple[float, float]
    """Fresh tokens and attention area of a step if caches lose nothing that they can keep."""
    losing: tuple[float, float]
    """The same if they lose more than `HARDLY` of the cached tokens."""
    cold: tuple[float, float]
    """Tokens and area that the prefill pool gets if warm appends stay on the decode pool."""
    warm: tuple[float, float]
    """Tokens and area of the warm appends."""
    output: float
    between: float
    """KV that crosses between the pools if decode is its home and keeps it [B]."""
    whole: float
    """KV that crosses if the prefill pool is its home [B]."""
    pooled: tuple[float, float]
    """KV over the pool's link on either side if the pool is home [B]."""
    spilled: float
    """KV that the owner writes through to its pool at least, over the utilisation [B]."""
    written: float
    """The same as the pool's cells endure it [B]."""
    crossing: float
    """KV that crosses at most, a bound from above for the share of prefill in a mixed step [B]."""
    weights: FloatArray
    """(g, atoms) weights of the representative steps at every retention time."""
    tail: float
    """Longest context that must fit once [tok]."""


def class_load(plan: Plan, agent: int, kv_token: float, ratio: float = 1.0) -> ClassLoad:
    """Bounds of one class at one width of the KV [B/tok], compressed at most ``ratio`` times on its way."""
    item, near, limit = plan.classes[agent], plan.operation.affinity, plan.operation.utilisation
    shape = item.shape
    moments, curves = shape.moments, shape.curves
    tokens = near * curves.miss_tokens + (1 - near) * curves.miss_tokens[0]
    area = near * curves.miss_area + (1 - near) * curves.miss_area[0]
    most_later = np.maximum.accumulate(tokens[::-1])[::-1]
    split = int(np.argmax(most_later <= max(HARDLY * moments.cached, most_later[-1])))
    least, most = float(tokens.min()), float(tokens.max())
    fresh, output = moments.fresh + least, moments.output
    moved = max(fresh, moments.cached - float(most_later[split]))
    sent = kv_token / ratio
    scale = sent / limit
    pool = serving.pool_tokens(moments.cached, moments.fresh, output)
    grid = shape.atoms.routed(near)
    return ClassLoad(
        item.agent.share * shape.steps,
        (fresh, moments.area + float(area.min())),
        (moments.fresh + float(tokens[: split + 1].min()), moments.area + float(area[: split + 1].min())),
        (shape.cold_fresh + least, shape.cold_area + float(area.min())),
        (moments.fresh - shape.cold_fresh, moments.area - shape.cold_area),
        output,
        scale * moved,
        scale * max(moments.cached + moments.fresh, output),
        (scale * float(pool[0]), scale * float(pool[1])),
        scale * (fresh + output),
        sent * (fresh + output),
        kv_token / limit * (moments.cached + moments.fresh + most + output),
        np.unique(grid, axis=0),
        item.load.tail_context,
    )


class Line(NamedTuple):
    """Time to first token as a linear form of a step's tokens, one row a mapping."""

    start: FloatArray
    response: FloatArray
    """Time of a step's own tokens over their service [1]."""
    per_token: FloatArray
    per_area: FloatArray


class Latency(NamedTuple):
    """Least latencies of some mappings, whatever the caches hold, each over the class's target."""

    first: FloatArray
    """(n,) time to first token."""
    whole: FloatArray
    """(n, steps) first to last token, for several times per output token."""


def least_latency(plan: Plan, agent: int, load: ClassLoad, lines: tuple[Line, Line], tpot: FloatArray) -> Latency:
    """Least latencies at the study's percentile; ``tpot`` (n or 1, steps) are times per output token.

    ``lines`` are those of steps that find their prefix and of those that do not; restores and transfers of KV are left
    out, and every retention time is allowed.
    """
    shape, operation = plan.classes[agent].shape, plan.operation
    atoms, level = shape.atoms, operation.percentile / 100
    found = atoms.kind == HIT
    service = np.where(
        found, *(line.per_token[:, None] * atoms.fresh + line.per_area[:, None] * atoms.area for line in lines)
    )
    start = np.where(found, *(line.start[:, None] for line in lines))
    if operation.first_come:
        mean = (service @ load.weights.T).min(axis=1) / load.weights.sum(axis=1).max()
        wait = operation.utilisation / (1 - operation.utilisation) * operation.arrival_scv / 2 * mean
        start = start + wait[:, None]
    first = start + service * np.where(found, *(line.response[:, None] for line in lines))
    later = np.maximum(atoms.output - 1, 0) * np.broadcast_to(tpot, (len(first), tpot.shape[1]))[:, :, None]
    whole = least_quantile((first[:, None] + later).reshape(-1, found.size), load.weights, level)
    return Latency(
        least_quantile(first, load.weights, level) / shape.ttft_slo,
        whole.reshape(later.shape[:2]) / shape.latency_slo,
    )


def binned(values: FloatArray, edges: FloatArray) -> IntArray:
    """Index of the last edge that is not above each value; -1 below the first."""
    return np.asarray(np.searchsorted(edges, values, side="right") - 1)
