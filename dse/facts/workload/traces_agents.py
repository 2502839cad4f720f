"""Sessions of coding agents as kv-cache-tester records them: reduced to a table, or unreduced with prefix blocks."""

import math
from array import array
from typing import NamedTuple

import numpy as np

from dse.arrays import FloatArray
from dse.facts.errors import listed
from dse.facts.workload.sessions import Tokens, steps
from dse.facts.workload.trace_lines import Lines, Recording, blocks_of

AGENTS = (
    "trace_id",
    "agent",
    "t_s",
    "input_tokens",
    "output_tokens",
    "prefix_hit_tokens",
    "api_time_s",
    "think_time_s",
)
SESSIONS = ("id", "block_size", "requests")


class _Request(NamedTuple):
    """One request of a recorded agent."""

    time: float
    prompt: float
    output: float
    cached: float
    service: float
    """Time of the answer [s]; NaN where unknown."""
    pause: float
    """Time since the previous answer [s]; NaN where unknown."""


def _gap(before: _Request | None, own: _Request) -> float:
    """Time from an agent's previous answer; where that has no service time, the pause may span it, so it is cut."""
    if before is None:
        return 0.0
    distance = own.time - before.time
    if math.isnan(own.pause):
        return distance
    return min(own.pause, distance) if math.isnan(before.service) else own.pause


def read_agents(lines: Lines) -> Recording:
    """Reduced sessions of coding agents; the agents of a session have prompts of their own."""
    tasks: dict[str, int] = {}
    agents: dict[tuple[str, str], int] = {}
    last: dict[int, _Request] = {}
    rows = array("d")
    for line, row in lines.rows():
        time, prompt, output, cached = (lines.number(line, row, name) for name in AGENTS[2:6])
        service, pause = (lines.number(line, row, name, math.nan) for name in AGENTS[6:])
        own = _Request(time, prompt, output, cached, service, pause)
        task = str(row["trace_id"])
        agent = agents.setdefault((task, str(row["agent"])), len(agents))
        before = last.get(agent)
        if before is not None and time < before.time:
            lines.report(line, f"{time:g}: before the previous request of this agent, {before.time:g}", "t_s")
        if cached > prompt or prompt < 1:
            lines.report(line, f"{prompt:g}: expected at least one token and prefix_hit_tokens", "input_tokens")
        last[agent] = own
        found = min(cached, prompt - 1)
        values = (_gap(before, own), found, prompt - found, output, time)
        rows.extend((tasks.setdefault(task, len(tasks)), agent, *values))
    lines.refuse()
    return _of_agents(np.frombuffer(rows).reshape(-1, 7))


def _of_agents(rows: FloatArray) -> Recording:
    """Recording of columns session, sequence, gap, cached, fresh, output, time."""
    session, sequence, gap, cached, fresh, output, times = rows.T
    order = np.argsort(sequence, kind="stable")
    return Recording(steps(session, gap, Tokens(cached, fresh, output), sequence), None, 0.0, times[order])


def read_sessions(lines: Lines) -> Recording:
    """Sessions of coding agents as recorded, with the blocks of every prompt, which are local to the session."""
    rows: list[tuple[float, ...]] = []
    ids: list[list[object]] = []
    agents, sizes = 0, set()
    for task, (line, session) in enumerate(lines.rows()):
        size = lines.number(line, session, "block_size")
        sizes.add(size)
        main = session.get("requests")
        if not isinstance(main, list) or size < 1:
            lines.report(line, "expected a list of requests and a block_size of at least 1", "requests")
            continue
        subs = [own.get("requests") for own in main if isinstance(own, dict) and "requests" in own]
        own_main = [own for own in main if not (isinstance(own, dict) and "requests" in own)]
        for requests in [own_main, *subs]:
            before: _Request | None = None
            known: list[object] = []
            for place, raw in enumerate(requests if isinstance(requests, list) else []):
                row = raw if isinstance(raw, dict) else {}
                where = f"requests[{place}]"
                time, prompt, output = (lines.number(line, row, name) for name in ("t", "in", "out"))
                blocks = row.get("hash_ids")
                if not isinstance(blocks, list) or prompt < 1:
                    lines.report(line, "expected `in` of at least 1 and a list of hash_ids", where)
                    continue
                service, pause = (float(row.get(name) or math.nan) for name in ("api_time", "think_time"))
                own = _Request(time, prompt, output, 0.0, service, pause)
                if before is not None and time < before.time:
                    lines.report(line, f"{time:g}: before the previous request, {before.time:g}", where)
                both = zip(known, blocks, strict=False)
                common = next((n for n, (old, new) in enumerate(both) if old != new), min(len(known), len(blocks)))
                found = min(common * size, prompt - 1)
                rows.append((task, agents, _gap(before, own), found, prompt - found, output, time))
                ids.append([(task, name) for name in blocks])
                before, known = own, blocks
            agents += 1
    if len(sizes) > 1:
        lines.report(0, f"sessions have several block sizes: {listed(f'{size:g}' for size in sizes)}")
    if not rows and not lines.mistakes:
        lines.report(1, "holds no request", "requests")
    lines.refuse()
    made = _of_agents(np.array(rows, dtype=np.float64))
    return made._replace(blocks=blocks_of(ids, sizes.pop()))
