"""Request traces: a recorded file becomes a step table.

Five layouts are read, told apart by what the file contains:

=========  =================================================================================================
mooncake   JSON lines with `timestamp` [ms], `input_length`, `output_length`, `hash_ids` (prefix blocks)
azure      CSV with `TIMESTAMP`, `ContextTokens`, `GeneratedTokens`; no prefixes, so each request is a session
columns    CSV or JSON lines with `session`, `gap_s`, `cached_tokens`, `fresh_tokens`, `output_tokens`;
           optional `agent` (sub-agents have prompts of their own) and `observation_tokens`
agents     CSV with `trace_id`, `agent`, `t_s`, `input_tokens`, `output_tokens`, `prefix_hit_tokens`,
           `api_time_s`, `think_time_s`: recorded coding agents (kv-cache-tester), one row per request
sessions   JSON, one object per session, with `id`, `block_size` and `requests` (`t`, `in`, `out`, `hash_ids`,
           `api_time`, `think_time`; a request with `requests` of its own is a sub-agent): the same, unreduced
=========  =================================================================================================

In our own columns `gap_s` is the time from the previous answer of the same agent to this request,
`cached_tokens` how many leading tokens of the prompt equal its previous request. The first row of an agent
has neither: write 0. The rows of an agent are in order of time.
"""

import math
from array import array
from collections.abc import Callable
from datetime import datetime
from pathlib import Path

import numpy as np

from dse.arrays import FloatArray
from dse.facts.errors import SpecError, did_you_mean, listed
from dse.facts.workload.sessions import Tokens, steps
from dse.facts.workload.trace_lines import MISTAKES, Arrivals, Blocks, Lines, Recording, blocks_of, in_order
from dse.facts.workload.traces_agents import AGENTS, SESSIONS, read_agents, read_sessions

__all__ = ["BLOCK", "MISTAKES", "Arrivals", "Blocks", "Recording", "arrivals", "read_trace"]

MOONCAKE = ("timestamp", "input_length", "output_length", "hash_ids")
AZURE = ("TIMESTAMP", "ContextTokens", "GeneratedTokens")
COLUMNS = ("session", "gap_s", "cached_tokens", "fresh_tokens", "output_tokens")
OPTIONAL = ("agent", "observation_tokens")
KNOWN = {
    MOONCAKE: (),
    AZURE: (),
    COLUMNS: OPTIONAL,
    AGENTS: ("step", "input_kinds", "output_kinds", "stop", "model"),
    SESSIONS: ("models", "hash_id_scope", "tool_tokens", "system_tokens", "totals"),
}
"""Fields of each layout -> further ones that it may have."""

BLOCK = 512
"""Tokens of a prefix block in the Mooncake release [tok] (its FAST'25 paper and README)."""


def read_trace(path: str | Path, block: int = BLOCK) -> Recording:
    """Read a trace file of any known layout; SpecError names every malformed line.

    Parameters
    ----------
    path : file
    block : int     tokens per prefix block, for the Mooncake layout [tok]
    """
    lines = Lines(Path(path))
    first = next(iter(lines.rows()), None)
    if first is None:
        lines.report(0, "holds no request: expected " + _layouts())
        raise SpecError(lines.mistakes)
    return _read(lines, set(first[1]), block)


def arrivals(times: FloatArray) -> Arrivals | None:
    """Rate and burstiness of arrival times [s]; None below three arrivals or when all coincide.

    Where times are so coarse that most coincide, the gaps say nothing; the index of dispersion of counts per
    tick, equal to the SCV of a renewal process in the long run, takes their place.
    """
    ordered = np.sort(times)
    if len(ordered) < 3 or ordered[-1] == ordered[0]:
        return None
    between = np.diff(ordered)
    rate = len(between) / float(ordered[-1] - ordered[0])
    if np.count_nonzero(between) > len(between) / 2:
        return Arrivals(rate, float(between.var() / between.mean() ** 2))
    span = float(ordered[-1] - ordered[0])
    tick = span / max(round(span / float(np.median(between[between > 0]))), 1)
    counts = np.bincount(np.rint((ordered - ordered[0]) / tick).astype(np.int64))
    return Arrivals(rate, float(counts.var() / counts.mean()))


def _read(lines: Lines, names: set[str], block: int) -> Recording:
    """Read with the layout whose fields the first request has."""
    readers: dict[tuple[str, ...], Callable[[], Recording]] = {
        MOONCAKE: lambda: _mooncake(lines, block),
        AZURE: lambda: _azure(lines),
        COLUMNS: lambda: _columns(lines),
        AGENTS: lambda: read_agents(lines),
        SESSIONS: lambda: read_sessions(lines),
    }
    for fields, reader in readers.items():
        if names >= set(fields):
            lines.refuse_unknown(names, {*fields, *KNOWN[fields]})
            found = reader()
            lines.refuse()
            return found
    best = max(readers, key=lambda fields: len(names & set(fields)))
    missing = [field for field in best if field not in names]
    near = did_you_mean(missing[0], names)
    lines.report(1, f"lacks {listed(missing)} in {listed(names)}.{near} Expected {_layouts()}")
    raise SpecError(lines.mistakes)


