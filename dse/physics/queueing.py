r"""Waiting: processor sharing, first come first served, decode slots, quantiles of mixtures.

An agent's prefill demand is a wild mixture (a tool result of 300 tokens, a lost prefix of 100,000), so the
discipline decides the wait. Chunked prefill interleaves requests and behaves like processor sharing, whose
mean response depends on the mean demand only; first come first served pays for the variance.
"""

from collections.abc import Sequence
from statistics import NormalDist

import numpy as np

from dse.arrays import FloatArray

Z_95 = 1.645
"""95 % quantile of the standard normal law [1]."""

LIMIT = 0.99
"""Load at which a queue that would grow without bound is cut [1]."""

PHASES = 2.0
"""Phases of a wait in passes [1]: the rest of one, and one's own."""

TINY = 1e-12
"""Keeps a logarithm finite."""


def processor_sharing_response(service: FloatArray, utilisation: FloatArray | float) -> FloatArray:
    r"""Mean response time of a request of given size under processor sharing.

    .. math:: E[T \mid s] = \frac{s}{1 - \rho}                                             (Q1)

    Parameters
    ----------
    service : (...) array              service time s alone on the server [s]
    utilisation : (...) array          load of the server, rho in [0, 1) [1]

    Returns
    -------
    (...) array                        response time [s]

    Notes
    -----
    Exact for M/G/1-PS and insensitive to the law of s. Chunk-interleaved prefill approaches it when chunks are
    small against requests. Source: Kleinrock, Queueing Systems II, 1976, section 4.4.

    >>> round(float(processor_sharing_response(np.array(0.2), 0.7)), 4)    # 0.2 s of work waits 0.47 s
    0.6667
    """
    return service / (1 - utilisation)


def first_come_wait(
    mean: FloatArray, service_scv: FloatArray | float, arrival_scv: FloatArray | float, utilisation: FloatArray | float
) -> FloatArray:
    r"""Mean wait under first come first served (Allen–Cunneen for one server).

    .. math:: E[W] = \frac{\rho\,s}{1 - \rho}\cdot\frac{c_a^2 + c_s^2}{2}                  (Q2)

    Parameters
    ----------
    mean : (...) array                 mean service time s [s]
    service_scv : (...) array          squared coefficient of variation of service, c_s^2 [1]
    arrival_scv : (...) array          the same of the gaps between arrivals, c_a^2 (1 = Poisson) [1]
    utilisation : (...) array          rho [1]

    Returns
    -------
    (...) array                        mean wait before service [s]; a mean only, no quantile follows from it

    Notes
    -----
    Exact for Poisson arrivals (Pollaczek–Khinchine), an approximation otherwise.
    Source: Allen, Probability, Statistics and Queueing Theory, 2nd ed. 1990, section 5.3.

    >>> round(float(first_come_wait(np.array(0.2), 31.0, 1.0, 0.7)), 2)    # coding prefill by fresh tokens
    7.47
    """
    return utilisation * mean / (1 - utilisation) * (arrival_scv + service_scv) / 2


def mean_slots(batch: FloatArray, z: float = Z_95) -> FloatArray:
    r"""Mean number of busy decode slots such that the batch limit is rarely exceeded.

    .. math:: \bar N + z\sqrt{\bar N} = B \;\Rightarrow\; \bar N = \Bigl(\frac{-z + \sqrt{z^2 + 4B}}{2}\Bigr)^2  (Q3)

    Parameters
    ----------
    batch : (...) array                slots of the instance, B [1]
    z : float                          normal quantile of the accepted overflow [1]

    Returns
    -------
    (...) array                        mean busy slots [1]

    Notes
    -----
    The number in an infinite-server queue is Poisson, its normal approximation is square-root staffing.
    Source: Halfin and Whitt, Operations Research 29, 1981.

    >>> [round(float(mean_slots(np.array(b)) / b), 2) for b in (12.0, 128.0)]
    [0.62, 0.86]
    """
    return np.asarray(((-z + np.sqrt(z * z + 4 * batch)) / 2) ** 2)


