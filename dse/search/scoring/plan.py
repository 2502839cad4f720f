"""Everything an evaluation needs of a problem, looked up once: classes, fleet, networks, phase tables."""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from functools import lru_cache
from pathlib import Path
from typing import NamedTuple

import numpy as np

from dse.arrays import BoolArray, FloatArray, IntArray
from dse.facts.agents import Agent
from dse.facts.levers import FUSED
from dse.facts.problem import Problem
from dse.facts.serving import Serving
from dse.facts.topology.network import load_topology, native
from dse.facts.topology.reduce import Coefficients, reduce
from dse.facts.workload.atoms import BROKEN, FIRST
from dse.physics import demand, queueing, serving
from dse.physics.calibration import Calibration
from dse.physics.shape import Shape
from dse.physics.work import ledger
from dse.search.fidelity.constants import constants
from dse.search.scoring import mappings, passes, phases, supply, tables, techniques
from dse.search.scoring.loads import Load, Prompts
from dse.search.scoring.shelf import Shelf
from dse.search.scoring.sides import ClassShape, Operation

FIRST_COME = "fcfs"
"""Discipline that serves one prompt after the other."""

NATIVE = "native"
NONE = "none"
REACH = 64
"""Devices that instances on the native interconnect may span: several domains joined by network cards [devices]."""


class ClassPlan(NamedTuple):
    """One class of agents, ready for evaluation."""

    agent: Agent
    shape: ClassShape
    model: Shape
    load: Load


class TableKey(NamedTuple):
    """What a phase table depends on."""

    agent: int
    device: str
    topology: str
    optical_bandwidth: float
    weight_dtype: str
    kv_dtype: str
    draft_length: int
    attention_elsewhere: bool = False
    activation_compression: str = NONE
    attention_kernel: str = FUSED


Prefills = Shelf[TableKey, phases.PrefillTable]
Decodes = Shelf[TableKey, phases.DecodeTable]


