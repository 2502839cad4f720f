from functools import cache
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dse.facts import catalog
from dse.facts.problem import Problem, load
from dse.search.ask import ask
from dse.search.scoring import block as blocks
from dse.search.scoring import supply
from dse.search.scoring.block import OPTICAL_LINK, Block
from dse.search.scoring.plan import Plan

STUDY = Path(__file__).parents[1] / "studies" / "small.yaml"
GB = 1e9


@cache
def problem() -> Problem:
    return load(STUDY)


@cache
def fleet() -> supply.Fleet:
    return supply.fleet(list(problem().devices.values()), problem().memories, problem().prices)


def economics(**options: float) -> supply.Economics:
    """Money and power of every device of the study with some options."""
    rows = np.arange(fleet().capital.size)
    stock = supply.Options(*(np.full(rows.size, value) for value in (1.0, 0, 0, 0, 0, 0, 0)))
    chosen = stock._replace(**{name: np.full(rows.size, value) for name, value in options.items()})
    return supply.economics(fleet(), rows, chosen, problem().prices, problem().links[OPTICAL_LINK])


OPTIONS = {
    "memory_scale": st.floats(1, 2), "host_memory": st.floats(0, 8e12), "pool_memory": st.floats(0, 8e12),
    "optical_bandwidth": st.floats(0, 2e12), "fabric_capital": st.floats(0, 1e5), "fabric_power": st.floats(0, 1e3),
}  # fmt: skip


@pytest.mark.parametrize("name", OPTIONS)
@settings(deadline=None, max_examples=25)
@given(st.data())
def test_more_of_anything_never_costs_less_nor_draws_less(name, data):
    low, high = sorted((data.draw(OPTIONS[name]), data.draw(OPTIONS[name])))
    price = {"pool_price": 14e-9}
    less, more = (economics(**price, **{name: value}) for value in (low, high))
    assert (more.hourly >= less.hourly).all()
    assert (more.power >= less.power).all()


def test_host_memory_up_to_the_share_in_the_price_is_free():
    included = problem().prices.host_share_memory
    assert (economics(host_memory=included).hourly == economics().hourly).all()
    assert (economics(host_memory=included + 1 * GB).hourly > economics().hourly).all()


def test_host_memory_costs_its_price_per_byte_beyond_the_share():
    prices = problem().prices
    added = economics(host_memory=prices.host_share_memory + 100 * GB).capital - economics().capital
    assert added == pytest.approx(np.full(added.size, 100 * GB * prices.memory["ddr5_rdimm"].likely))


def test_taller_stacks_cost_the_memory_over_one_minus_the_margin():
    prices, rows = problem().prices, fleet()
    added = economics(memory_scale=1.5).capital - economics().capital
    expected = 0.5 * rows.capacity * rows.memory_price / (1 - prices.vendor_margin.likely)
    assert added == pytest.approx(expected)


def test_an_optical_link_pays_both_ends():
    prices = problem().prices
    added = economics(optical_bandwidth=100 * GB).capital - economics().capital
    assert added == pytest.approx(np.full(added.size, 2 * 100 * GB * prices.optics.likely))


def test_a_pool_of_no_bytes_costs_nothing():
    assert (economics(pool_memory=0.0, pool_price=1.0).hourly == economics().hourly).all()


@settings(deadline=None, max_examples=15)
@given(st.floats(0.1, 10))
def test_all_prices_times_k_give_rates_times_k(factor):
    study, scaled = problem(), priced(problem(), factor)
    for before, after in zip(sides(study), sides(scaled), strict=True):
        assert after.hourly == pytest.approx(before.hourly * factor, rel=1e-9)
        assert after.pool_hourly == pytest.approx(before.pool_hourly * factor, rel=1e-9)
        assert (after.power == before.power).all()


def priced(study: Problem, factor: float) -> Problem:
    """Study in which every number with a dollar in its unit is multiplied."""
    money = ("host_share", "network_share", "optics", "switching", "electricity")
    values = {f"prices.{name}": getattr(study.prices, name).likely * factor for name in money}
    values |= {f"prices.memory.{name}": price.likely * factor for name, price in study.prices.memory.items()}
    values |= {f"devices.{name}.price.likely": part.price.likely * factor for name, part in study.devices.items()}
    return study.with_values(values)


def sides(study: Problem):
    whole: Block = blocks.block(Plan.of(study), ask(study).space.sample(64, 0))
    return whole.prefill, whole.decode


@pytest.mark.parametrize("name", catalog.names("prices"))
def test_every_accelerator_with_a_price_or_a_rate_has_a_capital_on_the_one_basis(name):
    prices = catalog.price_set(name)
    parts = [catalog.accelerator(part) for part in catalog.names("accelerators")]
    priced = [part for part in parts if part.price is not None or part.tco is not None]
    assert all(supply.system_capital(part, prices) > 0 for part in priced)


def test_a_device_price_gets_host_and_network_a_server_price_the_network_a_system_price_nothing():
    prices = problem().prices
    part = problem().devices["h100_sxm"]
    assert part.price is not None
    priced = {basis: part.price.model_copy(update={"basis": basis}) for basis in ("device", "server", "system")}
    bare = {
        basis: supply.system_capital(part.model_copy(update={"price": price}), prices)
        for basis, price in priced.items()
    }
    assert bare["device"] - bare["server"] == pytest.approx(prices.host_share.likely)
    assert bare["server"] - bare["system"] == pytest.approx(prices.network_share.likely)


def test_an_accelerator_without_price_and_rate_is_refused():
    part = problem().devices["h100_sxm"].model_copy(update={"price": None, "tco": None})
    with pytest.raises(ValueError, match="neither a price nor an ownership rate"):
        supply.system_capital(part, problem().prices)


def test_a_second_device_that_is_absent_adds_no_power_and_no_slack():
    plan = Plan.of(problem())
    block = blocks.block(plan, ask(problem()).space.sample(200, 1))
    alone = block.decode.device[:, 1] < 0
    assert alone.any()
    assert np.isfinite(block.device_power).all()
    assert all((values <= 0).all() and np.isfinite(values).all() for values in block.slacks.values())
