"""Quantiles of mixtures of steps, point by point: the rule of :func:`dse.physics.queueing.mixture_quantiles` as a loop.

Only the few longest steps decide a reading at 95 %. A loop that keeps just those needs no array of all steps of all
points, and stops where no other step can be among them. It is worth its while as machine code only: so long as few
points were read, and where there is no compiler, :mod:`tails` reads them in arrays, to the rounding of a sum the same.
"""

from functools import cache, lru_cache
from pathlib import Path
from typing import NamedTuple

import numpy as np

from dse import compiled
from dse.arrays import BoolArray, FloatArray, IntArray
from dse.facts.workload.atoms import HIT, Atoms
from dse.facts.workload.distill import cell_of

LOADED, MADE = 4_000, 1_000_000
"""Readings in arrays before machine code is loaded, and before it is made [1]. To load it takes as long as 20,000 of
them, but who has read the first 4,000, of a few designs, is in a search that reads millions."""

_count = [0]
"""Readings asked for in this process."""


class Longest(NamedTuple):
    """Steps of a class by group (found in HBM, found below it, and not found), the longest of each first."""

    size: FloatArray
    """(k, 4) fresh tokens, attention area, cached tokens, tokens after the first."""
    rest: FloatArray
    """(k, 4) most of each in this step and those after it in the group."""
    weight: FloatArray
    """(48, k) at each retention time of the grid [1]."""
    edges: IntArray
    """(4,) where each group starts, and the end."""


class Mixtures(NamedTuple):
    """What the mixture of steps of each point is made of."""

    forms: FloatArray
    """(3, 4, m) time of a step of each group: constant, by fresh token, area, cached token [s]."""
    shares: FloatArray
    """(3, m) by which the weights of each group count [1]."""
    cell: IntArray
    """(m,) retention time of the grid before the point's."""
    part: FloatArray
    """(m,) share of the way to the next one [1]."""

    def take(self, rows: IntArray) -> "Mixtures":
        """Select points."""
        forms, shares = (np.take(column, rows, axis=-1) for column in (self.forms, self.shares))
        return Mixtures(forms, shares, self.cell[rows], self.part[rows])


def pays(readings: int) -> bool:
    """Whether machine code will read so many more points, as there is some or arrays have taken as long as it takes."""
    if not compiled.available():
        return False
    _count[0] += readings
    return _count[0] > (LOADED if _folder().is_dir() else MADE)


def mixtures(forms: FloatArray, lower: FloatArray, place: FloatArray) -> Mixtures:
    """Mixtures of points whose KV is found below HBM to such a share, and kept so long as a place on the grid tells."""
    return Mixtures(forms, np.stack([1 - lower, lower, np.ones(lower.size)]), *cell_of(place))


def readings(of: Mixtures, steps: Longest, per_output: FloatArray | None, level: float) -> FloatArray:
    """Quantile of each mixture, of the first token or with a time per further token of the last one, (m,) [s]."""
    found = np.empty(of.cell.size)
    output = np.zeros(of.cell.size) if per_output is None else per_output
    scratch = np.empty((2, len(steps.size) + 1))
    _loops()[0](len(found), len(steps.size), *of, output, *steps, level, *scratch, found)
    return found


def within(of: Mixtures, steps: Longest, limit: FloatArray, level: float) -> BoolArray:
    """Whether the quantile of the first token of each mixture is within a limit, (m,)."""
    found = np.empty(of.cell.size, dtype=np.bool_)
    _loops()[1](len(found), len(steps.size), *of, limit, *steps, level, found)
    return found


@lru_cache(maxsize=64)
def longest(atoms: Atoms, affinity: float, whole_step: bool) -> Longest:
    """Steps in the order in which a reading looks at them: by output where it counts, by fresh tokens elsewhere."""
    output = np.maximum(atoms.output - 1, 0)
    by = np.argsort(-(output if whole_step else atoms.fresh), kind="stable")
    found, lost = by[atoms.kind[by] == HIT], by[atoms.kind[by] != HIT]
    order = np.concatenate([found, found, lost])
    edges = np.cumsum([0, found.size, found.size, lost.size])
    size = np.stack([atoms.fresh, atoms.area, atoms.cached, output], axis=1)[order]
    rest = np.concatenate([np.maximum.accumulate(part[::-1])[::-1] for part in np.split(size, edges[1:-1])])
    weight = atoms.routed(affinity)
    return Longest(size, rest, np.ascontiguousarray(weight[:, order]), edges)


