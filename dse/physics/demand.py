"""The vocabulary of demand: how a model is stored, split, loaded, and what one pass then asks of a device.

A *pass* is one forward run of the model over a batch: a prefill chunk or a decode step. Its demand is
counted per device and per operator group, because the groups meet different roofs: a GEMM of one row reads
its weights and computes nothing, attention over a long context does the opposite. Time is somebody else's
question (``roofline``, ``network``); this vocabulary has no second in it.

Every field that is not a width may be a number or an array; all arrays of one call broadcast to (n,).
"""

from typing import NamedTuple

from numpy.typing import ArrayLike

from dse.arrays import FloatArray

GROUPS = (
    "attention_linear",
    "attention_core",
    "indexer",
    "recurrent",
    "dense_ffn",
    "router",
    "routed_experts",
    "shared_experts",
    "lm_head",
    "embedding",
)
"""Operator groups, in the order of the first axis of every array in `Work`."""


class Precision(NamedTuple):
    """Bytes per element of everything that is stored or sent (2 = bf16, 1 = fp8, 0.5 = fp4)."""

    weight: ArrayLike
    """Projections, dense FFN, shared experts [B]."""
    expert: ArrayLike
    """Routed experts [B]."""
    kv: ArrayLike
    """Keys and values, or the MLA latent, in the cache [B]."""
    activation: ArrayLike
    """GEMM inputs and outputs; also what expert dispatch sends [B]."""
    embedding: ArrayLike = 2.0
    """Embeddings, LM head and router: engines keep them in bf16 [B]."""
    index: ArrayLike = 1.0  # type: ignore[assignment]  # hides tuple.index, which nobody needs here
    """Keys of a sparse-attention indexer: engines keep them in fp8 [B]."""
    state: ArrayLike = 2.0
    """Recurrent state of linear-attention and SSM layers: bf16 whatever the KV width [B]."""
    message: ArrayLike = 2.0
    """Reduced partial sums, expert combine and stage boundaries: sent in bf16 [B]."""
    score: ArrayLike = 0.0
    """What of an attention score passes through memory, all passes together; 0 where it stays on the chip [B]."""


class Mapping(NamedTuple):
    """Degrees of parallelism; an instance has ``tp * pp * attention_dp * cp`` devices."""

    tp: ArrayLike = 1
    """Tensor parallelism of everything but the routed experts [devices]."""
    pp: ArrayLike = 1
    """Pipeline stages [devices]."""
    attention_dp: ArrayLike = 1
    """Attention ranks that each serve their own requests [devices]."""
    moe_tp: ArrayLike = 1
    """Tensor parallelism inside one expert; ``moe_tp * ep = tp * attention_dp`` in an MoE model [devices]."""
    ep: ArrayLike = 1
    """Expert parallelism: the experts are dealt to that many ranks [devices]."""
    cp: ArrayLike = 1
    """Context parallelism: the tokens of a request are dealt to that many ranks [devices]."""


class Load(NamedTuple):
    """What one pass computes; with pipeline parallelism, one microbatch."""

    requests: ArrayLike
    """Requests in the pass, over all attention-DP ranks [1]."""
    new_tokens: ArrayLike
    """Tokens computed per request: 1 in decode, 1 + draft length when verifying a draft [tok]."""
    cached_tokens: ArrayLike
    """Tokens per request whose KV is in the cache already [tok]."""
    logit_tokens: ArrayLike = 1
    """Tokens per request that need logits: 1, or all new tokens when verifying a draft [tok]."""


class Message(NamedTuple):
    """Messages of one kind during one pass."""

    count: FloatArray  # type: ignore[assignment]  # hides tuple.count, which nobody needs here
    """Operations one after the other, 0 where the group has one member, (n,) [1]."""
    size: FloatArray
    """Bytes held or sent by each member per operation, (n,) [B]."""


class Communication(NamedTuple):
    """What the devices of one instance say to each other during one pass."""

    all_reduce: Message
    """Partial sums over ``tp`` after attention and after the FFN."""
    all_gather: Message
    """Vocabulary slices of the logits over ``tp``."""
    expert_gather: Message
    """Tokens over ``attention_dp`` when every rank holds a slice of every expert (``ep = 1``): an all-gather
    before and a reduce-scatter after the experts."""
    dispatch: Message
    """Tokens to their experts over ``ep``. The size is ONE copy of a device's tokens: the network multiplies
    by the remote copies, ``k (1 - 1/n)`` or fewer where a node receives a token once."""
    combine: Message
    """Results back from the experts over ``ep``, sized like dispatch."""
    context: Message
    """Queries and partial outputs, or keys and values, over ``cp``; the cheaper of the two."""
    p2p: Message
    """Hidden states to the next of ``pp`` stages; each device of a stage sends its share."""


class Work(NamedTuple):
    """Demand of one pass on one device, summed along the path of one microbatch through all stages."""

    flop: FloatArray
    """Arithmetic, (G, n) [FLOP]."""
    weight_bytes: FloatArray
    """Weights read, (G, n) [B]."""
    activation_bytes: FloatArray
    """GEMM inputs read and outputs written, (G, n) [B]."""
    kv_bytes: FloatArray
    """Cache and recurrent state read and written, and scores that leave the chip, (G, n) [B]."""
    rows: FloatArray
    """M of the group's GEMMs, (G, n) [tok]; of one touched expert for routed experts, so that everywhere
    ``flop = 2 * rows * weight_bytes / width`` up to replication; queries per device for attention."""
    kernels: FloatArray
    """Kernel launches, (G, n) [1]."""
    communication: Communication
    """Messages, each with (n,) count and size."""


class Ledger(NamedTuple):
    """What one device of the fullest stage must hold."""

    weights_bytes: FloatArray
    """All weights, (n,) [B]."""
    kv_bytes_per_token: FloatArray
    """Per request resident on the device's attention rank: KV that grows with context, (n,) [B/tok]."""
    window_bytes_per_token: FloatArray
    """The same for layers that stop growing at `Shape.sliding_window`, (n,) [B/tok]."""
    state_bytes: FloatArray
    """Recurrent state per request, (n,) [B]."""
