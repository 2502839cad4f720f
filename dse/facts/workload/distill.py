r"""Distillation: a step table becomes the few expectations that evaluation needs.

A session's KV waits through each gap. A tier that keeps it for the time `T` after the last use turns the gaps
`g <= T` into hits; longer gaps are misses, which recompute the context except the shared prefix. All curves
are joint expectations over the rows, such as :math:`E[c \min(g, T)]`; products of means are 9 to 12 % low on
the coding trace. Every curve is *per step* of the class: multiply by steps per second.
"""

from dataclasses import dataclass, fields
from functools import cached_property
from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike

from dse.arrays import FloatArray, IntArray
from dse.facts.workload.sessions import Steps, before

_MINUTE, _HOUR, _DAY = 60.0, 3600.0, 86400.0
_SECONDS = (
    0.0,
    0.1,
    0.2,
    0.5,
    1.0,
    1.5,
    2.0,
    3.0,
    4.0,
    5.0,
    6.0,
    8.0,
    10.0,
    12.0,
    15.0,
    20.0,
    25.0,
    30.0,
    40.0,
    50.0,
)
_MINUTES = (1.0, 1.25, 1.5, 2.0, 2.5, 3.0, 4.0, 5.0, 7.0, 10.0, 15.0, 20.0, 30.0, 45.0)
_HOURS = (1.0, 1.5, 2.0, 3.0, 4.0, 6.0, 8.0, 12.0, 18.0)
_DAYS = (1.0, 2.0, 4.0, 7.0, np.inf)
RETENTION: FloatArray = np.concatenate(
    [_SECONDS, np.multiply(_MINUTE, _MINUTES), np.multiply(_HOUR, _HOURS), np.multiply(_DAY, _DAYS)]
)
"""(48,) retention times T [s]: nothing kept (0), round numbers people choose from 0.1 s to a week, for
ever."""
RETENTION.setflags(write=False)
_RESOLUTION = float(RETENTION[1])
_NODES: FloatArray = np.log1p(RETENTION[:-1] / _RESOLUTION)
_STEEP: FloatArray = np.append(1 / np.diff(_NODES), 0.0)
_CELLS = 2048
_SCALE = _CELLS / float(_NODES[-1])
_BEFORE: IntArray = np.clip(
    np.searchsorted(_NODES, np.arange(_CELLS + 1) / _SCALE, side="right") - 1, 0, len(_NODES) - 2
)
"""Node before each of so many cells that no two nodes share one: a look-up in place of a search."""


class Moments(NamedTuple):
    """Means over all steps of a class; products are joint expectations."""

    fresh: float
    """E[a] [tok]."""
    cached: float
    """E[p] [tok]."""
    fresh_cached: float
    """E[a p] [tok²]."""
    fresh_squared: float
    """E[a²] [tok²]."""
    context: float
    """E[c], c = p + a [tok]."""
    output: float
    """E[o] [tok]."""
    output_context: float
    """E[o c] [tok²]."""
    output_squared: float
    """E[o²] [tok²]."""
    final_context: float
    """E[c + o] after the last step of a sequence [tok]."""

    @property
    def area(self) -> float:
        """E[a (p + a/2)]: attention area of a causal prefill [tok²]."""
        return self.fresh_cached + self.fresh_squared / 2

    @property
    def reuse(self) -> float:
        """Share of prompt tokens found in an unlimited cache [1]."""
        return self.cached / self.context


@dataclass(frozen=True, eq=False)
class Curves:
    """Expectations on the grid `retention`, each (48,); read-only."""

    retention: FloatArray
    """T [s], from 0 to infinity."""
    hit_by_time: FloatArray
    """F(T) = P(gap <= T), over resumptions [1]; 0 at T = 0, 1 at infinity (also for a class without
    resumptions)."""
    occupancy: FloatArray
    """(sum E[k_i min(g_i, T)] + E[k_n] T) / n with the held tokens k = c + o [tok s]; infinite at
    infinity."""
    idle: FloatArray
    """The same without tokens, (sum E[min(g_i, T)] + T) / n [s]: `occupancy - shared_prefix * idle` is
    private."""
    miss_tokens: FloatArray
    """E[p - s; g > T]: tokens recomputed because the gap was longer than T, s = min(shared prefix, p)
    [tok]."""
    miss_area: FloatArray
    """E[(p² - s²) / 2; g > T]: attention area added by these tokens [tok²]."""
    restore_tokens: FloatArray
    """E[p; g <= T]: tokens found in a tier that keeps T, over steps after the first [tok]."""

    def __post_init__(self) -> None:
        for column in fields(self):
            getattr(self, column.name).setflags(write=False)

    def at(self, name: str, retention: ArrayLike) -> FloatArray:
        """Curve `name` at any retention times [s], linear in log(T) between grid points, so as monotone.

        `occupancy` and `idle` are linear in T instead, beyond a week with their final slope.
        """
        times = np.asarray(retention, dtype=np.float64)
        if name in ("occupancy", "idle"):
            return _grown(times, self.retention, getattr(self, name))
        return self.at_place(name, grid_position(times))

    def at_place(self, name: str, place: FloatArray) -> FloatArray:
        """Curve `name`, but `occupancy` and `idle`, at fractional indices of the grid (:func:`grid_position`)."""
        values: FloatArray = getattr(self, name)
        low = place.astype(np.int64)
        return np.asarray(values.take(low) + (place - low) * np.append(np.diff(values), 0.0).take(low))

    @cached_property
    def growth(self) -> float:
        """Slope of `occupancy` at infinity: held tokens after the last step, per step [tok]."""
        return float((self.occupancy[-2] - self.occupancy[-3]) / (self.retention[-2] - self.retention[-3]))


