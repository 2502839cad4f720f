r"""Operational intensity and capacity footprint: the two quotients of demand that tell which supply binds.

*Operational intensity* is work per byte moved to or from memory; against the ridge of a device it separates
compute from bandwidth. *Capacity footprint* is bytes that must be resident; against the capacity of a device
it bounds the batch, and with it the intensity that a model can reach at all. Both definitions follow Zhao et
al. 2026
(arXiv 2601.22001); the literature gives the footprint per request and per device: two names here, never one.
"""

import numpy as np

from dse.arrays import FloatArray, IntArray
from dse.physics.demand import GROUPS, Load, Mapping, Precision, Work
from dse.physics.shape import Shape
from dse.physics.transformer import decode_flop, kv_bytes
from dse.physics.work import pass_work

NEAR = 0.9
"""Share of the reachable intensity that counts as reached [1]; a saturating curve never arrives."""

REGIMES = ("bandwidth", "compute", "capacity and bandwidth", "capacity")
"""Names of the quadrants, indexed by ``high OI + 2 * high CF``."""

_BISECTIONS = 64  # halvings of the exponents 0 to 64; also the largest exponent
_ROUNDING = 1e-9  # relative; keeps an exact whole batch from being rounded up


def gemm_oi(
    rows: FloatArray, inputs: float, outputs: float, weight: float = 2.0, activation: float = 2.0
) -> FloatArray:
    r"""Operational intensity of a matrix product of M rows.

    .. math:: OI = \frac{2 M k n}{b_w k n + b_a M (k + n)}                                 (I1)

    Parameters
    ----------
    rows : (n,) array                  rows M [tok]
    inputs, outputs : float            k and n [1]
    weight, activation : float         widths b_w, b_a [B]

    Returns
    -------
    (n,) array                         intensity [FLOP/B]; about M for few rows at 2 B

    Notes
    -----
    Source: Williams, Waterman, Patterson 2009 (roofline), section 3.

    >>> round(float(gemm_oi(np.array(32.0), 8192, 8192)), 1)
    31.8
    """
    product = inputs * outputs
    return 2 * rows * product / (weight * product + activation * rows * (inputs + outputs))


def attention_oi_limit(shape: Shape, kv: float = 2.0) -> float:
    r"""Operational intensity of decode attention, which no batch can raise.

    .. math:: OI = \frac{2 h / g}{b_{kv}}, \qquad
              OI_{MLA} = \frac{2 h\,(2 r + r_{rope})}{(r + r_{rope})\,b_{kv}}             (I2)

    Parameters
    ----------
    shape : Shape                      model
    kv : float                         width of the cache b_kv [B]

    Returns
    -------
    float                              intensity [FLOP/B]

    Notes
    -----
    Every request has a cache of its own, so nothing is shared; only heads on one key (GQA) or one latent
    (MLA, absorbed) are. Source: Zhao et al. 2026; ratio of (A4) and the cache width.

    >>> attention_oi_limit(Shape(1, 8192, 8, n_heads=64, n_kv_heads=8, head_dim=128))
    8.0
    >>> deepseek = Shape(1, 7168, 8, n_heads=128, kv_lora_rank=512, qk_rope_head_dim=64)
    >>> round(attention_oi_limit(deepseek, kv=1.0))
    484
    """
    if shape.kv_lora_rank:
        latent = shape.kv_lora_rank + shape.qk_rope_head_dim
        return 2 * shape.n_heads * (latent + shape.kv_lora_rank) / (latent * kv)
    return 2 * shape.n_heads / shape.n_kv_heads / kv


def oi_ridge(flop_rate: FloatArray, memory_bandwidth: FloatArray) -> FloatArray:
    r"""Ridge of a device: the intensity at which compute and bandwidth take equally long.

    .. math:: OI_{ridge} = P / \beta                                                      (I3)

    Parameters
    ----------
    flop_rate : (n,) array             dense, at the serving precision P [FLOP/s]
    memory_bandwidth : (n,) array      beta [B/s]

    Returns
    -------
    (n,) array                         intensity [FLOP/B]

    Notes
    -----
    Source: Williams, Waterman, Patterson 2009, section 3.

    >>> round(float(oi_ridge(np.array(989e12), np.array(3.35e12))))
    295
    """
    return flop_rate / memory_bandwidth


