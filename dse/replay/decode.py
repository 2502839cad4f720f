"""Decode instances: continuous batching, advanced from one change of the batch to the next."""

from dse.replay.cache import take_out
from dse.replay.clock import chunk_time, step_time, steps_time, steps_within
from dse.replay.compiled import compiled
from dse.replay.finish import APPEND_HOME, DECODE_HOME, book, complete
from dse.replay.heap import add_mark, push, remove_mark
from dse.replay.layout import (
    ACTIVE,
    ADMITTED,
    ALLOTTED,
    ALPHA,
    ASSIGNED,
    BACKLOG,
    BASE,
    BETA,
    BOOKED,
    BOUNDARY,
    COMPUTED,
    CONTEXT,
    DECODING,
    FIRST_TOKEN,
    FOUND,
    HELD,
    IDLE,
    JOINS,
    LINE_COUNT,
    LINE_HEAD,
    MIXED,
    MODE,
    N_PLACE,
    NEW,
    NEXT,
    NODE,
    P_BATCH,
    P_BLOCK,
    P_COLOCATED,
    P_FIRST_COME,
    P_HOME,
    P_LINE_CHUNK,
    P_LINE_RANKS,
    P_RESTORE_HOST,
    P_RESTORE_POOL,
    P_ROOM,
    P_SPILL,
    P_WIDTH,
    PLACE,
    PLAN,
    PREEMPTED,
    RANK,
    S_DECODE,
    S_SLOTS,
    SHARING,
    SINCE,
    SUM,
    T_PASSES,
    T_PREEMPTED,
    T_STEPS,
    TO_DECODE,
    TO_PREFILL,
    TOKENS,
    VERSION,
    WAIT_COUNT,
    WAIT_HEAD,
    World,
)
from dse.replay.prefill import LEFT_OVER, enqueue, least_loaded
from dse.replay.queues import allot, append, composed, drop_next
from dse.replay.transfer import restore, spread


@compiled
def least_assigned(w: World) -> int:
    """Decode instance with the fewest requests on it or on their way to it; of equal ones the next in turn."""
    size = w.places.shape[0]
    best = w.counters[N_PLACE] % size
    for offset in range(1, size):
        place = (w.counters[N_PLACE] + offset) % size
        if w.places[place, ASSIGNED] < w.places[best, ASSIGNED]:
            best = place
    w.counters[N_PLACE] = best + 1
    return int(best)


@compiled
def join(w: World, now: float, slot: int) -> None:
    """Give a request whose prompt is ready to its instance; it decodes from the next step on if a slot is free."""
    place = int(w.slots[slot, PLACE])
    append(w, w.places[place], WAIT_HEAD, slot)
    _wake(w, now, place)


@compiled
def enter_line(w: World, now: float, slot: int) -> None:
    """Let a prompt be prefilled on the decode instance, a chunk between two decode steps."""
    place = int(w.slots[slot, PLACE])
    append(w, w.places[place], LINE_HEAD, slot)
    _wake(w, now, place)


@compiled
def _wake(w: World, now: float, place: int) -> None:
    """Start an idle instance; end a run of decode steps with the step in progress."""
    row = w.places[place]
    if row[MODE] == IDLE:
        boundary(w, now, place)
    elif row[MODE] == DECODING and (row[ACTIVE] < w.parameters[P_BATCH] or row[LINE_COUNT] > 0):
        steps = steps_within(row[ALPHA], row[BETA], now - row[SINCE])
        if steps < row[PLAN]:
            row[PLAN] = steps
            row[VERSION] += 1
            end = max(row[SINCE] + steps_time(row[ALPHA], row[BETA], steps), now)
            push(w.events, w.counters, end, BOUNDARY, place, row[VERSION])


@compiled
def boundary(w: World, now: float, place: int) -> None:
    """End the running steps of an instance, change its batch, start the next."""
    row = w.places[place]
    if row[MODE] != IDLE:
        steps = row[PLAN]
        spread(w, S_DECODE, row[SINCE], now, 1.0)
        spread(w, S_SLOTS, row[SINCE], now, row[ACTIVE])
        row[TOKENS] += steps
        row[SUM] += row[ACTIVE] * steps
        book(w, place, row[ACTIVE] * steps)
        w.totals[T_STEPS] += steps
    if row[MODE] == MIXED:
        _end_chunk(w, place)
    while row[ACTIVE] > 0 and w.marks[place, 0] <= row[TOKENS]:
        slot = w.holders[place, 0]
        _release(w, place, slot, 0)
        complete(w, now, slot)
    while row[ACTIVE] > 1 and row[BOOKED] > w.parameters[P_ROOM] + w.parameters[P_SPILL]:
        _preempt(w, now, place)
    _admit(w, now, place)
    _start(w, now, place)


@compiled
def _release(w: World, place: int, slot: int, index: int) -> None:
    """Take a request out of the batch."""
    row = w.places[place]
    progress = row[TOKENS] - w.slots[slot, BASE]
    remove_mark(w.marks[place], w.holders[place], int(row[ACTIVE]), index)
    row[ACTIVE] -= 1
    w.slots[slot, TO_DECODE] -= progress
    w.slots[slot, CONTEXT] += progress
    row[SUM] -= w.slots[slot, CONTEXT]
    book(w, place, -(w.slots[slot, HELD] + progress))
    w.slots[slot, HELD] = 0.0


