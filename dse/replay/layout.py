"""Columns of the arrays that the event loop works on: one place says what each number means.

The loop holds no objects: a slot is a row of `slots`, a prefill rank a row of `ranks`, a decode instance a row of
`places`. Whole numbers are stored as floats, which are exact up to 2^53.
"""

from typing import NamedTuple

from dse.arrays import FloatArray, IntArray

# table: the steps of the trace, one row each
GAP, CACHED, FRESH, OUTPUT, OPENS, BLOCK_START, BLOCK_END = range(7)
"""Columns of `table`: gap before the step [s], tokens, whether it opens its sequence, its range of `blocks`."""

# starts: one row per sequence in the order of time
START, START_ROW, START_END, START_NODE = range(4)
"""Columns of `starts`: time [s], first row, row after the last, node of its KV."""

SLOTS = 21
(
    ROW, END, NODE, ARRIVAL, NEW, FOUND, TO_PREFILL, TO_DECODE, TIER, RANK,
    PLACE, FIRST_TOKEN, NEXT, HELD, ADMITTED, ALLOTTED, CONTEXT, BASE, COMPUTED, PREEMPTED, SEQUENCE,
) = range(SLOTS)  # fmt: skip
"""Columns of `slots`: one row per sequence that has begun and goes on, describing its request in flight.

NEW and FOUND are the tokens to compute and those found in cache, TO_PREFILL and TO_DECODE what is left of them, HELD
the tokens booked on the decode instance, CONTEXT the tokens when it joins, BASE the instance's token count then,
SEQUENCE the row of `starts`."""

RANKS = 7
HEAD, TAIL, COUNT, BACKLOG, DONE_AT, BUSY, RUNNING = range(RANKS)
"""Columns of `ranks`: queue of slots, tokens queued or in the first stage, completion of the last pass [s], whether a
pass is in the first stage, its tokens."""

PLACES = 20
(
    ACTIVE, SUM, TOKENS, SINCE, PLAN, ALPHA, BETA, VERSION, MODE, WAIT_HEAD,
    WAIT_TAIL, WAIT_COUNT, LINE_HEAD, LINE_TAIL, LINE_COUNT, BOOKED, ASSIGNED, PORT, SHARING, LINE_TOKENS,
) = range(PLACES)  # fmt: skip
"""Columns of `places`: one row per decode instance.

ACTIVE requests with SUM tokens of context, TOKENS emitted per slot so far, the boundary SINCE which it runs PLAN steps
of ALPHA + BETA j seconds, its queue of requests that WAIT for a slot, its LINE of prompts to prefill here, BOOKED
tokens."""

IDLE, DECODING, MIXED = range(3)
"""MODE of an instance: nothing to do, decode steps only, one prefill chunk and one decode step."""

EVENTS = 5
WHEN, ORDER, KIND, WHO, EXTRA = range(EVENTS)
"""Columns of `events`: time [s], tie-breaker, kind, subject, version."""

ARRIVES, READY, PASS, PREFILLED, JOINS, BOUNDARY, SAMPLE = range(7)
"""KIND of an event."""

DOMAINS = 4
FRONT, BACK, USED, CAPACITY = range(DOMAINS)
"""Columns of `domains`: most and least recently used node, tokens held and allowed; one row per tier and owner."""

PORTS = 7
FROM_DECODE, TO_DECODE_OUT, DECODE_IN, DECODE_OUT, LOWER_READ, POOL_PREFILL, POOL_DECODE = range(PORTS)
"""Rows of `ports`: prefill rank in, out; decode rank in, out; tier below HBM; pool ports of both sides."""

RECORD = 12
(
    R_ROW, R_SEQUENCE, R_ARRIVAL, R_FIRST, R_FINISH, R_OUTPUT, R_TIER, R_FOUND, R_COMPUTED, R_CONTEXT, R_PREEMPTED,
    R_END,
) = range(RECORD)  # fmt: skip
"""Columns of `records`: one row per request that has ended."""

FINISHED, REJECTED = range(2)
"""R_END of a request."""

OPENING, MISSED, IN_HBM, IN_HOST, IN_POOL = -2, -1, 0, 1, 2
"""TIER of a request: the first of its sequence, prefix lost, or where it was found."""

SERIES = 12
(
    S_PREFILL, S_DECODE, S_SLOTS, S_FORTH, S_BACK, S_RESTORED, S_HBM, S_HOST, S_POOL, S_ACTIVE, S_QUEUE, S_FLIGHT,
) = range(SERIES)  # fmt: skip
"""Columns of `series`: per interval of time busy seconds of both pools, slot-seconds, tokens over the links, and at its
end the tokens in each tier, active tokens, requests queued and in flight."""

TOTALS = 10
(
    T_FORTH, T_BACK, T_HOST_READ, T_POOL_READ, T_HOST_WRITE, T_POOL_WRITE, T_PASSES, T_STEPS, T_PREEMPTED, T_EVICTED,
) = range(TOTALS)  # fmt: skip
"""Entries of `totals`: tokens moved, passes and decode steps run, requests preempted, tokens evicted."""

COUNTERS = 9
N_EVENTS, N_ORDER, N_STARTED, N_RECORDS, N_DRAWS, N_FLIGHT, N_FREE, N_RANK, N_PLACE = range(COUNTERS)
"""Entries of `counters`; the last two are where the search for the least loaded rank and instance begins."""

PARAMETERS = 27
(
    P_COLOCATED, P_HOME, P_FIRST_COME, P_STAGES, P_CHUNK, P_LINE_CHUNK, P_LINE_RANKS, P_BATCH, P_ROOM, P_SPILL,
    P_KV, P_LINK, P_RESTORE_HOST, P_RESTORE_POOL, P_POOL_PREFILL, P_POOL_DECODE, P_AFFINITY, P_SHARED, P_HORIZON, P_BIN,
    P_BLOCK, P_PORTS, P_SHARED_PORT, P_WIDTH, P_NODES, P_LINK_PREFILL,
    P_SHARED_LINK,
) = range(PARAMETERS)  # fmt: skip
"""Entries of `parameters`."""


class World(NamedTuple):
    """Everything the event loop knows: arrays only."""

    parameters: FloatArray
    table: FloatArray
    blocks: IntArray
    starts: FloatArray
    slots: FloatArray
    free: IntArray
    """(slots,) rows of `slots` that no sequence has, the first so many."""
    ranks: FloatArray
    places: FloatArray
    marks: FloatArray
    """(instances, slots) token count at which each active request ends, a heap per instance."""
    holders: IntArray
    """(instances, slots) slot of each mark."""
    ports: FloatArray
    domains: FloatArray
    """(tiers, owners, columns)."""
    links: IntArray
    """(tiers, nodes, 3) previous, next and owner of a node, -1 for none."""
    sizes: FloatArray
    """(nodes,) tokens."""
    homes: IntArray
    """(sequences,) owner whose blocks a sequence uses where the trace names blocks, -1 for none yet."""
    decode_time: FloatArray
    """(slots + 1, contexts) decode step [s]."""
    decode_context: FloatArray
    prefill_time: FloatArray
    """(tokens, prefixes) pass of a prefill rank [s]."""
    prefill_tokens: FloatArray
    line_time: FloatArray
    """(tokens, prefixes) pass of a decode instance that prefills [s]."""
    line_tokens: FloatArray
    prefixes: FloatArray
    events: FloatArray
    records: FloatArray
    series: FloatArray
    totals: FloatArray
    counters: IntArray
