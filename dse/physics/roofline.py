r"""Time of one pass: each operator group at its nearer roof, plus messages, plus what surrounds them.

.. math:: T = \sum_o \left(\left(t_{c,o}^4 + t_{m,o}^4\right)^{1/4} + n_o t_0\right) + t_{net} + t_{other}, \quad
          t_c = \frac{F (1 + M_{1/2}/M)}{\eta_c P}, \quad t_m = \frac{Q}{\eta_m \beta}               (R1)

The fourth-power mean is the maximum of compute and memory time away from the ridge and 19 % above it at the ridge,
where real kernels overlap the two incompletely; measured matrix products are fitted best by that power (3.5 to 4.5).
"""

from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike

from dse.arrays import FloatArray
from dse.physics.calibration import Calibration, Curves, pick
from dse.physics.demand import GROUPS, Communication, Message, Work
from dse.physics.network import Path, collective_time


class Supply(NamedTuple):
    """What one device offers; each field a number or (n,)."""

    linear_rate: ArrayLike
    """Dense peak in the format of the linear layers [FLOP/s]."""
    attention_rate: ArrayLike
    """Dense peak in the format of the attention core [FLOP/s]."""
    expert_rate: ArrayLike
    """Dense peak in the format of the routed experts [FLOP/s]."""
    memory_bandwidth: ArrayLike
    """Data-sheet bandwidth [B/s]."""
    embedding_rate: ArrayLike
    """Dense peak in bf16: router, LM head and recurrences [FLOP/s]."""
    linear_width: ArrayLike = 2.0
    """Bytes per operand that the linear layers compute with; picks the efficiency curve [B]."""
    attention_width: ArrayLike = 2.0
    """The same for the attention core [B]."""
    expert_width: ArrayLike = 2.0
    """The same for the routed experts [B]."""
    compute_fraction: ArrayLike = 1.0
    """Measured achievable share of the peak over that of the class, where known [1]."""
    memory_fraction: ArrayLike = 1.0
    """Measured achievable share of the bandwidth over that of the class, where known [1]."""
    activation_width: ArrayLike = 2.0
    """Bytes per activation element in the work given, `Precision.activation` [B]."""


class Links(NamedTuple):
    """Paths of the messages of one instance, looked up by group size; (n,) or (t, n) fields each."""

    all_reduce: Path
    """Reduction over ``tp``."""
    all_gather: Path
    """Gather over ``tp``; traffic of a gather is per byte of one member's piece."""
    expert_gather: Path
    """Gather over ``attention_dp`` (and reduce-scatter, the same traffic)."""
    exchange: Path
    """All-to-all over ``ep``: dispatch and combine."""
    context: Path
    """Gather over ``cp``."""
    p2p: Path
    """One message to the next of ``pp`` stages."""
    copies: ArrayLike = 1.0
    """Copies of a token sent by dispatch, the local one included, per tier: k or `expert_copies` [1]."""
    expert_ranks: ArrayLike = 1.0
    """Ranks over which the experts lie, ``ep`` [1]."""
    reduced_in_network: ArrayLike = 0.0
    """1 where the switches reduce, so that the path of `all_reduce` has traffic 1 [1]."""
    direct: Path | None = None
    """All-reduce over ``tp`` in two rounds of pairwise messages; where absent it is derived for a single tier."""


class PassTime(NamedTuple):
    """Time of one pass and its terms, which add up to `seconds`."""

    seconds: FloatArray
    """(n,) [s]."""
    compute: FloatArray
    """Share of the operators that compute bounds (n,) [s]."""
    memory: FloatArray
    """Share of the operators that memory bounds (n,) [s]."""
    network: FloatArray
    """Exposed communication (n,) [s]."""
    overhead: FloatArray
    """Kernel floors, layers, step and requests (n,) [s]."""
    group_seconds: FloatArray
    """Operators by group, floors included, (G, n) [s]."""


class LocalTime(NamedTuple):
    """Time that one device spends on a pass by itself, before any message; what a topology cannot change."""

    compute: FloatArray
    """Share of the operators that compute bounds (n,) [s]."""
    memory: FloatArray
    """Share of the operators that memory bounds (n,) [s]."""
    overhead: FloatArray
    """Kernel floors, layers, step and requests (n,) [s]."""
    group_seconds: FloatArray
    """Operators by group, floors included, (G, n) [s]."""


