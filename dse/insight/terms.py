"""A number with its meaning: what it is, its formula and equation, its part of a whole."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple


class Term(NamedTuple):
    """One term of an explanation."""

    name: str
    value: float
    """In SI."""
    unit: str
    """Of the value, SI."""
    formula: str = ""
    """How it comes about, with the inputs of this design."""
    equation: str = ""
    """Module of the physics and number of the equation."""
    share: float | None = None
    """Part of the total above it [1]."""


@dataclass(frozen=True)
class Section:
    """One total with the terms that make it up, or a list of facts."""

    title: str
    terms: tuple[Term, ...] = ()
    note: str = ""


def parts(terms: Sequence[Term], least: float = 0.0) -> tuple[Term, ...]:
    """Terms with their share of the sum, the largest first; those that add nothing are left out.

    >>> [term.share for term in parts([Term("a", 1.0, "s"), Term("b", 3.0, "s"), Term("c", 0.0, "s")])]
    [0.75, 0.25]
    """
    total = sum(term.value for term in terms)
    known = [term._replace(share=term.value / total) for term in terms if total and abs(term.value / total) > least]
    return tuple(sorted(known, key=lambda term: -term.value))
