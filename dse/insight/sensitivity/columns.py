"""Serving points as trees of columns: taken, repeated, put below each other, and scored a cache-sized batch at a time.

What a system or a sample changes are a few of these columns; whoever scores changed points needs the same four moves,
whichever columns a point has.
"""

from collections.abc import Sequence
from typing import Any, TypeVar

import numpy as np

from dse.arrays import FloatArray, IntArray
from dse.search.scoring.classes import BATCH
from dse.search.scoring.points import PointColumns, evaluate_points
from dse.search.scoring.sides import Setting

_Columns = TypeVar("_Columns", bound=tuple[Any, ...])

_SHARED = frozenset({"shape", "operation"})
"""Parts of a setting that its points have in common."""


def evaluated(parts: Sequence[Setting]) -> list[PointColumns]:
    """Score settings below each other, those of one class shape and operation in one call."""
    found: list[PointColumns] = [PointColumns(*(np.zeros(0) for _ in PointColumns._fields))] * len(parts)
    groups: dict[tuple[int, object], list[int]] = {}
    for number, at in enumerate(parts):
        if at.home.size:
            groups.setdefault((id(at.shape), at.operation), []).append(number)
    for members in groups.values():
        whole = joined([parts[number] for number in members])
        sizes = [parts[number].home.size for number in members]
        ends = np.cumsum(sizes)
        starts = range(0, int(ends[-1]), BATCH)
        scored = [evaluate_points(taken(whole, slice(at, at + BATCH))) for at in starts]
        columns = [np.concatenate(column) for column in zip(*scored, strict=True)]
        for number, end, size in zip(members, ends, sizes, strict=True):
            found[number] = PointColumns(*(column[end - size : end] for column in columns))
    return found


def arrays(columns: tuple[Any, ...]) -> list[FloatArray]:
    """Every array of a tree of columns."""
    found: list[FloatArray] = []
    for name, value in columns._asdict().items():  # type: ignore[attr-defined]
        if isinstance(value, np.ndarray):
            found.append(value)
        elif hasattr(value, "_asdict") and name not in _SHARED:
            found += arrays(value)
    return found


def mapped(columns: Sequence[_Columns], change: Any) -> _Columns:
    """Tree of columns made from several of its kind, array by array."""
    first: Any = columns[0]
    made = {}
    for name, value in first._asdict().items():
        parts = [getattr(item, name) for item in columns]
        if isinstance(value, np.ndarray):
            made[name] = change(parts)
        elif hasattr(value, "_asdict") and name not in _SHARED:
            made[name] = mapped(parts, change)
        else:
            made[name] = value
    result: _Columns = type(first)(**made)
    return result


def tiled(columns: _Columns, times: int) -> _Columns:
    """Every point repeated, all of them below each other."""
    return mapped([columns], lambda parts: np.tile(parts[0], times))


def joined(settings: Sequence[Setting]) -> Setting:
    """Settings of one class below each other."""
    return mapped(settings, np.concatenate)


def taken(at: Setting, rows: IntArray | slice) -> Setting:
    """Some points of a setting."""
    return mapped([at], lambda parts: parts[0][rows])
