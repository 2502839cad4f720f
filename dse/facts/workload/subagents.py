"""Parallel sub-agents: the steps of a task dealt to agents that each start from a part of its context.

What is modelled is an assumption: parts of a task that follow each other do not need each other's observations, so
each becomes the task of a sub-agent that starts from a brief, and a last call of the lead agent reads what they hand
back. The calls stay as many, their prompts get shorter, and the parts run at once.
"""

import numpy as np

from dse.arrays import FloatArray, IntArray
from dse.facts.quantities import Fraction, Positive, Strict, Tokens
from dse.facts.workload.sessions import Steps, steps
from dse.facts.workload.sessions import Tokens as Columns

SPAN = 2.0**24
"""More tokens than any prompt has: keeps running minima of different agents apart [tok]."""


class SubAgents(Strict):
    """How an agent deals its task to sub-agents; the defaults are assumptions of this package, agents differ.

    Published research agents run three to five sub-agents at once (Anthropic, "How we built our multi-agent research
    system", 2025-06).
    """

    count: Positive
    """Sub-agents that share a task."""
    brief: Fraction = 0.1
    """Share of the context so far that a sub-agent starts from, beside the prefix that all sessions share."""
    report: Tokens = 1500.0
    """What each of them hands back to the lead agent."""


def dealt(table: Steps, how: SubAgents, shared: float) -> tuple[Steps, IntArray]:
    """Table in which each sequence is dealt to sub-agents, and the calls one after the other of each session.

    Parameters
    ----------
    table : Steps               append-only steps
    how : SubAgents             one sub-agent leaves the table as it is
    shared : float              leading tokens that every prompt has [tok]

    Returns
    -------
    Steps                       as many calls, and one of the lead per sequence that was dealt
    (sessions,) array           calls on the longest path, in the order of the sessions' numbers [1]
    """
    starts = np.flatnonzero(table.first)
    length = np.diff(np.append(starts, len(table)))
    size = np.ceil(length / how.count).astype(np.int64)
    parts = np.ceil(length / size).astype(np.int64)
    several = parts > 1
    chain = size + several
    _, task = np.unique(table.session[starts], return_inverse=True)
    path = np.bincount(task.ravel(), weights=chain).astype(np.int64)
    if not several.any():
        return table, path
    row_size = np.repeat(size, length)
    opens = (table.position % row_size == 0) & ~table.first
    part = np.cumsum(table.first | opens) - 1
    dropped = _dropped(table, part, how.brief, shared)
    context = table.context - dropped
    cached = np.where(opens, 0.0, table.cached - dropped)
    lead = starts[several]
    last = lead + length[several] - 1
    asked = table.context[lead] + parts[several] * how.report
    none = np.zeros(lead.size)
    made = steps(
        np.concatenate([table.session, table.session[lead]]),
        np.concatenate([np.where(opens, 0.0, table.gap), none]),
        Columns(
            np.concatenate([cached, none]),
            np.concatenate([context - cached, asked]),
            np.concatenate([table.output, table.output[last]]),
            np.concatenate([table.observation, none]),
        ),
        np.concatenate([part, part[-1] + 1 + np.arange(lead.size)]),
    )
    return made, path


def _dropped(table: Steps, part: IntArray, brief: float, shared: float) -> FloatArray:
    """(n,) tokens that the prompts of a sub-agent leave out; never more than the agent itself still has."""
    grown = np.maximum(table.cached - shared, 0.0)
    first = np.searchsorted(part, part)
    begun = ~table.first[first]
    wanted = np.where(begun, (1 - brief) * grown[first], 0.0)
    limited = np.minimum(wanted, grown) - part * SPAN
    return np.asarray(np.maximum(np.minimum.accumulate(limited) + part * SPAN, 0.0))
