"""Branch and bound: divide a space into boxes, drop those that cannot beat a front, divide the largest of the rest."""

from dataclasses import dataclass, field

import numpy as np

from dse.arrays import BoolArray, FloatArray, IntArray
from dse.facts.problem import Problem
from dse.search.bounds import boxes as parts
from dse.search.bounds.alive import Alive, spreads
from dse.search.bounds.boxes import Boxes, Columns, halved, roots, stacked
from dse.search.bounds.cells import Cells
from dse.search.bounds.cover import Cover
from dse.search.bounds.hardware import hardware, pooled
from dse.search.bounds.relaxation import Relaxation
from dse.search.bounds.sets import Sets
from dse.search.bounds.yardstick import Yardstick
from dse.search.scoring.plan import Plan
from dse.search.scoring.techniques import LEVERS
from dse.search.space import Space

PIECES = 512
"""Boxes bounded in one round."""

PRIOR = 2.0
"""Rounds of experience with which every lever begins."""

FIRST = {"decode.topology": 0.4, "prefill.topology": 0.2}
"""Gain that a lever is first believed to bring; `OTHERS` is that of the rest. Experience soon outweighs it."""

OTHERS = 0.25

MOST_GAIN = 1.0
"""Gain of one division that is counted at most, in logarithms: a box that is emptied says little about its lever."""


@dataclass(eq=False)
class Bounds:
    """Everything that bounds the boxes of one study against one front."""

    space: Space
    sets: tuple[Sets, Sets]
    cells: Cells
    relaxation: Relaxation
    cover: Cover
    alive: Alive
    columns: Columns

    @classmethod
    def of(cls, plan: Plan, space: Space, front: Yardstick, epsilon: float) -> "Bounds":
        """Bounds of a study."""
        prefill, decode = hardware(plan, space, "prefill"), hardware(plan, space, "decode")
        cells = Cells(plan, space, prefill, decode, pooled(plan, space), front.levels)
        sets = Sets(cells, prefill, "prefill"), Sets(cells, decode, "decode")
        relaxation = Relaxation(cells, sets, front.exchange)
        cover = Cover.of(front.front, front.levels, epsilon)
        return cls(space, sets, cells, relaxation, cover, Alive(cells, sets), Columns.of(space))

    def roots(self) -> Boxes:
        """Boxes of the whole space: a pair of decode devices and a format of the weights each, all prefill devices."""
        found = roots(self.space, self.relaxation.modes, self.sets)
        found = self._opened(found, found.low.shape[1] + 1)
        return self._opened(found, self.columns.place["weight_dtype"])

    def _opened(self, boxes: Boxes, lever: int) -> Boxes:
        """Divide boxes along a lever until each has one choice of it."""
        done = []
        while len(boxes):
            several = self._several(boxes, lever)
            done.append(boxes.take(~several))
            rest = boxes.take(several)
            boxes = halved(rest, np.full(len(rest), lever), self.sets)
        return stacked(done)

    def _several(self, boxes: Boxes, lever: int) -> BoolArray:
        side = lever - boxes.low.shape[1]
        if side < 0:
            return np.asarray(boxes.high[:, lever] - boxes.low[:, lever] > 1)
        sizes = np.array([len(choices) for choices in self.sets[side].choices])
        return np.asarray(sizes[boxes.sets[:, side]] > 1)


def unknown_levers(problem: Problem, space: Space) -> list[str]:
    """Levers of a space that the bounds know nothing of."""
    known = {*parts.FIXED, "optical_bandwidth", "weight_dtype", "kv_dtype", "draft_length"}
    known |= {"pool.technology", "pool.capacity", *LEVERS}
    known |= {
        f"{pool}.{lever}" for pool in ("prefill", "decode") for lever in ("topology", "memory_scale", "host_memory")
    }
    odd = [name for name in space.names if name not in known]
    return odd + [name for name in problem.levers if name in known and name not in space.names]


