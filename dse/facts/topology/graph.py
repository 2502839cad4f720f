"""From a topology to its graph: nodes are accelerators, switches and memory, edges are links.

Shares of the links of one device add up to 1 in every generator, so that a tier's bandwidth always means
one direction per device, summed over its links.
"""

import itertools
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, TypeAlias

import networkx

from dse.facts.errors import Mistake, SpecError
from dse.facts.topology import spec

Graph: TypeAlias = "networkx.Graph[str]"
Builder: TypeAlias = Callable[[Any], Graph]


def graph(topology: spec.Topology, bandwidths: Mapping[str, float] | None = None) -> Graph:
    """Graph of a topology.

    Parameters
    ----------
    topology : the interconnect
    bandwidths : value of each symbolic bandwidth [B/s]; edges of tiers that stay unknown have none

    Returns
    -------
    networkx.Graph
        Nodes carry `kind` (accelerator, switch, memory), `role` (prefill, decode, any) and, in lattices,
        `coordinates`. Edges carry `tier`, `share`, `links`, `latency` [s], `medium` and, where it is known,
        `bandwidth` [B/s, one direction].
    """
    built = _wired(topology.wiring) if topology.wiring else _BUILDERS[_generator(topology).kind](topology.generator)
    devices = len(names_of(built, "accelerator"))
    if not 0 < devices <= spec.MAX_DEVICES:
        message = f"has {devices} accelerators; 1 to {spec.MAX_DEVICES} are expected"
        raise SpecError([Mistake("topology", 0, 0, "", message)])
    known = dict(bandwidths or {})
    for one, other, data in built.edges(data=True):
        tier = topology.tiers[data["tier"]]
        between_switches = built.nodes[one]["kind"] == built.nodes[other]["kind"] == "switch"
        medium = (tier.uplink_medium if between_switches else None) or tier.medium
        data["medium"] = data.get("medium") or medium
        data["latency"] = tier.hop_latency.value
        rate = known.get(tier.bandwidth) if isinstance(tier.bandwidth, str) else tier.bandwidth
        if rate is not None:
            data["bandwidth"] = data["share"] * rate
    return built


def names_of(built: Graph, kind: str) -> list[str]:
    """Nodes of one kind, in the order of the graph."""
    return [name for name, data in built.nodes(data=True) if data["kind"] == kind]


def _generator(topology: spec.Topology) -> spec.Generator:
    if topology.generator is None:
        message = f"`{topology.file}` has not been read; use load_topology"
        raise SpecError([Mistake("topology", 0, 0, "file", message)])
    return topology.generator


def _device(built: Graph, name: str, coordinates: Sequence[int] = ()) -> None:
    built.add_node(name, kind="accelerator", role="any", coordinates=tuple(coordinates))


def _link(built: Graph, one: str, other: str, tier: str, share: float) -> None:
    """Add a link; a second one between the same nodes adds to it."""
    if built.has_edge(one, other):
        built.edges[one, other]["share"] += share
        built.edges[one, other]["links"] += 1
        return
    built.add_edge(one, other, tier=tier, share=share, links=1)


def _switch(made: spec.Switch) -> Graph:
    built: Graph = networkx.Graph()
    for device in range(made.devices):
        _device(built, f"a{device}")
    for plane in range(made.planes if made.devices > 1 else 0):
        built.add_node(f"s{plane}", kind="switch")
        for device in range(made.devices):
            _link(built, f"a{device}", f"s{plane}", made.tier, 1 / made.planes)
    return built


def _full_mesh(made: spec.FullMesh) -> Graph:
    return _lattice_of_devices((made.devices,), made.tier)


def _ring(made: spec.Ring) -> Graph:
    return _torus(spec.Torus(kind="torus", dims=(made.devices,), tier=made.tier))


def _torus(made: spec.Torus) -> Graph:
    built: Graph = networkx.Graph()
    names = _points(built, made.dims)
    used = [axis for axis, extent in enumerate(made.dims) if extent > 1]
    for point, axis in itertools.product(names, used):
        after = _moved(point, axis, (point[axis] + 1) % made.dims[axis])
        _link(built, names[point], names[after], made.tier, 1 / (2 * len(used)))
    return built


