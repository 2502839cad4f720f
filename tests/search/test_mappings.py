import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dse.physics.shape import shape
from dse.search.scoring.mappings import Reach, decode_grid, powers_of_two, prefill_grid

fabrics = st.tuples(st.sampled_from([1, 2, 4, 8, 72]), st.sampled_from([1, 2, 8, 64, 72])).map(sorted)
models = st.tuples(st.sampled_from([0, 8, 128, 160]), st.sampled_from([8, 64, 96]), st.sampled_from([3, 32, 80]))


def grids(model, fabric):
    experts, heads, layers = model
    domain, reach = fabric
    own = shape(
        n_layers=layers, hidden=64, vocab=64, n_heads=heads, n_kv_heads=1, head_dim=8, n_experts=experts or None
    )
    limits = Reach(domain, reach, tuple(powers_of_two(64)), (1, 2, 4))
    return prefill_grid(own, limits, (2048, 8192)), decode_grid(own, limits, (1, 2, 4, 8, 16, 32, 64, 128, 256))


@settings(deadline=None, max_examples=60)
@given(models, fabrics)
def test_an_instance_never_exceeds_the_devices_it_can_reach_nor_tensor_parallelism_its_domain(model, fabric):
    for grid in grids(model, fabric):
        assert (grid.devices <= fabric[1]).all()
        assert (grid.tp * grid.cp <= fabric[0]).all()


@settings(deadline=None, max_examples=60)
@given(models, fabrics)
def test_tensor_parallelism_never_exceeds_the_heads_nor_stages_the_layers(model, fabric):
    for grid in grids(model, fabric):
        assert (grid.tp <= model[1]).all()
        assert (grid.pp <= model[2]).all()


@settings(deadline=None, max_examples=60)
@given(models, fabrics)
def test_experts_lie_on_the_devices_of_the_attention_layer(model, fabric):
    for grid in grids(model, fabric):
        assert (grid.moe_tp * grid.ep == grid.tp * grid.attention_dp).all()
        assert (grid.ep <= max(model[0], 1)).all()


@settings(deadline=None, max_examples=60)
@given(models, fabrics)
def test_a_dense_model_has_neither_expert_nor_attention_data_parallelism(model, fabric):
    for grid in grids((0, *model[1:]), fabric):
        assert (grid.ep == 1).all()
        assert (grid.attention_dp == 1).all()


@settings(deadline=None, max_examples=60)
@given(models, fabrics)
def test_every_attention_rank_and_stage_has_a_request_of_the_batch(model, fabric):
    grid = grids(model, fabric)[1]
    assert (grid.size >= grid.attention_dp * grid.pp).all()


@settings(deadline=None, max_examples=60)
@given(models, fabrics)
def test_no_mapping_comes_twice_and_one_device_alone_is_always_tried(model, fabric):
    for grid in grids(model, fabric):
        rows = np.stack(grid, axis=1)
        assert len(np.unique(rows, axis=0)) == len(rows)
        assert (grid.devices == 1).any()


def test_context_parallelism_is_not_mixed_with_attention_data_parallelism():
    grid = grids((128, 64, 80), (8, 64))[0]
    assert (grid.cp > 1).any()
    assert (grid.attention_dp[grid.cp > 1] == 1).all()


def test_a_larger_reach_keeps_every_mapping_of_a_smaller_one():
    small, large = (grids((128, 64, 80), fabric)[1] for fabric in ((8, 8), (8, 64)))
    rows = {tuple(row) for row in np.stack(large, axis=1)}
    assert {tuple(row) for row in np.stack(small, axis=1)} <= rows


@pytest.mark.parametrize(("limit", "powers"), [(1, [1]), (7, [1, 2, 4]), (8, [1, 2, 4, 8])])
def test_powers_of_two_end_at_the_limit(limit, powers):
    assert powers_of_two(limit) == powers
