r"""Equal-cost multi-path routing on arrays: how much every link carries for given messages.

Every message takes all shortest paths (fewest links) between its ends, each with the same share. With
:math:`\sigma_s(v)` the number of shortest paths from s to v, the load is found level by level from the far
end:

.. math:: \delta_s(v) = D_{sv} + \sum_{w:\, d_s(w) = d_s(v)+1} \frac{\sigma_s(v)}{\sigma_s(w)}\,\delta_s(w)

Source: U. Brandes, A faster algorithm for betweenness centrality, 2001, section 3, with demands D in place
of ones. Shares of bandwidth do not steer the paths: as in a real network, a thin link on a shortest path
slows it down.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import NamedTuple

import networkx
import numpy as np
from scipy.sparse import csr_array

from dse.arrays import BoolArray, FloatArray, IntArray
from dse.facts.errors import Mistake, SpecError
from dse.facts.topology.graph import Graph, names_of
from dse.facts.topology.spec import Topology

# Sources handled at once: bounds the work arrays (sources x links) to tens of megabytes.
_SOURCES_AT_ONCE = 128


@dataclass(frozen=True)
class Fabric:
    """A graph as arrays; links are directed, so each appears twice."""

    tiers: tuple[str, ...]
    nodes: int
    accelerators: IntArray
    """Node of each accelerator, domain by domain; position here is the number of the accelerator."""
    domain: IntArray
    """Scale-up domain of each accelerator."""
    coordinates: IntArray
    """Lattice coordinates of each accelerator, (devices, dimensions); no columns without a lattice."""
    role: tuple[str, ...]
    memory: IntArray
    """Nodes that are memory."""
    switch: BoolArray
    """Whether a node is a switch."""
    tail: IntArray
    head: IntArray
    tier: IntArray
    share: FloatArray
    links: IntArray
    optical: BoolArray
    joins_domain: BoolArray
    """Whether the link's tier makes a scale-up domain."""

    @property
    def devices(self) -> int:
        """Number of accelerators."""
        return self.accelerators.size


class Demand(NamedTuple):
    """Messages: from, to (numbers of accelerators) and volume [bytes per byte of the message m]."""

    source: IntArray
    target: IntArray
    volume: FloatArray


class _Paths(NamedTuple):
    """Shortest paths from some sources; an entry is one link on a path of one source."""

    start: int
    nodes: int
    level: IntArray
    """First entry of each distance; entries are sorted by the distance of their head."""
    tail: IntArray
    """Source x node, flattened."""
    head: IntArray
    link: IntArray
    weight: FloatArray
    """Paths that reach the tail over paths that reach the head."""
    distance: IntArray
    """(sources, nodes); -1 where there is no path."""


@dataclass(frozen=True)
class Routing:
    """Paths inside domains and between them."""

    fabric: Fabric
    inside: tuple[_Paths, ...]
    between: tuple[_Paths, ...]
    hops: FloatArray
    """Links of each tier on the way, (devices, devices, tiers); the mean over equal paths."""


def fabric(topology: Topology, built: Graph) -> Fabric:
    """Arrays of a graph, accelerators numbered domain by domain."""
    tiers = tuple(topology.tiers)
    number = {name: index for index, name in enumerate(built.nodes)}
    accelerators = names_of(built, "accelerator")
    domains = _domains(topology, built, accelerators)
    accelerators.sort(key=domains.__getitem__)
    both = [(a, b, data) for one, other, data in built.edges(data=True) for a, b in ((one, other), (other, one))]
    tier = np.array([tiers.index(data["tier"]) for *_, data in both], dtype=np.int64)
    joins = np.array([described.joins_domain for described in topology.tiers.values()])
    places = [built.nodes[name].get("coordinates", ()) for name in accelerators]
    return Fabric(
        tiers=tiers,
        nodes=len(number),
        accelerators=np.array([number[name] for name in accelerators], dtype=np.int64),
        domain=np.array([domains[name] for name in accelerators], dtype=np.int64),
        coordinates=np.array(places, dtype=np.int64).reshape(len(accelerators), -1),
        role=tuple(built.nodes[name]["role"] for name in accelerators),
        memory=np.array([number[name] for name in names_of(built, "memory")], dtype=np.int64),
        switch=np.isin(np.arange(len(number)), [number[name] for name in names_of(built, "switch")]),
        tail=np.array([number[one] for one, _, _ in both], dtype=np.int64),
        head=np.array([number[other] for _, other, _ in both], dtype=np.int64),
        tier=tier,
        share=np.array([data["share"] for _, _, data in both], dtype=np.float64),
        links=np.array([data["links"] for _, _, data in both], dtype=np.int64),
        optical=np.array([data["medium"] == "optical" for _, _, data in both], dtype=np.bool_),
        joins_domain=joins[tier],
    )


