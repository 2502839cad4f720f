from functools import cache
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dse.facts.problem import load
from dse.physics import demand
from dse.search.scoring import mappings, passes, phases
from dse.search.scoring.phases import Decoding, Site, timed
from dse.search.scoring.plan import Plan, TableKey
from dse.search.scoring.tables import RESOLUTION, decode_table, prefill_table

STUDY = Path(__file__).parents[1] / "studies" / "small.yaml"
DEVICES = ("h100_sxm", "mi300x")
CHUNKS = (2048, 8192)
BATCHES = (1, 8, 64, 512)
SUPPLY = ("linear_rate", "attention_rate", "expert_rate", "embedding_rate", "memory_bandwidth")
cases = st.tuples(st.sampled_from([0, 1]), st.sampled_from(DEVICES), st.sampled_from([0.0, 400e9]))
factors = st.floats(1.01, 10)


@cache
def plan() -> Plan:
    return Plan.of(load(STUDY))


@cache
def site(case) -> Site:
    agent, device, light = case
    return plan().site(TableKey(agent, device, "native", light, "release", "bf16", 0))


def load_of(case) -> phases.Load:
    return plan().classes[case[0]].load


@cache
def grid(case, phase: str) -> mappings.Grid:
    here = site(case)
    if phase == "prefill":
        return mappings.prefill_grid(here.shape, here.reach, CHUNKS)
    return mappings.decode_grid(here.shape, here.reach, BATCHES)


def seconds(here: Site, case, phase: str) -> np.ndarray:
    """Time of one pass of every mapping, unpruned."""
    rows, load = grid(case, phase), load_of(case)
    if phase == "prefill":
        return timed(here, rows, demand.Load(rows.attention_dp, rows.size.astype(float), load.cached)).seconds
    return timed(here, rows, demand.Load(rows.size / rows.pp, 1.0, load.decode_context)).seconds


def wired(here: Site, bandwidth: float = 1.0, latency: float = 1.0) -> Site:
    """Site whose links are faster and whose hops are shorter by factors."""
    from dataclasses import replace

    known = here.paths.coefficients
    coefficients = replace(known, hop_latency=known.hop_latency / latency)
    return here._replace(paths=passes.Network(coefficients, here.paths.rates * bandwidth))


@pytest.mark.parametrize("phase", ["prefill", "decode"])
@pytest.mark.parametrize("rate", SUPPLY)
@settings(deadline=None, max_examples=8)
@given(cases, factors)
def test_more_of_a_rate_never_slows_a_pass_of_any_mapping(phase, rate, case, factor):
    here = site(case)
    faster = here._replace(supply=here.supply._replace(**{rate: getattr(here.supply, rate) * factor}))
    assert (seconds(faster, case, phase) <= seconds(here, case, phase) * (1 + 1e-12)).all()


@pytest.mark.parametrize("phase", ["prefill", "decode"])
@settings(deadline=None, max_examples=15)
@given(cases, factors, factors)
def test_faster_links_and_shorter_hops_never_slow_a_pass_of_any_mapping(phase, case, factor, nearer):
    here = site(case)
    assert (seconds(wired(here, factor, nearer), case, phase) <= seconds(here, case, phase) * (1 + 1e-12)).all()


@pytest.mark.parametrize("phase", ["prefill", "decode"])
@settings(deadline=None, max_examples=15)
@given(cases, st.floats(0.1, 10))
def test_all_rates_times_k_and_all_latencies_over_k_give_times_over_k(phase, case, factor):
    here = site(case)
    faster = wired(here, factor, factor)._replace(
        supply=here.supply._replace(**{name: getattr(here.supply, name) * factor for name in SUPPLY}),
        calibration=here.calibration.scaled(factor),
    )
    assert seconds(faster, case, phase) * factor == pytest.approx(seconds(here, case, phase), rel=1e-9)


@pytest.mark.parametrize("phase", ["prefill", "decode"])
@settings(deadline=None, max_examples=6)
@given(cases)
def test_infinite_links_without_latency_remove_the_network_term(phase, case):
    here, rows = wired(site(case), 1e30, 1e30), grid(case, phase)
    free = dict.fromkeys(("alpha", "hop", "pipeline", "direct_alpha", "exchange_alpha"), 0.0)
    here = here._replace(calibration=here.calibration._replace(network=here.calibration.network._replace(**free)))
    found = timed(here, rows, demand.Load(rows.attention_dp, 64.0, 1000.0))
    assert found.network == pytest.approx(np.zeros(found.network.shape), abs=1e-12)


