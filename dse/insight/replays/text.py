"""A replay in words and tables for a terminal."""

from dse.insight.replays.answer import Answer
from dse.insight.table import Table
from dse.insight.wording import cell, number, percent, quantity

OPERATING = 0.9
"""Share of the rated load from which on analytic and simulated figures are for the same point [1]."""

ROWS = {
    "tasks_per_s": ("tasks/s", 1.0),
    "ttft_mean": ("TTFT mean, s", 1.0),
    "ttft_p50": ("TTFT p50, s", 1.0),
    "ttft_p95": ("TTFT p95, s", 1.0),
    "ttft_p99": ("TTFT p99, s", 1.0),
    "tpot": ("TPOT mean, ms", 1e-3),
    "hit_rate": ("KV hit rate, %", 0.01),
    "task_latency": ("model time per task, s", 1.0),
}
"""Metric -> what people read, and its size in SI."""


def sentences(made: Answer) -> list[tuple[str, str]]:
    """Label and sentence, in the order in which they are read."""
    left = f"{made.counts['unfinished']:,} unfinished"
    if made.steady:
        left = f"{made.in_flight:,} in flight at the end"
    pools = " + ".join(f"{count} {name}" for name, count in made.instances.items())
    counts = made.counts
    good, hits = made.goodput, made.hits
    within = f"TTFT ≤ {quantity(good['ttft_target'], 's')} and TPOT ≤ {quantity(good['tpot_target'], 's')}"
    tiers = {"hbm": "HBM", "host": "host DRAM", "pool": "pool", "missed": "nowhere"}
    where = ", ".join(f"{percent(hits[key])} {word}" for key, word in tiers.items() if hits[key] > 0)
    busy = ", ".join(f"{name} {percent(value)}" for name, value in made.utilisation.items())
    found = [
        ("system", f"{pools} instances, {made.devices:,} accelerators, {number(made.tasks_per_s)} tasks/s offered"),
        (
            "requests",
            f"{_asked(made)}: {counts['finished']:,} finished, {counts['rejected']:,} rejected, {left}; "
            f"{quantity(made.simulated_seconds, 's')} simulated",
        ),
        (
            "goodput",
            f"{number(good['output_tokens_per_s'])} output tok/s within {within}; "
            f"{percent(good['share_of_requests'])} of the requests are",
        ),
        ("prefixes in", f"{where or 'no step resumes'}; {percent(hits['tokens'])} of the prompt tokens"),
        ("busy", busy),
    ]
    load = made.tasks_per_s / made.rated_tasks_per_s
    if not OPERATING < load < 1 / OPERATING or not made.steady:
        what = f"{percent(load)} of the {number(made.rated_tasks_per_s)} tasks/s that the closed form gives them"
        found.insert(1, ("load", f"{what}; analytic figures hold for the latter, in the steady state"))
    if made.preempted:
        found.append(("preempted", f"{made.preempted:,} times a batch outgrew its memory"))
    if made.largest_rate is not None:
        asked = f"{within}, each at p{good['percentile']:g}"
        said = f"{number(made.largest_rate)} tasks/s on these instances keep {asked}"
        found.append(("largest rate", said if made.largest_rate else f"no rate tried keeps {asked}"))
    if made.interrupted:
        found.append(("interrupted", "what had finished by then is counted"))
    return found


def _asked(made: Answer) -> str:
    """Requests that were served, or were to be served."""
    if not made.steady:
        return f"{made.requests:,} of {made.trace}"
    count = made.counts["finished"] + made.counts["rejected"] + made.in_flight
    return f"{count:,} of sessions drawn from the {made.tasks:,} of {made.trace}, in the steady state"


def table(made: Answer) -> Table:
    """Predicted beside simulated."""
    rows = []
    for name, (label, size) in ROWS.items():
        said, seen = made.predicted[name], made.simulated[name]
        ratio = f"{said / seen:.2f}" if seen > 0 else "–"
        rows.append((label, cell(said / size), cell(seen / size), ratio))
    return Table(("", "analytic", "simulated", "analytic/simulated"), tuple(rows))


def distributions(made: Answer) -> Table:
    """Quantiles of the three latencies."""
    names = {"ttft": ("TTFT, s", 1.0), "tpot": ("TPOT, ms", 1e-3), "task_time": ("model time per task, s", 1.0)}
    rows = []
    for key, (label, size) in names.items():
        own = made.distributions[key]
        rows.append((label, *(cell(own[level] / size) for level in ("mean", "p50", "p90", "p95", "p99"))))
    return Table(("simulated", "mean", "p50", "p90", "p95", "p99"), tuple(rows))
