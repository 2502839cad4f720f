"""The least that a quantile of a step's latency can be, whatever the caches hold."""

import numpy as np

from dse.arrays import FloatArray

ROWS = 512
"""Rows bounded at once: their sorted steps stay in the second-level cache."""


def least_quantile(values: FloatArray, weights: FloatArray, level: float) -> FloatArray:
    r"""Bound from below the quantile of a mixture of which some atoms may be delayed, split or reweighted.

    .. math:: a_i = \max_g\Bigl(\sum_{j<i} w_{gj} + \tfrac12 \max_{j \ge i} w_{gj}\Bigr), \qquad
              b_i = \max\Bigl(a_i, \max_g \sum_{j \le i} w_{gj}\Bigr)                          (B1)

    The true law has atoms at these values or above them (a restored prefix is delayed by its transfer), any atom may
    be split into one that is delayed and one that is not, and the weights lie on a straight line between two
    neighbouring rows of ``weights`` (retention times between grid points). The evaluation reads a quantile linearly
    between the middles of the weights (:func:`dse.physics.queueing.mixture_quantiles`). Its distribution function lies
    below the line through (v_i, b_i) and (v_{i+1}, a_{i+1}): at v_i the mass of what is certainly smaller plus half of
    the next atom bounds it, and between two values no atom's middle exceeds the whole mass up to the first of them.
    So the value at which that line reaches the level is a lower bound.

    Parameters
    ----------
    values : (n, k) array              atoms without any delay, >= 0 [any unit]
    weights : (g, k) array             weights at each grid point, each row sums to one [1]
    level : float                      for example 0.95 [1]

    Returns
    -------
    (n,) array                         lower bound of the quantile [unit of values]

    >>> float(least_quantile(np.array([[1.0, 2.0, 3.0]]), np.array([[0.5, 0.3, 0.2]]), 0.5)[0])
    1.0
    """
    parts = [_least(values[start : start + ROWS], weights, level) for start in range(0, len(values), ROWS)]
    return np.concatenate(parts) if parts else np.zeros(0)


def _least(values: FloatArray, weights: FloatArray, level: float) -> FloatArray:
    order = np.argsort(values, axis=1)
    ordered = np.take_along_axis(values, order, axis=1)
    before, upto = np.zeros(values.shape), np.zeros(values.shape)
    for share in weights:
        own = share[order]
        mass = np.cumsum(own, axis=1)
        heaviest = np.maximum.accumulate(own[:, ::-1], axis=1)[:, ::-1]
        np.maximum(before, mass - own + heaviest / 2, out=before)
        np.maximum(upto, mass, out=upto)
    np.maximum(upto, before, out=upto)
    target = level * weights.sum(axis=1).min()
    rows, at = np.arange(len(values)), np.argmax(upto >= target * (1 - 1e-12), axis=1)
    left = np.maximum(at - 1, 0)
    low, high = upto[rows, left], before[rows, at]
    rising = (high >= target) & (at > 0)
    part = np.where(rising, np.clip((target - low) / np.where(high > low, high - low, 1.0), 0.0, 1.0), 1.0)
    return np.asarray(ordered[rows, left] + part * (ordered[rows, at] - ordered[rows, left]))
