"""What must hold for any graph: routing by brute force, max flow by networkx, concurrent flow by HiGHS."""

import itertools
from pathlib import Path

import networkx
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.optimize import linprog

from dse.facts.topology.flow import bisection_cuts, cuts
from dse.facts.topology.graph import graph
from dse.facts.topology.network import load_topology
from dse.facts.topology.reduce import Coefficients, derive, flow_bandwidth
from dse.facts.topology.routing import Demand, fabric, route, together
from dse.facts.topology.spec import Topology

SHIPPED = Path(__file__).parents[2] / "topologies"
QUICK = settings(max_examples=25, deadline=None)
TIERS = ("scale_up", "optical")
SHARES = (0.25, 0.5, 1.0, 2.0)


def wired(nodes: dict[str, dict[str, str]], edges: list[tuple[str, str, str, float]]) -> Topology:
    tier = {"hop_latency": {"value": "1 us", "source": "test"}}
    data = {
        "description": "test",
        "sources": ["test"],
        "tiers": {name: tier | {"bandwidth": name} for name in TIERS},
        "wiring": {
            "nodes": nodes,
            "edges": [{"ends": (one, other), "tier": tier, "share": share} for one, other, tier, share in edges],
        },
    }
    return Topology.model_validate(data)


@st.composite
def topologies(draw: st.DrawFn, tiers: tuple[str, ...] = ("scale_up",)) -> Topology:
    """Connected graphs of 2 to 6 accelerators, some switches, perhaps memory, and unequal links."""
    devices, switches = draw(st.integers(2, 6)), draw(st.integers(0, 3))
    nodes = {f"a{i}": {"role": draw(st.sampled_from(["prefill", "decode", "any"]))} for i in range(devices)}
    nodes |= {f"s{i}": {"kind": "switch"} for i in range(switches)}
    names = list(nodes)
    pairs = {(names[draw(st.integers(0, i - 1))], names[i]) for i in range(1, len(names))}
    pairs |= draw(st.sets(st.sampled_from(list(itertools.combinations(names, 2))), max_size=6))
    kinds = {pair: draw(st.sampled_from(tiers)) for pair in sorted(pairs)}
    edges = [(*pair, kind, draw(st.sampled_from(SHARES))) for pair, kind in kinds.items()]
    if draw(st.booleans()):
        nodes["m"] = {"kind": "memory"}
        ends = draw(st.lists(st.sampled_from(names), min_size=1, max_size=3, unique=True))
        edges += [(end, "m", tiers[-1], draw(st.sampled_from(SHARES))) for end in ends]
    return wired(nodes, edges)


def with_shares(topology: Topology, factors: list[float]) -> Topology:
    assert topology.wiring is not None
    edges = tuple(
        edge.model_copy(update={"share": edge.share * factor})
        for edge, factor in zip(topology.wiring.edges, itertools.cycle(factors), strict=False)
    )
    return topology.model_copy(update={"wiring": topology.wiring.model_copy(update={"edges": edges})})


def same(one: Coefficients, other: Coefficients) -> None:
    for name, value in vars(one).items():
        if isinstance(value, np.ndarray):
            np.testing.assert_allclose(value, getattr(other, name), rtol=1e-9, atol=1e-12, err_msg=name)


@QUICK
@given(topologies(), st.data())
def test_load_is_that_of_all_shortest_paths(topology, data):
    built = graph(topology)
    network = fabric(topology, built)
    names = [list(built)[node] for node in network.accelerators]
    volumes = data.draw(
        st.lists(st.floats(0, 3), min_size=network.devices**2, max_size=network.devices**2).map(np.array)
    )
    source, target = np.divmod(np.arange(network.devices**2), network.devices)
    apart = source != target
    found = together(route(network), Demand(source[apart], target[apart], volumes[apart]))
    network_of_peers = built.subgraph(node for node in built if node != "m")
    loads: dict[tuple[str, str], float] = {}
    for one, other, volume in zip(source[apart], target[apart], volumes[apart], strict=True):
        paths = list(networkx.all_shortest_paths(network_of_peers, names[one], names[other]))
        for path in paths:
            for link in itertools.pairwise(path):
                loads[link] = loads.get(link, 0) + volume / len(paths)
    expected = max(load / built.edges[link]["share"] for link, load in loads.items())
    np.testing.assert_allclose(found[0], expected, rtol=1e-9)


