r"""How a load is divided over the devices of an instance.

.. math:: B_{rank} = \max(B/dp,\; \min(B, 1)), \qquad M = B_{rank}\,a / cp, \qquad T = B\,a / cp         (L1)

A rank cannot hold half a request: with fewer requests than attention-DP ranks, one rank has a whole one and
sets the pace. Context parallelism deals the new and cached tokens of every request to ``cp`` ranks; each of
them has its own copy of the weights and its own expert group.
"""

from typing import NamedTuple

import numpy as np

from dse.arrays import FloatArray
from dse.physics.demand import Load, Mapping, Precision


class Width(NamedTuple):
    """The widths of `Precision` as arrays that broadcast to (n,) [B]."""

    weight: FloatArray
    expert: FloatArray
    kv: FloatArray
    activation: FloatArray
    embedding: FloatArray
    index: FloatArray  # type: ignore[assignment]  # hides tuple.index, which nobody needs here
    state: FloatArray
    message: FloatArray
    score: FloatArray


class Split(NamedTuple):
    """Degrees and loads as arrays that broadcast to (n,)."""

    tp: FloatArray
    """Tensor parallelism [devices]."""
    pp: FloatArray
    """Pipeline stages [devices]."""
    attention_dp: FloatArray
    """Attention-DP ranks [devices]."""
    moe_tp: FloatArray
    """Tensor parallelism of an expert [devices]."""
    ep: FloatArray
    """Expert ranks [devices]."""
    cp: FloatArray
    """Context ranks [devices]."""
    requests: FloatArray
    """Requests of the busiest attention rank [1]."""
    new: FloatArray
    """New tokens per request [tok]."""
    cached: FloatArray
    """Cached tokens per request [tok]."""
    rows: FloatArray
    """New tokens on a device, M [tok]."""
    logit_rows: FloatArray
    """Tokens on a device that need logits [tok]."""
    expert_tokens: FloatArray
    """Tokens that one expert group sees, T [tok]."""


def split(mapping: Mapping, load: Load) -> Split:
    """Divide a load over the devices of a mapping, equation (L1).

    Parameters
    ----------
    mapping : Mapping                  degrees of parallelism [devices]
    load : Load                        requests [1] and tokens [tok] of a pass

    Returns
    -------
    Split                              what the busiest device has

    >>> share = split(Mapping(attention_dp=8, ep=8), Load(requests=[4, 64], new_tokens=1, cached_tokens=0))
    >>> share.rows.tolist(), share.expert_tokens.tolist()
    ([1.0, 8.0], [4.0, 64.0])
    """
    tp, pp, attention_dp, moe_tp, ep, cp = (np.asarray(degree, float) for degree in mapping)
    total, new, cached, logit_tokens = (np.asarray(count, float) for count in load)
    requests = np.maximum(total / attention_dp, np.minimum(total, 1.0))
    return Split(
        tp=tp, pp=pp, attention_dp=attention_dp, moe_tp=moe_tp, ep=ep, cp=cp,
        requests=requests, new=new, cached=cached,
        rows=requests * new / cp,
        logit_rows=requests * logit_tokens,
        expert_tokens=total * new / cp,
    )  # fmt: skip


def width(precision: Precision) -> Width:
    """Widths as arrays.

    >>> float(width(Precision(1, 0.5, 1, 2)).expert)
    0.5
    """
    return Width(*(np.asarray(value, float) for value in precision))
