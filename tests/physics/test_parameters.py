"""Parameters and cache of every modelled model against its published or recomputed counts."""

import numpy as np
import pytest

from dse.facts import catalog
from dse.physics.transformer import (
    kv_bytes,
    kv_bytes_per_token,
    parameters,
    shape,
    state_bytes,
    state_elements,
)

# model, parameters [1e9], active with the output head [1e9], KV past the windows at 2 bytes [B/tok],
# recurrent state [elements]
COUNTS = [
    ("llama_3_1_8b", 8.03, 7.505, 131072, 0),
    ("llama_3_1_70b", 70.554, 69.503, 327680, 0),
    ("llama_3_1_405b", 405.853, 403.752, 516096, 0),
    ("qwen2_5_7b", 7.616, 7.071, 57344, 0),
    ("qwen2_5_72b", 72.706, 71.46, 327680, 0),
    ("qwen3_32b", 32.762, 31.984, 262144, 0),
    ("gemma_3_27b", 27.426, 27.009, 81920, 0),
    ("mixtral_8x7b", 46.703, 12.749, 131072, 0),
    ("mixtral_8x22b", 140.621, 38.955, 229376, 0),
    ("qwen3_235b_a22b", 235.094, 21.568, 192512, 0),
    ("qwen3_30b_a3b", 30.532, 3.042, 98304, 0),
    ("qwen3_coder_480b", 480.155, 34.541, 253952, 0),
    ("llama_4_maverick", 400.712, 16.15, 49152, 0),
    ("glm_4_5", 352.798, 32.856, 376832, 0),
    ("glm_4_6", 352.798, 32.856, 376832, 0),
    ("minimax_m2", 228.69, 10.416, 253952, 0),
    ("gpt_oss_120b", 116.829, 5.133, 36864, 0),
    ("gpt_oss_20b", 20.915, 3.608, 24576, 0),
    ("deepseek_v3", 671.026, 36.626, 70272, 0),
    ("deepseek_r1", 671.026, 36.626, 70272, 0),
    ("deepseek_v3_2", 671.878, 37.477, 85888, 0),
    ("kimi_k2", 1026.408, 31.687, 70272, 0),
    ("glm_5_2", 743.911, 40.833, 109824, 0),
    ("qwen3_next_80b_a3b", 79.674, 3.564, 24576, 19759104),
    ("qwen3_5_397b_a17b", 396.346, 16.332, 30720, 48844800),
    ("nemotron_h_56b", 56.324, 55.251, 40960, 229810176),
]
NAMES = [row[0] for row in COUNTS]


def shape_of(name):
    return shape(**catalog.model(name).model_dump())


@pytest.mark.parametrize(("name", "total", "active", "kv", "state"), COUNTS, ids=NAMES)
def test_counts(name, total, active, kv, state):
    model = shape_of(name)
    counts = parameters(model)
    assert counts.total / 1e9 == pytest.approx(total, abs=1e-3)
    assert counts.active / 1e9 == pytest.approx(active, abs=1e-3)
    assert kv_bytes_per_token(model) == kv
    assert state_elements(model) == state


@pytest.mark.parametrize("name", [name for name in NAMES if catalog.model(name).published_total])
def test_published_totals(name):
    published = catalog.model(name).published_total
    assert parameters(shape_of(name)).total == pytest.approx(published, rel=0.02)


def test_every_modelled_model_of_the_catalog_has_a_row():
    # the catalog's file is the list; a new model needs its counts here
    modelled = {name for name in catalog.names("models") if catalog.model(name).modelled}
    assert modelled == set(NAMES)


@pytest.mark.parametrize("name", ["deepseek_v3", "llama_3_1_405b", "gpt_oss_120b", "nemotron_h_56b"])
def test_parts_sum_to_the_total(name):
    counts = parameters(shape_of(name))
    parts = counts._asdict()
    assert sum(parts.values()) - parts["routed_active"] == counts.total
    assert counts.active <= counts.text <= counts.total


def test_deepseek_at_one_byte_is_not_six_terabytes():
    model = shape_of("deepseek_v3")
    assert parameters(model).text / 1e12 == pytest.approx(0.67, abs=0.005)
    assert kv_bytes_per_token(model, kv=1.0) / 1e3 == pytest.approx(35.1, abs=0.05)


def test_windowed_layers_stop_growing():
    model = shape_of("gpt_oss_120b")
    held = kv_bytes(model, np.array([128.0, 129.0, 100_000.0]))
    assert held[0] == 128 * 2 * 36864
    assert held[1] - held[0] == 36864
    assert held[2] == 128 * 36864 + 100_000 * 36864


def test_recurrent_state_does_not_follow_the_cache_width():
    assert state_bytes(shape_of("qwen3_next_80b_a3b")) == 2 * 19759104


@pytest.mark.parametrize("field", ["n_layers", "n_heads"])
def test_a_field_that_is_no_whole_number_is_a_bug_with_its_name(field):
    fields = catalog.model("llama_3_1_8b").model_dump() | {field: 1.5}
    with pytest.raises(TypeError, match=field):
        shape(**fields)
