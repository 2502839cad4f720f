"""What a system is asked: the steps of a trace with the times at which sequences start.

Arrivals come from the trace (open loop), or sessions start at a rate of their own and every further step comes its gap
after the answer (closed loop). A steady start puts sessions into the system that have begun before, with the KV that
their last steps have left: stationary statistics need no warm-up of hours then.
"""

from dataclasses import dataclass, field

import numpy as np

from dse.arrays import FloatArray, IntArray
from dse.facts.errors import Mistake, SpecError
from dse.facts.workload.sessions import Steps
from dse.facts.workload.traces import Blocks

PRELOADED = 200_000
"""Sequences whose KV a steady start offers to the tiers, the latest [1]: more than any tier holds."""


@dataclass(frozen=True, eq=False)
class Left:
    """KV that earlier steps have left, the oldest first."""

    nodes: IntArray
    sizes: FloatArray
    """[tok]."""


def _nothing_left() -> Left:
    return Left(np.zeros(0, dtype=np.int64), np.zeros(0))


@dataclass(frozen=True, eq=False)
class Traffic:
    """Steps, and the sequences that ask for them in the order of their start."""

    table: FloatArray
    """(steps, 7) columns of :mod:`dse.replay.layout`."""
    starts: FloatArray
    """(sequences, 4) start [s], first row, row after the last, node."""
    session: IntArray
    """(sequences,) session that each belongs to, numbered through the schedule."""
    nodes: int
    """Sequences or recorded sequences whose KV is told apart [1]."""
    begin: float = 0.0
    """Start of the time that counts [s]."""
    blocks: Blocks | None = None
    left: Left = field(default_factory=_nothing_left)

    @property
    def requests(self) -> int:
        """Steps that the schedule holds [1]."""
        return int((self.starts[:, 2] - self.starts[:, 1]).sum())


def as_recorded(steps: Steps, times: FloatArray, blocks: Blocks | None = None, speed: float = 1.0) -> Traffic:
    """Open loop: every request comes at its recorded time, `speed` times faster than recorded."""
    order = np.argsort(times, kind="stable")
    when = (times[order] - times[order[0]]) / speed
    starts = np.stack([when, order, order + 1, steps.sequence[order]], axis=1).astype(np.float64)
    return Traffic(_table(steps, blocks), starts, steps.session[order], int(steps.sequence.max()) + 1, 0.0, blocks)


def retimed(steps: Steps, rate: float, random: np.random.Generator, blocks: Blocks | None = None) -> Traffic:
    """Closed loop: every session once, in random order, starting at a rate [1/s] of its own (Poisson)."""
    _positive(rate)
    first, last = _ranges(steps)
    tasks, task = np.unique(steps.session[first], return_inverse=True)
    when = np.empty(tasks.size)
    when[random.permutation(tasks.size)] = np.cumsum(random.exponential(1 / rate, tasks.size))
    order = np.argsort(when[task], kind="stable")
    starts = np.stack([when[task], first, last, np.arange(first.size)], axis=1).astype(np.float64)[order]
    return Traffic(_table(steps, blocks), starts, task[order], first.size, 0.0, blocks)


def steady(
    steps: Steps, rate: float, span: tuple[float, float], latency: FloatArray, random: np.random.Generator
) -> Traffic:
    """Closed loop in the steady state: sessions drawn with replacement start at a rate [1/s], some of them long ago.

    Parameters
    ----------
    steps : Steps               recorded sessions
    rate : float                sessions per second
    span : two floats           warm-up and measured time [s]
    latency : (n,) array        expected time of each step, to place sessions that have begun before [s]
    random : Generator          of arrivals and draws
    """
    _positive(rate)
    warm, measured = span
    first, last = _ranges(steps)
    ends = np.cumsum(steps.gap + latency)
    base = (ends - steps.gap - latency)[first]
    begun = ends - latency
    longest = float((ends[last - 1] - base).max())
    count = int(random.poisson(rate * (longest + warm + measured)))
    when = random.uniform(-longest, warm + measured, count)
    tasks, task = np.unique(steps.session[first], return_inverse=True)
    drawn = random.integers(0, tasks.size, count)
    by_task = np.argsort(drawn, kind="stable")
    bounds = np.searchsorted(drawn[by_task], np.arange(tasks.size + 1))
    rows, left = [], []
    for sequence, (low, high) in enumerate(zip(first.tolist(), last.tolist(), strict=True)):
        own = by_task[bounds[task[sequence]] : bounds[task[sequence] + 1]]
        starts = begun[low:high] - base[sequence]
        place = np.searchsorted(starts, -when[own])
        node = own * first.size + sequence
        alive = place < high - low
        at = np.minimum(place, high - low - 1)
        rows.append(np.stack([when[own] + starts[at], low + place, np.full(own.size, high), node, own])[:, alive])
        old = place > 0
        before = low + place[old] - 1
        left.append(np.stack([when[own[old]] + ends[before] - base[sequence], node[old], steps.held[before]]))
    started, kept = np.concatenate(rows, axis=1), np.concatenate(left, axis=1)
    started = started[:, np.argsort(started[0], kind="stable")]
    kept = kept[:, np.argsort(kept[0], kind="stable")][:, -PRELOADED:]
    nodes, number = np.unique(np.concatenate([started[3], kept[1]]), return_inverse=True)
    split = started.shape[1]
    schedule = np.stack([started[0], started[1], started[2], number[:split].astype(np.float64)], axis=1)
    return Traffic(
        _table(steps, None),
        schedule,
        started[4].astype(np.int64),
        nodes.size,
        warm,
        None,
        Left(number[split:].astype(np.int64), kept[2]),
    )


def _positive(rate: float) -> None:
    if not (np.isfinite(rate) and rate > 0):
        raise SpecError([Mistake("--rate", 0, 0, "", f"{rate:g}: expected a rate above 0 tasks per second")])


def _ranges(steps: Steps) -> tuple[IntArray, IntArray]:
    """First row of each sequence, and the row after its last."""
    first = np.flatnonzero(steps.first)
    return first, np.append(first[1:], len(steps))


def _table(steps: Steps, blocks: Blocks | None) -> FloatArray:
    zero = np.zeros(len(steps))
    low, high = (blocks.start[:-1], blocks.start[1:]) if blocks is not None else (zero, zero)
    opens = steps.first.astype(np.float64)
    return np.stack([steps.gap, steps.cached, steps.fresh, steps.output, opens, low, high], axis=1)
