"""The least that a quantile of a step's latency can be, whatever the caches hold."""

import numpy as np

from dse.arrays import BoolArray, FloatArray, IntArray

ROWS = 1024
"""Rows bounded at once: their sorted steps stay in the second-level cache."""

FEW = 20
"""Largest values of a row that are looked at first: the quantile is nearly always among them."""


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


def _least(values: FloatArray, weights: FloatArray, level: float, width: int = FEW) -> FloatArray:
    """Bounds from the largest values of each row; rows whose quantile may lie below those look at all."""
    count = values.shape[1]
    width = min(width, count)
    top = np.argpartition(values, count - width, axis=1)[:, count - width :] if width < count else None
    kept = values if top is None else np.take_along_axis(values, top, axis=1)
    order = np.argsort(kept, axis=1)
    ordered = np.take_along_axis(kept, order, axis=1)
    before, upto = _masses(order if top is None else np.take_along_axis(top, order, axis=1), weights)
    reached: BoolArray = upto >= level * weights.sum(axis=1).min() * (1 - 1e-12)
    found = _crossing(ordered, (before, upto), np.argmax(reached, axis=1), level * weights.sum(axis=1).min())
    below = np.flatnonzero(reached[:, 0]) if top is not None else np.zeros(0, dtype=np.int64)
    if below.size:
        found[below] = _least(values[below], weights, level, count)
    return found


def _masses(order: IntArray, weights: FloatArray) -> tuple[FloatArray, FloatArray]:
    """(a, b) of equation B1 for the last atoms in the order of their values."""
    before, upto = np.full(order.shape, -np.inf), np.full(order.shape, -np.inf)
    for share, whole in zip(weights, weights.sum(axis=1).tolist(), strict=True):
        own = share[order][:, ::-1]
        after = np.cumsum(own, axis=1)
        np.maximum(before, (whole - after + np.maximum.accumulate(own, axis=1) / 2)[:, ::-1], out=before)
        np.maximum(upto, (whole - after + own)[:, ::-1], out=upto)
    return before, np.maximum(upto, before)


def _crossing(ordered: FloatArray, masses: tuple[FloatArray, FloatArray], at: IntArray, target: float) -> FloatArray:
    """Where the line between the atom that reaches the level and the one before it does so."""
    rows, left = np.arange(len(ordered)), np.maximum(at - 1, 0)
    before, upto = masses
    low, high = upto[rows, left], before[rows, at]
    rising = (high >= target) & (at > 0)
    part = np.where(rising, np.clip((target - low) / np.where(high > low, high - low, 1.0), 0.0, 1.0), 1.0)
    return np.asarray(ordered[rows, left] + part * (ordered[rows, at] - ordered[rows, left]))
