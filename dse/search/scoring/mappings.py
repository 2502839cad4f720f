"""The mappings of a phase: every sensible way to lay a model copy over a group of devices."""

from collections.abc import Sequence
from itertools import product
from typing import NamedTuple

import numpy as np

from dse.arrays import BoolArray, IntArray
from dse.physics.shape import Shape

CONTEXT_RANKS = (1, 2, 4)
"""Context-parallel ranks tried in prefill [devices]."""


class Grid(NamedTuple):
    """Mappings of one phase, one row each; ``size`` is the chunk of a prefill pass or the batch of a decode step."""

    tp: IntArray
    pp: IntArray
    attention_dp: IntArray
    moe_tp: IntArray
    ep: IntArray
    cp: IntArray
    size: IntArray

    @property
    def devices(self) -> IntArray:
        """Devices of one instance [1]."""
        return self.tp * self.pp * self.attention_dp * self.cp

    @property
    def rank_devices(self) -> IntArray:
        """Devices that share the requests of one attention rank [1]."""
        return self.tp * self.pp * self.cp

    def rows(self, index: IntArray) -> "Grid":
        """Select rows."""
        return Grid(*(column[index] for column in self))

    def repeated(self, times: int) -> "Grid":
        """Rows below each other several times."""
        return Grid(*(np.concatenate([column] * times) for column in self)) if times > 1 else self


def powers_of_two(limit: int) -> list[int]:
    """1, 2, 4, ... up to the limit."""
    return [2**k for k in range(int(limit).bit_length()) if 2**k <= limit]


class Reach(NamedTuple):
    """How far the groups of an instance may spread, and the degrees that may be used."""

    domain: int
    """Devices of a scale-up domain, the limit of tensor parallelism."""
    devices: int
    """Devices of an instance."""
    tensor: tuple[int, ...]
    """Degrees of tensor parallelism."""
    stages: tuple[int, ...]
    """Degrees of pipeline parallelism."""


def within(grid: Grid, reach: Reach) -> BoolArray:
    """Rows of a wider grid of the same model that a reach allows: the rows of its own grid, in their order."""
    return np.asarray(
        (grid.tp * grid.cp <= reach.domain)
        & (grid.devices <= reach.devices)
        & np.any([grid.pp == stages for stages in reach.stages], axis=0)
    )


def prefill_grid(shape: Shape, reach: Reach, chunks: tuple[int, ...]) -> Grid:
    """Mappings of prefill: tensor parallelism in the domain, experts over the reach, pipelines, context ranks."""
    rows = [
        (tp, pp, dp, moe_tp, ep, cp, chunk)
        for tp, dp, moe_tp, ep in _layers(shape, reach)
        for pp, cp in product(reach.stages, CONTEXT_RANKS)
        for chunk in chunks
        if (cp == 1 or (dp == 1 and tp * cp <= reach.domain))
        and pp <= shape.n_layers
        and tp * dp * cp * pp <= reach.devices
    ]
    return _grid(rows)


def decode_grid(shape: Shape, reach: Reach, batches: tuple[int, ...]) -> Grid:
    """Mappings of decode with every batch per attention rank that gives each stage at least one request."""
    rows = [
        (tp, pp, dp, moe_tp, ep, 1, batch * dp)
        for tp, dp, moe_tp, ep in _layers(shape, reach)
        for pp in reach.stages
        for batch in batches
        if pp <= shape.n_layers and tp * dp * pp <= reach.devices and batch >= pp
    ]
    return _grid(rows)


def _layers(shape: Shape, reach: Reach) -> list[tuple[int, int, int, int]]:
    """Tensor, attention-data, expert-tensor and expert degrees of one layer's group."""
    tensor = [tp for tp in reach.tensor if tp <= min(shape.n_heads, reach.domain)]
    if not shape.n_experts:
        return [(tp, 1, tp, 1) for tp in tensor]
    widest = min(reach.devices, shape.n_experts)
    groups = [(tp, dp) for tp in tensor for dp in powers_of_two(widest) if tp * dp <= widest]
    sharded = [(tp, dp, tp * dp, 1) for tp, dp in groups if dp == 1]
    spread = [(tp, dp, 1, tp * dp) for tp, dp in groups if tp * dp > 1]
    return sharded + spread


def _grid(rows: Sequence[tuple[int, ...]]) -> Grid:
    table = np.asarray(rows, dtype=np.int64).reshape(-1, len(Grid._fields))
    return Grid(*table.T)
