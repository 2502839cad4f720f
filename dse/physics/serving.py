r"""Serving: what a step asks of the prefill pool, the decode pool and the links between them.

All demands are per agent step and in *device-seconds*, so a pool of any size serves (devices / demand) steps per
second; replica counts are solved, not searched. Four homes of the KV cache between steps and three ways to serve are
rows of the same few formulas.
"""

import numpy as np

from dse.arrays import FloatArray

KV_HOMES = ("decode", "prefill", "shared", "append_on_decode")
"""Where a session's KV waits between steps; the order is the code used in designs."""


def transfer_tokens(
    home: str, cached: FloatArray | float, fresh: FloatArray | float, output: FloatArray | float
) -> tuple[FloatArray, FloatArray]:
    r"""Tokens whose KV crosses from prefill to decode and back in one step.

    .. math::
        (x_{pd}, x_{dp}) = \begin{cases} (p + a,\; o) & \text{prefill} \\ (a,\; p) & \text{decode} \\
        (0,\; 0) & \text{append on decode} \end{cases}                                     (S1)

    Parameters
    ----------
    home : str                         one of :data:`KV_HOMES`; the pool's traffic is :func:`pool_tokens`
    cached : (...) array               tokens found in cache p [tok]
    fresh : (...) array                tokens prefilled a [tok]
    output : (...) array               tokens generated o [tok]

    Returns
    -------
    two (...) arrays                   prefill to decode, decode to prefill [tok]

    Notes
    -----
    The prefill home already holds the KV of the fresh tokens it made, so only the output's KV travels back. With 96 %
    reuse the old KV dwarfs the new: a decode home ships the prefix once per step, the wrong way. Source: derived here.

    >>> [tuple(float(x) for x in transfer_tokens(home, 100.0, 5.0, 1.0)) for home in ("prefill", "decode")]
    [(105.0, 1.0), (5.0, 100.0)]
    """
    zero = 0 * (np.asarray(cached, dtype=float) + fresh)
    match home:
        case "prefill":
            return zero + cached + fresh, zero + output
        case "decode":
            return zero + fresh, zero + cached
        case _:
            return zero, zero


def pool_tokens(cached: FloatArray | float, fresh: FloatArray | float, output: FloatArray | float) -> FloatArray:
    r"""Tokens whose KV crosses the pool's link on each side when the pool is home.

    .. math:: x_p = p + a, \qquad x_d = p + a + o                                          (S2)

    Parameters
    ----------
    cached, fresh, output : (...) array       p, a, o of the step [tok]

    Returns
    -------
    (2, ...) array                     prefill side (reads p, writes a), decode side (reads p + a, writes o) [tok]

    Notes
    -----
    Source: derived here from "each side reads what it lacks and writes what it made".

    >>> pool_tokens(np.array(100.0), 5.0, 1.0).tolist()
    [105.0, 106.0]
    """
    base = np.asarray(cached, dtype=float) + fresh
    return np.stack([base, base + output])


def prefill_coefficients(
    chunk_time: FloatArray, chunk_time_cached: FloatArray, chunk: FloatArray, cached: FloatArray
) -> tuple[FloatArray, FloatArray]:
    r"""Time per fresh token and per token² of attention, from two passes over one chunk.

    .. math:: \theta_2 = \frac{t(C, P) - t(C, 0)}{C\,P}, \qquad
              \theta_1 = \frac{t(C, 0) - \theta_2\,C^2/2}{C}                               (S3)

    Parameters
    ----------
    chunk_time : (n,) array            pass over a chunk of C tokens without prefix [s]
    chunk_time_cached : (n,) array     the same on a prefix of P tokens [s]
    chunk : (n,) array                 chunk C [tok]
    cached : (n,) array                prefix P [tok]

    Returns
    -------
    theta_1 (n,) [s/tok], theta_2 (n,) [s/tok²]

    Notes
    -----
    The service time of a request is then theta_1 a + theta_2 a (p + a/2): linear in two moments of the step. Holds as
    far as the attention core's time is linear in the context, which windowed and sparse layers leave in theta_1.
    Source: derived here.

    >>> [round(float(x), 9) for x in prefill_coefficients(np.array(0.11), np.array(0.21), np.array(1e3), np.array(1e4))]
    [0.000105, 1e-08]
    """
    per_area = np.maximum(chunk_time_cached - chunk_time, 0) / (chunk * cached)
    return np.maximum(chunk_time - per_area * chunk**2 / 2, 0) / chunk, per_area


def coded_bandwidth(bandwidth: FloatArray, codec: FloatArray) -> FloatArray:
    r"""Bandwidth of a link for data that a device compresses before it, or restores after it.

    .. math:: \beta' = \beta / (1 + \beta\,c)                                                (S7)

    Parameters
    ----------
    bandwidth : (n,) array             of the link, counted after compression beta [B/s]
    codec : (n,) array                 time of the device per byte after compression c [s/B]

    Returns
    -------
    (n,) array                         counted after compression [B/s]

    Notes
    -----
    Coding and sending one after the other: the bound from below of a pipeline of the two. Both count bytes after
    compression, so a ratio r makes the rate of a device that codes R bytes per second of the original c = r / R.

    >>> float(coded_bandwidth(np.array(50e9), np.array(7 / 350e9)))
    25000000000.0
    """
    return np.asarray(bandwidth / (1 + bandwidth * codec))