def concurrent_flow(built: networkx.Graph, names: list[str]) -> float:
    """Least time in which every device sends 1/n to each other one over any paths (edge formulation)."""
    links = [(a, b) for one, other in built.edges for a, b in ((one, other), (other, one))]
    nodes, n, m = list(built), len(names), len(links)
    cost = np.zeros(n * m + 1)
    cost[-1] = 1
    balance = np.zeros((n * len(nodes), n * m + 1))
    supply = np.zeros(n * len(nodes))
    for commodity, name in enumerate(names):
        for index, (tail, head) in enumerate(links):
            balance[commodity * len(nodes) + nodes.index(tail), commodity * m + index] += 1
            balance[commodity * len(nodes) + nodes.index(head), commodity * m + index] -= 1
        for other in names:
            supply[commodity * len(nodes) + nodes.index(other)] = (n - 1) / n if other == name else -1 / n
    load = np.hstack([np.tile(np.eye(m), n), -np.array([[built.edges[link]["share"]] for link in links])])
    solved = linprog(cost, A_ub=load, b_ub=np.zeros(m), A_eq=balance, b_eq=supply, method="highs")
    assert solved.status == 0
    return float(solved.fun)


@QUICK
@given(topologies())
def test_no_routing_beats_the_concurrent_flow_bound(topology):
    built = graph(topology)
    names = [name for name, data in built.nodes(data=True) if data["kind"] == "accelerator"]
    best = concurrent_flow(built.subgraph(node for node in built if node != "m"), names)
    found = derive(topology)
    assert best <= found.traffic[found.ops.index("all_to_all"), -1, 0] * (1 + 1e-7)


@pytest.mark.parametrize(
    "generator",
    [
        {"kind": "switch", "devices": 6, "planes": 3},
        {"kind": "full_mesh", "devices": 6},
        {"kind": "ring", "devices": 8},
        {"kind": "torus", "dims": [4, 4]},
        {"kind": "fat_tree", "radix": 4, "levels": 2},
        {"kind": "hyperx", "dims": [3, 3]},
    ],
    ids=lambda generator: generator["kind"],
)
def test_equal_cost_routing_is_optimal_in_symmetric_networks(generator):
    tier = {"bandwidth": "scale_up", "hop_latency": {"value": "1 us", "source": "test"}}
    data = {"description": "t", "sources": ["t"], "tiers": {"scale_up": tier}, "generator": generator}
    topology = Topology.model_validate(data)
    built = graph(topology)
    names = [name for name, attributes in built.nodes(data=True) if attributes["kind"] == "accelerator"]
    found = derive(topology)
    bound = concurrent_flow(built, names)
    np.testing.assert_allclose(found.traffic[found.ops.index("all_to_all"), -1, 0], bound, rtol=1e-7)


def max_flow(topology: Topology, bandwidths: dict[str, float], senders: list[str], receivers: list[str]) -> float:
    directed = networkx.DiGraph()
    passable = [name for name, data in graph(topology).nodes(data=True) if data["kind"] != "memory"]
    for one, other, data in graph(topology, bandwidths).edges(data=True):
        for tail, head in ((one, other), (other, one)):
            if tail in passable:
                directed.add_edge(tail, head, capacity=data["bandwidth"])
    directed.add_nodes_from([*senders, *receivers])
    directed.add_edges_from(("from", name) for name in senders)
    directed.add_edges_from((name, "to") for name in receivers)
    return networkx.maximum_flow_value(directed, "from", "to")


@QUICK
@given(topologies(TIERS), st.sampled_from([1 / 64, 1 / 16, 1 / 4, 1.0, 4.0, 16.0, 64.0]))
def test_cuts_are_the_max_flow_at_the_ratios_searched(topology, ratio):
    built = graph(topology)
    network = fabric(topology, built)
    names = list(built)
    senders, receivers = network.accelerators[:1], network.accelerators[1:]
    found = flow_bandwidth(cuts(network, senders, receivers, 1), np.array([1.0, ratio]))
    expected = max_flow(
        topology,
        {"scale_up": 1.0, "optical": ratio},
        [names[node] for node in senders],
        [names[node] for node in receivers],
    )
    np.testing.assert_allclose(found, expected, rtol=1e-6)


@QUICK
@given(topologies(TIERS), st.floats(0.01, 100))
def test_cuts_never_promise_less_than_the_max_flow(topology, ratio):
    found, built = derive(topology), graph(topology)
    devices = [name for name, data in built.nodes(data=True) if data["kind"] == "accelerator"]
    memory = [name for name, data in built.nodes(data=True) if data["kind"] == "memory"]
    if memory:
        expected = max_flow(topology, {"scale_up": 1.0, "optical": ratio}, devices, memory)
        promised = flow_bandwidth(found.memory_flow, np.array([1.0, ratio])) * len(devices)
        assert promised >= expected * (1 - 1e-9)


