"""Systems with their mapping held, scored under many changes of the numbers they rest on, in one array call.

A search scores every mapping of a design; a question such as *what if this link were ten percent faster* wants one
system, run as it is, before and after. So each system here is an architecture with one mapping per class. A change
gives columns of its own (memories, links, prices, times of passes), all of them are put below each other, and the
serving points whose columns differ from those of the stated numbers are scored at once.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import NamedTuple

import numpy as np

from dse.arrays import IntArray
from dse.facts.problem import Problem
from dse.facts.serving import Serving
from dse.insight.sensitivity import retimed
from dse.insight.sensitivity.columns import arrays, evaluated, taken
from dse.physics import serving
from dse.physics.calibration import Calibration
from dse.search.axes import Designs
from dse.search.evaluation import assembled
from dse.search.metrics import Metrics
from dse.search.scoring import block as blocks
from dse.search.scoring import phases, supply
from dse.search.scoring.block import Block
from dse.search.scoring.classes import Candidates, ClassPoints, Store, setting
from dse.search.scoring.mappings import Grid
from dse.search.scoring.plan import Plan, TableKey
from dse.search.scoring.points import PointColumns
from dse.search.scoring.rows import Rows
from dse.search.scoring.sides import Setting
from dse.search.scoring.techniques import KERNEL, SUMS

POOLS = ("prefill", "decode")
DEGREES = ("tp", "pp", "attention_dp", "moe_tp", "ep", "cp")
"""Degrees of parallelism of a mapping, in the order of `Grid`."""
SIZES = {"prefill": "chunk", "decode": "batch"}
"""Last column of a mapping, by pool."""

_Asked = tuple[str, int, TableKey]
"""Pool, identity of the classes, table."""


@dataclass(frozen=True)
class Systems:
    """Architectures with one mapping each, (n,)."""

    designs: Designs
    mapping: Mapping[str, IntArray]
    """Mapping column, with the name of its class -> (n,)."""

    def __len__(self) -> int:
        """Count the systems."""
        return len(self.designs)

    def take(self, rows: IntArray) -> "Systems":
        """Select systems."""
        return Systems(self.designs.take(rows), {name: values[rows] for name, values in self.mapping.items()})


class Scenario(NamedTuple):
    """A problem with some numbers changed, those included that stand in no section of a study."""

    problem: Problem
    hops: Mapping[str, float] = {}
    """Interconnect -> factor on the latency of its links [1]."""
    calibration: Calibration | None = None
    """Constants of the time model; the stated ones where None."""
    light: float = 1.0
    """Factor by which the choices of optical bandwidth in the problem differ from the stated ones [1]."""


def scored(plan: Plan, systems: Systems, scenarios: Sequence[Scenario]) -> list[Metrics]:
    """Metrics of all systems under each scenario, in their order, nothing but the numbers changed."""
    unique, owner = np.unique(systems.designs.rows, axis=0, return_inverse=True)
    designs = Designs(unique, systems.designs.names)
    asked: dict[_Asked, retimed.Asked] = {}
    stated = _Course(plan, designs, Scenario(plan.problem), asked)
    points = [_points(plan, designs, owner.ravel(), systems, agent) for agent in range(len(plan.classes))]
    base = [_Scored.stated(stated, own) for own in points]
    courses = [_Course(_plan(plan, item), designs, item, asked) for item in scenarios]
    found = [_changed(courses, own, at) for own, at in zip(points, base, strict=True)]
    rows = np.stack([own.row for own in points], axis=1)
    return [
        _metrics(course, points, [part[number] for part in found], owner.ravel(), rows)
        for number, course in enumerate(courses)
    ]


class _Points(NamedTuple):
    """Distinct serving points of one class among the systems."""

    agent: int
    design: IntArray
    """(p,) row of the distinct architectures."""
    mapping: Mapping[str, IntArray]
    """(p,) columns without the name of the class."""
    row: IntArray
    """(n,) point of each system."""
    tables: Mapping[str, "_Named"]
    """Pool -> rows of tables."""


class _Named(NamedTuple):
    """Which mapping of which table each point uses."""

    keys: tuple[TableKey, ...]
    grids: tuple[Grid, ...]
    """Mappings of each table."""
    option: IntArray
    """(p,) which device type of the pool."""
    row: IntArray
    """(p,) row of the stacked tables."""

    @property
    def sizes(self) -> IntArray:
        """Rows of each table."""
        return np.asarray([grid.size.size for grid in self.grids])


class _Course:
    """One scenario ready for scoring: its plan, its columns per architecture, its tables."""

    def __init__(self, plan: Plan, designs: Designs, scenario: Scenario, asked: "dict[_Asked, retimed.Asked]") -> None:
        self.plan, self.scenario, self.asked = plan, scenario, asked
        self.block: Block = blocks.block(plan, designs)

    def tables(self, own: "_Points", base: "_Scored | None" = None) -> "_Tables":
        """Times of the mappings of a class; tables that the scenario leaves alone are those of the stated numbers."""
        prefill, decode = (own.tables[pool] for pool in POOLS)
        if base is None:
            return _Tables(
                tuple(map(self._prefill, prefill.keys, prefill.grids)),
                tuple(map(self._decode, decode.keys, decode.grids)),
            )
        return _Tables(
            tuple(
                known if self.same_times(base.course, key) else self._prefill(key, grid)
                for key, grid, known in zip(prefill.keys, prefill.grids, base.tables.prefill, strict=True)
            ),
            tuple(
                known if self.same_times(base.course, key) else self._decode(key, grid)
                for key, grid, known in zip(decode.keys, decode.grids, base.tables.decode, strict=True)
            ),
        )

    def _prefill(self, key: TableKey, grid: Grid) -> phases.PrefillTable:
        site, load = self._site(key), self.plan.classes[key.agent].load
        name = ("prefill", id(self.plan.classes), key)
        if name not in self.asked:
            self.asked[name] = retimed.prefill_asked(site.shape, site.precision, grid, load)
        return retimed.prefill_rows(site, self.asked[name], load)

    def _decode(self, key: TableKey, grid: Grid) -> phases.DecodeTable:
        site, load, how = self._site(key), self.plan.classes[key.agent].load, _decoding(self.plan.problem.serving, key)
        name = ("decode", id(self.plan.classes), key)
        if name not in self.asked:
            self.asked[name] = retimed.decode_asked(site.shape, site.precision, grid, load, how.draft)
        return retimed.decode_rows(site, self.asked[name], load, how)

    def _site(self, key: TableKey) -> phases.Site:
        """Site of a table with the ports and the hops of the scenario."""
        key = key._replace(optical_bandwidth=key.optical_bandwidth * self.scenario.light)
        site, factor = self.plan.site(key), self.scenario.hops.get(key.topology, 1.0)
        if factor == 1.0:
            return site
        known = site.paths.coefficients
        slower = replace(known, hop_latency=known.hop_latency * factor)
        return site._replace(paths=replace(site.paths, coefficients=slower))

    def same_times(self, other: "_Course", key: TableKey) -> bool:
        """Whether a table of another course holds here too."""
        mine, theirs = self.plan, other.plan
        return (
            mine.problem.devices[key.device] is theirs.problem.devices[key.device]
            and mine.problem.serving is theirs.problem.serving
            and mine.classes is theirs.classes
            and mine.calibration is theirs.calibration
            and mine.problem.techniques is theirs.problem.techniques
            and (key.optical_bandwidth == 0 or self.scenario.light == other.scenario.light)
            and self.scenario.hops.get(key.topology, 1.0) == other.scenario.hops.get(key.topology, 1.0)
        )


def _decoding(settings: Serving, key: TableKey) -> phases.Decoding:
    """How decode of a table runs."""
    draft = float(key.draft_length)
    gained = float(serving.speculative_gain(np.asarray(draft), settings.acceptance))
    return phases.Decoding((), draft, gained / (1 + draft * settings.draft_cost), key.attention_elsewhere)


class _Tables(NamedTuple):
    """Tables of a class, in the order in which its points name them."""

    prefill: tuple[phases.PrefillTable, ...]
    decode: tuple[phases.DecodeTable, ...]


class _Scored(NamedTuple):
    """Points of one class at the stated numbers."""

    course: _Course
    tables: _Tables
    at: Setting
    columns: PointColumns

    @classmethod
    def stated(cls, course: _Course, own: _Points) -> "_Scored":
        """Score the points of a class at the stated numbers."""
        tables = course.tables(own)
        at = _setting(course, own, tables)
        return cls(course, tables, at, evaluated([at])[0])


def _plan(plan: Plan, scenario: Scenario) -> Plan:
    """Plan of a scenario; what the change leaves alone is shared."""
    problem, stated = scenario.problem, plan.problem
    if problem.agents is not stated.agents or problem.serving is not stated.serving:
        plan = Plan.of(problem)
    devices = [problem.devices[name] for name in plan.devices]
    fleet = supply.fleet(devices, problem.memories, problem.prices)
    calibration = scenario.calibration or plan.calibration
    return Plan(problem, plan.devices, fleet, plan.classes, plan.operation, calibration)


def _points(plan: Plan, designs: Designs, owner: IntArray, systems: Systems, agent: int) -> _Points:
    """Distinct points of one class: a point counts once, however many systems use it."""
    prefix = f"{plan.classes[agent].agent.name}."
    names = [name for name in systems.mapping if name.startswith(prefix)]
    table = np.column_stack([owner, *(systems.mapping[name] for name in names)])
    distinct, row = np.unique(table, axis=0, return_inverse=True)
    mapping = {name.removeprefix(prefix): distinct[:, 1 + place] for place, name in enumerate(names)}
    design = distinct[:, 0]
    tables = {pool: _named(plan, designs, design, mapping, agent, pool) for pool in POOLS}
    return _Points(agent, design, mapping, row.ravel(), tables)


def _named(
    plan: Plan, designs: Designs, design: IntArray, mapping: Mapping[str, IntArray], agent: int, pool: str
) -> _Named:
    """Tables of one pool and the mapping of each point in them."""
    option = mapping[f"{pool}.type"]
    pairs, which = np.unique(np.column_stack([design, option]), axis=0, return_inverse=True)
    own = [_key(plan, designs, agent, pool, int(row), int(kind)) for row, kind in pairs]
    keys = tuple(dict.fromkeys(own))
    place = np.asarray([keys.index(key) for key in own])[which.ravel()]
    degrees = np.column_stack([mapping[f"{pool}.{name}"] for name in (*DEGREES, SIZES[pool])])
    grids, row, start = [], np.zeros(design.size, dtype=np.int64), 0
    for number in range(len(keys)):
        mine = place == number
        distinct, index = np.unique(degrees[mine], axis=0, return_inverse=True)
        row[mine] = start + index.ravel()
        start += len(distinct)
        grids.append(Grid(*distinct.T.astype(np.int64)))
    return _Named(keys, tuple(grids), option, row)


def _key(plan: Plan, designs: Designs, agent: int, pool: str, row: int, option: int) -> TableKey:
    """Key of the table that one class uses on one device type of an architecture."""

    def choice(name: str) -> str | float | int:
        return plan.problem.choices(name)[int(designs[name][row]) if name in designs.names else 0]

    device = str(choice(f"{pool}.{('device', 'second_device')[option]}"))
    topology = str(choice(f"{pool}.topology"))
    lit = "optical" in plan.coefficients(device, topology).bandwidth
    return TableKey(
        agent,
        device,
        topology,
        float(choice("optical_bandwidth")) if lit else 0.0,
        str(choice("weight_dtype")),
        str(choice("kv_dtype")),
        int(choice("draft_length")),
        pool == "decode" and choice("serving") == "attention_offload",
        str(choice(SUMS)),
        str(choice(KERNEL)),
    )


def _setting(course: _Course, own: _Points, tables: _Tables) -> Setting:
    """Columns of every point of a class under one scenario."""
    prefill, decode = (own.tables[pool] for pool in POOLS)
    found = Candidates(
        Store(phases.stacked(tables.prefill), prefill.row[:, None], prefill.sizes),
        Store(phases.stacked(tables.decode), decode.row[:, None], decode.sizes),
        Rows(own.design, prefill.option, prefill.row),
        Rows(own.design, decode.option, decode.row),
        own.mapping["kv_home"],
    )
    return setting(course.plan, course.block, own.agent, found, np.arange(own.design.size))


def _changed(courses: Sequence[_Course], own: _Points, base: _Scored) -> list[PointColumns]:
    """Scores of the points of a class under every scenario; points that a scenario leaves alone keep theirs."""
    settings = [_setting(course, own, course.tables(own, base)) for course in courses]
    moved = [_moved(at, base.at) for at in settings]
    parts = [taken(at, rows) for at, rows in zip(settings, moved, strict=True)]
    found = evaluated(parts)
    made = []
    for rows, fresh in zip(moved, found, strict=True):
        columns = [values.copy() for values in base.columns]
        for values, new in zip(columns, fresh, strict=True):
            values[rows] = new
        made.append(PointColumns(*columns))
    return made


def _moved(at: Setting, base: Setting) -> IntArray:
    """Points whose columns differ from the stated ones; all of them where the class or its operation does."""
    size = at.home.size
    if at.shape is not base.shape or at.operation != base.operation:
        return np.arange(size)
    changed = np.zeros(size, dtype=bool)
    for new, old in zip(arrays(at), arrays(base), strict=True):
        changed |= (new != old) & ~(np.isnan(new) & np.isnan(old))
    return np.flatnonzero(changed)


def _metrics(
    course: _Course, points: Sequence[_Points], found: Sequence[PointColumns], owner: IntArray, rows: IntArray
) -> Metrics:
    """Metrics of all systems under one scenario."""
    classes = course.plan.classes
    parts = [
        ClassPoints(own.design, columns, dict(own.mapping), item.load.output)
        for own, columns, item in zip(points, found, classes, strict=True)
    ]
    made = assembled(course.plan, course.block, parts, owner, rows)
    return made.owned_by(np.arange(len(owner)))
