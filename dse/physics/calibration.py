"""The constants of the time model: what no data sheet tells and measurements must.

Constants belong to an operator class and a compute format, never to a device: a device enters with its rates alone, so
one that nobody has measured inherits them. All are plain floats; `scaled` divides every time by a factor, which shows
that nothing else in here carries a unit of time.
"""

from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike

from dse.arrays import FloatArray

OF_TECHNIQUES = frozenset({"coded_ratio", "codec", "projection_kernels"})
"""Constants that a software technique sets, and no fit to measurements."""


class Curve(NamedTuple):
    """How close one operator class comes to its two roofs in one compute format."""

    compute: float
    """Share of the dense peak that a large operator reaches [1]."""
    memory: float
    """Share of the memory bandwidth that a large operator reaches [1]."""
    half_rows: float
    """Rows at which the compute share has fallen to half [tok]."""
    floor: float
    """Time of a kernel with nothing to do [s]."""
    traffic: float = 1.0
    """Times the activations of the operator pass through memory: quantising, permuting, gathering [1]."""


class Curves(NamedTuple):
    """One operator class in the compute formats."""

    bf16: Curve
    """Two bytes per operand."""
    fp8: Curve
    """One byte per operand."""
    fp4: Curve
    """Half a byte per operand."""


class NetworkConstants(NamedTuple):
    """Software side of collectives; links and hops belong to the topology."""

    alpha: float
    """Start of a library collective (NCCL-like), once per operation [s]."""
    hop: float
    """Software latency of one crossing, on top of the link's [s]."""
    efficiency: float
    """Share of the link bandwidth that large messages reach [1]."""
    pipeline: float
    """Start of one chunk of a pipelined message; enters by its square root [s]."""
    direct_alpha: float
    """Start of an engine's own one-shot all-reduce [s]."""
    direct_efficiency: float
    """Share of the link bandwidth that one-shot all-reduce reaches [1]."""
    in_network_efficiency: float
    """Share of the link bandwidth reached when switches reduce [1]."""
    exchange_alpha: float
    """Start of an expert dispatch or combine [s]."""
    exchange_efficiency: float
    """Share of the link bandwidth that dispatch and combine reach [1]."""
    coded_ratio: float = 1.0
    """Times that a compressed all-reduce shrinks its messages; 1 where there is none [1]."""
    codec: float = 0.0
    """Time of compressing and restoring them, per byte before compression [s/B]."""


class Overheads(NamedTuple):
    """Time outside of the large operators."""

    layer: float
    """Norms, rotary embedding, activation functions of one layer [s]."""
    step: float
    """Scheduling, sampling and launch of one pass [s]."""
    request: float
    """Bookkeeping and sampling per request of a pass [s]."""
    traffic: float
    """Passes over the activations outside of the matrix products, per byte they read and write [1]."""


class Calibration(NamedTuple):
    """All fitted constants of the time model."""

    linear: Curves
    """Dense matrix products: projections, dense FFN, shared experts, router, LM head."""
    attention: Curves
    """Attention core; formats of the cache."""
    experts: Curves
    """Grouped matrix products of routed experts."""
    network: NetworkConstants
    """Collectives."""
    overhead: Overheads
    """Everything else."""
    mask_tokens: float
    """Masked positions that a query computes in vain, on the diagonal of the causal mask [tok]."""
    expert_skew: float
    """Load of the hottest expert rank over the mean, at many ranks [1]."""
    overlap: float
    """Share of the communication that runs under compute [1]."""
    projection_kernels: float = 1.0
    """Share of the launches of attention projections that is left; 0 where they run in the kernel of the core [1]."""

    def scaled(self, speed: float) -> "Calibration":
        """Constants of a machine in which everything is faster by a factor: every time divided by it.

        >>> round(PROVISIONAL.scaled(2.0).overhead.step / PROVISIONAL.overhead.step, 3)
        0.5
        """
        faster = {"alpha", "hop", "pipeline", "direct_alpha", "codec", "exchange_alpha"}
        faster |= {"layer", "step", "request"}
        network = {name: value / (speed if name in faster else 1) for name, value in self.network._asdict().items()}
        overhead = {name: value / (speed if name in faster else 1) for name, value in self.overhead._asdict().items()}

        def quicker(curves: Curves) -> Curves:
            return Curves(*(curve._replace(floor=curve.floor / speed) for curve in curves))

        return self._replace(
            linear=quicker(self.linear),
            attention=quicker(self.attention),
            experts=quicker(self.experts),
            network=NetworkConstants(**network),
            overhead=Overheads(**overhead),
        )


IDEAL_CURVE = Curve(compute=1.0, memory=1.0, half_rows=0.0, floor=0.0)
"""A kernel at the roof."""

_IDEAL_CURVES = Curves(IDEAL_CURVE, IDEAL_CURVE, IDEAL_CURVE)

IDEAL = Calibration(
    linear=_IDEAL_CURVES,
    attention=_IDEAL_CURVES,
    experts=_IDEAL_CURVES,
    network=NetworkConstants(0.0, 0.0, 1.0, 0.0, 0.0, 1.0, 1.0, 0.0, 1.0),
    overhead=Overheads(0.0, 0.0, 0.0, 0.0),
    mask_tokens=0.0,
    expert_skew=1.0,
    overlap=0.0,
)
"""The limit: data-sheet rates, no latency. What a pure roofline predicts."""

PROVISIONAL = IDEAL._replace(
    linear=Curves(Curve(0.80, 0.84, 90.0, 4.3e-6), Curve(0.58, 0.85, 45.0, 6e-6), Curve(0.5, 0.8, 45.0, 6e-6)),
    attention=Curves(Curve(0.53, 0.6, 0.0, 9e-6), Curve(0.37, 0.55, 0.0, 9e-6), Curve(0.37, 0.55, 0.0, 9e-6)),
    experts=Curves(*(Curve(0.5, 0.85, 30.0, 1.5e-5, 2.0) for _ in range(3))),
    network=NetworkConstants(5e-6, 0.0, 0.8, 2e-5, 2e-6, 0.7, 0.57, 1.4e-5, 0.58),
    overhead=Overheads(8e-6, 3e-4, 4e-6, 1.0),
    mask_tokens=265.0,
    expert_skew=1.2,
)
"""Starting point of a fit."""


def pick(width: ArrayLike, curves: Curves, field: str) -> FloatArray | float:
    """One constant of a class for every row's compute width [B]; a number for a number.

    >>> pick(2.0, PROVISIONAL.linear, "compute")
    0.8
    """
    bf16, fp8, fp4 = (float(getattr(curve, field)) for curve in curves)
    values = np.asarray(width, float)
    if values.ndim == 0:
        return bf16 if values > 1 else fp8 if values == 1 else fp4
    return np.where(values > 1, bf16, np.where(values == 1, fp8, fp4))
