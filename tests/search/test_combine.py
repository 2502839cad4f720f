from itertools import product
from unittest.mock import patch

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dse.search.scoring import combine as combining
from dse.search.scoring.combine import Points, combine

AGENTS = 3


def drawn(seed: int, designs: int, most: int, broken: float = 0.3, levels: int = 6) -> Points:
    """Serving points of a few designs; few levels make ties, some points miss a target, some classes have none."""
    rng = np.random.default_rng(seed)
    count = rng.integers(1, most + 1, (designs, AGENTS))
    design = np.repeat(np.arange(designs), count.sum(axis=1))
    agent = np.concatenate([np.repeat(np.arange(AGENTS), row) for row in count])
    order = rng.permutation(design.size)
    cost, energy, ratio = (rng.integers(1, levels + 1, design.size) / levels for _ in range(3))
    missed = rng.random(design.size) < broken
    return Points(design[order], agent[order], cost, energy, ratio, np.where(missed, rng.random(design.size), 0.0))


def totals(points: Points, rows: np.ndarray) -> np.ndarray:
    """Cost, energy and latency of combinations, (m, 3)."""
    latency = points.ratio[rows].max(axis=1)
    return np.stack([points.cost[rows].sum(axis=1), points.energy[rows].sum(axis=1), latency], axis=1)


def every(points: Points, design: int, fine: bool = True) -> np.ndarray:
    """All combinations of feasible points of one design, by enumeration."""
    mine = (points.design == design) & ((points.violation <= 0) | (not fine))
    choices = [np.flatnonzero(mine & (points.agent == agent)) for agent in range(AGENTS)]
    return np.array(list(product(*choices)), dtype=np.int64).reshape(-1, AGENTS)


instances = st.tuples(st.integers(0, 10**6), st.integers(1, 4), st.integers(1, 6))


@settings(deadline=None, max_examples=150)
@given(instances)
def test_every_row_takes_one_point_of_each_class_of_its_own_design(instance):
    points = drawn(*instance)
    rows = combine(points, instance[1], AGENTS)
    assert (points.design[rows.point] == rows.design[:, None]).all()
    assert (points.agent[rows.point] == np.arange(AGENTS)).all()
    assert sorted(set(rows.design)) == list(range(instance[1]))


@settings(deadline=None, max_examples=150)
@given(instances)
def test_points_that_cannot_be_taken_are_left_out_without_a_trace(instance):
    points = drawn(*instance)
    with patch.object(combining, "_contending", lambda points, rows, *rest: np.ones(rows.size, dtype=bool)):
        every_one = combine(points, instance[1], AGENTS)
    rows = combine(points, instance[1], AGENTS)
    assert (rows.design == every_one.design).all()
    assert (rows.point == every_one.point).all()


@settings(deadline=None, max_examples=150)
@given(instances)
def test_at_every_latency_the_cheapest_and_the_most_frugal_combination_is_found(instance):
    points = drawn(*instance)
    rows = combine(points, instance[1], AGENTS)
    for design in range(instance[1]):
        truth = every(points, design)
        if not len(truth):
            continue
        want, got = totals(points, truth), totals(points, rows.point[rows.design == design])
        for latency in np.unique(want[:, 2]):
            for column in (0, 1):
                best = want[want[:, 2] <= latency, column].min()
                assert got[got[:, 2] <= latency, column].min() == pytest.approx(best, rel=1e-12)


@settings(deadline=None, max_examples=150)
@given(instances)
def test_the_fastest_combination_is_found(instance):
    points = drawn(*instance)
    rows = combine(points, instance[1], AGENTS)
    for design in range(instance[1]):
        truth = every(points, design)
        if len(truth):
            assert totals(points, rows.point[rows.design == design])[:, 2].min() == totals(points, truth)[:, 2].min()


@settings(deadline=None, max_examples=150)
@given(instances)
def test_no_row_is_beaten_by_another_row_of_its_design_and_none_comes_twice(instance):
    points = drawn(*instance)
    rows = combine(points, instance[1], AGENTS)
    for design in range(instance[1]):
        got = totals(points, rows.point[rows.design == design])
        for index, row in enumerate(got):
            others = np.delete(got, index, axis=0)
            assert not (others <= row + 1e-12).all(axis=1).any()


@settings(deadline=None, max_examples=100)
@given(instances)
def test_rows_of_feasible_designs_violate_nothing_and_others_take_the_least_violating_point_of_each_class(instance):
    points = drawn(*instance, broken=0.6)
    rows = combine(points, instance[1], AGENTS)
    for design in range(instance[1]):
        chosen = rows.point[rows.design == design]
        if len(every(points, design)):
            assert (points.violation[chosen] == 0).all()
            continue
        least = totals_of_violation(points, every(points, design, fine=False)).min()
        assert len(chosen) == 1
        assert totals_of_violation(points, chosen)[0] == pytest.approx(least)


def totals_of_violation(points: Points, rows: np.ndarray) -> np.ndarray:
    return points.violation[rows].sum(axis=1)


@settings(deadline=None, max_examples=60)
@given(instances)
def test_rows_of_a_design_do_not_depend_on_the_other_designs_of_its_block(instance):
    points = drawn(*instance)
    together = combine(points, instance[1], AGENTS)
    for design in range(instance[1]):
        index = np.flatnonzero(points.design == design)
        alone = combine(Points(*(column[index] for column in points))._replace(design=0 * index), 1, AGENTS)
        assert index[alone.point].tolist() == together.point[together.design == design].tolist()


def test_one_class_gives_its_own_staircase():
    cost = np.array([3.0, 2.0, 2.5, 1.0])
    points = Points(np.zeros(4, int), np.zeros(4, int), cost, cost, np.array([0.1, 0.2, 0.3, 0.4]), np.zeros(4))
    assert combine(points, 1, 1).point.ravel().tolist() == [0, 1, 3]


def test_a_balanced_choice_is_offered_between_the_cheapest_and_the_most_frugal():
    cost, energy = np.array([1.0, 1.2, 4.0]), np.array([4.0, 1.2, 1.0])
    points = Points(np.zeros(3, int), np.zeros(3, int), cost, energy, np.full(3, 0.5), np.zeros(3))
    assert sorted(combine(points, 1, 1).point.ravel()) == [0, 1, 2]
