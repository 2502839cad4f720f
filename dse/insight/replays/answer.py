"""The answer of a replay: predicted beside simulated, how requests ended, how full everything was."""

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any

import numpy as np

from dse.arrays import FloatArray
from dse.replay import layout
from dse.replay.design import rated
from dse.replay.outcome import Counts, Outcome, spread
from dse.replay.rate import Best, targets
from dse.replay.scenario import Replayed
from dse.search.runs.run import write_atomic

FILE = "replay.json"
"""Replays of a run, in its folder."""

CDF_LEVELS: FloatArray = np.concatenate([np.linspace(0.0, 0.95, 39), np.linspace(0.96, 1.0, 9)])
"""Levels at which distributions are stored [1]."""


@dataclass(frozen=True)
class Answer:
    """One replay, as it is stored and shown."""

    design: str
    agent: str
    trace: str
    requests: int
    tasks: int
    instances: Mapping[str, int]
    """Whole instances of each pool."""
    devices: int
    tasks_per_s: float
    """Rate of sessions started [1/s]."""
    rated_tasks_per_s: float
    """Rate that the closed form gives these instances at the utilisation of the study [1/s]."""
    counts: Mapping[str, int]
    """Finished, rejected, unfinished; they add up to the requests."""
    in_flight: int
    """Of the unfinished: in the system at the end; the others had not been asked yet."""
    steady: bool
    """Whether it began in the steady state, with sessions drawn from the trace."""
    interrupted: bool
    simulated_seconds: float
    """Time that counts [s]."""
    predicted: Mapping[str, float]
    simulated: Mapping[str, float]
    distributions: Mapping[str, Mapping[str, float]]
    """ttft, tpot, task_time -> mean and quantiles [s]."""
    goodput: Mapping[str, float]
    """Output tokens per second within the targets, share of requests within them, the targets."""
    utilisation: Mapping[str, float]
    hits: Mapping[str, float]
    """Resumptions by the tier that had their prefix, and prompt tokens found [1]."""
    moved: Mapping[str, float]
    """Bytes over each link and to each tier [B]."""
    preempted: int
    curves: Mapping[str, list[float]]
    """Over time: `time` [s], busy shares, occupancy of each tier [B], requests."""
    cdf: Mapping[str, list[float]]
    """`level` and the quantiles of ttft and tpot [s]."""
    largest_rate: float | None = None
    """Largest rate of tasks that meets the targets, where it was asked for [1/s]."""
    seed: int = 0

    def json(self) -> dict[str, Any]:
        """For programs."""
        return asdict(self)


def answer(replayed: Replayed, design: str, best: Best | None = None) -> Answer:
    """Answer of one replay."""
    outcome, scenario = replayed.outcome, replayed.scenario
    wanted = targets(scenario)
    tokens_per_s, share = outcome.goodput(wanted.ttft, wanted.tpot)
    ttft, tpot = spread(outcome.ttft), spread(outcome.tpot)
    per_task = scenario.steps_per_task
    said = scenario.predicted()
    predicted = {"tasks_per_s": replayed.tasks_per_s} | said
    simulated = {
        "tasks_per_s": 0.0 if outcome.drains else outcome.steps_per_s / per_task,
        "ttft_mean": ttft.mean,
        "ttft_p50": ttft.p50,
        "ttft_p95": ttft.p95,
        "ttft_p99": ttft.p99,
        "tpot": outcome.tpot_mean,
        "hit_rate": outcome.hit_rate,
        "task_latency": float(outcome.latency.mean() * per_task) if outcome.latency.size else 0.0,
    }
    return Answer(
        design=design,
        agent=scenario.agent,
        trace=scenario.trace.name,
        requests=outcome.traffic.requests,
        tasks=scenario.trace.tasks,
        instances=_instances(replayed),
        devices=_devices(replayed),
        tasks_per_s=replayed.tasks_per_s,
        rated_tasks_per_s=rated(scenario.served, replayed.size) / per_task,
        counts=outcome.counts._asdict(),
        in_flight=outcome.in_flight,
        steady=outcome.traffic.begin > 0,
        interrupted=outcome.interrupted,
        simulated_seconds=outcome.span,
        predicted={name: predicted[name] for name in simulated},
        simulated=simulated,
        distributions={
            "ttft": ttft._asdict(),
            "tpot": tpot._asdict(),
            "task_time": spread(_task_time(replayed))._asdict(),
        },
        goodput={
            "output_tokens_per_s": tokens_per_s,
            "share_of_requests": share,
            "ttft_target": wanted.ttft,
            "tpot_target": wanted.tpot,
            "percentile": 100 * wanted.level,
        },
        utilisation=outcome.utilisation | _links(outcome),
        hits=outcome.tier_shares | {"tokens": outcome.token_hit_rate},
        moved=_moved(outcome),
        preempted=int(outcome.totals[layout.T_PREEMPTED]),
        curves=_curves(outcome),
        cdf=_cdf(outcome),
        largest_rate=None if best is None else best.rate,
        seed=replayed.plan.seed,
    )


