"""Where the phase tables of a class are kept: rows of all of them below each other, so that a block copies none."""

from collections.abc import Callable, Hashable, Iterable, Sequence
from typing import Generic, TypeVar

import numpy as np

from dse.arrays import FloatArray, IntArray
from dse.search.scoring.mappings import Grid
from dse.search.scoring.phases import Table
from dse.search.scoring.tables import Made

Key = TypeVar("Key", bound=Hashable)


class Shelf(Generic[Key, Table]):
    """Tables of one kind by their keys."""

    def __init__(self, kind: Callable[..., Table]) -> None:
        self._made: Callable[..., Table] = kind
        self._place: dict[Key, int] = {}
        self._sizes: IntArray = np.zeros(0, dtype=np.int64)
        self._grid: IntArray = np.zeros((len(Grid._fields), 0), dtype=np.int64)
        self._columns: FloatArray | None = None

    def __len__(self) -> int:
        """Count the tables."""
        return len(self._place)

    @property
    def sizes(self) -> IntArray:
        """Rows of each table."""
        return self._sizes

    @property
    def rows(self) -> Table:
        """Rows of all tables below each other."""
        return self._rows(slice(None))

    def table(self, place: int) -> Table:
        """One table."""
        end = int(self._sizes[: place + 1].sum())
        return self._rows(slice(end - int(self._sizes[place]), end))

    def _rows(self, rows: slice) -> Table:
        assert self._columns is not None
        return self._made(Grid(*self._grid[:, rows]), *self._columns[:, rows])

    def missing(self, keys: Iterable[Key]) -> list[Key]:
        """Keys, each once, of tables that are not there."""
        return list(dict.fromkeys(key for key in keys if key not in self._place))

    def places(self, keys: Iterable[Key]) -> IntArray:
        """Places of tables that are there."""
        return np.asarray([self._place[key] for key in keys], dtype=np.int64)

    def put(self, keys: Sequence[Key], batches: Iterable[Made]) -> None:
        """Add tables, made in the order of these keys or in another that each batch tells."""
        for made in batches:
            for order in made.orders:
                self._place[keys[order]] = len(self._place)
            known = made.columns[:, :0] if self._columns is None else self._columns
            self._sizes = np.concatenate([self._sizes, made.sizes])
            self._grid = np.concatenate([self._grid, made.grid], axis=1)
            self._columns = np.concatenate([known, made.columns], axis=1)
