"""From a design of a front to a system: the same columns, tables and equations that scored it."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np

from dse.arrays import FloatArray
from dse.physics import demand, serving
from dse.physics.calibration import pick
from dse.physics.gated import RANKS
from dse.replay import grids
from dse.replay.grids import Mapped
from dse.replay.system import Decode, Keeping, Links, Prefill, System, Times
from dse.search.scoring import phases
from dse.search.scoring.block import Block
from dse.search.scoring.offload import HOP_LATENCY, attention_rate
from dse.search.scoring.passes import WIDTH
from dse.search.scoring.phases import APPEND_CHUNK
from dse.search.scoring.plan import Plan, TableKey
from dse.search.scoring.points import PointColumns
from dse.search.scoring.sides import HOME, Setting

DEGREES = ("tp", "pp", "attention_dp", "moe_tp", "ep", "cp")
"""Degrees of parallelism of a mapping."""

MOST = 1024
"""Decode instances tried [1]."""

LEAST = int(RANKS)
"""Prefill instances of a system that is sized without a rate: numbers of instances are fluid in the closed form [1]."""

ROUNDING = 0.03
"""Loss by whole instances of the other pool that is small enough [1]."""

CODES = {code: name for name, code in HOME.items()}


@dataclass(frozen=True, eq=False)
class Served:
    """One class of agents on a design with one mapping, as the evaluation scored it."""

    plan: Plan
    block: Block
    """The design alone."""
    agent: int
    at: Setting
    """One row."""
    columns: PointColumns
    """Its score, one row."""
    mapping: Mapping[str, int]
    prefill: TableKey
    decode: TableKey

    @property
    def home(self) -> str:
        """Where the KV lives."""
        return CODES[int(self.at.home[0])]

    @property
    def colocated(self) -> bool:
        """Whether one pool serves both phases."""
        return bool(self.at.colocated[0])

    @property
    def kv_token(self) -> float:
        """KV of one token as the devices attend to it, not sharded [B/tok]."""
        return self.plan.kv_token(self.agent, self.decode.kv_dtype)

    def mapped(self, pool: str) -> Mapped:
        """Site and degrees of one pool."""
        key = self.prefill if pool == "prefill" else self.decode
        return Mapped(self.plan.site(key), {name: int(self.mapping[f"{pool}.{name}"]) for name in DEGREES})


@dataclass(frozen=True)
class Size:
    """Whole instances of both pools, and the rate that the closed form gives them."""

    prefill: int
    """0 where the decode pool prefills too [1]."""
    decode: int
    steps_per_s: float
    """Model calls at the utilisation of the study [1/s]."""


def size(served: Served, steps_per_s: float | None = None) -> Size:
    """Instances for a rate of model calls; without one the fewest of a pool that agree within a few percent."""
    columns = served.columns
    decode: float = served.mapped("decode").devices / float(columns.decode_seconds[0])
    needs = float(columns.prefill_seconds[0])
    prefill = served.mapped("prefill").devices / needs if needs > 0 else np.inf
    if steps_per_s is not None:
        wanted = int(np.ceil(steps_per_s / prefill - 1e-9)) if needs > 0 else 0
        own = Size(wanted, int(np.ceil(steps_per_s / decode - 1e-9)), steps_per_s)
        return own
    if needs <= 0:
        return Size(0, 1, decode)
    first = np.arange(1, MOST + 1)
    second = np.maximum(np.rint(first * decode / prefill), 1)
    rates = np.minimum(first * decode, second * prefill)
    waste = 1 - rates / np.maximum(first * decode, second * prefill)
    waste[second < LEAST] += 1.0
    fine = np.flatnonzero(waste <= ROUNDING)
    best = fine[0] if fine.size else np.argmin(waste)
    return Size(int(second[best]), int(first[best]), float(rates[best]))


def rated(served: Served, whole: Size) -> float:
    """Model calls per second that these instances serve at the utilisation of the study, by the closed form [1/s]."""
    columns = served.columns
    decode = whole.decode * served.mapped("decode").devices / float(columns.decode_seconds[0])
    needs = float(columns.prefill_seconds[0])
    return min(decode, whole.prefill * served.mapped("prefill").devices / needs) if needs > 0 else decode


def system(served: Served, whole: Size, longest: float) -> System:
    """System of a design with whole instances, for prompts up to a longest context [tok]."""
    at, decode = served.at, served.mapped("decode")
    rank_devices = float(at.decode.rank_devices[0])
    slots = int(at.decode.batch[0])
    nodes = grids.contexts(longest)
    line_tokens, line = grids.prefill_times(decode, APPEND_CHUNK, nodes)
    tokens, passes = np.ones(1), np.zeros((1, nodes.size))
    prefill = Prefill(1)
    if not served.colocated:
        own = served.mapped("prefill")
        chunk = float(served.mapping["prefill.chunk"])
        tokens, passes = grids.prefill_times(own, chunk, nodes)
        ranks = own.degrees["attention_dp"]
        prefill = Prefill(whole.prefill * ranks, own.degrees["pp"], chunk, own.devices / ranks)
    steps = grids.step_times(decode_step_of(served), slots, nodes)
    times = Times(steps, nodes, passes, tokens, line / decode.degrees["pp"], line_tokens, nodes)
    room = float(at.decode.room[0]) * decode.devices / float(at.decode.kv_bytes[0] * rank_devices)
    reachable = float(at.pool.capacity[0]) * decode.devices / served.kv_token
    return System(
        times,
        prefill,
        Decode(
            whole.decode,
            slots,
            max(room, 0.0),
            reachable if served.home != "prefill" else 0.0,
            max(round(decode.devices / rank_devices), 1),
            APPEND_CHUNK,
            decode.degrees["attention_dp"],
            float(decode.devices),
        ),
        _keeping(served, whole, prefill.ranks),
        _links(served),
        served.colocated,
        served.plan.operation.first_come,
    )


def _keeping(served: Served, whole: Size, ranks: int) -> Keeping:
    """Tiers of the KV's owner, in tokens."""
    at, home = served.at, served.home
    shared = served.plan.classes[served.agent].agent.workload.shared_prefix
    kv, pool = float(at.kv_token[0]), float(at.pool.capacity[0])
    affinity = served.plan.operation.affinity
    if home == "shared" and not served.colocated:
        pooled = whole.decode * served.mapped("decode").devices
        return Keeping(HOME[home], 1, np.array([0.0, 0.0, pool * pooled / kv]), shared, affinity)
    if home == "prefill" and not served.colocated:
        rank = float(at.prefill.rank_devices[0])
        near = float(at.prefill.room[0] - at.prefill.tail_bytes[0]) / float(at.prefill.kv_bytes[0])
        tiers = np.array([max(near, 0.0), float(at.prefill.host_bytes[0]) * rank / kv, pool * rank / kv])
        return Keeping(HOME[home], ranks, tiers, shared, affinity)
    devices = served.mapped("decode").devices
    tiers = np.array([0.0, float(at.decode.host_bytes[0]) * devices / kv, pool * devices / kv])
    return Keeping(HOME[home], whole.decode, tiers, shared, affinity)


