"""What a class asks of the passes that serve it, and how long a prompt waits in them."""

from typing import NamedTuple

import numpy as np

from dse.arrays import FloatArray
from dse.physics import gated
from dse.search.scoring.mappings import Grid


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
    utilisation: float
    """Load at which prefill is sized [1]."""
    shared: float
    """The same where prompts share passes, 0 where the first to come is served first [1]."""
    prompts: tuple[FloatArray, FloatArray]
    """Fresh tokens of representative steps [tok], and their weights [1]."""


def short_pass(load: Load, chunk: FloatArray) -> FloatArray:
    """Tokens of a pass by which, with the service, the time of any other is told: a prompt, half a chunk at most."""
    return np.asarray(np.minimum(load.fresh, chunk / 2))


def pass_line(load: Load, chunk: FloatArray, short: FloatArray, full: FloatArray) -> tuple[FloatArray, FloatArray]:
    """Time of a pass without tokens [s] and by each token [s/tok], from a short pass and one over a whole chunk."""
    tokens = short_pass(load, chunk)
    slope = np.maximum(full - short, 0.0) / (chunk - tokens)
    return np.maximum(short - slope * tokens, 0.0), slope


class Passes(NamedTuple):
    """What passes make of a prompt beside its service, one row a mapping."""

    anywhere: FloatArray
    """Wait where it may go to any instance [s]."""
    pinned: FloatArray
    """The same where sessions stay with the instance that has their KV [s]."""
    response: FloatArray
    """Time of its own tokens over their service [1]."""


def in_passes(load: Load, grid: Grid, short: FloatArray, service: FloatArray) -> Passes:
    """Waits and response of every mapping, from the time of a short pass and the service of a mean prompt [s]."""
    chunk = grid.size.astype(float)
    stages = grid.pp.astype(float)
    floor, slope = pass_line(load, chunk, short, stages * service / load.fresh * chunk)
    rate = load.utilisation * load.fresh / service
    fresh, weight = load.prompts
    sizes, place = np.unique(chunk, return_inverse=True)
    cut = np.minimum(sizes[:, None], fresh)
    first = _mean(cut, weight)
    size = (_mean(cut * cut, weight) / first)[place]
    order = np.zeros(chunk.shape)
    for index, most in enumerate(sizes):
        rows = np.flatnonzero((place == index) & (grid.pp > 1))
        times = floor[rows, None] + slope[rows, None] * cut[index]
        own, count = _mean(times, weight), weight * np.maximum(fresh / most, 1.0)
        order[rows] = gated.order_wait((times, count), own, stages[rows], rate[rows] / load.fresh)
    anywhere, pinned = gated.pass_wait(floor, slope, stages, rate, load.fresh, size, chunk)
    anywhere = anywhere + order
    return Passes(anywhere, np.maximum(anywhere, pinned), gated.pass_response(stages, beyond(load, chunk), load.shared))


def beyond(load: Load, chunk: FloatArray) -> FloatArray:
    """Share of the fresh tokens that lie beyond the first chunk of their prompt [1]."""
    fresh, weight = load.prompts
    sizes, place = np.unique(chunk, return_inverse=True)
    return np.asarray((1 - _mean(np.minimum(sizes[:, None], fresh), weight) / (fresh @ weight))[place])


def _mean(values: FloatArray, weight: FloatArray) -> FloatArray:
    """Weighted sum of each row (n, k), the same in whatever company the row comes."""
    return np.asarray(np.einsum("ij,j->i", values, weight))