def phase_oi(work: Work, gathered: bool = True, activations: bool = True) -> FloatArray:
    r"""Operational intensity of a whole pass.

    .. math:: OI = \sum_o F_o \Big/ \sum_o Q_o                                            (I4)

    Parameters
    ----------
    work : Work                        demand by operator, (G, n)
    gathered : bool                    whether the embedding look-up counts
    activations : bool                 whether GEMM inputs and outputs count; they often stay on chip

    Returns
    -------
    (n,) array                         intensity [FLOP/B]

    >>> model = Shape(32, 4096, 128256, n_heads=32, n_kv_heads=8, head_dim=128, intermediate=14336,
    ...               n_full_layers=32, n_dense_layers=32)
    >>> work = pass_work(model, Precision(2, 2, 2, 2), Mapping(), Load([1, 32], 1, 2048))
    >>> phase_oi(work, activations=False).round(3).tolist()
    [1.053, 21.804]
    """
    moved = work.weight_bytes + work.kv_bytes + (work.activation_bytes if activations else 0.0)
    kept = np.array([gathered or group != "embedding" for group in GROUPS])
    moved_in_all: FloatArray = moved[kept].sum(axis=0)
    flop: FloatArray = work.flop.sum(axis=0)
    return flop / moved_in_all


def oi_limit(shape: Shape, context: FloatArray, kv: float = 2.0) -> FloatArray:
    r"""Decode intensity of an endless batch: the weights are free, the cache is not.

    .. math:: OI_\infty(c) = F_{decode}(c) / KV(c)                                         (I5)

    Parameters
    ----------
    shape : Shape                      model
    context : (n,) array               context c [tok]
    kv : float                         width of the cache [B]

    Returns
    -------
    (n,) array                         intensity [FLOP/B]; below the ridge of most devices at long context

    Notes
    -----
    Models whose cache is not read in full (sparse attention) exceed this limit. Source: Zhao et al. 2026, as
    (I4).

    >>> llama = Shape(80, 8192, 128256, n_heads=64, n_kv_heads=8, head_dim=128, intermediate=28672,
    ...               n_full_layers=80, n_dense_layers=80)
    >>> oi_limit(llama, np.array([4096.0, 32768.0])).round().tolist()
    [112.0, 21.0]
    """
    return decode_flop(shape, context) / kv_bytes(shape, context, kv)


def cf_request(kv: FloatArray, weights: FloatArray | float, batch: FloatArray) -> FloatArray:
    r"""Capacity footprint of one request: its cache and its share of the weights.

    .. math:: CF_{request} = KV(c) + W / B                                                (I6)

    Parameters
    ----------
    kv : (n,) array                    cache of the request [B]
    weights : (n,) array or float      weights of the instance W, embedding included [B]
    batch : (n,) array                 requests that share them B [1]

    Returns
    -------
    (n,) array                         footprint [B]

    Notes
    -----
    Source: Zhao et al. 2026 (arXiv 2601.22001), section 3.

    >>> (cf_request(np.array(42.95e9), 141.1e9, np.array([1, 16, 64])) / 1e9).round(1).tolist()
    [184.0, 51.8, 45.2]
    """
    return kv + weights / batch


def cf_device(
    weights: FloatArray, kv: FloatArray, batch: FloatArray, attention_dp: FloatArray | float = 1.0
) -> FloatArray:
    r"""Capacity footprint of one device.

    .. math:: CF_{device} = W_{dev} + (B / dp)\,KV_{dev}                                    (I7)

    Parameters
    ----------
    weights : (n,) array               weights on the device (`work.ledger`) [B]
    kv : (n,) array                    cache and state of one request on the device, replicas included [B]
    batch : (n,) array                 requests of the instance B [1]
    attention_dp : (n,) array          attention ranks that share them [devices]

    Returns
    -------
    (n,) array                         bytes resident [B]

    Notes
    -----
    With nothing replicated this is ``(W + B KV) / N``, the definition of the code of AgentPerfBench (2026).

    >>> float(cf_device(np.array(17.6e9), np.array(5.37e9), np.array(8.0)) / 1e9)
    60.56
    """
    return weights + batch / attention_dp * kv


