"""KV on its way: ports that serve one transfer after the other, and what each interval of time has seen."""

from dse.replay.compiled import compiled
from dse.replay.layout import (
    DECODE_IN,
    DECODE_OUT,
    FROM_DECODE,
    LOWER_READ,
    P_BIN,
    P_KV,
    P_LINK,
    P_LINK_PREFILL,
    P_POOL_DECODE,
    P_POOL_PREFILL,
    P_PORTS,
    P_RESTORE_HOST,
    P_RESTORE_POOL,
    P_SHARED_LINK,
    P_SHARED_PORT,
    PLACE,
    POOL_DECODE,
    POOL_PREFILL,
    RANK,
    S_BACK,
    S_FORTH,
    S_RESTORED,
    SEQUENCE,
    T_BACK,
    T_FORTH,
    T_HOST_READ,
    T_POOL_READ,
    TO_DECODE_OUT,
    World,
)


@compiled
def interval(w: World, when: float) -> int:
    """Row of `series` of a time."""
    return int(min(when / w.parameters[P_BIN], w.series.shape[0] - 1))


@compiled
def spread(w: World, column: int, since: float, until: float, rate: float) -> None:
    """Add a rate that held for a while to the intervals it fell into."""
    width, first, last = w.parameters[P_BIN], interval(w, since), interval(w, until)
    for place in range(first, last + 1):
        low = since if place == first else place * width
        high = until if place == last else (place + 1) * width
        w.series[place, column] += rate * (high - low)


@compiled
def _between(w: World, now: float, source: tuple[int, int], target: tuple[int, int], tokens: float) -> float:
    """End of a transfer between the pools: it passes both ports at once, each serves what it has in order."""
    size, end = tokens * w.parameters[P_KV], now
    for kind, index in (source, target):
        on_prefill = kind in (TO_DECODE_OUT, FROM_DECODE)
        rate = w.parameters[P_LINK_PREFILL if on_prefill else P_LINK]
        w.ports[kind, index] = max(now, w.ports[kind, index]) + size / rate
        end = max(end, w.ports[kind, index])
    return end


@compiled
def _through(w: World, now: float, kind: int, index: int, tokens: float, rate: float) -> float:
    """End of a transfer that needs one port."""
    w.ports[kind, index] = max(now, w.ports[kind, index]) + tokens * w.parameters[P_KV] / rate
    return float(w.ports[kind, index])


@compiled
def decode_port(w: World, slot: int) -> int:
    """Port of the decode instance that a slot's request uses."""
    ports = int(w.parameters[P_PORTS])
    return int(w.slots[slot, PLACE]) * ports + int(w.slots[slot, SEQUENCE]) % ports


@compiled
def send_forth(w: World, now: float, slot: int, tokens: float) -> float:
    """Move KV from the prefill rank to the decode instance; returns the end [s]."""
    w.totals[T_FORTH] += tokens
    w.series[interval(w, now), S_FORTH] += tokens
    source, target = (TO_DECODE_OUT, int(w.slots[slot, RANK])), (DECODE_IN, decode_port(w, slot))
    return _between(w, now, source, target, tokens)


@compiled
def send_back(w: World, now: float, slot: int, tokens: float) -> float:
    """Move KV from the decode instance to the prefill rank; returns the end [s]."""
    w.totals[T_BACK] += tokens
    w.series[interval(w, now), S_BACK] += tokens
    source, target = (DECODE_OUT, decode_port(w, slot)), (FROM_DECODE, int(w.slots[slot, RANK]))
    return _between(w, now, source, target, tokens)


@compiled
def at_home(w: World, now: float, slot: int, tokens: float, on_prefill: bool) -> float:
    """Move KV between a side and the pool that is its home; returns the end, by the slower of port and request [s]."""
    port = w.parameters[P_POOL_PREFILL if on_prefill else P_POOL_DECODE]
    free = over_pool(w, now, slot, tokens, on_prefill, port)
    return float(free + tokens * w.parameters[P_KV] * max(1 / w.parameters[P_SHARED_LINK] - 1 / port, 0.0))


@compiled
def over_pool(w: World, now: float, slot: int, tokens: float, on_prefill: bool, rate: float) -> float:
    """Move KV over a port to or from the pool; returns the end [s]."""
    w.totals[T_POOL_READ] += tokens
    joined = w.parameters[P_SHARED_PORT] > 0
    if on_prefill:
        kind, index = (FROM_DECODE if joined else POOL_PREFILL), int(w.slots[slot, RANK])
    else:
        kind, index = (DECODE_IN if joined else POOL_DECODE), decode_port(w, slot)
    return _through(w, now, kind, index, tokens, rate)


@compiled
def restore(w: World, now: float, slot: int, tokens: float, from_pool: bool, on_prefill: bool) -> float:
    """Read KV back from the tier below HBM; returns the end [s]."""
    w.series[interval(w, now), S_RESTORED] += tokens
    if from_pool:
        return over_pool(w, now, slot, tokens, on_prefill, w.parameters[P_RESTORE_POOL])
    w.totals[T_HOST_READ] += tokens
    index = int(w.slots[slot, RANK]) if on_prefill else decode_port(w, slot)
    return _through(w, now, LOWER_READ, index, tokens, w.parameters[P_RESTORE_HOST])
