"""Quantities with units: text such as "4.8 TB/s" becomes an SI number here, and nowhere else.

Inside the package every number is in base units (B, B/s, FLOP, FLOP/s, s, W, J, $, tok); prefixes live
in files and on screens. Decimal and binary prefixes differ: 1 GB is 1e9 B, 1 GiB is 1.0737e9 B.
"""

import math
import re
from collections import Counter
from collections.abc import Mapping
from fractions import Fraction
from functools import lru_cache

Dimension = tuple[tuple[str, int], ...]

_DECIMAL = {
    "n": Fraction(1, 10**9),
    "u": Fraction(1, 10**6),
    "µ": Fraction(1, 10**6),
    "μ": Fraction(1, 10**6),
    "m": Fraction(1, 10**3),
    "p": Fraction(1, 10**12),
    "k": Fraction(10**3),
    "M": Fraction(10**6),
    "G": Fraction(10**9),
    "T": Fraction(10**12),
    "P": Fraction(10**15),
    "E": Fraction(10**18),
}
_BINARY = {"Ki": Fraction(2**10), "Mi": Fraction(2**20), "Gi": Fraction(2**30), "Ti": Fraction(2**40)}

_HOUR = Fraction(3600)
_DAY = 24 * _HOUR
_YEAR = Fraction(36525, 100) * _DAY

# Name of an atom -> (base dimensions, factor to them). Watt is J/s; a bit is an eighth of a byte.
_ATOMS: dict[str, tuple[Mapping[str, int], Fraction]] = {
    "B": ({"B": 1}, Fraction(1)),
    "bit": ({"B": 1}, Fraction(1, 8)),
    "s": ({"s": 1}, Fraction(1)),
    "FLOP": ({"FLOP": 1}, Fraction(1)),
    "J": ({"J": 1}, Fraction(1)),
    "W": ({"J": 1, "s": -1}, Fraction(1)),
    "Wh": ({"J": 1}, _HOUR),
    "$": ({"$": 1}, Fraction(1)),
    "tok": ({"tok": 1}, Fraction(1)),
    "m": ({"m": 1}, Fraction(1)),
    "min": ({"s": 1}, Fraction(60)),
    "h": ({"s": 1}, _HOUR),
    "day": ({"s": 1}, _DAY),
    "days": ({"s": 1}, _DAY),
    "year": ({"s": 1}, _YEAR),
    "years": ({"s": 1}, _YEAR),
    "task": ({"task": 1}, Fraction(1)),
    "tasks": ({"task": 1}, Fraction(1)),
    "step": ({"step": 1}, Fraction(1)),
    "device": ({"device": 1}, Fraction(1)),
    "devices": ({"device": 1}, Fraction(1)),
    "%": ({}, Fraction(1, 100)),
    "1": ({}, Fraction(1)),
}
_PREFIXABLE = frozenset({"B", "bit", "s", "FLOP", "J", "W", "Wh", "$", "tok", "m"})
_TOKEN = re.compile(r"\s*(?:(?P<name>[A-Za-zµμ$%1]+)(?P<power>[23²³]?)|(?P<sign>[/*·()]))")
_NUMBER = re.compile(
    r"\s*(?P<number>[+-]?(?:\d+(?:\.\d*)?|\.\d+)(?:[eE](?P<exponent>[+-]?\d{1,9}))?)\s*(?P<unit>\S.*)?$"
)
# Numbers of a file that no quantity of this world needs; reading them exactly would take for ever.
_LONGEST = 60
_SHOWN = 120
_EXPONENT = 330
_POWERS = {"": 1, "2": 2, "²": 2, "3": 3, "³": 3}

# Units in which a bare number has only one reading.
_COUNTS = frozenset({"1", "tok", "task", "step", "device", "devices"})

# What to print when something else was written.
EXAMPLES: dict[str, str] = {
    "B": "80 GB",
    "B/s": "4.8 TB/s",
    "FLOP": "2 TFLOP",
    "FLOP/s": "989 TFLOP/s",
    "s": "30 ms",
    "W": "700 W",
    "J": "5 J",
    "J/B": "5 pJ/bit",
    "J/FLOP": "0.5 pJ/FLOP",
    "$": "30000 $",
    "$/B": "14 $/GB",
    "$/J": "0.075 $/kWh",
    "$/s": "2.5 $/h",
    "$/(B/s)": "4 $/(GB/s)",
    "$/task": "0.05 $/task",
    "$/tok": "2 $/Mtok",
    "tok": "64 ktok",
    "tok/s": "50 tok/s",
    "task/s": "2 task/s",
    "task/J": "3 task/s/MW",
    "1": "0.7",
    "m": "2 m",
    "m²": "814 mm²",
}

_NAMES = {
    "1": "a number",
    "s": "a time",
    "B": "a size in bytes",
    "W": "a power",
    "$": "an amount in $",
    "tok": "tokens",
}

