"""Sentences made of numbers: each keeps the numbers it states, so that a reader can check where they come from."""

import re
from typing import NamedTuple

from dse.insight import wording

NUMBER = re.compile(r"(?<![\w.])\d[\d,]*(?:\.\d+)?(?:e\+?\d+)?(?!\w)")
"""A number as sentences write it."""


class Value(NamedTuple):
    """A number and how it is written."""

    number: float
    text: str


class Said(NamedTuple):
    """One sentence with its subject and the numbers in it."""

    subject: str
    text: str
    numbers: tuple[float, ...] = ()


def said(subject: str, template: str, *parts: "Value | str") -> Said:
    """Sentence from a template with one pair of braces per part.

    >>> said("cost", "{} costs {}", "B", quantity(0.238, "$/task"))
    Said(subject='cost', text='B costs 0.238 $/task', numbers=(0.238,))
    """
    texts = [part.text if isinstance(part, Value) else part for part in parts]
    return Said(subject, template.format(*texts), tuple(part.number for part in parts if isinstance(part, Value)))


def quoted(text: str) -> tuple[float, ...]:
    """Numbers in a sentence that another document of the run states.

    >>> quoted("60 s prove that 2.6e10 designs are within 5 %")
    (60.0, 26000000000.0, 5.0)
    """
    return tuple(float(found.replace(",", "")) for found in NUMBER.findall(text))


def quantity(number: float, unit: str) -> Value:
    """Number with its unit and prefix."""
    return Value(number, wording.quantity(number, unit))


def percent(share: float) -> Value:
    """Share of one as percent."""
    return Value(share, wording.percent(share))


def count(number: int) -> Value:
    """Whole number."""
    return Value(float(number), f"{number:,}")


def metric(name: str, unit: str, number: float) -> Value:
    """Metric with its name."""
    return Value(number, wording.metric(name, unit, number))
