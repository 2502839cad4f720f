"""Published configurations become the catalog's own rows; what is not modelled is refused by name."""

import json

import pytest

from dse.facts import catalog
from dse.facts.errors import SpecError
from dse.facts.hf_import import ARCHITECTURES, import_config
from dse.facts.models import Model
from dse.physics.transformer import shape


def size(layers, hidden, heads, kv_heads, vocab, context=131072, **more):
    """Keys that every configuration has."""
    return {
        "num_hidden_layers": layers,
        "hidden_size": hidden,
        "num_attention_heads": heads,
        "num_key_value_heads": kv_heads,
        "vocab_size": vocab,
        "max_position_embeddings": context,
        "torch_dtype": "bfloat16",
        "tie_word_embeddings": False,
        **more,
    }


LATENT = {
    "q_lora_rank": 1536,
    "kv_lora_rank": 512,
    "qk_rope_head_dim": 64,
    "qk_nope_head_dim": 128,
    "v_head_dim": 128,
}
DEEPSEEK_EXPERTS = {
    "intermediate_size": 18432,
    "n_routed_experts": 256,
    "num_experts_per_tok": 8,
    "n_shared_experts": 1,
    "moe_intermediate_size": 2048,
    "first_k_dense_replace": 3,
    "moe_layer_freq": 1,
    "quantization_config": {"quant_method": "fp8", "weight_block_size": [128, 128]},
}
DELTA = {
    "linear_num_key_heads": 16,
    "linear_key_head_dim": 128,
    "linear_value_head_dim": 128,
    "linear_conv_kernel_dim": 4,
    "num_experts": 512,
    "num_experts_per_tok": 10,
}
NEMOTRON = "M-" * 44 + "*" * 10 + "M-" * 10  # right counts; the order does not matter here

CONFIGS = {
    "llama_3_1_8b": {"model_type": "llama", "intermediate_size": 14336, **size(32, 4096, 32, 8, 128256)},
    "qwen2_5_7b": {"model_type": "qwen2", "intermediate_size": 18944, **size(28, 3584, 28, 4, 152064)},
    "qwen3_32b": {
        "model_type": "qwen3",
        "intermediate_size": 25600,
        **size(64, 5120, 64, 8, 151936, head_dim=128, attention_bias=False),
    },
    "mixtral_8x7b": {
        "model_type": "mixtral",
        "intermediate_size": 14336,
        "num_local_experts": 8,
        "num_experts_per_tok": 2,
        "sliding_window": None,
        **size(32, 4096, 32, 8, 32000),
    },
    "qwen3_235b_a22b": {
        "model_type": "qwen3_moe",
        "num_experts": 128,
        "num_experts_per_tok": 8,
        "moe_intermediate_size": 1536,
        "intermediate_size": 12288,
        "decoder_sparse_step": 1,
        "mlp_only_layers": [],
        **size(94, 4096, 64, 4, 151936, head_dim=128),
    },
    "glm_4_5": {
        "model_type": "glm4_moe",
        "intermediate_size": 12288,
        "n_routed_experts": 160,
        "num_experts_per_tok": 8,
        "n_shared_experts": 1,
        "moe_intermediate_size": 1536,
        "first_k_dense_replace": 3,
        "use_qk_norm": True,
        **size(92, 5120, 96, 8, 151552, head_dim=128, attention_bias=True),
    },
    "minimax_m2": {
        "model_type": "minimax_m2",
        "intermediate_size": 1536,
        "num_local_experts": 256,
        "num_experts_per_tok": 8,
        "use_qk_norm": True,
        "quantization_config": {"quant_method": "fp8"},
        **size(62, 3072, 48, 8, 200064, head_dim=128),
    },
    "gpt_oss_120b": {
        "model_type": "gpt_oss",
        "intermediate_size": 2880,
        "num_local_experts": 128,
        "num_experts_per_tok": 4,
        "sliding_window": 128,
        "layer_types": ["sliding_attention", "full_attention"] * 18,
        "quantization_config": {"quant_method": "mxfp4"},
        **size(36, 2880, 64, 8, 201088, head_dim=64, attention_bias=True),
    },
    "gemma_3_27b": {
        "model_type": "gemma3",
        "vision_config": {"model_type": "siglip_vision_model"},
        "text_config": {
            "model_type": "gemma3_text",
            "intermediate_size": 21504,
            "sliding_window": 1024,
            "sliding_window_pattern": 6,
            **size(62, 5376, 32, 16, 262144, head_dim=128),
        },
    },
    "llama_4_maverick": {
        "model_type": "llama4",
        "text_config": {
            "model_type": "llama4_text",
            "intermediate_size": 8192,
            "intermediate_size_mlp": 16384,
            "num_local_experts": 128,
            "num_experts_per_tok": 1,
            "interleave_moe_layer_step": 2,
            "attention_chunk_size": 8192,
            "no_rope_layers": [1, 1, 1, 0] * 12,
            **size(48, 5120, 40, 8, 202048, 1048576, head_dim=128),
        },
    },
    "deepseek_v3": {
        "model_type": "deepseek_v3",
        **LATENT,
        **DEEPSEEK_EXPERTS,
        **size(61, 7168, 128, 128, 129280, num_nextn_predict_layers=1),
    },
    "deepseek_v3_2": {
        "model_type": "deepseek_v32",
        "index_n_heads": 64,
        "index_head_dim": 128,
        "index_topk": 2048,
        **LATENT,
        **DEEPSEEK_EXPERTS,
        **size(61, 7168, 128, 128, 129280),
    },
    "qwen3_next_80b_a3b": {
        "model_type": "qwen3_next",
        "full_attention_interval": 4,
        "moe_intermediate_size": 512,
        "shared_expert_intermediate_size": 512,
        "linear_num_value_heads": 32,
        **DELTA,
        **size(48, 2048, 16, 2, 151936, 262144, head_dim=256),
    },
    "nemotron_h_56b": {
        "model_type": "nemotron_h",
        "hybrid_override_pattern": NEMOTRON,
        "intermediate_size": 32768,
        "mamba_num_heads": 256,
        "mamba_head_dim": 64,
        "n_groups": 8,
        "ssm_state_size": 256,
        "conv_kernel": 4,
        "expand": 2,
        **size(118, 8192, 64, 8, 131072, 8192, head_dim=128),
    },
}