def operator_time(compute_time: FloatArray, memory_time: FloatArray) -> FloatArray:
    r"""Time of an operator from its time at each roof.

    .. math:: t = (t_c^4 + t_m^4)^{1/4}                                                   (R2)

    Parameters
    ----------
    compute_time : (n,) array          at the compute roof t_c [s]
    memory_time : (n,) array           at the memory roof t_m [s]

    Returns
    -------
    (n,) array                         [s]; at least the larger, at most 19 % above it

    Notes
    -----
    Source: roofline (Williams, Waterman and Patterson 2009) with a rounded ridge; the power is fitted to 1,410
    measured matrix products.

    >>> [round(float(operator_time(np.array(1.0), np.array(x))), 3) for x in (0.0, 0.5, 1.0)]
    [1.0, 1.015, 1.189]
    """
    compute_square, memory_square = compute_time * compute_time, memory_time * memory_time
    return np.sqrt(np.sqrt(compute_square * compute_square + memory_square * memory_square))


def pass_time(work: Work, supply: Supply, links: Links, calibration: Calibration) -> PassTime:
    r"""Time of one pass, equation (R1).

    Parameters
    ----------
    work : Work                        demand on one device, (G, n)
    supply : Supply                    rates of the device, numbers or (n,)
    links : Links                      paths of the messages
    calibration : Calibration          fitted constants

    Returns
    -------
    PassTime                           seconds and their terms, (n,)

    Notes
    -----
    With pipeline stages the work is that of one microbatch through all of them, and so is the time. Groups a model
    does not have cost nothing to evaluate.

    >>> from dse.physics.calibration import IDEAL
    >>> one = np.zeros((len(GROUPS), 1))
    >>> one[0] = 1e12
    >>> none = Message(np.zeros(1), np.zeros(1))
    >>> still = Path(np.zeros(1), np.zeros(1), np.zeros(1), np.ones(1))
    >>> demand = Work(one, one / 1e6, 0 * one, 0 * one, one, 0 * one, Communication(*[none] * 7))
    >>> spent = pass_time(demand, Supply(1e12, 1e12, 1e12, 1e12, 1e12), Links(*[still] * 6), IDEAL)
    >>> float(spent.seconds[0]), float(spent.compute[0])
    (1.0, 1.0)
    """
    alone = local_time(work, supply, links.expert_ranks, calibration)
    return joined(alone, exposed_time(work.communication, links, calibration))


def local_time(work: Work, supply: Supply, expert_ranks: ArrayLike, calibration: Calibration) -> LocalTime:
    """Terms of equation (R1) but for the messages.

    Parameters
    ----------
    work, supply, calibration          as `pass_time`
    expert_ranks : number or (n,)      ranks over which the experts lie [1]

    Returns
    -------
    LocalTime                          terms, (n,)
    """
    size = work.flop.shape[1]
    groups = np.zeros((len(GROUPS), size))
    compute, memory, floors = np.zeros(size), np.zeros(size), np.zeros(size)
    for index, group in enumerate(GROUPS):
        if not work.kernels[index].any() and not work.flop[index].any():
            continue
        spent = _group(group, index, work, supply, expert_ranks, calibration)
        compute += spent.compute
        memory += spent.memory
        floors += spent.floor
        groups[index] = spent.compute + spent.memory + spent.floor
    return LocalTime(compute, memory, floors + overhead_time(work, supply, calibration), groups)


def exposed_time(sent: Communication, links: Links, calibration: Calibration) -> FloatArray:
    """Messages of a pass that no computation hides, (n,) [s]; arguments as `communication_time`."""
    return communication_time(sent, links, calibration) * (1 - calibration.overlap)


def joined(alone: LocalTime, network: FloatArray) -> PassTime:
    """Equation (R1) from its terms: what the device does by itself, and its exposed messages (n,) [s]."""
    seconds = alone.compute + alone.memory + network + alone.overhead
    return PassTime(seconds, alone.compute, alone.memory, network, alone.overhead, alone.group_seconds)


