r"""The matrix products of a transformer layer, as one device holds them.

Every linear operator is a list of `Gemm`: a weight of k x n elements that M rows meet. Parameters, FLOP,
weight bytes and activation bytes all follow from the same list,

.. math:: F = 2 M \sum k n, \quad Q_w = b_w \sum k n, \quad Q_a = b_a M \sum (k + n)        (O1)

so that they cannot disagree. Tensor parallelism enters here and nowhere else: heads and FFN columns are
divided; key/value heads are divided until one is left, then replicated; what produces a latent that every
head needs (MLA down-projections, the indexer, the router) is replicated.
"""

from typing import NamedTuple

import numpy as np

from dse.arrays import FloatArray
from dse.physics.shape import Shape


class Gemm(NamedTuple):
    """One weight matrix of a layer on one device."""

    inputs: FloatArray | float
    """Columns summed over, k [1]."""
    outputs: FloatArray | float
    """Columns produced, n [1]."""
    bias: float = 0.0
    """1 if a bias of n elements is added."""


def products(gemms: tuple[Gemm, ...]) -> FloatArray:
    """Multiply-adds of one row through a list of matrices, the sum of k n [1].

    >>> float(products((Gemm(4.0, 8.0), Gemm(8.0, 4.0))))
    64.0
    """
    return np.asarray(sum(gemm.inputs * gemm.outputs for gemm in gemms), float)


def elements(gemms: tuple[Gemm, ...]) -> FloatArray:
    """Stored elements of a list of matrices with their biases [1].

    >>> float(elements((Gemm(4.0, 8.0, bias=1.0),)))
    40.0
    """
    return np.asarray(sum(gemm.outputs * (gemm.inputs + gemm.bias) for gemm in gemms), float)


def widths(gemms: tuple[Gemm, ...]) -> FloatArray:
    """Activation elements one row reads and writes, the sum of k + n [1].

    >>> float(widths((Gemm(4.0, 8.0), Gemm(8.0, 4.0))))
    24.0
    """
    return np.asarray(sum(gemm.inputs + gemm.outputs for gemm in gemms), float)


def kv_heads(shape: Shape, tp: FloatArray) -> FloatArray:
    r"""Key/value heads on one device.

    .. math:: g_{dev} = \max(g / t,\; 1), \qquad \rho_{kv} = g_{dev}\,t / g = \max(1, t/g)  (O2)

    Parameters
    ----------
    shape : Shape                      model
    tp : (n,) array                    tensor parallelism t [devices]

    Returns
    -------
    (n,) array                         heads [1]; dividing below one head would lose the cache (4 heads on
                                       8 devices), so engines replicate it

    >>> kv_heads(Shape(1, 8, 8, n_heads=8, n_kv_heads=4, head_dim=1), np.array([2.0, 8.0]))
    array([2., 1.])
    """
    return np.maximum(shape.n_kv_heads / tp, 1.0)


def attention_gemms(shape: Shape, tp: FloatArray) -> tuple[Gemm, ...]:
    r"""Projections of one softmax-attention layer.

    Grouped-query: queries, keys and values in one matrix, then the output. MLA: both down-projections in one
    matrix (replicated), queries up, keys and values up, output. The up-projection of keys and values costs
    a token :math:`2 r h (d_{nope} + d_v)` FLOP whether it is applied to the latent or absorbed into query and
    output, so one list serves both forms.

    Parameters
    ----------
    shape : Shape                      model
    tp : (n,) array                    tensor parallelism [devices]

    Returns
    -------
    tuple of Gemm                      matrices on one device

    Notes
    -----
    Sources: Ainslie et al. 2023 (GQA), section 2; DeepSeek-V2 2024, section 2.1 and appendix C (MLA).

    >>> llama = Shape(32, 4096, 128256, n_heads=32, n_kv_heads=8, head_dim=128)
    >>> float(products(attention_gemms(llama, np.array(1.0))))
    41943040.0
    """
    heads = shape.n_heads / tp
    if shape.kv_lora_rank:
        query_width = shape.qk_nope_head_dim + shape.qk_rope_head_dim
        latent = shape.kv_lora_rank + shape.qk_rope_head_dim
        return (
            Gemm(shape.hidden, shape.q_lora_rank + latent),
            Gemm(shape.q_lora_rank or shape.hidden, heads * query_width),
            Gemm(shape.kv_lora_rank, heads * (shape.qk_nope_head_dim + shape.v_head_dim)),
            Gemm(heads * shape.v_head_dim, shape.hidden),
        )
    query_heads = heads * (1 + shape.gated_attention)
    return (
        Gemm(shape.hidden, (query_heads + 2 * kv_heads(shape, tp)) * shape.head_dim, shape.qkv_bias),
        Gemm(heads * shape.head_dim, shape.hidden, shape.o_bias),
    )