def grid_position(retention: ArrayLike) -> FloatArray:
    """Fractional index of times in `RETENTION`, linear in log(0.1 s + T); the last interval is empty.

    >>> grid_position([0.0, 0.1, 60.0, np.inf]).tolist()
    [0.0, 1.0, 20.0, 47.0]
    """
    times = np.asarray(retention, dtype=np.float64)
    spot = np.log1p(np.clip(times, 0.0, RETENTION[-2]) / _RESOLUTION)
    low = _BEFORE.take((spot * _SCALE).astype(np.int64), mode="clip")
    low = low + (_NODES.take(low + 1) <= spot)
    inside = low + (spot - _NODES.take(low)) * _STEEP.take(low)
    return np.where(times > RETENTION[-2], len(_NODES), inside)


def grid_cell(retention: ArrayLike) -> tuple[IntArray, FloatArray]:
    """Node of `RETENTION` before each time, never the last one, and the share of the way to the next.

    >>> [values.tolist() for values in grid_cell([0.1, np.inf])]
    [[1, 46], [0.0, 1.0]]
    """
    return cell_of(np.asarray(grid_position(retention)))


def cell_of(place: FloatArray) -> tuple[IntArray, FloatArray]:
    """The same of fractional indices (:func:`grid_position`)."""
    cell = np.minimum(place.astype(np.int64), len(RETENTION) - 2)
    return cell, place - cell


def moments(table: Steps) -> Moments:
    """Means over all steps.

    >>> from dse.facts.workload.sessions import Tokens, steps
    >>> moments(steps([1, 1], [0, 5], Tokens([0, 100], [100, 20], [4, 6]))).fresh_cached
    1000.0
    """
    return Moments(
        fresh=float(table.fresh.mean()),
        cached=float(table.cached.mean()),
        fresh_cached=float((table.fresh * table.cached).mean()),
        fresh_squared=float((table.fresh**2).mean()),
        context=float(table.context.mean()),
        output=float(table.output.mean()),
        output_context=float((table.output * table.context).mean()),
        output_squared=float((table.output**2).mean()),
        final_context=float(table.held[table.last].mean()),
    )


def curves(table: Steps, shared: float) -> Curves:
    """All curves of a step table; `shared` [tok] leads every prompt and is never lost."""
    again = ~table.first
    gaps = table.gap[again]
    cached = table.cached[again]
    kept = np.minimum(shared, cached)
    held = before(table.held, table)[again]
    tails = np.array([[table.held[table.last].sum()], [float(table.sequences)]])
    totals = _Prefix.of(gaps, np.stack([held, np.ones_like(held), cached, cached - kept, (cached**2 - kept**2) / 2]))
    below = totals.below
    waiting = totals.weighted[:2] + RETENTION[:-1] * (totals.all[:2] - below[:2] + tails)
    waiting = np.concatenate([waiting, np.full((2, 1), np.inf)], axis=1) / len(table)
    hits = below[1] / totals.all[1] if len(gaps) else (RETENTION[:-1] > 0).astype(np.float64)
    missed = np.maximum(totals.all[3:] - below[3:], 0.0) / len(table)
    return Curves(
        retention=RETENTION,
        hit_by_time=np.append(hits, 1.0),
        occupancy=waiting[0],
        idle=waiting[1],
        miss_tokens=np.append(missed[0], 0.0),
        miss_area=np.append(missed[1], 0.0),
        restore_tokens=np.append(below[2], totals.all[2]) / len(table),
    )


class _Prefix(NamedTuple):
    """Sums of several columns over the steps whose gap is at most T."""

    all: FloatArray
    """(k, 1) sum over all steps."""
    below: FloatArray
    """(k, 47) sum where 0 < T and g <= T, T finite."""
    weighted: FloatArray
    """(k, 47) sum of column times gap where g <= T."""

    @classmethod
    def of(cls, gaps: FloatArray, columns: FloatArray) -> "_Prefix":
        """Sort once by gap, then each T is one look-up in running sums."""
        order = np.argsort(gaps, kind="stable")
        ordered = gaps[order]
        count = np.searchsorted(ordered, RETENTION[:-1], side="right")
        count[0] = 0
        zero = np.zeros((len(columns), 1))
        running = np.concatenate([zero, np.cumsum(columns[:, order], axis=1)], axis=1)
        weighted = np.concatenate([zero, np.cumsum(columns[:, order] * ordered, axis=1)], axis=1)
        return cls(running[:, -1:], running[:, count], weighted[:, count])


def _grown(times: FloatArray, grid: FloatArray, values: FloatArray) -> FloatArray:
    """Linear interpolation in T, with the final slope beyond the last finite point."""
    last, week = values[-2], grid[-2]
    slope = (last - values[-3]) / (week - grid[-3])
    inside = np.interp(np.minimum(times, week), grid[:-1], values[:-1])
    return np.asarray(inside + slope * np.maximum(times - week, 0.0))
