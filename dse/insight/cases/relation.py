"""What a source states, what the model gives, and whether the two agree."""

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from dse.insight import wording


@dataclass(frozen=True)
class Relation:
    """One statement of a source held against the model."""

    claim: str
    """The statement in words."""
    got: float
    """What the model gives."""
    low: float
    """Least value that agrees with the source."""
    high: float = math.inf
    """Largest value that agrees with the source."""
    unit: str = ""
    """Unit of the three numbers; empty for ratios and counts."""
    trend: bool = False
    """The source gives a direction, not a figure."""
    gap: str = ""
    """Why the model does not show it; empty where it does."""

    @property
    def holds(self) -> bool:
        """Whether the model agrees with the source."""
        return self.low <= self.got <= self.high

    @property
    def verdict(self) -> str:
        """One or two words: agrees, shows the trend, known gap, or disagrees."""
        if self.holds:
            return "trend shown" if self.trend else "agrees"
        return "known gap" if self.gap else "DISAGREES"

    @property
    def expected(self) -> str:
        """The accepted range in words.

        >>> Relation("", 1.5, 1.0, 2.0, "x").expected, Relation("", 1.5, 1.0).expected, Relation("", 1, 1, 1).expected
        ('1 to 2 x', 'at least 1', '1')
        """
        unit = f" {self.unit}" if self.unit else ""
        if math.isinf(self.high):
            return f"at least {wording.number(self.low)}{unit}"
        if math.isinf(self.low):
            return f"at most {wording.number(self.high)}{unit}"
        low, high = wording.number(self.low), wording.number(self.high)
        return f"{low}{unit}" if low == high else f"{low} to {high}{unit}"


def near(claim: str, got: float, published: float, share: float, unit: str = "", gap: str = "") -> Relation:
    """Relation to a published figure within a share of it.

    >>> near("rate", 98.0, 100.0, 0.05).holds
    True
    """
    return Relation(claim, float(got), published * (1 - share), published * (1 + share), unit, gap=gap)


def above(claim: str, got: float, least: float = 1.0, unit: str = "", gap: str = "") -> Relation:
    """Relation of direction: the value is at least that large."""
    return Relation(claim, float(got), least, unit=unit, trend=True, gap=gap)


def below(claim: str, got: float, most: float = 1.0, unit: str = "", gap: str = "") -> Relation:
    """Relation of direction: the value is at most that large."""
    return Relation(claim, float(got), -math.inf, most, unit, trend=True, gap=gap)


def facts(relations: Iterable[Relation]) -> list[dict[str, object]]:
    """Relations for programs; a bound that is absent is null."""
    return [
        {
            "claim": one.claim,
            "expected_low": None if math.isinf(one.low) else one.low,
            "expected_high": None if math.isinf(one.high) else one.high,
            "got": one.got,
            "unit": one.unit,
            "verdict": one.verdict,
            **({"gap": one.gap} if one.gap else {}),
        }
        for one in relations
    ]


def markdown(name: str, relations: Sequence[Relation]) -> list[str]:
    """Rows of the table of all cases."""
    rows = []
    for one in relations:
        unit = f" {one.unit}" if one.unit else ""
        claim = f"{one.claim}: {one.gap}" if one.gap and not one.holds else one.claim
        rows.append(f"| {name} | {claim} | {one.expected} | {wording.number(one.got)}{unit} | {one.verdict} |")
    return rows