# Spellings seen in data sheets that are wrong or ambiguous here, and what is meant.
_SPELLINGS = (("FLOPS", "FLOP/s"), ("FLOPs", "FLOP/s"), ("bps", "bit/s"), ("Bps", "B/s"), ("USD", "$"))
_SHOWN_AS = {
    "J/B": ("J/bit", 8.0),
    "$/J": ("$/kWh", 1 / 3.6e6),
    "$/s": ("$/h", 1 / 3600),
    "$/B": ("$/GB", 1e-9),
    "$/(B/s)": ("$/(GB/s)", 1e-9),
    "$/tok": ("$/Mtok", 1e-6),
    "task/J": ("task/s/MW", 1e-6),
    "m²": ("mm²", 1e-6),
}
_LARGE = (("P", 1e15), ("T", 1e12), ("G", 1e9), ("M", 1e6), ("k", 1e3))
_SMALL = (("m", 1e-3), ("µ", 1e-6), ("n", 1e-9), ("p", 1e-12))
_DIGITS = 3
_MINUTES_FROM = 120.0


class UnitError(ValueError):
    """A quantity that cannot be read: the message says what was expected, with an example."""


def parse(text: object, unit: str) -> float:
    """Number of `text` in SI base units; `unit` names the dimension expected.

    Parameters
    ----------
    text : str, or a bare number where the unit is a count
    unit : one of the keys of `EXAMPLES`, or any expression of the same atoms

    >>> parse("4.8 TB/s", "B/s"), parse("15 us", "s"), parse("5 pJ/bit", "J/B")
    (4800000000000.0, 1.5e-05, 4e-11)
    """
    if isinstance(text, bool) or not isinstance(text, str | int | float):
        raise UnitError(f"{_quoted(text)}: expected {expected(unit)}")
    if not isinstance(text, str):
        return _bare(text, unit)
    found = _NUMBER.match(text)
    if not found:
        raise UnitError(f"{_quoted(text)}: expected {expected(unit)}")
    if len(found["number"]) > _LONGEST or abs(int(found["exponent"] or 0)) > _EXPONENT:
        raise UnitError(f"{_quoted(text)} is beyond all numbers that are used here: expected {expected(unit)}")
    number, written = Fraction(found["number"]), found["unit"]
    if written is None:
        return _bare(float(number), unit)
    scale = _scale(written, unit)
    if scale is None:
        raise UnitError(f"{_quoted(text)}: expected {expected(unit, text)}")
    try:
        return float(number * scale)
    except OverflowError:
        why = f"{_quoted(text)} is beyond all numbers that are used here"
        raise UnitError(f"{why}: expected {expected(unit)}") from None


def expected(unit: str, written: str = "") -> str:
    """What to write for `unit`: its name and an example, made from `written` where that can be repaired.

    >>> expected("FLOP/s", "1.98 PFLOPS")
    'FLOP/s, for example "1.98 PFLOP/s"'
    """
    repaired = _repaired(written, unit)
    example = repaired or EXAMPLES.get(unit, f"3 {unit}")
    return f'{_NAMES.get(unit, unit)}, for example "{example}"'


def show(value: float, unit: str) -> str:
    """Quantity for people: SI prefix and three significant digits.

    >>> show(4.8e12, "B/s"), show(1.5e-5, "s"), show(4e-11, "J/B"), show(1.4e-8, "$/B")
    ('4.8 TB/s', '15 µs', '5 pJ/bit', '14 $/GB')
    """
    if unit in _SHOWN_AS:
        name, factor = _SHOWN_AS[unit]
        shown = value / factor
        return show(shown, name) if name == "J/bit" else f"{_rounded(shown)} {name}"
    if not math.isfinite(value):
        return f"{value} {unit}"
    if unit == "1":
        return _rounded(value)
    if unit == "s" and abs(value) >= _MINUTES_FROM:
        return _long_time(value)
    if unit.startswith(("$", "task", "step", "device", "m")):
        return f"{_rounded(value)} {unit}"
    prefix, factor = _prefix(value)
    return f"{_rounded(value / factor)} {prefix}{unit}"


def exact(value: float, unit: str) -> str | float | int:
    """Text that `parse` reads back to the very same number; a bare number for counts.

    >>> exact(4.8e12, "B/s"), exact(0.7, "1"), exact(131072.0, "tok")
    ('4.8 TB/s', 0.7, '131072 tok')
    """
    if unit == "1":
        return int(value) if value == int(value) else value
    prefix, factor = _prefix(value) if not unit.startswith(("$", "task", "step", "device", "m")) else ("", 1.0)
    if unit == "tok":
        prefix, factor = "", 1.0
    name = f"{prefix}{unit}"
    if unit in _SHOWN_AS:
        name, factor = _SHOWN_AS[unit]
    if unit == "s" and value >= float(_DAY):
        name, factor = ("years", float(_YEAR)) if value >= float(_YEAR) else ("h", float(_HOUR))
    for digits in (12, 15, 17):
        text = f"{_plain(value / factor, digits)} {name}".replace("µ", "u")
        if parse(text, unit) == value:
            return text
    return f"{value!r} {unit}"


