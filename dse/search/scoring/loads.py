"""What a class asks of the passes that serve it, and how long a prompt waits in them."""

from typing import NamedTuple

import numpy as np

from dse.arrays import FloatArray
from dse.physics import queueing
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
    prompts: tuple[FloatArray, FloatArray]
    """Fresh tokens of representative steps [tok], and their weights [1]."""


def short_pass(load: Load, chunk: FloatArray) -> FloatArray:
    """Tokens of a pass by which, with the service, the time of any other is told: a prompt, half a chunk at most."""
    return np.asarray(np.minimum(load.fresh, chunk / 2))


def pass_wait(load: Load, grid: Grid, short: FloatArray, service: FloatArray) -> tuple[FloatArray, FloatArray]:
    """Waits in passes, anywhere and where KV is, from the time of a short one and the service of a prompt [s]."""
    chunk = grid.size.astype(float)
    stages, tokens = grid.pp.astype(float), short_pass(load, chunk)
    full = stages * service / load.fresh * chunk
    slope = np.maximum(full - short, 0.0) / (chunk - tokens)
    floor = np.maximum(short - slope * tokens, 0.0)
    rate = load.utilisation * load.fresh / service
    fresh, weight = load.prompts
    sizes, place = np.unique(chunk, return_inverse=True)
    cut = np.minimum(sizes[:, None], fresh)
    size = ((cut**2 @ weight) / (cut @ weight))[place]
    return queueing.pass_wait(floor, slope, stages, rate, load.fresh, size, chunk)
