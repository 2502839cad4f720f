"""Intensity, footprint and their limits at hand-checked points."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from dse.facts import catalog
from dse.physics import intensity
from dse.physics.transformer import kv_bytes, parameters, shape
from dse.physics.work import Load, Mapping, Precision, ledger, pass_work

TWO_BYTES = Precision(2, 2, 2, 2)
TOKENS_128K, TOKENS_300K = 131072.0, 300e3


def shape_of(name):
    return shape(**catalog.model(name).model_dump())


LLAMA, DEEPSEEK = shape_of("llama_3_1_70b"), shape_of("deepseek_r1")


@pytest.mark.parametrize(
    ("model", "context", "batch", "gigabytes", "tolerance"),
    [
        (LLAMA, TOKENS_128K, 1, 184.1, 0.05),
        (LLAMA, TOKENS_128K, 16, 51.8, 0.05),
        (LLAMA, TOKENS_128K, 64, 45.2, 0.05),
        (DEEPSEEK, TOKENS_128K, 16, 93, 0.5),
        (DEEPSEEK, TOKENS_300K, 16, 105, 0.5),
    ],
)
def test_capacity_footprint_of_a_request(model, context, batch, gigabytes, tolerance):
    weights = 2 * parameters(model).text
    footprint = intensity.cf_request(kv_bytes(model, np.array(context)), weights, np.array(batch))
    assert footprint / 1e9 == pytest.approx(gigabytes, abs=tolerance)


@pytest.mark.parametrize(("batch", "expected"), [(1, 2.65), (16, 9.35), (64, 10.70)])
def test_decode_intensity_of_llama_at_128k(batch, expected):
    work = pass_work(LLAMA, TWO_BYTES, Mapping(), Load(batch, 1, TOKENS_128K))
    assert intensity.phase_oi(work, gathered=False, activations=False)[0] == pytest.approx(expected, abs=0.005)


def test_experts_lower_decode_intensity():
    load = Load(16, 1, 4096)
    sparse = intensity.phase_oi(pass_work(DEEPSEEK, TWO_BYTES, Mapping(), load), activations=False)
    dense = intensity.phase_oi(pass_work(LLAMA, TWO_BYTES, Mapping(), load), activations=False)
    assert sparse[0] == pytest.approx(4.1, abs=0.05)
    assert dense[0] == pytest.approx(14.9, abs=0.05)


@pytest.mark.parametrize(
    ("device", "expected"), [("h100_sxm", 295), ("h200_sxm", 206), ("mi300x", 247), ("gaudi3", 453)]
)
def test_ridge(device, expected):
    entry = catalog.accelerator(device)
    ridge = intensity.oi_ridge(np.array(entry.peak.bf16), np.array(entry.memory.bandwidth))
    assert round(float(ridge)) == pytest.approx(expected, abs=1)


@pytest.mark.parametrize(("context", "expected"), [(4096, 924), (32768, 115), (131072, 28), (307200, 12), (2**20, 3)])
def test_capacity_limited_batch_of_eight_devices(context, expected):
    book = ledger(LLAMA, TWO_BYTES, Mapping(tp=8))
    batch = intensity.capacity_batch(np.array(192e9), book.weights_bytes, book.kv_bytes_per_token * context)
    assert batch[0] == expected


def test_intensity_limits():
    assert intensity.oi_limit(LLAMA, np.array([4096.0, 32768.0])).round().tolist() == [112, 21]
    assert intensity.attention_oi_limit(LLAMA) == 8
    assert round(intensity.attention_oi_limit(DEEPSEEK, kv=2.0)) == 242
    assert round(intensity.attention_oi_limit(DEEPSEEK, kv=1.0)) == 484


def test_attention_core_reaches_its_limit():
    for model in (LLAMA, DEEPSEEK):
        work = pass_work(model, TWO_BYTES, Mapping(), Load(1, 1, 1e6))
        core = work.flop[1, 0] / work.kv_bytes[1, 0]
        assert core == pytest.approx(intensity.attention_oi_limit(model), rel=1e-5)


def test_llama_8b_golden_intensity():
    work = pass_work(shape_of("llama_3_1_8b"), TWO_BYTES, Mapping(), Load([1, 32], 1, 2048))
    oi = intensity.phase_oi(work, gathered=False, activations=False)
    assert oi == pytest.approx([1.053, 21.8], rel=2e-3)


@given(batch=st.floats(1, 1e4), factor=st.floats(1, 100), name=st.sampled_from(["llama_3_1_8b", "deepseek_v3"]))
def test_intensity_never_falls_with_the_batch(batch, factor, name):
    work = pass_work(shape_of(name), TWO_BYTES, Mapping(), Load([batch, batch * factor], 1, 4096))
    low, high = intensity.phase_oi(work, gathered=False, activations=False)
    assert high >= low * (1 - 1e-12)


@pytest.mark.parametrize("name", ["llama_3_1_70b", "deepseek_v3", "gpt_oss_120b", "qwen3_next_80b_a3b"])
def test_saturating_batch_is_the_least_one(name):
    model, ridge = shape_of(name), np.array([295.0])
    batch = intensity.saturating_batch(model, TWO_BYTES, np.array([8192.0]), ridge)[0]
    work = pass_work(model, TWO_BYTES, Mapping(), Load([batch - 1, batch, 2.0**64], 1, 8192.0))
    below, reached, limit = intensity.phase_oi(work, gathered=False, activations=False)
    target = intensity.NEAR * min(ridge[0], limit)
    assert below < target <= reached * (1 + 1e-9)


def test_replicated_cache_counts_as_often_as_it_is_held():
    model = shape_of("qwen3_235b_a22b")  # four key/value heads
    book = ledger(model, TWO_BYTES, Mapping(tp=[4, 8], moe_tp=[4, 8]))
    held = intensity.cf_device(np.zeros(2), book.kv_bytes_per_token, np.array(1.0))
    assert held.tolist() == [192512 / 4, 192512 / 4]


def test_quadrants():
    oi = np.array([300.0, 100.0, 300.0, 100.0])
    held = np.array([64.0, 64.0, 8.0, 8.0])
    names = [intensity.REGIMES[index] for index in intensity.regime(oi, np.array(295.0), held, np.array(32.0))]
    assert names == ["compute", "bandwidth", "capacity", "capacity and bandwidth"]
