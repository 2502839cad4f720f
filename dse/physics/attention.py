r"""Attention: what the tokens of a pass do with the tokens before them.

Work of attention is proportional to an *area*: new tokens times the tokens each of them attends to [tok²].
Masks differ only in their area (causal, windowed, chunked, top-k); forms differ only in what a unit of area
costs
(grouped-query, MLA absorbed or expanded, indexer). Recurrent layers have no area: a state of constant size.

Areas are integrals over positions: a pass of ``new`` tokens on ``cached`` ones covers positions p to p + a. A
single decoded token is the case a = 1, within half a token of its context.
"""

import numpy as np

from dse.arrays import FloatArray
from dse.physics.shape import Shape

RECURRENT_FLOP = 6.0
"""FLOP per element of recurrent state and token: decay, write and read, a multiply-add each [FLOP].
Source: count of the recurrences in Dao and Gu 2024 (section 6) and Yang et al. 2024 (section 3)."""


def causal_area(new: FloatArray, cached: FloatArray) -> FloatArray:
    r"""Area of causal attention: half the square of the new tokens, and all of the cached ones.

    .. math:: A = a\,(p + a/2)                                                            (A1)

    Parameters
    ----------
    new : (n,) array                   new tokens a [tok]
    cached : (n,) array                cached tokens p [tok]

    Returns
    -------
    (n,) array                         area [tok²]

    >>> float(causal_area(np.array(2048.0), np.array(0.0)))
    2097152.0
    """
    return new * (cached + new / 2)


def bounded_area(new: FloatArray, cached: FloatArray, bound: float) -> FloatArray:
    r"""Area when a token attends to at most a number of tokens: a sliding window, or a top-k selection.

    .. math:: A = G(p + a) - G(p), \qquad G(x) = \int_0^x \min(y, w)\,dy
                = m\,(x - m/2), \; m = \min(x, w)                                         (A2)

    Parameters
    ----------
    new, cached : (n,) array           new and cached tokens [tok]
    bound : float                      window or selection w [tok]

    Returns
    -------
    (n,) array                         area [tok²]; equal to `causal_area` while p + a <= w

    Notes
    -----
    Sources: Child et al. 2019 (window); DeepSeek-V3.2 2025, section 2.1 (selection).

    >>> float(bounded_area(np.array(1.0), np.array(131072.0), 2048.0))
    2048.0
    """
    return _bounded_integral(new + cached, bound) - _bounded_integral(cached, bound)


def chunked_area(new: FloatArray, cached: FloatArray, chunk: float) -> FloatArray:
    r"""Mean area of chunked attention: a token sees its own chunk only.

    .. math:: A = H(p + a) - H(p), \qquad H(x) = m^2/2 + (w/2)(x - m), \; m = \min(x, w)    (A3)

    Parameters
    ----------
    new, cached : (n,) array           new and cached tokens [tok]
    chunk : float                      tokens of a chunk w [tok]

    Returns
    -------
    (n,) array                         area [tok²]

    Notes
    -----
    A token at position c sees ``c mod w + 1`` tokens. Exact inside the first chunk; beyond it the mean w/2,
    because the requests of a batch stand at unrelated places of their chunks. Source: Llama 4 model card,
    2025 (attention_chunk_size).

    >>> float(chunked_area(np.array(1.0), np.array(100_000.0), 8192.0))
    4096.0
    """
    end: FloatArray = np.minimum(new + cached, chunk)
    start: FloatArray = np.minimum(cached, chunk)
    beyond = new - (end - start)
    return (end - start) * (end + start) / 2 + beyond * chunk / 2


def score_flop(area: FloatArray, heads: FloatArray | float, key_width: float, value_width: float) -> FloatArray:
    r"""FLOP of attention scores and of the weighted sum of values.

    .. math:: F = 2 h\,(d_{key} + d_{value})\,A                                           (A4)

    Parameters
    ----------
    area : (n,) array                  area [tok²]
    heads : (n,) array or float        query heads h [1]
    key_width, value_width : float     elements of a key and of a value [1]

    Returns
    -------
    (n,) array                         work of one layer [FLOP]; the softmax is not counted

    Notes
    -----
    Grouped-query: both widths d_h, hence ``4 h d_h c`` for one token. Absorbed MLA: every head scores against
    the latent itself, widths ``r + r_rope`` and r. Source: Vaswani et al. 2017; DeepSeek-V2 2024, appendix C.

    >>> float(score_flop(np.array(2048.0), 32.0, 128, 128))     # Llama-3-8B, one layer, one token
    33554432.0
    """
    return 2 * heads * (key_width + value_width) * area