@pytest.mark.parametrize("name", ["asymmetric", "optical_pool", "two_tier", "torus_3d"])
@pytest.mark.parametrize("rates", [(450e9, 50e9), (900e9, 800e9), (450e9, 2000e9)])
def test_transfer_of_a_shipped_topology_is_its_max_flow(name, rates):
    topology = load_topology(SHIPPED / f"{name}.yaml")
    found, built = derive(topology), graph(topology)
    devices = [node for node, data in built.nodes(data=True) if data["kind"] == "accelerator"]
    roles = {role: [node for node in devices if built.nodes[node]["role"] == role] for role in ("prefill", "decode")}
    senders = roles["prefill"] or devices[: len(devices) // 2]
    receivers = roles["decode"] or devices[len(devices) // 2 :]
    bandwidths = dict(zip(found.bandwidth, rates, strict=False))
    expected = max_flow(topology, bandwidths, senders, receivers) / len(senders)
    promised = flow_bandwidth(found.transfer, np.array(rates[: len(found.tiers)]))
    np.testing.assert_allclose(promised, expected, rtol=1e-6)


@QUICK
@given(topologies(TIERS), st.sampled_from([0.5, 2.0, 8.0]))
def test_scaling_every_link_scales_traffic_and_flows(topology, factor):
    before, after = derive(topology), derive(with_shares(topology, [factor]))
    np.testing.assert_allclose(after.traffic, before.traffic / factor, rtol=1e-9)
    np.testing.assert_array_equal(after.steps, before.steps)
    rates = np.array([3.0, 1.0])
    np.testing.assert_allclose(
        flow_bandwidth(after.transfer, rates), factor * flow_bandwidth(before.transfer, rates), rtol=1e-6
    )


@QUICK
@given(topologies(), st.lists(st.sampled_from([1.0, 1.5, 4.0]), min_size=3, max_size=9))
def test_parallel_links_never_slow_a_collective(topology, factors):
    """More links where there are some; a new thin short cut may draw all traffic, as in a real network."""
    before, after = derive(topology), derive(with_shares(topology, factors))
    assert (after.traffic <= before.traffic * (1 + 1e-9)).all()
    rate = np.ones(2)
    for cut in ("transfer", "memory_flow", "bisection"):
        assert flow_bandwidth(getattr(after, cut), rate) >= flow_bandwidth(getattr(before, cut), rate) * (1 - 1e-6)


@QUICK
@given(topologies(TIERS), st.randoms(use_true_random=False))
def test_names_and_order_of_links_mean_nothing(topology, random):
    assert topology.wiring is not None
    numbers = random.sample(range(100), len(topology.wiring.nodes))
    names = {name: f"node {number}" for name, number in zip(topology.wiring.nodes, numbers, strict=True)}
    nodes = {names[name]: node.model_dump() for name, node in topology.wiring.nodes.items()}
    edges = [(names[e.ends[0]], names[e.ends[1]], e.tier, e.share) for e in topology.wiring.edges]
    random.shuffle(edges)
    before, after = derive(topology), derive(wired(nodes, edges))
    np.testing.assert_allclose(after.traffic, before.traffic, rtol=1e-9)
    np.testing.assert_allclose(after.mean_hops, before.mean_hops, rtol=1e-9)


@QUICK
@given(st.permutations(range(8)), st.booleans())
def test_order_of_devices_means_nothing_in_a_symmetric_network(order, meshed):
    names = [f"a{i}" for i in range(8)]
    edges = [(name, "s", "scale_up", 1.0) for name in names]
    if meshed:
        edges = [(one, other, "scale_up", 1 / 7) for one, other in itertools.combinations(names, 2)]
    nodes = {names[i]: {} for i in range(8)} | ({} if meshed else {"s": {"kind": "switch"}})
    shuffled = {names[i]: {} for i in order} | ({} if meshed else {"s": {"kind": "switch"}})
    same(derive(wired(nodes, edges)), derive(wired(shuffled, edges)))


def test_bisection_looks_across_every_dimension():
    tier = {"bandwidth": "scale_up", "hop_latency": {"value": "1 us", "source": "test"}}
    data = {"description": "t", "sources": ["t"], "tiers": {"scale_up": tier}}
    long_last = Topology.model_validate(data | {"generator": {"kind": "torus", "dims": [2, 8]}})
    network = fabric(long_last, graph(long_last))
    assert bisection_cuts(network).min() == pytest.approx(2 * 2 / 4 / 8)
