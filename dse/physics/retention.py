r"""KV retention: how long a session's KV can wait for its next step, and what a loss costs.

Between two steps a tool runs or a person thinks, and the KV cache of the session waits in some memory tier. Under
least-recently-used replacement a large cache behaves as if every entry were kept for one *characteristic time* T
(Che). A class is described by curves over T (:mod:`dse.facts.workload.classes`); this module finds T from the capacity,
and the state into which a loaded system falls.
"""

import numpy as np

from dse.arrays import BoolArray, FloatArray


def characteristic_time(grid: FloatArray, occupancy: FloatArray, budget: FloatArray) -> FloatArray:
    r"""Retention time that fills a memory of fixed size: the root of occupancy(T) = budget.

    .. math:: \frac1n\Bigl(\sum_{i<n} E[c_i \min(g_i, T)] + E[c_n]\,T\Bigr) = \frac{M}{\lambda}   (R2)

    Parameters
    ----------
    grid : (g,) array                  retention times [s]
    occupancy : (g,) array             token-seconds held per step if kept for T, increasing [tok s]
    budget : (...) array               capacity in tokens M over the rate of steps lambda [tok s]

    Returns
    -------
    (...) array                        T [s]; 0 without capacity, the end of the grid when everything fits

    Notes
    -----
    The expectation of the product context × gap is kept: the product of expectations is 7-10 % low on coding.
    Source: Che, Tung and Wang, IEEE JSAC 20, 2002 (characteristic-time approximation).

    >>> float(characteristic_time(np.array([0.0, 10.0, 20.0]), np.array([0.0, 100.0, 150.0]), np.array(125.0)))
    15.0
    """
    return np.asarray(np.interp(budget, occupancy, grid))


def self_consistent_time(
    grid: FloatArray, occupancy: FloatArray, fixed: FloatArray, slope: FloatArray, demand: FloatArray
) -> FloatArray:
    r"""Retention time when the pool that holds the KV is sized by the work that misses cause.

    .. math:: \text{occupancy}(T) = M_0 + M_1\,D(T)                                         (R3)

    Parameters
    ----------
    grid : (g,) array                  retention times [s]
    occupancy : (g,) array             token-seconds per step, increasing in T [tok s]
    fixed : (n,) array                 capacity budget that does not depend on T, M_0 [tok s]
    slope : (n,) array                 tokens a device can keep, M_1 [tok]
    demand : (n, g) array              device-seconds per step at each T, D, non-increasing in T [s]

    Returns
    -------
    (n,) array                         T [s]

    Notes
    -----
    The left side grows and the right side falls with T, so there is exactly one root; the bisection runs over grid
    cells and ends with a chord. Source: monotone root, see the design notes on solving for the sustainable rate.

    >>> t = self_consistent_time(np.array([0.0, 10.0]), np.array([0.0, 100.0]), np.array([20.0]), np.array([10.0]),
    ...                          np.array([[6.0, 2.0]]))
    >>> round(float(t[0]), 3)      # 10 T = 20 + 10 (6 - 0.4 T)
    5.714
    """
    low = np.zeros(fixed.shape, dtype=np.int64)
    high = np.full(fixed.shape, grid.size - 1, dtype=np.int64)
    rows = np.arange(fixed.size)

    def excess(index: np.ndarray) -> FloatArray:
        return np.asarray(occupancy[index] - fixed - slope * demand[rows, index])

    for _ in range(int(np.ceil(np.log2(grid.size)))):
        middle = (low + high) // 2
        full = excess(middle) >= 0
        high = np.where(full, middle, high)
        low = np.where(full, low, np.minimum(middle, high - 1))
    below, above = excess(low), excess(high)
    span = np.where(above > below, above - below, 1.0)
    share = np.clip(-below / span, 0.0, 1.0)
    return np.asarray(grid[low] + share * (grid[high] - grid[low]))


def collapses(
    miss: FloatArray,
    warm_work: FloatArray,
    cold_work: FloatArray,
    utilisation: float | FloatArray,
    idle_share: FloatArray,
) -> BoolArray:
    r"""Whether a system sized for a warm cache stays cold once its cache is lost (bistability).

    .. math:: \rho(m) = \rho^*\,\frac{w + m\,(k - w)}{w + m^*(k - w)}, \qquad
              m_{next} = 1 - (1 - m^*)\,\max\Bigl(0, 1 - \frac{\rho(m) - \rho^*}{(1 - \rho(m))\,f}\Bigr)  (R4)

    Parameters
    ----------
    miss : (n,) array                  miss share of resumptions at the operating point, m* [1]
    warm_work : (n,) array             prefill work of a step whose prefix is cached, w [s]
    cold_work : (n,) array             prefill work of a step whose prefix is lost, k [s]
    utilisation : float or (n,)        prefill utilisation at the operating point, rho* [1]
    idle_share : (n,) array            idle KV over active KV in the memory that holds both, f [1]

    Returns
    -------
    (n,) bool array                    True where iteration from a cold cache (m = 1) does not come back to m*

    Notes
    -----
    More misses raise the prefill load, requests stay longer, their active KV crowds out the idle KV, and the miss share
    rises again. With all prefixes lost at unchanged load, rho(1) >= 1 means the queue, and with it the active KV, grows
    without bound: the cold state is absorbing. A stated approximation of first order in the response time.
    Source: derived here; the effect is the metastable failure of Bronson et al., HotOS 2021.

    >>> miss, idle = np.array([0.05, 0.05]), np.array([4.0, 4.0])
    >>> collapses(miss, np.array([1.0, 1.0]), np.array([30.0, 1.2]), 0.7, idle).tolist()
    [True, False]
    """
    at_point = warm_work + miss * (cold_work - warm_work)
    state = np.ones_like(miss)
    for _ in range(12):
        load = np.minimum(utilisation * (warm_work + state * (cold_work - warm_work)) / at_point, 1 - 1e-9)
        crowding = np.maximum(load - utilisation, 0) / ((1 - load) * np.maximum(idle_share, 1e-9))
        state = 1 - (1 - miss) * np.maximum(0, 1 - crowding)
    return np.asarray(state > miss + 0.05)
