"""Everything an evaluation needs of a problem, looked up once: classes, fleet, networks, phase phases."""

import math
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path
from typing import NamedTuple

import numpy as np

from dse.arrays import BoolArray, FloatArray, IntArray
from dse.facts.agents import Agent
from dse.facts.atoms import BROKEN, FIRST
from dse.facts.levers import FUSED
from dse.facts.problem import Problem
from dse.facts.serving import Serving
from dse.facts.topology.network import load_topology, native
from dse.facts.topology.reduce import Coefficients, reduce
from dse.physics import demand, queueing, serving
from dse.physics.calibration import Calibration
from dse.physics.shape import Shape
from dse.physics.work import ledger
from dse.search.fidelity.constants import constants
from dse.search.scoring import mappings, passes, phases, supply, techniques
from dse.search.scoring.loads import Load
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


@dataclass(frozen=True, eq=False)
class Plan:
    """A problem with its look-ups; tables are made when first used and kept."""

    problem: Problem
    devices: tuple[str, ...]
    fleet: supply.Fleet
    classes: tuple[ClassPlan, ...]
    operation: Operation
    calibration: Calibration
    _prefill: dict[TableKey, phases.PrefillTable] = field(default_factory=dict)
    _decode: dict[TableKey, phases.DecodeTable] = field(default_factory=dict)
    _asked: dict[tuple[str | int, ...], phases.Asked] = field(default_factory=dict)
    _alone: dict[tuple[str | int, ...], phases.Alone] = field(default_factory=dict)
    _networks: dict[tuple[str, str, float], passes.Network] = field(default_factory=dict)
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
            wired = self.problem.devices[device].scale_up
            domain, technology = (wired.domain or 1, wired.technology) if wired else (1, "none")
            return _native(min(domain, REACH), technology)
        return _from_file(self.problem.topologies[topology])

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
        return passes.network(self.coefficients(device, topology), rates)

    def kv_token(self, agent: int, kv_dtype: str) -> float:
        """KV of one token of a class's mean context, not sharded [B/tok]."""
        key = (agent, kv_dtype)
        if key not in self._kv_tokens:
            self._kv_tokens[key] = _kv_token(self.classes[agent], kv_dtype)
        return self._kv_tokens[key]

    def prefill(self, key: TableKey) -> phases.PrefillTable:
        """Prefill table, made at the first call."""
        if key not in self._prefill:
            load, chunks, site = self.classes[key.agent].load, self.problem.serving.chunk_tokens, self.site(key)

            def asked() -> phases.Asked:
                return phases.prefill_asked(site.shape, site.precision, self._widest(), load, chunks)

            self._prefill[key] = phases.prefill_table(site, load, chunks, self._timed("prefill", key, site, asked))
        return self._prefill[key]

    def decode(self, key: TableKey) -> phases.DecodeTable:
        """Decode table, made at the first call."""
        if key not in self._decode:
            settings, draft = self.problem.serving, float(key.draft_length)
            gain = float(serving.speculative_gain(np.asarray(draft), settings.acceptance)) / (
                1 + draft * settings.draft_cost
            )
            how = phases.Decoding(
                tuple(mappings.powers_of_two(settings.max_batch)), draft, gain, key.attention_elsewhere
            )
            load, site = self.classes[key.agent].load, self.site(key)

            def asked() -> phases.Asked:
                return phases.decode_asked(site.shape, site.precision, self._widest(), load, how)

            self._decode[key] = phases.decode_table(site, load, how, self._timed("decode", key, site, asked))
        return self._decode[key]

    def _timed(self, phase: str, key: TableKey, site: phases.Site, asked: Callable[[], phases.Asked]) -> phases.Alone:
        """Passes of a device type but for their messages, made at the first call: all topologies share them."""
        wanted = (phase, key.agent, key.weight_dtype, key.kv_dtype, key.draft_length, key.attention_kernel)
        if wanted not in self._asked:
            self._asked[wanted] = asked()
        held = (*wanted, key.device)
        if held not in self._alone:
            self._alone[held] = phases.alone(self._asked[wanted], site.supply, site.calibration)
        return self._alone[held]

    def _widest(self) -> mappings.Reach:
        """Reach of which that of every interconnect is a part."""
        settings = self.problem.serving
        widest = settings.max_instance_devices
        return mappings.Reach(widest, widest, settings.tensor_parallel, settings.pipeline_parallel)

    def site(self, key: TableKey) -> phases.Site:
        """Device, model, formats and interconnect of a table."""
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
        network = self.network(key.device, key.topology, key.optical_bandwidth)
        reach = mappings.Reach(
            network.domain,
            min(network.devices, settings.max_instance_devices),
            settings.tensor_parallel,
            settings.pipeline_parallel,
        )
        return phases.Site(
            plan.model,
            passes.precision(weight, expert, key.kv_dtype, techniques.score_width(self.problem, key.attention_kernel)),
            passes.supply(device, weight, expert, key.kv_dtype),
            network,
            largest * settings.memory_utilisation - settings.runtime_reserve - settings.activation_reserve,
            techniques.constants(self.problem, self.calibration, key.activation_compression, key.attention_kernel),
            reach,
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
        (atoms.fresh, weights[0]),
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