@dataclass(eq=False)
class Branching:
    """Open boxes with what is known of each, and how much each lever has brought so far."""

    bounds: Bounds
    boxes: Boxes
    designs: IntArray
    """Designs of each open box that keep the requirements on hardware."""
    height: FloatArray
    """Mean bound of the box that each came from."""
    lever: IntArray
    """Lever along which it was divided, -1 for a root."""
    spread: FloatArray
    """How much that lever varied."""
    gain: FloatArray
    tries: FloatArray
    pruned: int = 0
    bounded: int = 0
    whole: list[Boxes] = field(default_factory=list)
    """Boxes of one design each that no bound could drop."""

    @classmethod
    def of(cls, bounds: Bounds) -> "Branching":
        """All of a space, nothing bounded yet."""
        found = bounds.roots()
        designs = bounds.alive.count(found)
        found, designs = found.take(designs > 0), designs[designs > 0]
        names = [*bounds.space.names, "", ""]
        gain = PRIOR * np.array([FIRST.get(name, OTHERS) for name in names])
        count = len(found)
        return cls(
            bounds,
            found,
            designs,
            np.full(count, -np.inf),
            np.full(count, -1),
            np.zeros(count),
            gain,
            np.full(len(names), PRIOR),
        )

    @property
    def left(self) -> int:
        """Designs about which nothing is known yet."""
        return int(self.designs.sum()) + sum(int(self.bounds.alive.count(part).sum()) for part in self.whole)

    def remaining(self) -> Boxes:
        """Boxes about which nothing is known yet."""
        return stacked([self.boxes, *self.whole])

    def step(self) -> None:
        """Bound the largest boxes, drop what is covered, divide the rest."""
        count = min(PIECES, len(self.boxes))
        at = np.argpartition(self.designs, len(self.designs) - count)[len(self.designs) - count :]
        taken = self.boxes.take(at)
        curves = self.bounds.relaxation.bound(taken)
        covered = self.bounds.cover.spans(curves, self.bounds.relaxation.exchange)
        height = self._height(curves)
        self._learn(at, height)
        self.pruned += int(self.designs[at][covered].sum())
        self.bounded += count
        rest = np.ones(len(self.boxes), dtype=bool)
        rest[at] = False
        self._keep(rest)
        self._divide(taken.take(~covered), height[~covered])

    def _height(self, curves: FloatArray) -> FloatArray:
        """Mean logarithm of cost and energy over the levels, no more than thrice the worst of the front."""
        front = self.bounds.cover
        limit = np.log(np.array([front.most, front.most_energy]) * 3)[:, None]
        with np.errstate(divide="ignore"):
            return np.asarray(np.minimum(np.log(curves[:, :2]), limit).mean(axis=(1, 2)))

    def _learn(self, at: IntArray, height: FloatArray) -> None:
        known = self.lever[at] >= 0
        won = np.clip(height[known] - self.height[at][known], 0, MOST_GAIN)
        np.add.at(self.gain, self.lever[at][known], won)
        np.add.at(self.tries, self.lever[at][known], self.spread[at][known])

    def _keep(self, rows: BoolArray) -> None:
        self.boxes, self.designs = self.boxes.take(rows), self.designs[rows]
        self.height, self.lever, self.spread = self.height[rows], self.lever[rows], self.spread[rows]

    def _divide(self, boxes: Boxes, height: FloatArray) -> None:
        """Divide boxes along the lever that promises most; those with one design are set aside."""
        if len(boxes) == 0:
            return
        varied = spreads(self.bounds.cells, self.bounds.sets, self.bounds.columns, boxes)
        several: BoolArray = np.asarray((varied > 0).any(axis=1))
        if not several.all():
            self.whole.append(boxes.take(~several))
        boxes, height, varied = boxes.take(several), height[several], varied[several]
        lever = (varied * self.gain / self.tries).argmax(axis=1)
        made = halved(boxes, lever, self.bounds.sets)
        designs = self.bounds.alive.count(made)
        kept = designs > 0
        spread = varied[np.arange(len(lever)), lever]
        self.boxes = stacked([self.boxes, made.take(kept)])
        self.designs = np.concatenate([self.designs, designs[kept]])
        self.height = np.concatenate([self.height, np.tile(height, 2)[kept]])
        self.lever = np.concatenate([self.lever, np.tile(lever, 2)[kept]])
        self.spread = np.concatenate([self.spread, np.tile(spread, 2)[kept]])
