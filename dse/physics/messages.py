r"""What the devices of an instance send each other during one pass: counts and bytes, no seconds.

Tensor parallelism reduces partial sums over ``tp`` after each mixer and each FFN. Experts need tokens to move
only when the attention ranks hold different ones (attention-DP); without it every rank of the instance has
all tokens, computes its own experts and the usual reduction adds them up. A reduction around dispatch and
combine is the same bytes as its two halves (reduce-scatter before, all-gather after), and is counted as one.
"""

from collections.abc import Callable

import numpy as np

from dse.arrays import BoolArray, FloatArray, IntArray
from dse.physics import attention
from dse.physics.demand import Communication, Message
from dse.physics.operators import kv_heads
from dse.physics.shape import Shape
from dse.physics.split import Split, Width


def communication(shape: Shape, width: Width, share: Split, n: tuple[int, ...]) -> Communication:
    r"""Messages of one pass.

    .. math:: m_{reduce} = M d\,b_{msg}, \quad m_{dispatch} = M d\,b_a\,t_e / t, \quad
              m_{combine} = M d\,b_{msg}\,t_e / t, \quad m_{p2p} = M d\,b_{msg} / t                (C1)

    Parameters
    ----------
    shape : Shape                      model
    width : Width                      widths of activations and messages [B]
    share : Split                      degrees and rows M of the busiest device
    n : tuple of int                   shape of the result

    Returns
    -------
    Communication                      counts [1] and bytes per member [B], (n,)

    Notes
    -----
    A token copy sent to an expert reaches all ``moe_tp`` devices that hold it. Over ``tp`` ranks the tokens
    of an attention rank are dealt out before they are sent (dispatch, stage boundary). Sources: Shoeybi et
    al. 2019, section 3; DeepSeek-V3 2024, section 3.4; DeepEP for fp8 dispatch and bf16 combine.

    >>> from dse.physics.demand import Load, Mapping, Precision
    >>> from dse.physics.split import split, width
    >>> model = Shape(n_layers=80, hidden=8192, vocab=128256, n_heads=64, n_kv_heads=8, head_dim=128,
    ...               n_full_layers=80, n_dense_layers=80)
    >>> share = split(Mapping(tp=8), Load(32, 1, 4096))
    >>> sent = communication(model, width(Precision(2, 2, 2, 2)), share, (1,))
    >>> sent.all_reduce.count.tolist(), sent.all_reduce.size.tolist()
    ([161.0], [524288.0])
    """
    hidden = share.rows * shape.hidden
    message = hidden * width.message
    gathers = (share.attention_dp > 1) & (share.ep == 1)
    scatters = (share.attention_dp > 1) & (share.ep > 1)
    sent = _sender(n)
    return Communication(
        all_reduce=sent(_reductions(shape, share) * (share.tp > 1), message),
        all_gather=sent(share.tp > 1, share.logit_rows * shape.vocab / share.tp * width.message),
        expert_gather=sent(2 * shape.n_moe_layers * gathers, message / share.tp),
        dispatch=sent(shape.n_moe_layers * scatters, hidden * width.activation * share.moe_tp / share.tp),
        combine=sent(shape.n_moe_layers * scatters, message * share.moe_tp / share.tp),
        context=sent(_softmax_layers(shape) * (share.cp > 1), _context_bytes(shape, width, share)),
        p2p=sent(share.pp - 1, message / share.tp),
    )


def _sender(n: tuple[int, ...]) -> Callable[[FloatArray | IntArray | BoolArray, FloatArray], Message]:
    """Maker of messages of one shape; a message that is not sent has no size."""

    def sent(count: FloatArray | IntArray | BoolArray, size: FloatArray) -> Message:
        present = np.asarray(count, float)
        sizes = np.where(present > 0, size, 0.0)
        return Message(np.array(np.broadcast_to(present, n)), np.array(np.broadcast_to(sizes, n)))

    return sent


def _softmax_layers(shape: Shape) -> int:
    """Layers with softmax attention."""
    return shape.n_full_layers + shape.n_sliding_layers


def _reductions(shape: Shape, share: Split) -> FloatArray:
    """Reductions over tp: every mixer, every dense FFN, the embedding; experts where tokens do not move."""
    mixers = _softmax_layers(shape) + shape.n_linear_layers + shape.n_mamba_layers
    always = mixers + shape.n_dense_layers + 1
    shared = shape.n_moe_layers * bool(shape.shared_intermediate)
    return always + np.where(share.attention_dp > 1, shared, shape.n_moe_layers)


def _context_bytes(shape: Shape, width: Width, share: Split) -> FloatArray:
    r"""Bytes a context rank contributes per layer: queries and partial outputs, or keys and values.

    .. math:: m = \min(M h_{dev}\,(d_{query} + d_{out})\,b_{msg},\; B_{rank}\,\kappa_{layer}\,(p + a)/cp) (C2)

    Few new tokens on a long prefix move queries; many move keys and values. Source: Yang et al. 2024, section
    3.
    """
    heads = shape.n_heads / share.tp
    if shape.kv_lora_rank:
        query, cache = 2 * shape.kv_lora_rank + shape.qk_rope_head_dim, float(attention.cache_elements(shape))
        queries = share.rows * heads * query * width.message
        held = share.requests * (share.cached + share.new) / share.cp * cache * width.kv
        return np.minimum(queries, held)
    queries = share.rows * heads * 2 * shape.head_dim * width.message
    cached = 2 * kv_heads(shape, share.tp) * shape.head_dim * width.kv
    return np.minimum(queries, share.requests * (share.cached + share.new) / share.cp * cached)
