"""A program of the user as evaluator: candidates go out as JSON lines, metrics come back as JSON lines.

One line is one candidate: `{"id", "levers", "mapping", "analytic", "wanted"}`, quantities in SI units. The answer is
one line, `{"id", "metrics": {name: number}}` with all that is wanted, or `{"id", "error": "why"}` for a candidate that
the program refuses. The program lives as long as its worker; it ends when its standard input does. One that crashes,
hangs or writes something else is stopped with all it started and begun anew, so that no candidate harms the next.
"""

import json
import math
import os
import select
import signal
import subprocess
import threading
import time
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np

from dse.search import pareto
from dse.search.axes import Designs
from dse.search.metrics import Goal, Metrics, scores
from dse.search.space import Space

LONGEST = 1_000_000
"""Bytes of an answer, at most."""

PARTING = 1.0
"""Longest wait for a thread whose program was killed [s]."""

ANALYTIC = "analytic."
"""Prefix of the columns that keep what the analytic model said."""


class Program(NamedTuple):
    """How to run the program of the user."""

    command: tuple[str, ...]
    timeout: float
    """For one candidate [s]."""
    retries: int


class Answer(NamedTuple):
    """What came back for a candidate."""

    metrics: Mapping[str, float]
    """Empty where nothing usable came."""
    failure: str
    """Why nothing came; empty otherwise."""


class Broken(Exception):
    """The program crashed, hung, or wrote what is no answer."""


class Conversation:
    """A running program; started when it is first asked, stopped with everything it started."""

    def __init__(self, program: Program) -> None:
        self.program = program
        self.process: subprocess.Popen[bytes] | None = None
        self.rest = b""
        self._closed = False
        self._starts, self._asks = threading.Lock(), threading.Lock()

    def ask(self, request: Mapping[str, Any], wanted: tuple[str, ...]) -> Answer:
        """Score one candidate, trying again after a failure."""
        failure = ""
        with self._asks:
            for _ in range(self.program.retries + 1):
                try:
                    return self._asked(request, wanted)
                except Broken as broken:
                    failure = str(broken)
                    self.stop()
        return Answer({}, failure)

    def close(self) -> None:
        """Stop for good, also while another thread asks: it gets no answer, and begins the program no more."""
        with self._starts:
            self._closed = True
        _kill(self.process)
        waited = self._asks.acquire(timeout=PARTING)
        self.stop()
        if waited:
            self._asks.release()

    def stop(self) -> None:
        """Stop the program and its children."""
        process, self.process, self.rest = self.process, None, b""
        if process is None:
            return
        _kill(process)
        for stream in (process.stdin, process.stdout):
            if stream is not None:
                with suppress(OSError):
                    stream.close()
        process.wait()

    def _asked(self, request: Mapping[str, Any], wanted: tuple[str, ...]) -> Answer:
        until = time.monotonic() + self.program.timeout
        process = self._running()
        try:
            assert process.stdin is not None
            process.stdin.write(json.dumps(request).encode() + b"\n")
            process.stdin.flush()
        except OSError as error:
            raise Broken(f"does not read its input: {error.strerror}") from error
        return answer(self._line(process, until), request["id"], wanted)

    def _running(self) -> subprocess.Popen[bytes]:
        if self.process is None or self.process.poll() is not None:
            self.stop()
            pipe = subprocess.PIPE
            with self._starts:
                if self._closed:
                    raise Broken("is not wanted any more")
                try:
                    own = subprocess.Popen(self.program.command, stdin=pipe, stdout=pipe, start_new_session=True)
                except OSError as error:
                    raise Broken(f"cannot be started: {error.strerror}") from error
                self.process = own
            return own
        return self.process

    def _line(self, process: subprocess.Popen[bytes], until: float) -> bytes:
        """Next line of the program, within its time and of bounded length."""
        assert process.stdout is not None
        descriptor = process.stdout.fileno()
        while b"\n" not in self.rest:
            ready, _, _ = select.select([descriptor], [], [], max(until - time.monotonic(), 0.0))
            if not ready:
                raise Broken(f"gave no answer within {self.program.timeout:g} s")
            part = os.read(descriptor, 65536)
            if not part:
                raise Broken("ended without an answer")
            self.rest += part
            if len(self.rest) > LONGEST:
                raise Broken(f"wrote more than {LONGEST:,} bytes in place of an answer")
        line, _, self.rest = self.rest.partition(b"\n")
        return line