def _domains(topology: Topology, built: Graph, accelerators: list[str]) -> dict[str, int]:
    """Domain of each accelerator: what its domain tiers reach; numbered in order of first appearance."""
    inner: Graph = networkx.Graph()
    inner.add_nodes_from(names_of(built, "accelerator") + names_of(built, "switch"))
    inner.add_edges_from(
        (one, other)
        for one, other, data in built.edges(data=True)
        if topology.tiers[data["tier"]].joins_domain and one in inner and other in inner
    )
    component = {name: index for index, names in enumerate(networkx.connected_components(inner)) for name in names}
    order: dict[int, int] = {}
    return {name: order.setdefault(component[name], len(order)) for name in accelerators}


def route(network: Fabric) -> Routing:
    """Shortest paths: inside a domain over its links, between domains over the others where these suffice."""
    to_memory = np.isin(network.tail, network.memory) | np.isin(network.head, network.memory)
    inside = _paths(network, network.joins_domain & ~to_memory)
    between: tuple[_Paths, ...] = ()
    if network.domain.max() > 0:
        between = _paths(network, ~network.joins_domain & ~to_memory)
        if not _reaches_all(network, between):
            between = _paths(network, ~to_memory)
        if not _reaches_all(network, between):
            message = "some accelerators cannot reach each other: add links, or remove the nodes"
            raise SpecError([Mistake("topology", 0, 0, "", message)])
    same = network.domain[:, None] == network.domain[None, :]
    hops = np.where(same[:, :, None], _hops(network, inside), 0.0)
    if between:
        hops = np.where(same[:, :, None], hops, _hops(network, between))
    return Routing(network, inside, between, hops)


def _paths(network: Fabric, allowed: BoolArray) -> tuple[_Paths, ...]:
    """Shortest paths from every accelerator over the allowed links."""
    link = np.flatnonzero(allowed)
    entries = (np.ones(link.size), (network.tail[link], network.head[link]))
    adjacency = csr_array(entries, shape=(network.nodes, network.nodes))
    starts = range(0, network.devices, _SOURCES_AT_ONCE)
    return tuple(_paths_from(network, link, adjacency, start) for start in starts)


def _paths_from(network: Fabric, link: IntArray, adjacency: csr_array[np.float64], start: int) -> _Paths:
    roots = network.accelerators[start : start + _SOURCES_AT_ONCE]
    distance, count = _breadth_first(roots, adjacency)
    tail, head = network.tail[link], network.head[link]
    near, far = distance[:, tail], distance[:, head]
    source, place = np.nonzero((near >= 0) & (far == near + 1))
    order = np.argsort(far[source, place], kind="stable")
    source, place = source[order], place[order]
    weight = count[source, tail[place]] / count[source, head[place]]
    level = np.searchsorted(far[source, place], np.arange(1, distance.max() + 2))
    offset = source * network.nodes
    return _Paths(
        start, network.nodes, level, offset + tail[place], offset + head[place], link[place], weight, distance
    )