def overhead_time(work: Work, supply: Supply, calibration: Calibration) -> FloatArray:
    r"""Time outside of the operator groups.

    .. math:: t_{other} = L\,t_{layer} + t_{step} + B\,t_{request} + \kappa\,Q_{act}/(\eta_m \beta)             (R3)

    Parameters
    ----------
    work, supply, calibration          as `pass_time`

    Returns
    -------
    (n,) array                         [s]

    Notes
    -----
    Layers are counted by their mixers (attention cores and recurrences), requests by their logits.
    """
    mixers = work.kernels[GROUPS.index("attention_core")] + work.kernels[GROUPS.index("recurrent")]
    requests = work.rows[GROUPS.index("lm_head")]
    constants = calibration.overhead
    bandwidth = (
        calibration.linear.bf16.memory
        * np.asarray(supply.memory_bandwidth, float)
        * np.asarray(supply.memory_fraction, float)
    )
    traffic = work.activation_bytes[GROUPS.index("attention_linear")] * constants.traffic / bandwidth
    return np.asarray(mixers * constants.layer + constants.step + requests * constants.request + traffic)


def communication_time(sent: Communication, links: Links, calibration: Calibration) -> FloatArray:
    """Time of all messages of a pass, nothing overlapped.

    Parameters
    ----------
    sent : Communication               messages per pass
    links : Links                      their paths
    calibration : Calibration          software latencies and achieved shares

    Returns
    -------
    (n,) array                         [s]
    """
    constants = calibration.network

    def gathered(message: Message, path: Path) -> FloatArray:
        if not message.count.any():
            return np.zeros_like(message.count)
        return message.count * library_time(path, message.size, calibration, constants.efficiency)

    def exchanged(message: Message) -> FloatArray:
        if not message.count.any():
            return np.zeros_like(message.count)
        size = message.size * np.asarray(links.copies, float) * expert_skew(links.expert_ranks, calibration.expert_skew)
        alpha, share = constants.exchange_alpha, constants.exchange_efficiency
        return message.count * collective_time(links.exchange, size, alpha, share)

    return (
        all_reduce_time(sent.all_reduce, links, calibration)
        + gathered(sent.all_gather, links.all_gather)
        + gathered(sent.expert_gather, links.expert_gather)
        + exchanged(sent.dispatch)
        + exchanged(sent.combine)
        + gathered(sent.context, links.context)
        + gathered(sent.p2p, links.p2p)
    )


def all_reduce_time(message: Message, links: Links, calibration: Calibration) -> FloatArray:
    r"""Time of the reductions of a pass by the fastest of two algorithms, or three where messages are compressed.

    .. math:: T = n \min\left(\alpha + \textstyle\sum_t s_t l_t + f_t m/(\eta \beta_t) + 2\sqrt{\tau f m/\beta},\;
                  \alpha_d + \sum_t s'_t l_t + f'_t m/(\eta_d \beta_t)\right)                 (R4)

    Parameters
    ----------
    message : Message                  count n and bytes m
    links, calibration                 as `pass_time`

    Returns
    -------
    (n,) array                         [s]

    Notes
    -----
    The first is the library's (ring, or reduction in the switches), whose pipeline over chunks costs the square root;
    the second is the engines' own kernel: everyone to everyone, scatter then gather. Where messages are compressed, a
    third has the rounds of the second, m/r for m, the library's share of the bandwidth, and the time of compressing on
    top (Flash Communication, arXiv 2412.04964); a ring would compress at every step. Source of the root: the best chunk
    size of a pipeline balances start and transfer time of a chunk (Thakur et al. 2005, section 5).
    """
    if not message.count.any():
        return np.zeros_like(message.count)
    constants, path = calibration.network, links.all_reduce
    in_network = np.asarray(links.reduced_in_network, float)
    share = constants.efficiency + in_network * (constants.in_network_efficiency - constants.efficiency)
    ring = library_time(path, message.size, calibration, share)
    direct = links.direct
    if direct is None and np.ndim(path.steps) > 1:
        return message.count * ring
    if direct is None:
        direct = path._replace(steps=np.minimum(path.steps, DIRECT_CROSSINGS))
    exchange = collective_time(direct, message.size, constants.direct_alpha, constants.direct_efficiency)
    best = np.minimum(ring, exchange)
    if constants.coded_ratio > 1:
        sent = message.size / constants.coded_ratio
        coded = collective_time(direct, sent, constants.direct_alpha, constants.efficiency)
        best = np.minimum(best, coded + constants.codec * message.size)
    return message.count * best