def pass_wait(
    floor: FloatArray,
    slope: FloatArray,
    stages: FloatArray,
    rate: FloatArray,
    prompt: FloatArray | float,
    size: FloatArray | float,
    chunk: FloatArray,
) -> tuple[FloatArray, FloatArray]:
    r"""Mean time that a prompt spends in passes beside its own work, where it goes anywhere and where its KV is.

    .. math::
        \varphi = \frac{\lambda g}{S}, \quad \iota = \frac{\lambda f}{S}, \quad
        \bar X = \frac{\iota}{1 - \varphi}, \quad n = \bar X + a_2, \quad
        m = \bar X + \frac{a_2}{1 - \varphi^2}, \quad b = \min\Bigl(1, \varphi + \frac{\iota}{a}\Bigr)

    .. math::
        W_{any} = f + g\,(\bar X - a)^+ + b^2\,\frac{f + g n}{2 S}, \qquad
        W_{own} = f + b\,\Bigl(\frac{f + g m}{2 S} + g\,(\varphi m + \iota)\Bigr)              (Q5)

    Parameters
    ----------
    floor : (n,) array                 time of a pass without tokens f [s]
    slope : (n,) array                 time of a pass for each token more g [s/tok]
    stages : (n,) array                pipeline stages S: the next pass may begin after a share 1/S of one [1]
    rate : (n,) array                  tokens that arrive lambda [tok/s]
    prompt : float                     mean tokens of a prompt a [tok]
    size : (n,) array                  tokens of the prompt that a token belongs to, a_2 = E[a²]/E[a] [tok]
    chunk : (n,) array                 most tokens of a pass; bounds those of others too [tok]

    Returns
    -------
    two (n,) arrays                    of a prompt sent to the shortest queue; of one that goes where its KV is, which
                                       is never below the first [s]

    Notes
    -----
    A pass takes what arrived while the one before held the first stage (gated batch service), so its tokens obey
    X' = arrivals in (f + g X)/S, on average X. Who goes where its KV is finds a stage busy with probability b, waits
    for the rest of it and then shares the pass with all who came since; the pass that a prompt finds holds m tokens,
    exactly a_2/(1 - phi²) for Poisson prompts where floors are nothing. Who is sent to the shortest queue waits only if
    the two shortest are busy, and shares a pass only as far as passes of one prompt each would not serve the load.
    Source: derived here; gated batches as in Avi-Itzhak and Halfin, Response times in gated M/G/1 queues, 1989.

    >>> def waits(rate):
    ...     columns = (np.array(x) for x in (0.02, 4e-5, 4.0, rate))
    ...     return [round(float(w), 3) for w in pass_wait(*columns, 1e3, 2e3, np.array(8192.0))]
    >>> waits(0.0), waits(7e4)
    ([0.02, 0.02], [0.045, 0.204])
    """
    steady, begun = np.minimum(rate * slope / stages, LIMIT), rate * floor / stages
    busy = np.minimum(steady + begun / prompt, 1.0)
    mean = np.minimum(begun / (1 - steady), chunk)
    running = np.minimum(mean + size, chunk)
    anywhere = floor + slope * np.maximum(mean - prompt, 0.0) + busy**2 * (floor + slope * running) / (2 * stages)
    shared = np.minimum(mean + size / (1 - steady**2), chunk)
    others = np.minimum(steady * shared + begun, chunk)
    own = floor + busy * ((floor + slope * shared) / (2 * stages) + slope * others)
    return np.asarray(anywhere), np.maximum(anywhere, own)


def order_wait(
    passes: tuple[FloatArray, FloatArray], own: FloatArray, stages: FloatArray, rate: FloatArray
) -> FloatArray:
    r"""Mean wait of a pass, whose first stage is free, for those before it in the stages behind: passes end in order.

    .. math:: W = \frac{\nu}{2}\,E\Bigl[\Bigl(\bigl(1 - \tfrac1S\bigr) P - O\Bigr)^{+\,2}\Bigr]      (Q11)

    Parameters
    ----------
    passes : (n, k), (k,) arrays       times of passes P [s], and how many of each there are per prompt [1]
    own : (n,) array                   time of one's own pass O [s]
    stages : (n,) array                pipeline stages S [1]
    rate : (n,) array                  prompts per second nu [1/s]

    Returns
    -------
    (n,) array                         [s]; zero with one stage

    Notes
    -----
    A pass that has left the first stage is in the others for (1 - 1/S) P more. Who comes y before its end and needs O
    waits y - O; passes arrive like Poisson, and of several the one that ends last is taken for all, so this holds while
    long passes are rare. Source: derived here (renewal reward).

    >>> own, stages, rate = np.array([0.5]), np.array([4.0]), np.array([0.1])
    >>> order_wait((np.array([[2.0]]), np.array([1.0])), own, stages, rate).tolist()
    [0.05]
    """
    times, count = passes
    beyond = np.maximum((1 - 1 / stages)[:, None] * times - own[:, None], 0.0)
    return np.asarray(rate / 2 * (beyond**2 @ count))


