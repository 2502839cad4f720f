r"""Which levers matter: PED-ANOVA on a uniform sample of the space.

The importance of a lever for a set of good designs is the Pearson divergence between the distribution of its choices
among the good designs and among all feasible ones:

.. math:: I_d = \sum_c q_d(c) \left(\frac{p_d(c)}{q_d(c)} - 1\right)^2                        (PA1)

Source: Watanabe, Bansal, Hutter, PED-ANOVA: Efficiently Quantifying Hyperparameter Importance in Arbitrary Subspaces,
IJCAI 2023, equation 7 with a categorical kernel of bandwidth zero and additive smoothing.
"""

from dataclasses import dataclass

import numpy as np

from dse.arrays import FloatArray
from dse.search.axes import Rows

GOOD = 0.25
"""Part of the designs that counts as good [1]."""

SMOOTHING = 0.5
"""Designs added to every choice, so that one never seen is not called impossible (Jeffreys)."""

SHUFFLES = 64
"""Random good sets that tell what chance alone would show."""

CHANCE = 0.95
"""Quantile of these that counts as chance [1]."""

FEWEST = 12
"""Designs below which nothing can be said."""


@dataclass(frozen=True)
class Importance:
    """Levers of one objective."""

    share: FloatArray
    """(levers,) part of the sum of the importances above chance [1]."""
    value: FloatArray
    """(levers,) divergence (PA1) [1]."""
    chance: FloatArray
    """(levers,) divergence that chance alone reaches in one of twenty samples [1]."""
    best: tuple[int, ...]
    """Choice that is most over-represented among the good designs, per lever."""


def importance(rows: Rows, sizes: tuple[int, ...], scores: FloatArray, seed: int = 0) -> Importance:
    """Importance of every lever for one objective.

    Parameters
    ----------
    rows : (n, levers) array           choices of a uniform sample; inert levers rest
    sizes : choices per lever
    scores : (n,) array                less is better; infinite where infeasible, which counts as bad
    seed : int                         of the shuffles

    >>> rng = np.random.default_rng(0)
    >>> rows = rng.integers(0, 4, (400, 2)).astype(np.int16)
    >>> found = importance(rows, (4, 4), rows[:, 0] + 0.1 * rng.random(400))
    >>> bool(found.value[0] > 10 * found.value[1]), found.best[0]
    (True, 0)
    """
    count = max(int(np.ceil(GOOD * len(rows))), 1)
    good = np.zeros(len(rows), dtype=bool)
    good[np.argsort(scores, kind="stable")[:count]] = np.isfinite(np.sort(scores)[:count])
    rng = np.random.default_rng(seed)
    value, best = _divergences(rows, sizes, good)
    shuffled = np.stack([_divergences(rows, sizes, rng.permutation(good))[0] for _ in range(SHUFFLES)])
    chance = np.quantile(shuffled, CHANCE, axis=0)
    real = np.where(value > chance, value - shuffled.mean(axis=0), 0.0)
    total = real.sum()
    return Importance(real / total if total > 0 else real, value, chance, best)


def _divergences(rows: Rows, sizes: tuple[int, ...], good: np.ndarray) -> tuple[FloatArray, tuple[int, ...]]:
    found, best = np.zeros(len(sizes)), []
    for lever, size in enumerate(sizes):
        all_of = np.bincount(rows[:, lever], minlength=size) + SMOOTHING
        some = np.bincount(rows[good, lever], minlength=size) + SMOOTHING * good.mean()
        q, p = all_of / all_of.sum(), some / some.sum()
        found[lever] = float((q * (p / q - 1) ** 2).sum())
        best.append(int(np.argmax(p / q)))
    return found, tuple(best)
