r"""Time of messages: latency per step plus bytes over bandwidth, the alpha-beta model.

Closed forms first, one per algorithm, for a group whose members reach each other at full link bandwidth. Then the
general form: a collective over any graph is a number of steps and a volume of traffic per tier of links, derived once
from the topology. Bandwidth is one direction per device, messages are what each member holds or sends.

Sources: Hockney 1994 (alpha-beta); Thakur, Rabenseifner and Gropp 2005, sections 3 and 4 (collectives).
"""

from typing import NamedTuple, TypeAlias

import numpy as np

from dse.arrays import FloatArray

Number: TypeAlias = FloatArray | float
"""An array of one value per row, or one value for all."""


def all_reduce_time(size: Number, members: Number, bandwidth: Number, alpha: Number) -> Number:
    r"""Time of a ring all-reduce.

    .. math:: T = 2 (p - 1)\,\alpha + 2\,\frac{p - 1}{p}\,\frac{m}{\beta}                    (9)

    Parameters
    ----------
    size : (n,) array                  message held by each member m [B]
    members : (n,) array               group size p [1]
    bandwidth : (n,) array             one direction per device beta [B/s]
    alpha : (n,) array                 latency of one step [s]

    Returns
    -------
    (n,) array                         [s]; zero for a group of one

    Notes
    -----
    Bandwidth-optimal, so right for messages large against alpha * beta; exchanges at once win below
    (`one_shot_time`). Source: Thakur et al. 2005, section 4.

    >>> round(float(160 * all_reduce_time(0.79e6, 4, 450e9, 1.5e-6)), 5)    # 80 layers, two each
    0.00186
    """
    hops = members - 1
    return 2 * hops * alpha + 2 * hops / members * size / bandwidth


def in_network_time(size: Number, members: Number, bandwidth: Number, alpha: Number) -> Number:
    r"""Time of an all-reduce that the switch computes: the message goes up once and comes down once.

    .. math:: T = 2\,\alpha + m/\beta                                                      (10)

    Parameters
    ----------
    size, members, bandwidth, alpha    as `all_reduce_time`

    Returns
    -------
    (n,) array                         [s]; zero for a group of one

    Notes
    -----
    Factor 1 where the ring has nearly 2. Source: Graham et al. 2016 (SHARP); arXiv 2506.15006, section 3.

    >>> float(in_network_time(450e3, 8, 450e9, 1e-6))
    3e-06
    """
    return _beyond_one(members) * (2 * alpha + size / bandwidth)


def one_shot_time(size: Number, members: Number, bandwidth: Number, alpha: Number) -> Number:
    r"""Time of an all-reduce where every member sends its whole message to all others at once.

    .. math:: T = \alpha + (p - 1)\,m/\beta                                                (11)

    Parameters
    ----------
    size, members, bandwidth, alpha    as `all_reduce_time`

    Returns
    -------
    (n,) array                         [s]; zero for a group of one

    Notes
    -----
    What engines use for the small messages of decode. Source: the custom all-reduce kernels of vLLM and TensorRT-LLM.

    >>> round(float(one_shot_time(16384, 8, 450e9, 3e-6)) * 1e6, 3)
    3.255
    """
    return _beyond_one(members) * (alpha + (members - 1) * size / bandwidth)


def all_gather_time(size: Number, members: Number, bandwidth: Number, alpha: Number) -> Number:
    r"""Time of a ring all-gather, equal to that of a reduce-scatter of the same result.

    .. math:: T = (p - 1)\,\alpha + (p - 1)\,m/\beta                                       (12)

    Parameters
    ----------
    size : (n,) array                  piece of one member m, of which the result holds p [B]
    members, bandwidth, alpha          as `all_reduce_time`

    Returns
    -------
    (n,) array                         [s]

    >>> float(all_gather_time(450e3, 2, 450e9, 1e-6))
    2e-06
    """
    return (members - 1) * (alpha + size / bandwidth)


def reduce_scatter_time(size: Number, members: Number, bandwidth: Number, alpha: Number) -> Number:
    r"""Time of a ring reduce-scatter.

    .. math:: T = (p - 1)\,\alpha + \frac{p - 1}{p}\,\frac{m}{\beta}                         (13)

    Parameters
    ----------
    size : (n,) array                  whole message of each member m [B]
    members, bandwidth, alpha          as `all_reduce_time`

    Returns
    -------
    (n,) array                         [s]; half of an all-reduce

    >>> float(2 * reduce_scatter_time(1e6, 8, 450e9, 1e-6) - all_reduce_time(1e6, 8, 450e9, 1e-6))
    0.0
    """
    return (members - 1) * (alpha + size / members / bandwidth)


def all_to_all_time(size: Number, members: Number, bandwidth: Number, alpha: Number) -> Number:
    r"""Time of an all-to-all in which all pairs exchange at once.

    .. math:: T = \alpha + \frac{p - 1}{p}\,\frac{m}{\beta}                                (14)

    Parameters
    ----------
    size : (n,) array                  all that a member sends, its own part included, m [B]
    members, bandwidth, alpha          as `all_reduce_time`

    Returns
    -------
    (n,) array                         [s]; zero for a group of one

    >>> round(float(all_to_all_time(9e5, 8, 450e9, 1e-6)) * 1e6, 2)
    2.75
    """
    return _beyond_one(members) * (alpha + (members - 1) / members * size / bandwidth)


def p2p_time(size: Number, bandwidth: Number, alpha: Number) -> Number:
    r"""Time of one message from one device to another.

    .. math:: T = \alpha + m/\beta                                                         (15)

    Parameters
    ----------
    size, bandwidth, alpha             as `all_reduce_time`

    Returns
    -------
    (n,) array                         [s]

    >>> float(p2p_time(450e3, 450e9, 1e-6))
    2e-06
    """
    return alpha + size / bandwidth


