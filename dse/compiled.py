"""The door of the compiler: loops in plain Python that a compiler, where installed, makes fast."""

import ctypes
import hashlib
import os
from collections.abc import Callable, Iterable
from contextlib import suppress
from functools import cache
from importlib import import_module
from pathlib import Path
from typing import Any, TypeVar, cast, get_type_hints

import numpy as np

from dse.arrays import BoolArray, FloatArray, IntArray

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


Loop = Callable[..., None]
"""Function of flat arrays and numbers that fills in some of the arrays."""

KINDS: dict[Any, str] = {FloatArray: "float64", IntArray: "int64", BoolArray: "uint8", float: "float64", int: "int64"}
"""Annotation of an argument and type of its numbers, in the words of the compiler."""


def plain(function: Loop) -> Loop:
    """Loop as it stands, for arrays of any shape."""

    def call(*arguments: Any) -> None:
        function(*(item.reshape(-1) if isinstance(item, np.ndarray) else item for item in arguments))

    return call


def loop(function: Loop, folder: Path) -> Loop:
    """Loop as machine code, for contiguous arrays of any shape.

    What the compiler made of it is kept in the folder as text. Who finds it there loads but the last part of the
    compiler, which turns it into instructions of this machine and takes a fifth of the time of the whole.
    """
    llvm: Any = import_module("llvmlite.binding")
    hints = [hint for name, hint in get_type_hints(function).items() if name != "return"]
    file = folder / f"{function.__name__}-{import_module('llvmlite').__version__}.ll"
    llvm.initialize_native_target()
    llvm.initialize_native_asmprinter()
    try:
        module = llvm.parse_assembly(file.read_text())
    except (OSError, RuntimeError):
        text = _intermediate(function, hints)
        with suppress(OSError):
            _write(file, text)
        module = llvm.parse_assembly(text)
    (name,) = (item.name for item in module.functions if item.name.startswith("cfunc."))
    machine = llvm.Target.from_default_triple().create_target_machine(
        cpu=llvm.get_host_cpu_name(), features=llvm.get_host_cpu_features().flatten(), opt=3
    )
    engine = llvm.create_mcjit_compiler(module, machine)
    engine.finalize_object()
    return _callable(engine, name, hints)


def _intermediate(function: Loop, hints: list[Any]) -> str:
    """Text that the compiler makes of a loop, before it is made for one machine."""
    numba: Any = import_module("numba")
    types = [getattr(numba.types, KINDS[hint]) for hint in hints]
    signature = numba.types.void(
        *(own if hint in (float, int) else numba.types.CPointer(own) for own, hint in zip(types, hints, strict=True))
    )
    return str(numba.cfunc(signature, _nrt=False, error_model="numpy")(function).inspect_llvm())


def _write(file: Path, text: str) -> None:
    """Write a file that others may be reading."""
    file.parent.mkdir(parents=True, exist_ok=True)
    made = file.with_suffix(f".{os.getpid()}")
    made.write_text(text)
    made.replace(file)


def _callable(engine: Any, name: str, hints: list[Any]) -> Loop:
    """Loop of an engine, which it keeps alive."""
    numbers: dict[Any, Any] = {float: ctypes.c_double, int: ctypes.c_int64}
    kind = ctypes.CFUNCTYPE(None, *(numbers.get(hint, ctypes.c_void_p) for hint in hints))
    entry = kind(engine.get_function_address(name))
    widths = [None if hint in numbers else np.dtype(KINDS[hint]).itemsize for hint in hints]

    def call(*arguments: Any, engine: Any = engine) -> None:
        for item, width in zip(arguments, widths, strict=True):
            if width is not None and not (item.flags.c_contiguous and item.itemsize == width):
                raise TypeError("a loop reads contiguous arrays of the numbers that it names")
        entry(*(item.ctypes.data if width else item for item, width in zip(arguments, widths, strict=True)))

    return call
