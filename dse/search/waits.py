"""Latency of a step: quantiles over the mixture of warm, restored, cold and lost steps, not of an assumed law."""

from typing import NamedTuple

import numpy as np

from dse.arrays import FloatArray
from dse.facts.atoms import HIT
from dse.physics import queueing, serving
from dse.search.keeping import Kept
from dse.search.sides import HOME, Setting


class Wait(NamedTuple):
    """Latency of a step."""

    ttft: FloatArray
    """(4, m) time to first token at 50, 95, 99 % and at the percentile of the study [s]."""
    latency: FloatArray
    """First to last token at the percentile of the study [s]."""
    latency_mean: FloatArray
    """The same on average [s]."""


def wait(at: Setting, kept: Kept, tpot: FloatArray) -> Wait:
    """Quantiles of the step latency of every point."""
    atoms = at.shape.atoms
    weights = atoms.weights(kept.time)
    if at.operation.affinity < 1:
        weights = at.operation.affinity * weights + (1 - at.operation.affinity) * atoms.weights(np.zeros(1))
    ttft = first_token(at, weights)
    output = atoms.output
    if (kept.restored > 0).any():
        warm = atoms.kind == HIT
        restored = ttft[:, warm] + (at.kv_token / _restore_rate(at, kept))[:, None] * atoms.cached[warm]
        lower = weights[:, warm] * kept.restored[:, None]
        weights[:, warm] -= lower
        ttft, weights = np.concatenate([ttft, restored], axis=1), np.concatenate([weights, lower], axis=1)
        output = np.concatenate([output, output[warm]])
    latency = ttft + np.maximum(output - 1, 0) * tpot[:, None]
    level = at.operation.percentile / 100
    return Wait(
        queueing.mixture_quantiles(ttft, weights, (0.5, 0.95, 0.99, level)),
        queueing.mixture_quantiles(latency, weights, (level,))[0],
        np.einsum("mk,mk->m", latency, weights) / weights.sum(axis=1),
    )


def first_token(at: Setting, weights: FloatArray) -> FloatArray:
    """Time to first token of every atom on every point, (m, k): a pass in progress, own work shared, KV moved."""
    atoms, prefill, decode = at.shape.atoms, at.prefill, at.decode
    warm = atoms.kind == HIT
    appends = at.at_home("append_on_decode")[:, None]
    here = at.colocated[:, None] | (appends & warm)
    in_progress = np.where(here, decode.append_pass[:, None], prefill.pass_time[:, None])
    per_token = np.where(here, decode.append_per_token[:, None], prefill.per_token[:, None])
    per_area = np.where(here, decode.append_per_area[:, None], prefill.per_area[:, None])
    service = _queued(at, per_token * atoms.fresh + per_area * atoms.area, weights)
    link = np.minimum(prefill.bandwidth * prefill.rank_devices, decode.bandwidth * decode.rank_devices)
    per_cached = (at.at_home("prefill") | at.at_home("decode")) * at.kv_token / link
    moved = per_cached[:, None] * (atoms.cached + atoms.fresh)
    cold = appends & ~warm
    if cold.any():
        moved = np.where(cold, (at.kv_token / link)[:, None] * (atoms.cached + atoms.fresh), moved)
    pooled = np.flatnonzero(at.at_home("shared"))
    if pooled.size:
        rate = at.pool.bandwidth[pooled] * np.minimum(prefill.rank_devices, decode.rank_devices)[pooled]
        crossing = serving.pool_tokens(atoms.cached, atoms.fresh, 0.0).sum(axis=0)
        moved[pooled] = (at.kv_token[pooled] / np.maximum(rate, 1.0))[:, None] * crossing
    return np.asarray(in_progress + service + moved)


def _restore_rate(at: Setting, kept: Kept) -> FloatArray:
    """Rate at which a request's KV comes back from the tier below HBM [B/s]."""
    on_prefill = at.home == HOME["prefill"]
    devices = np.where(on_prefill, at.prefill.rank_devices, at.decode.rank_devices)
    host = np.where(on_prefill, at.prefill.host_bandwidth, at.decode.host_bandwidth)
    return np.where(kept.from_pool > 0, np.maximum(at.pool.bandwidth, 1.0), host) * devices


def _queued(at: Setting, service: FloatArray, weights: FloatArray) -> FloatArray:
    """Response to each atom's own work at the operating point under the queueing discipline of the study."""
    operation = at.operation
    if not operation.first_come:
        return queueing.processor_sharing_response(service, operation.utilisation)
    mean = (service * weights).sum(axis=1) / weights.sum(axis=1)
    square = (service**2 * weights).sum(axis=1) / weights.sum(axis=1)
    scv = np.maximum(square / mean**2 - 1, 0)
    return service + queueing.first_come_wait(mean, scv, operation.arrival_scv, operation.utilisation)[:, None]