def capacity_batch(
    capacity: FloatArray, weights: FloatArray, kv: FloatArray, attention_dp: FloatArray | float = 1.0,
    utilisation: float = 0.9,
) -> FloatArray:  # fmt: skip
    r"""Batch that the memory of an instance can hold, B_cap.

    .. math:: B_{cap} = dp \cdot \lfloor (C u - W_{dev}) / KV_{dev} \rfloor                  (I8)

    Parameters
    ----------
    capacity : (n,) array              memory of a device C [B]
    weights : (n,) array               on the fullest device: weights, and what is shared by all requests [B]
    kv : (n,) array                    of one request on that device [B]
    attention_dp : (n,) array          attention ranks [devices]
    utilisation : float                share of the memory an engine gives to weights and cache, u [1]

    Returns
    -------
    (n,) array                         whole requests [1]; 0 if the weights do not fit

    Notes
    -----
    The default of u is vLLM's ``gpu_memory_utilization`` of 2023 to 2025.

    >>> context = 1024 * np.array([4, 32, 128])
    >>> capacity_batch(np.array(192e9), np.array(17.64e9), 327680 * context / 8).tolist()    # 70B on 8
    [924.0, 115.0, 28.0]
    """
    return attention_dp * np.maximum(np.floor((capacity * utilisation - weights) / kv), 0.0)


def saturating_batch(
    shape: Shape, precision: Precision, context: FloatArray, ridge: FloatArray, near: float = NEAR
) -> FloatArray:
    r"""Least batch whose decode intensity is near what the model or the device allows, B_sat.

    .. math:: B_{sat} = \min \{ B : OI(B) \ge 0.9 \min(OI_{ridge},\; OI_\infty) \}           (I9)

    Parameters
    ----------
    shape : Shape                      model
    precision : Precision              widths [B]
    context : (n,) array               context [tok]
    ridge : (n,) array                 ridge of the device [FLOP/B]
    near : float                       share that counts as reached [1]

    Returns
    -------
    (n,) array                         batch [1], rounded up

    Notes
    -----
    Bytes grow with the batch less than in proportion (weights are shared, experts saturate), so OI never
    falls with B and bisection on log B finds the least one. A batch beyond it buys little.

    >>> llama = Shape(80, 8192, 128256, n_heads=64, n_kv_heads=8, head_dim=128, intermediate=28672,
    ...               n_full_layers=80, n_dense_layers=80)
    >>> saturating_batch(llama, Precision(2, 2, 2, 2), np.array([4096.0]), np.array([295.0])).tolist()
    [932.0]
    """
    low, high = np.zeros(np.shape(context)), np.full(np.shape(context), float(_BISECTIONS))
    largest = _decode_oi(shape, precision, np.exp2(high), context)
    target = near * np.minimum(ridge, largest)
    for _ in range(_BISECTIONS):
        middle = (low + high) / 2
        reached = _decode_oi(shape, precision, np.exp2(middle), context) >= target
        low, high = np.where(reached, low, middle), np.where(reached, middle, high)
    return np.asarray(np.ceil(np.exp2(high) * (1 - _ROUNDING)), float)


def regime(oi: FloatArray, ridge: FloatArray, b_cap: FloatArray, b_wanted: FloatArray, near: float = NEAR) -> IntArray:
    r"""Quadrant of a design point: which supply binds.

    .. math:: \text{high OI}: OI \ge 0.9\,OI_{ridge}, \qquad
              \text{high CF}: B_{cap} < \min(B_{sat}, B_{slo}, B_{load})                    (I10)

    Parameters
    ----------
    oi, ridge : (n,) array             intensity at the operating batch, ridge of the device [FLOP/B]
    b_cap : (n,) array                 batch that fits (`capacity_batch`) [1]
    b_wanted : (n,) array              least of the batches that saturate, meet the SLO, and are asked for [1]
    near : float                       share of the ridge that counts as reached [1]

    Returns
    -------
    (n,) int array                     index into `REGIMES`

    Notes
    -----
    Quadrants: Zhao et al. 2026; the delimiters are this project's, because a grouped-query model at long
    context never reaches the ridge however large the memory.

    >>> oi, held = np.array([50.0, 300.0]), np.array([10.0, 99.0])
    >>> [REGIMES[index] for index in regime(oi, np.array(295.0), held, np.array(20.0))]
    ['capacity and bandwidth', 'compute']
    """
    return np.asarray((oi >= near * ridge) + 2 * (b_cap < b_wanted), np.int64)


def _decode_oi(shape: Shape, precision: Precision, batch: FloatArray, context: FloatArray) -> FloatArray:
    """Decode intensity of a batch on an undivided instance, activations on chip [FLOP/B]."""
    work = pass_work(shape, precision, Mapping(), Load(batch, 1, context))
    return phase_oi(work, gathered=False, activations=False)
