"""What a class asks of the passes that serve it, and how long a prompt waits in them."""

from typing import NamedTuple

import numpy as np

from dse.arrays import BoolArray, FloatArray
from dse.physics import gated
from dse.search.scoring.mappings import Grid


class Prompts(NamedTuple):
    """Representative steps as prefill sees them while nothing is lost; (k,) each."""

    fresh: FloatArray
    """[tok]."""
    area: FloatArray
    """[tok²]."""
    weight: FloatArray
    """[1]."""
    found: BoolArray
    """Whether the prefix is found."""

    def beyond(self, chunk: FloatArray, kind: BoolArray) -> FloatArray:
        """Share of the fresh tokens of a kind of steps that lie beyond the first chunk of their prompt, (n,) [1]."""
        fresh, weight = self.fresh[kind], self.weight[kind]
        total = float(fresh @ weight)
        sizes, place = np.unique(chunk, return_inverse=True)
        within = _mean(np.minimum(sizes[:, None], fresh), weight) / total if total > 0 else np.ones(sizes.shape)
        return np.asarray((1 - within)[place])


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
    prompts: Prompts
    opening: float
    """Share of the fresh tokens whose session is new, so that nobody has KV of it [1]."""


def short_pass(load: Load, chunk: FloatArray) -> FloatArray:
    """Tokens of a pass by which, with the service, the time of any other is told: a prompt, half a chunk at most."""
    return np.asarray(np.minimum(load.fresh, chunk / 2))


def pass_line(load: Load, chunk: FloatArray, short: FloatArray, full: FloatArray) -> tuple[FloatArray, FloatArray]:
    """Time of a pass without tokens [s] and by each token [s/tok], from a short pass and one over a whole chunk."""
    tokens = short_pass(load, chunk)
    slope = np.maximum(full - short, 0.0) / (chunk - tokens)
    return np.maximum(short - slope * tokens, 0.0), slope


class Passes(NamedTuple):
    """What passes make of a prompt beside its service, one row a mapping; columns of a prefill table."""

    pass_time: FloatArray
    """Wait where it may go to any instance [s]."""
    pinned_time: FloatArray
    """The same where sessions stay with the instance that has their KV [s]."""
    response: FloatArray
    """Time of the own tokens of a step that finds its prefix, over their service [1]."""
    cold_response: FloatArray
    """The same of all other steps [1]."""
    pinned_response: FloatArray
    pinned_cold_response: FloatArray
    """Both where sessions stay with the instance that has their KV [1]."""
    spread: FloatArray
    """Variance of the wait [s²]."""
    pinned_spread: FloatArray

    def response_of(self, load: Load) -> FloatArray:
        """Time of the own tokens of all steps over their service [1]."""
        fresh, weight = load.prompts.fresh, load.prompts.weight
        found = float(weight[load.prompts.found] @ fresh[load.prompts.found]) / float(weight @ fresh)
        return found * self.response + (1 - found) * self.cold_response


def in_passes(load: Load, grid: Grid, short: FloatArray, per_token: FloatArray, per_area: FloatArray) -> Passes:
    """Waits and response of every mapping, from the time of a short pass and the service of a token and an area [s].

    Prompts are as long as tokens of the mean prefix that would take as long.
    """
    chunk, stages = grid.size.astype(float), grid.pp.astype(float)
    service = per_token * load.fresh + per_area * load.area
    floor, slope = pass_line(load, chunk, short, stages * service / load.fresh * chunk)
    rate, prompts = load.utilisation * load.fresh / service, load.prompts
    cut = _tokens(prompts, load.fresh / service, per_token, per_area)
    whole = _mean(cut, prompts.weight)
    np.minimum(cut, chunk[:, None], out=cut)
    first, square = _mean(cut, prompts.weight), np.einsum("ij,ij,j->i", cut, cut, prompts.weight)
    met = (square + chunk * (whole - first)) / whole
    sizes, place = np.unique(chunk, return_inverse=True)
    count = prompts.weight * np.maximum(prompts.fresh / sizes[:, None], 1.0)
    near, far = (prompts.beyond(chunk, kind) for kind in (prompts.found, ~prompts.found))
    asked = (floor, slope, stages, rate, load.fresh, square / first, met, count.sum(axis=1)[place])
    later = prompts.beyond(chunk, np.ones(prompts.found.shape, dtype=np.bool_))
    anywhere, pinned = gated.pass_wait(gated.Asked(*asked, later, chunk, 1 - load.opening))
    slowed = 1 + anywhere.tokens / chunk if load.shared else np.ones(chunk.shape)
    most = np.maximum(slowed, 1 / (1 - load.shared * (1 - load.opening)))
    order = np.zeros(chunk.shape)
    for index in range(sizes.size):
        rows = np.flatnonzero((place == index) & (grid.pp > 1))
        own = floor[rows] + slope[rows] * first[rows]
        times = floor[rows, None] + slope[rows, None] * cut[rows]
        order[rows] = gated.order_wait((times, count[index]), own, stages[rows], rate[rows] / load.fresh)
    return Passes(
        anywhere.mean + order,
        pinned.mean + order,
        gated.pass_response(stages, near, slowed),
        gated.pass_response(stages, far, slowed),
        gated.pass_response(stages, near, most),
        gated.pass_response(stages, far, most),
        anywhere.variance,
        pinned.variance,
    )


def _tokens(prompts: Prompts, scale: FloatArray, per_token: FloatArray, per_area: FloatArray) -> FloatArray:
    """(n, k) tokens of the mean prefix that take as long as each prompt [tok]."""
    tokens = (scale * per_token)[:, None] * prompts.fresh
    tokens += (scale * per_area)[:, None] * prompts.area
    return tokens


def _mean(values: FloatArray, weight: FloatArray) -> FloatArray:
    """Weighted sum of each row (n, k), the same in whatever company the row comes."""
    return np.asarray(np.einsum("ij,j->i", values, weight))
