"""Run a replay: arrays for the event loop, slices of events, the records of what has ended."""

from collections.abc import Callable

import numpy as np

from dse.arrays import FloatArray
from dse.replay import layout
from dse.replay.cache import TIERS, preload
from dse.replay.finish import APPEND_HOME, DECODE_HOME
from dse.replay.heap import push
from dse.replay.layout import World
from dse.replay.loop import DONE, EVENTS_FULL, SLOTS_FULL, run
from dse.replay.outcome import Outcome
from dse.replay.system import WIDTH, System
from dse.replay.traffic import Traffic

SLICE = 200_000
"""Events between two looks at the keyboard."""

BUFFER = 1 << 15
"""Records kept in the loop before they are moved out."""

LIVE = 1 << 10
"""Rows for sequences that go on, to begin with; doubled when all are taken."""

INTERVALS = 200
"""Points of every curve over time."""

Progress = Callable[[float, float], None]
"""Called with the time that the replay has reached and its horizon [s]."""


def replay(
    system: System, traffic: Traffic, horizon: float = np.inf, seed: int = 0, progress: Progress | None = None
) -> Outcome:
    """Serve traffic with a system until all is done or a horizon [s] is reached; an interrupt ends it early."""
    span = horizon if np.isfinite(horizon) else _expected_end(traffic)
    world = _world(system, traffic, horizon, span, seed)
    records: list[FloatArray] = []
    interrupted, reason = False, -1
    try:
        while reason != DONE:
            reason = run(world, SLICE)
            count = int(world.counters[layout.N_RECORDS])
            records.append(world.records[:count].copy())
            world.counters[layout.N_RECORDS] = 0
            if reason == EVENTS_FULL:
                world = world._replace(events=np.concatenate([world.events, np.zeros_like(world.events)]))
            if reason == SLOTS_FULL:
                world = _with_more_slots(world)
            if progress is not None and world.counters[layout.N_EVENTS] > 0:
                progress(float(world.events[0, layout.WHEN]), span)
    except KeyboardInterrupt:
        interrupted = True
    ended = np.concatenate([*records, np.zeros((0, layout.RECORD))])
    return Outcome(
        system,
        traffic,
        ended,
        world.series,
        world.totals,
        min(span, horizon),
        int(world.counters[layout.N_FLIGHT]),
        interrupted,
    )


def _with_more_slots(world: World) -> World:
    """Twice the rows for sequences that go on; all rows before are taken."""
    size = len(world.slots)
    world.counters[layout.N_FREE] = size
    return world._replace(
        slots=np.concatenate([world.slots, np.zeros_like(world.slots)]),
        free=np.concatenate([np.arange(size, 2 * size), np.zeros(size, dtype=np.int64)]),
    )


def _expected_end(traffic: Traffic) -> float:
    """Time that the curves cover when no horizon is given: until the last sequence starts, and its gaps."""
    low, high = traffic.starts[:, layout.START_ROW].astype(int), traffic.starts[:, layout.START_END].astype(int)
    gaps = np.concatenate([[0.0], np.cumsum(traffic.table[:, layout.GAP])])
    ends = traffic.starts[:, layout.START] + gaps[high] - gaps[low + 1]
    return float(ends.max()) + 1.0


def _world(system: System, traffic: Traffic, horizon: float, span: float, seed: int) -> World:
    keeping, decode = system.keeping, system.decode
    blocks = traffic.blocks
    block_count = int(blocks.ids.max()) + 1 if blocks is not None else 0
    nodes = keeping.owners * block_count if blocks is not None else traffic.nodes
    domains = np.zeros((TIERS, keeping.owners, layout.DOMAINS))
    domains[:, :, (layout.FRONT, layout.BACK)] = -1
    domains[:, :, layout.CAPACITY] = keeping.tiers[:, None]
    if keeping.home in (DECODE_HOME, APPEND_HOME) or system.colocated:
        domains[0, :, layout.CAPACITY] = decode.room
    links = np.full((TIERS, nodes, 3), -1, dtype=np.int64)
    world = World(
        _parameters(system, traffic, horizon, span, block_count),
        np.ascontiguousarray(traffic.table),
        blocks.ids if blocks is not None else np.zeros(0, dtype=np.int64),
        np.ascontiguousarray(traffic.starts),
        np.zeros((LIVE, layout.SLOTS)),
        np.arange(LIVE),
        np.zeros((system.prefill.ranks, layout.RANKS)),
        np.zeros((decode.instances, layout.PLACES)),
        np.zeros((decode.instances, decode.slots)),
        np.zeros((decode.instances, decode.slots), dtype=np.int64),
        np.zeros((layout.PORTS, max(system.prefill.ranks, decode.instances * decode.ports))),
        domains,
        links,
        np.zeros(nodes),
        np.full(traffic.nodes, -1, dtype=np.int64),
        system.times.decode,
        system.times.contexts,
        system.times.prefill,
        system.times.tokens,
        system.times.line,
        system.times.line_tokens,
        system.times.prefixes,
        np.zeros((4096 + 4 * decode.slots, layout.EVENTS)),
        np.zeros((BUFFER + 2 * decode.slots, layout.RECORD)),
        np.zeros((INTERVALS, layout.SERIES)),
        np.zeros(layout.TOTALS),
        np.zeros(layout.COUNTERS, dtype=np.int64),
    )
    random = np.random.default_rng(seed)
    world.counters[layout.N_FREE] = LIVE
    world.counters[layout.N_DRAWS] = int(random.integers(1, 2**31))
    left = traffic.left
    if left.nodes.size:
        preload(world, left.nodes, random.integers(0, keeping.owners, left.nodes.size), left.sizes)
    push(world.events, world.counters, float(world.parameters[layout.P_BIN]), layout.SAMPLE, 0, 0.0)
    world.totals[:] = 0.0
    return world


def _parameters(system: System, traffic: Traffic, horizon: float, span: float, blocks: int) -> FloatArray:
    values = np.zeros(layout.PARAMETERS)
    prefill, decode, keeping, links = system.prefill, system.decode, system.keeping, system.links
    named = {
        layout.P_COLOCATED: system.colocated,
        layout.P_HOME: keeping.home,
        layout.P_FIRST_COME: system.first_come,
        layout.P_STAGES: prefill.stages,
        layout.P_CHUNK: prefill.chunk,
        layout.P_LINE_CHUNK: decode.chunk,
        layout.P_LINE_RANKS: decode.ranks,
        layout.P_BATCH: decode.slots,
        layout.P_ROOM: decode.room,
        layout.P_SPILL: decode.spill,
        layout.P_KV: links.kv_token,
        layout.P_LINK: links.decode,
        layout.P_LINK_PREFILL: links.prefill,
        layout.P_RESTORE_HOST: links.host if keeping.tiers[1] > 0 else 0.0,
        layout.P_RESTORE_POOL: links.pool if keeping.tiers[2] > 0 else 0.0,
        layout.P_SHARED_LINK: links.shared,
        layout.P_POOL_PREFILL: links.shared_ports[0],
        layout.P_POOL_DECODE: links.shared_ports[1],
        layout.P_AFFINITY: keeping.affinity,
        layout.P_SHARED: keeping.shared_prefix,
        layout.P_HORIZON: horizon,
        layout.P_BIN: span / INTERVALS,
        layout.P_BLOCK: traffic.blocks.size if traffic.blocks is not None else 0.0,
        layout.P_PORTS: decode.ports,
        layout.P_SHARED_PORT: links.joined,
        layout.P_WIDTH: WIDTH,
        layout.P_NODES: blocks,
    }
    for index, value in named.items():
        values[index] = float(value)
    return values