@pytest.mark.parametrize("phase", ["prefill", "decode"])
@settings(deadline=None, max_examples=6)
@given(cases)
def test_infinite_compute_leaves_memory_network_and_floors(phase, case):
    here = site(case)
    rates = {name: 1e40 for name in SUPPLY if name.endswith("rate")}
    rows = grid(case, phase)
    found = timed(here._replace(supply=here.supply._replace(**rates)), rows, demand.Load(rows.attention_dp, 64.0, 1e3))
    assert found.seconds == pytest.approx(found.memory + found.network + found.overhead, rel=1e-6)


@settings(deadline=None, max_examples=6)
@given(cases)
def test_for_every_decode_mapping_that_fits_a_kept_one_is_as_good_in_work_step_and_memory(case):
    here, load = site(case), load_of(case)
    rows, kept = grid(case, "decode"), decode_table(here, load, Decoding(BATCHES))
    held = phases.ledger(here.shape, here.precision, passes.mapping(rows))
    kv = passes.kv_bytes_per_token(held, rows, load.decode_context, here.shape.sliding_window)
    fits = held.weights_bytes + kv * load.tail_context <= here.capacity
    full = timed(here, rows, demand.Load(rows.size / rows.pp, 1.0, load.decode_context, 1.0)).seconds
    used = held.weights_bytes + rows.size / rows.attention_dp * kv * load.decode_context
    slots = np.maximum(phases.queueing.mean_slots(rows.size.astype(float)), np.minimum(rows.size, 0.5))
    mean = timed(here, rows, demand.Load(slots / rows.pp, 1.0, load.decode_context, 1.0)).seconds
    every = np.log10(np.stack([rows.devices * mean / slots, full, used], axis=1))[fits]
    memory = kept.weights_bytes + kept.rank_requests() * kept.request_bytes
    best = np.log10(np.stack([kept.work, kept.step_time_full, memory], axis=1))
    as_good = (best[None] <= every[:, None] + RESOLUTION * 1.001).all(axis=2).any(axis=1)
    assert as_good.all()


@settings(deadline=None, max_examples=6)
@given(cases)
def test_a_full_step_takes_no_less_than_a_step_at_the_mean_busy_slots(case):
    table = decode_table(site(case), load_of(case), Decoding(BATCHES))
    assert (table.step_time <= table.step_time_full * (1 + 1e-12)).all()
    assert (table.slots <= table.batch()).all()


@settings(deadline=None, max_examples=6)
@given(cases)
def test_kept_rows_hold_the_weights_and_the_longest_context(case):
    here, load = site(case), load_of(case)
    for table in (prefill_table(here, load, CHUNKS), decode_table(here, load, Decoding(BATCHES))):
        assert (table.weights_bytes + table.kv_bytes * load.tail_context <= here.capacity).all()


@settings(deadline=None, max_examples=6)
@given(cases)
def test_the_time_of_a_request_is_rebuilt_from_its_tokens_and_its_area(case):
    here, load = site(case), load_of(case)
    table = prefill_table(here, load, (2048,))
    rows = mappings.Grid(*table.grid)
    chunk, prefix = 2048.0, max(load.cached, 1.0)
    again = timed(here, rows, demand.Load(rows.attention_dp, chunk, prefix)).seconds
    built = (table.per_token * chunk + table.per_area * chunk * (prefix + chunk / 2)) * rows.pp
    assert built == pytest.approx(again, rel=1e-9)


def test_speculative_decoding_divides_the_step_by_its_gain():
    here, load = site((0, "h100_sxm", 0.0)), load_of((0,))
    plain, gained = decode_table(here, load, Decoding(BATCHES)), decode_table(here, load, Decoding(BATCHES, 0.0, 2.0))
    assert gained.step_time == pytest.approx(plain.step_time / 2)
    assert gained.work == pytest.approx(plain.work / 2)


def test_a_site_without_room_keeps_the_mapping_that_lacks_least():
    case = (1, "h100_sxm", 0.0)
    table = decode_table(site(case)._replace(capacity=1e9), load_of(case), Decoding(BATCHES))
    assert table.weights_bytes.size == 1
    assert table.weights_bytes[0] > 1e9
