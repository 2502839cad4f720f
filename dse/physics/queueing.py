r"""Waiting: processor sharing, first come first served, decode slots, quantiles of mixtures.

An agent's prefill demand is a wild mixture (a tool result of 300 tokens, a lost prefix of 100,000), so the
discipline decides the wait. Chunked prefill interleaves requests and behaves like processor sharing, whose
mean response depends on the mean demand only; first come first served pays for the variance.
"""

from collections.abc import Sequence

import numpy as np

from dse.arrays import FloatArray

Z_95 = 1.645
"""95 % quantile of the standard normal law [1]."""

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
