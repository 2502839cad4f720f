"""The shape of a transformer: the plain numbers of its published configuration, absent ones 0.

A shape says nothing of weights' widths, hardware or load; everything else in the transformer files is
arithmetic on it. Layers are counted by what they contain, because real models mix kinds: full, sliding,
chunked and linear attention, state-space layers, layers that are only an FFN, dense and mixture-of-experts
FFNs.
"""

from collections.abc import Mapping
from typing import NamedTuple

FFN_MATRICES = 3
"""Gate, up and down of a gated FFN (SwiGLU); an ungated one has two [1]. Source: Shazeer 2020, section 2."""

NORMS_PER_LAYER = 2
"""One before attention, one before the FFN; Gemma 3 has four, layers of a single part one [1]."""


class Shape(NamedTuple):
    """Architecture of one model; names as in published configurations where they have one."""

    n_layers: int
    """Layers of any kind."""
    hidden: int
    """Width of the residual stream d."""
    vocab: int
    """Rows of the embedding table V."""
    tie_embeddings: int = 0
    """1 if the LM head is the embedding table."""
    n_heads: int = 0
    """Query heads h."""
    n_kv_heads: int = 0
    """Key/value heads g; without meaning in MLA."""
    head_dim: int = 0
    """Width of a head d_h."""
    q_lora_rank: int = 0
    """MLA: rank of the query compression, 0 if queries are not compressed."""
    kv_lora_rank: int = 0
    """MLA: width r of the cached latent; 0 means the model is not MLA."""
    qk_rope_head_dim: int = 0
    """MLA: width of the shared rotary key."""
    qk_nope_head_dim: int = 0
    """MLA: width of the rest of a key."""
    v_head_dim: int = 0
    """MLA: width of a value."""
    gated_attention: int = 0
    """1 if the query projection also makes an output gate (Qwen3-Next)."""
    qkv_bias: int = 0
    """1 if the query, key and value projections have a bias."""
    o_bias: int = 0
    """1 if the output projection has a bias."""
    attention_sinks: int = 0
    """1 if each head has a learned sink (gpt-oss)."""
    qk_norm_width: int = 0
    """Elements of the norms on queries and keys of one layer."""
    n_full_layers: int = 0
    """Layers with full attention."""
    n_sliding_layers: int = 0
    """Layers whose attention is bounded by the window."""
    sliding_window: int = 0
    """Tokens of the window (or of the chunk) w."""
    chunked: int = 0
    """1 if the window is a chunk that starts anew (Llama 4), 0 if it slides."""
    n_linear_layers: int = 0
    """Layers with gated-delta-rule linear attention."""
    linear_k_heads: int = 0
    """Linear attention: key heads."""
    linear_v_heads: int = 0
    """Linear attention: value heads."""
    linear_k_dim: int = 0
    """Linear attention: width of a key head."""
    linear_v_dim: int = 0
    """Linear attention: width of a value head."""
    linear_conv: int = 0
    """Linear attention: taps of the short convolution."""
    n_mamba_layers: int = 0
    """State-space layers (Mamba-2)."""
    mamba_heads: int = 0
    """State space: heads."""
    mamba_head_dim: int = 0
    """State space: width of a head."""
    mamba_groups: int = 0
    """State space: groups that share B and C."""
    mamba_state: int = 0
    """State space: state per channel N."""
    mamba_conv: int = 0
    """State space: taps of the short convolution."""
    index_n_heads: int = 0
    """Sparse attention: heads of the indexer H_I; 0 means attention is dense."""
    index_head_dim: int = 0
    """Sparse attention: width of an indexer head d_I."""
    index_topk: int = 0
    """Sparse attention: tokens a query attends to."""
    n_dense_layers: int = 0
    """Layers with a dense FFN."""
    intermediate: int = 0
    """Width m of the dense FFN."""
    ffn_matrices: int = FFN_MATRICES
    """Matrices of an FFN: 3 gated, 2 not."""
    n_moe_layers: int = 0
    """Layers with a mixture of experts."""
    first_k_dense: int = 0
    """Leading layers that are dense in an MoE model."""
    n_experts: int = 0
    """Routed experts E of a layer."""
    experts_per_token: int = 0
    """Routed experts k that a token uses."""
    moe_intermediate: int = 0
    """Width of a routed expert."""
    shared_intermediate: int = 0
    """Width of all shared experts of a layer together."""
    shared_gate: int = 0
    """1 if the shared expert has a gate of its own."""
    expert_bias: int = 0
    """1 if experts and router have biases."""
    norms_per_layer: int = NORMS_PER_LAYER
    """Norms of width d in a layer."""
    vision_params: float = 0.0
    """Parameters of a vision tower, outside the text model."""


