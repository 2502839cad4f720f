r"""Demand of one pass of a model, split over devices.

`pass_work` turns (model, widths, mapping, load) into FLOP, bytes and messages per device and operator group;
`ledger` says what the fullest device must hold. Both are one vectorized step over n rows of mappings and
loads: the only loop runs over the operator groups.

How a model is divided
    Everything but the routed experts is divided by ``tp`` and repeated on every attention-DP and CP rank;
    routed experts are divided by ``moe_tp`` and dealt to ``ep`` ranks. Key/value heads are divided until one
    is left, MLA latents and the indexer are repeated. Layers are dealt to ``pp`` stages; one microbatch
    meets all of them, so the work of a pass does not depend on ``pp`` but its residency does.
How a load is divided
    Requests go to attention-DP ranks; the busiest rank has ``max(B / dp, min(B, 1))`` of them. The tokens of
    a request, new and cached, go to CP ranks. Experts see the tokens of all attention-DP ranks.
Sources
    Megatron-LM (Shoeybi et al. 2019) for tensor parallelism, DeepSeek-V3 (2024, section 3.4) for attention-DP
    with expert parallelism, Yang et al. 2024 (context parallelism for inference) for the two ways of CP.
"""

import numpy as np

from dse.arrays import FloatArray
from dse.physics import attention
from dse.physics.demand import (
    GROUPS,
    Communication,
    Ledger,
    Load,
    Mapping,
    Message,
    Precision,
    Work,
)
from dse.physics.messages import communication
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
from dse.physics.parts import PARTS, cache_width, expected_experts
from dse.physics.shape import Shape
from dse.physics.split import Split, split, width

__all__ = [
    "GROUPS",
    "Communication",
    "Ledger",
    "Load",
    "Mapping",
    "Message",
    "Precision",
    "Work",
    "expected_experts",
    "ledger",
    "pass_work",
]


def pass_work(shape: Shape, precision: Precision, mapping: Mapping, load: Load) -> Work:
    r"""Demand of one pass on the busiest device, by operator group.

    .. math:: F = \sum_o F_o, \qquad Q = \sum_o (Q_{w,o} + Q_{a,o} + Q_{kv,o})                  (W1)

    over the operator groups o, whose terms are in ``parts``.

    Parameters
    ----------
    shape : Shape                      model
    precision : Precision              widths [B]
    mapping : Mapping                  degrees of parallelism [devices], (n,) or numbers
    load : Load                        requests [1] and tokens [tok], (n,) or numbers

    Returns
    -------
    Work                               arrays (G, n) in the order of `GROUPS` and messages (n,)

    Notes
    -----
    ``moe_tp * ep = tp * attention_dp`` is the caller's duty for MoE models; dense models ignore both. Norms,
    rotary embedding, activation functions and the softmax are fused into their neighbours or are small: their
    time belongs to the fitted overhead of a layer, their FLOP and bytes are not counted.

    >>> one = pass_work(_example(), Precision(2, 2, 2, 2), Mapping(), Load(1, 1, 2048))
    >>> moved = one.weight_bytes + one.kv_bytes
    >>> round(float(one.flop.sum()) / 1e10, 3), round(float(moved.sum()) / 1e10, 3)
    (1.608, 1.528)
    """
    share = split(mapping, load)
    widths = width(precision)
    parts = [PARTS[group](shape, widths, share) for group in GROUPS]
    n = np.broadcast_shapes(*(np.shape(value) for value in (*precision, *mapping, *load)), (1,))
    return Work(
        flop=_stack([part.flop for part in parts], n),
        weight_bytes=_stack([part.weight_bytes for part in parts], n),
        activation_bytes=_stack([part.activation_bytes for part in parts], n),
        kv_bytes=_stack([part.kv_bytes for part in parts], n),
        rows=_stack([part.rows for part in parts], n),
        kernels=_stack([part.kernels for part in parts], n),
        communication=communication(shape, widths, share, n),
    )


