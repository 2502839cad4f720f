"""Ownership of a run folder: one process at a time, and everybody can read who it is."""

import fcntl
import json
import os
import signal
import socket
import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from functools import partial
from getpass import getuser
from pathlib import Path
from types import FrameType
from typing import Any

from dse.facts.errors import Mistake, SpecError

LOCK = ".lock"
"""File that is locked; its text says who holds it, the lock itself goes with the process."""

PATIENCE = 5.0
"""Seconds within which the workers of a process that died have gone."""

GLANCE = 0.05
"""Seconds between two looks whether they have."""

_asked = threading.Event()
"""Whether this process was told to stop."""

_held: set[int] = set()
"""Descriptors of locks that this process holds; a forked worker gives its copies back."""


@contextmanager
def locked(folder: Path, signed: bool = True) -> Iterator[None]:
    """Own a folder, and sign for it; a lock left by a process that died is taken over."""
    try:
        descriptor = os.open(folder / LOCK, os.O_RDWR | os.O_CREAT, 0o644)
    except OSError as error:
        raise _refused(folder, f"cannot be locked: {error.strerror}") from error
    try:
        _take(descriptor)
    except OSError:
        owner = _read(descriptor)
        os.close(descriptor)
        raise _refused(folder, f"another process is working on this run: {_named(owner)}") from None
    _held.add(descriptor)
    try:
        if signed:
            _sign(descriptor)
        yield
    finally:
        _held.discard(descriptor)
        os.close(descriptor)


def _take(descriptor: int) -> None:
    """Lock a file; where its owner is dead, wait for the worker that it was just forking to give back its copy."""
    until = time.monotonic() + PATIENCE
    while True:
        try:
            return fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            if time.monotonic() >= until or not _dead(_read(descriptor)):
                raise
        time.sleep(GLANCE)


def _dead(owner: Mapping[str, Any]) -> bool:
    """Whether the process that signed for a lock was of this machine and is no more."""
    if owner.get("host") != socket.gethostname() or not isinstance(owner.get("pid"), int):
        return False
    try:
        os.kill(owner["pid"], 0)
    except ProcessLookupError:
        return True
    except OSError:
        return False
    return False


def taken(folder: Path) -> bool:
    """Whether a process works on a folder now."""
    try:
        with locked(folder, signed=False):
            return False
    except SpecError:
        return True


def leave() -> None:
    """Give back the locks that a forked worker inherited: they must end with the process that took them."""
    for descriptor in _held:
        with suppress(OSError):
            os.close(descriptor)
    _held.clear()


@contextmanager
def graceful() -> Iterator[None]:
    """Treat SIGTERM as Ctrl-C: a scheduler that ends a job gets a run that can be resumed."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    _asked.clear()
    handler = partial(_stop, os.getpid())
    before = {number: signal.signal(number, handler) for number in (signal.SIGTERM, signal.SIGINT)}
    try:
        yield
    finally:
        for number, earlier in before.items():
            signal.signal(number, earlier)
        _asked.clear()


def heed() -> None:
    """Stop if that was asked for at a moment when Python drops exceptions, such as in the middle of a fork."""
    if _asked.is_set():
        raise KeyboardInterrupt


def _stop(chief: int, number: int, frame: FrameType | None) -> None:
    """Ask the process to stop; a worker that was forked a moment ago leaves Ctrl-C to it and goes in silence."""
    if os.getpid() != chief:
        if number == signal.SIGTERM:
            os._exit(1)
        return
    _asked.set()
    raise KeyboardInterrupt


def _sign(descriptor: int) -> None:
    """Write who holds the lock; a full disk does not keep anyone from it."""
    with suppress(OSError):
        os.ftruncate(descriptor, 0)
        os.pwrite(descriptor, json.dumps(_owner()).encode(), 0)


def _owner() -> dict[str, Any]:
    try:
        user = getuser()
    except (KeyError, OSError):
        user = str(os.getuid())
    return {"pid": os.getpid(), "host": socket.gethostname(), "user": user, "since": time.time()}


def _read(descriptor: int) -> dict[str, Any]:
    """What the owner of a lock has written; nothing where it has not come to that."""
    try:
        owner = json.loads(os.pread(descriptor, 1000, 0))
    except (OSError, ValueError):
        return {}
    return owner if isinstance(owner, dict) else {}


def _named(owner: Mapping[str, Any]) -> str:
    """Owner of a lock in words."""
    try:
        age = max(time.time() - float(owner["since"]), 0.0)
        return f"process {owner['pid']} of {owner['user']} on {owner['host']}, for {_span(age)}"
    except (ValueError, KeyError, TypeError):
        return "a process that has just begun"


def _span(seconds: float) -> str:
    for size, word in ((86400.0, "days"), (3600.0, "h"), (60.0, "min")):
        if seconds >= 2 * size:
            return f"{seconds / size:.0f} {word}"
    return f"{seconds:.0f} s"


def _refused(folder: Path, why: str) -> SpecError:
    return SpecError([Mistake(str(folder), 0, 0, "", why)])