def pass_response(stages: FloatArray, beyond: FloatArray | float, utilisation: FloatArray | float) -> FloatArray:
    r"""Time that a prompt's own tokens take over the time for which they keep an instance busy.

    .. math:: \kappa = S\,(1 - \beta) + \frac{\beta}{1 - \rho}                              (Q12)

    Parameters
    ----------
    stages : (n,) array                pipeline stages S [1]
    beyond : (n,) array                share of the tokens that lie beyond the first chunk of their prompt, beta [1]
    utilisation : float                load of others with whom further chunks share passes, rho; 0 if with none [1]

    Returns
    -------
    (n,) array                         [1]

    Notes
    -----
    Tokens of one pass run through all S stages, each of which could begin a pass of others meanwhile. Further chunks
    follow stage by stage and share their passes with others (processor sharing, Q1). The mean over all prompts is taken
    for each. Source: derived here.

    >>> float(pass_response(np.array(4.0), 0.25, 0.5))
    3.5
    """
    return np.asarray(stages * (1 - beyond) + processor_sharing_response(np.asarray(beyond), utilisation))


def blocking(slots: float, busy: float) -> float:
    r"""Probability that all slots are busy when a request comes, if those that wait are served in turn (Erlang C).

    .. math:: B_0 = 1, \quad B_n = \frac{N B_{n-1}}{n + N B_{n-1}}, \quad C = \frac{B_s}{1 - (N/s)(1 - B_s)}   (Q6)

    Parameters
    ----------
    slots : float                      slots s, a whole number [1]
    busy : float                       mean busy slots N < s [1]

    Returns
    -------
    float                              [1]

    Notes
    -----
    Exact for M/M/s. Source: Erlang 1917; recursion of Jagers and van Doorn, Operations Research Letters 5, 1986.

    >>> blocking(1, 0.7), round(blocking(16, 10.0), 4)
    (0.7, 0.0573)
    """
    blocked = 1.0
    for number in range(1, int(slots) + 1):
        blocked = busy * blocked / (number + busy * blocked)
    return blocked / (1 - busy / slots * (1 - blocked))


def pass_excess(mean: FloatArray, level: float) -> FloatArray:
    r"""Quantile less the mean of a wait in passes, taken as two phases of equal mean; nothing below the mean.

    .. math:: w\,\max\Bigl(0,\; \bigl(1 - \tfrac{1}{9k} + \tfrac{z_\ell}{3\sqrt{k}}\bigr)^3 - 1\Bigr), \; k = 2  (Q10)

    Parameters
    ----------
    mean : (...) array                 mean wait w [s]
    level : float                      for example 0.95 [1]

    Returns
    -------
    (...) array                        [s]

    Notes
    -----
    The phases are the rest of the pass in progress and the pass of one's own, whose tokens vary like a sum of prompts.
    An Erlang law of two phases has its 95th percentile at 2.37 times its mean. Source: assumption of this model;
    quantile of the gamma law by Wilson and Hilferty, PNAS 17, 1931.

    >>> round(float(pass_excess(np.array(1.0), 0.95)), 2)
    1.36
    """
    middle = 1 - 1 / (9 * PHASES) + NormalDist().inv_cdf(level) / (3 * PHASES**0.5)
    return np.asarray(mean * max(middle**3 - 1, 0.0))


def delay_excess(probability: FloatArray, delay: FloatArray, level: float) -> FloatArray:
    r"""Quantile less the mean of a delay that is exponential where there is any; nothing below the mean.

    .. math:: \max\Bigl(0,\; \delta \ln\frac{C}{1 - \ell} - C \delta\Bigr)                    (Q7)

    Parameters
    ----------
    probability : (...) array          share of the requests that are delayed C [1]
    delay : (...) array                mean delay of those delta [s]
    level : float                      for example 0.95 [1]

    Returns
    -------
    (...) array                        [s]

    Notes
    -----
    Exact for M/M/s. Source: Kleinrock, Queueing Systems I, 1975, section 3.5.

    >>> round(float(delay_excess(np.array(0.1), np.array(2.0), 0.95)), 3)
    1.186
    """
    ratio = np.maximum(probability / (1 - level), TINY)
    return np.asarray(np.maximum(delay * (np.log(ratio) - probability), 0.0))


def joined_quantile(reading: FloatArray, mean: FloatArray, delay: FloatArray, excess: FloatArray) -> FloatArray:
    r"""Quantile of a time with a known law plus independent delays: deviations from the mean add as squares.

    .. math:: q = m + w + \operatorname{sgn}(D) \sqrt{|D|}, \qquad D = \operatorname{sgn}(d)\,d^2 + e^2, \quad
              d = q_0 - m                                                                    (Q8)

    Parameters
    ----------
    reading, mean : (...) arrays       quantile q_0 and mean m of the time without the delays [s]
    delay : (...) array                mean of the delays that the time does not hold yet w [s]
    excess : (...) array               root of the sum of squares of the delays' quantiles less their means e [s]

    Returns
    -------
    (...) array                        never below q_0 + w [s]

    Notes
    -----
    Exact for normal laws and where one of the terms has no spread. Source: sum of variances; derived here.

    >>> float(joined_quantile(np.array(5.0), np.array(2.0), np.array(1.0), np.array(4.0)))
    8.0
    """
    own = reading - mean
    whole = np.copysign(own**2, own) + excess**2
    return np.asarray(mean + delay + np.copysign(np.sqrt(np.abs(whole)), whole))