def written(folder, config):
    folder.mkdir(exist_ok=True)
    (folder / "config.json").write_text(json.dumps(config))
    return folder


@pytest.mark.parametrize("name", CONFIGS)
def test_a_published_configuration_gives_the_catalog_row(name, tmp_path):
    fields = import_config(written(tmp_path / "model", CONFIGS[name]))
    known = shape(**catalog.model(name).model_dump())
    assert shape(**fields) == known._replace(vision_params=0.0)


@pytest.mark.parametrize("name", CONFIGS)
def test_fields_are_a_valid_catalog_model(name, tmp_path):
    fields = import_config(written(tmp_path / "Some-Model_7B", CONFIGS[name]) / "config.json")
    model = Model.model_validate(fields)
    assert model.id == "some_model_7b"
    assert model.release_dtype == catalog.model(name).release_dtype
    assert model.expert_dtype == catalog.model(name).expert_dtype


def complaint(tmp_path, config):
    with pytest.raises(SpecError) as caught:
        import_config(written(tmp_path, config))
    return str(caught.value)


@pytest.mark.parametrize("name", ["rwkv", "deepseek_v4", "mamba", "bert"])
def test_an_unknown_architecture_is_refused_by_name(name, tmp_path):
    message = complaint(tmp_path, CONFIGS["llama_3_1_8b"] | {"model_type": name})
    assert f"`{name}` is not modelled" in message
    assert all(known in message for known in ARCHITECTURES)


def test_a_near_name_is_suggested(tmp_path):
    assert "Did you mean `llama`" in complaint(tmp_path, CONFIGS["llama_3_1_8b"] | {"model_type": "lama"})


def test_all_missing_keys_are_named_at_once(tmp_path):
    config = {key: value for key, value in CONFIGS["deepseek_v3"].items() if key not in LATENT}
    message = complaint(tmp_path, config)
    assert all(key in message for key in LATENT if key != "q_lora_rank")
    assert "config.json" in message


@pytest.mark.parametrize(
    ("name", "change", "expected"),
    [
        (
            "llama_3_1_8b",
            {"num_hidden_layers": "32"},
            "num_hidden_layers  expected a whole number, found '32'",
        ),
        ("llama_3_1_8b", {"mlp_bias": True}, "mlp_bias"),
        ("llama_3_1_8b", {"quantization_config": {"quant_method": "awq"}}, "`awq` is not known"),
        ("gpt_oss_120b", {"layer_types": ["full_attention", "cross_attention"] * 18}, "cross_attention"),
        ("qwen3_next_80b_a3b", {"layer_types": ["mamba"] * 48}, "mamba"),
        ("qwen3_235b_a22b", {"mlp_only_layers": [0]}, "mlp_only_layers"),
        ("deepseek_v3", {"moe_layer_freq": 2}, "moe_layer_freq"),
        ("nemotron_h_56b", {"hybrid_override_pattern": "ME" * 59}, "hybrid_override_pattern"),
    ],
)
def test_features_that_are_not_modelled_are_refused(name, change, expected, tmp_path):
    assert expected in complaint(tmp_path, CONFIGS[name] | change)


def test_a_broken_file_says_where(tmp_path):
    (tmp_path / "config.json").write_text('{\n "model_type": llama\n}')
    with pytest.raises(SpecError, match=r"config\.json:2:\d+"):
        import_config(tmp_path)


def test_a_missing_file_is_named(tmp_path):
    with pytest.raises(SpecError, match=r"nowhere\.json"):
        import_config(tmp_path / "nowhere.json")


def test_a_file_that_is_no_object_is_refused(tmp_path):
    (tmp_path / "config.json").write_text("[1, 2]")
    with pytest.raises(SpecError, match="expected an object"):
        import_config(tmp_path)


def test_a_window_on_all_layers(tmp_path):
    config = {"model_type": "mistral", "intermediate_size": 14336, "sliding_window": 4096}
    fields = import_config(written(tmp_path, config | size(32, 4096, 32, 8, 32000)))
    assert (fields["n_sliding_layers"], fields["n_full_attention_layers"]) == (32, 0)
