"""What hardware people should improve: how far the front of a run moves when a specification changes by ten percent.

The rows of the front, and near misses one lever away from its lettered designs, are scored again under every change in
one array call, mappings held. It is no new search: a change that makes quite other designs good is worth more than is
shown here, so gains are lower bounds and losses upper bounds. Two measures: the hypervolume of the front, and the first
objective (usually the cost) at fixed levels of the others, in the median over the front and at each lettered design.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np

from dse.arrays import FloatArray
from dse.facts.errors import Mistake, SpecError, did_you_mean
from dse.facts.levers import NONE
from dse.insight.paths import ANY, words
from dse.insight.runs import Opened
from dse.insight.sensitivity.candidates import attained, evaluator, front_systems, joined, neighbours, relaxed
from dse.insight.sensitivity.held import Scenario, scored
from dse.insight.sensitivity.varied import knob, varied
from dse.search import pareto
from dse.search.metrics import Metrics, minimised, scores
from dse.search.question import Question
from dse.search.scoring.block import OPTICAL_LINK

STEP = 0.1
"""Relative change of a specification, either way [1]."""

NEIGHBOURS = 96
"""Designs one lever away from lettered ones that are tried as near misses."""

MARGIN = 0.1
"""How far the reference point of the hypervolume lies behind the worst of the front where its run names none
[decades]."""

UNMOVED = 1e-5
"""Shifts below this are none, decades or relative [1]."""

PARTS = (
    "peak.*",
    "memory.bandwidth",
    "memory.capacity",
    "scale_up.bandwidth",
    "scale_out.bandwidth",
    "host_link.bandwidth",
    "power",
    "tco.all_in_power",
    "price",
)
"""Specifications of a device."""

SYSTEM = (
    "optical_bandwidth",
    f"links.{OPTICAL_LINK}.energy",
    "topologies.*.hop_latency",
    "pool.capacity",
    "prices.memory.hbm*",
    "prices.memory.ddr5_rdimm",
    "prices.optics",
    "prices.switching",
    "prices.host_share",
    "prices.network_share",
    "prices.electricity",
    "prices.interest",
    "prices.depreciation",
    "calibration.compute",
    "calibration.memory",
    "calibration.network",
    "calibration.overhead",
)
"""Specifications beside those of devices; those of pool memories are added by name."""


class Shift(NamedTuple):
    """How far a change moves the front."""

    hypervolume: float
    """Change of the volume that the candidates dominate [decades^k]."""
    cost: float
    """Median relative change of the first objective at those levels of the others that are still attained [1];
    infinite if none is."""
    lost: float
    """Part of the front's levels that no candidate attains any more [1]."""
    knees: tuple[float, ...]
    """The same relative change at each lettered design; infinite where its levels are not attained."""

    def json(self) -> dict[str, Any]:
        """For programs; null where the levels are not attained."""
        knees = [share if np.isfinite(share) else None for share in self.knees]
        return self._asdict() | {"cost": self.cost if np.isfinite(self.cost) else None, "knees": knees}


class Specification(NamedTuple):
    """One specification, changed either way."""

    path: str
    down: Shift
    up: Shift

    @property
    def size(self) -> float:
        """Larger shift of the hypervolume, by which specifications are sorted."""
        return max(abs(self.down.hypervolume), abs(self.up.hypervolume))


@dataclass(frozen=True)
class Specifications:
    """Shifts of one front, the largest first."""

    study: str
    prices: str
    step: float
    objectives: tuple[str, ...]
    letters: tuple[str, ...]
    """Lettered designs, in the order of `Shift.knees`."""
    rows: int
    """Rows of the front that were scored again."""
    near: int
    """Near misses that were scored with them."""
    hypervolume: float
    """Before any change [decades^k]."""
    found: tuple[Specification, ...]
    unmoved: tuple[str, ...]

    def json(self) -> dict[str, Any]:
        """For programs."""
        rows = [
            {"path": item.path, "name": words(item.path), "down": item.down.json(), "up": item.up.json()}
            for item in self.found
        ]
        return {**{name: getattr(self, name) for name in self.__dataclass_fields__}, "found": rows}