def reading_within(limit: FloatArray | float, mean: FloatArray, delay: FloatArray, excess: FloatArray) -> FloatArray:
    r"""Largest quantile without delays whose sum with them is within a limit: the inverse of :func:`joined_quantile`.

    .. math:: q_0 = m + \operatorname{sgn}(D) \sqrt{|D|}, \qquad D = \operatorname{sgn}(d)\,d^2 - e^2, \quad
              d = q - m - w                                                                  (Q9)

    Parameters
    ----------
    limit : (...) array                limit of the sum q [s]
    mean, delay, excess : (...) arrays as for :func:`joined_quantile` [s]

    Returns
    -------
    (...) array                        [s]

    Notes
    -----
    Source: derived here.

    >>> float(reading_within(8.0, np.array(2.0), np.array(1.0), np.array(4.0)))
    5.0
    """
    own = limit - mean - delay
    whole = np.copysign(own**2, own) - excess**2
    return np.asarray(mean + np.copysign(np.sqrt(np.abs(whole)), whole))


def mixture_quantiles(
    values: FloatArray, weights: FloatArray, levels: Sequence[float], below: FloatArray | None = None
) -> FloatArray:
    r"""Quantiles of weighted atoms, row by row, linear between the middles of their weights.

    .. math:: q = v_i + (v_{i+1} - v_i)\,\frac{\ell - m_i}{m_{i+1} - m_i}, \qquad
              m_i = \frac{w_0 + \sum_{j \le i} w_j - w_i/2}{w_0 + \sum_j w_j}                   (Q4)

    Parameters
    ----------
    values : (n, k) array              atoms of each row, >= 0 [any unit]
    weights : (n, k) array             their weights, >= 0; atoms without weight have no say [1]
    levels : sequence of q floats      for example 0.5 and 0.95 [1]
    below : (n,) array                 weight w_0 of further atoms, known to lie below those that any of the levels
                                       falls between; 0 where absent [1]

    Returns
    -------
    (q, n) array                       quantiles [unit of values]

    Notes
    -----
    A mixture has cliffs: p95 of "98 % hits, 2 % misses" is a hit, of "90 % hits" a miss, whatever the mean says.
    The rule is the one by which the atoms of a class are placed. Source: Hazen's plotting position, weighted.
    Bits of numbers that are not negative are ordered like the numbers, so the place of an atom rides in the last bits
    of its value and one plain sort ranks both; values that agree to 14 digits may change places.

    >>> atoms, weights = np.array([[1.0, 1.1, 30.0]] * 2), np.array([[0.9, 0.08, 0.02], [0.5, 0.3, 0.2]])
    >>> mixture_quantiles(atoms, weights, [0.9]).round(2).tolist()
    [[1.09, 30.0]]
    """
    size, count = values.shape
    place, rows = (1 << (count - 1).bit_length()) - 1, np.arange(size)
    idle = weights <= 0
    some = bool(idle.any())
    keys = (np.where(idle, np.inf, values) if some else np.ascontiguousarray(values)).view(np.int64) & ~place
    keys |= np.arange(count)
    keys.sort(axis=-1)
    keys &= place
    keys += count * rows[:, None]
    share = np.take(weights, keys)
    middle = np.cumsum(share, axis=-1)
    if below is not None:
        middle += below[:, None]
    total = middle[:, -1].copy()
    share *= 0.5
    middle -= share
    last = count - 1 - (np.count_nonzero(idle, axis=-1) if some else np.zeros(size, dtype=np.int64))
    found = np.empty((len(levels), size))
    for index, level in enumerate(levels):
        if level in levels[:index]:
            found[index] = found[levels.index(level)]
            continue
        target = level * total
        reached = middle >= target[:, None]
        right = np.minimum(np.where(reached[:, -1], reached.argmax(axis=-1), last), last)
        left = np.maximum(right - 1, 0)
        low, high = middle[rows, left], middle[rows, right]
        part = np.clip((target - low) / np.where(high > low, high - low, 1.0), 0.0, 1.0)
        lower, upper = np.take(values, keys[rows, left]), np.take(values, keys[rows, right])
        found[index] = lower + part * (upper - lower)
    return found
