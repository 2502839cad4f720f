r"""Representative steps: a few weighted atoms that stand for the law of a class's steps.

The time of a step is a nonnegative combination of 1, fresh tokens `a`, attention area `a (p + a/2)`, cached
tokens `p` and output `o`, with coefficients that depend on the design. Means of such a combination follow
from the moments; quantiles do not. The atoms carry the quantiles: each step belongs to one cluster, and the
atoms of all clusters are placed so that the 50 to 99.5 % quantiles of many random combinations agree with
those of all steps.

Four kinds of atoms keep the mixture separable: first steps, steps that broke their prefix, hits, and misses
(the service when the prefix, except the shared one, is lost). Only the weights depend on the retention time.
"""

from dataclasses import dataclass, fields
from typing import NamedTuple

import numpy as np

from dse.arrays import BoolArray, FloatArray, IntArray
from dse.facts.workload.distill import RETENTION, grid_cell
from dse.facts.workload.sessions import Steps, share_prefix

FIRST, BROKEN, HIT, MISSED = 0, 1, 2, 3
KINDS = ("first", "broken", "hit", "missed")
FOUND_ATOMS, MISSED_ATOMS, LEAST_ATOMS = 48, 16, 8
"""Atoms of the first three kinds together, of misses, and the least of any kind: chosen so that quantiles are
a few percent close at little cost per design."""

LEVELS: FloatArray = np.array([0.05, 0.25, 0.5, 0.75, 0.88, 0.92, 0.935, 0.95, 0.965, 0.98, 0.985, 0.99, 0.995])
"""Quantiles that are matched; dense near 95 %, where breaks and misses make a cliff."""
FITTED = (60.0, 300.0, 3600.0, np.inf)
"""Retention times whose mixtures are matched [s]."""
_DIRECTIONS = 96
"""Random combinations matched: twice as many change the error of unseen ones by less than a tenth."""
_ROUNDS = 160
"""Rounds of descent: more than twice as many bring no further gain."""
_STEP = 0.05
"""First step of the descent, in logarithms; it falls linearly to 0."""
_SEED = 20260
_SPREAD = 0.02
"""Share of a column's mean added before taking logarithms: differences among the smallest steps matter
little."""


@dataclass(frozen=True, eq=False)
class Atoms:
    """Weighted steps; arrays are read-only."""

    kind: IntArray
    """(k,) index into `KINDS`."""
    fresh: FloatArray
    """(k,) a [tok]."""
    cached: FloatArray
    """(k,) p [tok]."""
    output: FloatArray
    """(k,) o [tok]."""
    weight: FloatArray
    """(48, k) share of the steps at each retention time of the grid [1]; each row sums to 1."""

    def __post_init__(self) -> None:
        for column in fields(self):
            getattr(self, column.name).setflags(write=False)

    def __len__(self) -> int:
        """Number of atoms."""
        return len(self.fresh)

    @property
    def area(self) -> FloatArray:
        """(k,) attention area of the prefill, a (p + a/2) [tok²]."""
        return self.fresh * (self.cached + self.fresh / 2)

    def weights(self, retention: FloatArray) -> FloatArray:
        """(n, k) weights at retention times (n,) [s], linear between grid points."""
        low, share = grid_cell(np.atleast_1d(retention))
        part = share[:, None]
        return np.asarray((1 - part) * self.weight[low] + part * self.weight[low + 1])

    def routed(self, affinity: float) -> FloatArray:
        """(48, k) weights at the nodes of `RETENTION` where that share of steps comes to the instance with its KV."""
        return np.asarray(affinity * self.weight + (1 - affinity) * self.weight[0])


def quantile(values: FloatArray, weight: FloatArray, level: FloatArray) -> FloatArray:
    """Quantiles of weighted atoms, linear between the middles of their weights.

    This is the rule the atoms are placed for: an evaluator must read them by it.

    >>> float(quantile(np.array([1.0, 3.0]), np.array([0.5, 0.5]), np.array([0.5]))[0])
    2.0
    """
    order = np.argsort(values)
    share = weight[order]
    middle = (np.cumsum(share) - share / 2) / share.sum()
    return np.interp(level, middle, values[order])