def ledger(shape: Shape, precision: Precision, mapping: Mapping) -> Ledger:
    r"""Bytes one device of the fullest stage must hold.

    .. math:: W = s\,(b_w P_{layer}/t + b_e P_{routed}/(t_e\,ep)) + b_{emb} V d / t,
              \quad s = \lceil L / pp \rceil                                              (W2)

    Parameters
    ----------
    shape : Shape                      model
    precision : Precision              widths [B]
    mapping : Mapping                  degrees of parallelism, (n,) or numbers [devices]

    Returns
    -------
    Ledger                             weights, and KV and state per request of the device's attention rank

    Notes
    -----
    A stage has ``ceil(L / pp)`` layers. Layer kinds that alternate are spread evenly over the stages; leading
    dense layers of an MoE model lie in the first ones, so the fullest stage is a later one. With ``pp > 1``
    the first stage holds the embedding, the last the LM head. A device holds ``B / attention_dp`` requests.

    >>> book = ledger(_example(), Precision(2, 2, 2, 2), Mapping(tp=[1, 8, 16]))
    >>> (book.weights_bytes / 1e9).round(2).tolist(), book.kv_bytes_per_token.tolist()
    ([16.06, 2.01, 1.04], [131072.0, 16384.0, 16384.0])
    """
    share = split(mapping, Load(0, 0, 0))
    widths = width(precision)
    n = np.broadcast_shapes(*(np.shape(value) for value in (*precision, *mapping)), (1,))
    layers = np.ceil(shape.n_layers / share.pp)
    part = layers / shape.n_layers
    routed = np.minimum(layers, shape.n_moe_layers) if shape.first_k_dense else shape.n_moe_layers * part
    dense = layers - routed if shape.first_k_dense else shape.n_dense_layers * part
    expert = elements(ffn_gemms(shape, shape.moe_intermediate, share.moe_tp, shape.expert_bias))
    weights = (
        part * shape.hidden * shape.norms_per_layer * shape.n_layers * widths.embedding
        + part * _mixers(shape, share.tp) * widths.weight
        + dense * elements(ffn_gemms(shape, shape.intermediate, share.tp)) * widths.weight
        + routed * elements(shared_expert_gemms(shape, share.tp)) * widths.weight
        + routed * elements(router_gemms(shape)) * widths.embedding
        + routed * shape.n_experts / share.ep * expert * widths.expert
        + _tables(shape, share) * widths.embedding
    )
    cached = cache_width(shape, share.tp) * widths.kv / share.cp
    index = shape.index_head_dim * widths.index / share.cp
    state = attention.recurrent_elements(shape) / share.tp * widths.state
    return Ledger(
        weights_bytes=_column(weights, n),
        kv_bytes_per_token=_column(part * shape.n_full_layers * (cached + index), n),
        window_bytes_per_token=_column(part * shape.n_sliding_layers * cached, n),
        state_bytes=_column(part * state, n),
    )


def _mixers(shape: Shape, tp: FloatArray) -> FloatArray:
    """Elements of everything in the layers that mixes tokens, on one device."""
    softmax = (shape.n_full_layers + shape.n_sliding_layers) * elements(attention_gemms(shape, tp))
    return (
        softmax
        + shape.n_full_layers * elements(indexer_gemms(shape))
        + shape.n_linear_layers * elements(linear_gemms(shape, tp))
        + shape.n_mamba_layers * elements(mamba_gemms(shape, tp))
    )


def _tables(shape: Shape, share: Split) -> FloatArray:
    """Elements of embedding and LM head on one device of the fullest stage."""
    table = shape.vocab * shape.hidden / share.tp
    return np.where(share.pp > 1, table, table * (2 - shape.tie_embeddings))


def _column(value: FloatArray, n: tuple[int, ...]) -> FloatArray:
    """Array of the shape of the call."""
    return np.array(np.broadcast_to(value, n))


def _stack(column: list[FloatArray | float], n: tuple[int, ...]) -> FloatArray:
    """Array (G, n) from one value per group."""
    stacked = np.empty((len(column), *n))
    for group, value in enumerate(column):
        stacked[group] = value
    return stacked


def _example() -> Shape:
    """Llama-3-8B, the example of the docstrings."""
    return Shape(
        n_layers=32, hidden=4096, vocab=128256, n_heads=32, n_kv_heads=8, head_dim=128, intermediate=14336,
        n_full_layers=32, n_dense_layers=32,
    )  # fmt: skip
