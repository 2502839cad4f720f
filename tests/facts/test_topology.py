"""Coefficients against closed forms: what the textbook says about each regular network."""

import time

import numpy as np
import pytest

from dse.facts.topology.network import NATIVE_LIMIT, native
from dse.facts.topology.reduce import (
    Coefficients,
    derive,
    flow_bandwidth,
    group_index,
    reduce,
    tier_bandwidths,
)
from dse.facts.topology.spec import Topology

LATENCY = {"value": "1 us", "source": "test"}


def made(tiers: tuple[str, ...] = ("scale_up",), reducing: bool = False, **generator: object) -> Topology:
    described = {name: {"bandwidth": name, "hop_latency": LATENCY, "in_network_reduction": reducing} for name in tiers}
    data = {"description": "test", "sources": ["test"], "tiers": described, "generator": generator}
    return Topology.model_validate(data)


def reduced(tiers: tuple[str, ...] = ("scale_up",), reducing: bool = False, **generator: object) -> Coefficients:
    return derive(made(tiers, reducing, **generator))


def two_tier(**changed: object) -> Coefficients:
    generator = {
        "kind": "two_tier",
        "domain": {"kind": "switch", "devices": 8, "planes": 4},
        "domains": 8,
        "devices_per_leaf": 8,
    }
    return reduced(("scale_up", "scale_out"), **(generator | changed))


def at(found: Coefficients, op: str, size: int) -> tuple[list[float], list[float]]:
    row, column = found.ops.index(op), int(group_index(found.sizes, np.array(size)))
    return found.steps[row, column].tolist(), found.traffic[row, column].tolist()


@pytest.mark.parametrize("planes", [1, 4, 18])
@pytest.mark.parametrize("size", [2, 4, 8, 64, 72])
def test_switch_is_the_alpha_beta_model(planes, size):
    found = reduced(kind="switch", devices=72, planes=planes)
    once = (size - 1) / size
    assert at(found, "all_reduce", size) == (pytest.approx([4 * (size - 1)]), pytest.approx([2 * once]))
    assert at(found, "all_gather", size) == (pytest.approx([2 * (size - 1)]), pytest.approx([once]))
    assert at(found, "reduce_scatter", size) == at(found, "all_gather", size)
    assert at(found, "all_to_all", size) == (pytest.approx([2]), pytest.approx([once]))
    assert at(found, "p2p", size) == (pytest.approx([2]), pytest.approx([1]))
    assert at(found, "all_reduce_direct", size) == (pytest.approx([4]), pytest.approx([2 * once]))


@pytest.mark.parametrize("size", [2, 8, 72])
def test_switch_that_adds_halves_the_traffic_of_all_reduce(size):
    found = reduced(reducing=True, kind="switch", devices=72)
    assert at(found, "all_reduce", size) == (pytest.approx([2]), pytest.approx([1]))


@pytest.mark.parametrize("devices", [4, 8, 16])
def test_ring(devices):
    found = reduced(kind="ring", devices=devices)
    once = (devices - 1) / devices
    assert at(found, "all_reduce", devices) == (pytest.approx([2 * (devices - 1)]), pytest.approx([2 * once]))
    # n/4: each of 2 links in one direction carries n m/8, at half the device's bandwidth
    assert at(found, "all_to_all", devices) == (pytest.approx([devices / 2]), pytest.approx([devices / 4]))
    assert found.bisection.min() == pytest.approx(2 / devices)


@pytest.mark.parametrize("extent", [4, 8])
@pytest.mark.parametrize("dimensions", [2, 3])
def test_torus_uses_all_links_at_once(extent, dimensions):
    devices = extent**dimensions
    found = reduced(kind="torus", dims=[extent] * dimensions)
    steps, traffic = at(found, "all_reduce", devices)
    assert traffic == pytest.approx([2 * (devices - 1) / devices])
    assert steps == pytest.approx([2 * dimensions * (extent - 1)])
    assert at(found, "all_to_all", devices)[1] == pytest.approx([dimensions * extent / 4])
    halves = 2 / (2 * dimensions) * extent ** (dimensions - 1) / (devices / 2)
    assert found.bisection.min() == pytest.approx(halves)


def test_full_mesh_uses_the_direct_links_of_the_group():
    found = reduced(kind="full_mesh", devices=8)
    assert at(found, "all_reduce", 8) == (pytest.approx([2]), pytest.approx([2 * 7 / 8]))
    assert at(found, "all_to_all", 8) == (pytest.approx([1]), pytest.approx([7 / 8]))
    assert at(found, "all_reduce", 2)[1] == pytest.approx([7]), "one of seven links"
    assert at(found, "p2p", 8)[1] == pytest.approx([7])