def read(
    points: int,
    steps: int,
    forms: FloatArray,
    shares: FloatArray,
    cell: IntArray,
    part: FloatArray,
    output: FloatArray,
    size: FloatArray,
    rest: FloatArray,
    weight: FloatArray,
    edges: IntArray,
    level: float,
    value: FloatArray,
    mass: FloatArray,
    found: FloatArray,
) -> None:
    """Fill in the quantile of each point, between the two steps whose middles the level lies between.

    The longest steps so far stand in `value` and `mass`, the longest first, up to the first one whose middle is below
    the level: no shorter one has a say. Of steps that take equally long, the later one counts as the longer, as there.
    `size` and `rest` tell what a step asks for, and what it and the others of its group ask for at most. All arrays are
    flat, in the order of their last axis.
    """
    beyond = 1 - level
    for point in range(points):
        later = output[point]
        count, full, least, held, node = 0, False, 0.0, 0.0, cell[point] * steps
        for group in range(3):
            share = shares[group * points + point]
            if share <= 0:
                continue
            form = 4 * group * points + point
            start, token = forms[form], forms[form + points]
            area, cached = forms[form + 2 * points], forms[form + 3 * points]
            for k in range(edges[group], edges[group + 1]):
                at = 4 * k
                if full and least > start + (
                    token * rest[at] + area * rest[at + 1] + cached * rest[at + 2] + later * rest[at + 3]
                ):
                    break
                time = start + (token * size[at] + area * size[at + 1] + cached * size[at + 2] + later * size[at + 3])
                if full and time < least:
                    continue
                own = share * ((1 - part[point]) * weight[node + k] + part[point] * weight[node + steps + k])
                if own <= 0:
                    continue
                place = count
                while place > 0 and value[place - 1] <= time:
                    value[place], mass[place] = value[place - 1], mass[place - 1]
                    place -= 1
                value[place], mass[place] = time, own
                count, held = count + 1, held + own
                while count > 1 and held - mass[count - 1] - mass[count - 2] / 2 > beyond:
                    count -= 1
                    held -= mass[count]
                least, full = value[count - 1], held - mass[count - 1] / 2 > beyond
        found[point] = least
        if count > 1 and full:
            above = 0.0
            for place in range(count - 1):
                above += mass[place]
            low, high = 1 - above - mass[count - 1] / 2, 1 - above + mass[count - 2] / 2
            found[point] = least + (value[count - 2] - least) * ((level - low) / (high - low))


def hold(
    points: int,
    steps: int,
    forms: FloatArray,
    shares: FloatArray,
    cell: IntArray,
    part: FloatArray,
    limit: FloatArray,
    size: FloatArray,
    rest: FloatArray,
    weight: FloatArray,
    edges: IntArray,
    level: float,
    found: BoolArray,
) -> None:
    """Fill in whether the quantile of each point is within its limit.

    It lies between the longest step within and the shortest one beyond, or on that side of both on which the level is.
    """
    for point in range(points):
        above, longer, longer_mass, shorter, shorter_mass = 0.0, np.inf, 0.0, -1.0, 0.0
        node = cell[point] * steps
        for group in range(3):
            share = shares[group * points + point]
            if share <= 0 or above - longer_mass / 2 >= 1 - level:
                continue
            form = 4 * group * points + point
            start, token = forms[form], forms[form + points]
            area, cached = forms[form + 2 * points], forms[form + 3 * points]
            for k in range(edges[group], edges[group + 1]):
                at = 4 * k
                if start + (token * rest[at] + area * rest[at + 1] + cached * rest[at + 2]) < shorter:
                    break
                time = start + (token * size[at] + area * size[at + 1] + cached * size[at + 2])
                if time < shorter:
                    continue
                own = share * ((1 - part[point]) * weight[node + k] + part[point] * weight[node + steps + k])
                if own <= 0:
                    continue
                if time <= limit[point]:
                    shorter, shorter_mass = time, own
                    continue
                above += own
                if time < longer:
                    longer, longer_mass = time, own
                if above - longer_mass / 2 >= 1 - level:
                    break
        low, high = 1 - above - shorter_mass / 2, 1 - above + longer_mass / 2
        if high <= level or shorter < 0:
            found[point] = False
        elif low >= level or above <= 0:
            found[point] = True
        else:
            found[point] = shorter + (longer - shorter) * ((level - low) / (high - low)) <= limit[point]


@cache
def _loops() -> tuple[compiled.Loop, compiled.Loop]:
    """Both loops, as machine code where there is a compiler."""
    if not compiled.available():
        return compiled.plain(read), compiled.plain(hold)
    return compiled.loop(read, _folder()), compiled.loop(hold, _folder())


@cache
def _folder() -> Path:
    return compiled.kept("scoring", [Path(__file__).read_bytes()])
