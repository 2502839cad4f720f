"""Step tables: one row for each model call of recorded or generated agent sessions.

Every source of a workload becomes such a table first: a request trace (`traces`), a percentile profile
(`profiles`). Context policies (`policies`) change the table; `distill` reduces it to the few numbers that
evaluation needs.

A *session* is one task. A *sequence* is one agent of it: a sub-agent has a prompt of its own, so its own
prefix in the cache. The session's steps are the steps of all its agents.
"""

import zipfile
from dataclasses import dataclass, fields, replace
from functools import cached_property
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike

from dse.arrays import BoolArray, FloatArray, IntArray

MOST_BYTES = 500_000_000
"""Bytes of a step table unpacked, at most: five million steps take little more than half of it."""

BREAK_SHARE = 0.5
"""A step after the first whose fresh tokens exceed this share of its prompt has lost its prefix (ours)."""


@dataclass(frozen=True, eq=False)
class Steps:
    """Model calls, the steps of one sequence next to each other and in order of time; arrays are read-only.

    Tokens are counts of the prompt as sent: `context = cached + fresh`.
    """

    session: IntArray
    """(n,) number of the task."""
    sequence: IntArray
    """(n,) number of the agent; unique over all sessions."""
    gap: FloatArray
    """(n,) time from the previous answer of the same sequence to this request [s]; 0 on a first step."""
    cached: FloatArray
    """(n,) leading tokens that equal the previous request of the sequence [tok]; 0 on a first step."""
    fresh: FloatArray
    """(n,) tokens after them [tok]."""
    output: FloatArray
    """(n,) answer, reasoning included [tok]."""
    observation: FloatArray
    """(n,) the last of the fresh tokens that show the outside world (a page, a screenshot) [tok]; 0 if
    unknown."""

    def __post_init__(self) -> None:
        for column in fields(self):
            getattr(self, column.name).setflags(write=False)

    def __len__(self) -> int:
        """Number of steps."""
        return len(self.fresh)

    @cached_property
    def context(self) -> FloatArray:
        """(n,) prompt tokens [tok]."""
        return self.cached + self.fresh

    @cached_property
    def held(self) -> FloatArray:
        """(n,) tokens whose KV exists after the step: prompt and answer [tok]."""
        return self.context + self.output

    @cached_property
    def first(self) -> BoolArray:
        """(n,) whether the step opens its sequence."""
        return np.concatenate([[True], np.diff(self.sequence) != 0])[: len(self)]

    @cached_property
    def last(self) -> BoolArray:
        """(n,) whether the step ends its sequence."""
        return np.concatenate([np.diff(self.sequence) != 0, [True]])[-len(self) or None :]

    @cached_property
    def broken(self) -> BoolArray:
        """(n,) whether the step lost its prefix although it is not a first step."""
        return ~self.first & (self.fresh > BREAK_SHARE * self.context)

    @cached_property
    def position(self) -> IntArray:
        """(n,) place of the step in its sequence, from 0."""
        index = np.arange(len(self), dtype=np.int64)
        return index - np.maximum.accumulate(np.where(self.first, index, 0))

    @cached_property
    def sessions(self) -> int:
        """Number of tasks."""
        return len(np.unique(self.session))

    @cached_property
    def sequences(self) -> int:
        """Number of agents over all tasks."""
        return int(self.first.sum())


def steps(
    session: ArrayLike,
    gap: ArrayLike,
    tokens: "Tokens",
    sequence: ArrayLike | None = None,
) -> Steps:
    """Step table from columns in any order of sequences; steps of a sequence must be in order of time.

    Parameters
    ----------
    session, gap : (n,)            as in `Steps`
    tokens : columns               cached, fresh, output and, where known, observation [tok]
    sequence : (n,), optional      agent; without it each session has one agent

    >>> steps([7, 7], [0, 9], Tokens(cached=[0, 100], fresh=[100, 20], output=[5, 5])).context
    array([100., 120.])
    """
    tasks = np.asarray(session, dtype=np.int64)
    agents = tasks if sequence is None else np.asarray(sequence, dtype=np.int64)
    _, agents = np.unique(np.stack([tasks, agents]), axis=1, return_inverse=True)
    order = np.argsort(agents, kind="stable")
    opens = np.concatenate([[True], np.diff(agents[order]) != 0])[: len(order)]
    columns = [np.asarray(column, dtype=np.float64)[order] for column in tokens[:3]]
    observation = np.zeros(len(order)) if tokens.observation is None else np.asarray(tokens.observation, float)[order]
    cached, fresh, output = columns
    return Steps(
        session=tasks[order],
        sequence=agents[order].astype(np.int64),
        gap=np.where(opens, 0.0, np.asarray(gap, dtype=np.float64)[order]),
        cached=np.where(opens, 0.0, cached),
        fresh=np.where(opens, cached + fresh, fresh),
        output=output,
        observation=np.minimum(observation, fresh),
    )