def latent_flop(
    shape: Shape, heads: FloatArray | float, area: FloatArray, cached: FloatArray
) -> tuple[FloatArray, FloatArray]:
    r"""FLOP of MLA in its two equivalent forms.

    .. math:: F_{absorbed} = 2 h (2 r + r_{rope})\,A, \qquad
              F_{expanded} = 2 h (d_{nope} + r_{rope} + d_v)\,A + 2 r\,h (d_{nope} + d_v)\,p     (A5)

    Absorbed, every head works on the latent; expanded, the cached latents are first turned back into keys and
    values. Which is cheaper depends on the number of new tokens that share the expansion: for DeepSeek and a
    long prefix the forms cross at ``a = r (d_nope + d_v) / (2 r - d_nope - d_v) = 171``.

    Parameters
    ----------
    shape : Shape                      an MLA model
    heads : (n,) array or float        query heads on the device h [1]
    area : (n,) array                  area of the pass per request [tok²]
    cached : (n,) array                cached tokens attended to per request p [tok]

    Returns
    -------
    absorbed, expanded : (n,) arrays   work of one layer [FLOP]; the projections of the new tokens cost both
                                       forms the same and are counted in `attention_gemms`

    Notes
    -----
    Source: DeepSeek-V2 2024, section 2.1.2 and appendix C.

    >>> absorbed, expanded = latent_flop(_deepseek(), 128.0, np.array([170e6, 172e6]), np.array(1e6))
    >>> (absorbed < expanded).tolist()
    [True, False]
    """
    absorbed = score_flop(area, heads, shape.kv_lora_rank + shape.qk_rope_head_dim, shape.kv_lora_rank)
    key_width = shape.qk_nope_head_dim + shape.qk_rope_head_dim
    expansion = 2 * shape.kv_lora_rank * heads * (shape.qk_nope_head_dim + shape.v_head_dim) * cached
    return absorbed, score_flop(area, heads, key_width, shape.v_head_dim) + expansion


def indexer_flop(shape: Shape, area: FloatArray) -> FloatArray:
    r"""FLOP of a sparse-attention indexer, which scores every cached token.

    .. math:: F = 2 H_I d_I\,A                                                            (A6)

    Parameters
    ----------
    shape : Shape                      model; without an indexer the result is 0
    area : (n,) array                  full causal area [tok²]

    Returns
    -------
    (n,) array                         work of one layer [FLOP]

    Notes
    -----
    Source: DeepSeek-V3.2 2025, section 2.1, equation 1.

    >>> float(indexer_flop(_deepseek()._replace(index_n_heads=64, index_head_dim=128), np.array(4096.0)))
    67108864.0
    """
    return 2 * shape.index_n_heads * shape.index_head_dim * area


def core_flop(shape: Shape, heads: FloatArray | float, area: FloatArray, attended: FloatArray) -> FloatArray:
    """FLOP of the attention core of one layer in the cheaper form the model allows.

    Parameters
    ----------
    shape : Shape                      model
    heads : (n,) array or float        query heads on the device [1]
    area : (n,) array                  area under the layer's mask [tok²]
    attended : (n,) array              cached tokens that any query of the pass can attend to [tok]

    Returns
    -------
    (n,) array                         work of one layer and request [FLOP]

    >>> round(float(core_flop(_deepseek(), 128.0, np.array(4096.0), np.array(4096.0))) / 1e9, 3)    # absorbed
    1.141
    """
    if shape.kv_lora_rank:
        return np.minimum(*latent_flop(shape, heads, area, attended))
    return score_flop(area, heads, shape.head_dim, shape.head_dim)


def core_elements(
    shape: Shape, heads: FloatArray | float, new: FloatArray, area: FloatArray, attended: FloatArray
) -> FloatArray:
    r"""Activation elements that the attention core of one layer reads and writes for one request.

    .. math:: N = h\,(d_{query} + d_{out})\,a, \qquad
              N_{expanded} = h\,(d_{nope} + r_{rope} + d_v)\,a + h\,(d_{nope} + d_v)(a + 2 p)       (A7)

    Parameters
    ----------
    shape : Shape                      model
    heads : (n,) array or float        query heads on the device h [1]
    new, attended : (n,) array         new tokens, and cached tokens attended to [tok]
    area : (n,) array                  area, which decides the form of MLA [tok²]

    Returns
    -------
    (n,) array                         elements [1]; an expanded prefix is written and read

    >>> float(core_elements(_deepseek(), 128.0, np.array(1.0), np.array(4096.0), np.array(4096.0)))
    139264.0
    """
    if not shape.kv_lora_rank:
        return 2 * heads * shape.head_dim * new
    absorbed, expanded = latent_flop(shape, heads, area, attended)
    latent = 2 * shape.kv_lora_rank + shape.qk_rope_head_dim
    pair = shape.qk_nope_head_dim + shape.v_head_dim
    full = (pair + shape.qk_rope_head_dim) * new + pair * (new + 2 * attended)
    return np.asarray(heads * np.where(absorbed <= expanded, latent * new, full), float)


def full_layer_area(shape: Shape, new: FloatArray, cached: FloatArray) -> FloatArray:
    """Area of a layer without window: causal, or bounded by the selection where attention is sparse [tok²].

    >>> float(full_layer_area(_deepseek(), np.array(1.0), np.array(4096.0)))
    4096.5
    """
    if shape.index_topk:
        return bounded_area(new, cached, shape.index_topk)
    return causal_area(new, cached)