def representative(table: Steps, shared: float) -> Atoms:
    """Atoms of a step table; first steps find the shared prefix, misses find nothing else."""
    served = share_prefix(table, shared)
    surviving = np.minimum(np.minimum(shared, served.cached), served.context - 1)
    found = np.stack([served.fresh, served.cached, served.output])
    lost = np.stack([served.context - surviving, surviving, served.output])
    masks = (served.first, served.broken, ~served.first & ~served.broken, ~served.first)
    groups = [
        (kind, rows)
        for kind, (mask, count) in enumerate(zip(masks, _counts(masks), strict=True))
        for rows in _clusters(lost if kind == MISSED else found, np.flatnonzero(mask), count)
    ]
    weight = np.stack([_weights(kind, served.gap[rows]) for kind, rows in groups], axis=1) / len(table)
    boxes = [_Box.of((lost if kind == MISSED else found)[:, rows]) for kind, rows in groups]
    laws = []
    for retention in FITTED:
        kept = served.first | ((served.gap <= retention) & (retention > 0))
        at = int(np.searchsorted(RETENTION, retention))
        laws.append(_Law(_features(np.where(kept, found, lost)), weight[at]))
    fresh, cached, output = _fit(_Box(*(np.stack(side, axis=1) for side in zip(*boxes, strict=True))), laws)
    kinds = np.array([kind for kind, _ in groups], dtype=np.int64)
    return Atoms(kinds, fresh, cached, output, weight)


class _Law(NamedTuple):
    """The mixture at one retention time."""

    columns: FloatArray
    """(4, n) features of every step."""
    share: FloatArray
    """(k,) weights of the atoms [1]."""


class _Box(NamedTuple):
    """Mean and bounds of clusters, (3,) or (3, k): an atom never leaves the bounds of its cluster."""

    mean: FloatArray
    low: FloatArray
    high: FloatArray

    @classmethod
    def of(cls, points: FloatArray) -> "_Box":
        return cls(points.mean(axis=1), points.min(axis=1), points.max(axis=1))


def _counts(masks: tuple[BoolArray, ...]) -> tuple[int, ...]:
    """Atoms of each kind, by the square root of its share of the steps, so that rare kinds have some."""
    roots = np.sqrt([mask.sum() for mask in masks[:MISSED]])
    shares = np.rint(FOUND_ATOMS * roots / roots.sum()).astype(int)
    return (*(max(int(share), LEAST_ATOMS) for share in shares), MISSED_ATOMS)


def _features(points: FloatArray) -> FloatArray:
    """(4, n) columns whose combinations are step times: fresh, cached, output, area."""
    fresh, cached, output = points
    return np.stack([fresh, cached, output, fresh * (cached + fresh / 2)])


def _clusters(points: FloatArray, rows: IntArray, count: int) -> list[IntArray]:
    """Split rows at the mean of their widest logarithmic column until there are `count` clusters.

    The square root of the size weighs a cluster: tails get more atoms than their share of steps.
    """
    if not len(rows):
        return []
    columns = _features(points[:, rows])
    scale = np.maximum(columns.mean(axis=1, keepdims=True), 1.0)
    logs = np.log(columns + _SPREAD * scale)
    clusters = [np.arange(len(rows))]
    spread = [_spread(logs, clusters[0])]
    while len(clusters) < count and max(value for value, _ in spread) > 0:
        widest = max(range(len(clusters)), key=lambda index: spread[index][0])
        members, axis = clusters[widest], spread[widest][1]
        low = logs[axis, members] <= logs[axis, members].mean()
        clusters[widest : widest + 1] = [members[low], members[~low]]
        spread[widest : widest + 1] = [_spread(logs, members[low]), _spread(logs, members[~low])]
    return [rows[members] for members in clusters]


def _spread(logs: FloatArray, members: IntArray) -> tuple[float, int]:
    """Weighted variance along the widest column, and that column; 0 where all points agree."""
    variance = logs[:, members].var(axis=1)
    variance[np.ptp(logs[:, members], axis=1) == 0] = 0.0
    return float(np.sqrt(len(members)) * variance.max()), int(variance.argmax())


