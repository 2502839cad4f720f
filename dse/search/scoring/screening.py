"""Serving points scored as far as the choice among them needs: cost, energy, and the latency at one percentile.

Most points lose to another of their design. So the search of the best ones asks for no more than decides it, and only
for points that still can win; :func:`dse.search.scoring.classes.scored` then gives the winners all their columns.

1. What one half of a point fixes is worked out once per half: the columns of a prefill or a decode row, and the
   retention time, which follows from the memory and the work of the pool that holds the KV.
2. Cost, energy and the slacks of memory and token time of every pair.
3. Latency at the percentile, of pairs that have no negative slack so far, on designs that serve every class, unless
   another pair beats them whatever it is (:mod:`dse.search.scoring.contest`).
4. Designs that cannot serve some class: what lacks, of the pairs that may lack least.
"""

from collections.abc import Sequence
from typing import NamedTuple, TypeVar

import numpy as np

from dse.arrays import BoolArray, FloatArray, IntArray
from dse.search.scoring import classes, contest
from dse.search.scoring.block import Block
from dse.search.scoring.classes import BATCH, Pairing
from dse.search.scoring.combine import Points
from dse.search.scoring.contest import Contest
from dse.search.scoring.keeping import Kept, kept
from dse.search.scoring.plan import Plan
from dse.search.scoring.points import lacking, standing
from dse.search.scoring.rows import Rows
from dse.search.scoring.sides import HOME, ClassShape, DecodeSide, Operation, PrefillSide, Setting
from dse.search.scoring.tails import at_percentile, in_time
from dse.search.scoring.waits import Waiting, waiting

TIE_BITS = 40
"""Latencies that agree to so many binary digits are equal, and the cheaper point wins: sums round at 50."""

_Columns = TypeVar("_Columns", PrefillSide, DecodeSide)


class Draft(NamedTuple):
    """Serving points of one class before their latency."""

    pairs: Pairing
    shape: ClassShape
    operation: Operation
    design: IntArray
    cost: FloatArray
    energy: FloatArray
    short: FloatArray
    """Sum of the negative slacks that are known, without sign [1]."""
    tpot_full: FloatArray
    waiting: Waiting


class Verdict(NamedTuple):
    """What the choice among the points of a class needs beyond a draft."""

    ratio: FloatArray
    """Step latency over the class's at the percentile; infinite where it is not known [1]."""
    violation: FloatArray
    """Sum of the negative slacks; infinite where it is known only that the point does not count [1]."""


class Shortlist(NamedTuple):
    """Points of all classes that the choice is among, and where each comes from."""

    points: Points
    origin: IntArray
    """(p,) place of each point in the pairing of its class."""


def screened(plan: Plan, block: Block) -> tuple[list[Pairing], Shortlist]:
    """Points of a block's designs worth combining: those that meet the targets, or lack least where none does."""
    drafts = [drafted(plan, block, agent) for agent in range(len(plan.classes))]
    count = len(block)
    hopeful = _everywhere([item.design[item.short <= 0] for item in drafts], count)
    verdicts = [_served(item, hopeful) for item in drafts]
    feasible = _everywhere(
        [item.design[found.violation <= 0] for item, found in zip(drafts, verdicts, strict=True)], count
    )
    verdicts = [_repaired(item, found, ~feasible) for item, found in zip(drafts, verdicts, strict=True)]
    kept = [np.flatnonzero(np.isfinite(found.violation)) for found in verdicts]
    shares = [item.agent.share for item in plan.classes]
    parts = list(zip(shares, drafts, verdicts, kept, strict=True))
    points = Points(
        design=np.concatenate([item.design[rows] for _, item, _, rows in parts]),
        agent=np.repeat(np.arange(len(drafts)), [rows.size for rows in kept]),
        cost=np.concatenate([share * item.cost[rows] for share, item, _, rows in parts]),
        energy=np.concatenate([share * item.energy[rows] for share, item, _, rows in parts]),
        ratio=np.concatenate([found.ratio[rows] for _, _, found, rows in parts]),
        violation=np.concatenate([found.violation[rows] for _, _, found, rows in parts]),
    )
    return [item.pairs for item in drafts], Shortlist(points, np.concatenate(kept))


def drafted(plan: Plan, block: Block, agent: int) -> Draft:
    """Steps 1 and 2 for one class."""
    pairs = classes.pairing(plan, block, agent)
    store, rows = pairs.prefill_store, _twice(pairs.prefill)
    prefill = classes.prefill_side(plan, block, agent, store, rows, np.arange(rows.design.size) % 2 == 1)
    rows = _twice(pairs.decode)
    decode = classes.decode_side(plan, block, agent, pairs.decode_store, rows, np.arange(rows.design.size) % 2 == 1)
    design, shape = pairs.prefill.design[pairs.left], plan.classes[agent].shape
    kv, codec = classes.kv_tokens(plan, block, agent)

    def setting(points: IntArray) -> Setting:
        mine, home = design[points], pairs.home[points]
        owner = home == HOME["prefill"]
        return Setting(
            shape,
            _taken(prefill, 2 * pairs.left[points] + owner),
            _taken(decode, 2 * pairs.right[points] + ~owner),
            classes.pool(block, mine),
            home,
            block.colocated[mine],
            kv[mine],
            codec[mine],
            plan.operation,
        )

    chosen, which = _distinct(pairs, decode, block)
    held = kept(setting(chosen))
    parts = [
        _half_scored(setting(points), held.take(which[points]))
        for points in np.split(np.arange(design.size), np.arange(BATCH, design.size, BATCH))
    ]
    cost, energy, short, tpot = (np.concatenate(column) for column in zip(*(part[:4] for part in parts), strict=True))
    lines = _joined([part[4] for part in parts])
    return Draft(pairs, shape, plan.operation, design, cost, energy, short, tpot, lines)


