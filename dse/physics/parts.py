r"""Demand of each operator group on one device: matrix products, attention cores, caches, experts.

One function per group of `demand.GROUPS`, each from (model, widths, divided load) to a `Part`. Matrix
products share one equation,

.. math:: F_o = 2\,n_o M_o \sum k n, \qquad Q_o = n_o\,(b_w \sum k n + b_a M_o \sum (k + n)),             (P1)

with n_o layers that have operator o and M_o rows on the device.
"""

from collections.abc import Callable
from typing import NamedTuple

import numpy as np

from dse.arrays import FloatArray
from dse.physics import attention
from dse.physics.operators import (
    Gemm,
    attention_gemms,
    elements,
    ffn_gemms,
    head_gemms,
    indexer_gemms,
    kv_heads,
    linear_gemms,
    mamba_gemms,
    products,
    router_gemms,
    shared_expert_gemms,
    widths,
)
from dse.physics.shape import Shape
from dse.physics.split import Split, Width


class Part(NamedTuple):
    """Demand of one operator group, the columns of `Work`."""

    flop: FloatArray | float = 0.0
    weight_bytes: FloatArray | float = 0.0
    activation_bytes: FloatArray | float = 0.0
    kv_bytes: FloatArray | float = 0.0
    rows: FloatArray | float = 0.0
    kernels: FloatArray | float = 0.0


def expected_experts(experts: float, per_token: float, tokens: FloatArray) -> FloatArray:
    r"""Distinct experts that a batch of tokens touches in one layer, on average.

    .. math:: E_{touched} = E\,(1 - (1 - k/E)^T)                                           (P2)

    Parameters
    ----------
    experts : float                    routed experts E [1]
    per_token : float                  experts per token k [1]
    tokens : (n,) array                tokens T [tok]

    Returns
    -------
    (n,) array                         experts [1]; k for one token, E in the limit

    Notes
    -----
    Uniform, independent routing. Skew is a factor on the time of the hottest rank, not on bytes beyond all
    experts. Source: occupancy of E cells; DeepSeek-V3 2024 balances its routing so that it holds.

    >>> expected_experts(128, 8, np.array([1.0, 32.0])).round(1).tolist()
    [8.0, 111.8]
    """
    return experts * (1 - np.power(1 - per_token / experts, tokens))


def cache_width(shape: Shape, tp: FloatArray) -> FloatArray:
    """Cached elements per token and layer on one device: its key/value heads, or the whole latent.

    >>> model = Shape(1, 8, 8, n_heads=8, n_kv_heads=4, head_dim=128)
    >>> cache_width(model, np.array([1.0, 4.0, 8.0])).tolist()
    [1024.0, 256.0, 256.0]
    """
    if shape.kv_lora_rank:
        return np.full_like(tp, attention.cache_elements(shape))
    return 2 * kv_heads(shape, tp) * shape.head_dim


def _linear(
    gemms: tuple[Gemm, ...], layers: float, rows: FloatArray, weight: FloatArray, activation: FloatArray
) -> Part:
    """Demand of a list of matrices in a number of layers, equation (P1)."""
    if not layers or not gemms:
        return Part()
    return Part(
        flop=2 * layers * rows * products(gemms),
        weight_bytes=layers * elements(gemms) * weight,
        activation_bytes=layers * rows * widths(gemms) * activation,
        rows=rows,
        kernels=layers * len(gemms),
    )


def _together(*parts: Part) -> Part:
    """Sum of parts that run on the same rows."""
    rows = [part.rows for part in parts if part.kernels]
    summed = (sum(values) for values in zip(*parts, strict=True))
    return Part(*summed)._replace(rows=rows[0] if rows else 0.0)


def _attention_linear(shape: Shape, width: Width, share: Split) -> Part:
    """Projections of softmax, linear-attention and state-space layers."""
    softmax = shape.n_full_layers + shape.n_sliding_layers
    rows, weight, activation = share.rows, width.weight, width.activation
    return _together(
        _linear(attention_gemms(shape, share.tp), softmax, rows, weight, activation),
        _linear(linear_gemms(shape, share.tp), shape.n_linear_layers, rows, weight, activation),
        _linear(mamba_gemms(shape, share.tp), shape.n_mamba_layers, rows, weight, activation),
    )


def _attention_core(shape: Shape, width: Width, share: Split) -> Part:
    """Scores and weighted values of softmax layers; the cache is read once per pass and extended once."""
    new, cached = share.new, share.cached
    full = _core(
        shape,
        share,
        attention.full_layer_area(shape, new, cached),
        attention.attended_tokens(shape, new, cached),
    )
    windowed = _core(
        shape,
        share,
        attention.window_layer_area(shape, new, cached),
        np.minimum(cached, shape.sliding_window),
    )
    flop, values, tokens = (
        shape.n_full_layers * of_full + shape.n_sliding_layers * of_windowed
        for of_full, of_windowed in zip(full, windowed, strict=True)
    )
    requests = share.requests / share.cp
    return Part(
        flop=requests * flop,
        activation_bytes=requests * values * width.activation,
        kv_bytes=requests * tokens * cache_width(shape, share.tp) * width.kv + requests * _scores(shape, width, share),
        rows=share.rows,
        kernels=shape.n_full_layers + shape.n_sliding_layers,
    )


