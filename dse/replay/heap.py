"""Binary heaps in arrays: one of events for all, one of token marks per decode instance."""

from dse.arrays import FloatArray, IntArray
from dse.replay.compiled import compiled
from dse.replay.layout import EVENTS, EXTRA, KIND, N_EVENTS, N_ORDER, ORDER, WHEN, WHO


@compiled
def push(events: FloatArray, counters: IntArray, when: float, kind: int, who: float, extra: float) -> None:
    """Add an event; of equal times the earlier added comes first."""
    index = counters[N_EVENTS]
    counters[N_EVENTS] += 1
    order = float(counters[N_ORDER])
    counters[N_ORDER] += 1
    while index > 0:
        parent = (index - 1) >> 1
        if events[parent, WHEN] <= when:
            break
        for column in range(EVENTS):
            events[index, column] = events[parent, column]
        index = parent
    events[index, WHEN] = when
    events[index, ORDER] = order
    events[index, KIND] = kind
    events[index, WHO] = who
    events[index, EXTRA] = extra


@compiled
def pop(events: FloatArray, counters: IntArray) -> None:
    """Remove the first event; it is read from row 0 before."""
    counters[N_EVENTS] -= 1
    last = counters[N_EVENTS]
    when, order = events[last, WHEN], events[last, ORDER]
    index = 0
    while True:
        child = 2 * index + 1
        if child >= last:
            break
        if child + 1 < last and _before(events, child + 1, events[child, WHEN], events[child, ORDER]):
            child += 1
        if not _before(events, child, when, order):
            break
        for column in range(EVENTS):
            events[index, column] = events[child, column]
        index = child
    for column in range(EVENTS):
        events[index, column] = events[last, column]


@compiled
def _before(events: FloatArray, index: int, when: float, order: float) -> bool:
    return bool(events[index, WHEN] < when or (events[index, WHEN] == when and events[index, ORDER] < order))


@compiled
def add_mark(marks: FloatArray, holders: IntArray, size: int, mark: float, holder: int) -> None:
    """Add a mark to the heap of one instance, which holds `size` marks."""
    index = size
    while index > 0:
        parent = (index - 1) >> 1
        if marks[parent] <= mark:
            break
        marks[index], holders[index] = marks[parent], holders[parent]
        index = parent
    marks[index], holders[index] = mark, holder


@compiled
def remove_mark(marks: FloatArray, holders: IntArray, size: int, index: int) -> None:
    """Remove one mark of a heap of `size`; index 0 is the least."""
    last = size - 1
    mark, holder = marks[last], holders[last]
    if index == last:
        return
    while index > 0 and marks[(index - 1) >> 1] > mark:
        parent = (index - 1) >> 1
        marks[index], holders[index] = marks[parent], holders[parent]
        index = parent
    while True:
        child = 2 * index + 1
        if child >= last:
            break
        if child + 1 < last and marks[child + 1] < marks[child]:
            child += 1
        if marks[child] >= mark:
            break
        marks[index], holders[index] = marks[child], holders[child]
        index = child
    marks[index], holders[index] = mark, holder
