"""Processes that share the work of a certificate; each holds a copy of the same object."""

import math
import time
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future
from dataclasses import dataclass, field
from functools import partial
from types import TracebackType
from typing import Any, Generic, TypeVar

from dse.search.crews.processes import Team, WorkerLost

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


def _apply(held: Any, sent: tuple[Callable[[Any, Any], Any], Any]) -> Any:
    work, task = sent
    return work(held, task)


class Crew(Generic[Held]):
    """Applies functions to a held object and a task each, in this process alone or in several.

    Processes inherit all tables that the object has where they can be forked.
    """

    def __init__(self, held: Held, workers: int) -> None:
        self._held = held
        self._team: Team[Any, Any] | None = Team(partial(_apply, held), workers) if workers > 1 else None

    def __enter__(self) -> "Crew[Held]":
        """Use until the block ends."""
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        """Let the processes go."""
        if self._team is not None:
            self._team.close()

    def map(self, work: Callable[[Held, Task], Answer], tasks: Iterable[Task]) -> Iterator[Answer]:
        """Answers in the order of the tasks; what a process that died had begun is done here."""
        if self._team is None:
            yield from (work(self._held, task) for task in tasks)
            return
        sent = [(task, _sent(self._team, work, task)) for task in tasks]
        for task, promise in sent:
            try:
                yield work(self._held, task) if promise is None else promise.result()
            except WorkerLost:
                yield work(self._held, task)


def _sent(team: Team[Any, Any], work: Callable[[Any, Any], Any], task: Any) -> Future[Any] | None:
    try:
        return team.submit((work, task))
    except WorkerLost:
        return None
