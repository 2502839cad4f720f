"""The beginning of a request: what it finds in cache, where it goes, what must be moved first."""

from dse.replay.cache import found_blocks, keep_blocks, put_first, refresh, shrink, tier_of
from dse.replay.compiled import compiled
from dse.replay.decode import enter_line, least_assigned
from dse.replay.finish import APPEND_HOME, DECODE_HOME, PREFILL_HOME, SHARED_HOME, record
from dse.replay.heap import push
from dse.replay.layout import (
    ARRIVAL,
    ASSIGNED,
    BACKLOG,
    BLOCK_END,
    BLOCK_START,
    CACHED,
    CAPACITY,
    COMPUTED,
    CONTEXT,
    FIRST_TOKEN,
    FOUND,
    FRESH,
    HELD,
    IN_POOL,
    JOINS,
    MISSED,
    N_DRAWS,
    N_FLIGHT,
    NEW,
    NODE,
    OPENING,
    OPENS,
    OUTPUT,
    P_AFFINITY,
    P_BLOCK,
    P_COLOCATED,
    P_HOME,
    P_NODES,
    P_ROOM,
    P_SHARED,
    P_SPILL,
    PLACE,
    PREEMPTED,
    RANK,
    READY,
    REJECTED,
    ROW,
    TIER,
    TO_DECODE,
    TO_PREFILL,
    World,
)
from dse.replay.prefill import enqueue, least_loaded
from dse.replay.transfer import at_home, restore, send_back, send_forth


@compiled
def arrive(w: World, now: float, slot: int) -> None:
    """A request arrives: look up its prefix, choose its instances, begin to move what is needed."""
    p, own = w.parameters, w.slots[slot]
    row = int(own[ROW])
    context = w.table[row, CACHED] + w.table[row, FRESH]
    w.counters[N_FLIGHT] += 1
    own[ARRIVAL], own[FIRST_TOKEN], own[PREEMPTED], own[HELD] = now, -1.0, 0.0, 0.0
    owner = _look_up(w, slot, row, context)
    own[NEW] = context - own[FOUND]
    own[COMPUTED], own[TO_PREFILL] = own[NEW], own[NEW]
    own[CONTEXT], own[TO_DECODE] = context, max(w.table[row, OUTPUT] - 1, 0.0)
    if context + w.table[row, OUTPUT] > p[P_ROOM] + p[P_SPILL]:
        own[FIRST_TOKEN], own[COMPUTED] = now, 0.0
        record(w, now, slot, REJECTED)
        return
    _route(w, slot, owner)
    ready = _fetched(w, now, slot)
    if ready > now:
        push(w.events, w.counters, ready, READY, slot, 0.0)
    else:
        begin(w, now, slot)


@compiled
def begin(w: World, now: float, slot: int) -> None:
    """Prefill a prompt whose prefix is in place."""
    if is_here(w, slot):
        enter_line(w, now, slot)
    else:
        enqueue(w, now, slot)


@compiled
def prefilled(w: World, now: float, slot: int) -> None:
    """Send the KV of a prefilled prompt to the decode instance."""
    own, p = w.slots[slot], w.parameters
    home = int(p[P_HOME])
    if home == SHARED_HOME:
        end = at_home(w, now, slot, own[NEW], True)
        end = at_home(w, end, slot, own[CONTEXT], False)
    elif home == PREFILL_HOME:
        end = send_forth(w, now, slot, own[CONTEXT])
    else:
        end = send_forth(w, now, slot, own[NEW])
    push(w.events, w.counters, end, JOINS, slot, 0.0)


@compiled
def is_here(w: World, slot: int) -> bool:
    """Whether a request is prefilled on the decode instance."""
    appends = int(w.parameters[P_HOME]) == APPEND_HOME and w.slots[slot, TIER] >= 0
    return bool(w.parameters[P_COLOCATED] > 0 or appends)