def expert_copies(per_token: Number, places: Number) -> Number:
    r"""Places that must receive a token, each counted once: ranks or nodes that hold one of its experts.

    .. math:: D = n\,(1 - (1 - 1/n)^k)                                                     (16)

    Parameters
    ----------
    per_token : (n,) array             experts per token k [1]
    places : (n,) array                ranks or nodes over which the experts lie n [1]

    Returns
    -------
    (n,) array                         copies, the local one included [1]; k in the limit of many places

    Notes
    -----
    Experts uniform and independent. A fabric that cannot duplicate at the far side sends k copies.
    Source: DeepSeek-V3 2024, section 3.2.2 (tokens go to at most a few nodes and are spread inside).

    >>> expert_copies(8, np.array([1.0, 2.0, 8.0, 256.0])).round(2).tolist()
    [1.0, 1.99, 5.25, 7.89]
    """
    return places * (1 - (1 - 1 / places) ** per_token)


def dispatch_time(tokens: Number, width: Number, copies: Number, bandwidth: Number) -> Number:
    r"""Time to move a rank's tokens to their experts and the results back.

    .. math:: T = t\,D\,d\,(b_{dispatch} + b_{combine})/\beta                               (17)

    Parameters
    ----------
    tokens : (n,) array                tokens of the rank t [tok]
    width : (n,) array                 bytes of a token both ways, d (b_dispatch + b_combine) [B/tok]
    copies : (n,) array                remote copies D [1], `expert_copies` or k (1 - 1/n)
    bandwidth : (n,) array             one direction per device beta [B/s]

    Returns
    -------
    (n,) array                         per layer [s]

    Notes
    -----
    Latency is added by the caller. Source: DeepSeek-V3 2024, section 3.4; worked figures 12.8 / 1.4 ms per step
    for 64 tokens on 58 layers at 50 / 450 GB/s.

    >>> (58e3 * dispatch_time(64, 7168 * 3, 8, np.array([50e9, 450e9]))).round(1).tolist()
    [12.8, 1.4]
    """
    return tokens * width * copies / bandwidth


def exposed_time(communication: Number, hidden_under: Number, overlap: Number) -> Number:
    r"""Communication that computation does not hide.

    .. math:: T = t_{comm} - \min(o\,t_{comm},\; t_{under})                                (18)

    Parameters
    ----------
    communication : (n,) array         time of the messages [s]
    hidden_under : (n,) array          time of the work that may run meanwhile [s]
    overlap : (n,) array               share of the messages that may be overlapped o, 0 to 1 [1]

    Returns
    -------
    (n,) array                         [s]

    >>> exposed_time(np.array([3.0, 3.0]), np.array([1.0, 9.0]), 0.5).tolist()
    [2.0, 1.5]
    """
    return communication - np.minimum(overlap * communication, hidden_under)


def prefetch_hidden_time(communication: Number, sram: Number, memory_bandwidth: Number) -> Number:
    r"""Memory time hidden when the next weights are fetched into on-chip memory under a collective.

    .. math:: T = \min(t_{comm},\; S/\beta_{mem})                                           (19)

    Parameters
    ----------
    communication : (n,) array         time of the collectives [s]
    sram : (n,) array                  on-chip buffer S for all of them together [B]
    memory_bandwidth : (n,) array      [B/s]

    Returns
    -------
    (n,) array                         [s]

    Notes
    -----
    Source: PRESERVE, arXiv 2501.08192, section 4.

    >>> float(prefetch_hidden_time(20e-6, 48e6, 4.8e12))
    1e-05
    """
    return np.minimum(communication, sram / memory_bandwidth)


def _beyond_one(members: Number) -> Number:
    """1 for groups of several members, 0 for one alone."""
    return np.where(np.asarray(members) > 1, 1.0, 0.0)


class Path(NamedTuple):
    """How one collective over one group uses the links; each field (t, n) for t tiers, or (n,) for a single one."""

    steps: FloatArray
    """Steps one after the other, 0 for a group of one [1]."""
    traffic: FloatArray
    """Bytes a device sends over the tier, per byte of the message [1]."""
    hop_latency: FloatArray
    """Latency of one step [s]."""
    bandwidth: FloatArray
    """One direction per device [B/s]."""


def collective_time(path: Path, message: Number, alpha: Number, efficiency: Number = 1.0) -> FloatArray:
    r"""Time of a collective over any topology.

    .. math:: T = \alpha + \sum_t \left(s_t\,l_t + \frac{f_t\,m}{\eta\,\beta_t}\right)              (20)

    Parameters
    ----------
    path : Path                        steps s, traffic f, hop latency l and bandwidth beta per tier
    message : (n,) or (t, n) array     bytes held or sent by each member m [B]
    alpha : (n,) array                 latency of the software, once per operation [s]
    efficiency : (n,) array            achieved share of the bandwidth eta [1]

    Returns
    -------
    (n,) array                         [s]; zero where the path has no step

    Notes
    -----
    Holds for the algorithm from which the steps and traffic were derived. Tiers are passed one after the other.

    >>> switch = Path(np.array([14.0]), np.array([1.75]), np.array([0.0]), np.array([450e9]))
    >>> (1e6 * collective_time(switch, 4.5e6, 10e-6)).round(2).tolist()
    [27.5]
    """
    terms = path.steps * path.hop_latency + path.traffic * np.asarray(message, float) / (efficiency * path.bandwidth)
    steps = np.asarray(path.steps)
    if np.ndim(terms) > 1:
        return np.where(steps.sum(axis=0) > 0, np.asarray(alpha) + terms.sum(axis=0), 0.0)
    return np.where(steps > 0, np.asarray(alpha) + terms, 0.0)
