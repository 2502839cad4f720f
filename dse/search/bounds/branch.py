"""Branch and bound: divide a space into boxes, drop those that cannot beat a front, divide the largest of the rest."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import numpy as np

from dse.arrays import BoolArray, FloatArray, IntArray
from dse.facts.problem import Problem
from dse.search.bounds import boxes as parts
from dse.search.bounds.alive import Alive, spreads
from dse.search.bounds.boxes import Boxes, Columns, halved, roots, stacked
from dse.search.bounds.cells import Cells
from dse.search.bounds.crew import Crew, Late
from dse.search.bounds.hardware import hardware, pooled
from dse.search.bounds.margins import Judged, Margins
from dse.search.bounds.relaxation import Relaxation
from dse.search.bounds.sets import Sets
from dse.search.bounds.yardstick import Yardstick
from dse.search.scoring.plan import Plan
from dse.search.scoring.techniques import LEVERS
from dse.search.space import Space

PIECES = 512
"""Boxes bounded in one round."""

PIECE = 64
"""Boxes bounded at once: neighbours with the same devices, which share most of their tables."""

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
    margins: Margins
    alive: Alive
    columns: Columns

    @classmethod
    def of(cls, plan: Plan, space: Space, front: Yardstick, epsilon: float) -> "Bounds":
        """Bounds of a study."""
        prefill, decode = hardware(plan, space, "prefill"), hardware(plan, space, "decode")
        cells = Cells(plan, space, prefill, decode, pooled(plan, space), front.levels)
        sets = Sets(cells, prefill, "prefill"), Sets(cells, decode, "decode")
        relaxation, margins = Relaxation(cells, sets, front.exchange), Margins.of(front, epsilon)
        return cls(space, sets, cells, relaxation, margins, Alive(cells, sets), Columns.of(space))

    def judge(self, boxes: Boxes) -> Judged | None:
        """Judge boxes; None once the time is over."""
        try:
            self.cells.clock.heed()
            return self.margins.judge(self.relaxation.bound(boxes))
        except Late:
            return None

    def roots(self, ordered: bool = True) -> Boxes:
        """Boxes of the whole space: a pair of decode devices and a format of the weights each, all prefill devices."""
        found = roots(self.space, self.relaxation.modes, self.sets, ordered)
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


class Open(NamedTuple):
    """Boxes that no bound has dropped yet, with what is known of each, (n,)."""

    boxes: Boxes
    designs: IntArray
    """Designs that keep the requirements on hardware."""
    height: FloatArray
    """Mean bound of the box that each came from."""
    lever: IntArray
    """Lever along which that was divided, -1 for a root."""
    spread: FloatArray
    """How much that lever varied."""
    need: IntArray
    """Index of the smallest margin that is known to cover the box, from its own bound or that of a box around it."""
    lowest: IntArray
    highest: IntArray
    """First and last level of latency at which the margin asked for is not enough; -1 where nothing is known."""

    def take(self, rows: IntArray | BoolArray) -> "Open":
        """Select boxes."""
        columns: Any = (column[rows] for column in self[1:])
        return Open(self.boxes.take(rows), *columns)


def joined(parts: Sequence[Open]) -> Open:
    """Put boxes below each other."""
    columns = list(zip(*parts, strict=True))
    return Open(stacked(list(columns[0])), *(np.concatenate(column) for column in columns[1:]))


@dataclass(eq=False)
class Branching:
    """Open boxes, how much each lever has brought so far, and what is proved."""

    bounds: Bounds
    open: Open
    gain: FloatArray
    tries: FloatArray
    proved: IntArray
    """Designs of dropped boxes by the smallest margin that is known to cover them, see `Margins`."""
    bounded: int = 0
    whole: list[Open] = field(default_factory=list)
    """Boxes of one design each that no bound could drop."""

    @classmethod
    def of(cls, bounds: Bounds, ordered: bool = True) -> "Branching":
        """All of a space, nothing bounded yet; ``ordered`` sets of devices take all tables and are worth them."""
        found = bounds.roots(ordered)
        designs = bounds.alive.count(found)
        found, designs = found.take(designs > 0), designs[designs > 0]
        names = [*bounds.space.names, "", ""]
        gain = PRIOR * np.array([FIRST.get(name, OTHERS) for name in names])
        count, unknown = len(found), len(bounds.margins.epsilons)
        nothing = np.full(count, -1)
        open_ = Open(
            found,
            designs,
            np.full(count, -np.inf),
            nothing,
            np.zeros(count),
            np.full(count, unknown),
            nothing,
            nothing,
        )
        return cls(bounds, open_, gain, np.full(len(names), PRIOR), np.zeros(unknown + 1, dtype=np.int64))

    @property
    def pruned(self) -> int:
        """Designs that bounds have covered."""
        return int(self.proved.sum())

    @property
    def left(self) -> int:
        """Designs about which nothing is known yet."""
        return int(self.open.designs.sum()) + sum(int(part.designs.sum()) for part in self.whole)

    def remaining(self) -> Open:
        """Boxes about which nothing is known yet."""
        return joined([self.open, *self.whole])

    def step(self, crew: Crew[Bounds] | None = None, most: float = np.inf) -> None:
        """Bound the largest boxes, drop what is covered, divide the rest."""
        count = int(min(PIECES, len(self.open.boxes), most))
        at = np.argpartition(self.open.designs, len(self.open.designs) - count)[len(self.open.designs) - count :]
        at = at[np.argsort(self.open.boxes.sets[at, 1], kind="stable")]
        pieces = [at[start : start + PIECE] for start in range(0, count, PIECE)]
        boxes = [self.open.boxes.take(piece) for piece in pieces]
        answers = [self.bounds.judge(one) for one in boxes] if crew is None else crew.map(Bounds.judge, boxes)
        known = [(piece, judged) for piece, judged in zip(pieces, answers, strict=True) if judged is not None]
        if known:
            at = np.concatenate([piece for piece, _ in known])
            columns = zip(*(judged for _, judged in known), strict=True)
            self._judged(at, Judged(*(np.concatenate(column) for column in columns)))

    def _judged(self, at: IntArray, judged: Judged) -> None:
        """Drop what is covered of some open boxes, divide the rest."""
        taken = self.open.take(at)
        self._learn(taken, judged.height)
        self.bounded += len(at)
        need = np.minimum(taken.need, judged.need)
        covered = need <= self.bounds.margins.target
        np.add.at(self.proved, need[covered], taken.designs[covered])
        rest = np.ones(len(self.open.designs), dtype=bool)
        rest[at] = False
        taken = taken._replace(need=need, height=judged.height, lowest=judged.lowest, highest=judged.highest)
        self._divide(self.open.take(rest), taken.take(~covered))

    def _learn(self, taken: Open, height: FloatArray) -> None:
        known = taken.lever >= 0
        won = np.clip(height[known] - taken.height[known], 0, MOST_GAIN)
        np.add.at(self.gain, taken.lever[known], won)
        np.add.at(self.tries, taken.lever[known], taken.spread[known])

    def _divide(self, others: Open, taken: Open) -> None:
        """Divide boxes along the lever that promises most; those with one design are set aside."""
        self.open = others
        if len(taken.boxes) == 0:
            return
        varied = spreads(self.bounds.cells, self.bounds.sets, self.bounds.columns, taken.boxes)
        several: BoolArray = np.asarray((varied > 0).any(axis=1))
        if not several.all():
            self.whole.append(taken.take(~several))
        taken, varied = taken.take(several), varied[several]
        lever = (varied * self.gain / self.tries).argmax(axis=1)
        spread = varied[np.arange(len(lever)), lever]
        made = halved(taken.boxes, lever, self.bounds.sets)
        twice = taken._replace(lever=lever, spread=spread).take(np.tile(np.arange(len(lever)), 2))
        twice = twice._replace(boxes=made, designs=self.bounds.alive.count(made))
        self.open = joined([others, twice.take(twice.designs > 0)])
