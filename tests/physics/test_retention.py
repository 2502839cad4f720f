"""Retention: the root exists once, grows with memory, and cold starts are judged right."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from dse.physics import retention

GRID = np.concatenate([[0.0], np.geomspace(0.1, 6e5, 47)])
OCCUPANCY = 1e5 * (1 - np.exp(-GRID / 100)) + 10 * GRID
MISS = np.exp(-GRID / 100)


@given(st.floats(0, 1e7))
def test_characteristic_time_fills_the_memory(budget):
    time = retention.characteristic_time(GRID, OCCUPANCY, np.array(budget))
    filled = np.interp(time, GRID, OCCUPANCY)
    assert filled <= max(budget, 0) * (1 + 1e-9) + 1e-9
    if budget < OCCUPANCY[-1]:
        assert np.isclose(filled, budget)


def test_no_memory_no_retention():
    assert retention.characteristic_time(GRID, OCCUPANCY, np.array(0.0)) == 0


@given(st.floats(1.0, 1e5), st.floats(1e-4, 10.0), st.floats(0.0, 100.0))
def test_self_consistent_time_is_the_root(slope, warm, cold):
    demand = (warm + cold * MISS)[None, :]
    time = retention.self_consistent_time(GRID, OCCUPANCY, np.zeros(1), np.array([slope]), demand)[0]
    left = np.interp(time, GRID, OCCUPANCY)
    right = slope * np.interp(time, GRID, demand[0])
    assert np.isclose(left, right, rtol=1e-6, atol=1e-6) or time in (GRID[0], GRID[-1])


@given(st.floats(1.0, 1e4), st.floats(1.01, 100.0))
def test_more_memory_never_shortens_retention(slope, factor):
    demand = (0.1 + MISS)[None, :]
    small, large = (
        retention.self_consistent_time(GRID, OCCUPANCY, np.zeros(1), np.array([size]), demand)[0]
        for size in (slope, slope * factor)
    )
    assert large >= small - 1e-9


def test_constant_demand_equals_the_explicit_solution():
    demand = np.full((1, GRID.size), 3.0)
    implicit = retention.self_consistent_time(GRID, OCCUPANCY, np.zeros(1), np.array([1e4]), demand)
    assert np.allclose(implicit, retention.characteristic_time(GRID, OCCUPANCY, np.array([3e4])))


def test_cold_cache_is_absorbing_only_where_recomputing_overloads():
    cheap, dear = (
        retention.collapses(np.array([0.05]), np.array([1.0]), np.array([cold]), 0.7, np.array([5.0]))[0]
        for cold in (1.1, 40.0)
    )
    assert not cheap
    assert dear