@pytest.mark.parametrize(("levels", "radix"), [(2, 8), (3, 4), (3, 8)])
def test_non_blocking_fat_tree_is_like_one_switch(levels, radix):
    devices = radix**2 // 2 if levels == 2 else radix**3 // 4
    found = reduced(kind="fat_tree", radix=radix, levels=levels)
    assert found.devices == devices
    assert at(found, "all_to_all", devices) == (
        pytest.approx([2 * levels]),
        pytest.approx([(devices - 1) / devices]),
    )
    assert at(found, "all_reduce", devices)[1] == pytest.approx([2 * (devices - 1) / devices])
    assert found.bisection.min() == pytest.approx(1)


@pytest.mark.parametrize("factor", [1.0, 2.0, 4.0])
def test_oversubscription_divides_what_leaves_a_leaf(factor):
    found = reduced(kind="full_flat", devices=64, devices_per_leaf=8, oversubscription=factor)
    assert found.bisection.min() == pytest.approx(1 / factor)
    leaving = 56 / 64
    assert at(found, "all_to_all", 64)[1] == pytest.approx([max(63 / 64, factor * leaving)])


@pytest.mark.parametrize("spread", [2, 4, 8])
def test_group_across_domains_is_hierarchical(spread):
    found, size = two_tier(), 8 * spread
    steps, traffic = at(found, "all_reduce", size)
    across = 2 * (spread - 1) / spread / 8
    assert traffic == pytest.approx([2 * 7 / 8, across])
    assert steps == pytest.approx([2 * 7 * 2, 2 * (spread - 1) * 2]), "rails: two links to the same rank"
    assert at(found, "reduce_scatter", size)[1] == pytest.approx([7 / 8, across / 2])
    assert at(found, "all_to_all", size)[1] == pytest.approx([7 / size, (size - 8) / size])
    assert at(found, "p2p", size) == (pytest.approx([0, 4]), pytest.approx([0, 1]))


def test_group_inside_a_domain_stays_on_scale_up():
    found = two_tier()
    inside = found.sizes <= 8
    assert (found.traffic[:, inside, 1] == 0).all()
    assert (found.steps[:, inside, 1] == 0).all()
    assert (found.domain, found.devices) == (8, 64)


def test_group_that_does_not_fill_its_domains_is_spread_evenly():
    domain = {"kind": "switch", "devices": 72}
    found = two_tier(domain=domain, domains=2, devices_per_leaf=2)
    assert at(found, "all_reduce", 128)[1] == pytest.approx([2 * 63 / 64, 1 / 64])


def test_every_scale_out_leaf_blocks_by_its_oversubscription():
    found = two_tier(rails=False, oversubscription=4)
    assert at(found, "all_to_all", 64)[1][1] == pytest.approx(4 * 56 / 64)
    assert flow_bandwidth(found.transfer, np.array([450e9, 50e9])) == pytest.approx(50e9 / 4)


def test_dragonfly_counts():
    found = reduced(kind="dragonfly", groups=9, routers=4, devices_per_router=2, global_links=2)
    assert found.devices == 72
    assert found.links.tolist() == pytest.approx([(72 + 9 * 6 + 36) / 72])
    assert found.switch_ports.tolist() == pytest.approx([(72 + 2 * (9 * 6 + 36)) / 72])
    # Between groups: 8 x 64 messages of m/72 and those of routers on the way, on one link
    assert at(found, "all_to_all", 72)[0] == pytest.approx([5])


def test_hyperx_of_switches_and_of_devices():
    switched = reduced(kind="hyperx", dims=[4, 4], devices_per_switch=8, trunk=2)
    # 8 devices send m/128 to each of 32 devices over the trunk of their row, half of it on the way elsewhere
    assert at(switched, "all_to_all", 128)[1] == pytest.approx([max(127 / 128, 8 * 32 / 128 / 2)])
    direct = reduced(kind="hyperx", dims=[4, 4])
    assert at(direct, "all_reduce", 16)[1] == pytest.approx([2 * 15 / 16])


def test_optical_pool_feeds_memory():
    generator = {"kind": "optical_pool", "domain": {"kind": "switch", "devices": 8}, "domains": 2}
    tiers = ("scale_up", "optical")
    ample = reduced(tiers, **generator, appliances=2, appliance_share=8)
    assert flow_bandwidth(ample.memory_flow, np.array([450e9, 100e9])) == pytest.approx(100e9)
    scarce = reduced(tiers, **generator, appliances=1, appliance_share=4)
    assert flow_bandwidth(scarce.memory_flow, np.array([450e9, 100e9])) == pytest.approx(25e9)
    assert scarce.memory_nodes == 1
    assert flow_bandwidth(two_tier().memory_flow, np.array([450e9, 50e9])) == 0


def test_counts_per_device_of_two_tiers():
    found = two_tier()
    assert found.links.tolist() == pytest.approx([4, 2])
    assert found.link_capacity.tolist() == pytest.approx([1, 2])
    assert found.switch_ports.tolist() == pytest.approx([4, 3])
    assert found.optical_ports.tolist() == [0, 0]


