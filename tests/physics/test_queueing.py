"""Waiting: textbook cases, limits and the cliff of mixtures."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from dse.physics import queueing


def test_processor_sharing_mean_equals_mm1():
    # M/M/1 at rho = 0.7, mean service 0.2 s: response 0.2 / 0.3
    assert queueing.processor_sharing_response(np.array(0.2), 0.7) == pytest.approx(0.2 / 0.3)


def test_allen_cunneen_is_exact_for_mm1_and_md1():
    mean = np.array(1.0)
    assert queueing.first_come_wait(mean, 1.0, 1.0, 0.5) == pytest.approx(1.0)  # rho/(1-rho)
    assert queueing.first_come_wait(mean, 0.0, 1.0, 0.5) == pytest.approx(0.5)  # half of it


def test_no_load_no_wait():
    assert queueing.first_come_wait(np.array(1.0), 30.0, 1.0, 0.0) == 0
    assert queueing.processor_sharing_response(np.array(1.0), 0.0) == 1


@given(st.floats(1, 1e5))
def test_mean_slots_solve_the_staffing_equation(batch):
    busy = queueing.mean_slots(np.array(batch))
    assert busy + queueing.Z_95 * np.sqrt(busy) == pytest.approx(batch, rel=1e-9)
    assert 0 < busy < batch


def test_mean_slots_at_published_points():
    assert queueing.mean_slots(np.array([12.0, 128.0])) / [12, 128] == pytest.approx([0.62, 0.86], abs=0.005)


@pytest.mark.parametrize(("share", "expected"), [(0.0, 1.0), (0.11, 30.0)])
def test_quantile_of_a_mixture_has_a_cliff(share, expected):
    values = np.array([[1.0, 1.0, 30.0]])
    weights = np.array([[0.5, 0.5 - share, share]])
    assert queueing.mixture_quantiles(values, weights, [0.95])[0, 0] == expected


@given(st.lists(st.floats(0, 1e6), min_size=1, max_size=30), st.floats(0.01, 0.99))
def test_quantile_equals_hazens_rule_on_equal_weights(values, level):
    data = np.array(values)
    got = queueing.mixture_quantiles(data[None, :], np.ones((1, data.size)), [level])[0, 0]
    assert got == pytest.approx(np.quantile(data, level, method="hazen"), rel=1e-9, abs=1e-9)


def test_atoms_without_weight_have_no_say():
    got = queueing.mixture_quantiles(np.array([[5.0, 1.0, 2.0]]), np.array([[0.0, 0.5, 0.5]]), [0.99])[0]
    assert got[0] == 2.0


@given(st.floats(0.01, 0.98), st.floats(1.01, 10))
def test_quantile_scales_with_its_unit(level, factor):
    rng = np.random.default_rng(1)
    values, weights = rng.random((5, 9)), rng.random((5, 9))
    base = queueing.mixture_quantiles(values, weights, [level])
    assert queueing.mixture_quantiles(values * factor, weights, [level]) == pytest.approx(base * factor)


@pytest.mark.parametrize(("slots", "busy"), [(1, 0.5), (2, 1.2), (16, 10.0), (64, 60.0)])
def test_blocking_is_the_law_of_erlang_by_its_sum(slots, busy):
    terms = busy ** np.arange(slots) / np.cumprod(np.concatenate([[1.0], np.arange(1.0, slots)]))
    full = busy**slots / np.prod(np.arange(1.0, slots + 1)) * slots / (slots - busy)
    assert queueing.blocking(slots, busy) == pytest.approx(full / (terms.sum() + full), rel=1e-9)


def test_delay_of_one_server_has_the_quantile_of_m_m_1():
    busy, delay, level = 0.6, 1 / (1 - 0.6), 0.95
    excess = queueing.delay_excess(np.array(busy), np.array(delay), level)
    assert busy * delay + excess == pytest.approx(np.log(busy / (1 - level)) * delay)


@given(st.floats(0, 10), st.floats(0, 10), st.floats(0, 10), st.floats(0, 10))
def test_a_reading_within_a_limit_is_the_inverse_of_a_joined_quantile(reading, mean, delay, excess):
    joined = queueing.joined_quantile(np.array(reading), np.array(mean), np.array(delay), np.array(excess))
    assert joined >= reading + delay - 1e-9
    back = queueing.reading_within(joined, np.array(mean), np.array(delay), np.array(excess))
    assert back == pytest.approx(reading, abs=2e-6)
