"""The event loop: the next event, its handler, until the horizon or until an array is full."""

from dse.replay.arrive import arrive, begin, prefilled
from dse.replay.cache import TIERS
from dse.replay.compiled import compiled
from dse.replay.decode import boundary, join
from dse.replay.heap import pop, push
from dse.replay.layout import (
    ARRIVES,
    BOOKED,
    BOUNDARY,
    COUNT,
    END,
    EXTRA,
    JOINS,
    KIND,
    LINE_COUNT,
    N_EVENTS,
    N_FLIGHT,
    N_FREE,
    N_RECORDS,
    N_STARTED,
    NODE,
    P_BIN,
    P_HORIZON,
    PASS,
    PREFILLED,
    READY,
    ROW,
    S_ACTIVE,
    S_FLIGHT,
    S_HBM,
    S_QUEUE,
    SAMPLE,
    SEQUENCE,
    START,
    START_END,
    START_NODE,
    START_ROW,
    USED,
    VERSION,
    WHEN,
    WHO,
    World,
)
from dse.replay.prefill import begin_pass
from dse.replay.transfer import interval

DONE, RECORDS_FULL, EVENTS_FULL, SLOTS_FULL, MORE = range(5)
"""Why the loop has returned."""

SPARE = 64
"""Events that the handling of one may add beside those of the requests it ends [1]."""


@compiled
def run(w: World, budget: int) -> int:
    """Handle up to `budget` events."""
    batch = w.marks.shape[1]
    for _ in range(budget):
        if w.counters[N_RECORDS] + batch + SPARE > w.records.shape[0]:
            return RECORDS_FULL
        if w.counters[N_EVENTS] + 2 * batch + SPARE > w.events.shape[0]:
            return EVENTS_FULL
        started = w.counters[N_STARTED]
        opening = w.starts[started, START] if started < w.starts.shape[0] else float("inf")
        waiting = w.events[0, WHEN] if w.counters[N_EVENTS] > 0 else float("inf")
        now = min(opening, waiting)
        if now > w.parameters[P_HORIZON] or now == float("inf"):
            return DONE
        if opening <= waiting:
            if w.counters[N_FREE] == 0:
                return SLOTS_FULL
            w.counters[N_FREE] -= 1
            w.counters[N_STARTED] += 1
            slot = int(w.free[w.counters[N_FREE]])
            w.slots[slot, ROW] = w.starts[started, START_ROW]
            w.slots[slot, END] = w.starts[started, START_END]
            w.slots[slot, NODE] = w.starts[started, START_NODE]
            w.slots[slot, SEQUENCE] = started
            arrive(w, now, slot)
        else:
            kind, who, extra = int(w.events[0, KIND]), int(w.events[0, WHO]), w.events[0, EXTRA]
            pop(w.events, w.counters)
            handle(w, now, kind, who, extra)
    return MORE


@compiled
def handle(w: World, now: float, kind: int, who: int, extra: float) -> None:
    """Call the handler of an event."""
    if kind == BOUNDARY:
        if extra == w.places[who, VERSION]:
            boundary(w, now, who)
    elif kind == PASS:
        begin_pass(w, now, who)
    elif kind == ARRIVES:
        arrive(w, now, who)
    elif kind == READY:
        begin(w, now, who)
    elif kind == PREFILLED:
        prefilled(w, now, who)
    elif kind == JOINS:
        join(w, now, who)
    else:
        sample(w, now)


@compiled
def sample(w: World, now: float) -> None:
    """Write down how full everything is, and come back after an interval."""
    place = max(interval(w, now - w.parameters[P_BIN] / 2), 0)
    for tier in range(TIERS):
        w.series[place, S_HBM + tier] = w.domains[tier, :, USED].sum()
    w.series[place, S_ACTIVE] = w.places[:, BOOKED].sum()
    w.series[place, S_QUEUE] = w.ranks[:, COUNT].sum() + w.places[:, LINE_COUNT].sum()
    w.series[place, S_FLIGHT] = w.counters[N_FLIGHT]
    if w.counters[N_FLIGHT] > 0 or w.counters[N_EVENTS] > 0 or w.counters[N_STARTED] < w.starts.shape[0]:
        push(w.events, w.counters, now + w.parameters[P_BIN], SAMPLE, 0, 0.0)
