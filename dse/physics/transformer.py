r"""What a transformer weighs, remembers and computes, before it meets any hardware.

Three counts carry everything that follows. *Parameters* say what must be stored and read; the *active* ones
say what one token multiplies with. *KV bytes* say what a request leaves behind per token. *FLOP* say what a
pass computes. Conventions: causal attention counts half the square; logits for the last token only; the input
embedding is a gather, not a product; multi-token-prediction layers are not counted.
"""

from typing import NamedTuple

import numpy as np

from dse.arrays import FloatArray
from dse.physics import attention
from dse.physics.operators import (
    attention_gemms,
    elements,
    ffn_gemms,
    indexer_gemms,
    linear_gemms,
    mamba_gemms,
    router_gemms,
    shared_expert_gemms,
)
from dse.physics.shape import Shape, shape

__all__ = [
    "Parameters",
    "Shape",
    "decode_flop",
    "kv_bytes",
    "kv_bytes_per_token",
    "parameters",
    "prefill_flop",
    "shape",
    "state_bytes",
    "state_elements",
]

_WHOLE = np.array(1.0)  # tensor parallelism of a model that is not divided


class Parameters(NamedTuple):
    """Parameters by operator, all layers together [1]."""

    attention: float
    """Projections of softmax attention, with biases, sinks and query/key norms."""
    indexer: float
    """Sparse-attention indexers."""
    recurrent: float
    """Linear-attention and state-space layers."""
    dense_ffn: float
    """Dense FFNs."""
    router: float
    """Routers."""
    routed_experts: float
    """All routed experts."""
    routed_active: float
    """Routed experts one token uses; a part of `routed_experts`."""
    shared_experts: float
    """Shared experts with their gates."""
    lm_head: float
    """The output matrix."""
    embedding: float
    """The input table; 0 if it is the LM head's."""
    norms: float
    """Norms of the residual stream."""
    vision: float
    """Vision tower, as published."""

    @property
    def text(self) -> float:
        """Everything the text model stores [1]."""
        return sum(self) - self.routed_active - self.vision

    @property
    def total(self) -> float:
        """Everything stored, vision included [1]."""
        return self.text + self.vision

    @property
    def active(self) -> float:
        """What one token meets: LM head yes, embedding look-up no [1]."""
        return self.text - self.routed_experts + self.routed_active - self.embedding

    @property
    def multiplied(self) -> float:
        """What one token multiplies with in matrix products: `active` without the norms [1]."""
        return self.active - self.norms


def parameters(shape: Shape) -> Parameters:
    r"""Parameters of a model, by operator.

    .. math:: P = \sum_{layers} (P_{att} + P_{ffn} + P_{norm}) + P_{emb} + P_{head}, \quad
              P_{active} = P - P_{emb} - (1 - k/E)\,P_{routed}                              (T1)

    Parameters
    ----------
    shape : Shape                      model

    Returns
    -------
    Parameters                         counts [1]

    Notes
    -----
    Within 2 % of the published totals of 25 models, most within 0.2 % (tests/physics/test_parameters.py).
    Source: published configurations; the operators' own sources stand in ``operators``.

    >>> llama = _example()
    >>> round(parameters(llama).total / 1e9, 2), round(parameters(llama).active / 1e9, 2)
    (8.03, 7.5)
    """
    softmax_layers = shape.n_full_layers + shape.n_sliding_layers
    expert = float(elements(ffn_gemms(shape, shape.moe_intermediate, _WHOLE, shape.expert_bias)))
    embedding = float(shape.vocab * shape.hidden)
    return Parameters(
        attention=softmax_layers * (float(elements(attention_gemms(shape, _WHOLE))) + _attention_vectors(shape)),
        indexer=shape.n_full_layers * (float(elements(indexer_gemms(shape))) + 2 * shape.index_head_dim),
        recurrent=shape.n_linear_layers * (float(elements(linear_gemms(shape, _WHOLE))) + _linear_vectors(shape))
        + shape.n_mamba_layers * (float(elements(mamba_gemms(shape, _WHOLE))) + _mamba_vectors(shape)),
        dense_ffn=shape.n_dense_layers * float(elements(ffn_gemms(shape, shape.intermediate, _WHOLE))),
        router=shape.n_moe_layers * float(elements(router_gemms(shape))),
        routed_experts=shape.n_moe_layers * shape.n_experts * expert,
        routed_active=shape.n_moe_layers * shape.experts_per_token * expert,
        shared_experts=shape.n_moe_layers * float(elements(shared_expert_gemms(shape, _WHOLE))),
        lm_head=embedding,
        embedding=0.0 if shape.tie_embeddings else embedding,
        norms=float(shape.hidden * (shape.norms_per_layer * shape.n_layers + 1)),
        vision=shape.vision_params,
    )


