"""Measured kernels as passes with a single operator, so that the same time model describes both.

Every kernel becomes one row of `Work` in which only its own operator group, or its own message, is not zero.
"""

from collections.abc import Callable
from typing import NamedTuple

import numpy as np

from dse.arrays import BoolArray, FloatArray
from dse.facts import catalog
from dse.facts.measurements import Measurements
from dse.physics import roofline
from dse.physics.calibration import Calibration
from dse.physics.demand import GROUPS, Communication, Mapping, Message, Work
from dse.physics.network import Path
from dse.physics.work import expected_experts
from dse.search.fidelity import fabric
from dse.search.scoring.passes import measured_fraction

WIDTHS = {"bfloat16": 2.0, "half": 2.0, "fp8": 1.0, "fp8_block": 1.0, "w4a16_mxfp4": 0.53125}
"""Bytes per stored element; a 4-bit block format holds an 8-bit scale for 32 elements [B]."""

COMPUTED = {"w4a16_mxfp4": 2.0}
"""Width computed with where it is not the stored one [B]."""

_NEVER = 1e-3
"""Bandwidth at which an algorithm is never chosen [B/s]."""

_SWIGLU = 3
_INTO_EXPERT = 2
_MICRO = 1e-6


class KernelGroup(NamedTuple):
    """Measured kernels of one operator class."""

    name: str
    """Operator class."""
    work: Work
    supply: roofline.Supply
    links: roofline.Links
    seconds: FloatArray
    """Measured (n,) [s]."""
    device: tuple[str, ...]
    backend: tuple[str, ...]
    dtype: tuple[str, ...]


class _Rows(NamedTuple):
    """Columns of some kernels."""

    table: Measurements
    chosen: list[int]

    def number(self, column: str) -> FloatArray:
        """Numbers of a column."""
        values = self.table.numbers[column]
        return np.array([values[row] for row in self.chosen])

    def text(self, column: str) -> tuple[str, ...]:
        """Text of a column."""
        values = self.table.text[column]
        return tuple(values[row] for row in self.chosen)

    @property
    def size(self) -> int:
        """Rows."""
        return len(self.chosen)


def kernel_groups(table: Measurements) -> list[KernelGroup]:
    """Kernels of a file by operator class; kinds that mix several operators are left out.

    Parameters
    ----------
    table : Measurements               of kind `kernels`

    Returns
    -------
    list of KernelGroup                one per class that occurs
    """
    made = []
    for name, (kind, build) in _BUILDERS.items():
        index = [row for row, own in enumerate(table.text["kind"]) if own == kind]
        if index:
            made.append(_group(name, _Rows(table, index), build))
    return made


def library_groups(table: Measurements) -> list[KernelGroup]:
    """Collectives of a communication library, by operation; no constant is fitted to them.

    Parameters
    ----------
    table : Measurements               of kind `kernels`

    Returns
    -------
    list of KernelGroup                one per operation that occurs
    """
    made = []
    for name, build in _LIBRARY.items():
        pairs = zip(table.text["kind"], table.text["op"], strict=True)
        index = [row for row, own in enumerate(pairs) if own == ("nccl_collective", name)]
        if index:
            group = _group(name, _Rows(table, index), build)
            direct = group.links.direct
            if direct is not None:  # a library does not send to all at once, as engines do with short messages
                group = group._replace(
                    links=group.links._replace(direct=direct._replace(bandwidth=np.full_like(direct.bandwidth, _NEVER)))
                )
            made.append(group)
    return made


def kernel_seconds(group: KernelGroup, calibration: Calibration) -> FloatArray:
    """Time of every kernel without the overhead of a pass [s]."""
    spent = roofline.pass_time(group.work, group.supply, group.links, calibration)
    return np.asarray(spent.group_seconds.sum(axis=0) + spent.network)


class _Demand(NamedTuple):
    """What one builder says about its kernels: one group's columns or one kind of message."""

    group: str = "dense_ffn"
    flop: FloatArray | float = 0.0
    weight: FloatArray | float = 0.0
    activation: FloatArray | float = 0.0
    kv: FloatArray | float = 0.0
    rows: FloatArray | float = 0.0
    kernels: float = 0.0
    message: str = ""
    size: FloatArray | float = 0.0
    members: FloatArray | float = 1.0
    expert_ranks: FloatArray | float = 1.0


def _group(name: str, rows: _Rows, build: Callable[[_Rows], _Demand]) -> KernelGroup:
    """One class as a pass."""
    demand = build(rows)
    devices = [catalog.accelerator(name) for name in rows.text("device")]
    dtype = rows.text("dtype")
    width = np.array([COMPUTED.get(own, np.ceil(WIDTHS[own])) for own in dtype])
    rate = np.array(
        [
            (device.peak.fp8 if own == 1 else None) or device.peak.bf16 or np.nan
            for device, own in zip(devices, width, strict=True)
        ]
    )
    fraction = np.array([measured_fraction(device, float(own)) for device, own in zip(devices, width, strict=True)])
    bandwidth = np.array([device.memory.bandwidth if device.memory else np.nan for device in devices])
    stored = np.array([max(WIDTHS[own], 1.0) for own in dtype])
    supply = roofline.Supply(rate, rate, rate, bandwidth, rate, width, width, width, fraction, activation_width=stored)
    members = np.broadcast_to(np.asarray(demand.members, float), (rows.size,))
    return KernelGroup(
        name=name,
        work=_work(demand, rows.size),
        supply=supply,
        links=_links(rows, members, np.broadcast_to(np.asarray(demand.expert_ranks, float), (rows.size,))),
        seconds=rows.number("latency_us") * _MICRO,
        device=rows.text("device"),
        backend=rows.text("backend"),
        dtype=dtype,
    )


