"""The one error people see: every mistake of a file at once, each with its place and its remedy."""

import difflib
from collections.abc import Iterable
from dataclasses import dataclass

_LONGEST_PLACE = 200
"""Characters of a path inside a file."""

_LONGEST_MESSAGE = 2000
"""Characters of a message; more is something of the file that should not have been there."""

_CONTROL = dict.fromkeys((*range(9), *range(11, 32), *range(127, 160)), "\ufffd")
"""Characters that a terminal obeys instead of showing them; tabs and new lines may stay."""


def readable(text: str, most: int) -> str:
    r"""Text without what a terminal obeys, cut in its middle where it is long.

    >>> readable("a\x1b[2Jb", 9), readable("123456789", 7)
    ('a�[2Jb', '123 … 9')
    """
    if len(text) > most:
        tail = most // 4
        text = f"{text[: most - 3 - tail]} … {text[len(text) - tail :]}"
    return text.translate(_CONTROL)


@dataclass(frozen=True, order=True)
class Mistake:
    """One thing that is wrong, where it is, and what to write instead."""

    path: str
    """File, or "--set" for an override from the command line."""
    line: int
    """Counted from 1; 0 where there is no line."""
    column: int
    """Counted from 1; 0 where there is no column."""
    where: str
    """Dotted path inside the file, such as `devices.x1.memory.bandwidth`."""
    message: str
    """What was expected and what to do."""

    def __post_init__(self) -> None:
        """Keep what is quoted from a file to a length that a person reads, and from steering a terminal."""
        object.__setattr__(self, "where", readable(self.where, _LONGEST_PLACE))
        object.__setattr__(self, "message", readable(self.message, _LONGEST_MESSAGE))

    def __str__(self) -> str:
        """Return `file:line:column  where  message`."""
        place = f"{self.path}:{self.line}:{self.column}" if self.line else self.path
        return "  ".join(part for part in (place, self.where, self.message) if part)


class SpecError(Exception):
    """Input that cannot be used; holds all mistakes found, in the order of the file."""

    def __init__(self, mistakes: Iterable[Mistake]) -> None:
        self.mistakes = tuple(sorted(set(mistakes)))
        super().__init__("\n".join(str(mistake) for mistake in self.mistakes))


_LONGEST_NAME = 60
"""Characters of a name that are compared: the comparison grows with the square of them."""


def did_you_mean(written: str, known: Iterable[str]) -> str:
    """Sentence that names the nearest known word, or nothing.

    >>> did_you_mean("bandwith", ["bandwidth", "capacity"])
    ' Did you mean `bandwidth`?'
    """
    lowered = {name.lower(): name for name in known}
    written = written[:_LONGEST_NAME]
    longer = sorted((name for name in lowered if name.startswith(f"{written.lower()}_")), key=len)
    near = longer or difflib.get_close_matches(written.lower(), list(lowered), n=1, cutoff=0.6)
    return f" Did you mean `{lowered[near[0]]}`?" if near else ""


def listed(names: Iterable[str], limit: int = 12) -> str:
    """Names for a message, cut where they become too many to read.

    >>> listed(["b", "a"])
    'a, b'
    """
    ordered = sorted(names)
    more = f" and {len(ordered) - limit} more" if len(ordered) > limit else ""
    return ", ".join(ordered[:limit]) + more
