"""Lines of a trace file with their numbers and mistakes, and what a trace file says."""

import csv
import io
import json
import math
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple, TypeAlias

import numpy as np

from dse.arrays import FloatArray, IntArray
from dse.facts import files
from dse.facts.errors import Mistake, SpecError, did_you_mean, listed
from dse.facts.workload.sessions import Steps

MISTAKES = 20
"""Lines named at once; further ones are counted."""
MAX_ROWS = 5_000_000
"""Rows read from one file: more is a mistake or needs a reduced table."""

Row: TypeAlias = Mapping[str, object]


class Arrivals(NamedTuple):
    """How requests or sessions arrive."""

    rate: float
    """Mean rate [1/s]."""
    scv: float
    """Squared coefficient of variation of the time between arrivals [1]; 1 for a Poisson process."""


class Blocks(NamedTuple):
    """Prefix blocks of every prompt; equal ids can share KV."""

    ids: IntArray
    """(m,) numbers from 0, the blocks of one step after those of the step before."""
    start: IntArray
    """(n + 1,) where the blocks of each step start."""
    size: float
    """Tokens of a block [tok]."""


class Recording(NamedTuple):
    """What a trace file says."""

    steps: Steps
    arrivals: Arrivals | None
    """None where the file has no arrival times."""
    shared: float
    """Leading tokens that every prompt of the file has in common [tok]."""
    times: FloatArray | None = None
    """(n,) time of each step, of the file or of its session [s]; None where the file has none."""
    blocks: Blocks | None = None
    """Prefix blocks, where the file has them."""


class Lines:
    """Rows of a file with their line numbers; collects mistakes."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.mistakes: list[Mistake] = []
        self.further = 0
        self._bytes = files.stream(path, files.TRACE)
        count = sum(1 for _ in self._bytes)
        if count > MAX_ROWS:
            self.report(0, f"has {count:,} lines; at most {MAX_ROWS:,} are read")
            raise SpecError(self.mistakes)
        opening = next((line for line in self.text() if line.strip()), "")
        self.json = opening.lstrip().startswith("{")

    def text(self) -> Iterator[str]:
        """Lines of the file from the first on, one at a time: as a list they take several times the file."""
        return io.TextIOWrapper(io.BytesIO(self._bytes.getvalue()), "utf-8-sig")

    def report(self, line: int, message: str, where: str = "") -> None:
        """Note a mistake; beyond the first few they are only counted."""
        if len(self.mistakes) >= MISTAKES:
            self.further += 1
        else:
            self.mistakes.append(Mistake(str(self.path), line, 1 if line else 0, where, message))

    @property
    def count(self) -> int:
        """Mistakes so far."""
        return len(self.mistakes) + self.further

    def refuse(self) -> None:
        """Raise what was found, if anything."""
        if not self.mistakes:
            return
        counted = Mistake(str(self.path), 0, 0, "", f"{self.count:,} mistakes in all; the first {MISTAKES} are shown")
        raise SpecError([*self.mistakes, counted] if self.further else self.mistakes)

    def rows(self) -> Iterator[tuple[int, Row]]:
        """Line number and fields of each request."""
        return self._objects() if self.json else self._records()

    def _objects(self) -> Iterator[tuple[int, Row]]:
        for number, line in enumerate(self.text(), 1):
            if not line.strip():
                continue
            try:
                found = json.loads(line)
            except (ValueError, RecursionError):
                self.report(number, "is not JSON: expected one object per line")
                continue
            if isinstance(found, dict):
                yield number, found
            else:
                self.report(number, "expected an object {...}")

    def _records(self) -> Iterator[tuple[int, Row]]:
        reader = csv.reader(self.text())
        names: list[str] | None = None
        while (cells := self._next(reader)) is not None:
            if not any(cell.strip() for cell in cells):
                continue
            if names is None:
                names = [cell.strip() for cell in cells]
            elif len(cells) != len(names):
                self.report(reader.line_num, f"has {len(cells)} fields; the header has {len(names)}")
            else:
                yield reader.line_num, dict(zip(names, cells, strict=True))

    def _next(self, reader: Any) -> list[str] | None:
        """Cells of the next line; None at the end, and where the rest cannot be read."""
        try:
            return next(reader, None)
        except csv.Error as error:
            self.report(max(reader.line_num, 1), f"is not CSV: {error}")
            return None

    def refuse_unknown(self, names: set[str], known: set[str]) -> None:
        """Refuse columns that a layout does not have: a misspelt optional one would be lost silently."""
        for name in sorted(names - known):
            self.report(1, f"is no column of this layout.{did_you_mean(name, known)} Known: {listed(known)}", name)
        self.refuse()

    def number(self, line: int, row: Row, name: str, blank: float | None = None) -> float:
        """Finite number that is not negative; 0 with a report otherwise. An empty cell is `blank`, where given."""
        written = row.get(name)
        try:
            value = float(written) if isinstance(written, str | int | float) else math.nan
        except (ValueError, OverflowError):
            value = math.nan
        if isinstance(written, str) and not written.strip() and blank is not None:
            return blank
        if isinstance(written, bool) or not math.isfinite(value) or value < 0:
            self.report(line, f"{written!r}: expected a number of at least 0", name)
            return 0.0
        return value


def in_order(lines: Lines, numbers: Sequence[int], times: FloatArray) -> None:
    """Report the first time that lies before the one above it."""
    falls = np.flatnonzero(np.diff(times) < 0)
    if falls.size:
        lines.report(numbers[int(falls[0]) + 1], "timestamps fall; sort the file by time")


def blocks_of(ids: Sequence[Sequence[object]], size: float) -> Blocks:
    """Blocks of several prompts, renumbered from 0."""
    known: dict[object, int] = {}
    flat = [known.setdefault(name, len(known)) for prompt in ids for name in prompt]
    start = np.concatenate([[0], np.cumsum([len(prompt) for prompt in ids])])
    return Blocks(np.array(flat, dtype=np.int64), start.astype(np.int64), size)