def _half_scored(at: Setting, held: Kept) -> tuple[FloatArray, FloatArray, FloatArray, FloatArray, Waiting]:
    """Cost, energy, what lacks so far, token time and lines of a few points."""
    own = standing(at, held)
    short = lacking(own.slack_capacity, own.slack_pool, own.slack_tpot)
    return own.cost, own.energy, short, own.tpot_full, waiting(at, held, own.tpot)


def _twice(rows: Rows) -> Rows:
    """Each row as one that does not own the KV and one that does."""
    return rows.take(np.repeat(np.arange(rows.design.size), 2))


def _taken(side: _Columns, rows: IntArray) -> _Columns:
    return type(side)(*(column[rows] for column in side))


def _joined(parts: Sequence[Waiting]) -> Waiting:
    lines = [
        type(parts[0].warm)(*(np.concatenate(column) for column in zip(*own, strict=True)))
        for own in ([part.warm for part in parts], [part.cold for part in parts])
    ]
    rest = [np.concatenate(column) for column in zip(*(part[2:] for part in parts), strict=True)]
    return Waiting(lines[0], lines[1], *rest)


def _distinct(pairs: Pairing, decode: DecodeSide, block: Block) -> tuple[IntArray, IntArray]:
    """Points whose retention differs, and for every point the place of the one that it agrees with.

    Retention depends on the row of the pool that is home, and on that home; where the prefill pool is, and active KV
    spills into a pooled memory, on both rows.
    """
    spilling = (decode.rank_requests * decode.request_bytes > decode.room)[1::2]
    spilling &= block.pool_capacity[pairs.decode.design] > 0
    away = (pairs.home == HOME["prefill"]) & ~block.colocated[pairs.prefill.design[pairs.left]]
    first = len(HOME) * pairs.decode.design.size
    last = first + pairs.prefill.design.size
    code = np.where(away, first + pairs.left, len(HOME) * pairs.right + pairs.home)
    code = np.where(away & spilling[pairs.right], last + np.arange(code.size), code)
    point = np.full(last + code.size, -1)
    point[code] = np.arange(code.size)
    used = point >= 0
    return point[used], (np.cumsum(used) - 1)[code]


def _everywhere(designs: Sequence[IntArray], count: int) -> BoolArray:
    """Designs that are in every list."""
    found = np.zeros((len(designs), count), dtype=bool)
    for row, mine in zip(found, designs, strict=True):
        row[mine] = True
    return np.asarray(found.all(axis=0))


def _served(item: Draft, hopeful: BoolArray) -> Verdict:
    """Step 3: points that meet every target, with their latency, but for those that another one surely beats."""
    found = Verdict(np.full(item.design.size, np.inf), np.full(item.design.size, np.inf))
    rows = np.flatnonzero((item.short <= 0) & hopeful[item.design])
    if not rows.size:
        return found
    may, least = contest.hopeful(item.shape, item.operation, item.waiting, item.tpot_full)
    rows, count = rows[may[rows]], hopeful.size
    level = contest.shade(least[rows] / item.shape.latency_slo)
    points = Contest(rows, item.design[rows], item.cost[rows], item.energy[rows], level)
    leading = points.leaders(count)
    first, rest = points.take(leading), points.take(~leading)
    ratio = _read(item, found, first.rows)
    met = np.isfinite(ratio)
    known = first.take(met)._replace(level=contest.shade(ratio[met] * (1 + contest.MARGIN)))
    _read(item, found, rest.rows[~rest.beaten(known, count)])
    return found


def _read(item: Draft, found: Verdict, rows: IntArray) -> FloatArray:
    """Fill in the latency of some points that meet every target; return it, infinite for the others [1]."""
    latency = in_time(item.shape, item.operation, item.waiting.take(rows), item.tpot_full[rows])
    met, ratio = np.isfinite(latency), latency / item.shape.latency_slo
    found.ratio[rows[met]] = _tied(ratio[met])
    found.violation[rows[met]] = 0.0
    return np.asarray(ratio)


def _repaired(item: Draft, found: Verdict, lost: BoolArray) -> Verdict:
    """Step 4: of designs that are lost, the points that may lack least, with all that they lack."""
    found.violation[lost[item.design]] = np.inf
    rows = np.flatnonzero(lost[item.design])
    rows = rows[np.lexsort((item.cost[rows], item.short[rows], item.design[rows]))]
    first = np.diff(item.design[rows], prepend=-1) > 0
    bound = np.full(lost.size, np.inf)
    _complete(item, found, rows[first])
    bound[item.design[rows[first]]] = found.violation[rows[first]]
    rest = rows[~first]
    _complete(item, found, rest[item.short[rest] <= bound[item.design[rest]]])
    return found


def _tied(values: FloatArray) -> FloatArray:
    """Numbers rounded such that those which differ by the rounding of sums alone are equal."""
    mantissa, exponent = np.frexp(values)
    return np.asarray(np.ldexp(np.rint(np.ldexp(mantissa, TIE_BITS)), exponent - TIE_BITS))


def _complete(item: Draft, found: Verdict, rows: IntArray) -> None:
    """Fill in the latency of some points and all that they lack."""
    if not rows.size:
        return
    part, shape = item.waiting.take(rows), item.shape
    ttft = at_percentile(shape, item.operation, part)
    latency = at_percentile(shape, item.operation, part, item.tpot_full[rows])
    found.ratio[rows] = latency / shape.latency_slo
    late = lacking(1 - ttft / shape.ttft_slo, 1 - latency / shape.latency_slo)
    found.violation[rows] = _tied(item.short[rows] + late)
