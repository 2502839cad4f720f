r"""Waiting: processor sharing, first come first served, decode slots, quantiles of mixtures.

An agent's prefill demand is a wild mixture (a tool result of 300 tokens, a lost prefix of 100,000), so the
discipline decides the wait. Chunked prefill interleaves requests and behaves like processor sharing, whose
mean response depends on the mean demand only; first come first served pays for the variance.
"""

import numpy as np

from dse.arrays import FloatArray

Z_95 = 1.645
"""95 % quantile of the standard normal law [1]."""


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


def mixture_quantile(values: FloatArray, weights: FloatArray, level: float) -> FloatArray:
    r"""Quantile of a weighted sample, row by row.

    .. math:: q = \min\{x : \textstyle\sum_{i: v_i \le x} w_i \ge \ell\,\sum_i w_i\}        (Q4)

    Parameters
    ----------
    values : (..., r) array            atoms [any unit]
    weights : (..., r) array           their weights, >= 0, broadcast against values [1]
    level : float                      the quantile, for example 0.95 [1]

    Returns
    -------
    (...) array                        quantile [unit of values]

    Notes
    -----
    A mixture has cliffs: p95 of "96 % hits, 4 % misses" is a hit, of "94 % hits" a miss. Nothing here smooths that.
    Source: definition of the lower quantile.

    >>> float(mixture_quantile(np.array([1.0, 2.0, 30.0]), np.array([0.90, 0.04, 0.06]), 0.95))
    30.0
    """
    order = np.argsort(values, axis=-1)
    sorted_weights = np.take_along_axis(np.broadcast_to(weights, values.shape), order, axis=-1)
    mass = np.cumsum(sorted_weights, axis=-1)
    threshold = level * mass[..., -1:] * (1 - 1e-12)
    rank = np.argmax(mass >= threshold, axis=-1)[..., None]
    picked = np.take_along_axis(order, rank, axis=-1)
    return np.asarray(np.take_along_axis(values, picked, axis=-1)[..., 0])