class Tokens(NamedTuple):
    """Token columns of a step table, each (n,) [tok]."""

    cached: ArrayLike
    fresh: ArrayLike
    output: ArrayLike
    observation: ArrayLike | None = None


def before(column: FloatArray, table: Steps) -> FloatArray:
    """(n,) value of `column` at the previous step of the same sequence; 0 on first steps."""
    return np.where(table.first, 0.0, np.roll(column, 1))


def share_prefix(table: Steps, shared: float) -> Steps:
    """Table in which first steps find the prefix that all sessions of the class share.

    A trace sees one session at a time and counts the system prompt and tool definitions of a first step as
    fresh; an instance that serves many sessions holds them already. One token is always computed.
    """
    found = np.where(table.first, np.minimum(shared, np.maximum(table.context - 1, 0)), table.cached)
    return replace(table, cached=found, fresh=table.context - found)


_POSITIVE = ("gap_ms", "fresh", "output", "observation")
_COLUMNS = ("session", "sequence", "lost", *_POSITIVE)


def save(table: Steps, path: Path) -> None:
    """Write a table as compressed whole numbers; gaps are rounded to milliseconds.

    Columns are coded as differences where that makes the file small: `cached` against the previous prompt.
    """
    prompt = before(table.context, table)
    columns = {
        "session": np.diff(table.session, prepend=0),
        "sequence": np.diff(table.sequence, prepend=0),
        "gap_ms": table.gap * 1000,
        "lost": prompt - table.cached,
        "fresh": table.fresh,
        "output": table.output,
        "observation": table.observation,
    }
    whole = {name: np.rint(column).astype(np.int64) for name, column in columns.items()}
    np.savez_compressed(path, allow_pickle=False, **whole)


def load(path: Path) -> Steps:
    """Read what `save` wrote; nothing in the file is executed. ValueError where it is no step table."""
    column = _unpacked(path)
    if len({values.shape for values in column.values()}) > 1 or column["fresh"].ndim != 1 or not column["fresh"].size:
        raise ValueError("its columns are empty or differ in length")
    sequence = np.cumsum(column["sequence"])
    context = _contexts(sequence, column["lost"], column["fresh"])
    if min(column[name].min() for name in _POSITIVE) < 0 or (context < column["fresh"]).any():
        raise ValueError("it has negative tokens or gaps")
    return Steps(
        session=np.cumsum(column["session"]),
        sequence=sequence,
        gap=column["gap_ms"] / 1000,
        cached=(context - column["fresh"]).astype(np.float64),
        fresh=column["fresh"].astype(np.float64),
        output=column["output"].astype(np.float64),
        observation=column["observation"].astype(np.float64),
    )


def _unpacked(path: Path) -> dict[str, IntArray]:
    """Columns of a file that is not larger unpacked than the steps that are read from any trace."""
    try:
        with path.open("rb") as stream:
            with zipfile.ZipFile(stream) as packed:
                size = sum(member.file_size for member in packed.infolist())
            if size > MOST_BYTES:
                raise ValueError(f"it has {size:,} bytes unpacked, at most {MOST_BYTES:,} are read")
            stream.seek(0)
            with np.load(stream, allow_pickle=False) as file:
                return {name: np.asarray(file[name], dtype=np.int64) for name in _COLUMNS}
    except (OSError, ValueError):
        raise
    except Exception as error:  # a damaged file can fail in any step of unpacking, with any error
        raise ValueError(str(error) or type(error).__name__) from error


def _contexts(sequence: IntArray, lost: IntArray, fresh: IntArray) -> IntArray:
    """(n,) prompts: each is the previous one of its sequence minus what was lost plus what is fresh."""
    opens = np.concatenate([[True], np.diff(sequence) != 0])[: len(sequence)]
    total = np.cumsum(fresh - lost)
    base = np.maximum.accumulate(np.where(opens, np.arange(len(sequence)), 0))
    return np.asarray(total - (total - fresh + lost)[base])
