"""Money: closed forms, inverses and scaling."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from dse.physics import cost


def test_annuity_special_cases():
    assert cost.annuity(0.0, 5.0) == pytest.approx(0.2)
    assert cost.annuity(0.1, 1.0) == pytest.approx(1.1)  # one payment: capital and one year's interest
    assert cost.annuity(0.07, 1e6) == pytest.approx(0.07)  # a perpetuity pays interest only


def test_annuity_tends_to_straight_line():
    assert cost.annuity(1e-9, 4.0) == pytest.approx(0.25, rel=1e-6)


@given(st.floats(0.1, 20), st.floats(0, 0.5), st.floats(0, 0.3), st.floats(1, 10))
def test_capital_from_a_rate_is_the_inverse_of_the_rate(rate, share, interest, years):
    factor = float(cost.annuity(interest, years))
    capital = cost.capex_from_rate(np.array(rate), share, factor)
    assert cost.capex_rate(capital, factor) == pytest.approx(rate * (1 - share))


@given(st.floats(1.1, 10))
def test_costs_scale_with_prices(factor):
    base = cost.hourly_cost(cost.capex_rate(np.array(4e4), 0.3), np.array(1500.0), 2e-8)
    dear = cost.hourly_cost(cost.capex_rate(np.array(4e4 * factor), 0.3), np.array(1500.0), 2e-8 * factor)
    assert dear == pytest.approx(base * factor)


def test_published_utility_power_of_an_h100():
    assert cost.facility_power(np.array(700.0), 740.0, np.array(0.0), 1.2) == pytest.approx(1730, rel=0.01)


def test_worked_example_of_mixed_devices():
    # 2507.19635: 1000 tokens in, 500 out; HP prefills, CO decodes, 10 ms and $5e-6/token of transfer
    prefill, decode, transfer = 1000 * 8e-5, 500 * 2e-5, 1000 * 5e-6
    assert prefill + decode + transfer == pytest.approx(0.095)
