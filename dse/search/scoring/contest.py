"""Which points of a design can still win before their latency is read: bounds from below, and the best of those read.

Most points of a design lose to one that is cheaper, takes less energy and is quicker. To know that, the latency of the
winner is needed and no more than a lower bound of the loser's. So a few points that promise most are read first, and
then only those that none of them beats. What the choice takes is the same as if all were read.
"""

from functools import lru_cache
from typing import NamedTuple

import numpy as np

from dse.arrays import BoolArray, FloatArray, IntArray
from dse.facts.workload.atoms import Atoms
from dse.facts.workload.distill import cell_of
from dse.search.scoring.sides import ClassShape, Operation
from dse.search.scoring.waits import Waiting

SLANTS = 3
"""Ratios of the time by fresh token to that by output token at which least quantiles are tabled, per octave [1]."""

FLATTEST = -15
"""Octave of the least of these ratios but zero; the largest is one [1]."""

SHADES, OCTAVES = 16, 5
"""Levels of latency per octave, and octaves below the target, that points are told apart by [1]."""

LEVELS = SHADES * OCTAVES + 1
"""Levels in all [1]."""

MARGIN = 1e-9
"""Share of a latency that the rounding of sums stays within, and that ties are within [1]."""


def hopeful(
    shape: ClassShape, operation: Operation, whole: Waiting, per_output: FloatArray
) -> tuple[BoolArray, FloatArray]:
    r"""Whether a point may meet its targets (m,), and a latency at the percentile that it is not below (m,) [s].

    .. math:: \ell \ge \min(s_w, s_c) + t\,Q\Bigl(\frac{\min(p_w, p_c)}{t}\Bigr) + w

    with the starts s and the times by fresh token p of steps that find their prefix and of others, the time by output
    token t, the mean of the delays w, and the least quantile Q(r) of r fresh tokens and the tokens after the first.
    The time to first token is no less than the same with the least quantile of the fresh tokens alone.
    """
    table = _quantiles(shape.atoms, operation.affinity, operation.percentile / 100)
    cell, _ = cell_of(whole.place)
    per_token = np.minimum(*(line.response * line.per_token + line.per_moved for line in (whole.warm, whole.cold)))
    start = np.minimum(whole.warm.start, whole.cold.start)
    start += whole.blocked * whole.delay
    start += whole.joins
    ratio = np.maximum(per_token / per_output, 2.0 ** (FLATTEST - 1))
    slant = np.clip(((np.log2(ratio) - FLATTEST) * SLANTS + 1).astype(np.int64), 0, table.shape[1] - 2)
    cell *= table.shape[1]
    slant += cell
    quantile = np.minimum(table.take(slant), table.take(slant + table.shape[1]))
    fresh = np.minimum(*(table[at:, -1].take(cell // table.shape[1]) for at in (0, 1)))
    latency = (start + per_output * quantile) * (1 - MARGIN)
    ttft = (start + per_token * fresh) * (1 - MARGIN)
    return (latency <= shape.latency_slo) & (ttft <= shape.ttft_slo), latency


@lru_cache(maxsize=64)
def _quantiles(atoms: Atoms, affinity: float, level: float) -> FloatArray:
    r"""(48, s) least quantile of r fresh tokens and the tokens after the first, by retention time and ratio r [tok].

    The last column is of fresh tokens alone.

    Steps D that take a time or longer reach beyond the level if

    .. math:: \sum_{j \in D} w_j - \max_{j \in D} w_j / 2 \ge 1 - \ell

    as then the middle of the quickest of them is within it. So the quantile is no less than that time, whatever else
    the steps take; and more of them reach farther still.
    """
    weight = atoms.routed(affinity)
    output = np.maximum(atoms.output - 1, 0)
    ratios = np.append(0.0, 2.0 ** np.arange(FLATTEST, 1 / SLANTS / 2, 1 / SLANTS))
    sizes = [*(ratio * atoms.fresh + output for ratio in ratios), atoms.fresh]
    found = np.zeros((len(weight), len(sizes)))
    for column, size in enumerate(sizes):
        order = np.argsort(-size)
        own = weight[:, order]
        reach = np.cumsum(own, axis=1) - np.maximum.accumulate(own, axis=1) / 2 >= 1 - level + MARGIN
        found[:, column] = np.where(reach.any(axis=1), size[order][reach.argmax(axis=1)], 0.0)
    return found


def shade(ratio: FloatArray) -> IntArray:
    """Level of latencies over their target: a lower one is a lower latency."""
    depth = np.log2(np.maximum(ratio, 2.0**-OCTAVES)) + OCTAVES
    return np.minimum((depth * SHADES).astype(np.int64), LEVELS - 1)


class Contest(NamedTuple):
    """Points of one class that may win: where each comes from, its design, cost, energy, level of least latency."""

    rows: IntArray
    design: IntArray
    cost: FloatArray
    energy: FloatArray
    level: IntArray

    def take(self, points: BoolArray) -> "Contest":
        """Select points."""
        return Contest(
            self.rows[points], self.design[points], self.cost[points], self.energy[points], self.level[points]
        )

    def leaders(self, designs: int) -> BoolArray:
        """Points that none of their design is cheaper than, or takes less energy than, at their level or below."""
        found, key = np.zeros(self.rows.size, dtype=bool), self.design * LEVELS + self.level
        for values in (self.cost, self.energy):
            least = np.full((designs, LEVELS), np.inf)
            np.minimum.at(least.reshape(-1), key, values)
            np.minimum.accumulate(least, axis=1, out=least)
            found |= values <= least.take(key)
        return found

    def beaten(self, others: "Contest", designs: int) -> BoolArray:
        """Points that one of others, with the level of the latency itself, beats in cost, energy and latency."""
        found, key = np.zeros(self.rows.size, dtype=bool), self.design * LEVELS + self.level
        mine, its = (self.cost, self.energy), (others.cost, others.energy)
        for first, second in ((0, 1), (1, 0)):
            least, beside = _best_before(others.design, others.level, its[first], its[second], designs)
            found |= (least.take(key) <= mine[first]) & (beside.take(key) <= mine[second])
        return found


def _best_before(
    design: IntArray, level: IntArray, values: FloatArray, beside: FloatArray, designs: int
) -> tuple[FloatArray, FloatArray]:
    """(designs, levels) least value at lower levels, and what stands beside it; infinite where there is none."""
    order = np.argsort(-values, kind="stable")
    own, its = np.full((2, designs, LEVELS), np.inf)
    own[design[order], level[order]], its[design[order], level[order]] = values[order], beside[order]
    least = np.minimum.accumulate(own, axis=1)
    column = np.maximum.accumulate(np.where(own == least, np.arange(LEVELS), 0), axis=1)
    found = np.full((2, designs, LEVELS), np.inf)
    found[:, :, 1:] = least[:, :-1], np.take_along_axis(its, column, axis=1)[:, :-1]
    return found[0], found[1]
