"""What a device of a serving point costs and draws as a function of prices, exact where the equations are linear.

The hourly price of a device is an annuity of its capital plus its electricity. Capital is a sum of quantities times
unit prices, so one evaluation per price gives every quantity, whatever the design adds to the stock part; any number
of price samples is then arithmetic on arrays. Facility power is linear in the PUE in the same way.
"""

from collections.abc import Callable, Mapping, Sequence
from itertools import product
from typing import NamedTuple

import numpy as np

from dse.arrays import FloatArray
from dse.facts.prices import PriceSet
from dse.insight.decision.doubts import Unknown
from dse.physics import cost
from dse.physics.cost import HOURS_PER_YEAR, SECONDS_PER_HOUR
from dse.search.scoring.supply import YEAR

MARGIN = "prices.vendor_margin"
PUE = "prices.pue"
MEMORY = "prices.memory."
SHARES = ("prices.host_share", "prices.network_share")
FINANCE = ("prices.depreciation", "prices.interest", "prices.spare_fraction", "prices.operations", "prices.electricity")
"""Prices that act on the whole capital or on energy, in closed form."""

SIDES = ("prefill", "decode")

ROUNDING = 1e-9
"""Relative change of capital that is none [1]."""

Probe = Callable[[Mapping[str, float]], list[dict[str, "Bare"]]]
"""Prices -> per class and side, hourly price and power of every serving point."""


class Bare(NamedTuple):
    """One side of the serving points of a class, (m,)."""

    hourly: FloatArray
    power: FloatArray


class _Crossing(NamedTuple):
    """Two prices changed together."""

    ends: tuple[int, int]
    """End of the range of each, 0 low or 1 high."""
    area: float
    """Product of both changes."""
    found: list[dict[str, "Bare"]]


class Line(NamedTuple):
    """Change of capital per change of one price, below and above the stated one, (m,) each."""

    stated: float
    below: FloatArray
    above: FloatArray

    def at(self, price: FloatArray) -> FloatArray:
        """(s, m) change of capital."""
        step = (price - self.stated)[:, None]
        return np.asarray(np.where(step < 0, self.below, self.above) * step)


class Outlay(NamedTuple):
    """One side of the serving points of a class."""

    capital: FloatArray
    """At the likely prices [$]."""
    lines: Mapping[str, Line]
    """Price -> change of capital."""
    crossed: Mapping[tuple[str, str], FloatArray]
    """Two prices of which one multiplies the other -> change of capital per change of both."""
    fixed_power: FloatArray
    """Facility power that does not depend on the PUE [W]."""
    pue_power: FloatArray
    """Facility power per PUE [W]."""

    def power(self, pue: FloatArray) -> FloatArray:
        """(s, m) facility power [W]."""
        return np.asarray(self.fixed_power + self.pue_power * pue[:, None])

    def hourly(self, prices: PriceSet, values: Mapping[str, FloatArray], power: FloatArray) -> FloatArray:
        """(s, m) price of a device with everything that hangs on it [$/h]."""
        capital = np.broadcast_to(self.capital, power.shape).copy()
        for path, line in self.lines.items():
            capital += line.at(_on_scale(path, values[path]))
        for pair, slope in self.crossed.items():
            steps = [_on_scale(path, values[path]) - self.lines[path].stated for path in pair]
            capital += slope * (steps[0] * steps[1])[:, None]
        rate, energy = finance(prices, values)
        return np.asarray(rate[:, None] * capital + energy[:, None] * power)


def finance(prices: PriceSet, values: Mapping[str, FloatArray]) -> tuple[FloatArray, FloatArray]:
    """(s,) dollars per hour for a dollar of capital, and for a watt."""

    def number(name: str) -> FloatArray:
        return np.atleast_1d(values.get(f"prices.{name}", np.asarray(getattr(prices, name).likely)))

    yearly = cost.annuity(number("interest"), number("depreciation") / YEAR)
    rate = yearly * (1 + number("operations")) / (HOURS_PER_YEAR * (1 - number("spare_fraction")))
    return np.asarray(rate), np.asarray(SECONDS_PER_HOUR * number("electricity"))


