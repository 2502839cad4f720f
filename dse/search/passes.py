"""From facts to the arguments of physics: a model's shape, a device's supply, the paths of an instance's messages."""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from dse.arrays import FloatArray, IntArray
from dse.facts.devices import Accelerator
from dse.facts.models import Model
from dse.facts.topology_reduce import Coefficients, flow_bandwidth, group_index, tier_bandwidths
from dse.physics import demand
from dse.physics.calibration import Calibration, pick
from dse.physics.network import Path, expert_copies
from dse.physics.roofline import Links, Supply
from dse.physics.shape import Shape, shape
from dse.search.mappings import Grid

WIDTH = {"bf16": 2.0, "fp8": 1.0, "int8": 1.0, "fp4": 0.5, "int4": 0.5}
"""Bytes per element of a number format [B]."""

_NEXT = {
    "fp4": ("fp4", "fp8", "bf16"),
    "fp8": ("fp8", "bf16"),
    "int8": ("int8", "bf16"),
    "int4": ("bf16",),
    "bf16": ("bf16",),
}
"""Formats in which a stored format can be computed, best first; a missing one makes it weight-only."""


def model_shape(model: Model) -> Shape:
    """Shape of a catalog model."""
    return shape(**model.model_dump())


def precision(model: Model, weight_dtype: str, kv_dtype: str) -> demand.Precision:
    """Widths of a model served in a weight format (`release`: as published) with a KV format."""
    weight = model.release_dtype if weight_dtype == "release" else weight_dtype
    expert = model.expert_dtype if weight_dtype == "release" and model.expert_dtype else weight
    width = WIDTH[weight]
    return demand.Precision(width, WIDTH[expert], WIDTH[kv_dtype], max(width, 1.0) if width < 2 else 2.0)


def compute_rate(device: Accelerator, dtype: str) -> tuple[float, float]:
    """Dense rate at which operands stored in a format are multiplied, and the width computed with."""
    for candidate in _NEXT[dtype]:
        rate = getattr(device.peak, candidate)
        if rate is not None:
            return float(rate), WIDTH[candidate]
    raise ValueError(f"{device.id} has no compute rate for {dtype}")


def supply(
    device: Accelerator, model: Model, weight_dtype: str, kv_dtype: str, calibration: Calibration
) -> Supply:
    """Rates of a device for one model and its formats; measured shares replace the class's where the catalog has them."""
    weight = model.release_dtype if weight_dtype == "release" else weight_dtype
    expert = model.expert_dtype if weight_dtype == "release" and model.expert_dtype else weight
    assert device.memory is not None
    linear, linear_width = compute_rate(device, weight)
    attention, attention_width = compute_rate(device, kv_dtype)
    experts, expert_width = compute_rate(device, expert)
    embedding, _ = compute_rate(device, "bf16")
    return Supply(
        linear_rate=linear, attention_rate=attention, expert_rate=experts, embedding_rate=embedding,
        memory_bandwidth=device.memory.bandwidth, linear_width=linear_width, attention_width=attention_width,
        expert_width=expert_width, compute_fraction=_measured_share(device, linear_width, calibration),
        activation_width=precision(model, weight_dtype, kv_dtype).activation,
    )  # fmt: skip


def _measured_share(device: Accelerator, width: float, calibration: Calibration) -> float:
    """Measured share of the dense peak over the one of the operator class; 1 where nothing is measured."""
    if device.efficiency is None:
        return 1.0
    name = "bf16" if width > 1 else "fp8" if width == 1 else "fp4"
    measured = getattr(device.efficiency, name) or device.efficiency.bf16
    reference = 2.0 if getattr(device.efficiency, name) is None else width
    return float(measured / pick(reference, calibration.linear, "compute")) if measured else 1.0


@dataclass(frozen=True)
class Network:
    """One topology with its bandwidths filled in."""

    coefficients: Coefficients
    rates: FloatArray
    """(t,) bandwidth of each tier, one direction per device [B/s]."""

    @property
    def devices(self) -> int:
        """Devices that the topology joins."""
        return self.coefficients.devices

    @property
    def domain(self) -> int:
        """Devices of one scale-up domain."""
        return self.coefficients.domain

    @property
    def transfer(self) -> float:
        """Bandwidth from prefill to decode devices that share the topology, per device [B/s]."""
        return float(flow_bandwidth(self.coefficients.transfer, self.rates))

    def path(self, op: str, members: IntArray) -> Path:
        """Path of one collective for every group size; tiers that it never uses are left out."""
        known = self.coefficients
        operation = known.ops.index(op)
        index = np.minimum(group_index(known.sizes, members), known.sizes.size - 1)
        several = (members > 1)[:, None]
        steps, traffic = known.steps[operation][index] * several, known.traffic[operation][index] * several
        used = np.flatnonzero((steps + traffic).any(axis=0))
        used = used if used.size else np.zeros(1, dtype=np.int64)
        columns = [steps[:, used], traffic[:, used]]
        columns += [
            np.broadcast_to(values[used], columns[0].shape) for values in (known.hop_latency, self.rates)
        ]
        return (
            Path(*(column[:, 0] for column in columns))
            if used.size == 1
            else Path(*(column.T for column in columns))
        )

    def links(self, grid: Grid, experts_per_token: int) -> Links:
        """Paths of every message of an instance, per mapping."""
        reduction = self.path("all_reduce", grid.tp)
        traffic = reduction.traffic if reduction.traffic.ndim == 1 else reduction.traffic.sum(axis=0)
        return Links(
            all_reduce=reduction,
            all_gather=self.path("all_gather", grid.tp),
            expert_gather=self.path("all_gather", grid.tp * grid.attention_dp),
            exchange=self.path("all_to_all", grid.ep),
            context=self.path("all_gather", grid.cp),
            p2p=self.path("p2p", grid.pp),
            copies=expert_copies(max(experts_per_token, 1), grid.ep),
            expert_ranks=grid.ep.astype(float),
            reduced_in_network=((traffic > 0) & (traffic <= 1) & (grid.tp > 2)).astype(float),
        )


def network(coefficients: Coefficients, bandwidths: Mapping[str, float]) -> Network:
    """Fill the symbols of a topology's bandwidths: `scale_up`, `scale_out`, `optical` [B/s]."""
    return Network(coefficients, tier_bandwidths(coefficients, dict(bandwidths)))


def mapping(grid: Grid) -> demand.Mapping:
    """Degrees of parallelism in the vocabulary of demand."""
    return demand.Mapping(grid.tp, grid.pp, grid.attention_dp, grid.moe_tp, grid.ep, grid.cp)


def kv_bytes_per_token(
    ledger: demand.Ledger, grid: Grid, context: FloatArray | float, window: int
) -> FloatArray:
    """KV of one token averaged over a context, windowed layers and states included, per device of its rank [B/tok]."""
    length = np.maximum(np.asarray(context, float), 1.0)
    windowed = ledger.window_bytes_per_token * np.minimum(length, window or length) / length
    return np.asarray(ledger.kv_bytes_per_token + windowed + ledger.state_bytes / length)