@dataclass(frozen=True, eq=False)
class Plan:
    """A problem with its look-ups; tables are made when first used and kept."""

    problem: Problem
    devices: tuple[str, ...]
    fleet: supply.Fleet
    classes: tuple[ClassPlan, ...]
    operation: Operation
    calibration: Calibration
    _prefill: dict[int, Prefills] = field(default_factory=dict)
    _decode: dict[int, Decodes] = field(default_factory=dict)
    _asked: dict[tuple[str | int, ...], phases.Asked] = field(default_factory=dict)
    _alone: dict[tuple[str | int, ...], phases.Alone] = field(default_factory=dict)
    _networks: dict[tuple[str, str, float], passes.Network] = field(default_factory=dict)
    _wirings: dict[tuple[str | int, ...], passes.Network] = field(default_factory=dict)
    _sites: dict[tuple[str | int, ...], phases.Site] = field(default_factory=dict)
    _lit: dict[str, BoolArray] = field(default_factory=dict)
    _kv_tokens: dict[tuple[int, str], float] = field(default_factory=dict)

    @classmethod
    def of(cls, problem: Problem) -> "Plan":
        """Plan of a problem."""
        names = tuple(problem.devices)
        settings = problem.serving
        fitted = constants().calibration
        calibration = fitted._replace(
            overlap=max(fitted.overlap, settings.overlap),
            expert_skew=max(fitted.expert_skew, settings.expert_skew),
            overhead=fitted.overhead._replace(step=fitted.overhead.step + settings.step_overhead),
        )
        return cls(
            problem,
            names,
            supply.fleet([problem.devices[name] for name in names], problem.memories, problem.prices),
            tuple(_class_plan(agent, settings) for agent in problem.agents),
            Operation(
                settings.utilisation,
                settings.percentile,
                settings.affinity,
                settings.discipline == FIRST_COME,
                settings.arrival_scv,
            ),
            calibration,
        )

    def coefficients(self, device: str, topology: str) -> Coefficients:
        """Coefficients of a topology; the native one is the device's own."""
        if topology == NATIVE:
            return _native(*self._native(device))
        return _from_file(self.problem.topologies[topology])

    def _native(self, device: str) -> tuple[int, str]:
        """Devices of a domain and technology of a device's own interconnect."""
        wired = self.problem.devices[device].scale_up
        return (min(wired.domain or 1, REACH), wired.technology) if wired else (1, "none")

    def lit(self, phase: str) -> BoolArray:
        """(devices, topologies) whether the scale-up links of a pool are optical ports, looked up at the first call."""
        if phase not in self._lit:
            wirings = self.problem.levers[f"{phase}.topology"]
            self._lit[phase] = np.asarray(
                [
                    ["optical" in self.coefficients(device, str(wiring)).bandwidth for wiring in wirings]
                    for device in self.devices
                ]
            )
        return self._lit[phase]

    def network(self, device: str, topology: str, optical_bandwidth: float) -> passes.Network:
        """A device's links in a topology, looked up at the first call."""
        key = (device, topology, optical_bandwidth)
        if key not in self._networks:
            self._networks[key] = self._network(*key)
        return self._networks[key]

    def _network(self, device: str, topology: str, optical_bandwidth: float) -> passes.Network:
        part = self.problem.devices[device]
        rates = {
            "scale_up": (part.scale_up.bandwidth if part.scale_up else None) or 1.0,
            "scale_out": part.scale_out.bandwidth if part.scale_out else 1.0,
            "optical": max(optical_bandwidth, 1.0),
        }
        own = passes.network(self.coefficients(device, topology), rates)
        wiring = (topology, *self._native(device)) if topology == NATIVE else (topology,)
        return replace(self._wirings.setdefault(wiring, own), rates=own.rates)

    def kv_token(self, agent: int, kv_dtype: str) -> float:
        """KV of one token of a class's mean context, not sharded [B/tok]."""
        key = (agent, kv_dtype)
        if key not in self._kv_tokens:
            self._kv_tokens[key] = _kv_token(self.classes[agent], kv_dtype)
        return self._kv_tokens[key]

    def prefill(self, key: TableKey) -> phases.PrefillTable:
        """Prefill table, made at the first call."""
        shelf, (place,) = self.prefill_tables(key.agent, [key])
        return shelf.table(int(place))

    def decode(self, key: TableKey) -> phases.DecodeTable:
        """Decode table, made at the first call."""
        shelf, (place,) = self.decode_tables(key.agent, [key])
        return shelf.table(int(place))

    def prefill_tables(self, agent: int, keys: Sequence[TableKey]) -> tuple[Prefills, IntArray]:
        """All prefill tables of a class so far, and the places of these among them; missing ones are made together."""
        shelf = self._prefill.setdefault(agent, Prefills(phases.PrefillTable))
        missing = shelf.missing(keys)
        if missing:
            load, chunks = self.classes[agent].load, self.problem.serving.chunk_tokens

            def asked(site: phases.Site) -> phases.Asked:
                return phases.prefill_asked(site.shape, site.precision, self._widest(), load, chunks)

            orders = [self._order("prefill", key, asked) for key in missing]
            shelf.put(missing, tables.prefill_tables(load, orders))
        return shelf, shelf.places(keys)

    def decode_tables(self, agent: int, keys: Sequence[TableKey]) -> tuple[Decodes, IntArray]:
        """The same of decode."""
        shelf = self._decode.setdefault(agent, Decodes(phases.DecodeTable))
        missing = shelf.missing(keys)
        for draft, elsewhere in sorted({(key.draft_length, key.attention_elsewhere) for key in missing}):
            own = [key for key in missing if (key.draft_length, key.attention_elsewhere) == (draft, elsewhere)]
            load, how = self.classes[agent].load, self._decoding(draft, elsewhere)

            def asked(site: phases.Site, how: phases.Decoding = how) -> phases.Asked:
                return phases.decode_asked(site.shape, site.precision, self._widest(), self.classes[agent].load, how)

            shelf.put(own, tables.decode_tables(load, how, [self._order("decode", key, asked) for key in own]))
        return shelf, shelf.places(keys)

    def _decoding(self, draft_length: int, elsewhere: bool) -> phases.Decoding:
        """How decode runs with a draft of so many tokens."""
        settings, draft = self.problem.serving, float(draft_length)
        gained = float(serving.speculative_gain(np.asarray(draft), settings.acceptance))
        gain = gained / (1 + draft * settings.draft_cost)
        return phases.Decoding(tuple(mappings.powers_of_two(settings.max_batch)), draft, gain, elsewhere)

    def _order(self, phase: str, key: TableKey, asked: Callable[[phases.Site], phases.Asked]) -> tables.Order:
        """What a table is made from; passes of a device type but for their messages are shared by all topologies."""
        site = self.site(key)
        wanted = (phase, key.agent, key.weight_dtype, key.kv_dtype, key.draft_length, key.attention_kernel)
        if wanted not in self._asked:
            self._asked[wanted] = asked(site)
        held = (*wanted, key.device)
        if held not in self._alone:
            self._alone[held] = phases.alone(self._asked[wanted], site.supply, site.calibration)
        return tables.Order(site, self._asked[wanted], self._alone[held])

    def _widest(self) -> mappings.Reach:
        """Reach of which that of every interconnect is a part."""
        settings = self.problem.serving
        widest = settings.max_instance_devices
        return mappings.Reach(widest, widest, settings.tensor_parallel, settings.pipeline_parallel)

    def site(self, key: TableKey) -> phases.Site:
        """Device, model, formats and interconnect of a table."""
        known = (*key[:2], *key[4:6], *key[8:])
        if known not in self._sites:
            self._sites[known] = self._site(key)
        network = self.network(key.device, key.topology, key.optical_bandwidth)
        devices = min(network.devices, self.problem.serving.max_instance_devices)
        reach = self._widest()._replace(domain=network.domain, devices=devices)
        return self._sites[known]._replace(paths=network, reach=reach)

    def _site(self, key: TableKey) -> phases.Site:
        device, plan, settings = self.problem.devices[key.device], self.classes[key.agent], self.problem.serving
        assert device.memory is not None
        row = self.devices.index(key.device)
        scale = max(
            float(value) for side in ("prefill", "decode") for value in self.problem.levers[f"{side}.memory_scale"]
        )
        largest = max(
            float(self.fleet.capacity[row]), min(float(self.fleet.capacity_limit[row]), device.memory.capacity * scale)
        )
        weight, expert = passes.formats(plan.agent.model, key.weight_dtype)
        return phases.Site(
            plan.model,
            passes.precision(weight, expert, key.kv_dtype, techniques.score_width(self.problem, key.attention_kernel)),
            passes.supply(device, weight, expert, key.kv_dtype),
            self.network(key.device, key.topology, key.optical_bandwidth),
            largest * settings.memory_utilisation - settings.runtime_reserve - settings.activation_reserve,
            techniques.constants(self.problem, self.calibration, key.activation_compression, key.attention_kernel),
            self._widest(),
        )


