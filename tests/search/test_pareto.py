import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from dse.search import pareto

CLOUDS = arrays.arrays(
    np.float64, st.tuples(st.integers(1, 40), st.integers(2, 3)), elements=st.integers(0, 8).map(float)
)


def keys(points):
    return [np.arange(len(points))]


@pytest.mark.parametrize("steps", [1, 2, 5, 20])
def test_hypervolume_of_a_staircase(steps):
    x = np.arange(steps) / steps
    points = np.stack([x, x[::-1]], axis=1)
    assert pareto.hypervolume(points, np.ones(2)) == pytest.approx((steps + 1) / (2 * steps))


def test_hypervolume_of_a_box_in_three_dimensions():
    points = np.array([[0.5, 0.25, 0.0], [0.6, 0.3, 0.1]])
    assert pareto.hypervolume(points, np.ones(3)) == pytest.approx(0.5 * 0.75)


def test_hypervolume_of_a_simplex_staircase_in_three_dimensions():
    points = np.array([[i, j, k] for i in range(3) for j in range(3) for k in range(3) if i + j + k == 2], float)
    covered = sum(i + j + k >= 2 for i in range(3) for j in range(3) for k in range(3))
    assert pareto.hypervolume(points, np.full(3, 3.0)) == pytest.approx(covered)


def test_points_beyond_the_reference_add_nothing():
    assert pareto.hypervolume(np.array([[0.5, 2.0]]), np.ones(2)) == 0.0


@given(CLOUDS)
def test_no_member_is_dominated_and_every_other_point_is(points):
    members = points[pareto.front(points, keys(points))]
    beats = (members[:, None] <= points).all(axis=2) & (members[:, None] < points).any(axis=2)
    member = (members[:, None] == points).all(axis=2).any(axis=0)
    assert (beats.any(axis=0) != member).all()


@given(CLOUDS, st.integers(0, 40))
def test_front_of_a_union_is_the_front_of_the_fronts(points, cut):
    parts = [part for part in (points[:cut], points[cut:]) if len(part)]
    fronts = np.concatenate([part[pareto.front(part, keys(part))] for part in parts])
    whole = points[pareto.front(points, keys(points))]
    assert whole.tolist() == fronts[pareto.front(fronts, keys(fronts))].tolist()


@given(CLOUDS)
def test_front_does_not_move_under_monotone_rescaling(points):
    same = pareto.front(np.exp(points / 3) + points, keys(points))
    assert set(pareto.front(points, keys(points))) == set(same)


@given(CLOUDS, st.randoms(use_true_random=False))
def test_front_does_not_depend_on_the_order_of_the_points(points, random):
    order = list(range(len(points)))
    random.shuffle(order)
    shuffled = np.array(order)[pareto.front(points[order], [np.array(order)])]
    assert shuffled.tolist() == pareto.front(points, keys(points)).tolist()


def test_values_within_rounding_are_one_point_and_the_smallest_key_stays():
    points = np.array([[1.0, 2.0], [1.0 + 1e-12, 2.0 - 1e-12]])
    assert pareto.front(points, [np.array([5, 3])]).tolist() == [1]


@given(CLOUDS, st.sampled_from([0.5, 1.0, 3.0]))
def test_every_point_is_within_epsilon_of_a_representative(points, epsilon):
    chosen = points[pareto.representatives(points, epsilon)]
    assert ((chosen[:, None] - points).max(axis=2).min(axis=0) <= epsilon).all()


def test_crowding_gives_room_to_extremes_and_lonely_points():
    points = np.array([[0.0, 1.0], [0.1, 0.9], [0.2, 0.8], [0.8, 0.2], [1.0, 0.0]])
    room = pareto.crowding(points, np.zeros(5, dtype=np.int64))
    assert room[0] == room[4] == 4.0
    assert room[3] > room[1]


def test_shortfall_is_the_improvement_that_lifts_a_point_onto_the_front():
    truth = np.array([[0.0, 1.0], [1.0, 0.0]])
    point = np.array([[1.3, 1.2]])
    (gap,) = pareto.shortfall(point, truth)
    assert gap == pytest.approx(0.3)
    assert pareto.nondominated(np.concatenate([truth, point - gap - 1e-6])).all()


def test_knees_are_the_corner_of_an_l_shaped_front():
    points = np.array([[0.0, 1.0], [0.05, 0.1], [0.1, 0.05], [0.5, 0.04], [1.0, 0.0]])
    assert pareto.knees_by_bulge(points)[0] in (1, 2)
    assert pareto.knees_by_regret(points)[0] in (1, 2)
    assert len(set(pareto.spaced(points, pareto.knees_by_bulge(points), 3))) == 3


@given(CLOUDS)
def test_contributions_sum_to_no_more_than_the_volume(points):
    members = points[pareto.front(points, keys(points))]
    low, high = members.min(axis=0), members.max(axis=0)
    reference = high + 0.1 * (high - low) + 1e-9
    assert pareto.contributions(members).sum() <= pareto.hypervolume(members, reference) + 1e-9