def test_uplinks_may_be_optical():
    topology = made(("scale_up",), kind="fat_tree", radix=4)
    tier = topology.tiers["scale_up"].model_copy(update={"uplink_medium": "optical"})
    found = derive(topology.model_copy(update={"tiers": {"scale_up": tier}}))
    assert found.optical_ports.tolist() == pytest.approx([4]), "two optical links per device, two ends each"


def test_one_device_needs_no_network():
    found = derive(native(1, "pcie6_x16"))
    assert (found.devices, found.sizes.tolist()) == (1, [1])
    assert not found.traffic.any()
    assert not found.links.any()


@pytest.mark.parametrize(
    ("domain", "technology", "kind", "devices"),
    [
        (8, "nvlink4", "switch", 8),
        (72, "NVLink 5", "switch", 72),
        (8, "infinity_fabric_mi355", "full_mesh", 8),
        (8, "roce_on_chip", "full_mesh", 8),
        (256, "tpu_ici", "torus", 256),
        (9216, "ICI 3D torus", "torus", NATIVE_LIMIT),
        (384, "huawei_ub", "full_flat", 384),
        (8, "something new", "switch", 8),
    ],
)
def test_native_domain_is_wired_as_the_device_is(domain, technology, kind, devices):
    topology = native(domain, technology)
    assert topology.generator is not None
    assert topology.generator.kind == kind
    assert derive(topology).domain == devices


def test_native_domains_side_by_side_share_a_network():
    found = derive(native(8, "nvlink4", domains=4))
    assert (found.tiers, found.devices, found.domain) == (("scale_up", "scale_out"), 32, 8)
    assert flow_bandwidth(found.transfer, np.array([450e9, 50e9])) == pytest.approx(50e9)


def test_group_index_takes_the_next_larger_size():
    sizes = np.array([1, 2, 4, 8])
    assert group_index(sizes, np.array([[1, 2, 3], [5, 8, 9]])).tolist() == [[0, 1, 2], [3, 3, 4]]


def test_tier_bandwidths_fills_symbols_and_keeps_fixed_ones():
    topology = made(("scale_up", "scale_out"), kind="switch", devices=8)
    fixed = topology.tiers["scale_out"].model_copy(update={"bandwidth": 50e9})
    found = derive(topology.model_copy(update={"tiers": topology.tiers | {"scale_out": fixed}}))
    rows = tier_bandwidths(found, {"scale_up": np.array([450e9, 900e9])})
    assert rows.tolist() == [[450e9, 50e9], [900e9, 50e9]]
    with pytest.raises(KeyError):
        tier_bandwidths(found, {})


class TestCache:
    """On disk, by content."""

    def test_second_reduction_is_read_back_the_same(self, tmp_path):
        topology = made(kind="torus", dims=[4, 4])
        first, second = reduce(topology, tmp_path), reduce(topology, tmp_path)
        assert len(list(tmp_path.iterdir())) == 1
        for name, value in vars(first).items():
            assert np.array_equal(value, getattr(second, name)), name
        assert not second.traffic.flags.writeable

    def test_another_topology_is_another_entry(self, tmp_path):
        reduce(made(kind="ring", devices=4), tmp_path)
        reduce(made(kind="ring", devices=5), tmp_path)
        assert len(list(tmp_path.iterdir())) == 2

    @pytest.mark.parametrize("damage", [b"", b"PK\x03\x04 torn", b"not an archive"])
    def test_damaged_entry_is_replaced(self, tmp_path, damage):
        topology = made(kind="ring", devices=4)
        whole = reduce(topology, tmp_path)
        (stored,) = tmp_path.iterdir()
        stored.write_bytes(damage)
        assert np.array_equal(reduce(topology, tmp_path).traffic, whole.traffic)
        assert stored.stat().st_size > 100

    def test_folder_that_cannot_be_made_is_no_obstacle(self, tmp_path):
        (tmp_path / "file").write_text("")
        assert reduce(made(kind="ring", devices=4), tmp_path / "file" / "below").devices == 4


@pytest.mark.slow
@pytest.mark.parametrize(
    "generator",
    [
        {"kind": "fat_tree", "radix": 16},
        {"kind": "torus", "dims": [16, 8, 8]},
        {"kind": "torus", "dims": [32, 32]},
        {"kind": "dragonfly", "groups": 32, "routers": 8, "devices_per_router": 4, "global_links": 4},
    ],
    ids=["fat_tree", "torus_3d", "torus_2d", "dragonfly"],
)
def test_thousand_devices_reduce_in_seconds(generator):
    start = time.process_time()
    found = reduced(**generator)
    assert found.devices == 1024
    assert time.process_time() - start < 10
