"""Areas and forms of attention: closed forms, limits, dimensions."""

import numpy as np
import pint
import pytest
from hypothesis import given
from hypothesis import strategies as st

from dse.facts import catalog
from dse.physics import attention
from dse.physics.intensity import cf_device, cf_request, gemm_oi, oi_ridge
from dse.physics.transformer import decode_flop, prefill_flop, shape

tokens = st.integers(0, 300_000)


def shape_of(name):
    return shape(**catalog.model(name).model_dump())


@given(new=st.integers(1, 2000), cached=st.integers(0, 5000), window=st.integers(1, 4000))
def test_areas_are_the_sums_over_tokens_within_half_a_token_each(new, cached, window):
    positions = np.arange(cached, cached + new)
    a, p = np.array(float(new)), np.array(float(cached))
    assert attention.causal_area(a, p) == pytest.approx(positions.sum(), abs=new)
    assert attention.bounded_area(a, p, window) == pytest.approx(np.minimum(positions, window).sum(), abs=new)


def test_chunked_area_is_exact_over_whole_chunks():
    chunk, count = 8192, 5
    seen = np.tile(np.arange(chunk), count).sum()
    area = attention.chunked_area(np.array(float(chunk * count)), np.array(0.0), chunk)
    assert area == pytest.approx(seen, rel=1e-3)


@given(first=tokens, second=tokens, cached=tokens, window=st.integers(1, 10_000))
def test_an_area_does_not_depend_on_how_a_prefill_is_chunked(first, second, cached, window):
    a, b, p = (np.array(float(value)) for value in (first, second, cached))
    for area in (
        attention.causal_area,
        lambda new, old: attention.bounded_area(new, old, window),
        lambda new, old: attention.chunked_area(new, old, window),
    ):
        assert area(a, p) + area(b, p + a) == pytest.approx(area(a + b, p), rel=1e-9, abs=1e-3)


def test_mla_forms_cross_at_171_new_tokens():
    model = shape_of("deepseek_v3")
    prefix = np.array(1e7)
    new = np.arange(1.0, 400.0)
    absorbed, expanded = attention.latent_flop(model, 128.0, attention.causal_area(new, prefix), prefix)
    assert new[absorbed > expanded][0] == 171


def test_mla_decode_is_absorbed():
    model = shape_of("deepseek_v3")
    context = np.array(4096.0)
    flop = attention.attention_flop(model, np.array(1.0), context - 0.5)
    assert flop == 2 * 61 * 128 * (2 * 512 + 64) * 4096


def test_sparse_attention_scores_all_keys_and_attends_to_few():
    model = shape_of("deepseek_v3_2")
    near, far = (attention.attention_flop(model, np.array(1.0), np.array(c)) for c in (50_000.0, 100_000.0))
    assert far - near == pytest.approx(61 * 2 * 64 * 128 * 50_000)
    assert attention.attended_tokens(model, np.array(1.0), np.array(1e5)) == 2048


def test_recurrent_layers_cost_the_same_at_any_context():
    model = shape_of("qwen3_next_80b_a3b")._replace(n_full_layers=0)
    short, long = attention.attention_flop(model, np.array(1.0), np.array([1.0, 1e6]))
    assert short == long == 6 * 19759104


def test_llama_8b_goldens():
    model = shape_of("llama_3_1_8b")
    assert decode_flop(model, np.array(2048.0)) == pytest.approx(1.60831e10, rel=1e-5)
    assert prefill_flop(model, np.array(2048.0), np.array(0.0)) == pytest.approx(2.96879e13, rel=1e-4)


@given(cached=tokens, new=st.integers(1, 10_000))
def test_prefill_is_the_sum_of_its_decodes_without_their_logits(cached, new):
    model = shape_of("llama_3_1_8b")
    whole = prefill_flop(model, np.array(float(new)), np.array(float(cached)))
    centre = np.array(cached + new / 2)
    logits = 2 * model.vocab * model.hidden
    assert new * decode_flop(model, centre) - (new - 1) * logits == pytest.approx(whole, rel=1e-9)


def test_equations_carry_their_dimensions():
    unit = pint.UnitRegistry()
    unit.define("tok = [token]")
    unit.define("FLOP = [work]")
    unit.define("byte_ = [data]")
    area = attention.causal_area(3 * unit.tok, 5 * unit.tok)
    assert area.check("[token] ** 2")
    assert attention.bounded_area(3 * unit.tok, 5 * unit.tok, 4 * unit.tok).check("[token] ** 2")
    assert attention.chunked_area(3 * unit.tok, 5 * unit.tok, 4 * unit.tok).check("[token] ** 2")
    ridge = oi_ridge(989e12 * unit.FLOP / unit.second, 3.35e12 * unit.byte_ / unit.second)
    assert ridge.check("[work] / [data]")
    assert cf_request(1 * unit.byte_, 2 * unit.byte_, 4).check("[data]")
    assert cf_device(1 * unit.byte_, 2 * unit.byte_, 4).check("[data]")


def test_gemm_intensity_limits():
    assert gemm_oi(np.array(1.0), 8192, 8192) == pytest.approx(1, rel=1e-3)
    assert gemm_oi(np.array(1e9), 8192, 8192) == pytest.approx(8192 / 2, rel=1e-3)