def _fit(box: _Box, laws: list[_Law]) -> FloatArray:
    r"""Places of the atoms (3, k): cluster means, moved until the quantiles of random combinations agree.

    .. math:: \min_x \sum_{T, d, q} \left( \frac{Q_q(d \cdot x_T)}{Q_q(d \cdot \text{steps}_T)} - 1 \right)^2

    Gradient descent with Adam on logarithmic scale factors (Kingma and Ba 2015, with its defaults but a
    shorter memory of squares, 0.99); the directions come from a fixed seed, so the result is reproducible.
    """
    directions = _directions(laws[-1].columns)
    targets = [(law.share, _sorted_quantiles(directions @ law.columns)) for law in laws]
    start = box.mean
    if start.shape[1] < 2 or not all((wanted > 0).all() for _, wanted in targets):
        return start
    scale, slope, square = np.zeros_like(start), np.zeros_like(start), np.zeros_like(start)
    for count in range(1, _ROUNDS + 1):
        points = np.clip(start * np.exp(scale), box.low, box.high)
        gradient = np.zeros_like(start)
        for share, wanted in targets:
            gradient += _gradient(points, share, directions, wanted)
        slope = 0.9 * slope + 0.1 * gradient
        square = 0.99 * square + 0.01 * gradient**2
        move = (slope / (1 - 0.9**count)) / (np.sqrt(square / (1 - 0.99**count)) + 1e-9)
        scale -= _STEP * (1 - count / (_ROUNDS + 1)) * move
    return np.clip(start * np.exp(scale), box.low, box.high)


def _sorted_quantiles(values: FloatArray) -> FloatArray:
    """(q, d) quantiles of the rows of (d, n); a full sort is faster than selecting ten ranks."""
    ordered = np.sort(values, axis=1)
    place = LEVELS * (values.shape[1] - 1)
    low = np.minimum(place.astype(np.int64), max(values.shape[1] - 2, 0))
    part = place - low
    return np.asarray(((1 - part) * ordered[:, low] + part * ordered[:, np.minimum(low + 1, values.shape[1] - 1)]).T)


def _gradient(points: FloatArray, share: FloatArray, directions: FloatArray, wanted: FloatArray) -> FloatArray:
    """Derivative of the mean squared relative quantile error by the logarithm of each coordinate, (3, k)."""
    values = directions @ _features(points)
    order = np.argsort(values, axis=1)
    ordered = np.take_along_axis(values, order, axis=1)
    weight = share[order]
    middle = np.cumsum(weight, axis=1) - weight / 2
    row = np.arange(len(directions))
    by_value = np.zeros_like(values)
    for level, target in zip(LEVELS, wanted, strict=True):
        right = np.clip((middle < level).sum(axis=1), 1, len(share) - 1)
        left = right - 1
        span = middle[row, right] - middle[row, left]
        part = np.clip((level - middle[row, left]) / span, 0.0, 1.0)
        found = (1 - part) * ordered[row, left] + part * ordered[row, right]
        error = (found / target - 1) / target
        by_value[row, order[row, left]] += error * (1 - part)
        by_value[row, order[row, right]] += error * part
    fresh, cached, output = points
    by_fresh, by_cached, by_output, by_area = directions.T @ by_value
    return np.stack(
        [
            (by_fresh + by_area * (cached + fresh)) * fresh,
            (by_cached + by_area * fresh) * cached,
            by_output * output,
        ]
    )


def _directions(columns: FloatArray) -> FloatArray:
    """(d, 4) nonnegative combinations, scaled by the means of the columns: each alone, then random ones."""
    random = np.random.default_rng(_SEED)
    size = (_DIRECTIONS, len(columns))
    raw = random.exponential(1.0, size) * np.exp(random.normal(0.0, 1.0, size)) * (random.random(size) < 0.7)
    used = columns.mean(axis=1) > 0
    raw[: len(columns)] = np.eye(len(columns))
    raw *= used
    raw = raw[raw.sum(axis=1) > 0]
    return np.asarray(raw / raw.sum(axis=1, keepdims=True) / np.where(used, columns.mean(axis=1), 1.0))


def _weights(kind: int, gap: FloatArray) -> FloatArray:
    """(48,) number of steps of a cluster that are of this kind at each retention time."""
    if kind == FIRST:
        return np.full(len(RETENTION), float(len(gap)))
    kept = np.searchsorted(np.sort(gap), RETENTION, side="right").astype(np.float64)
    kept[0] = 0.0
    return len(gap) - kept if kind == MISSED else kept


def actual(table: Steps, shared: float, retention: float) -> FloatArray:
    """(3, n) fresh, cached and output tokens of every step when KV is kept for `retention` [s]."""
    served = share_prefix(table, shared)
    lost: BoolArray = ~served.first & ((served.gap > retention) | (retention <= 0))
    surviving = np.minimum(np.minimum(shared, served.cached), served.context - 1)
    cached = np.where(lost, surviving, served.cached)
    return np.stack([served.context - cached, cached, served.output])
