"""The door of the compiler: loops in plain Python that a compiler, where installed, makes fast."""

import hashlib
import os
from collections.abc import Callable, Iterable
from functools import cache
from importlib import import_module
from pathlib import Path
from typing import Any, TypeVar, cast

Function = TypeVar("Function", bound=Callable[..., Any])


@cache
def available() -> bool:
    """Whether the compiler is installed."""
    from importlib.util import find_spec

    return find_spec("numba") is not None


def kept(name: str, sources: Iterable[bytes]) -> Path:
    """Folder in which machine code of these sources is kept: one per state of them, as functions call one another."""
    state = hashlib.sha256(b"".join(sources)).hexdigest()[:16]
    base = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    return Path(base) / "dse" / name / state


def machine_code(function: Function, folder: Path) -> Function:
    """Function as machine code, made at its first call or read from the folder; made anew where nothing can be kept.

    Arrays are only borrowed, never made, so their counting of references is left out, which takes more time than the
    work itself.
    """
    numba: Any = import_module("numba")

    before, numba.config.CACHE_DIR = numba.config.CACHE_DIR, str(folder)
    try:
        return cast(Function, numba.njit(cache=True, _nrt=False, error_model="numpy")(function))
    except (OSError, RuntimeError):
        return cast(Function, numba.njit(_nrt=False, error_model="numpy")(function))
    finally:
        numba.config.CACHE_DIR = before