def _links(served: Served) -> Links:
    """Rates of one request's transfers, as the waiting times of the evaluation have them."""
    at = served.at
    prefill, decode = float(at.prefill.rank_devices[0]), float(at.decode.rank_devices[0])
    on_prefill = served.home == "prefill" and not served.colocated
    devices = prefill if on_prefill else decode
    owner = at.prefill if on_prefill else at.decode
    host, pool, first, second = (
        float(serving.coded_bandwidth(rate, at.codec)[0])
        for rate in (owner.host_bandwidth, at.pool.bandwidth, at.prefill.bandwidth, at.decode.bandwidth)
    )
    host, has_host = host * devices, float(owner.host_bytes[0]) > 0
    return Links(
        float(at.kv_token[0]),
        first * prefill,
        second * decode,
        host if has_host else 0.0,
        pool * devices,
        max(pool, 1.0) * min(prefill, decode),
        (max(pool, 1.0) * prefill, max(pool, 1.0) * decode),
        bool(at.pool.shares_port[0]),
    )


def decode_step_of(served: Served) -> Callable[[FloatArray, FloatArray], FloatArray]:
    """Decode step of an instance: on one device type, with attention on a second, with KV spilled to the pool."""
    settings, draft = served.plan.problem.serving, float(served.decode.draft_length)
    gain = float(serving.speculative_gain(np.asarray(draft), settings.acceptance)) / (1 + draft * settings.draft_cost)
    moved = bool(served.block.offloaded[0])
    step = _offloaded(served, draft, gain) if moved else grids.decode_step(served.mapped("decode"), draft, gain)
    at = served.at
    share = float(at.decode.rank_requests[0] / at.decode.batch[0] * at.decode.kv_bytes[0])

    def spilled(requests: FloatArray, context: FloatArray) -> FloatArray:
        beyond = np.maximum(requests * context * share - float(at.decode.room[0]), 0.0)
        reachable = float(at.pool.capacity[0]) > 0 and float(at.decode.room[0]) >= 0
        over = beyond / max(float(at.pool.bandwidth[0]), 1.0) if reachable else np.zeros_like(beyond)
        return np.maximum(step(requests, context), over)

    return spilled


def _offloaded(served: Served, draft: float, gain: float) -> Callable[[FloatArray, FloatArray], FloatArray]:
    """The alternation of batches between both device types, at any batch and context (see `scoring.offload`)."""
    plan, at, block = served.plan, served.at, served.block
    mapped, model = served.mapped("decode"), plan.classes[served.agent].model
    second = block.decode.device[:1, 1]
    width = np.asarray([WIDTH[served.decode.kv_dtype]])
    usable = float(block.decode.usable[0, 1])
    count = max(round(float(at.decode.room[0]) * mapped.devices / usable), 1)
    rate = float(attention_rate(plan, served.agent, second, width)[0])
    floor = float(model.n_layers * np.asarray(pick(width, plan.calibration.attention, "floor"))[0])
    link = min(float(at.decode.bandwidth[0]) * mapped.devices, float(block.decode.bandwidth[0, 1]) * count)
    group, layers = np.asarray(model.n_heads / max(model.n_kv_heads, 1)), np.asarray(float(model.n_layers))
    hidden, latency = np.asarray(2.0 * model.hidden), plan.calibration.network.alpha + HOP_LATENCY
    batches = plan.problem.serving.offload_batches

    def step(requests: FloatArray, context: FloatArray) -> FloatArray:
        batch, tokens = np.maximum(requests / batches, 1 / batches), 1.0 + draft
        load = demand.Load(batch / mapped.degrees["pp"], tokens, context, tokens)
        time = phases.timed(mapped.site, mapped.grid(batch.size), load)
        core = time.group_seconds[demand.GROUPS.index("attention_core")]
        rest = (time.seconds - core) / gain
        attention = batch * context * served.kv_token / (rate * count) + floor
        sent = serving.offload_bandwidth(group, hidden, batch, layers, np.ones(batch.size)) / link
        return serving.alternation_time(batches, rest, attention, sent, 2 * layers * latency)

    return step