def _hyperx(made: spec.HyperX) -> Graph:
    if not made.devices_per_switch:
        return _lattice_of_devices(made.dims, made.tier)
    built: Graph = networkx.Graph()
    points = list(_reflected(made.dims))
    switches = {point: f"s{number}" for number, point in enumerate(points)}
    for number, point in enumerate(points):
        built.add_node(switches[point], kind="switch")
        for place in range(made.devices_per_switch):
            name = f"a{number * made.devices_per_switch + place}"
            _device(built, name)
            _link(built, name, switches[point], made.tier, 1)
    for one, other in _aligned(points, made.dims):
        _link(built, switches[one], switches[other], made.tier, made.trunk)
    return built


def _lattice_of_devices(dims: Sequence[int], tier: str) -> Graph:
    """Devices at lattice points, each linked to all others in its rows."""
    built: Graph = networkx.Graph()
    names = _points(built, dims)
    neighbours = sum(extent - 1 for extent in dims)
    for one, other in _aligned(list(names), dims):
        _link(built, names[one], names[other], tier, 1 / neighbours)
    return built


def _points(built: Graph, dims: Sequence[int]) -> dict[tuple[int, ...], str]:
    """Add a device at every lattice point; consecutive devices are neighbours."""
    names = {point: f"a{number}" for number, point in enumerate(_reflected(dims))}
    for point, name in names.items():
        _device(built, name, point)
    return names


def _reflected(dims: Sequence[int]) -> Iterator[tuple[int, ...]]:
    """Lattice points in an order that changes one coordinate by one at a time.

    >>> list(_reflected((2, 2)))
    [(0, 0), (0, 1), (1, 1), (1, 0)]
    """
    if not dims:
        yield ()
        return
    for first in range(dims[0]):
        rest = list(_reflected(dims[1:]))
        yield from ((first, *point) for point in (rest if first % 2 == 0 else reversed(rest)))


def _aligned(
    points: Sequence[tuple[int, ...]], dims: Sequence[int]
) -> Iterator[tuple[tuple[int, ...], tuple[int, ...]]]:
    """Pairs of points that differ in one coordinate."""
    for point, axis in itertools.product(points, range(len(dims))):
        for place in range(point[axis] + 1, dims[axis]):
            yield point, _moved(point, axis, place)


def _moved(point: tuple[int, ...], axis: int, place: int) -> tuple[int, ...]:
    return (*point[:axis], place, *point[axis + 1 :])


def _fat_tree(made: spec.FatTree) -> Graph:
    half = made.radix // 2
    if made.levels == 2:
        return _clos(made.radix * half, half, made.oversubscription, made.tier)
    built: Graph = networkx.Graph()
    share = 1 / made.oversubscription
    for pod, leaf, place in itertools.product(range(made.radix), range(half), range(half)):
        name = f"a{(pod * half + leaf) * half + place}"
        _device(built, name)
        built.add_node(f"leaf{pod}.{leaf}", kind="switch")
        _link(built, name, f"leaf{pod}.{leaf}", made.tier, 1)
    for pod, middle, place in itertools.product(range(made.radix), range(half), range(half)):
        for switch in (f"middle{pod}.{middle}", f"core{middle}.{place}"):
            built.add_node(switch, kind="switch")
        _link(built, f"leaf{pod}.{place}", f"middle{pod}.{middle}", made.tier, share)
        _link(built, f"middle{pod}.{middle}", f"core{middle}.{place}", made.tier, share)
    return built


def _full_flat(made: spec.FullFlat) -> Graph:
    return _clos(made.devices, made.devices_per_leaf, made.oversubscription, made.tier)


def _clos(devices: int, per_leaf: int, oversubscription: float, tier: str) -> Graph:
    built: Graph = networkx.Graph()
    names = [f"a{device}" for device in range(devices)]
    for name in names:
        _device(built, name)
    _leaf_spine(built, names, per_leaf, oversubscription, tier)
    return built


