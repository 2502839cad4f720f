"""Strict YAML: what a person wrote, with the place of every value, or every mistake at once.

YAML 1.1 reads `on` as true, `1:30` as 90 and `010` as 8. None of these is guessed here: a plain word that has
two readings is refused with the remedy. Only `true`, `false`, `null`, decimal numbers and text remain.
"""

import math
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TypeAlias, TypeVar

import yaml
from pydantic import BaseModel, ValidationError

from dse.facts import files
from dse.facts.complaints import complaint
from dse.facts.errors import Mistake, SpecError

Data: TypeAlias = "dict[str, Data] | list[Data] | str | int | float | bool | None"
Key: TypeAlias = str | int
Path_: TypeAlias = tuple[Key, ...]
Place: TypeAlias = tuple[str, int, int]
"""File, line and column (both from 1)."""

_Model = TypeVar("_Model", bound=BaseModel)

# A study of thousands of lines is a mistake; the bounds also stop files made to exhaust memory.
MAX_BYTES = 2_000_000
MAX_DEPTH = 24
MAX_NODES = 200_000

MAX_MISTAKES = 100
"""Mistakes of one file that are explained: a person reads no more of them."""

_DIGITS = 60
"""Digits of a whole number, at most: reading a longer one takes for ever."""

_TOO_DEEP = f"nested deeper than {MAX_DEPTH} levels"

_INTEGER = re.compile(r"[+-]?(0|[1-9][0-9]*)$")
_FLOAT = re.compile(r"[+-]?(0|[1-9][0-9]*)?(\.[0-9]*([eE][+-]?[0-9]+)?|[eE][+-]?[0-9]+)$")
_OCTAL = re.compile(r"[+-]?0[0-9_]+$|0o[0-7]+$|0x[0-9a-fA-F]+$|0b[01]+$")
_SEXAGESIMAL = re.compile(r"[+-]?[0-9]+(:[0-5]?[0-9])+(\.[0-9]*)?$")
_GROUPED = re.compile(r"[+-]?[0-9]+(_[0-9]+)+(\.[0-9_]*)?$")
_SPECIAL = re.compile(r"[+-]?\.(inf|Inf|INF|nan|NaN|NAN)$")
_WORDS = {"true": True, "false": False, "null": None, "": None, "~": None}
_DOUBTFUL = frozenset({"y", "n", "yes", "no", "on", "off", "true", "false", "null"})


@dataclass(frozen=True)
class Source:
    """A file as read: plain data, and where each value and key stands."""

    path: str
    data: dict[str, Data]
    places: Mapping[Path_, Place] = field(repr=False)
    """Of every value; a mapping's value stands where its key stands."""

    def place(self, path: Sequence[Key]) -> Place:
        """Place of the value at `path`, or of its nearest ancestor."""
        for size in range(len(path), -1, -1):
            found = self.places.get(tuple(path[:size]))
            if found:
                return found
        return (self.path, 1, 1)

    def mistake(self, path: Sequence[Key], message: str) -> Mistake:
        """Mistake at `path`, written as `a.b[0].c`."""
        file, line, column = self.place(path)
        return Mistake(file, line, column, dotted(path), message)


def dotted(path: Sequence[Key]) -> str:
    """Path as people write it.

    >>> dotted(("require", 1, "x"))
    'require[1].x'
    """
    text = "".join(f"[{key}]" if isinstance(key, int) else f".{key}" for key in path)
    return text.removeprefix(".")


def read(path: str | Path) -> Source:
    """Read a YAML file strictly; SpecError names every mistake in it."""
    return read_text(files.read_text(path, MAX_BYTES), str(path))


def read_text(text: str, name: str = "<text>") -> Source:
    """Read YAML text strictly; `name` is the file shown in messages.

    >>> read_text("a: {b: 4.8 TB/s}").data
    {'a': {'b': '4.8 TB/s'}}
    """
    if len(text) > MAX_BYTES:
        message = f"has {len(text):,} characters; at most {MAX_BYTES:,} are read"
        raise SpecError([Mistake(name, 0, 0, "", message)])
    builder = _Builder(name)
    data = builder.document(text)
    if not builder.mistakes and not isinstance(data, dict):
        builder.report(1, 1, (), "a mapping `name: value` is expected at the top of the file")
    if builder.mistakes or not isinstance(data, dict):
        raise SpecError(builder.mistakes)
    return Source(name, data, builder.places)


def value(text: str, name: str, path: Path_) -> Data:
    """One value given on the command line, read by the same rules as a file.

    >>> value("[1, 2 ms]", "--set", ("a",))
    [1, '2 ms']
    """
    builder = _Builder(name)
    data = builder.document(text)
    if builder.mistakes:
        raise SpecError(Mistake(name, 0, 0, dotted(path), mistake.message) for mistake in builder.mistakes)
    return data


