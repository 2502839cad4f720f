from functools import cache
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dse.facts.problem import load
from dse.physics import serving
from dse.search.ask import ask
from dse.search.scoring import block as blocks
from dse.search.scoring import classes
from dse.search.scoring.keeping import append_work
from dse.search.scoring.phases import APPEND_CHUNK
from dse.search.scoring.points import PointColumns, evaluate_points
from dse.search.scoring.sides import HOME, Setting

STUDY = Path(__file__).parents[1] / "studies" / "small.yaml"
POINTS = 600
READING = 1.10
"""Percentiles are read between weighted atoms; where two atoms change places the reading moves by up to this factor."""
RESTORE = 1.01
"""A tier that holds more is read from more often, which may take longer than to recompute; the mean step shows it."""

agents = st.sampled_from([0, 1])
factors = st.floats(1.01, 8)
TIERS = [
    ("prefill", "host_bytes"),
    ("decode", "host_bytes"),
    ("prefill", "room"),
    ("decode", "room"),
    ("pool", "capacity"),
]
LINKS = [
    ("prefill", "host_bandwidth"),
    ("decode", "host_bandwidth"),
    ("prefill", "bandwidth"),
    ("decode", "bandwidth"),
    ("pool", "bandwidth"),
]
PREFILL_TIMES = ("pass_time", "pinned_time", "per_token", "per_area", "work_token", "work_area")


@cache
def points(agent: int) -> Setting:
    """Random serving points of real designs: both ways to serve, all homes of the KV."""
    question = ask(load(STUDY))
    plan = question.evaluate.plan
    block = blocks.block(plan, question.space.sample(48, 3))
    found = classes.candidates(plan, block, agent)
    index = np.sort(np.random.default_rng(0).choice(found.home.size, POINTS, replace=False))
    return classes.setting(plan, block, agent, found, index)


@cache
def scored(agent: int) -> PointColumns:
    return evaluate_points(points(agent))


def scaled(at: Setting, side: str, factor: float, *names: str) -> Setting:
    part = getattr(at, side)
    return at._replace(**{side: part._replace(**{name: getattr(part, name) * factor for name in names})})


def not_above(after, before, factor=1 + 1e-9):
    return bool((np.asarray(after) <= np.asarray(before) * factor).all())


def test_the_sample_holds_every_home_and_both_ways_to_serve():
    for agent in (0, 1):
        assert set(points(agent).home) == set(HOME.values())
        assert 0 < points(agent).colocated.mean() < 1


@pytest.mark.parametrize(("side", "name"), TIERS + LINKS)
@settings(deadline=None, max_examples=10)
@given(agents, factors)
def test_more_memory_or_link_bandwidth_never_raises_cost_or_energy_at_equal_mapping(side, name, agent, factor):
    before, after = scored(agent), evaluate_points(scaled(points(agent), side, factor, name))
    assert not_above(after.cost, before.cost)
    assert not_above(after.energy, before.energy)


@pytest.mark.parametrize(("side", "name"), LINKS)
@settings(deadline=None, max_examples=10)
@given(agents, factors)
def test_more_link_bandwidth_never_lengthens_the_mean_step(side, name, agent, factor):
    before, after = scored(agent), evaluate_points(scaled(points(agent), side, factor, name))
    assert not_above(after.latency_mean, before.latency_mean)
    assert not_above(after.step_latency, before.step_latency, READING)


@pytest.mark.parametrize(("side", "name"), TIERS)
@settings(deadline=None, max_examples=10)
@given(agents, factors)
def test_more_memory_never_shortens_retention_nor_costs_hits(side, name, agent, factor):
    at = points(agent)
    before, after = scored(agent), evaluate_points(scaled(at, side, factor, name))
    roomy = (at.prefill.room >= 0) & (at.decode.room >= 0)
    assert not_above(before.retention_time[roomy], after.retention_time[roomy])
    assert not_above(before.hit_rate[roomy], after.hit_rate[roomy])
    roomy &= ~at.at_home("prefill")  # there a step that finds its prefix waits for the one instance that has it
    assert not_above(after.latency_mean[roomy], before.latency_mean[roomy], RESTORE)


@settings(deadline=None, max_examples=15)
@given(agents, factors)
def test_faster_prefill_never_raises_cost_nor_the_mean_step(agent, factor):
    at, before = points(agent), scored(agent)
    after = evaluate_points(scaled(at, "prefill", 1 / factor, *PREFILL_TIMES))
    held = ~at.at_home("prefill")  # where the KV waits on the prefill pool, less work leaves it fewer devices
    assert not_above(after.cost[held], before.cost[held])
    assert not_above(after.latency_mean[held], before.latency_mean[held])


@settings(deadline=None, max_examples=15)
@given(agents, factors)
def test_shorter_decode_steps_at_equal_work_never_lengthen_a_step(agent, factor):
    before = scored(agent)
    after = evaluate_points(scaled(points(agent), "decode", 1 / factor, "step_time", "step_time_full"))
    assert not_above(after.tpot_full, before.tpot_full)
    assert not_above(after.latency_mean, before.latency_mean)


