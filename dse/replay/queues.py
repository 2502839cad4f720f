"""Queues of slots and the share of a pass that each of them gets."""

from dse.arrays import FloatArray
from dse.replay.compiled import compiled
from dse.replay.layout import ALLOTTED, FOUND, NEW, NEXT, TO_PREFILL, World


@compiled
def append(w: World, row: FloatArray, head: int, slot: int) -> None:
    """Add a slot to a queue, whose head, tail and count stand in three columns of a row from `head` on."""
    w.slots[slot, NEXT] = -1
    if row[head + 2] > 0:
        w.slots[int(row[head + 1]), NEXT] = slot
    else:
        row[head] = slot
    row[head + 1] = slot
    row[head + 2] += 1


@compiled
def drop_next(w: World, row: FloatArray, head: int, before: int) -> None:
    """Remove the slot after `before`, or the first where that is -1."""
    gone = int(row[head]) if before < 0 else int(w.slots[before, NEXT])
    after = w.slots[gone, NEXT]
    if before < 0:
        row[head] = after
    else:
        w.slots[before, NEXT] = after
    if after < 0:
        row[head + 1] = before
    row[head + 2] -= 1


@compiled
def allot(w: World, first: int, count: int, budget: float, most: float, first_come: bool) -> None:
    """Divide the tokens of a pass among the first `count` slots of a queue.

    First come first served fills the pass from the front; else all share it equally, and what short prompts do not
    need goes to the others. No slot gets more than `most`.
    """
    slot, waiting = first, 0.0
    for _ in range(count):
        w.slots[slot, ALLOTTED] = 0.0
        if first_come:
            w.slots[slot, ALLOTTED] = min(w.slots[slot, TO_PREFILL], most, budget)
            budget -= w.slots[slot, ALLOTTED]
        else:
            waiting += 1
        slot = int(w.slots[slot, NEXT])
    while waiting > 0 and budget > 0:
        share, served, slot = budget / waiting, 0.0, first
        for _ in range(count):
            wanted = min(w.slots[slot, TO_PREFILL], most)
            if w.slots[slot, ALLOTTED] == 0 and 0 < wanted <= share:
                w.slots[slot, ALLOTTED] = wanted
                budget -= wanted
                served += 1
            slot = int(w.slots[slot, NEXT])
        waiting -= served
        if served == 0:
            _share_equally(w, first, count, share)
            return


@compiled
def _share_equally(w: World, first: int, count: int, share: float) -> None:
    slot = first
    for _ in range(count):
        if w.slots[slot, ALLOTTED] == 0 and w.slots[slot, TO_PREFILL] > 0:
            w.slots[slot, ALLOTTED] = share
        slot = int(w.slots[slot, NEXT])


@compiled
def composed(w: World, first: int, count: int) -> tuple[float, float, float]:
    """Tokens of a pass, its attention area [tok²], the largest share of one slot."""
    slot, tokens, area, largest = first, 0.0, 0.0, 0.0
    for _ in range(count):
        own = w.slots[slot, ALLOTTED]
        before = w.slots[slot, FOUND] + w.slots[slot, NEW] - w.slots[slot, TO_PREFILL]
        tokens += own
        area += own * (before + own / 2)
        largest = max(largest, own)
        slot = int(w.slots[slot, NEXT])
    return tokens, area, largest
