"""Designs that a search has proposed so far: it may be millions, so most are rows of one sorted array."""

import numpy as np

from dse.arrays import BoolArray, IntArray
from dse.search.axes import Designs, Rows

LEAST = 4096
"""Designs that are looked up in a set, at least, before they join the array."""

SHARE = 0.1
"""Part of the array that the set may be: it takes four times as much memory per design, and joining copies all."""


class Seen:
    """Designs seen, of which a set of Python objects would take some 130 bytes each.

    >>> seen = Seen(np.array([[1, 0]], dtype=np.int16))
    >>> seen.fresh(Designs(np.array([[1, 0], [2, 0], [2, 0]], dtype=np.int16), ("a", "b"))).tolist()
    [1]
    >>> len(seen), seen.rows().tolist()
    (2, [[1, 0], [2, 0]])
    """

    def __init__(self, rows: Rows) -> None:
        self._axes = rows.shape[1]
        self._old = np.unique(self._keys(rows))
        self._new: set[bytes] = set()

    def __len__(self) -> int:
        """Count the designs."""
        return len(self._old) + len(self._new)

    def fresh(self, designs: Designs, most: int | None = None) -> IntArray:
        """Rows of the first designs that were not seen, without repetition; they are remembered as seen."""
        kept: list[int] = []
        known = self._among(self._keys(designs.rows)).tolist()
        for row, (key, old) in enumerate(zip(designs.identities(), known, strict=True)):
            if len(kept) == most:
                break
            if not old and key not in self._new:
                self._new.add(key)
                kept.append(row)
        if len(self._new) > max(LEAST, SHARE * len(self._old)):
            self._old, self._new = self._joined(), set()
        return np.array(kept, dtype=np.int64)

    def holds(self, designs: Designs) -> BoolArray:
        """(n,) whether designs were seen."""
        if self._new:
            self._old, self._new = self._joined(), set()
        return self._among(self._keys(designs.rows))

    def missing(self, designs: Designs) -> IntArray:
        """Rows of the first designs that were not seen, without repetition; they stay so."""
        first = np.sort(np.unique(self._keys(designs.rows), return_index=True)[1])
        return np.asarray(first[~self.holds(designs.take(first))], dtype=np.int64)

    def rows(self, without: Designs | None = None) -> Rows:
        """(n, axes) designs, sorted so that equal ones give equal files, but for some of them."""
        keys = self._joined()
        if without is not None and len(without):
            keys = keys[~np.isin(keys, self._keys(without.rows))]
        return keys.view(np.int16).reshape(-1, self._axes)

    def _keys(self, rows: Rows) -> np.ndarray:
        """(n,) identities as bytes of one length, which arrays can sort."""
        wide = np.ascontiguousarray(rows, dtype=np.int16)
        return wide.view(f"S{2 * self._axes}").ravel() if wide.size else np.zeros(0, f"S{2 * self._axes}")

    def _among(self, keys: np.ndarray) -> BoolArray:
        """(n,) whether keys are in the array."""
        if not len(self._old):
            return np.zeros(len(keys), dtype=np.bool_)
        place = np.minimum(np.searchsorted(self._old, keys), len(self._old) - 1)
        return np.asarray(self._old[place] == keys)

    def _joined(self) -> np.ndarray:
        new = np.array(sorted(self._new), dtype=self._old.dtype)
        return np.insert(self._old, np.searchsorted(self._old, new), new)