@settings(deadline=None, max_examples=15)
@given(agents, st.floats(0.1, 10), st.floats(0.1, 10))
def test_prices_times_k_give_cost_times_k_and_powers_times_k_energy_times_k(agent, money, watts):
    at, before = points(agent), scored(agent)
    for side in ("prefill", "decode"):
        at = scaled(scaled(at, side, money, "hourly"), side, watts, "power")
    after = evaluate_points(at)
    assert after.cost == pytest.approx(before.cost * money, rel=1e-12)
    assert after.energy == pytest.approx(before.energy * watts, rel=1e-12)
    assert (after.ratio == before.ratio).all()


@settings(deadline=None, max_examples=10)
@given(agents, st.integers(1, POINTS))
def test_points_are_scored_one_by_one_as_in_a_block(agent, size):
    at, whole = points(agent), scored(agent)
    index = np.random.default_rng(size).permutation(POINTS)[: min(size, 40)]
    part = evaluate_points(taken(at, index))
    for name, column in part._asdict().items():
        assert column == pytest.approx(getattr(whole, name)[index], rel=1e-12, abs=1e-12), name


def taken(at: Setting, index) -> Setting:
    """Some of the points."""

    def rows(part):
        return type(part)(*(column[index] for column in part))

    parts = {"prefill": rows(at.prefill), "decode": rows(at.decode), "pool": rows(at.pool)}
    flat = {name: getattr(at, name)[index] for name in ("home", "colocated", "kv_token", "codec")}
    return at._replace(**parts, **flat)


@pytest.mark.parametrize("agent", [0, 1])
def test_a_pool_of_no_bytes_is_no_pool_whatever_its_link(agent):
    at = scaled(points(agent), "pool", 0.0, "capacity")
    index = np.flatnonzero(~at.at_home("shared"))
    slow, fast = taken(at, index), taken(scaled(at, "pool", 1e6, "bandwidth"), index)
    for name, column in evaluate_points(slow)._asdict().items():
        assert (column == getattr(evaluate_points(fast), name)).all(), name


@pytest.mark.parametrize("agent", [0, 1])
def test_infinite_links_leave_only_the_work_of_the_devices(agent):
    at = points(agent)
    for side, name in LINKS:
        at = scaled(at, side, 1e30, name)
    found = evaluate_points(at)
    dry = ~(at.pool.write_rate < np.inf)  # what flash cells endure is no matter of links
    assert (found.prefill_link_share[dry] < 1e-15).all()
    assert (found.decode_link_share[dry] < 1e-15).all()
    further = at
    for side, name in LINKS:
        further = scaled(further, side, 1e3, name)
    assert evaluate_points(further).latency_mean == pytest.approx(found.latency_mean, rel=1e-12)


@pytest.mark.parametrize("home", ["prefill", "decode"])
@pytest.mark.parametrize("agent", [0, 1])
def test_a_slow_link_between_the_pools_asks_for_the_bytes_of_the_home_over_its_bandwidth(agent, home):
    at = points(agent)
    at = taken(at, np.flatnonzero(at.at_home(home)))
    at = at._replace(prefill=at.prefill._replace(bandwidth=np.ones(at.home.size)))
    found, moments = evaluate_points(at), at.shape.moments
    lost = at.shape.curves.at("miss_tokens", found.retention_time)
    forth, back = serving.transfer_tokens(home, moments.cached - lost, moments.fresh + lost, moments.output)
    expected = at.kv_token * np.maximum(forth, back) / at.operation.utilisation
    assert found.prefill_seconds == pytest.approx(expected, rel=1e-9)
    assert found.prefill_link_share == pytest.approx(1.0)


@pytest.mark.parametrize("agent", [0, 1])
def test_appending_on_decode_moves_only_cold_prompts_between_the_pools(agent):
    at = points(agent)
    at = taken(at, np.flatnonzero(at.at_home("append_on_decode")))
    at = at._replace(prefill=at.prefill._replace(bandwidth=np.ones(at.home.size)))
    found = evaluate_points(at)
    cold = at.shape.cold_fresh + at.shape.curves.at("miss_tokens", found.retention_time)
    assert found.prefill_seconds == pytest.approx(at.kv_token * cold / at.operation.utilisation, rel=1e-9)


@pytest.mark.parametrize("agent", [0, 1])
def test_appends_take_no_less_than_with_a_chunk_for_every_rank_and_no_more_than_a_pass_for_each(agent):
    at = points(agent)
    at = taken(at, np.flatnonzero(at.at_home("append_on_decode")))
    decode, shape = at.decode, at.shape
    tokens, area = max(shape.moments.fresh - shape.cold_fresh, 0), shape.moments.area - shape.cold_area
    filled = decode.append_work_token * tokens + decode.append_work_area * area
    assert not_above(filled, append_work(at))
    ranks = decode.batch / decode.rank_requests
    floors = decode.append_work_pass * (shape.append_chunks - tokens / APPEND_CHUNK)
    assert not_above(append_work(at), ranks * (filled + floors))


