"""One stored design scored again by itself, with everything its score was made of."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from dse.arrays import FloatArray
from dse.facts.levers import REGISTRY
from dse.physics import demand, roofline
from dse.physics.shape import Shape
from dse.physics.work import ledger, pass_work
from dse.search.axes import Designs
from dse.search.evaluation import Evaluator, assembled
from dse.search.metrics import Metrics
from dse.search.scoring import block as blocks
from dse.search.scoring import passes
from dse.search.scoring.block import Block
from dse.search.scoring.classes import ClassPoints, candidates, class_points, mapping, setting
from dse.search.scoring.mappings import Grid
from dse.search.scoring.phases import Site
from dse.search.scoring.plan import Plan, TableKey
from dse.search.scoring.points import PointColumns, evaluate_points
from dse.search.scoring.sides import HOME, Setting
from dse.search.scoring.techniques import KERNEL, SUMS

GRID = ("tp", "pp", "attention_dp", "moe_tp", "ep", "cp")
"""Degrees of parallelism of a mapping, in the order of `Grid`."""

HOMES = {code: name for name, code in HOME.items()}
"""Home of the KV by its code."""


class Phase(NamedTuple):
    """One pass of a class on one pool: what it demands and how long it takes."""

    device: str
    """Catalog name."""
    site: Site
    grid: Grid
    load: demand.Load
    work: demand.Work
    time: roofline.PassTime
    ledger: demand.Ledger

    @property
    def shape(self) -> Shape:
        """Model."""
        return self.site.shape

    @property
    def devices(self) -> int:
        """Devices of one instance."""
        return int(np.asarray(self.grid.devices).item())


@dataclass(frozen=True, eq=False)
class ClassCase:
    """One class of agents on the design."""

    name: str
    index: int
    at: Setting
    """Serving point with everything its score depends on, one row."""
    columns: PointColumns
    """Its score, one row."""
    mapping: Mapping[str, int]
    """How it uses the design."""

    @property
    def home(self) -> str:
        """Where its KV lives."""
        return HOMES[int(self.at.home[0])]

    @property
    def colocated(self) -> bool:
        """Whether one pool serves both phases."""
        return bool(self.at.colocated[0])


@dataclass(frozen=True, eq=False)
class Case:
    """A design with one mapping, its block of one, and its classes."""

    plan: Plan
    levers: Mapping[str, str | float | int]
    block: Block
    metrics: Metrics
    """One row."""
    classes: tuple[ClassCase, ...]
    kept: bool
    """Whether it uses the mapping that was asked for; otherwise the cheapest that meets the requirements."""

    def value(self, name: str) -> float:
        """One column."""
        return float(self.metrics.columns[name][0])


def case(evaluator: Evaluator, designs: Designs, wanted: Mapping[str, int]) -> Case:
    """Score one design again and keep the row with this mapping.

    Parameters
    ----------
    evaluator : Evaluator              of the problem
    designs : Designs                  one design
    wanted : mapping column -> value   as stored with a front; the cheapest feasible row where it is not offered
    """
    plan = evaluator.plan
    block = blocks.block(plan, designs)
    found = [class_points(plan, block, agent) for agent in range(len(plan.classes))]
    names = [item.agent.name for item in plan.classes]
    points = [_matching(part, name, wanted) for part, name in zip(found, names, strict=True)]
    kept = all(point is not None for point in points)
    if not kept:
        offered = _cheapest(evaluator(designs))
        points = [_matching(part, name, offered) for part, name in zip(found, names, strict=True)]
    chosen = np.array([[point for point in points if point is not None]], dtype=np.int64)
    metrics = assembled(plan, block, found, np.zeros(1, dtype=np.int64), chosen)
    classes = tuple(_class_case(plan, block, agent, int(chosen[0, agent])) for agent in range(len(names)))
    return Case(plan, _levers(plan, designs), block, metrics, classes, kept)


def table_key(own: Case, agent: int, pool: str, option: int) -> TableKey:
    """Key of the phase table that one class uses on one pool."""
    side = own.block.prefill if pool == "prefill" else own.block.decode
    device = own.plan.devices[int(side.device[0, option])]
    topology = str(own.levers[f"{pool}.topology"])
    light = "optical" in own.plan.coefficients(device, topology).bandwidth
    return TableKey(
        agent,
        device,
        topology,
        float(own.block.optical_bandwidth[0]) if light else 0.0,
        str(own.levers["weight_dtype"]),
        str(own.levers["kv_dtype"]),
        int(own.levers["draft_length"]),
        pool == "decode" and bool(own.block.offloaded[0]),
        *(str(own.levers.get(name, REGISTRY[name].default)) for name in (SUMS, KERNEL)),
    )


def decode_phase(own: Case, item: ClassCase) -> Phase:
    """Decode step of a class with every slot busy."""
    key = table_key(own, item.index, "decode", item.mapping["decode.type"])
    batch = float(item.mapping["decode.batch"])
    grid = _grid(item, "decode", item.mapping["decode.batch"])
    new = 1.0 + key.draft_length
    context = own.plan.classes[item.index].load.decode_context
    load = demand.Load(_one(batch / float(grid.pp[0])), new, context, new)
    return _phase(own.plan, key, grid, load)


def prefill_phase(own: Case, item: ClassCase) -> Phase:
    """Prefill pass of a class: one full chunk of every rank on the mean prefix."""
    key = table_key(own, item.index, "prefill", item.mapping["prefill.type"])
    chunk = item.mapping["prefill.chunk"]
    grid = _grid(item, "prefill", chunk)
    prefix = max(own.plan.classes[item.index].load.cached, 1.0)
    load = demand.Load(grid.attention_dp, _one(chunk), _one(prefix))
    return _phase(own.plan, key, grid, load)


def _phase(plan: Plan, key: TableKey, grid: Grid, load: demand.Load) -> Phase:
    site = plan.site(key)
    work = pass_work(site.shape, site.precision, passes.mapping(grid), load)
    links = site.paths.links(grid, site.shape.experts_per_token)
    time = roofline.pass_time(work, site.supply, links, site.calibration)
    return Phase(key.device, site, grid, load, work, time, ledger(site.shape, site.precision, passes.mapping(grid)))


def _grid(item: ClassCase, pool: str, size: int) -> Grid:
    degrees = {name: np.array([item.mapping[f"{pool}.{name}"]], dtype=np.int64) for name in GRID}
    return Grid(**degrees, size=np.array([size], dtype=np.int64))


def _one(value: float) -> FloatArray:
    return np.array([float(value)])


def _class_case(plan: Plan, block: Block, agent: int, point: int) -> ClassCase:
    found = candidates(plan, block, agent)
    at = setting(plan, block, agent, found, np.array([point]))
    used = {name: int(values[point]) for name, values in mapping(found).items()}
    return ClassCase(plan.classes[agent].agent.name, agent, at, evaluate_points(at), used)


def _matching(found: ClassPoints, agent: str, wanted: Mapping[str, int]) -> int | None:
    """Point of a class with this mapping, or None."""
    match = np.ones(found.size, dtype=bool)
    for name, values in found.mapping.items():
        match &= values == wanted.get(f"{agent}.{name}", -1)
    rows = np.flatnonzero(match)
    return int(rows[0]) if rows.size else None


def _cheapest(metrics: Metrics) -> dict[str, int]:
    """Mapping of the cheapest feasible row, or of the least violating one."""
    row = int(np.lexsort((metrics.columns["cost"], metrics.violation))[0])
    return {name: int(values[row]) for name, values in metrics.mapping.items()}


def _levers(plan: Plan, designs: Designs) -> dict[str, str | float | int]:
    """Lever -> choice of one design."""
    return {
        name: choices[int(designs[name][0])] if name in designs.names else choices[0]
        for name, choices in plan.problem.levers.items()
    }
