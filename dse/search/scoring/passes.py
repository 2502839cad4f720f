"""From facts to the arguments of physics: a model's shape, a device's supply, the paths of an instance's messages."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

import numpy as np

from dse.arrays import FloatArray, IntArray
from dse.facts.devices import Accelerator
from dse.facts.models import Model
from dse.facts.topology.reduce import Coefficients, flow_bandwidth, group_index, tier_bandwidths
from dse.physics import demand
from dse.physics.network import Path, expert_copies
from dse.physics.roofline import Links, Supply
from dse.physics.shape import Shape, shape
from dse.search.scoring.mappings import Grid

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


def precision(weight: str, expert: str, kv: str, score: float = 0.0) -> demand.Precision:
    """Widths of a set of formats; activations keep two bytes unless the weights are computed narrower.

    ``score`` is what of an attention score passes through memory [B].

    >>> precision("fp8", "fp4", "bf16").activation
    1.0
    """
    width = WIDTH[weight]
    return demand.Precision(width, WIDTH[expert], WIDTH[kv], max(width, 1.0), score=score)


def compute_rate(device: Accelerator, dtype: str) -> tuple[float, float]:
    """Dense rate at which operands stored in a format are multiplied, and the width computed with."""
    for candidate in _NEXT[dtype]:
        rate = getattr(device.peak, candidate)
        if rate is not None:
            return float(rate), WIDTH[candidate]
    raise ValueError(f"{device.id} has no compute rate for {dtype}")


REFERENCE_SHARE = {2.0: 0.803, 1.0: 0.72, 0.5: 0.72}
"""Best measured share of the dense peak on the devices behind the constants (H100, H200), by width [1].
Source: ml-engineering, accelerator chapter, snapshot 2026-08-22."""


def computed_format(device: Accelerator, dtype: str) -> str:
    """Format to look up a rate for: 4-bit weights without 4-bit hardware meet 16-bit activations, as kernels do.

    >>> from dse.facts.catalog import accelerator
    >>> computed_format(accelerator("h100_sxm"), "fp4"), computed_format(accelerator("b200_sxm"), "fp4")
    ('bf16', 'fp4')
    """
    return "bf16" if dtype == "fp4" and device.peak.fp4 is None else dtype


def measured_fraction(device: Accelerator, width: float) -> float:
    """Measured share of a device's dense peak over the share of the devices behind the constants; 1 where unknown."""
    if device.efficiency is None:
        return 1.0
    own = getattr(device.efficiency, {2.0: "bf16", 1.0: "fp8", 0.5: "fp4"}[width])
    if own:
        return float(own / REFERENCE_SHARE[width])
    return float(device.efficiency.bf16 / REFERENCE_SHARE[2.0]) if device.efficiency.bf16 else 1.0


def supply(device: Accelerator, weight: str, expert: str, attention: str) -> Supply:
    """Rates of a device for a set of formats, measured shares of the peak included."""
    if device.memory is None:
        raise ValueError(f"{device.id} has no memory bandwidth")
    linear, linear_width = compute_rate(device, computed_format(device, weight))
    core, core_width = compute_rate(device, attention)
    experts, expert_width = compute_rate(device, computed_format(device, expert))
    return Supply(
        linear_rate=linear,
        attention_rate=core,
        expert_rate=experts,
        embedding_rate=compute_rate(device, "bf16")[0],
        memory_bandwidth=device.memory.bandwidth,
        linear_width=linear_width,
        attention_width=core_width,
        expert_width=expert_width,
        compute_fraction=measured_fraction(device, linear_width),
        activation_width=max(WIDTH[weight], 1.0),
    )


def formats(model: Model, weight_dtype: str) -> tuple[str, str]:
    """Formats of the weights and of the routed experts; `release` is the one in which the model was published."""
    if weight_dtype != "release":
        return weight_dtype, weight_dtype
    return model.release_dtype, model.expert_dtype or model.release_dtype


@dataclass(frozen=True)
class Network:
    """One topology with its bandwidths filled in."""

    coefficients: Coefficients
    rates: FloatArray
    """(t,) bandwidth of each tier, one direction per device [B/s]."""
    _tables: dict[str, FloatArray] = field(default_factory=dict, compare=False, repr=False)
    """Collectives by their members, shared by networks of one wiring."""

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

    def links(self, grid: Grid, experts_per_token: int) -> Links:
        """Paths of every message of an instance, per mapping."""
        return links([self], [grid.size.size], grid, experts_per_token)

    def by_members(self, op: str) -> FloatArray:
        """Steps and traffic of a collective over 0, 1, 2, ... members, (2, t, g); the last for all larger groups."""
        found = self._tables.get(op)
        if found is None:
            known, operation = self.coefficients, self.coefficients.ops.index(op)
            members = np.arange(int(known.sizes[-1]) + 1)
            index = np.minimum(group_index(known.sizes, members), known.sizes.size - 1)
            columns = np.stack([known.steps[operation], known.traffic[operation]])[:, index]
            found = np.moveaxis(columns * (members > 1)[:, None], 1, 2)
            self._tables[op] = found
        return found


