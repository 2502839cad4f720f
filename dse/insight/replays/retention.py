"""Hit rate against capacity three ways: exact stack distances, simulation, closed form."""

from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
from plotly import graph_objects as go
from plotly.graph_objects import Figure

from dse.arrays import FloatArray
from dse.facts.errors import Mistake, SpecError
from dse.facts.workload.classes import described, workload
from dse.facts.workload.traces import read_trace
from dse.insight.report import style
from dse.physics import retention
from dse.replay import traffic
from dse.replay.run import replay
from dse.replay.stack import distances, hit_rates, in_request_order
from dse.replay.system import Decode, Keeping, Links, Prefill, System, Times

POINTS = 17
"""Capacities that are tried [1]."""

SMALLEST = 0.003
"""The smallest of them, as a share of all blocks of the trace [1]."""


@dataclass(frozen=True)
class Curves:
    """Share of prompt tokens found in a cache of each size."""

    trace: str
    block: float
    """Tokens of a block [tok]."""
    capacity: list[float]
    """[tok]."""
    exact: list[float]
    simulated: list[float]
    closed: list[float]
    """By the characteristic time of derived sessions (retention R2), their shared prefix always found."""
    limit: float
    """Share found by a cache without limit: the rest are compulsory misses [1]."""

    def json(self) -> dict[str, Any]:
        """For programs."""
        return asdict(self)


def curves(path: Path) -> Curves:
    """Curves of a trace with block hashes and arrival times."""
    recording = read_trace(path)
    if recording.blocks is None or recording.times is None or recording.arrivals is None:
        raise SpecError(
            [Mistake(str(path), 0, 0, "", "expected a trace with `hash_ids` and one clock for all requests")]
        )
    blocks = recording.blocks
    order = np.argsort(recording.times, kind="stable")
    found = distances(in_request_order(blocks.ids, blocks.start, order))
    distinct = int(blocks.ids.max()) + 1
    sizes = np.unique(np.rint(np.geomspace(max(SMALLEST * distinct, 1), distinct, POINTS)))
    steps = len(recording.steps)
    known = workload(described(recording, path), recording.steps)
    rate = recording.arrivals.rate
    times = retention.characteristic_time(
        known.curves.retention[:-1], known.curves.occupancy[:-1], sizes * blocks.size / rate
    )
    opening = float(known.served.cached - known.curves.restore_tokens[-1])
    kept = known.curves.at("restore_tokens", times) + _surviving(known.curves.miss_tokens, known, times)
    asked = traffic.as_recorded(recording.steps, recording.times, blocks)
    seen = [
        float(replay(_cache(size * blocks.size), asked).records[:, 7].sum() / blocks.size) / blocks.ids.size
        for size in sizes
    ]
    return Curves(
        path.name,
        blocks.size,
        (sizes * blocks.size).tolist(),
        hit_rates(found, sizes).tolist(),
        seen,
        ((opening + kept) * steps / (blocks.ids.size * blocks.size)).tolist(),
        float((found >= 0).mean()),
    )


def _surviving(lost: FloatArray, known: Any, times: FloatArray) -> FloatArray:
    """Shared prefix that a step finds although its own KV is gone, per step [tok]."""
    missing = known.curves.restore_tokens[-1] - known.curves.at("restore_tokens", times)
    return np.asarray(np.maximum(missing - known.curves.at("miss_tokens", times), 0.0))


def _cache(tokens: float) -> System:
    """One cache behind an instance that answers at once: nothing but the order of the requests matters."""
    far = np.array([0.0, 1e9])
    instant = np.outer(far * 1e-12, np.ones(2))
    slots = 64
    step = np.full((slots + 1, 2), 1e-9)
    keeping = Keeping(1, 1, np.array([tokens, 0.0, 0.0]))
    times = Times(step, far, instant, far, instant, far, far)
    return System(times, Prefill(1, 1, 1e9), Decode(1, slots, 1e15), keeping, Links())


def figure(found: Curves) -> Figure:
    """The three curves in one picture."""
    made = Figure()
    shown = (
        ("exact, stack distances", found.exact, style.category(0), "lines", "solid"),
        ("simulated", found.simulated, style.category(1), "markers", "solid"),
        ("closed form, characteristic time", found.closed, style.category(2), "lines", "dash"),
    )
    capacity = [tokens / 1e6 for tokens in found.capacity]
    for name, values, colour, mode, dash in shown:
        look = {"color": colour, "dash": dash}
        marker = {"color": colour, "size": 8}
        made.add_trace(go.Scatter(x=capacity, y=values, mode=mode, name=name, line=look, marker=marker))
    made.add_hline(y=found.limit, line={"dash": "dot", "color": style.PALETTE["grey"]})
    title = "Prompt tokens found against the capacity of the cache"
    note = f"{style.plain(found.trace)} · dotted: without limit · analytic estimate for the closed form"
    axes = {"xaxis": style.axis("capacity, 10⁶ tokens", True), "yaxis": style.axis("share of prompt tokens found, 1")}
    return style.dressed(made, title, note, 420, legend={"orientation": "h", "y": -0.2}, **axes)