def _layouts() -> str:
    return "the fields " + ", or ".join(" ".join(fields) for fields in KNOWN)


def _mooncake(lines: Lines, block: int) -> Recording:
    """Requests whose prefix was last used by an earlier one continue its session.

    The request that last touched the deepest common block is the predecessor; a common first block alone
    (the system prompt, if all requests have it) joins nothing. Gaps are distances between requests: the file
    has no service times, so they are upper bounds of the idle time.
    """
    last: dict[object, int] = {}
    times: list[float] = []
    session: list[int] = []
    tokens, depth, gap = [], [], []
    previous: list[tuple[object, ...]] = []
    numbers: list[int] = []
    for line, row in lines.rows():
        time, size, output = (lines.number(line, row, name) for name in MOONCAKE[:3])
        blocks = row.get("hash_ids")
        if not isinstance(blocks, list) or len(blocks) != math.ceil(size / block) or not blocks:
            lines.report(line, f"expected {math.ceil(size / block)} ids, one per {block} prompt tokens", "hash_ids")
            continue
        if not all(isinstance(name, int | str) for name in blocks):
            lines.report(line, "an id is a number or a text", "hash_ids")
            continue
        ids = tuple(blocks)
        common = next((place for place, name in enumerate(ids) if name not in last), len(ids))
        parent = last[ids[common - 1]] if common > 1 else -1
        index = len(times)
        session.append(session[parent] if parent >= 0 else index)
        gap.append(time / 1000 - times[parent] if parent >= 0 else 0.0)
        depth.append(min(common * block, size - 1) if parent >= 0 else 0.0)
        last.update(dict.fromkeys(ids, index))
        times.append(time / 1000)
        tokens.append((size, output))
        previous.append(ids)
        numbers.append(line)
    lines.refuse()
    in_order(lines, numbers, np.array(times))
    lines.refuse()
    size, output = np.array(tokens, dtype=np.float64).T
    table = steps(session, gap, Tokens(depth, size - depth, output))
    opening = min(len(ids) for ids in previous)
    shared = next((place for place in range(opening) if len({ids[place] for ids in previous}) > 1), opening)
    order = np.argsort(np.array(session), kind="stable")
    leading = float(shared * block) if len(previous) > 1 else 0.0
    stacked = blocks_of([previous[place] for place in order.tolist()], float(block))
    return Recording(table, arrivals(np.array(times)), leading, np.array(times)[order], stacked)


def _azure(lines: Lines) -> Recording:
    """Each request is a session of one step: the file has no prefixes."""
    times, prompt, output, numbers = array("d"), array("d"), array("d"), array("q")
    for line, row in lines.rows():
        try:
            times.append(datetime.fromisoformat(_microseconds(str(row["TIMESTAMP"]))).timestamp())
        except ValueError:
            lines.report(line, f"{row['TIMESTAMP']!r}: expected a time such as 2023-11-16 18:15:46.68", "TIMESTAMP")
            continue
        prompt.append(lines.number(line, row, "ContextTokens"))
        output.append(lines.number(line, row, "GeneratedTokens"))
        numbers.append(line)
    in_order(lines, numbers, np.array(times))
    lines.refuse()
    size = len(prompt)
    zero = np.zeros(size)
    table = steps(np.arange(size), zero, Tokens(zero, prompt, output))
    return Recording(table, arrivals(np.array(times)), 0.0, np.array(times) - times[0])


def _microseconds(text: str) -> str:
    """Time with at most six digits after the point, in UTC where no zone is written."""
    whole, point, rest = text.strip().partition(".")
    digits = rest[: len(rest) - len(rest.lstrip("0123456789"))]
    zone = rest[len(digits) :] or ("" if "+" in whole or whole.endswith("Z") else "+00:00")
    return whole + point + digits[:6] + zone


def _columns(lines: Lines) -> Recording:
    """Our own layout."""
    agents: dict[tuple[str, str], int] = {}
    tasks: dict[str, int] = {}
    held: dict[int, float] = {}
    rows = array("d")
    for line, row in lines.rows():
        known = lines.count
        gap, cached, fresh, output = (lines.number(line, row, name) for name in COLUMNS[1:])
        observation = lines.number(line, row, OPTIONAL[1]) if OPTIONAL[1] in row else 0.0
        task = str(row.get("session", ""))
        agent = agents.setdefault((task, str(row.get("agent", ""))), len(agents))
        if cached > held.get(agent, math.inf):
            message = f"{cached:g}: more than the previous prompt and answer of this agent, {held[agent]:g}"
            lines.report(line, message, "cached_tokens")
        if cached + fresh < 1 and lines.count == known:
            lines.report(line, "0: expected a prompt of at least one token", "fresh_tokens")
        held[agent] = cached + fresh + output
        rows.extend((tasks.setdefault(task, len(tasks)), agent, gap, cached, fresh, output, observation))
    session, sequence, gaps, *tokens = np.frombuffer(rows).reshape(-1, 7).T
    return Recording(steps(session, gaps, Tokens(*tokens), sequence), None, 0.0)
