"""What a catalog says about a language model: the numbers that define its architecture."""

from typing import Annotated, Literal, TypeAlias

from pydantic import Field

from dse.facts.quantities import Count, Flag, Positive, Quantity, Strict

Dtype: TypeAlias = Literal["bf16", "fp8", "fp4", "int8"]
Percent: TypeAlias = Annotated[float, Quantity("1", maximum=200.0)]
"""Percent of the release's own score; a little above 100 is measurement noise."""


class Score(Strict):
    """How much of the release's accuracy a number format keeps."""

    recovery: Percent
    """Score over the score of the release, in percent."""
    source: str
    """Evaluation with benchmark and date."""
    estimate: Flag = False
    """True where it is an assumption or carried over from another model."""


class Quality(Strict):
    """Number formats other than the release's own that a study may use, each with its score."""

    weight: dict[Dtype, Score] = Field(default_factory=dict)
    """Weights (and activations of the same width)."""
    kv: dict[Dtype, Score] = Field(default_factory=dict)
    """KV cache."""


class Linear(Strict):
    """Linear-attention layer with a constant state."""

    kind: str
    """Name of the mechanism."""
    num_k_heads: Positive
    """Key heads."""
    num_v_heads: Positive
    """Value heads."""
    head_k_dim: Positive
    """Width of a key head."""
    head_v_dim: Positive
    """Width of a value head."""
    conv_kernel: Positive
    """Taps of the short convolution."""


class Mamba(Strict):
    """State-space layer with a constant state."""

    kind: str
    """Name of the mechanism."""
    num_heads: Positive
    """Heads."""
    head_dim: Positive
    """Width of a head."""
    n_groups: Positive
    """Groups that share B and C."""
    state_size: Positive
    """Width of the state."""
    conv_kernel: Positive
    """Taps of the short convolution."""
    expand: Positive
    """Inner width over hidden width."""


class Model(Strict):
    """Architecture of one model; a field that does not apply is absent."""

    id: str
    """Name in studies."""
    name: str
    """Name of the release."""
    modelled: Flag = True
    """False where its attention is not described by our equations; using it is refused."""
    reason: str = ""
    """Why it is not modelled."""
    family: Literal["dense", "moe", "dense_hybrid"]
    """Dense, mixture of experts, or hybrid."""
    attention: str
    """gqa, mla, or one of the hybrids."""
    n_layers: Positive
    """Layers of all kinds."""
    hidden: Positive
    """Model width."""
    n_heads: Positive
    """Query heads."""
    n_kv_heads: Positive
    """Key and value heads; ignored for latent attention."""
    head_dim: Positive
    """Width of a head."""
    intermediate: Positive | None = None
    """Inner width of a dense feed-forward layer."""
    vocab: Positive
    """Tokens known."""
    tie_embeddings: Flag = False
    """Input and output embedding are one matrix."""
    q_lora_rank: Positive | None = None
    """Rank of the compressed query."""
    kv_lora_rank: Positive | None = None
    """Rank of the cached latent."""
    qk_rope_head_dim: Positive | None = None
    """Rotary part of a key."""
    qk_nope_head_dim: Positive | None = None
    """Non-rotary part of a key."""
    v_head_dim: Positive | None = None
    """Width of a value head."""
    n_experts: Positive | None = None
    """Routed experts per layer."""
    experts_per_token: Positive | None = None
    """Routed experts a token visits."""
    n_shared_experts: Count | None = None
    """Experts every token visits."""
    moe_intermediate: Positive | None = None
    """Inner width of one expert."""
    shared_intermediate: Positive | None = None
    """Inner width of the shared expert where it differs."""
    first_k_dense: Count | None = None
    """Leading layers with a dense feed-forward part."""
    n_moe_layers: Positive | None = None
    """Layers with experts, where not all the remaining ones have them."""
    sliding_window: Positive | None = None
    """Tokens a windowed layer attends."""
    attention_chunk_size: Positive | None = None
    """Chunk of chunked attention."""
    n_full_attention_layers: Count | None = None
    """Layers that attend to everything."""
    n_sliding_layers: Count | None = None
    """Layers with a window or chunk."""
    n_linear_layers: Count | None = None
    """Layers with linear attention."""
    n_mamba_layers: Count | None = None
    """State-space layers."""
    n_mlp_layers: Count | None = None
    """Layers that are feed-forward only."""
    linear: Linear | None = None
    """Shape of the linear-attention layers."""
    mamba: Mamba | None = None
    """Shape of the state-space layers."""
    dsa_index_n_heads: Positive | None = None
    """Heads of the sparse-attention indexer."""
    dsa_index_head_dim: Positive | None = None
    """Width of an indexer head."""
    dsa_index_topk: Positive | None = None
    """Tokens a sparse layer attends."""
    n_mtp_layers: Count | None = None
    """Layers that predict further tokens; never counted in the totals."""
    qkv_bias: Flag = False
    """Projections carry a bias."""
    qk_norm: Flag = False
    """Queries and keys are normalised."""
    gated_attention: Flag = False
    """Attention output has a gate projection."""
    shared_gate: Flag = False
    """The shared expert has a gate."""
    o_bias: Flag = False
    """Output projection carries a bias."""
    expert_bias: Flag = False
    """Experts carry a bias."""
    attention_sinks: Flag = False
    """Heads have a sink logit."""
    norms_per_layer: Positive | None = None
    """Normalisations per layer where not two."""
    mlp: str = "swiglu"
    """Feed-forward kind: swiglu has three matrices, relu2 two."""
    attention_pattern: str = ""
    """Order of the layer kinds, in words."""
    vision_params: float | None = Field(default=None, ge=0)
    """Parameters of a vision tower, not counted."""
    max_context: Positive
    """Longest context that can be served [tok]."""
    release_dtype: Dtype
    """Number format of the released weights (other than routed experts where these differ)."""
    expert_dtype: Dtype | None = None
    """Number format of the routed experts in the release, where it differs."""
    released_dtypes: dict[Dtype, str] = Field(default_factory=dict)
    """Further formats released by the model's own vendor, with the source; these count as sourced."""
    quality: Quality = Quality()
    """Formats beyond the released ones, with their scores."""
    published_total: float | None = Field(default=None, gt=0)
    """Parameters, as published."""
    published_active: float | None = Field(default=None, gt=0)
    """Parameters a token uses, as published."""
    sources: tuple[str, ...] = ()
    """Pages the figures are from."""
    notes: str = ""
    """What a reader should know."""