def outlays(prices: PriceSet, own: Sequence[Unknown], probe: Probe) -> list[dict[str, Outlay]]:
    """Outlay of every class and side; prices that change nothing are left out of the lines."""
    stated = probe({})
    unit_rate, unit_energy = (float(part[0]) for part in finance(prices, {}))

    def capital(found: dict[str, Bare], side: str) -> FloatArray:
        return np.asarray((found[side].hourly - unit_energy * found[side].power) / unit_rate)

    linear = [item for item in own if item.kind == "price" and item.path not in (*FINANCE, PUE)]
    ends = {item.path: [probe({item.path: end}) for end in (item.range.low, item.range.high)] for item in linear}
    both = _crossings(linear, probe)
    shifted = probe({PUE: 2 * prices.pue.likely})
    made = []
    for number, base in enumerate(stated):
        sides = {}
        for side in SIDES:
            known = capital(base, side)
            gaps = {path: [capital(end[number], side) - known for end in pair] for path, pair in ends.items()}
            lines = {item.path: _line(item, *gaps[item.path]) for item in linear if _moves(gaps[item.path], known)}
            crossed = {}
            for pair, joint in both.items():
                alone = [gaps[path][end] for path, end in zip(pair, joint.ends, strict=True)]
                rest = capital(joint.found[number], side) - known - alone[0] - alone[1]
                if lines.keys() >= set(pair) and _moves([rest], known):
                    crossed[pair] = rest / joint.area
            slope = (shifted[number][side].power - base[side].power) / prices.pue.likely
            fixed = base[side].power - slope * prices.pue.likely
            sides[side] = Outlay(known, lines, crossed, fixed, slope)
        made.append(sides)
    return made


def _line(item: Unknown, low: FloatArray, high: FloatArray) -> Line:
    """Slopes of capital on both sides of the stated price; of the margin, over 1 / (1 - margin)."""
    stated, *ends = _scaled(item)
    down, up = (end - stated for end in ends)
    return Line(stated, low / down if down else high / up, high / up if up else low / down)


def _scaled(item: Unknown) -> tuple[float, float, float]:
    """Stated price and both ends on the scale on which capital is linear."""
    stated, low, high = (
        float(_on_scale(item.path, np.asarray(end))) for end in (item.stated, item.range.low, item.range.high)
    )
    return stated, low, high


def _on_scale(path: str, price: FloatArray) -> FloatArray:
    """Price, or for the vendor's margin 1 / (1 - margin): the price of memory per cost of it."""
    return np.asarray(1 / (1 - price)) if path == MARGIN else price


def _moves(gaps: Sequence[FloatArray], base: FloatArray) -> bool:
    """Whether capital changes by more than rounding."""
    return any(bool((np.abs(gap) > ROUNDING * np.abs(base)).any()) for gap in gaps)


def _crossings(linear: Sequence[Unknown], probe: Probe) -> dict[tuple[str, str], _Crossing]:
    """Pairs of prices of which one multiplies the other, changed together."""
    found = {}
    for one, two in product(linear, repeat=2):
        if two.path in _multiplied_by(one.path):
            (end, step), (other, by) = _step(one), _step(two)
            joint = probe({one.path: one.range[2 * end], two.path: two.range[2 * other]})
            found[one.path, two.path] = _Crossing((end, other), step * by, joint)
    return found


def _multiplied_by(path: str) -> tuple[str, ...]:
    """Prices that multiply a price: the vendor's margin that of memory; shares of a system an ownership rate."""
    if path.startswith(MEMORY):
        return (MARGIN,)
    return SHARES if ".tco." in path else ()


def _step(item: Unknown) -> tuple[int, float]:
    """Which end differs more from the stated price, 0 low or 1 high, and by how much."""
    stated, *ends = _scaled(item)
    steps = [end - stated for end in ends]
    end = int(np.argmax(np.abs(steps)))
    return end, steps[end]