def _bare(number: float, unit: str) -> float:
    """A number without unit is read only where no unit could be meant."""
    if not math.isfinite(number):
        raise UnitError(f"{number}: expected {expected(unit)}")
    if unit not in _COUNTS and number != 0:
        raise UnitError(f"{number:g} has no unit: expected {expected(unit)}")
    return float(number)


def _scale(written: str, unit: str) -> Fraction | None:
    """Factor from the unit written to `unit`, or None when they differ in dimension or cannot be read."""
    theirs, ours = _expression(written), _expression(unit)
    if theirs is None or ours is None or theirs[0] != ours[0]:
        return None
    return theirs[1] / ours[1]


@lru_cache(maxsize=4096)
def _expression(text: str) -> tuple[Dimension, Fraction] | None:
    """Dimension and factor of a unit expression such as "$/(GB/s)"."""
    tokens = _tokens(text)
    if not tokens:
        return None
    dimension: Counter[str] = Counter()
    factor, sign, signs = Fraction(1), 1, [1]
    atom_due = True
    for token in tokens:
        if token in "/*·":
            if atom_due:
                return None
            sign, atom_due = (-signs[-1] if token == "/" else signs[-1]), True
        elif token == "(":
            if not atom_due:
                return None
            signs.append(sign)
        elif token == ")":
            if atom_due or len(signs) == 1:
                return None
            signs.pop()
        else:
            atom = _atom(token)
            if atom is None or not atom_due:
                return None
            for name, power in atom[0].items():
                dimension[name] += sign * power
            factor *= atom[1] ** sign
            atom_due = False
    if atom_due or len(signs) != 1:
        return None
    return tuple(sorted((name, power) for name, power in dimension.items() if power)), factor


def _tokens(text: str) -> list[str]:
    """Names and signs of a unit expression; empty when it holds anything else."""
    tokens, place = [], 0
    text = text.strip()
    while place < len(text):
        found = _TOKEN.match(text, place)
        if not found:
            return []
        tokens.append(found[0].strip())
        place = found.end()
    return tokens


def _atom(token: str) -> tuple[Mapping[str, int], Fraction] | None:
    """Dimensions and factor of one name with prefix and power."""
    name = token.rstrip("23²³")
    power = _POWERS[token[len(name) :]]
    if name in _ATOMS:
        dimensions, factor = _ATOMS[name]
    else:
        split = next(
            (
                (prefix, name[len(prefix) :])
                for prefix in (*_BINARY, *_DECIMAL)
                if name.startswith(prefix) and name[len(prefix) :] in _PREFIXABLE
            ),
            None,
        )
        if split is None or (split[0] in _BINARY and split[1] not in ("B", "bit", "tok")):
            return None
        dimensions, factor = _ATOMS[split[1]]
        factor *= _BINARY.get(split[0]) or _DECIMAL[split[0]]
    return {key: value * power for key, value in dimensions.items()}, factor**power


def _repaired(written: str, unit: str) -> str | None:
    """The text with a known misspelling put right, if that makes it readable."""
    for wrong, right in _SPELLINGS:
        candidate = written.replace(wrong, right)
        found = _NUMBER.match(candidate)
        if candidate != written and found and found["unit"] and _scale(found["unit"], unit) is not None:
            return candidate
    return None


def _prefix(value: float) -> tuple[str, float]:
    """SI prefix that leaves one to three digits before the point."""
    size = abs(value)
    if size == 0 or 1 <= size < _LARGE[-1][1]:
        return "", 1.0
    if size >= 1:
        return next((prefix, factor) for prefix, factor in _LARGE if size >= factor)
    return next(((prefix, factor) for prefix, factor in _SMALL if size >= factor), _SMALL[-1])


def _rounded(value: float) -> str:
    """Three significant digits; thousands separated; no exponent where digits do."""
    if value == 0:
        return "0"
    places = _DIGITS - 1 - math.floor(math.log10(abs(value)))
    rounded = round(value, places)
    if abs(rounded) >= 10**9 or abs(rounded) < 10**-4:
        return f"{value:.{_DIGITS}g}"
    text = f"{rounded:,.{max(places, 0)}f}"
    return text.rstrip("0").rstrip(".") if "." in text else text


def _plain(value: float, digits: int) -> str:
    """Shortest decimal text of a number at this many digits."""
    text = f"{value:.{digits}g}"
    if "e" not in text:
        return text
    plain = f"{value:.0f}"
    return plain if float(plain) == value and len(plain) <= digits else text


def _long_time(value: float) -> str:
    """Minutes, hours or days of a long time."""
    for name, factor in (("days", 2 * float(_DAY)), ("h", 2 * float(_HOUR)), ("min", 0.0)):
        if abs(value) >= factor:
            unit = {"days": float(_DAY), "h": float(_HOUR), "min": 60.0}[name]
            return f"{_rounded(value / unit)} {name}"
    return f"{_rounded(value)} s"


def _quoted(value: object) -> str:
    """The value as the user wrote it, cut where it is long."""
    if isinstance(value, str) and len(value) > _SHOWN:
        return f'"{value[:_SHOWN]}…"'
    return f'"{value}"' if isinstance(value, str) else str(value).lower() if isinstance(value, bool) else str(value)