def window_layer_area(shape: Shape, new: FloatArray, cached: FloatArray) -> FloatArray:
    """Area of a sliding or chunked layer [tok²].

    >>> float(window_layer_area(_deepseek()._replace(sliding_window=128), np.array(1.0), np.array(4096.0)))
    128.0
    """
    if shape.chunked:
        return chunked_area(new, cached, shape.sliding_window)
    return bounded_area(new, cached, shape.sliding_window)


def attended_tokens(shape: Shape, new: FloatArray, cached: FloatArray) -> FloatArray:
    r"""Cached tokens that a pass has to read in a layer without window.

    .. math:: R = p, \qquad \text{sparse:}\; R = \min(p,\; a\,k_{top})                      (A8)

    Parameters
    ----------
    shape : Shape                      model
    new, cached : (n,) array           new and cached tokens [tok]

    Returns
    -------
    (n,) array                         tokens read once per pass [tok]

    Notes
    -----
    One decoded token reads its selection only. Many new tokens select different ones; their union is bounded
    by both terms and reaches the whole prefix soon, so the smaller term is used (an upper bound).

    >>> float(attended_tokens(_deepseek()._replace(index_topk=2048), np.array(1.0), np.array(1e5)))
    2048.0
    """
    if shape.index_topk:
        return np.minimum(cached, new * shape.index_topk)
    return cached + 0 * new


def attention_flop(shape: Shape, new: FloatArray, cached: FloatArray) -> FloatArray:
    r"""FLOP of everything that depends on context, all layers, undivided.

    .. math:: F = n_{full}\,(F_{core}(A) + F_{idx}(a(p + a/2))) + n_{slide}\,F_{core}(A_w) + 6\,S\,a      (A9)

    Parameters
    ----------
    shape : Shape                      model
    new, cached : (n,) array           new and cached tokens of a request [tok]

    Returns
    -------
    (n,) array                         work per request [FLOP]

    >>> from dse.physics.shape import shape
    >>> llama = shape(n_layers=80, hidden=8192, vocab=128256, n_heads=64, n_kv_heads=8, head_dim=128)
    >>> round(float(attention_flop(llama, np.array(1.0), np.array(131072.0))) / 1e9, 1)
    343.6
    """
    full_area = full_layer_area(shape, new, cached)
    attended = attended_tokens(shape, new, cached)
    flop = shape.n_full_layers * core_flop(shape, float(shape.n_heads), full_area, attended)
    if shape.index_n_heads:
        flop = flop + shape.n_full_layers * indexer_flop(shape, causal_area(new, cached))
    if shape.n_sliding_layers:
        window_area = window_layer_area(shape, new, cached)
        flop = flop + shape.n_sliding_layers * core_flop(shape, float(shape.n_heads), window_area, attended)
    return flop + RECURRENT_FLOP * recurrent_elements(shape) * new


def cache_elements(shape: Shape) -> float:
    """Cached elements per token and layer: keys and values of all heads, or the MLA latent and rotary key.

    >>> cache_elements(_deepseek())
    576
    """
    if shape.kv_lora_rank:
        return shape.kv_lora_rank + shape.qk_rope_head_dim
    return 2 * shape.n_kv_heads * shape.head_dim


def linear_state(shape: Shape) -> float:
    """State elements of one linear-attention layer: key x value matrix per head, and the convolution's tail.

    >>> linear_state(_deepseek())
    0
    """
    inputs = 2 * shape.linear_k_heads * shape.linear_k_dim + shape.linear_v_heads * shape.linear_v_dim
    matrix = shape.linear_v_heads * shape.linear_k_dim * shape.linear_v_dim
    return matrix + max(shape.linear_conv - 1, 0) * inputs


def mamba_state(shape: Shape) -> float:
    """State elements of one state-space layer: N per channel, and the convolution's tail.

    >>> mamba_state(_deepseek())
    0
    """
    channels = shape.mamba_heads * shape.mamba_head_dim
    inputs = channels + 2 * shape.mamba_groups * shape.mamba_state
    return channels * shape.mamba_state + max(shape.mamba_conv - 1, 0) * inputs


def recurrent_elements(shape: Shape) -> float:
    """State elements of all recurrent layers of one request [1].

    >>> recurrent_elements(_deepseek())
    0
    """
    return shape.n_linear_layers * linear_state(shape) + shape.n_mamba_layers * mamba_state(shape)


def _bounded_integral(position: FloatArray, bound: float) -> FloatArray:
    """Integral of min(y, w) from 0 to a position [tok²]."""
    inside = np.minimum(position, bound)
    return inside * (position - inside / 2)


def _deepseek() -> Shape:
    """Attention of DeepSeek-V3, the example of the docstrings."""
    return Shape(
        n_layers=61, hidden=7168, vocab=129280, n_heads=128, q_lora_rank=1536, kv_lora_rank=512,
        qk_rope_head_dim=64, qk_nope_head_dim=128, v_head_dim=128, n_full_layers=61,
    )  # fmt: skip
