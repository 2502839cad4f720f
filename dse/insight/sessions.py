"""A class of agents in numbers and words: how long its sessions are, what they carry, how long they pause."""

from collections.abc import Iterator, Mapping
from typing import Any

from dse.facts.workload.classes import Workload, load_workload, names
from dse.insight.table import Table
from dse.insight.wording import cell, number, percent, quantity

RETENTIONS = (10.0, 60.0, 600.0, 3600.0)
"""Retention times at which the share of hits is told [s]."""


def known() -> tuple[str, ...]:
    """Classes of the catalog."""
    return names()


def facts(name: str) -> dict[str, Any]:
    """Numbers of a class."""
    own: Workload = load_workload(name)
    served = own.served
    return {
        "id": own.id,
        "description": own.description,
        "source": own.source,
        "licence": own.licence,
        "estimate": own.estimate,
        "steps": own.steps,
        "sequences": own.sequences,
        "context_mean_tok": served.context,
        "context_p50_tok": own.longest.p50,
        "context_p99_tok": own.longest.p99,
        "fresh_mean_tok": served.fresh,
        "cached_mean_tok": served.cached,
        "output_mean_tok": served.output,
        "shared_prefix_tok": own.shared_prefix,
        "prefix_break": own.prefix_break,
        "hit_by_time": {f"{time:g} s": float(own.curves.at("hit_by_time", time)) for time in RETENTIONS},
        "slo": {"ttft_s": own.slo.ttft, "tpot_s": own.slo.tpot, "source": own.slo.source} if own.slo else None,
        "policy": own.policy.overflow,
        "notes": list(own.notes),
    }


def words(made: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    """Facts as sentences with a subject."""
    yield str(made["id"]), str(made["description"])
    yield "sessions", f"{number(made['steps'])} steps, {number(made['sequences'])} agents each"
    context = f"mean {number(made['context_mean_tok'])} tok; longest of a session p50 {number(made['context_p50_tok'])}"
    yield "context", f"{context}, p99 {number(made['context_p99_tok'])} tok; on overflow {made['policy']}"
    yield (
        "step",
        (
            f"{number(made['fresh_mean_tok'])} tok fresh on {number(made['cached_mean_tok'])} cached, "
            f"{number(made['output_mean_tok'])} tok out; shared prefix {number(made['shared_prefix_tok'])} tok"
        ),
    )
    hits = ", ".join(f"{percent(share)} within {time}" for time, share in made["hit_by_time"].items())
    yield "resumed", f"{hits}; prefix broken in {percent(made['prefix_break'])} of the steps"
    if made["slo"]:
        slo = made["slo"]
        yield "targets", f"TTFT {quantity(slo['ttft_s'], 's')}, TPOT {quantity(slo['tpot_s'], 's')} ({slo['source']})"
    yield "source", f"{made['source']}; {'estimate' if made['estimate'] else 'recorded'}; {made['licence']}"
    for note in made["notes"]:
        yield "note", str(note)


def overview(found: Mapping[str, Mapping[str, Any]]) -> Table:
    """All classes side by side."""
    header = ("class", "steps", "context tok", "fresh tok", "output tok", "hits in 60 s", "source")
    rows = tuple(
        (
            name,
            cell(own["steps"]),
            cell(own["context_mean_tok"]),
            cell(own["fresh_mean_tok"]),
            cell(own["output_mean_tok"]),
            percent(own["hit_by_time"]["60 s"]),
            "estimate" if own["estimate"] else "recorded",
        )
        for name, own in found.items()
    )
    return Table(header, rows, frozenset({0, 6}))