def _scores(shape: Shape, width: Width, share: Split) -> FloatArray | float:
    """Bytes of attention scores of one request in all layers: every head, every pair of tokens that the mask leaves."""
    if not width.score.any():
        return 0.0
    full = attention.full_layer_area(shape, share.new, share.cached)
    windowed = attention.window_layer_area(shape, share.new, share.cached)
    pairs = shape.n_full_layers * full + shape.n_sliding_layers * windowed
    return shape.n_heads / share.tp * pairs * width.score


def _core(
    shape: Shape, share: Split, area: FloatArray, attended: FloatArray
) -> tuple[FloatArray, FloatArray, FloatArray]:
    """FLOP, activation elements and cached tokens read and written, of one layer for one request."""
    heads = shape.n_heads / share.tp
    return (
        attention.core_flop(shape, heads, area, attended),
        attention.core_elements(shape, heads, share.new, area, attended),
        attended + share.new,
    )


def _indexer(shape: Shape, width: Width, share: Split) -> Part:
    """Selection of the tokens to attend to: projections, scores over all cached keys."""
    if not shape.index_n_heads:
        return Part()
    projections = _linear(indexer_gemms(shape), shape.n_full_layers, share.rows, width.weight, width.activation)
    requests = share.requests / share.cp * shape.n_full_layers
    area = attention.causal_area(share.new, share.cached)
    return projections._replace(
        flop=projections.flop + requests * attention.indexer_flop(shape, area),
        kv_bytes=requests * (share.cached + share.new) * shape.index_head_dim * width.index,
        kernels=projections.kernels + shape.n_full_layers,
    )


def _recurrent(shape: Shape, width: Width, share: Split) -> Part:
    """Recurrences: the state is read and written once per pass."""
    layers = shape.n_linear_layers + shape.n_mamba_layers
    if not layers:
        return Part()
    state = attention.recurrent_elements(shape) / share.tp
    return Part(
        flop=attention.RECURRENT_FLOP * state * share.rows,
        kv_bytes=2 * share.requests * state * width.state,
        rows=share.rows,
        kernels=layers,
    )


def _dense_ffn(shape: Shape, width: Width, share: Split) -> Part:
    """Dense FFNs."""
    gemms = ffn_gemms(shape, shape.intermediate, share.tp)
    return _linear(gemms, shape.n_dense_layers, share.rows, width.weight, width.activation)


def _router(shape: Shape, width: Width, share: Split) -> Part:
    """Routers."""
    return _linear(router_gemms(shape), shape.n_moe_layers, share.rows, width.embedding, width.activation)


def _routed_experts(shape: Shape, width: Width, share: Split) -> Part:
    """Routed experts: touched ones are read once, each token is computed k times somewhere."""
    if not shape.n_moe_layers:
        return Part()
    gemms = ffn_gemms(shape, shape.moe_intermediate, share.moe_tp, shape.expert_bias)
    touched = expected_experts(shape.n_experts, shape.experts_per_token, share.expert_tokens)
    copies = shape.experts_per_token * share.expert_tokens
    part = _linear(gemms, shape.n_moe_layers, copies / share.ep, width.expert, width.activation)
    return part._replace(
        weight_bytes=part.weight_bytes * touched / share.ep,
        rows=copies / np.where(touched > 0, touched, 1.0),
    )


def _shared_experts(shape: Shape, width: Width, share: Split) -> Part:
    """Shared experts, which every token meets."""
    gemms = shared_expert_gemms(shape, share.tp)
    return _linear(gemms, shape.n_moe_layers, share.rows, width.weight, width.activation)


def _lm_head(shape: Shape, width: Width, share: Split) -> Part:
    """Logits of the tokens that need them."""
    return _linear(head_gemms(shape, share.tp), 1, share.logit_rows, width.embedding, width.activation)


def _embedding(shape: Shape, width: Width, share: Split) -> Part:
    """Gather of one table row per token: bytes without FLOP."""
    row = share.rows * shape.hidden
    return Part(
        weight_bytes=row * width.embedding,
        activation_bytes=row * width.activation,
        rows=share.rows,
        kernels=1,
    )


PARTS: dict[str, Callable[[Shape, Width, Split], Part]] = {
    "attention_linear": _attention_linear,
    "attention_core": _attention_core,
    "indexer": _indexer,
    "recurrent": _recurrent,
    "dense_ffn": _dense_ffn,
    "router": _router,
    "routed_experts": _routed_experts,
    "shared_experts": _shared_experts,
    "lm_head": _lm_head,
    "embedding": _embedding,
}
"""Demand of each operator group."""