def speculative_gain(draft_length: FloatArray, acceptance: float) -> FloatArray:
    r"""Tokens gained per verification pass of speculative decoding.

    .. math:: \tau = \frac{1 - \alpha^{\gamma + 1}}{1 - \alpha}                             (S4)

    Parameters
    ----------
    draft_length : (...) array         drafted tokens gamma [1]
    acceptance : float                 acceptance rate of one draft token alpha in [0, 1) [1]

    Returns
    -------
    (...) array                        expected tokens per pass [tok]

    Notes
    -----
    Independent acceptance. Source: Leviathan, Kalman and Matias, ICML 2023 (arXiv 2211.17192), eq. 1.

    >>> round(float(speculative_gain(np.array(3), 0.8)), 3)
    2.952
    """
    return np.asarray((1 - acceptance ** (draft_length + 1)) / (1 - acceptance))


def shared_pass_time(decode_time: FloatArray, prefill_share: FloatArray) -> FloatArray:
    r"""Time per output token when the same devices also prefill.

    .. math:: \text{TPOT} = \frac{t}{1 - \varphi}, \qquad \varphi = \frac{\rho\,d_p}{d_p + d_d}   (S5)

    Parameters
    ----------
    decode_time : (...) array          decode step alone t [s]
    prefill_share : (...) array        share of device time busy with prefill phi; d_p is provisioned, rho d_p busy [1]

    Returns
    -------
    (...) array                        [s]

    Notes
    -----
    Prefill chunks are interleaved with decode steps, so every token waits for its share of them. Device time is
    conserved at full use: d_d/(1 - phi) = d_d + d_p for rho = 1. Source: derived here.

    >>> float(shared_pass_time(np.array(0.02), np.array(0.5)))
    0.04
    """
    return decode_time / (1 - prefill_share)


def offload_bandwidth(
    group: FloatArray, width: FloatArray, batch: FloatArray, layers: FloatArray, slack_time: FloatArray
) -> FloatArray:
    r"""Link bandwidth that attention offload needs.

    .. math:: \beta = \frac{(2 + 2/G)\,e\,d\,B\,L}{\alpha\,(t_{model} + t_{attention})}      (S6)

    Parameters
    ----------
    group : (...) array                query heads per KV head G [1]
    width : (...) array                bytes of one hidden vector e d [B]
    batch : (...) array                requests in the step B [1]
    layers : (...) array               layers L [1]
    slack_time : (...) array           time allowed for communication, alpha (t_model + t_attention) [s]

    Returns
    -------
    (...) array                        aggregate bandwidth, one direction [B/s]

    Notes
    -----
    Queries go out and results come back (2), keys and values of the new token go out (2/G). The published 30 GB/s for
    Llama-3-70B at B = 300 and alpha = 0.2 needs a step of 147 ms. Source: Lamina, arXiv 2405.01814, section 3.

    >>> llama = (np.array(8.0), np.array(2 * 8192.0), np.array(300.0), np.array(80.0))
    >>> need = offload_bandwidth(*llama, np.array(0.2 * 0.147))
    >>> round(float(need) / 1e9, 1)
    30.1
    """
    return (2 + 2 / group) * width * batch * layers / slack_time


def alternation_time(batches: int, model: FloatArray, attention: FloatArray, *crossing: FloatArray) -> FloatArray:
    r"""Time in which every batch that alternates between two device types makes one step.

    .. math::
        t = \begin{cases} t_m + t_a + x & n = 1 \\ \max(n\,t_f,\; 2\,t_f + x) & n \ge 2 \end{cases},
        \qquad t_f = \max(t_m, t_a)                                                         (S8)

    Parameters
    ----------
    batches : int                      batches on their way n, all of one size; 1 is no overlap [1]
    model : (...) array                step of one batch without its attention t_m [s]
    attention : (...) array            attention of one batch t_a [s]
    crossing : (...) arrays            its messages out and back over all layers, in parts that add up to x [s]

    Returns
    -------
    (...) array                        time per step t; n batches of tokens come out of it [s]

    Notes
    -----
    One batch leaves each side idle while the other works. Two fill both sides but for the messages; more hide these
    too, as soon as n t_f >= 2 (t_f + x / 2). Beside others a batch waits for the slower side on both, which is exact
    where the two sides are balanced and late by at most abs(t_m - t_a) where they are not. Source: MegaScale-Infer,
    arXiv 2504.02263, section 4.1, equations 1 to 4.

    >>> [float(alternation_time(n, np.array(4.0), np.array(4.0), np.array(2.0))) for n in (1, 2, 3, 4)]
    [10.0, 10.0, 12.0, 16.0]
    """
    slower = np.maximum(model, attention)
    passing = model + attention if batches == 1 else 2 * slower
    for part in crossing:
        passing = passing + part
    return np.asarray(np.maximum(batches * slower, passing))