def kv_bytes_per_token(shape: Shape, kv: float = 2.0, index: float | None = None) -> float:
    r"""Bytes a request adds to the cache with every token, once its windows are full.

    .. math:: \kappa = n_{full}\,(2 g d_h \; \text{or} \; r + r_{rope})\,b_{kv} + n_{full}\,d_I\,b_{idx} (T2)

    Parameters
    ----------
    shape : Shape                      model
    kv : float                         width of cached keys and values, b_kv [B]
    index : float or None              width of cached indexer keys, b_idx [B]; None: as kv

    Returns
    -------
    float                              growth [B/tok]

    Notes
    -----
    Sliding and chunked layers stop growing at the window, recurrent layers never grow: `kv_bytes`,
    `state_bytes`. Layers may share an indexer (GLM-5.2), so its part is an upper bound. Source: as
    `attention_gemms`.

    >>> kv_bytes_per_token(_example())
    131072.0
    """
    indexer = shape.n_full_layers * shape.index_head_dim * (kv if index is None else index)
    return float(shape.n_full_layers * attention.cache_elements(shape) * kv + indexer)


def kv_bytes(shape: Shape, context: FloatArray, kv: float = 2.0, index: float | None = None) -> FloatArray:
    r"""Bytes of KV that a request of a given context holds.

    .. math:: KV(c) = \kappa\,c + n_{slide}\,2 g d_h\,b_{kv}\,\min(c, w)                    (T3)

    Parameters
    ----------
    shape : Shape                      model
    context : (n,) array               tokens in the cache c [tok]
    kv, index : float                  widths of keys and values, and of indexer keys [B]

    Returns
    -------
    (n,) array                         footprint [B], recurrent state not included

    >>> round(float(kv_bytes(_example(), np.array(131072.0))) / 1e9, 2)
    17.18
    """
    windowed = shape.n_sliding_layers * attention.cache_elements(shape) * kv
    bounded = np.minimum(context, shape.sliding_window)
    return np.asarray(kv_bytes_per_token(shape, kv, index) * context + windowed * bounded, float)


def state_elements(shape: Shape) -> float:
    r"""Elements of recurrent state of one request, whatever its context.

    .. math:: S = n_{lin}\,(h_v d_k d_v + (k_c - 1)(2 h_k d_k + h_v d_v))
                + n_{ssm}\,(h d_h N + (k_c - 1)(h d_h + 2 G N))                            (T4)

    The first part of each bracket is the state proper, the second the inputs the convolution still needs.

    Parameters
    ----------
    shape : Shape                      model

    Returns
    -------
    float                              elements [1]

    Notes
    -----
    Source: as `linear_gemms`, `mamba_gemms`.

    >>> state_elements(_example())
    0.0
    """
    return float(attention.recurrent_elements(shape))


def state_bytes(shape: Shape, state: float = 2.0) -> float:
    """Bytes of recurrent state of one request: elements times their width, whatever the KV width [B].

    >>> state_bytes(_example())
    0.0
    """
    return state_elements(shape) * state


def decode_flop(shape: Shape, context: FloatArray) -> FloatArray:
    r"""FLOP of one decoded token at a given context.

    .. math:: F = 2 P_{active} + F_{att}(a = 1, p = c - 1/2)                              (T5)

    Parameters
    ----------
    shape : Shape                      model
    context : (n,) array               tokens attended to, c [tok]

    Returns
    -------
    (n,) array                         work [FLOP/tok]

    Notes
    -----
    The half token makes the area of (A1) exactly c. Norms are no matrix products and are left out (0.004 %).
    Source: Kaplan et al. 2020, section 2.1.

    >>> round(float(decode_flop(_example(), np.array(2048.0))) / 1e10, 5)
    1.60831
    """
    centre = context - 1 / 2
    return 2 * parameters(shape).multiplied + attention.attention_flop(shape, np.array(1.0), centre)


def prefill_flop(shape: Shape, new: FloatArray, cached: FloatArray) -> FloatArray:
    r"""FLOP of a prefill of a new tokens on p cached ones, logits of the last token only.

    .. math:: F = 2 (P_{active} - V d)\,a + 2 V d + F_{att}(a, p)                          (T6)

    Parameters
    ----------
    shape : Shape                      model
    new : (n,) array                   tokens computed, a [tok]
    cached : (n,) array                tokens whose KV is there already, p [tok]

    Returns
    -------
    (n,) array                         work per request [FLOP]

    Notes
    -----
    Source: as `decode_flop`; the joint moment E[a p] matters, not the product of means (98 % reuse).

    >>> round(float(prefill_flop(_example(), np.array(2048.0), np.array(0.0))) / 1e13, 3)
    2.969
    """
    counts = parameters(shape)
    per_token = 2 * (counts.multiplied - counts.lm_head)
    return per_token * new + 2 * counts.lm_head + attention.attention_flop(shape, new, cached)


def _attention_vectors(shape: Shape) -> float:
    """Elements of one layer's attention that are no matrix: sinks, norms of queries, keys or latents."""
    latent = shape.q_lora_rank + shape.kv_lora_rank
    return shape.n_heads * shape.attention_sinks + shape.qk_norm_width + latent


def _linear_vectors(shape: Shape) -> float:
    """Decay and step bias per value head, and the output norm."""
    return 2 * shape.linear_v_heads + shape.linear_v_dim


def _mamba_vectors(shape: Shape) -> float:
    """Decay, skip and step bias per head (A, D and dt), and the output norm."""
    return (1 + 2) * shape.mamba_heads + shape.mamba_heads * shape.mamba_head_dim


def _example() -> Shape:
    """Llama-3-8B, the example of the docstrings."""
    return shape(
        n_layers=32, hidden=4096, vocab=128256, n_heads=32, n_kv_heads=8, head_dim=128, intermediate=14336
    )  # fmt: skip