def links(networks: Sequence[Network], counts: Sequence[int] | IntArray, grid: Grid, experts_per_token: int) -> Links:
    """Paths of every message of instances on several networks, whose rows follow one another."""
    joint = _Joint.of(networks, np.asarray(counts))
    reduction = joint.path("all_reduce", grid.tp)
    traffic = reduction.traffic if reduction.traffic.ndim == 1 else reduction.traffic.sum(axis=0)
    exchange = joint.path("all_to_all", grid.ep)
    return Links(
        all_reduce=reduction,
        direct=joint.path("all_reduce_direct", grid.tp),
        all_gather=joint.path("all_gather", grid.tp),
        expert_gather=joint.path("all_gather", grid.tp * grid.attention_dp),
        exchange=exchange,
        context=joint.path("all_gather", grid.cp),
        p2p=joint.path("p2p", grid.pp),
        copies=joint.copies(exchange, grid.ep, max(experts_per_token, 1)),
        expert_ranks=grid.ep.astype(float),
        reduced_in_network=((traffic > 0) & (traffic <= 1) & (grid.tp > 2)).astype(float),
    )


class _Joint(NamedTuple):
    """Networks, one row for each row of their grids below each other; those of few tiers have idle ones on top."""

    distinct: tuple[Network, ...]
    """One network of each wiring."""
    wiring: IntArray
    """(n,) place of each row's wiring."""
    latency: FloatArray
    """(t, n), or (n,) for a single tier [s]."""
    rates: FloatArray
    """The same [B/s]."""
    domain: IntArray
    """(n,) devices of a scale-up domain."""

    @classmethod
    def of(cls, networks: Sequence[Network], counts: IntArray) -> "_Joint":
        """Networks with so many rows each."""
        distinct = {id(item._tables): item for item in networks}
        place = {own: number for number, own in enumerate(distinct)}
        tiers = max(item.rates.size for item in networks)
        columns = np.zeros((2, tiers, len(networks)))
        columns[1] = 1.0
        for number, item in enumerate(networks):
            columns[:, : item.rates.size, number] = item.coefficients.hop_latency, item.rates
        latency, rates = np.repeat(columns, counts, axis=-1)
        single = tiers == 1
        return cls(
            tuple(distinct.values()),
            np.repeat([place[id(item._tables)] for item in networks], counts),
            latency[0] if single else latency,
            rates[0] if single else rates,
            np.repeat([item.domain for item in networks], counts),
        )

    def path(self, op: str, members: IntArray) -> Path:
        """Path of one collective for every group size.

        Coefficients count the gathered whole as the message of an all-gather, work counts the piece of one member.
        """
        most = int(members.max(initial=0))
        if most <= 1:
            still = np.zeros(members.shape)
            return Path(still, still, still, np.ones(members.shape))
        tables = [item.by_members(op) for item in self.distinct]
        width = min(most + 1, max(table.shape[-1] for table in tables))
        every = np.arange(width)
        joint = np.zeros((2, 1 if self.rates.ndim == 1 else len(self.rates), len(tables), width))
        for number, table in enumerate(tables):
            joint[:, : table.shape[1], number] = table[..., np.minimum(every, table.shape[-1] - 1)]
        place = self.wiring * width + np.minimum(members, width - 1)
        steps, sent = joint.reshape(*joint.shape[:2], -1).take(place, axis=-1)
        if len(steps) == 1:
            steps, sent = steps[0], sent[0]
        return Path(steps, sent * members if op == "all_gather" else sent, self.latency, self.rates)

    def copies(self, exchange: Path, ranks: IntArray, experts_per_token: int) -> FloatArray:
        """Copies of a token that dispatch sends: one per expert inside a domain, one per domain beyond it."""
        inside = np.full(ranks.shape, float(experts_per_token))
        if exchange.steps.ndim == 1:
            return inside
        outside = expert_copies(experts_per_token, np.maximum(np.ceil(ranks / self.domain), 1.0))
        return np.stack([inside, *[outside] * (len(exchange.steps) - 1)])


def network(coefficients: Coefficients, bandwidths: Mapping[str, float]) -> Network:
    """Fill the symbols of a topology's bandwidths: `scale_up`, `scale_out`, `optical` [B/s]."""
    return Network(coefficients, tier_bandwidths(coefficients, dict(bandwidths)))


def mapping(grid: Grid) -> demand.Mapping:
    """Degrees of parallelism in the vocabulary of demand."""
    return demand.Mapping(grid.tp, grid.pp, grid.attention_dp, grid.moe_tp, grid.ep, grid.cp)


def kv_bytes_per_token(ledger: demand.Ledger, grid: Grid, context: FloatArray | float, window: int) -> FloatArray:
    """KV of one token averaged over a context, windowed layers and states included, per device of its rank [B/tok]."""
    length = np.maximum(np.asarray(context, float), 1.0)
    windowed = ledger.window_bytes_per_token * np.minimum(length, window or length) / length
    return np.asarray(ledger.kv_bytes_per_token + windowed + ledger.state_bytes / length)