def is_plain_text(text: str) -> bool:
    """Whether text may stand without quotes: nobody could read it as a number, a truth value or nothing.

    >>> is_plain_text("700 W"), is_plain_text("on"), is_plain_text("2026")
    (True, False, False)
    """
    return text.isprintable() and text not in _WORDS and _doubt(text) is None and not _is_number(text)


def validate(model_type: type[_Model], source: Source) -> _Model:
    """Check the data of `source` against a type; SpecError names every mistake with its place."""
    try:
        return model_type.model_validate(source.data)
    except ValidationError as error:
        raise SpecError(mistakes(model_type, source, error)) from error


def validate_file(model_type: type[_Model], path: str | Path) -> _Model:
    """Read a file strictly and check it against a type."""
    return validate(model_type, read(path))


def mistakes(model_type: type[BaseModel], source: Source, error: ValidationError) -> list[Mistake]:
    """Every complaint of the validator with file, line, column and a remedy."""
    found = []
    details = error.errors(include_url=False)
    for detail in details[:MAX_MISTAKES]:
        path, message = complaint(model_type, source.data, detail)
        found.append(source.mistake(path, message))
    if len(details) > MAX_MISTAKES:
        further = f"{len(details):,} mistakes in all; the first {MAX_MISTAKES} are shown"
        found.append(Mistake(source.path, 0, 0, "", further))
    return found


class _Builder:
    """Builds plain data from parser events; keeps places, counts nodes and collects mistakes."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.places: dict[Path_, Place] = {}
        self.mistakes: list[Mistake] = []
        self._anchors: dict[str, list[yaml.Event]] = {}
        self._nodes = 0

    def report(self, line: int, column: int, path: Path_, message: str) -> None:
        self.mistakes.append(Mistake(self.name, line, column, dotted(path), message))

    def document(self, text: str) -> Data:
        """Data of the only document in `text`."""
        try:
            events = list(self._events(text))
        except yaml.MarkedYAMLError as error:
            mark = error.problem_mark or error.context_mark
            line, column = (mark.line + 1, mark.column + 1) if mark else (1, 1)
            self.report(line, column, (), f"is not YAML: {error.problem or error.context}")
            return None
        except yaml.YAMLError as error:
            self.report(1, 1, (), f"is not YAML: {getattr(error, 'reason', None) or error}")
            return None
        except _TooMuchError:
            return None
        starts = [event for event in events if isinstance(event, yaml.DocumentStartEvent)]
        if len(starts) > 1:
            self.report(*_mark(starts[1]), (), "a second document starts here; write one document per file")
            return None
        body = [event for event in events if not isinstance(event, yaml.DocumentStartEvent)]
        try:
            return self._value(body[0], iter(body[1:]), (), 0) if body else {}
        except _TooMuchError:
            return None

    def _events(self, text: str) -> Iterator[yaml.Event]:
        """Events of the text, up to the depth allowed: the parser's time grows with the square of it."""
        depth = 0
        for event in yaml.parse(text, Loader=yaml.CSafeLoader):
            depth += isinstance(event, yaml.CollectionStartEvent) - isinstance(event, yaml.CollectionEndEvent)
            if depth > MAX_DEPTH + 1:
                self.report(*_mark(event), (), _TOO_DEEP)
                raise _TooMuchError
            if not isinstance(event, yaml.StreamStartEvent | yaml.StreamEndEvent | yaml.DocumentEndEvent):
                yield event

    def _value(self, event: yaml.Event, events: Iterator[yaml.Event], path: Path_, depth: int) -> Data:
        """Data that starts with `event`; takes what belongs to it from `events`."""
        line, column = _mark(event)
        self.places.setdefault(path, (self.name, line, column))
        self._nodes += 1
        if depth > MAX_DEPTH or self._nodes > MAX_NODES:
            what = _TOO_DEEP if depth > MAX_DEPTH else f"more than {MAX_NODES:,} values"
            self.report(line, column, path, what)
            raise _TooMuchError
        if isinstance(event, yaml.AliasEvent):
            return self._alias(event, path, depth)
        events = self._anchored(event, events)
        tag = getattr(event, "tag", None)
        if tag not in (None, "!"):
            self.report(line, column, path, f"tag {tag} is not used here; remove it")
        if isinstance(event, yaml.MappingStartEvent):
            return self._mapping(events, path, depth)
        if isinstance(event, yaml.SequenceStartEvent):
            return self._sequence(events, path, depth)
        return self._scalar(event, path) if isinstance(event, yaml.ScalarEvent) else None

    def _anchored(self, event: yaml.Event, events: Iterator[yaml.Event]) -> Iterator[yaml.Event]:
        """Remember the events of an anchored value so that an alias can be built anew."""
        anchor = getattr(event, "anchor", None)
        if anchor is None:
            return events
        belonging, depth = [event], int(isinstance(event, yaml.CollectionStartEvent))
        while depth:
            following = next(events)
            belonging.append(following)
            depth += isinstance(following, yaml.CollectionStartEvent) - isinstance(following, yaml.CollectionEndEvent)
        self._anchors[anchor] = belonging
        return iter(belonging[1:])

    def _alias(self, event: yaml.AliasEvent, path: Path_, depth: int) -> Data:
        """Build the anchored value again; every copy counts towards the bounds."""
        known = self._anchors.get(str(event.anchor))
        if known is None:
            self.report(*_mark(event), path, f"*{event.anchor} names no value above")
            return None
        first, *rest = known
        first_plain = _without_anchor(first)
        return self._value(first_plain, iter(rest), path, depth + 1)

    def _mapping(self, events: Iterator[yaml.Event], path: Path_, depth: int) -> Data:
        data: dict[str, Data] = {}
        while not isinstance(event := next(events), yaml.MappingEndEvent):
            key = self._key(event, path)
            if key is None:
                self._value(event, events, (*path, "?"), depth + 1)
                self._value(next(events), events, (*path, "?"), depth + 1)
                continue
            here = (*path, key)
            line, column = _mark(event)
            if key in data:
                first = self.places[here][1]
                self.report(line, column, here, f"written twice, first in line {first}; keep one")
                self._value(next(events), events, here, depth + 1)
                continue
            self.places[here] = (self.name, line, column)
            data[key] = self._value(next(events), events, here, depth + 1)
        return data

    def _key(self, event: yaml.Event, path: Path_) -> str | None:
        """Text of a key, or None with a report when it is something else."""
        if not isinstance(event, yaml.ScalarEvent):
            self.report(*_mark(event), path, "a key must be plain text")
            return None
        if event.value == "<<" and event.implicit[0]:
            self.report(*_mark(event), path, "merge keys are not used here; write the values out, or use `like:`")
            return None
        return str(event.value)

    def _sequence(self, events: Iterator[yaml.Event], path: Path_, depth: int) -> Data:
        data: list[Data] = []
        while not isinstance(event := next(events), yaml.SequenceEndEvent):
            data.append(self._value(event, events, (*path, len(data)), depth + 1))
        return data

    def _scalar(self, event: yaml.ScalarEvent, path: Path_) -> Data:
        """Plain words become numbers, true, false or null; quoted ones stay text."""
        text: str = event.value
        if not event.implicit[0]:
            return text
        if text in _WORDS:
            return _WORDS[text]
        doubt = _doubt(text)
        if doubt:
            self.report(*_mark(event), path, doubt)
            return None
        if _INTEGER.match(text):
            return int(text)
        return float(text) if _is_number(text) else text


