"""Time of a pass: limits, scaling, monotonicity, dimensions, speed."""

import time

import numpy as np
import pint
import pytest
from hypothesis import given
from hypothesis import strategies as st

from dse.facts import catalog
from dse.physics import roofline, work
from dse.physics.calibration import IDEAL, PROVISIONAL
from dse.physics.demand import Load, Mapping, Precision
from dse.search.fidelity import fabric
from dse.search.scoring.passes import model_shape

MODELS = ("llama_3_1_8b", "deepseek_v3", "gpt_oss_120b")
SHAPES = {name: model_shape(catalog.model(name)) for name in MODELS}
DEVICE = catalog.accelerator("h100_sxm")
SUPPLY = roofline.Supply(989e12, 989e12, 989e12, 3.35e12, 989e12)
FP8 = Precision(1.0, 1.0, 1.0, 1.0)


def demand(name, batch, new, tp=8):
    n = np.broadcast(batch, new, tp).size
    tp = np.broadcast_to(np.asarray(tp, float), (n,))
    moe = np.ones(n)
    mapping = Mapping(tp=tp, moe_tp=moe if SHAPES[name].n_experts else tp, ep=tp if SHAPES[name].n_experts else moe)
    asked = work.pass_work(SHAPES[name], FP8, mapping, Load(batch, new, 4096.0))
    return asked, fabric.links(DEVICE, mapping, SHAPES[name].experts_per_token)


def seconds(name, supply=SUPPLY, calibration=PROVISIONAL, batch=16.0, new=1.0, tp=8.0):
    asked, links = demand(name, batch, new, tp)
    return roofline.pass_time(asked, supply, links, calibration)


def faster(links, rate, latency):
    def path(own):
        return own._replace(bandwidth=own.bandwidth * rate, hop_latency=own.hop_latency / latency)

    fields = ("all_reduce", "all_gather", "expert_gather", "exchange", "context", "p2p", "direct")
    return links._replace(**{field: path(getattr(links, field)) for field in fields})


@pytest.mark.parametrize("name", MODELS)
def test_terms_add_up(name):
    spent = seconds(name, batch=np.array([1.0, 64.0]))
    assert spent.seconds == pytest.approx(spent.compute + spent.memory + spent.network + spent.overhead)
    assert (spent.seconds > 0).all()


@pytest.mark.parametrize("name", MODELS)
def test_endless_bandwidth_leaves_the_compute_time(name):
    asked, links = demand(name, 64.0, 512.0)
    spent = roofline.pass_time(asked, SUPPLY._replace(memory_bandwidth=1e30), faster(links, 1e18, 1e12), IDEAL)
    assert spent.seconds == pytest.approx(asked.flop.sum(axis=0) / 989e12, rel=1e-9)


@pytest.mark.parametrize("name", MODELS)
def test_endless_compute_leaves_the_memory_time(name):
    asked, links = demand(name, 64.0, 1.0)
    rates = {f"{group}_rate": 1e30 for group in ("linear", "attention", "expert", "embedding")}
    spent = roofline.pass_time(asked, SUPPLY._replace(**rates), faster(links, 1e18, 1e12), IDEAL)
    moved = (asked.weight_bytes + asked.activation_bytes + asked.kv_bytes).sum(axis=0)
    assert spent.seconds == pytest.approx(moved / 3.35e12, rel=1e-9)


@pytest.mark.parametrize("name", MODELS)
def test_all_rates_times_k_and_latencies_over_k_divide_every_time_by_k(name):
    k = 3.0
    asked, links = demand(name, np.array([1.0, 64.0]), np.array([1.0, 1024.0]))
    rates = ("linear_rate", "attention_rate", "expert_rate", "embedding_rate", "memory_bandwidth")
    quick = SUPPLY._replace(**{rate: getattr(SUPPLY, rate) * k for rate in rates})
    before = roofline.pass_time(asked, SUPPLY, links, PROVISIONAL)
    after = roofline.pass_time(asked, quick, faster(links, k, k), PROVISIONAL.scaled(k))
    assert after.seconds * k == pytest.approx(before.seconds)
    assert after.network * k == pytest.approx(before.network)


@given(
    name=st.sampled_from(MODELS),
    field=st.sampled_from(["linear_rate", "attention_rate", "expert_rate", "embedding_rate", "memory_bandwidth"]),
    factor=st.floats(1.01, 10.0),
    batch=st.floats(1.0, 512.0),
    new=st.sampled_from([1.0, 64.0, 2048.0]),
)
def test_more_bandwidth_or_flop_rate_is_never_slower(name, field, factor, batch, new):
    before = seconds(name, batch=batch, new=new).seconds
    after = seconds(name, SUPPLY._replace(**{field: getattr(SUPPLY, field) * factor}), batch=batch, new=new).seconds
    assert (after <= before * (1 + 1e-12)).all()


@given(name=st.sampled_from(MODELS), factor=st.floats(1.01, 10.0), batch=st.floats(1.0, 512.0))
def test_faster_links_are_never_slower(name, factor, batch):
    asked, links = demand(name, batch, 1.0)
    before = roofline.pass_time(asked, SUPPLY, links, PROVISIONAL).seconds
    for rate, latency in ((factor, 1.0), (1.0, factor)):
        assert (roofline.pass_time(asked, SUPPLY, faster(links, rate, latency), PROVISIONAL).seconds <= before).all()


def test_a_block_of_rows_is_its_rows_one_by_one():
    batch = np.array([1.0, 8.0, 64.0])
    block = seconds("deepseek_v3", batch=batch).seconds
    single = np.concatenate([seconds("deepseek_v3", batch=one).seconds for one in batch])
    assert block == pytest.approx(single, rel=1e-12)


def test_measured_share_of_the_peak_scales_compute():
    whole = seconds("llama_3_1_8b", calibration=IDEAL, new=4096.0, tp=1.0).compute
    half = seconds("llama_3_1_8b", SUPPLY._replace(compute_fraction=0.5), IDEAL, new=4096.0, tp=1.0).compute
    assert (half > 1.8 * whole).all()


def test_rows_may_differ_in_the_format_they_compute_with():
    mixed = SUPPLY._replace(linear_rate=np.array([989e12, 1979e12]), linear_width=np.array([2.0, 1.0]))
    both = seconds("llama_3_1_8b", mixed, batch=np.array([8.0, 8.0]), new=2048.0).seconds
    bf16 = seconds("llama_3_1_8b", batch=8.0, new=2048.0).seconds
    assert both[0] == pytest.approx(bf16[0])
    assert both[1] < both[0]


def test_hottest_rank_sets_the_pace_of_many():
    assert roofline.expert_skew(np.array([1.0, 1e9]), 1.5) == pytest.approx([1.0, 1.5])


def test_dimensions():
    units = pint.UnitRegistry()
    flop, rate = 1e12 * units.count, 1e15 * units.count / units.s
    moved, bandwidth = 1e9 * units.byte, 3e12 * units.byte / units.s
    assert roofline.operator_time(flop / rate, moved / bandwidth).check("[time]")


@pytest.mark.slow
def test_a_pass_costs_a_few_microseconds_a_row():
    n = 20_000
    asked, links = demand("deepseek_v3", np.linspace(1, 512, n), 1.0)
    start = time.process_time()
    roofline.pass_time(asked, SUPPLY, links, PROVISIONAL)
    assert (time.process_time() - start) / n < 10e-6  # about 2 us on a quiet core
