"""Context policies: what an agent sends again, as transforms of a step table.

Two independent choices make a policy. `keep`: how many of the latest observations (pages, screenshots) stay
in the prompt. `overflow`: what happens when a prompt and its answer no longer fit the model's context. A
changed prompt is a lost prefix: everything behind the first change is prefilled again.
"""

from dataclasses import dataclass, replace
from typing import NamedTuple

import numpy as np

from dse.arrays import BoolArray, FloatArray, IntArray
from dse.facts.workload.sessions import Steps


@dataclass(frozen=True)
class Policy:
    """What the agent does with a growing context."""

    keep: int | None = None
    """Latest observations that stay in the prompt; None keeps all."""
    overflow: str = "refused"
    """"refused", "compaction" or "truncation"."""
    target: float = 0.0
    """Share of the budget left after a strike, the step's own fresh tokens not counted [1]."""


COMPACTION_TARGET = 0.2
"""Summary and kept messages after a compaction, as a share of the budget: an estimate; agents differ."""
TRUNCATION_TARGET = 0.5
"""Share of the budget left when the oldest tokens are dropped: an estimate; agents differ."""
KEEP_SCREENSHOTS = 3
"""Screenshots kept by default: an estimate, the usual setting of published computer-use agents."""

POLICIES = ("append_only", "page_replaced", "keep_last_n", "compaction", "truncation")


def combine(name: str, base: Policy, keep: int | None = None, target: float | None = None) -> Policy:
    """Policy `name` on top of the class's own policy.

    `append_only` stands alone; `page_replaced` and `keep_last_n` set what is kept; `compaction` and
    `truncation` set what happens on overflow and leave what is kept as it was.

    >>> combine("compaction", Policy(keep=3))
    Policy(keep=3, overflow='compaction', target=0.2)
    """
    if name == "append_only":
        return Policy()
    if name == "page_replaced":
        return replace(base, keep=1)
    if name == "keep_last_n":
        return replace(base, keep=keep or base.keep or KEEP_SCREENSHOTS)
    defaults = {"compaction": COMPACTION_TARGET, "truncation": TRUNCATION_TARGET}
    return replace(base, overflow=name, target=defaults[name] if target is None else target)


def apply(policy: Policy, table: Steps, shared: float, budget: float | None) -> Steps:
    """Table under `policy`; `shared` [tok] leads every prompt, `budget` [tok] is the model's limit."""
    kept = table if policy.keep is None else keep_observations(table, policy.keep)
    if budget is None or policy.overflow == "refused":
        return kept
    return strike(kept, shared, budget, policy.target)


def keep_observations(table: Steps, keep: int) -> Steps:
    r"""Keep the latest `keep` observations of each prompt; `keep = 1` replaces the page at every step.

    Step `i` of a sequence drops observation `i - keep`. The prompt is unchanged up to where that observation
    stood, so the steps behind it are prefilled again:

    .. math:: c_i' = c_i - \sum_{j \le i-k} r_j, \qquad
              p_i' = \min\bigl(p_i - \sum_{j < i-k} r_j,\; c_{i-k} - r_{i-k} - \sum_{j < i-k} r_j\bigr)

    The second bound holds where something is dropped. Source: derived; observations end the fresh tokens.
    """
    index = np.arange(len(table))
    drops = table.position >= keep
    source = np.where(drops, index - keep, index)
    dropped = np.where(drops, table.observation[source], 0.0)
    gone = _running(dropped, table)
    before = gone - dropped
    stood = np.where(dropped > 0, (table.context - table.observation)[source], np.inf)
    cached = np.maximum(np.minimum(table.cached, stood) - before, 0.0)
    return replace(table, cached=cached, fresh=table.context - gone - cached)


def strike(table: Steps, shared: float, budget: float, target: float) -> Steps:
    """Shorten a prompt when it and its answer exceed `budget`; a strike loses all but the shared prefix.

    After a strike `target * budget` tokens and the step's own fresh tokens remain, at most what the budget
    leaves beside the answer. Tokens dropped earlier stay dropped until the agent itself rewrites its prompt.
    Compaction also writes a summary; its answer is not in the table and is not added.

    Parameters
    ----------
    shared : float      leading tokens that survive [tok]
    budget : float      limit of prompt plus answer [tok]
    target : float      share of the budget that remains [1]
    """
    if not (table.held > budget).any():
        return table
    context, cached = table.context.copy(), table.cached.copy()
    starts, lengths = _long_sequences(table, budget)
    dropped = np.zeros(len(starts))
    for place in range(int(lengths[0])):
        alive = int(np.searchsorted(-lengths, -place, side="left"))
        rows = starts[:alive] + place
        step = _strike(dropped[:alive], _Rows.of(table, rows), shared, budget, target)
        context[rows], cached[rows], dropped[:alive] = step
    return replace(table, cached=cached, fresh=context - cached)


class _Rows(NamedTuple):
    """One step of several sequences, each column (k,)."""

    context: FloatArray
    cached: FloatArray
    fresh: FloatArray
    output: FloatArray

    @classmethod
    def of(cls, table: Steps, rows: IntArray) -> "_Rows":
        return cls(table.context[rows], table.cached[rows], table.fresh[rows], table.output[rows])


def _strike(
    dropped: FloatArray, step: _Rows, shared: float, budget: float, target: float
) -> tuple[FloatArray, FloatArray, FloatArray]:
    """Prompt, cached and dropped tokens of one step of several sequences."""
    dropped = np.minimum(dropped, np.maximum(step.cached - shared, 0.0))
    size = step.context - dropped
    strikes: BoolArray = size + step.output > budget
    room = np.maximum(budget - step.output, 1.0)
    short = np.minimum(np.minimum(target * budget + step.fresh, room), size)
    context = np.where(strikes, short, size)
    survives = np.minimum(np.minimum(shared, step.cached), short - 1)
    return context, np.where(strikes, survives, step.cached - dropped), step.context - context


def _long_sequences(table: Steps, budget: float) -> tuple[IntArray, IntArray]:
    """First row and length of the sequences that exceed the budget, the longest first."""
    starts = np.flatnonzero(table.first)
    lengths = np.diff(np.append(starts, len(table)))
    longest = np.maximum.reduceat(table.held, starts)
    over = np.flatnonzero(longest > budget)
    order = over[np.argsort(-lengths[over], kind="stable")]
    return starts[order], lengths[order]


def _running(column: FloatArray, table: Steps) -> FloatArray:
    """(n,) sum of `column` over the sequence up to and including each step."""
    total = np.cumsum(column)
    starts = np.flatnonzero(table.first)
    lengths = np.diff(np.append(starts, len(table)))
    return total - np.repeat(total[starts] - column[starts], lengths)