@compiled
def _look_up(w: World, slot: int, row: int, context: float) -> int:
    """Set the tokens found and their tier; returns the owner of the KV, -1 where nobody has it."""
    own, p = w.slots[slot], w.parameters
    node, opens = int(own[NODE]), w.table[row, OPENS] > 0
    if p[P_BLOCK] > 0:
        owner = _look_up_blocks(w, slot, row)
        own[FOUND] = min(own[FOUND], context - 1)
        return owner
    tier = MISSED if opens else tier_of(w, node)
    owner = w.links[tier, node, 2] if tier >= 0 else -1
    if tier >= 0 and p[P_AFFINITY] < 1 and _draw(w) > p[P_AFFINITY]:
        tier, owner = MISSED, -1
    wanted = context if opens else w.table[row, CACHED]
    own[FOUND] = min(w.table[row, CACHED] if tier >= 0 else min(p[P_SHARED], wanted), context - 1)
    own[TIER] = OPENING if opens else tier
    return int(owner)


@compiled
def _look_up_blocks(w: World, slot: int, row: int) -> int:
    """The same where the trace names the blocks of each prompt; they count as kept from now on."""
    own, p = w.slots[slot], w.parameters
    first, last = int(w.table[row, BLOCK_START]), int(w.table[row, BLOCK_END])
    node, blocks, size = int(own[NODE]), int(p[P_NODES]), p[P_BLOCK]
    owner = w.homes[node]
    if owner < 0:
        home = int(p[P_HOME])
        owner = 0 if home == SHARED_HOME else (least_loaded(w) if home == PREFILL_HOME else least_assigned(w))
        w.homes[node] = owner
    count, tier = found_blocks(w, first, last, owner, blocks)
    own[FOUND] = count * size
    opens = w.table[row, OPENS] > 0
    own[TIER] = OPENING if opens else (tier if own[FOUND] >= w.table[row, CACHED] else MISSED)
    keep_blocks(w, first, last, owner, blocks, size)
    return int(owner)


@compiled
def _draw(w: World) -> float:
    """Next number of a fixed sequence in [0, 1) (a linear congruence modulo 2^31)."""
    w.counters[N_DRAWS] = (w.counters[N_DRAWS] * 1103515245 + 12345) % 2147483648
    return float(w.counters[N_DRAWS] / 2147483648.0)


@compiled
def _route(w: World, slot: int, owner: int) -> None:
    """A request goes where its KV is, else to the least loaded instance."""
    own, home = w.slots[slot], int(w.parameters[P_HOME])
    on_decode = home in (DECODE_HOME, APPEND_HOME)
    place = owner if on_decode and owner >= 0 else least_assigned(w)
    own[PLACE] = place
    w.places[place, ASSIGNED] += 1
    if not is_here(w, slot):
        rank = owner if home == PREFILL_HOME and owner >= 0 else least_loaded(w)
        own[RANK] = rank
        w.ranks[rank, BACKLOG] += own[NEW]


@compiled
def _fetched(w: World, now: float, slot: int) -> float:
    """Time at which the found prefix is where the prompt is prefilled."""
    own, p = w.slots[slot], w.parameters
    tier, home, node = int(own[TIER]), int(p[P_HOME]), int(own[NODE])
    if tier < 0:
        return now
    if p[P_BLOCK] == 0:
        refresh(w, node)
        if tier > 0 and w.domains[0, w.links[tier, node, 2], CAPACITY] > 0:
            owner = w.links[tier, node, 2]
            put_first(w, 0, node, owner)
            shrink(w, 0, owner)
    ready = now
    if home == SHARED_HOME:
        return at_home(w, now, slot, own[FOUND], True)
    if tier > 0:
        ready = restore(w, now, slot, own[FOUND], tier == IN_POOL, home == PREFILL_HOME)
    if home == DECODE_HOME and p[P_COLOCATED] == 0:
        ready = send_back(w, ready, slot, own[FOUND])
    return ready
