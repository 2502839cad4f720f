"""Prefill ranks: passes over a chunk of tokens that waiting prompts share, one stage behind the other."""

from dse.replay.clock import chunk_time
from dse.replay.compiled import compiled
from dse.replay.heap import push
from dse.replay.layout import (
    ALLOTTED,
    BACKLOG,
    BUSY,
    COUNT,
    DONE_AT,
    HEAD,
    N_RANK,
    NEXT,
    P_CHUNK,
    P_FIRST_COME,
    P_STAGES,
    P_WIDTH,
    PASS,
    PREFILLED,
    RANK,
    RUNNING,
    S_PREFILL,
    T_PASSES,
    TO_PREFILL,
    World,
)
from dse.replay.queues import allot, append, composed, drop_next
from dse.replay.transfer import spread

LEFT_OVER = 1e-6
"""Tokens that rounding may leave of a prompt [tok]."""


@compiled
def least_loaded(w: World) -> int:
    """Prefill rank with the fewest tokens to do; of equal ones the next in turn."""
    size = w.ranks.shape[0]
    best = w.counters[N_RANK] % size
    for offset in range(1, size):
        rank = (w.counters[N_RANK] + offset) % size
        if w.ranks[rank, BACKLOG] < w.ranks[best, BACKLOG] - LEFT_OVER:
            best = rank
    w.counters[N_RANK] = best + 1
    return int(best)


@compiled
def enqueue(w: World, now: float, slot: int) -> None:
    """Let a prompt wait at its rank; an idle rank starts at once."""
    rank = int(w.slots[slot, RANK])
    append(w, w.ranks[rank], HEAD, slot)
    if w.ranks[rank, BUSY] == 0:
        begin_pass(w, now, rank)


@compiled
def begin_pass(w: World, now: float, rank: int) -> None:
    """Start a pass of the prompts that wait; the next may follow when the first stage is free."""
    row = w.ranks[rank]
    count = int(min(row[COUNT], w.parameters[P_WIDTH]))
    row[BACKLOG] -= row[RUNNING]
    row[BUSY], row[RUNNING] = 0, 0.0
    if count == 0:
        return
    chunk, head = w.parameters[P_CHUNK], int(row[HEAD])
    allot(w, head, count, chunk, chunk, w.parameters[P_FIRST_COME] > 0)
    tokens, area, _ = composed(w, head, count)
    seconds = chunk_time(w.prefill_tokens, w.prefixes, w.prefill_time, tokens, area / tokens - tokens / 2)
    free = now + seconds / w.parameters[P_STAGES]
    row[DONE_AT] = max(now + seconds, row[DONE_AT])
    row[BUSY], row[RUNNING] = 1, tokens
    before, slot = -1, head
    for _ in range(count):
        after = int(w.slots[slot, NEXT])
        w.slots[slot, TO_PREFILL] -= w.slots[slot, ALLOTTED]
        if w.slots[slot, TO_PREFILL] <= LEFT_OVER:
            drop_next(w, row, HEAD, before)
            push(w.events, w.counters, row[DONE_AT], PREFILLED, slot, 0.0)
        else:
            before = slot
        slot = after
    w.totals[T_PASSES] += 1
    spread(w, S_PREFILL, now, free, 1.0)
    push(w.events, w.counters, free, PASS, rank, 0.0)