def _kill(process: subprocess.Popen[bytes] | None) -> None:
    """Kill a program and its children; who waits for its answer sees the end of it."""
    with suppress(ProcessLookupError, PermissionError):
        if process is not None:
            os.killpg(process.pid, signal.SIGKILL)


def answer(line: bytes, id_: str, wanted: tuple[str, ...]) -> Answer:
    """Answer in a line; `Broken` when it is none.

    >>> answer(b'{"id": "1", "metrics": {"cost": 2}}', "1", ("cost",)).metrics
    {'cost': 2.0}
    """
    try:
        found = json.loads(line)
    except (ValueError, RecursionError):
        raise Broken("wrote what is no JSON") from None
    if not isinstance(found, dict) or found.get("id") != id_:
        raise Broken(f'answered without "id": "{id_}"')
    if "error" in found:
        return Answer({}, f"refused: {str(found['error'])[:200]}")
    values = found.get("metrics")
    numbers = {name: values.get(name) if isinstance(values, dict) else None for name in wanted}
    for name, value in numbers.items():
        if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value) or value <= 0:
            raise Broken(f'"{name}" is {json.dumps(value)[:40]}: expected a positive number')
    return Answer({name: float(value) for name, value in numbers.items() if value is not None}, "")


_running: dict[Program, Conversation] = {}
"""Programs that this worker has started."""


def conversation(program: Program) -> Conversation:
    """Program of this process; a forked worker starts its own."""
    key = program
    if key not in _running or _owner.get(key) != os.getpid():
        _running[key], _owner[key] = Conversation(program), os.getpid()
    return _running[key]


_owner: dict[Program, int] = {}


def farewell() -> None:
    """Stop the programs that this process started."""
    for program, running in list(_running.items()):
        if _owner.get(program) == os.getpid():
            running.stop()
            _running.pop(program)


def request(space: Space, row: np.ndarray, candidate: Metrics, place: int, wanted: tuple[str, ...]) -> dict[str, Any]:
    """Candidate as the program reads it."""
    return {
        "id": "-".join(map(str, [*row.tolist(), *(int(values[place]) for values in candidate.mapping.values())])),
        "levers": space.decode(row),
        "mapping": {name: int(values[place]) for name, values in candidate.mapping.items()},
        "analytic": {name: float(candidate.columns[name][place]) for name in wanted},
        "wanted": list(wanted),
    }


@dataclass(frozen=True)
class Instead:
    """Evaluator in which the program of the user scores the most balanced mapping of every design."""

    analytic: Any
    """Evaluator of the model: it chooses the mapping and fills the columns that the program does not give."""
    space: Space
    goals: tuple[Goal, ...]
    program: Program

    def __call__(self, designs: Designs) -> Metrics:
        """Score designs: the objectives are those of the program, `analytic.` keeps those of the model."""
        metrics: Metrics = self.analytic(designs)
        chosen = metrics.take(balanced(metrics, self.goals, len(designs)))
        wanted = tuple(goal.name for goal in self.goals)
        talk = conversation(self.program)
        rows = designs.rows[chosen.design]
        found = [
            talk.ask(request(self.space, row, chosen, place, wanted), wanted).metrics for place, row in enumerate(rows)
        ]
        return _replaced(chosen, found, wanted)


def balanced(metrics: Metrics, goals: tuple[Goal, ...], count: int) -> np.ndarray:
    """(count,) row of each design: least violating, then covering most volume below the worst of the block."""
    values = np.clip(np.nan_to_num(scores(metrics, goals)), -1e6, 1e6)
    volume = np.log(np.maximum(values.max(axis=0) - values, 10.0**-pareto.DECIMALS)).sum(axis=1)
    order = np.lexsort([-volume, metrics.violation, metrics.design])
    return np.asarray(order[np.searchsorted(metrics.design[order], np.arange(count))])


def _replaced(chosen: Metrics, found: list[Mapping[str, float]], wanted: tuple[str, ...]) -> Metrics:
    """Metrics with the objectives of the program; a candidate without an answer is not feasible."""
    failed = np.array([not row for row in found])
    columns = dict(chosen.columns)
    for name in wanted:
        own = np.array([row.get(name, math.nan) for row in found])
        columns[ANALYTIC + name] = chosen.columns[name]
        columns[name] = np.where(failed, chosen.columns[name], own)
    return Metrics(chosen.design, columns, chosen.mapping, np.where(failed, np.inf, chosen.violation))
