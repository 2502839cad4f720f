"""Processes that share the work of a certificate; each holds a copy of the same object."""

import math
import multiprocessing
import os
import sys
import time
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from dataclasses import dataclass, field
from types import TracebackType
from typing import Any, Generic, TypeVar

from dse.search.crews.workers import serve

Held = TypeVar("Held")
Task = TypeVar("Task")
Answer = TypeVar("Answer")


class Late(Exception):
    """The time is over; what was begun is dropped."""


@dataclass(frozen=True)
class Clock:
    """A time limit that all processes of a machine read alike."""

    seconds: float = math.inf
    began: float = field(default_factory=time.monotonic)

    @property
    def used(self) -> float:
        """Time since the start [s]."""
        return time.monotonic() - self.began

    @property
    def late(self) -> bool:
        """Whether the time is over."""
        return self.used >= self.seconds

    def heed(self) -> None:
        """Stop what is being done once the time is over."""
        if self.late:
            raise Late


_held: list[Any] = []


def _enter(held: Any, parent: int) -> None:
    serve(parent)
    _held[:] = [held]


def _apply(work: Callable[[Any, Any], Any], task: Any) -> Any:
    return work(_held[0], task)


class Crew(Generic[Held]):
    """Applies functions to a held object and a task each, in this process alone or in several.

    Processes are forked where that is possible, so that they inherit all tables that the object has.
    """

    def __init__(self, held: Held, workers: int) -> None:
        self._held, self._pool = held, None
        self._pool = _hired(held, workers) if workers > 1 else None

    def __enter__(self) -> "Crew[Held]":
        """Use until the block ends."""
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        """Let the processes go."""
        if self._pool is not None:
            self._pool.shutdown(wait=True, cancel_futures=True)

    def map(self, work: Callable[[Held, Task], Answer], tasks: Iterable[Task]) -> Iterator[Answer]:
        """Answers in the order of the tasks; what a process that died had begun is done here."""
        if self._pool is None:
            yield from (work(self._held, task) for task in tasks)
            return
        sent = [(task, _sent(self._pool, work, task)) for task in tasks]
        for task, promise in sent:
            try:
                yield work(self._held, task) if promise is None else promise.result()
            except BrokenProcessPool:
                yield work(self._held, task)


def _hired(held: Any, workers: int) -> ProcessPoolExecutor:
    method = "fork" if sys.platform.startswith("linux") else "spawn"
    return ProcessPoolExecutor(workers, multiprocessing.get_context(method), _enter, (held, os.getpid()))


def _sent(pool: ProcessPoolExecutor, work: Callable[[Any, Any], Any], task: Any) -> Future[Any] | None:
    try:
        return pool.submit(_apply, work, task)
    except BrokenProcessPool:
        return None
