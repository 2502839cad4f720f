"""A team of processes of this machine, with a pipe each: whoever dies, also while it writes, is noticed.

Workers that share one queue share its lock and its end of the pipe: one that is killed in the middle of an answer
leaves the reader waiting for the rest for ever. A pipe that belongs to two processes ends with either of them.
"""

import multiprocessing
import os
import signal
import sys
import threading
import time
from collections import deque
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from contextlib import suppress
from multiprocessing.connection import Connection, wait
from typing import Any, Generic, TypeVar

from dse.search.runs import lock

Task = TypeVar("Task")
Answer = TypeVar("Answer")

ORPHAN = 0.5
"""Seconds between two looks of a worker whether its parent is still there."""

PATIENCE = 60.0
"""Seconds that a worker gets to end the task in hand before it is killed."""


class WorkerLost(Exception):
    """A worker went away; what it and its team had in hand must be sent again."""


class Team(Generic[Task, Answer]):
    """Workers that apply one function, inherited at their birth, to what they are sent.

    They are forked where that is possible: they inherit the tables that the function has built, and a script needs no
    guard around its main part.
    """

    def __init__(self, work: Callable[[Task], Answer], workers: int) -> None:
        self._queue: deque[tuple[Future[Answer], Task]] = deque()
        self._busy: dict[Connection, Future[Answer]] = {}
        self._guard, self._ended = threading.Lock(), False
        method = "fork" if sys.platform.startswith("linux") else "spawn"
        context: Any = multiprocessing.get_context(method)
        self._heard, self._bell = context.Pipe(duplex=False)
        self._idle: list[Connection] = []
        self._processes = []
        for _ in range(workers):
            ours, theirs = context.Pipe()
            inherited = (*self._idle, ours) if method == "fork" else ()
            process = context.Process(target=_serve, args=(theirs, inherited, work, os.getpid()), daemon=True)
            process.start()
            theirs.close()
            self._idle.append(ours)
            self._processes.append(process)
        self._connections = tuple(self._idle)
        self._clerk = threading.Thread(target=self._clerical, daemon=True)
        self._clerk.start()

    def submit(self, task: Task) -> "Future[Answer]":
        """Send a task out as soon as a worker is free."""
        future: Future[Answer] = Future()
        with self._guard:
            if self._ended:
                raise WorkerLost
            self._queue.append((future, task))
        self._bell.send_bytes(b".")
        return future

    def close(self, patience: float = PATIENCE) -> None:
        """Let the workers go, when the tasks in hand are done or the patience is over."""
        self._end()
        with suppress(OSError):
            self._bell.send_bytes(b".")
        self._clerk.join()
        for end in (*self._connections, self._heard, self._bell):
            end.close()
        until = time.monotonic() + patience
        for process in self._processes:
            process.join(max(until - time.monotonic(), 0.0))
            if process.is_alive():
                process.kill()
                process.join()

    def _end(self) -> None:
        """Take no more tasks; those that are left are lost."""
        with self._guard:
            self._ended = True
            left = [future for future, _ in self._queue]
            self._queue.clear()
        for future in left:
            if future.set_running_or_notify_cancel():
                future.set_exception(WorkerLost())

    def _clerical(self) -> None:
        """Hand out tasks and take answers, in a thread of its own, until a worker dies or the team is closed."""
        try:
            while not self._ended:
                for ready in wait([*self._busy, self._heard]):
                    self._hear(ready)
                self._hand_out()
        except Exception:  # an end of a pipe, or an answer that was torn and does not unpack
            self._end()
        for future in self._busy.values():
            future.set_exception(WorkerLost())

    def _hear(self, ready: Any) -> None:
        if ready is self._heard:
            self._heard.recv_bytes()
            return
        done, answer = ready.recv()
        future = self._busy.pop(ready)
        self._idle.append(ready)
        if done:
            future.set_result(answer)
        else:
            future.set_exception(answer)

    def _hand_out(self) -> None:
        while self._idle:
            with self._guard:
                if not self._queue:
                    return
                future, task = self._queue.popleft()
            if future.set_running_or_notify_cancel():
                connection = self._idle.pop()
                self._busy[connection] = future
                connection.send(task)


def _serve(
    connection: Connection, inherited: Sequence[Connection], work: Callable[[Task], Answer], parent: int
) -> None:
    """Answer tasks until the pipe ends; leave Ctrl-C to the parent, and end when the parent does."""
    lock.leave()
    for end in inherited:  # a pipe ends when its other side is closed everywhere
        end.close()
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    threading.Thread(target=_watch, args=(parent,), daemon=True).start()
    with suppress(EOFError, OSError):
        while True:
            _answer(connection, work, connection.recv())


def _answer(connection: Connection, work: Callable[[Task], Answer], task: Task) -> None:
    try:
        answer: tuple[bool, object] = (True, work(task))
    except Exception as error:  # whatever it is, it belongs to the one who asked
        answer = (False, error)
    connection.send(answer)


def _watch(parent: int) -> None:
    """End a worker whose parent was killed: nobody would ever send it a task or tell it to go."""
    while os.getppid() == parent:
        time.sleep(ORPHAN)
    os._exit(1)
