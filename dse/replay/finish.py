"""The end of a request: its record, its KV between steps, the next step of its sequence."""

from dse.replay.cache import keep, shrink
from dse.replay.compiled import compiled
from dse.replay.heap import push
from dse.replay.layout import (
    ARRIVAL,
    ARRIVES,
    ASSIGNED,
    BOOKED,
    CACHED,
    CAPACITY,
    COMPUTED,
    END,
    FINISHED,
    FIRST_TOKEN,
    FOUND,
    FRESH,
    GAP,
    N_FLIGHT,
    N_FREE,
    N_RECORDS,
    NODE,
    OUTPUT,
    P_BLOCK,
    P_COLOCATED,
    P_HOME,
    P_ROOM,
    PLACE,
    PREEMPTED,
    R_ARRIVAL,
    R_COMPUTED,
    R_CONTEXT,
    R_END,
    R_FINISH,
    R_FIRST,
    R_FOUND,
    R_OUTPUT,
    R_PREEMPTED,
    R_ROW,
    R_SEQUENCE,
    R_TIER,
    RANK,
    ROW,
    SEQUENCE,
    T_HOST_WRITE,
    T_POOL_WRITE,
    TIER,
    World,
)
from dse.replay.transfer import at_home, send_back

DECODE_HOME, PREFILL_HOME, SHARED_HOME, APPEND_HOME = 0, 1, 2, 3
"""Where KV lives between steps, by its code."""


@compiled
def book(w: World, place: int, tokens: float) -> None:
    """Take memory of a decode instance for active KV, or give it back; idle KV on it gives way."""
    w.places[place, BOOKED] += tokens
    home = int(w.parameters[P_HOME])
    if home in (DECODE_HOME, APPEND_HOME):
        w.domains[0, place, CAPACITY] = max(w.parameters[P_ROOM] - w.places[place, BOOKED], 0.0)
        shrink(w, 0, place)


@compiled
def complete(w: World, now: float, slot: int) -> None:
    """Record a request, leave its KV at its home and send the next step of its sequence."""
    own = w.slots[slot]
    home, place = int(w.parameters[P_HOME]), int(own[PLACE])
    row, computed = int(own[ROW]), own[COMPUTED]
    output = w.table[row, OUTPUT]
    held = w.table[row, CACHED] + w.table[row, FRESH] + output
    owner = place
    if home == PREFILL_HOME and w.parameters[P_COLOCATED] == 0:
        owner = int(own[RANK])
        send_back(w, now, slot, output)
    if home == SHARED_HOME:
        owner = 0
        at_home(w, now, slot, output, False)
    if w.domains[1, owner, CAPACITY] > 0:
        w.totals[T_HOST_WRITE] += computed + output
    if w.domains[2, owner, CAPACITY] > 0:
        w.totals[T_POOL_WRITE] += computed + output
    if w.parameters[P_BLOCK] == 0:
        keep(w, int(own[NODE]), owner, held)
    w.places[place, ASSIGNED] -= 1
    record(w, now, slot, FINISHED)


@compiled
def record(w: World, now: float, slot: int, end: int) -> None:
    """Write a request down and send the next step of its sequence after its gap; the last one leaves its row free."""
    own, row = w.slots[slot], int(w.slots[slot, ROW])
    line = w.records[w.counters[N_RECORDS]]
    w.counters[N_RECORDS] += 1
    line[R_ROW], line[R_SEQUENCE], line[R_ARRIVAL] = row, own[SEQUENCE], own[ARRIVAL]
    line[R_FIRST], line[R_FINISH], line[R_OUTPUT] = own[FIRST_TOKEN], now, w.table[row, OUTPUT]
    line[R_TIER], line[R_FOUND], line[R_COMPUTED] = own[TIER], own[FOUND], own[COMPUTED]
    line[R_CONTEXT] = w.table[row, CACHED] + w.table[row, FRESH]
    line[R_PREEMPTED], line[R_END] = own[PREEMPTED], end
    w.counters[N_FLIGHT] -= 1
    if row + 1 < own[END]:
        own[ROW] = row + 1
        push(w.events, w.counters, now + w.table[row + 1, GAP], ARRIVES, slot, 0.0)
    else:
        w.free[w.counters[N_FREE]] = slot
        w.counters[N_FREE] += 1