@compiled
def _admit(w: World, now: float, place: int) -> None:
    """Fill free slots with requests that wait, as far as memory reaches; a lone request always gets in."""
    row = w.places[place]
    most = w.parameters[P_ROOM] + w.parameters[P_SPILL]
    while row[WAIT_COUNT] > 0 and row[ACTIVE] < w.parameters[P_BATCH]:
        slot = int(row[WAIT_HEAD])
        own = w.slots[slot]
        need = own[CONTEXT] - own[HELD]
        if row[ACTIVE] > 0 and row[BOOKED] + need > most:
            return
        drop_next(w, row, WAIT_HEAD, -1)
        if own[FIRST_TOKEN] < 0:
            own[FIRST_TOKEN] = now
        if w.parameters[P_BLOCK] == 0 and int(w.parameters[P_HOME]) in (DECODE_HOME, APPEND_HOME):
            take_out(w, 0, int(own[NODE]))
        book(w, place, need)
        own[HELD] = own[CONTEXT]
        if own[TO_DECODE] <= 0:
            book(w, place, -own[HELD])
            complete(w, now, slot)
            continue
        own[ADMITTED], own[BASE] = now, row[TOKENS]
        add_mark(w.marks[place], w.holders[place], int(row[ACTIVE]), row[TOKENS] + own[TO_DECODE], slot)
        row[ACTIVE] += 1
        row[SUM] += own[CONTEXT]


@compiled
def _start(w: World, now: float, place: int) -> None:
    """Plan decode steps up to the first that ends a request, or one chunk of the prompts in line and one step."""
    row = w.places[place]
    row[SINCE] = now
    row[VERSION] += 1
    active = int(row[ACTIVE])
    seconds, row[PLAN], row[MODE] = 0.0, 0.0, IDLE
    if active > 0:
        steps = w.marks[place, 0] - row[TOKENS]
        context = row[SUM] / active
        row[ALPHA] = step_time(w, active, context)
        row[BETA] = 0.0
        row[PLAN], row[MODE] = steps, DECODING
        if row[LINE_COUNT] > 0:
            row[PLAN] = 1.0
        elif steps > 1:
            row[BETA] = (step_time(w, active, context + steps - 1) - row[ALPHA]) / (steps - 1)
        seconds = steps_time(row[ALPHA], row[BETA], row[PLAN])
    if row[LINE_COUNT] > 0:
        row[MODE] = MIXED
        seconds += _begin_chunk(w, place)
    if row[MODE] != IDLE:
        push(w.events, w.counters, now + seconds, BOUNDARY, place, row[VERSION])


@compiled
def _begin_chunk(w: World, place: int) -> float:
    """Share one chunk per rank among the prompts in line; returns its time, that of the rank with the most [s]."""
    row = w.places[place]
    count = int(min(row[LINE_COUNT], w.parameters[P_WIDTH]))
    chunk, ranks, head = w.parameters[P_LINE_CHUNK], w.parameters[P_LINE_RANKS], int(row[LINE_HEAD])
    allot(w, head, count, chunk * ranks, chunk, w.parameters[P_FIRST_COME] > 0)
    tokens, area, largest = composed(w, head, count)
    row[SHARING] = count
    w.totals[T_PASSES] += 1
    most = max(largest, tokens / ranks)
    return float(chunk_time(w.line_tokens, w.prefixes, w.line_time, most, area / tokens - most / 2))


@compiled
def _end_chunk(w: World, place: int) -> None:
    """Take what a chunk has done off the prompts; those that are complete wait for a slot."""
    row = w.places[place]
    before, slot = -1, int(row[LINE_HEAD])
    for _ in range(int(row[SHARING])):
        after = int(w.slots[slot, NEXT])
        w.slots[slot, TO_PREFILL] -= w.slots[slot, ALLOTTED]
        if w.slots[slot, TO_PREFILL] <= LEFT_OVER:
            drop_next(w, row, LINE_HEAD, before)
            append(w, row, WAIT_HEAD, slot)
        else:
            before = slot
        slot = after


@compiled
def _preempt(w: World, now: float, place: int) -> None:
    """Take the newest request out of a batch that outgrew its memory: to the tier below, or to be prefilled again."""
    newest = 0
    for index in range(int(w.places[place, ACTIVE])):
        if w.slots[w.holders[place, index], ADMITTED] > w.slots[w.holders[place, newest], ADMITTED]:
            newest = index
    slot = w.holders[place, newest]
    _release(w, place, slot, newest)
    own, home = w.slots[slot], int(w.parameters[P_HOME])
    own[PREEMPTED] += 1
    w.totals[T_PREEMPTED] += 1
    here = w.parameters[P_COLOCATED] > 0 or home == APPEND_HOME
    below_host, below_pool = w.parameters[P_RESTORE_HOST] > 0, w.parameters[P_RESTORE_POOL] > 0
    if (here or home == 0) and (below_host or below_pool):
        end = restore(w, now, slot, own[CONTEXT], not below_host, False)
        push(w.events, w.counters, end, JOINS, slot, 0.0)
        return
    own[FOUND], own[NEW], own[TO_PREFILL] = 0.0, own[CONTEXT], own[CONTEXT]
    own[COMPUTED] += own[CONTEXT]
    if here:
        append(w, w.places[place], LINE_HEAD, slot)
        return
    if home != 1:
        own[RANK] = least_loaded(w)
    w.ranks[int(own[RANK]), BACKLOG] += own[CONTEXT]
    enqueue(w, now, slot)
