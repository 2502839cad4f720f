"""What is not known: every number with a range that some designs rest on, and samples of all of them at once."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any, Literal, NamedTuple, TypeAlias

import numpy as np
from scipy import stats

from dse.arrays import FloatArray
from dse.facts.devices import Accelerator
from dse.facts.levers import NONE
from dse.facts.prices import PriceSet
from dse.facts.problem import Problem, Range
from dse.facts.quantities import Uncertain
from dse.insight import paths
from dse.insight.bill import RATES
from dse.insight.wording import quantity
from dse.search.fidelity.constants import band_of

Kind: TypeAlias = Literal["price", "time", "share", "other"]

PHASES = ("prefill", "decode")
"""Passes whose predicted time has a model error."""

COMMON = 0.5
"""Part of the variance of the model's error that all device types share [1]: an assumption. Error bands are those of
devices left out of the fit; what a class of operators is off by, it is off by on every device."""

SHARE_SPREAD = 0.25
"""Relative half-width of the share of an agent that the study gives no range for [1]: an assumption."""

STATED = "range stated in the study"
BLIND = "error of the model on devices left out of its fit"
"""Sources of ranges."""

EDGE = 1e-9
"""Samples keep this distance from 0 and 1, where the quantile of a factor is infinite."""


class Unknown(NamedTuple):
    """One number that is not known."""

    path: str
    """Dotted path as in a study; `time.decode` and `time.decode.DEVICE` are factors of the model's error."""
    kind: Kind
    range: Range
    """In SI. For a price the ends of what was seen or assumed, for a time the factors of one standard deviation."""
    unit: str
    estimate: bool
    source: str
    stated: float
    """The number that the run used; the likely one unless the study gives a range of its own."""

    @property
    def label(self) -> str:
        """In words.

        >>> unknown = Unknown("time.decode.h200_sxm", "time", Range(0.9, 1.0, 1.1), "1", True, "", 1.0)
        >>> unknown.label, unknown._replace(path="prices.memory.hbm3e").label
        ('decode time of h200_sxm', 'price of hbm3e')
        """
        return paths.words(self.path)

    def words(self) -> str:
        """Range in words."""
        low, likely, high = self.range
        if self.kind == "time":
            return f"{low:.2f}x to {high:.2f}x (1 σ)"
        first, last = quantity(low, self.unit), quantity(high, self.unit)
        return f"{first} to {last}, likely {quantity(likely, self.unit)}"


def unknowns(problem: Problem, devices: Iterable[str]) -> tuple[Unknown, ...]:
    """Every number with a range that designs of these devices may rest on; the study's own ranges come first.

    Parameters
    ----------
    problem : Problem
    devices : names of the device types that the designs use
    """
    used = [name for name in problem.devices if name in set(devices)]
    found = {
        own.path: own for own in (*_rates(problem, used), *_parts(problem, used), *_times(used), *_shares(problem))
    }
    for path, own in problem.uncertainties.items():
        name = path.removesuffix(".likely")
        known = found.get(name)
        if known:
            found[name] = known._replace(range=own, estimate=True, source=STATED)
        else:
            found[path] = Unknown(path, "other", own, "1", True, STATED, _number(problem, path))
    return tuple(own for own in found.values() if own.range.low < own.range.high)


def sampled(own: Sequence[Unknown], cube: FloatArray) -> dict[str, FloatArray]:
    """Path -> (s,) values of every unknown from points of the unit cube, (s, unknowns).

    Ranges are triangular with the likely value as their mode. The model's error is log-normal on either side of one,
    with the two ends of its band at one standard deviation; what all devices share and what is a device's own
    multiply.
    """
    inside = np.clip(cube, EDGE, 1 - EDGE)
    return {unknown.path: _values(unknown, inside[:, column]) for column, unknown in enumerate(own)}


def likely(own: Sequence[Unknown]) -> dict[str, FloatArray]:
    """The likely value of each, as one sample."""
    return {unknown.path: np.array([unknown.range.likely]) for unknown in own}


def _values(unknown: Unknown, share: FloatArray) -> FloatArray:
    low, mode, high = unknown.range
    if unknown.kind != "time":
        return np.asarray(stats.triang.ppf(share, (mode - low) / (high - low), low, high - low))
    part = np.sqrt(COMMON if unknown.path.count(".") == 1 else 1 - COMMON)
    place = stats.norm.ppf(share) * part
    return np.asarray(np.exp(np.where(place < 0, -np.log(low), np.log(high)) * place))


def _rates(problem: Problem, devices: Sequence[str]) -> Iterator[Unknown]:
    """Rates that every design pays, and the memories that designs may buy."""
    prices: PriceSet = problem.prices
    for name, unit in RATES:
        number = getattr(prices, name)
        if isinstance(number, Uncertain):
            yield _triple(f"prices.{name}", number, unit)
    package = [problem.devices[name].memory for name in devices]
    bought = ["ddr5_rdimm", *(str(choice) for choice in problem.levers["pool.technology"] if choice != NONE)]
    bought += [memory.technology for memory in package if memory is not None]
    for name in dict.fromkeys(bought):
        if name in prices.memory:
            yield _triple(f"prices.memory.{name}", prices.memory[name], "$/B")


def _parts(problem: Problem, devices: Sequence[str]) -> Iterator[Unknown]:
    """Prices of device types: of the part, or the ownership rate where no price is known."""
    for name in devices:
        device: Accelerator = problem.devices[name]
        if device.price is not None:
            used = float(getattr(device.price, problem.prices.device_price))
            made = _triple(f"devices.{name}.price", device.price, "$")
            yield made._replace(range=Range(made.range.low, used, made.range.high), stated=used)
        elif device.tco is not None:
            rate, dear = device.tco.hyperscaler, max(device.tco.neocloud, device.tco.hyperscaler)
            spread = Range(rate * rate / dear, rate, dear)
            source = f"{device.tco.source}; high end: owned by a smaller cloud, low end as far below"
            yield Unknown(f"devices.{name}.tco.hyperscaler", "price", spread, "$/s", device.tco.estimate, source, rate)


def _times(devices: Sequence[str]) -> Iterator[Unknown]:
    """Model error of both phases, shared by all devices and of each device."""
    for phase in PHASES:
        low, high = band_of("prefill" if phase == "prefill" else "decode")
        band = Range(min(low, 1.0), 1.0, max(high, 1.0))
        for path in (f"time.{phase}", *(f"time.{phase}.{name}" for name in devices)):
            yield Unknown(path, "time", band, "1", True, BLIND, 1.0)


def _shares(problem: Problem) -> Iterator[Unknown]:
    """Shares of a mixture."""
    for agent in problem.agents if len(problem.agents) > 1 else ():
        low, high = (agent.share * (1 + sign * SHARE_SPREAD) for sign in (-1, 1))
        source = f"assumed: {100 * SHARE_SPREAD:.0f} % either way"
        spread = Range(low, agent.share, min(high, 1.0))
        yield Unknown(f"agents.{agent.name}.share", "share", spread, "1", True, source, agent.share)


def _triple(path: str, number: Uncertain[Any], unit: str) -> Unknown:
    own = Range(float(number.low), float(number.likely), float(number.high))
    return Unknown(path, "price", own, unit, number.estimate, number.source, own.likely)


def _number(problem: Problem, path: str) -> float:
    """Number at a dotted path."""
    here: Any = problem
    for name in path.split("."):
        here = here[name] if isinstance(here, Mapping) else getattr(here, name)
    return float(here.likely if isinstance(here, Uncertain) else here)
