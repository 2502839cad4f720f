"""How many designs of a box do not violate a requirement by their hardware alone, exactly."""

from dataclasses import dataclass

import numpy as np

from dse.arrays import FloatArray, IntArray
from dse.search.bounds.boxes import DEVICE_LEVERS, Boxes, Columns
from dse.search.bounds.cells import Cells
from dse.search.bounds.hardware import judged
from dse.search.bounds.sets import Sets

OWN = ("topology", "memory_scale", "host_memory")
"""Levers of one pool that can break a requirement, beside its devices and the optical bandwidth."""


@dataclass(eq=False)
class Alive:
    """Counts of sound designs in boxes."""

    cells: Cells
    sets: tuple[Sets, Sets]

    def __post_init__(self) -> None:
        space = self.cells.space
        self.columns = Columns.of(space)
        counted = {f"{pool}.{lever}" for pool in ("prefill", "decode") for lever in OWN}
        self.formats = judged(space)
        counted |= {"optical_bandwidth", *self.formats}
        counted |= {f"{pool}.{lever}" for pool in ("prefill", "decode") for lever in DEVICE_LEVERS}
        self.others = [column for name, column in self.columns.place.items() if name not in counted]

    def count(self, boxes: Boxes) -> IntArray:
        """(n,) sound designs of each box."""
        if len(boxes) == 0:
            return np.zeros(0, dtype=np.int64)
        place = self.columns.place
        lights = self._side(boxes, 0) * self._side(boxes, 1)
        light = np.arange(lights.shape[1])
        column = place["optical_bandwidth"]
        inside = (light >= boxes.low[:, [column]]) & (light < boxes.high[:, [column]])
        formats = self._formats(boxes)
        other = np.prod(boxes.high[:, self.others] - boxes.low[:, self.others], axis=1)
        return np.asarray((lights * inside).sum(axis=1) * formats * other, dtype=np.int64)

    def _side(self, boxes: Boxes, index: int) -> IntArray:
        """(n, lights) sound choices of one pool's devices and own levers at every optical bandwidth."""
        place, group = self.columns.place, self.sets[index]
        used, number = np.unique(boxes.sets[:, index], return_inverse=True)
        sums = np.stack([group.sums[one] for one in used.tolist()])
        total = np.zeros((len(boxes), sums.shape[-1]), dtype=np.int64)
        own = [place[f"{group.name}.{lever}"] for lever in OWN]
        for corner in np.ndindex(2, 2, 2):
            at = [np.where(up, boxes.high[:, c], boxes.low[:, c]) for up, c in zip(corner, own, strict=True)]
            total += (1 if sum(corner) % 2 else -1) * sums[number.ravel(), at[0], at[1], at[2]]
        return total

    def _formats(self, boxes: Boxes) -> IntArray:
        sums = (~self.cells.pooled.quality_doomed).astype(np.int64)
        for axis in range(sums.ndim):
            sums = sums.cumsum(axis=axis)
        sums = np.pad(sums, [(1, 0)] * sums.ndim)
        columns = [self.columns.place[name] for name in self.formats]
        total = np.zeros(len(boxes), dtype=np.int64)
        for corner in np.ndindex((2,) * sums.ndim):
            at = [boxes.high[:, c] if up else boxes.low[:, c] for up, c in zip(corner, columns, strict=True)]
            total += (-1) ** (sums.ndim - sum(corner)) * sums[tuple(at)]
        return total


def spreads(cells: Cells, sets: tuple[Sets, Sets], columns: Columns, boxes: Boxes) -> FloatArray:
    """(n, axes + 2) how much a lever still varies in a box; zero where it has one choice.

    Levers that change a price count by how much the price of a device changes over their range, the others by the
    logarithm of their choices, the last two columns are the sets of device pairs.
    """
    width = boxes.high - boxes.low
    place = columns.place
    made = np.log2(width.astype(float))
    light, rows = place["optical_bandwidth"], []
    for index, (group, side) in enumerate(zip(sets, (cells.prefill, cells.decode), strict=True)):
        count = np.array([len(choices) for choices in group.choices])[boxes.sets[:, index]]
        rows.append(np.log2(count.astype(float)))
        kind = np.array([kinds[0, 0] if len(kinds) else 0 for kinds in group.kinds])[boxes.sets[:, index]]
        at = [place[f"{group.name}.{lever}"] for lever in OWN] + [light]
        base = side.hourly[(kind, *(boxes.low[:, column] for column in at))]
        for column in at[2:]:
            ends = [np.where(column == c, boxes.high[:, c] - 1, boxes.low[:, c]) for c in at]
            change = np.abs(side.hourly[(kind, *ends)] / base - 1)
            made[:, column] = np.where(width[:, column] > 1, LITTLE + change, 0.0)
    size, technology = place["pool.capacity"], boxes.low[:, place["pool.technology"]]
    share = side.pool_hourly[kind, technology, boxes.high[:, size] - 1]
    change = (share - side.pool_hourly[kind, technology, boxes.low[:, size]]) / base
    made[:, size] = np.where(width[:, size] > 1, LITTLE + change, 0.0)
    return np.concatenate([made, np.stack(rows, axis=1)], axis=1)


LITTLE = 1e-3
"""What a lever counts that still has a choice but no price."""
