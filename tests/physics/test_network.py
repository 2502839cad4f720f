"""Messages: closed forms at hand-computed points, limits, dimensions."""

import warnings

import numpy as np
import pint
import pytest

from dse.physics import network

UNITS = pint.UnitRegistry()


def test_ring_all_reduce_of_two_devices_moves_the_message_once():
    assert network.all_reduce_time(450e9, 2, 450e9, 0.0) == pytest.approx(1.0)


def test_ring_all_reduce_of_eighty_layers():
    assert 160 * network.all_reduce_time(0.79e6, 4, 450e9, 1.5e-6) == pytest.approx(1.86e-3, rel=5e-3)


@pytest.mark.parametrize(
    "formula",
    [
        network.all_reduce_time,
        network.in_network_time,
        network.one_shot_time,
        network.all_gather_time,
        network.reduce_scatter_time,
        network.all_to_all_time,
    ],
)
def test_a_group_of_one_says_nothing(formula):
    assert formula(np.array([1e6]), np.array([1]), 450e9, 1e-6).tolist() == [0.0]


def test_switches_that_reduce_halve_the_traffic_of_large_groups():
    size, bandwidth = 1e9, 450e9
    ring, switch = (f(size, 1024, bandwidth, 0.0) for f in (network.all_reduce_time, network.in_network_time))
    assert ring / switch == pytest.approx(2.0, rel=2e-3)


def test_all_reduce_is_a_reduce_scatter_and_an_all_gather():
    size, members = 1e6, 8
    parts = network.reduce_scatter_time(size, members, 450e9, 1e-6) + network.all_gather_time(
        size / members, members, 450e9, 1e-6
    )
    assert parts == pytest.approx(network.all_reduce_time(size, members, 450e9, 1e-6))


def test_coefficients_of_a_ring_give_the_closed_form():
    members, size = np.array([2.0, 4.0, 8.0]), 3e6
    path = network.Path(2 * (members - 1), 2 * (members - 1) / members, np.full(3, 1e-6), np.full(3, 450e9))
    assert network.collective_time(path, size, 0.0) == pytest.approx(
        network.all_reduce_time(size, members, 450e9, 1e-6)
    )


def test_two_tiers_add_up():
    path = network.Path(*(np.array([[a], [b]]) for a, b in ((1, 2), (1.0, 0.5), (1e-6, 5e-6), (450e9, 50e9))))
    assert network.collective_time(path, 1e6, 1e-5)[0] == pytest.approx(1e-5 + 11e-6 + 1e6 / 450e9 + 0.5e6 / 50e9)


def test_a_token_reaches_each_node_once():
    assert network.expert_copies(8, np.array([1.0])) == 1.0
    assert network.expert_copies(8, np.array([1e6]))[0] == pytest.approx(8.0, rel=1e-4)


def test_dispatch_of_deepseek_on_four_links():
    bandwidth = np.array([50e9, 200e9, 450e9, 900e9])
    step = 58 * network.dispatch_time(64, 7168 * 3, 8, bandwidth)
    assert (1e3 * step).round(1).tolist() == [12.8, 3.2, 1.4, 0.7]


def test_overlap_hides_no_more_than_there_is_to_hide_under():
    assert network.exposed_time(1.0, 0.3, 1.0) == pytest.approx(0.7)
    assert network.prefetch_hidden_time(1.0, 1e6, 1e12) == pytest.approx(1e-6)


def test_dimensions():
    size, bandwidth, alpha = 1e6 * UNITS.byte, 450e9 * UNITS.byte / UNITS.s, 1e-6 * UNITS.s
    with warnings.catch_warnings():
        warnings.simplefilter("error", pint.UnitStrippedWarning)
        for formula in (
            network.all_reduce_time,
            network.one_shot_time,
            network.in_network_time,
            network.all_gather_time,
            network.reduce_scatter_time,
            network.all_to_all_time,
        ):
            assert formula(size, 8, bandwidth, alpha).check("[time]")
        assert network.p2p_time(size, bandwidth, alpha).check("[time]")
        assert network.dispatch_time(64, 3 * 7168 * UNITS.byte, 8, bandwidth).check("[time]")