def _breadth_first(roots: IntArray, adjacency: csr_array[np.float64]) -> tuple[IntArray, FloatArray]:
    """Distance and number of shortest paths from each root to each node."""
    rows = np.arange(roots.size)
    distance = np.full((roots.size, adjacency.shape[0]), -1, dtype=np.int64)
    front = np.zeros(distance.shape)
    distance[rows, roots], front[rows, roots] = 0, 1.0
    count, level = front, 0
    while front.any():
        level += 1
        front = np.where(distance < 0, np.asarray(front @ adjacency), 0.0)
        distance[front > 0] = level
        count = count + front
    return distance, count


def _reaches_all(network: Fabric, paths: tuple[_Paths, ...]) -> bool:
    return all((part.distance[:, network.accelerators] >= 0).all() for part in paths)


def _hops(network: Fabric, paths: tuple[_Paths, ...]) -> FloatArray:
    """Mean links of each tier on the shortest paths, (devices, devices, tiers)."""
    return np.concatenate([_hops_from(network, part) for part in paths])


def _hops_from(network: Fabric, part: _Paths) -> FloatArray:
    counted = np.zeros((part.distance.size, len(network.tiers)))
    used = np.unique(network.tier[part.link])
    if used.size == 1:
        counted[:, used[0]] = np.maximum(part.distance, 0).ravel()
    else:
        for begin, end in zip(part.level[:-1], part.level[1:], strict=True):
            entries = slice(begin, end)
            tail, weight = part.tail[entries], part.weight[entries]
            for tier in used:
                longer = counted[tail, tier] + (network.tier[part.link[entries]] == tier)
                np.add.at(counted[:, tier], part.head[entries], weight * longer)
    return counted.reshape(*part.distance.shape, -1)[:, network.accelerators]


def together(routing: Routing, demand: Demand) -> FloatArray:
    """Time of messages sent at once [s per (B / (B/s))], one per tier: its most loaded link.

    Equation: traffic_t = max over links e of tier t of load_e / share_e, shape (tiers,).
    """
    loads = np.zeros(routing.fabric.tail.size)
    for part, flows in _flows(routing, demand):
        loads += np.bincount(part.link[: flows.size], flows, minlength=loads.size)
    traffic = np.zeros(len(routing.fabric.tiers))
    np.maximum.at(traffic, routing.fabric.tier, loads / routing.fabric.share)
    return traffic


def alone(routing: Routing, demand: Demand) -> FloatArray:
    """Time of each message sent by itself, the slowest one per tier; at most one message per source."""
    traffic = np.zeros(len(routing.fabric.tiers))
    for part, flows in _flows(routing, demand):
        link = part.link[: flows.size]
        np.maximum.at(traffic, routing.fabric.tier[link], flows / routing.fabric.share[link])
    return traffic


def _flows(routing: Routing, demand: Demand) -> Iterator[tuple[_Paths, FloatArray]]:
    """What each entry of the paths carries; entries beyond the farthest target are left out."""
    domain = routing.fabric.domain
    same = domain[demand.source] == domain[demand.target]
    for paths, chosen in ((routing.inside, same), (routing.between, ~same)):
        for part in paths:
            mine = chosen & (demand.source >= part.start) & (demand.source < part.start + part.distance.shape[0])
            if mine.any():
                yield part, _flows_from(routing.fabric, part, Demand(*(column[mine] for column in demand)))


def _flows_from(network: Fabric, part: _Paths, demand: Demand) -> FloatArray:
    target = (demand.source - part.start) * part.nodes + network.accelerators[demand.target]
    arriving = np.bincount(target, demand.volume, minlength=part.distance.size)
    farthest = int(part.distance.ravel()[target].max())
    flows = np.zeros(part.level[farthest])
    for near in range(farthest - 1, -1, -1):
        entries = slice(part.level[near], part.level[near + 1])
        flows[entries] = part.weight[entries] * arriving[part.head[entries]]
        np.add.at(arriving, part.tail[entries], flows[entries])
    return flows
