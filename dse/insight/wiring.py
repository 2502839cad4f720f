"""What a topology offers, in numbers that people compare: links, hops, collectives."""

from pathlib import Path
from typing import NamedTuple

import numpy as np

from dse.facts import places
from dse.facts.errors import Mistake, SpecError, did_you_mean, listed
from dse.facts.topology.network import load_topology
from dse.facts.topology.reduce import Coefficients, reduce
from dse.insight.table import Table
from dse.insight.wording import cell, quantity


class Wiring(NamedTuple):
    """A topology and its coefficients."""

    name: str
    description: str
    devices: int
    domain: int
    memory_nodes: int
    tiers: list[dict[str, float | str]]
    collectives: list[dict[str, float | str | int]]
    """Operation and group size: links crossed one after the other, time per byte and 1/bandwidth, per tier."""
    sources: list[str]


def facts(name: str, beside: Path) -> Wiring:
    """Topology by name or file."""
    path = file(name, beside)
    topology = load_topology(path)
    own = reduce(topology)
    return Wiring(
        name,
        topology.description,
        own.devices,
        own.domain,
        own.memory_nodes,
        [_tier(own, tier) for tier in range(len(own.tiers))],
        _collectives(own),
        list(topology.sources),
    )


def known(beside: Path) -> list[str]:
    """Names of the topologies at hand."""
    return sorted(places.topologies(beside / "study.yaml", {}))


def tables(made: Wiring) -> list[Table]:
    """Tiers and collectives as tables."""
    header = ("tier", "bandwidth", "hop latency", "links/device", "switch ports", "optical ports", "mean hops")
    tiers = tuple(
        (
            str(own["tier"]),
            str(own["bandwidth"]) if isinstance(own["bandwidth"], str) else quantity(own["bandwidth"], "B/s"),
            quantity(float(own["hop_latency"]), "s"),
            *(cell(float(own[key])) for key in ("links", "switch_ports", "optical_ports", "mean_hops")),
        )
        for own in made.tiers
    )
    rows = tuple(
        (
            str(own["operation"]),
            str(own["group"]),
            str(own["tier"]),
            cell(float(own["steps"])),
            cell(float(own["traffic"])),
        )
        for own in made.collectives
    )
    heading = ("collective", "group", "tier", "links in a row", "bytes x / bandwidth")
    return [Table(header, tiers), Table(heading, rows, frozenset({0, 2}))]


def file(name: str, beside: Path) -> Path:
    """File of a topology by its name or its path."""
    if name.endswith((".yaml", ".yml")):
        return Path(name)
    known = places.topologies(beside / "study.yaml", {})
    if name not in known:
        hint = did_you_mean(name, known) or f" Known: {listed(known, len(known))}."
        raise SpecError([Mistake("", 0, 0, "topology", f'there is no topology "{name}".{hint}')])
    return known[name]


def _tier(own: Coefficients, tier: int) -> dict[str, float | str]:
    symbol = own.bandwidth[tier]
    return {
        "tier": own.tiers[tier],
        "bandwidth": float(own.fixed_bandwidth[tier]) if symbol == "fixed" else symbol,
        "hop_latency": float(own.hop_latency[tier]),
        "links": float(own.links[tier]),
        "switch_ports": float(own.switch_ports[tier]),
        "optical_ports": float(own.optical_ports[tier]),
        "mean_hops": float(own.mean_hops[tier]),
    }


def _collectives(own: Coefficients) -> list[dict[str, float | str | int]]:
    """Coefficients at the domain and at all devices; tiers that are not used are left out."""
    sizes = dict.fromkeys((own.domain, own.devices))
    rows: list[dict[str, float | str | int]] = []
    for operation, name in enumerate(own.ops):
        for group in sizes:
            index = int(np.searchsorted(own.sizes, group))
            for tier in range(len(own.tiers)):
                steps, traffic = float(own.steps[operation, index, tier]), float(own.traffic[operation, index, tier])
                if steps or traffic:
                    rows.append(
                        {"operation": name, "group": group, "tier": own.tiers[tier], "steps": steps, "traffic": traffic}
                    )
    return rows
