"""Request traces: a recorded file becomes a step table.

Three layouts are read, told apart by what the file contains:

=========  =================================================================================================
mooncake   JSON lines with `timestamp` [ms], `input_length`, `output_length`, `hash_ids` (prefix blocks)
azure      CSV with `TIMESTAMP`, `ContextTokens`, `GeneratedTokens`; no prefixes, so each request is a session
columns    CSV or JSON lines with `session`, `gap_s`, `cached_tokens`, `fresh_tokens`, `output_tokens`;
           optional `agent` (sub-agents have prompts of their own) and `observation_tokens`
=========  =================================================================================================

In our own columns `gap_s` is the time from the previous answer of the same agent to this request,
`cached_tokens` how many leading tokens of the prompt equal its previous request. The first row of an agent
has neither: write 0. The rows of an agent are in order of time.
"""

import csv
import json
import math
from collections.abc import Callable, Iterator, Mapping
from datetime import datetime
from pathlib import Path
from typing import NamedTuple, TypeAlias

import numpy as np

from dse.arrays import FloatArray
from dse.facts.errors import Mistake, SpecError, did_you_mean, listed
from dse.facts.sessions import Steps, Tokens, steps

MOONCAKE = ("timestamp", "input_length", "output_length", "hash_ids")
AZURE = ("TIMESTAMP", "ContextTokens", "GeneratedTokens")
COLUMNS = ("session", "gap_s", "cached_tokens", "fresh_tokens", "output_tokens")
OPTIONAL = ("agent", "observation_tokens")

BLOCK = 512
"""Tokens of a prefix block in the Mooncake release [tok] (its FAST'25 paper and README)."""
MISTAKES = 20
"""Lines reported at once; a file with more is of another layout."""
MAX_ROWS = 5_000_000
"""Rows read from one file: more is a mistake or needs a reduced table."""

Row: TypeAlias = Mapping[str, object]


class Arrivals(NamedTuple):
    """How requests or sessions arrive."""

    rate: float
    """Mean rate [1/s]."""
    scv: float
    """Squared coefficient of variation of the time between arrivals [1]; 1 for a Poisson process."""


class Recording(NamedTuple):
    """What a trace file says."""

    steps: Steps
    arrivals: Arrivals | None
    """None where the file has no arrival times."""
    shared: float
    """Leading tokens that every prompt of the file has in common [tok]."""


def read_trace(path: str | Path, block: int = BLOCK) -> Recording:
    """Read a trace file of any known layout; SpecError names every malformed line.

    Parameters
    ----------
    path : file
    block : int     tokens per prefix block, for the Mooncake layout [tok]
    """
    lines = _Lines(Path(path))
    first = next(iter(lines.rows()), None)
    if first is None:
        lines.report(0, "holds no request: expected " + _layouts())
        raise SpecError(lines.mistakes)
    return lines.layout(set(first[1]), block)


def arrivals(times: FloatArray) -> Arrivals | None:
    """Rate and burstiness of arrival times [s]; None below three arrivals or when all coincide.

    Where times are so coarse that most coincide, the gaps say nothing; the index of dispersion of counts per
    tick, equal to the SCV of a renewal process in the long run, takes their place.
    """
    ordered = np.sort(times)
    if len(ordered) < 3 or ordered[-1] == ordered[0]:
        return None
    between = np.diff(ordered)
    rate = len(between) / float(ordered[-1] - ordered[0])
    if np.count_nonzero(between) > len(between) / 2:
        return Arrivals(rate, float(between.var() / between.mean() ** 2))
    span = float(ordered[-1] - ordered[0])
    tick = span / max(round(span / float(np.median(between[between > 0]))), 1)
    counts = np.bincount(np.rint((ordered - ordered[0]) / tick).astype(np.int64))
    return Arrivals(rate, float(counts.var() / counts.mean()))