@pytest.mark.parametrize("agent", [0, 1])
def test_colocated_is_disaggregated_on_equal_devices_plus_interference_and_less_transfer(agent):
    at = points(agent)
    at = taken(at, np.flatnonzero(at.colocated))
    decode, free = at.decode, np.full(at.home.size, 1e30)
    prefill = at.prefill._replace(
        pass_time=decode.append_pass, pinned_time=decode.append_pass,
        response=np.full(at.home.size, 1 / (1 - at.operation.utilisation)),
        per_token=decode.append_per_token, per_area=decode.append_per_area,
        work_token=decode.append_work_token, work_area=decode.append_work_area, rank_devices=decode.rank_devices,
        kv_bytes=decode.kv_bytes, room=decode.memory, tail_bytes=0 * decode.memory, memory=decode.memory,
        host_bytes=decode.host_bytes, host_bandwidth=decode.host_bandwidth, bandwidth=free, hourly=decode.hourly,
        power=decode.power,
    )  # fmt: skip
    split = at._replace(prefill=prefill, decode=decode._replace(bandwidth=free), colocated=np.zeros(at.home.size, bool))
    together, apart = evaluate_points(at), evaluate_points(split)
    roomy = (together.decode_link_share < 1) & (apart.decode_link_share < 1) & (apart.prefill_link_share < 1)
    roomy &= together.hit_rate == apart.hit_rate  # one pool has the memory of both, so it may keep KV longer
    assert roomy.any()
    work = (together.decode_seconds, apart.prefill_seconds + apart.decode_seconds)
    assert work[0][roomy] == pytest.approx(work[1][roomy], rel=1e-9)
    assert together.cost[roomy] == pytest.approx(apart.cost[roomy], rel=1e-9)
    busy = at.operation.utilisation * apart.prefill_seconds / work[0]
    interference = serving.shared_pass_time(np.ones(at.home.size), busy)
    assert together.tpot_full[roomy] == pytest.approx((apart.tpot_full * interference)[roomy], rel=1e-9)


@pytest.mark.parametrize("agent", [0, 1])
def test_weights_that_do_not_fit_are_a_negative_slack_and_every_number_stays_finite(agent):
    at = points(agent)
    short = at._replace(
        prefill=at.prefill._replace(room=at.prefill.room - at.prefill.memory * 2),
        decode=at.decode._replace(room=at.decode.room - at.decode.memory * 2),
    )
    found = evaluate_points(short)
    assert (found.slack_capacity < -1).all()
    assert (found.violation > 1).all()
    assert all(np.isfinite(column).all() for column in found)


@settings(deadline=None, max_examples=10)
@given(agents, st.floats(0.0, 1.0))
def test_less_affinity_never_raises_the_hits(agent, affinity):
    at = points(agent)
    after = evaluate_points(at._replace(operation=at.operation._replace(affinity=affinity)))
    assert not_above(after.hit_rate, scored(agent).hit_rate)
    assert all(np.isfinite(column).all() for column in after)


@settings(deadline=None, max_examples=10)
@given(agents, st.floats(1.0, 200.0))
def test_burstier_arrivals_never_shorten_the_wait_of_first_come_first_served(agent, arrival_scv):
    at = points(agent)
    calm = evaluate_points(at._replace(operation=at.operation._replace(first_come=True, arrival_scv=1.0)))
    rough = evaluate_points(at._replace(operation=at.operation._replace(first_come=True, arrival_scv=arrival_scv)))
    assert not_above(calm.latency_mean, rough.latency_mean)
    assert (rough.cost == calm.cost).all()


@pytest.mark.parametrize("agent", [0, 1])
def test_higher_percentiles_are_never_shorter(agent):
    found = scored(agent)
    assert not_above(found.ttft_p50, found.ttft_p95)
    assert not_above(found.ttft_p95, found.ttft_p99)


@pytest.mark.parametrize("agent", [0, 1])
def test_kv_that_waits_in_the_pool_is_read_from_it_once_by_each_side(agent):
    at = points(agent)
    at = taken(at, np.flatnonzero(at.at_home("shared")))
    narrow = scaled(at, "pool", 1e-3, "bandwidth")
    added = evaluate_points(narrow).latency_mean - evaluate_points(at).latency_mean
    moments = at.shape.moments
    lost = at.shape.curves.at("miss_tokens", evaluate_points(at).retention_time)
    rate = narrow.pool.bandwidth * np.minimum(at.prefill.rank_devices, at.decode.rank_devices)
    bare = 2 * (moments.cached + moments.fresh) + 0 * lost
    calm = evaluate_points(narrow).tpot == evaluate_points(at).tpot
    assert calm.any()
    expected = at.kv_token * bare / rate * (1 - 1e-3)
    assert added[calm] == pytest.approx(expected[calm], rel=0.05)
