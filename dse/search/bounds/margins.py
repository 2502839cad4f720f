"""How large a margin must be for bounds to cover a box: the smallest of a list, so that a certificate has a curve."""

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from dse.arrays import BoolArray, FloatArray, IntArray
from dse.search.bounds.cover import Cover
from dse.search.bounds.yardstick import Yardstick, margins


class Judged(NamedTuple):
    """What bounds say about some boxes, (n,) each."""

    need: IntArray
    """Index of the smallest margin at which no design of the box can beat the front by more; their number for none."""
    height: FloatArray
    """Mean of the logarithms of the bounds on cost and energy, none above thrice the worst of the front."""
    lowest: IntArray
    """First and last level of latency at which the box may beat the front by more than the margin asked for."""
    highest: IntArray


@dataclass(frozen=True)
class Margins:
    """A front as a table for every margin."""

    epsilons: FloatArray
    target: int
    """Index of the margin that is asked for."""
    covers: tuple[Cover, ...]
    exchange: FloatArray
    """Worth of an energy, see `Cover.fine`."""
    members: int
    """Rows of the front."""
    best: float
    """Their least latency over its target [1]."""

    @classmethod
    def of(cls, stick: Yardstick, epsilon: float) -> "Margins":
        """Tables of a front."""
        known = margins(epsilon)
        covers = tuple(Cover.of(stick.front, stick.levels, float(one)) for one in known)
        best = float(stick.front[:, 2].min(initial=np.inf))
        return cls(known, int(np.searchsorted(known, epsilon)), covers, stick.exchange, len(stick.front), best)

    def judge(self, curves: FloatArray) -> Judged:
        """Judge boxes by their bounds (n, 2 + mixes, levels)."""
        fine = self.covers[self.target].fine(curves, self.exchange)
        highest = fine.shape[1] - 1 - np.argmin(fine[:, ::-1], axis=1)
        return Judged(
            self._needed(curves, np.asarray(fine.all(axis=1))), self._height(curves), np.argmin(fine, axis=1), highest
        )

    def _needed(self, curves: FloatArray, covered: BoolArray) -> IntArray:
        """Smallest margin of each box, by halving: a box that one margin covers is covered by every larger one."""
        low = np.where(covered, 0, self.target + 1)
        high = np.where(covered, self.target, len(self.covers))
        while (open_ := np.flatnonzero(low < high)).size:
            middle = (low + high) // 2
            for at in np.unique(middle[open_]).tolist():
                rows = open_[middle[open_] == at]
                good = self.covers[at].fine(curves[rows], self.exchange).all(axis=1)
                high[rows[good]], low[rows[~good]] = at, at + 1
        return high

    def _height(self, curves: FloatArray) -> FloatArray:
        front = self.covers[self.target]
        limit = np.log(np.array([front.most, front.most_energy]) * 3)[:, None]
        with np.errstate(divide="ignore"):
            return np.asarray(np.minimum(np.log(curves[:, :2]), limit).mean(axis=(1, 2)))