def specifications(opened: Opened, part: str = ANY, step: float = STEP) -> Specifications:
    """Shifts of the front of a run for changes of all parts, or of the specifications of one device type."""
    problem, question = opened.problem, opened.run.question
    if part != ANY and part not in problem.devices:
        hint = did_you_mean(part, problem.devices)
        raise SpecError([Mistake("--part", 0, 0, part, f"there is no such device in this study.{hint}")])
    plan = evaluator(opened).plan
    front, aside = front_systems(opened), neighbours(opened, NEIGHBOURS)
    systems = joined([front, aside])
    paths = _paths(opened, part)
    changes = [varied(plan, path, factor) for path in paths for factor in (1 - step, 1 + step)]
    stated, *moved = scored(plan, systems, [Scenario(problem), *changes])
    yardstick = _Yardstick.of(stated, question, (len(front), len(opened.picks)), opened.reference)
    shifts = [yardstick.shift(found, question) for found in moved]
    made = [Specification(path, *shifts[2 * place : 2 * place + 2]) for place, path in enumerate(paths)]
    moving = [item for item in made if _moves(item)]
    return Specifications(
        problem.name,
        problem.prices.date,
        step,
        tuple(goal.name for goal in question.goals),
        tuple(pick.letter for pick in opened.picks),
        len(front),
        len(systems) - len(front),
        yardstick.volume,
        tuple(sorted(moving, key=lambda item: -item.size)),
        tuple(item.path for item in made if not _moves(item)),
    )


class _Yardstick(NamedTuple):
    """Levels at which a front is held against its old self."""

    levels: FloatArray
    """(m, k) objectives of the front, less is better."""
    cost: FloatArray
    """(m,) least first objective at these levels before the change."""
    reference: FloatArray
    volume: float
    knees: int
    """First levels that belong to lettered designs."""

    @classmethod
    def of(
        cls, stated: Metrics, question: Question, sizes: tuple[int, int], reference: FloatArray | None
    ) -> "_Yardstick":
        """Yardstick of systems whose first rows are the front, lettered designs first; `sizes` count both."""
        front, knees = sizes
        levels = relaxed(minimised(stated, question.goals)[:front])
        points = scores(stated, question.goals)
        if reference is None:
            reference = points[:front].max(axis=0) + MARGIN
        volume = pareto.hypervolume(points[stated.feasible], reference)
        return cls(levels, attained(stated, question, levels), reference, volume, knees)

    def shift(self, found: Metrics, question: Question) -> Shift:
        """How far a change moves the front."""
        cost = attained(found, question, self.levels)
        ratio = np.abs(cost) / np.abs(self.cost)
        kept = np.isfinite(ratio)
        middle = float(np.median(ratio[kept])) - 1 if kept.any() else np.inf
        volume = pareto.hypervolume(scores(found, question.goals)[found.feasible], self.reference)
        lost = float(np.mean(~kept))
        return Shift(volume - self.volume, middle, lost, tuple((ratio[: self.knees] - 1).tolist()))


def _paths(opened: Opened, part: str) -> list[str]:
    """Specifications that the study has numbers for."""
    wanted = [f"devices.{part}.{name}" for name in PARTS]
    if part == ANY:
        pools = [str(name) for name in opened.problem.levers["pool.technology"] if name != NONE]
        wanted += [path for path in SYSTEM if pools or path != "pool.capacity"]
        wanted += [f"memories.{name}.bandwidth" for name in pools] + [f"prices.memory.{name}" for name in pools]
    return [path for path in wanted if _known(opened, path)]


def _known(opened: Opened, path: str) -> bool:
    try:
        knob(evaluator(opened).plan, path)
    except SpecError:
        return False
    return True


def _moves(item: Specification) -> bool:
    shifts: Sequence[Shift] = (item.down, item.up)
    return any(abs(shift.hypervolume) > UNMOVED or shift.lost > 0 or not abs(shift.cost) <= UNMOVED for shift in shifts)