class _TooMuchError(Exception):
    """A bound of the reader was passed; the mistake is already reported."""


def _doubt(text: str) -> str | None:
    """What to write instead of a plain word that YAML versions read differently."""
    if text.lower() in _DOUBTFUL:
        return f'`{text}` can be read as yes/no or as text: write true or false, or "{text}" in quotes'
    if _OCTAL.match(text):
        return f'`{text}` is not a decimal number: remove the leading zero, or write "{text}" in quotes'
    if _SEXAGESIMAL.match(text):
        return f'`{text}` can be read as a number to base 60: write a unit ("90 s"), or "{text}" in quotes'
    if _GROUPED.match(text):
        return f"`{text}`: write {text.replace('_', '')} without underscores"
    if (_INTEGER.match(text) and len(text) > _DIGITS) or (_is_number(text) and not math.isfinite(float(text))):
        return f"`{text[:_DIGITS]}` is beyond all numbers that are used here"
    if _SPECIAL.match(text):
        return f"`{text}` is not a number that can be used here"
    return None


def _is_number(text: str) -> bool:
    return bool(_INTEGER.match(text) or (_FLOAT.match(text) and any(map(str.isdigit, text))))


def _mark(event: yaml.Event) -> tuple[int, int]:
    """Line and column from 1."""
    mark = event.start_mark
    return (mark.line + 1, mark.column + 1) if mark else (1, 1)


def _without_anchor(event: yaml.Event) -> yaml.Event:
    """Copy of an event that does not define its anchor again."""
    copy = type(event).__new__(type(event))
    copy.__dict__.update({**event.__dict__, "anchor": None})
    return copy