class _Lines:
    """Rows of a file with their line numbers; collects mistakes."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.mistakes: list[Mistake] = []
        try:
            self.text = path.read_text(encoding="utf-8-sig").splitlines()
        except OSError as error:
            raise SpecError([Mistake(str(path), 0, 0, "", f"cannot be read: {error.strerror}")]) from error
        except UnicodeDecodeError as error:
            raise SpecError([Mistake(str(path), 0, 0, "", "is not UTF-8 text")]) from error
        if len(self.text) > MAX_ROWS:
            self.report(0, f"has {len(self.text):,} lines; at most {MAX_ROWS:,} are read")
            raise SpecError(self.mistakes)
        opening = next((line for line in self.text if line.strip()), "")
        self.json = opening.lstrip().startswith("{")

    def report(self, line: int, message: str, where: str = "") -> None:
        """Note a mistake; a file with too many is given up."""
        self.mistakes.append(Mistake(str(self.path), line, 1 if line else 0, where, message))
        if len(self.mistakes) >= MISTAKES:
            raise SpecError(self.mistakes)

    def rows(self) -> Iterator[tuple[int, Row]]:
        """Line number and fields of each request."""
        return self._objects() if self.json else self._records()

    def _objects(self) -> Iterator[tuple[int, Row]]:
        for number, line in enumerate(self.text, 1):
            if not line.strip():
                continue
            try:
                found = json.loads(line)
            except (json.JSONDecodeError, RecursionError):
                self.report(number, "is not JSON: expected one object per line")
                continue
            if isinstance(found, dict):
                yield number, found
            else:
                self.report(number, "expected an object {...}")

    def _records(self) -> Iterator[tuple[int, Row]]:
        reader = csv.reader(self.text)
        names: list[str] | None = None
        for cells in reader:
            if not any(cell.strip() for cell in cells):
                continue
            if names is None:
                names = [cell.strip() for cell in cells]
            elif len(cells) != len(names):
                self.report(reader.line_num, f"has {len(cells)} fields; the header has {len(names)}")
            else:
                yield reader.line_num, dict(zip(names, cells, strict=True))

    def layout(self, names: set[str], block: int) -> Recording:
        """Read with the layout whose fields the first request has."""
        readers: dict[tuple[str, ...], Callable[[], Recording]] = {
            MOONCAKE: lambda: _mooncake(self, block),
            AZURE: lambda: _azure(self),
            COLUMNS: lambda: _columns(self),
        }
        for fields, reader in readers.items():
            if names >= set(fields):
                found = reader()
                if self.mistakes:
                    raise SpecError(self.mistakes)
                return found
        best = max(readers, key=lambda fields: len(names & set(fields)))
        missing = [field for field in best if field not in names]
        near = did_you_mean(missing[0], names)
        self.report(1, f"lacks {listed(missing)} in {listed(names)}.{near} Expected {_layouts()}")
        raise SpecError(self.mistakes)

    def number(self, line: int, row: Row, name: str) -> float:
        """Finite number that is not negative; 0 with a report otherwise."""
        written = row.get(name)
        try:
            value = float(written) if isinstance(written, str | int | float) else math.nan
        except (ValueError, OverflowError):
            value = math.nan
        if isinstance(written, bool) or not math.isfinite(value) or value < 0:
            self.report(line, f"{written!r}: expected a number of at least 0", name)
            return 0.0
        return value


def _layouts() -> str:
    layouts = (MOONCAKE, AZURE, COLUMNS)
    return "the fields " + ", or ".join(" ".join(fields) for fields in layouts)


def _mooncake(lines: _Lines, block: int) -> Recording:
    """Requests whose prefix was last used by an earlier one continue its session.

    The request that last touched the deepest common block is the predecessor; a common first block alone
    (the system prompt, if all requests have it) joins nothing. Gaps are distances between requests: the file
    has no service times, so they are upper bounds of the idle time.
    """
    last: dict[object, int] = {}
    times: list[float] = []
    session: list[int] = []
    tokens, depth, gap = [], [], []
    previous: list[tuple[object, ...]] = []
    for line, row in lines.rows():
        time, size, output = (lines.number(line, row, name) for name in MOONCAKE[:3])
        blocks = row.get("hash_ids")
        if not isinstance(blocks, list) or len(blocks) != math.ceil(size / block) or not blocks:
            lines.report(line, f"expected {math.ceil(size / block)} ids, one per {block} prompt tokens", "hash_ids")
            continue
        ids = tuple(blocks)
        common = next((place for place, name in enumerate(ids) if name not in last), len(ids))
        parent = last[ids[common - 1]] if common > 1 else -1
        index = len(times)
        session.append(session[parent] if parent >= 0 else index)
        gap.append(time / 1000 - times[parent] if parent >= 0 else 0.0)
        depth.append(min(common * block, size - 1) if parent >= 0 else 0.0)
        last.update(dict.fromkeys(ids, index))
        times.append(time / 1000)
        tokens.append((size, output))
        previous.append(ids)
    if lines.mistakes:
        raise SpecError(lines.mistakes)
    if (np.diff(times) < 0).any():
        lines.report(int(np.flatnonzero(np.diff(times) < 0)[0]) + 2, "timestamps fall; sort the file by time")
        raise SpecError(lines.mistakes)
    size, output = np.array(tokens, dtype=np.float64).T
    table = steps(session, gap, Tokens(depth, size - depth, output))
    opening = min(len(ids) for ids in previous)
    shared = next((place for place in range(opening) if len({ids[place] for ids in previous}) > 1), opening)
    return Recording(table, arrivals(np.array(times)), float(shared * block) if len(previous) > 1 else 0.0)


def _azure(lines: _Lines) -> Recording:
    """Each request is a session of one step: the file has no prefixes."""
    times, prompt, output = [], [], []
    for line, row in lines.rows():
        try:
            times.append(datetime.fromisoformat(_microseconds(str(row["TIMESTAMP"]))).timestamp())
        except ValueError:
            lines.report(line, f"{row['TIMESTAMP']!r}: expected a time such as 2023-11-16 18:15:46.68", "TIMESTAMP")
            continue
        prompt.append(lines.number(line, row, "ContextTokens"))
        output.append(lines.number(line, row, "GeneratedTokens"))
    size = len(prompt)
    zero = np.zeros(size)
    table = steps(np.arange(size), zero, Tokens(zero, prompt, output))
    return Recording(table, arrivals(np.array(times)), 0.0)


def _microseconds(text: str) -> str:
    """Time with at most six digits after the point, in UTC where no zone is written."""
    whole, point, rest = text.strip().partition(".")
    digits = rest[: len(rest) - len(rest.lstrip("0123456789"))]
    zone = rest[len(digits) :] or ("" if "+" in whole or whole.endswith("Z") else "+00:00")
    return whole + point + digits[:6] + zone


def _columns(lines: _Lines) -> Recording:
    """Our own layout."""
    agents: dict[tuple[str, str], int] = {}
    tasks: dict[str, int] = {}
    held: dict[int, float] = {}
    rows: list[tuple[float, ...]] = []
    for line, row in lines.rows():
        known = len(lines.mistakes)
        gap, cached, fresh, output = (lines.number(line, row, name) for name in COLUMNS[1:])
        observation = lines.number(line, row, OPTIONAL[1]) if OPTIONAL[1] in row else 0.0
        task = str(row.get("session", ""))
        agent = agents.setdefault((task, str(row.get("agent", ""))), len(agents))
        if cached > held.get(agent, math.inf):
            message = f"{cached:g}: more than the previous prompt and answer of this agent, {held[agent]:g}"
            lines.report(line, message, "cached_tokens")
        if cached + fresh < 1 and len(lines.mistakes) == known:
            lines.report(line, "0: expected a prompt of at least one token", "fresh_tokens")
        held[agent] = cached + fresh + output
        rows.append((tasks.setdefault(task, len(tasks)), agent, gap, cached, fresh, output, observation))
    session, sequence, gaps, *tokens = np.array(rows, dtype=np.float64).T
    return Recording(steps(session, gaps, Tokens(*tokens), sequence), None, 0.0)