def _leaf_spine(built: Graph, names: Sequence[str], per_leaf: int, oversubscription: float, tier: str) -> None:
    """Join devices by leaf switches with as many spines as a leaf has devices."""
    if len(names) < 2:
        return
    leaves = [names[start : start + per_leaf] for start in range(0, len(names), per_leaf)]
    for number, members in enumerate(leaves):
        built.add_node(f"leaf{number}", kind="switch")
        for name in members:
            _link(built, name, f"leaf{number}", tier, 1)
    for spine, leaf in itertools.product(range(per_leaf if len(leaves) > 1 else 0), range(len(leaves))):
        built.add_node(f"spine{spine}", kind="switch")
        _link(built, f"leaf{leaf}", f"spine{spine}", tier, 1 / oversubscription)


def _dragonfly(made: spec.Dragonfly) -> Graph:
    built: Graph = networkx.Graph()
    for group, router in itertools.product(range(made.groups), range(made.routers)):
        built.add_node(f"r{group}.{router}", kind="switch")
        for place in range(made.devices_per_router):
            name = f"a{(group * made.routers + router) * made.devices_per_router + place}"
            _device(built, name)
            _link(built, name, f"r{group}.{router}", made.tier, 1)
        for other in range(router):
            _link(built, f"r{group}.{router}", f"r{group}.{other}", made.tier, made.trunk)
    for ends in _global_links(made):
        _link(built, *ends, made.tier, made.trunk)
    return built


def _global_links(made: spec.Dragonfly) -> Iterator[tuple[str, str]]:
    """Links between groups, the same seen from every group: port k of group i leads to group i + 1 + k."""
    peers = made.groups - 1
    rounds = made.routers * made.global_links // peers if peers else 0
    for turn, group, offset in itertools.product(range(rounds), range(made.groups), range(1, made.groups)):
        there = (group + offset) % made.groups
        if group < there:
            ports = (turn * peers + offset - 1, turn * peers + made.groups - offset - 1)
            here, beyond = (port // made.global_links for port in ports)
            yield f"r{group}.{here}", f"r{there}.{beyond}"


def _two_tier(made: spec.TwoTier) -> Graph:
    built = _repeated(made.domain, made.domains)
    devices = names_of(built, "accelerator")
    size = len(devices) // made.domains
    if made.rails:
        devices = [devices[domain * size + place] for place in range(size) for domain in range(made.domains)]
    _leaf_spine(built, devices, made.devices_per_leaf, made.oversubscription, made.tier)
    return built


def _optical_pool(made: spec.OpticalPool) -> Graph:
    built = _repeated(made.domain, made.domains)
    ends = [(name, 1.0) for name in names_of(built, "accelerator")]
    for number in range(made.appliances):
        built.add_node(f"memory{number}", kind="memory")
        ends.append((f"memory{number}", made.appliance_share))
    for plane in range(made.planes):
        built.add_node(f"optical{plane}", kind="switch")
        for name, share in ends:
            _link(built, name, f"optical{plane}", made.tier, share / made.planes)
    return built


def _repeated(domain: spec.Flat, times: int) -> Graph:
    """Copies of one domain side by side."""
    one = _BUILDERS[domain.kind](domain)
    built: Graph = networkx.Graph()
    for number in range(times):
        built.update(networkx.relabel_nodes(one, {name: f"d{number}.{name}" for name in one}))
    return built


def _wired(wiring: spec.Wiring) -> Graph:
    built: Graph = networkx.Graph()
    for name, node in wiring.nodes.items():
        built.add_node(name, kind=node.kind, role=node.role, coordinates=())
    for edge in wiring.edges:
        before = built.get_edge_data(*edge.ends, default={"share": 0.0, "links": 0, "tier": edge.tier})
        if before["tier"] != edge.tier:
            message = f"links of two tiers between the same nodes: put a switch into the `{edge.tier}` one"
            raise SpecError([Mistake("topology", 0, 0, " - ".join(edge.ends), message)])
        share, links = before["share"] + edge.share, before["links"] + edge.links
        built.add_edge(*edge.ends, tier=edge.tier, share=share, links=links, medium=edge.medium)
    return built


_BUILDERS: dict[str, Builder] = {
    "switch": _switch,
    "full_mesh": _full_mesh,
    "ring": _ring,
    "torus": _torus,
    "hyperx": _hyperx,
    "fat_tree": _fat_tree,
    "full_flat": _full_flat,
    "dragonfly": _dragonfly,
    "two_tier": _two_tier,
    "optical_pool": _optical_pool,
}