def indexer_gemms(shape: Shape) -> tuple[Gemm, ...]:
    """Projections of a sparse-attention indexer: queries, one shared key, one weight per head; replicated.

    Source: DeepSeek-V3.2 2025, section 2.1; engines replicate it because every rank needs the same selection.

    >>> sparse = Shape(1, 7168, 8, q_lora_rank=1536, index_n_heads=64, index_head_dim=128)
    >>> round(float(products(indexer_gemms(sparse))) / 1e6, 2)
    13.96
    """
    if not shape.index_n_heads:
        return ()
    return (
        Gemm(shape.q_lora_rank or shape.hidden, shape.index_n_heads * shape.index_head_dim),
        Gemm(shape.hidden, shape.index_head_dim),
        Gemm(shape.hidden, shape.index_n_heads),
    )


def linear_gemms(shape: Shape, tp: FloatArray) -> tuple[Gemm, ...]:
    """Projections and short convolution of one gated-delta-rule layer.

    In: query, key, value, output gate, and two scalars per value head (decay, step). The depthwise
    convolution over query, key and value is a matrix with as many rows as taps. Out: values to the residual
    stream. Source: Yang et al. 2024 (Gated Delta Networks), section 3.4; transformers, Qwen3-Next.

    >>> qwen = Shape(1, 2048, 8, linear_k_heads=16, linear_v_heads=32, linear_k_dim=128, linear_v_dim=128,
    ...              linear_conv=4)
    >>> round(float(products(linear_gemms(qwen, np.array(1.0)))) / 1e6, 2)
    33.72
    """
    keys = shape.linear_k_heads * shape.linear_k_dim / tp
    values = shape.linear_v_heads * shape.linear_v_dim / tp
    return (
        Gemm(shape.hidden, 2 * keys + 2 * values + 2 * shape.linear_v_heads / tp),
        Gemm(shape.linear_conv, 2 * keys + values),
        Gemm(values, shape.hidden),
    )


def mamba_gemms(shape: Shape, tp: FloatArray) -> tuple[Gemm, ...]:
    """Projections and short convolution of one state-space layer.

    In: values, output gate, B and C of each group, one step per head. Groups are divided until one is left.
    Source: Dao and Gu 2024 (Mamba-2), section 7.

    >>> nemotron = Shape(1, 8192, 8, mamba_heads=256, mamba_head_dim=64, mamba_groups=8, mamba_state=256,
    ...                  mamba_conv=4)
    >>> round(float(products(mamba_gemms(nemotron, np.array(1.0)))) / 1e6, 1)
    438.4
    """
    values = shape.mamba_heads * shape.mamba_head_dim / tp
    controls = 2 * np.maximum(shape.mamba_groups / tp, 1.0) * shape.mamba_state
    return (
        Gemm(shape.hidden, 2 * values + controls + shape.mamba_heads / tp),
        Gemm(shape.mamba_conv, values + controls, 1),
        Gemm(values, shape.hidden),
    )


def ffn_gemms(shape: Shape, width: float, tp: FloatArray, bias: float = 0.0) -> tuple[Gemm, ...]:
    """Up (and gate) and down matrices of an FFN of the given width.

    >>> float(products(ffn_gemms(Shape(1, 4096, 8), 14336, np.array(1.0))))
    176160768.0
    """
    columns = width / tp
    return (
        Gemm(shape.hidden, (shape.ffn_matrices - 1) * columns, bias),
        Gemm(columns, shape.hidden, bias),
    )


def shared_expert_gemms(shape: Shape, tp: FloatArray) -> tuple[Gemm, ...]:
    """Matrices of the shared experts of a layer, with their gate where they have one.

    >>> shared_expert_gemms(Shape(1, 8, 8), np.array(1.0))
    ()
    """
    if not shape.shared_intermediate:
        return ()
    gate = (Gemm(shape.hidden, 1),) if shape.shared_gate else ()
    return ffn_gemms(shape, shape.shared_intermediate, tp) + gate


def router_gemms(shape: Shape) -> tuple[Gemm, ...]:
    """The router's matrix, replicated: every rank routes its own tokens.

    >>> float(products(router_gemms(Shape(1, 8, 8, n_experts=4))))
    32.0
    """
    return (Gemm(shape.hidden, shape.n_experts, shape.expert_bias),)


def head_gemms(shape: Shape, tp: FloatArray) -> tuple[Gemm, ...]:
    """The LM head, its vocabulary divided over tensor parallel ranks.

    >>> float(products(head_gemms(Shape(1, 4096, 128256), np.array(1.0))))
    525336576.0
    """
    return (Gemm(shape.hidden, shape.vocab / tp),)
