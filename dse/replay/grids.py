"""Grids of pass times, made with the equations of the evaluation before the first event.

A grid is small: some hundred batches, chunks and contexts, at geometric distances. The event loop interpolates
linearly; between nodes that lies within a percent of the equations (two where a step has a kink, as with attention on a
second device type), at the nodes it is exact.
"""

from collections.abc import Callable
from typing import NamedTuple

import numpy as np

from dse.arrays import FloatArray
from dse.physics import demand
from dse.search.scoring import phases
from dse.search.scoring.mappings import Grid
from dse.search.scoring.phases import Site

RATIO = 1.08
"""Distance of the nodes of a grid [1]: a kink between two of them costs at most a quarter of it."""

FIRST = 128.0
"""First node of contexts above zero [tok]."""


class Mapped(NamedTuple):
    """One side of a serving point: where a pass runs and how it is laid out."""

    site: Site
    degrees: dict[str, int]
    """tp, pp, attention_dp, moe_tp, ep, cp."""

    @property
    def devices(self) -> int:
        """Accelerators of an instance."""
        own = self.degrees
        return own["tp"] * own["pp"] * own["attention_dp"] * own["cp"]

    def grid(self, count: int) -> Grid:
        """The mapping, repeated."""
        return Grid(
            **{name: np.full(count, value, dtype=np.int64) for name, value in self.degrees.items()},
            size=np.ones(count, dtype=np.int64),
        )


def geometric(first: float, last: float, ratio: float = RATIO) -> FloatArray:
    """Whole numbers at geometric distances, both ends included.

    >>> geometric(1, 10, 2.0).tolist()
    [1.0, 2.0, 4.0, 8.0, 10.0]
    """
    steps = max(int(np.log(max(last / first, 1.0)) / np.log(ratio)), 0)
    inner = np.rint(first * ratio ** np.arange(steps + 1))
    return np.unique(np.concatenate([inner[inner < last], [first, last]]))


def contexts(longest: float) -> FloatArray:
    """Nodes of contexts and prefixes [tok]."""
    return np.concatenate([[0.0], geometric(FIRST, max(longest, 2 * FIRST))])


def prefill_times(mapped: Mapped, chunk: float, prefixes: FloatArray) -> tuple[FloatArray, FloatArray]:
    """Tokens and (tokens, prefixes) times of a pass in which every attention rank prefills a chunk [s]."""
    tokens = geometric(1.0, chunk)
    new, cached = (column.ravel() for column in np.meshgrid(tokens, prefixes, indexing="ij"))
    load = demand.Load(mapped.degrees["attention_dp"], new, cached)
    seconds = phases.timed(mapped.site, mapped.grid(new.size), load).seconds
    return tokens, seconds.reshape(tokens.size, prefixes.size)


def step_times(step: Callable[[FloatArray, FloatArray], FloatArray], slots: int, nodes: FloatArray) -> FloatArray:
    """(slots + 1, contexts) times of a decode step [s] from a function of requests and context.

    Batches between the nodes are filled in here, so that the event loop looks up whole numbers.
    """
    batches = geometric(1.0, float(slots)) if slots > 1 else np.ones(1)
    requests, context = (column.ravel() for column in np.meshgrid(batches, nodes, indexing="ij"))
    known = step(requests, np.maximum(context, 1.0)).reshape(batches.size, nodes.size)
    every = np.arange(slots + 1, dtype=np.float64)
    return np.stack([np.interp(every, batches, column) for column in known.T], axis=1)


def decode_step(mapped: Mapped, draft: float, gain: float) -> Callable[[FloatArray, FloatArray], FloatArray]:
    """Time per token of a batch at a mean context, drafting included [s]."""

    def step(requests: FloatArray, context: FloatArray) -> FloatArray:
        tokens = 1.0 + draft
        load = demand.Load(requests / mapped.degrees["pp"], tokens, context, tokens)
        return phases.timed(mapped.site, mapped.grid(requests.size), load).seconds / gain

    return step