def _links(rows: _Rows, members: FloatArray, ranks: FloatArray) -> roofline.Links:
    """Paths over groups of the kernels' sizes on their devices."""
    names = rows.text("device")
    made = {}
    for name in dict.fromkeys(names):
        made[name] = fabric.links(catalog.accelerator(name), Mapping(tp=members, ep=members), 1)
    own = np.array([list(made).index(name) for name in names])
    each = np.arange(rows.size)

    def path(field: str) -> Path:
        columns = zip(*(getattr(links, field) for links in made.values()), strict=True)
        stacked = (np.stack(np.broadcast_arrays(*column)) for column in columns)
        wide = (np.broadcast_to(column, (*column.shape[:-1], rows.size)) for column in stacked)
        return Path(*(column[own, :, each].T for column in wide))

    return roofline.Links(
        all_reduce=path("all_reduce"),
        all_gather=path("all_gather"),
        expert_gather=path("expert_gather"),
        exchange=path("exchange"),
        context=path("context"),
        p2p=path("p2p"),
        direct=path("direct"),
        expert_ranks=ranks,
    )


def _work(demand: _Demand, size: int) -> Work:
    """Work with one group or message."""

    def column(value: FloatArray | float) -> FloatArray:
        filled = np.zeros((len(GROUPS), size))
        filled[GROUPS.index(demand.group)] = value
        return filled

    none = Message(np.zeros(size), np.zeros(size))
    sent = Message(np.ones(size), np.broadcast_to(np.asarray(demand.size, float), (size,)))
    messages = {name: sent if name == demand.message else none for name in Communication._fields}
    return Work(
        flop=column(demand.flop),
        weight_bytes=column(demand.weight),
        activation_bytes=column(demand.activation),
        kv_bytes=column(demand.kv),
        rows=column(demand.rows),
        kernels=column(demand.kernels),
        communication=Communication(**messages),
    )


def _widths(rows: _Rows) -> FloatArray:
    return np.array([WIDTHS[own] for own in rows.text("dtype")])


def _gemm(rows: _Rows) -> _Demand:
    """Matrix products; 8-bit ones include the kernels that quantise their inputs."""
    m, n, k = (rows.number(name) for name in ("m", "n", "k"))
    width = _widths(rows)
    return _Demand("dense_ffn", 2 * m * n * k, n * k * width, m * (k + n) * np.maximum(width, 1.0), rows=m, kernels=1)


def _attention(rows: _Rows) -> _Demand:
    """Attention over a cache of `kv_len` tokens, of which `q_len` are new."""
    batch, new, length = (rows.number(name) for name in ("batch", "q_len", "kv_len"))
    heads, kv_heads, head_dim = (rows.number(name) for name in ("heads", "kv_heads", "head_dim"))
    kv_width = np.array([1.0 if own == "fp8" else 2.0 for own in rows.text("kv_dtype")])
    area = new * (length - new / 2)
    in_and_out = 2 * batch * new * heads * head_dim * np.maximum(_widths(rows), 1.0)
    cache = batch * length * 2 * kv_heads * head_dim * kv_width
    flop = 2 * 2 * batch * heads * head_dim * area
    return _Demand("attention_core", flop, 0.0, in_and_out, cache, batch * new, 1)


def _experts(rows: _Rows) -> _Demand:
    """Both grouped products of one layer's experts; a skewed router loads the hottest rank more."""
    tokens, hidden, inter = (rows.number(name) for name in ("m", "hidden", "inter"))
    per_token, experts, tensor, ranks = (rows.number(name) for name in ("topk", "experts", "moe_tp", "moe_ep"))
    width = _widths(rows)
    touched = np.array(
        [
            float(expected_experts(total, used, np.array(seen)))
            for total, used, seen in zip(experts, per_token, tokens, strict=True)
        ]
    )
    copies, columns = tokens * per_token, inter / tensor
    element = _SWIGLU * hidden * columns
    balanced: BoolArray = np.array([own == "balanced" for own in rows.text("distribution")])
    return _Demand(
        "routed_experts",
        flop=2 * copies / ranks * element,
        weight=touched / ranks * element * width,
        activation=copies / ranks * (2 * hidden + _SWIGLU * columns) * np.maximum(width, 1.0),
        rows=copies / touched,
        kernels=_INTO_EXPERT,
        expert_ranks=np.where(balanced, 1.0, ranks),
    )


def _library(rows: _Rows) -> _Demand:
    """Gathers and scatters of a library; the gathered whole is what the benchmark counts."""
    members = rows.number("num_gpus")
    return _Demand(message="all_gather", size=rows.number("message_bytes") / members, members=members)


def _exchange(rows: _Rows) -> _Demand:
    """All-to-all of a library; what one member holds is what the benchmark counts."""
    return _Demand(message="dispatch", size=rows.number("message_bytes"), members=rows.number("num_gpus"))


def _reduction(rows: _Rows) -> _Demand:
    """All-reduce as engines do it."""
    return _Demand(message="all_reduce", size=rows.number("message_bytes"), members=rows.number("num_gpus"))


_BUILDERS: dict[str, tuple[str, Callable[[_Rows], _Demand]]] = {
    "linear": ("gemm", _gemm),
    "attention_prefill": ("prefill_attention", _attention),
    "attention_decode": ("decode_attention", _attention),
    "experts": ("moe", _experts),
    "all_reduce": ("custom_allreduce", _reduction),
}

_LIBRARY: dict[str, Callable[[_Rows], _Demand]] = {
    "all_gather": _library,
    "reduce_scatter": _library,
    "alltoall": _exchange,
    "all_reduce": _reduction,
}

KINDS = frozenset(kind for kind, _ in _BUILDERS.values())
"""Kinds of kernels that constants are fitted to."""
