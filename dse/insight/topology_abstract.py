"""An interconnect as a handful of groups: nodes that play the same part, and the bundles of links between them."""

from collections import Counter
from collections.abc import Mapping
from typing import Any, NamedTuple

import networkx

from dse.facts.topology.graph import Graph, graph
from dse.facts.topology.network import Topology

SYMBOLS: Mapping[str, str] = {
    "scale_up": "scale-up bandwidth",
    "scale_out": "network-card bandwidth",
    "optical": "optical bandwidth",
    "host_link": "host link bandwidth",
}
"""Symbolic bandwidth of a tier -> words."""

DIGITS = 6
"""Digits of a share that count when nodes are compared."""


class Group(NamedTuple):
    """Nodes that cannot be told apart by how they are wired."""

    kind: str
    """accelerator, switch or memory."""
    size: int
    depth: int
    """Links from the nearest accelerator: the row in which it is drawn."""


class Bundle(NamedTuple):
    """All links between two groups, or inside one."""

    one: int
    """Group nearer to the accelerators."""
    other: int
    tier: str
    links: int
    """In all."""
    degree: int
    """Links of one node of the first group."""
    units: int
    """Parts that these links join into one each; 1 where everything is joined."""
    share: float
    """Bandwidth of one node of the first group over the bundle, in units of the tier's bandwidth."""
    bandwidth: float | None
    """The same in B/s, one direction; None where the tier's bandwidth depends on the device."""
    symbol: str
    """What the tier's bandwidth is, where it depends on the device."""
    medium: str


class Abstract(NamedTuple):
    """An interconnect, abstracted."""

    description: str
    groups: tuple[Group, ...]
    bundles: tuple[Bundle, ...]


def abstract(topology: Topology, bandwidths: Mapping[str, float] | None = None) -> Abstract:
    """Groups and bundles of a topology.

    Parameters
    ----------
    topology : the interconnect
    bandwidths : value of each symbolic bandwidth of a device [B/s]

    Notes
    -----
    The groups are the coarsest equitable partition (colour refinement): every node of a group has the same number of
    links of the same kind to every other group.
    """
    built = graph(topology, bandwidths)
    colours = refined(built)
    depths = _depths(built)
    order = sorted(set(colours.values()), key=lambda own: min((depths[n], n) for n, c in colours.items() if c == own))
    place = {colour: number for number, colour in enumerate(order)}
    member = {name: place[colour] for name, colour in colours.items()}
    groups = []
    for number in range(len(order)):
        names = [name for name, own in member.items() if own == number]
        groups.append(Group(built.nodes[names[0]]["kind"], len(names), min(depths[name] for name in names)))
    return Abstract(topology.description, tuple(groups), _bundles(topology, built, member))


def refined(built: Graph) -> dict[str, int]:
    """Node -> colour; two nodes share a colour when no walk over the graph tells them apart.

    >>> star = networkx.Graph([("hub", leaf) for leaf in "abc"])
    >>> networkx.set_node_attributes(star, "switch", "kind")
    >>> networkx.set_edge_attributes(star, {edge: {"tier": "t", "share": 1.0, "links": 1} for edge in star.edges})
    >>> colours = refined(star)
    >>> colours["a"] == colours["c"] != colours["hub"]
    True
    """
    seen: dict[str, object] = {name: (data["kind"], data.get("role", "any")) for name, data in built.nodes(data=True)}
    colours = _numbered(seen)
    while True:
        seen = {
            name: (
                colours[name],
                tuple(
                    sorted(
                        (colours[other], data["tier"], round(data["share"], DIGITS), data["links"])
                        for other, data in built[name].items()
                    )
                ),
            )
            for name in built
        }
        finer = _numbered(seen)
        if len(set(finer.values())) == len(set(colours.values())):
            return finer
        colours = finer


def _numbered(seen: Mapping[str, object]) -> dict[str, int]:
    known: dict[object, int] = {}
    return {name: known.setdefault(mark, len(known)) for name, mark in seen.items()}


def _depths(built: Graph) -> dict[str, int]:
    """Links from the nearest accelerator; memory stands beside the accelerators."""
    sources = {name for name, data in built.nodes(data=True) if data["kind"] == "accelerator"}
    found: dict[str, int] = {
        name: number for number, layer in enumerate(networkx.bfs_layers(built, sources)) for name in layer
    }
    return {name: 0 if built.nodes[name]["kind"] == "memory" else found.get(name, 0) for name in built}


def _bundles(topology: Topology, built: Graph, member: Mapping[str, int]) -> tuple[Bundle, ...]:
    kinds: dict[tuple[int, int, str], list[tuple[str, str]]] = {}
    for one, other, data in built.edges(data=True):
        low, high = sorted((member[one], member[other]))
        kinds.setdefault((low, high, data["tier"]), []).append((one, other))
    sizes = Counter(member.values())
    found = []
    for (low, high, tier), edges in sorted(kinds.items()):
        joins: list[dict[str, Any]] = [built.edges[edge] for edge in edges]
        ends = sizes[low] if low != high else sizes[low] / 2
        rate = topology.tiers[tier].bandwidth
        known = sum(own.get("bandwidth", 0.0) for own in joins) / ends
        found.append(
            Bundle(
                one=low,
                other=high,
                tier=tier,
                links=sum(own["links"] for own in joins),
                degree=round(sum(own["links"] for own in joins) / ends),
                units=networkx.number_connected_components(networkx.Graph(edges)),
                share=sum(own["share"] for own in joins) / ends,
                bandwidth=known or None,
                symbol=SYMBOLS.get(str(rate), "") if isinstance(rate, str) else "",
                medium=joins[0]["medium"],
            )
        )
    return tuple(found)