def _task_time(replayed: Replayed) -> FloatArray:
    """Time in the model of each session [s].

    Where a steady state was cut out of longer sessions, those that begin and end inside are the short ones; there every
    session of the trace gets the mean times of its steps, and the mean of all where a step was not drawn.
    """
    outcome, steps = replayed.outcome, replayed.scenario.trace.steps
    if outcome.traffic.begin == 0 or not outcome.latency.size:
        return outcome.task_time
    rows, size = outcome.column(layout.R_ROW).astype(int), len(steps)
    seen = np.bincount(rows, minlength=size)
    spent = np.bincount(rows, outcome.latency, size)
    expected = outcome.ttft.mean() + np.maximum(steps.output - 1, 0) * outcome.tpot_mean
    times = np.where(seen > 0, spent / np.maximum(seen, 1), expected)
    _, session = np.unique(steps.session, return_inverse=True)
    return np.asarray(np.bincount(session, times), dtype=np.float64)


def _instances(replayed: Replayed) -> dict[str, int]:
    known = {"prefill": replayed.size.prefill, "decode": replayed.size.decode}
    return {name: count for name, count in known.items() if count}


def _devices(replayed: Replayed) -> int:
    """Accelerators of all instances."""
    served = replayed.scenario.served
    decode = replayed.size.decode * served.mapped("decode").devices
    prefill = 0 if served.colocated else replayed.size.prefill * served.mapped("prefill").devices
    return decode + prefill


def _links(outcome: Outcome) -> dict[str, float]:
    """Mean use of the links between the pools and to host DRAM; the fuller direction [1]."""
    system, span = outcome.system, max(outcome.horizon, 1e-9)
    kv, totals = system.links.kv_token, outcome.totals
    if system.colocated:
        return {}
    moved = max(totals[layout.T_FORTH], totals[layout.T_BACK]) * kv / span
    found = {
        "prefill link": moved / (system.prefill.ranks * system.links.prefill),
        "decode link": moved / (system.decode.instances * system.decode.ports * system.links.decode),
    }
    return {name: float(value) for name, value in found.items()}


def _moved(outcome: Outcome) -> dict[str, float]:
    kv, totals = outcome.system.links.kv_token, outcome.totals
    names = {
        "prefill to decode": layout.T_FORTH,
        "decode to prefill": layout.T_BACK,
        "from host": layout.T_HOST_READ,
        "over the pool's link": layout.T_POOL_READ,
        "to host": layout.T_HOST_WRITE,
        "to the pool": layout.T_POOL_WRITE,
    }
    return {name: float(totals[index] * kv) for name, index in names.items() if totals[index] > 0}


def _curves(outcome: Outcome) -> dict[str, list[float]]:
    """Curves over time, in units of people."""
    system, count = outcome.system, len(outcome.series)
    kv = system.links.kv_token
    width = outcome.horizon / count
    found: dict[str, FloatArray] = {"time": np.asarray((np.arange(count) + 0.5) * width)}
    if not system.colocated:
        found["prefill busy"] = outcome.curve(layout.S_PREFILL, True) / system.prefill.ranks
        found["KV sent, B/s"] = outcome.curve(layout.S_FORTH, True) * kv
        found["KV sent back, B/s"] = outcome.curve(layout.S_BACK, True) * kv
    found["KV restored, B/s"] = outcome.curve(layout.S_RESTORED, True) * kv
    found["slots filled"] = outcome.curve(layout.S_SLOTS, True) / (system.decode.instances * system.decode.slots)
    found["active KV, B"] = outcome.curve(layout.S_ACTIVE) * kv
    for name, column in (("HBM", layout.S_HBM), ("host", layout.S_HOST), ("pool", layout.S_POOL)):
        if outcome.series[:, column].any():
            found[f"idle KV in {name}, B"] = outcome.curve(column) * kv
    found["waiting for prefill"] = outcome.curve(layout.S_QUEUE)
    found["in flight"] = outcome.curve(layout.S_FLIGHT)
    return {name: [float(f"{value:.5g}") for value in values] for name, values in found.items()}


def _cdf(outcome: Outcome) -> dict[str, list[float]]:
    found: dict[str, FloatArray] = {"level": CDF_LEVELS}
    for name, values in (("ttft", outcome.ttft), ("tpot", outcome.tpot)):
        found[name] = np.asarray(np.quantile(values, CDF_LEVELS)) if values.size else np.zeros(CDF_LEVELS.size)
    return {name: [float(f"{value:.5g}") for value in values] for name, values in found.items()}


def stored(folder: Path) -> tuple[Answer, ...]:
    """Replays kept with a run; none where there is no readable file."""
    try:
        content = json.loads((folder / FILE).read_text(encoding="utf-8"))
        known = {field.name for field in fields(Answer)}
        return tuple(Answer(**{key: value for key, value in row.items() if key in known}) for row in content)
    except (OSError, ValueError, TypeError, AttributeError):
        return ()


def store(folder: Path, made: Answer) -> None:
    """Keep a replay with its run, in place of an earlier one of the same design, agent and trace."""

    def key(own: Answer) -> tuple[str, str, str]:
        return own.design, own.agent, own.trace

    kept = [own for own in stored(folder) if key(own) != key(made)]
    text = json.dumps([own.json() for own in [*kept, made]], ensure_ascii=False)
    write_atomic(folder / FILE, text.encode())


def ended(counts: Mapping[str, int]) -> Counts:
    """Counts as they are stored."""
    return Counts(**counts)