def _class_plan(agent: Agent, settings: Serving) -> ClassPlan:
    work, level, load = agent.workload, settings.percentile / 100, settings.utilisation
    target = work.slo
    ttft = agent.slo.ttft or (target.ttft if target else math.nan)
    tpot = agent.slo.tpot or (target.tpot if target else math.nan)
    atoms, served = work.representative, work.served
    weights = atoms.weights(np.array([np.inf]))
    long_output = float(queueing.mixture_quantiles(atoms.output[None, :], weights, (level,))[0, 0])
    cold = np.isin(atoms.kind, (FIRST, BROKEN))
    share = weights[0] * cold
    shape = ClassShape(
        served,
        work.curves,
        atoms,
        work.steps,
        _step_quantiles(work.table.session),
        float(share @ atoms.fresh),
        float(share @ atoms.area),
        *_appended(weights[0] - share, atoms.fresh, served.fresh - float(share @ atoms.fresh)),
        ttft,
        tpot,
        ttft + max(long_output - 1, 0) * tpot,
    )
    context = served.output_context / served.output + served.output_squared / served.output / 2
    asked = Load(
        served.fresh,
        served.area,
        served.cached,
        served.output,
        context,
        work.longest.p99,
        load,
        0.0 if settings.discipline == FIRST_COME else load,
        Prompts(*(column[weights[0] > 0] for column in (atoms.fresh, atoms.area, weights[0], ~cold))),
        float((weights[0] * (atoms.kind == FIRST)) @ atoms.fresh) / served.fresh,
    )
    return ClassPlan(agent, shape, passes.model_shape(agent.model), asked)


def _appended(weight: FloatArray, fresh: FloatArray, tokens: float) -> tuple[float, float]:
    """Whole and all chunks of prompts that a decode instance prefills, such that they hold these tokens [1]."""
    known = float(weight @ fresh)
    scale = tokens / known if known > 0 else 0.0
    chunks = fresh / phases.APPEND_CHUNK
    return scale * float(weight @ np.floor(chunks)), scale * float(weight @ np.ceil(chunks))


def _step_quantiles(session: IntArray) -> tuple[float, float, float]:
    """Median, 95th and 99th percentile of the steps per session."""
    counts = np.unique(session, return_counts=True)[1]
    p50, p95, p99 = np.quantile(counts, (0.5, 0.95, 0.99))
    return float(p50), float(p95), float(p99)


def _kv_token(plan: ClassPlan, kv_dtype: str) -> float:
    widths = passes.precision(*passes.formats(plan.agent.model, "release"), kv_dtype)
    grid = mappings.Grid(*(np.ones(1, dtype=np.int64) for _ in mappings.Grid._fields))
    held = ledger(plan.model, widths, demand.Mapping())
    held = demand.Ledger(*(np.atleast_1d(column) for column in held))
    context: FloatArray = np.array([plan.shape.moments.context])
    return float(passes.kv_bytes_per_token(held, grid, context, plan.model.sliding_window)[0])


@lru_cache(maxsize=256)
def _native(domain: int, technology: str) -> Coefficients:
    return reduce(native(domain, technology, max(1, REACH // domain)))


@lru_cache(maxsize=256)
def _from_file(path: Path) -> Coefficients:
    return reduce(load_topology(path))