def shape(**fields: object) -> Shape:
    """Shape of a model from its catalog fields, `None` meaning absent.

    Parameters
    ----------
    **fields : object
        The architecture fields of a catalog entry by name. ``linear`` and ``mamba`` are mappings. Fields that
        do not describe the architecture (name, sources, prices of nothing) are not looked at.

    Returns
    -------
    Shape
        Layer counts that a configuration leaves implicit are filled in: what is not sliding, linear,
        state-space or FFN-only is full attention; what is not MoE is dense.

    Examples
    --------
    >>> s = shape(n_layers=32, hidden=4096, vocab=128256, n_heads=32, n_kv_heads=8, head_dim=128,
    ...           intermediate=14336, n_experts=None)
    >>> s.n_full_layers, s.n_dense_layers, s.n_moe_layers
    (32, 32, 0)
    """
    given = {name: value for name, value in fields.items() if value is not None}
    layers = _count(given, "n_layers")
    other = sum(_count(given, f"n_{kind}_layers") for kind in ("sliding", "linear", "mamba", "mlp"))
    n_experts = _count(given, "n_experts")
    first_k_dense = _count(given, "first_k_dense")
    n_moe = _count(given, "n_moe_layers", layers - first_k_dense) if n_experts else 0
    moe_width = _count(given, "moe_intermediate")
    single = bool(_count(given, "n_mlp_layers"))
    return Shape(
        **{name: _count(given, name) for name in _SAME_NAME},
        n_full_layers=_count(given, "n_full_attention_layers", layers - other),
        sliding_window=_count(given, "sliding_window", _count(given, "attention_chunk_size")),
        chunked=int("attention_chunk_size" in given),
        qk_norm_width=2 * _count(given, "head_dim") * _count(given, "qk_norm"),
        index_n_heads=_count(given, "dsa_index_n_heads"),
        index_head_dim=_count(given, "dsa_index_head_dim"),
        index_topk=_count(given, "dsa_index_topk"),
        **_prefixed(given.get("linear"), _LINEAR),
        **_prefixed(given.get("mamba"), _MAMBA),
        n_dense_layers=_count(given, "n_mlp_layers", layers - n_moe),
        ffn_matrices=FFN_MATRICES - int(str(given.get("mlp", "")).startswith("relu2")),
        n_moe_layers=n_moe,
        first_k_dense=first_k_dense if n_experts else 0,
        shared_intermediate=_count(given, "shared_intermediate", _count(given, "n_shared_experts") * moe_width),
        norms_per_layer=_count(given, "norms_per_layer", 1 if single else NORMS_PER_LAYER),
        vision_params=float(_count(given, "vision_params")),
    )


_SAME_NAME = (
    "n_layers", "hidden", "vocab", "tie_embeddings", "n_heads", "n_kv_heads", "head_dim", "q_lora_rank",
    "kv_lora_rank", "qk_rope_head_dim", "qk_nope_head_dim", "v_head_dim", "gated_attention", "qkv_bias",
    "o_bias", "attention_sinks", "n_sliding_layers", "n_linear_layers", "n_mamba_layers", "intermediate",
    "n_experts", "experts_per_token", "moe_intermediate", "shared_gate", "expert_bias",
)  # fmt: skip

_LINEAR = {
    "linear_k_heads": "num_k_heads",
    "linear_v_heads": "num_v_heads",
    "linear_k_dim": "head_k_dim",
    "linear_v_dim": "head_v_dim",
    "linear_conv": "conv_kernel",
}

_MAMBA = {
    "mamba_heads": "num_heads",
    "mamba_head_dim": "head_dim",
    "mamba_groups": "n_groups",
    "mamba_state": "state_size",
    "mamba_conv": "conv_kernel",
}


def _count(fields: Mapping[str, object], name: str, otherwise: int = 0) -> int:
    """Whole number of a field; booleans count as 0 and 1."""
    value = fields.get(name, otherwise)
    if not isinstance(value, int | float) or value != int(value):
        raise TypeError(f"{name} must be a whole number, not {value!r}")
    return int(value)


def _prefixed(block: object, names: Mapping[str, str]) -> dict[str, int]:
    """Fields of a nested block under the flat names of `Shape`."""
    given = block if isinstance(block, Mapping) else {}
    return {flat: _count(given, nested) for flat, nested in names.items()}