DIRECT_CROSSINGS = 4.0
"""Links crossed by two rounds of messages through one switch [1]."""


def library_time(path: Path, size: FloatArray, calibration: Calibration, share: FloatArray | float) -> FloatArray:
    """Time of one collective of a library, first algorithm of equation (R4) [s]."""
    constants = calibration.network
    slowed = path._replace(hop_latency=path.hop_latency + constants.hop)
    wire = path.traffic * size / path.bandwidth
    wire = wire.sum(axis=0) if np.ndim(wire) > 1 else wire
    return np.asarray(collective_time(slowed, size, constants.alpha, share) + 2 * np.sqrt(constants.pipeline * wire))


def expert_skew(ranks: ArrayLike, skew: float) -> FloatArray:
    r"""Load of the hottest of several expert ranks over the mean.

    .. math:: \sigma(n) = 1 + (\sigma_\infty - 1)(1 - 1/n)                                  (R5)

    Parameters
    ----------
    ranks : (n,) array                 expert ranks n [1]
    skew : float                       at many ranks [1]

    Returns
    -------
    (n,) array                         [1]; 1 for a single rank

    >>> expert_skew(np.array([1, 2]), 1.4).tolist()
    [1.0, 1.2]
    """
    return 1 + (skew - 1) * (1 - 1 / np.asarray(ranks, float))


class _Spent(NamedTuple):
    """Time of one group, split by its roof."""

    compute: FloatArray
    memory: FloatArray
    floor: FloatArray


class _Roof(NamedTuple):
    """Rates that one group meets."""

    rate: ArrayLike
    width: ArrayLike
    curves: Curves


def _group(
    group: str, index: int, work: Work, supply: Supply, expert_ranks: ArrayLike, calibration: Calibration
) -> _Spent:
    """Time of one operator group."""
    roof = _roof(group, supply, calibration)
    flop, moved = work.flop[index], work.weight_bytes[index] + work.kv_bytes[index]
    if group == "attention_core":
        flop = flop + 2 * calibration.mask_tokens * work.activation_bytes[index] / np.asarray(
            supply.activation_width, float
        )
    else:
        flop = flop * (1 + pick(roof.width, roof.curves, "half_rows") / np.maximum(work.rows[index], 1.0))
    if group == "routed_experts":
        flop = flop * expert_skew(expert_ranks, calibration.expert_skew)
    rate = (
        np.asarray(roof.rate, float)
        * np.asarray(supply.compute_fraction, float)
        * pick(roof.width, roof.curves, "compute")
    )
    bandwidth = np.asarray(supply.memory_bandwidth, float) * np.asarray(supply.memory_fraction, float)
    at_compute = flop / rate
    moved = moved + pick(roof.width, roof.curves, "traffic") * work.activation_bytes[index]
    at_memory = moved / (bandwidth * pick(roof.width, roof.curves, "memory"))
    total = operator_time(at_compute, at_memory)
    kernels = work.kernels[index] * (calibration.projection_kernels if group == "attention_linear" else 1.0)
    part, whole = at_compute**2, np.maximum(total, 1e-300) ** 2
    bound = np.where(total > 0, (part * part) / (whole * whole), 0.0)
    return _Spent(total * bound, total * (1 - bound), kernels * pick(roof.width, roof.curves, "floor"))


def _roof(group: str, supply: Supply, calibration: Calibration) -> _Roof:
    """Rates and curves of a group."""
    if group == "routed_experts":
        return _Roof(supply.expert_rate, supply.expert_width, calibration.experts)
    if group == "attention_core":
        return _Roof(supply.attention_rate, supply.attention_width, calibration.attention)
    if group in ("router", "lm_head", "embedding", "recurrent"):
        return _Roof(supply.embedding_rate, 2.0, calibration.linear)
    return _Roof(supply.linear_rate, supply.linear_width, calibration.linear)
