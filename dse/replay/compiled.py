"""The door of the compiler: the event loop is plain Python that a compiler, where installed, makes fast."""

import hashlib
import os
from collections.abc import Callable
from functools import cache
from importlib import import_module
from pathlib import Path
from typing import Any, TypeVar, cast

Function = TypeVar("Function", bound=Callable[..., Any])


def compiled(function: Function) -> Function:
    """Function compiled to machine code where the compiler is installed, the function itself elsewhere.

    Results are the same; the event loop is some hundred times slower without. Arrays are only borrowed, never made, so
    their counting of references is left out, which takes more time than the work itself.
    """
    if not available():
        return function
    numba: Any = import_module("numba")

    before, numba.config.CACHE_DIR = numba.config.CACHE_DIR, str(_folder())
    try:
        return cast(Function, numba.njit(cache=True, _nrt=False, error_model="numpy")(function))
    finally:
        numba.config.CACHE_DIR = before


@cache
def available() -> bool:
    """Whether the compiler is installed."""
    from importlib.util import find_spec

    return find_spec("numba") is not None


def is_ready() -> bool:
    """Whether nothing is left to compile: machine code is kept from an earlier replay, or there is no compiler."""
    return not available() or _folder().is_dir()


@cache
def _folder() -> Path:
    """Where machine code is kept: a folder per state of the sources, as a function depends on those it calls."""
    texts = (path.read_bytes() for path in sorted(Path(__file__).parent.glob("*.py")))
    state = hashlib.sha256(b"".join(text for text in texts if b"@compiled" in text or b"World" in text)).hexdigest()[
        :16
    ]
    base = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    return Path(base) / "dse" / "replay" / state
