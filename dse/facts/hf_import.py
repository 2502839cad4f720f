"""Hugging Face ``config.json`` to the fields of a catalog model.

A configuration says little by itself: the same key means different things in different architectures
(Mixtral's ``intermediate_size`` is an expert's width, Llama 4's too, DeepSeek's is the dense layers'). So
every supported ``model_type`` names the readers that understand it; an unknown one is refused by name, and so
is a known one with a feature that our equations do not describe. Nothing is guessed.

Key names and their defaults: the configuration classes of the transformers library, 4.57 and 5.
"""

import json
import re
from collections.abc import Callable, Mapping
from pathlib import Path
from types import MappingProxyType
from typing import NamedTuple, TypeAlias

from dse.facts import files
from dse.facts.errors import Mistake, SpecError, did_you_mean, listed

Fields: TypeAlias = dict[str, object]

MAX_BYTES = 2_000_000
"""Of a configuration: published ones have some kilobytes."""

_WIDTH = {"bfloat16": "bf16", "float16": "bf16", "float32": "bf16"}
"""Released number formats; checkpoints in fp32 or fp16 are served in 2 bytes."""

_GEMMA_PATTERN = 6
"""Gemma 3: every sixth layer is global, where the file does not say (transformers default)."""
_QWEN_INTERVAL = 4
"""Qwen3-Next: every fourth layer is full attention, where the file does not say (transformers default)."""
_LLAMA4_INTERVAL = 4
"""Llama 4: every fourth layer has no rotary embedding and attends to everything (transformers default)."""
_LLAMA4_CHUNK = 8192
"""Llama 4: tokens of a chunk, where the file does not say (transformers default)."""


class Config:
    """A configuration under reading: values by name, and what was wrong with them."""

    def __init__(self, path: Path, values: Fields) -> None:
        self.path = path
        self.values = values
        self.mistakes: list[Mistake] = []

    def complain(self, where: str, message: str) -> None:
        """Note a mistake; reading goes on, so that all are reported together."""
        self.mistakes.append(Mistake(str(self.path), 0, 0, where, message))

    def has(self, name: str) -> bool:
        """Whether a key is present and not null."""
        return self.values.get(name) is not None

    def whole(self, name: str, default: int | None = None) -> int:
        """Whole number of a key; a missing one without default is a mistake."""
        value = self.values.get(name)
        value = default if value is None else value
        if isinstance(value, int) and not isinstance(value, bool) and value >= 0:
            return value
        found = "it is missing" if value is None else f"found {value!r}"
        self.complain(name, f"expected a whole number, {found}")
        return 1

    def flag(self, name: str, default: bool = False) -> bool:
        """Boolean of a key."""
        value = self.values.get(name)
        return default if value is None else bool(value)

    def kinds(self) -> list[str]:
        """Layer kinds, one word a layer, or nothing where the file does not list them."""
        value = self.values.get("layer_types")
        return [str(kind) for kind in value] if isinstance(value, list) else []


def import_config(path: str | Path) -> Fields:
    """Catalog fields of a model from its published configuration.

    Parameters
    ----------
    path : str or Path
        The ``config.json``, or the folder that holds it.

    Returns
    -------
    dict
        Fields of `dse.facts.models.Model` by name; what does not apply is left out.

    Raises
    ------
    SpecError
        The file cannot be read, its architecture is not known, keys are missing, or it has a feature
        that is not modelled; all mistakes at once.
    """
    file = Path(path)
    file = file / "config.json" if file.is_dir() else file
    outer = _parsed(file)
    nested = outer.get("text_config")
    stated = {key: outer[key] for key in _OUTER if key in outer}
    inner = {**stated, **nested} if isinstance(nested, dict) else outer
    config = Config(file, inner)
    name = str(inner.get("model_type", ""))
    if name not in ARCHITECTURES:
        config.complain(
            "model_type",
            f"architecture `{name or 'not named'}` is not modelled; known are {listed(ARCHITECTURES, 99)}."
            + did_you_mean(name, ARCHITECTURES),
        )
        raise SpecError(config.mistakes)
    architecture = ARCHITECTURES[name]
    fields: Fields = {"family": architecture.family, "attention": architecture.attention}
    fields |= _names(file, outer)
    for reader in (_common, *architecture.readers):
        fields |= reader(config)
    if config.mistakes:
        raise SpecError(config.mistakes)
    return {**fields, **architecture.constants}


_OUTER = ("torch_dtype", "dtype", "quantization_config", "tie_word_embeddings")
"""Keys that multimodal files state outside their text part."""


def _parsed(file: Path) -> Fields:
    """Object of a JSON file."""
    try:
        values = json.loads(files.read_text(file, MAX_BYTES))
    except json.JSONDecodeError as error:
        mistake = Mistake(str(file), error.lineno, error.colno, "", f"not JSON: {error.msg}")
        raise SpecError([mistake]) from error
    except (ValueError, RecursionError) as error:
        why = "holds a number or a nesting that is too long to be read"
        raise SpecError([Mistake(str(file), 1, 1, "", why)]) from error
    if not isinstance(values, dict):
        raise SpecError([Mistake(str(file), 1, 1, "", "expected an object of configuration keys")])
    return values


def _names(file: Path, outer: Fields) -> Fields:
    """Id and name: what the file calls itself, else its folder."""
    stated = str(outer.get("_name_or_path") or file.resolve().parent.name)
    name = stated.rstrip("/").rsplit("/", 1)[-1]
    return {"id": re.sub(r"[^a-z0-9]+", "_", name.lower()).strip("_"), "name": name}


def _common(config: Config) -> Fields:
    """What every architecture has."""
    hidden, heads = config.whole("hidden_size"), config.whole("num_attention_heads")
    return {
        "n_layers": config.whole("num_hidden_layers"),
        "hidden": hidden,
        "n_heads": heads,
        "n_kv_heads": config.whole("num_key_value_heads", heads),
        "head_dim": config.whole("head_dim", hidden // max(heads, 1)),
        "vocab": config.whole("vocab_size"),
        "tie_embeddings": config.flag("tie_word_embeddings"),
        "max_context": config.whole("max_position_embeddings"),
        **_release(config),
    }


def _release(config: Config) -> Fields:
    """Number formats of the released weights."""
    quantization = config.values.get("quantization_config")
    method = str(quantization.get("quant_method")) if isinstance(quantization, dict) else ""
    if method == "fp8":
        return {"release_dtype": "fp8"}
    if method == "mxfp4":
        return {"release_dtype": "bf16", "expert_dtype": "fp4"}
    written = str(config.values.get("dtype") or config.values.get("torch_dtype") or "bfloat16")
    if method or written not in _WIDTH:
        where = "quantization_config" if method else "dtype"
        config.complain(where, f"number format `{method or written}` is not known")
    return {"release_dtype": _WIDTH.get(written, "bf16")}


def _dense(config: Config) -> Fields:
    """Dense FFN."""
    if config.flag("mlp_bias"):
        config.complain("mlp_bias", "biases of the FFN are not modelled")
    return {"intermediate": config.whole("intermediate_size")}


def _bias(config: Config) -> Fields:
    """Biases of all four projections, where the file has them."""
    biased = config.flag("attention_bias")
    return {"qkv_bias": biased, "o_bias": biased}


def _input_bias(config: Config) -> Fields:
    """Biases of query, key and value only."""
    return {"qkv_bias": config.flag("attention_bias")}


def _norm_flag(config: Config) -> Fields:
    """Norms of queries and keys, where the file has them."""
    return {"qk_norm": config.flag("use_qk_norm")}


def _window(config: Config) -> Fields:
    """Window of all layers, unless it is switched off."""
    if not config.has("sliding_window") or not config.flag("use_sliding_window", True):
        return {}
    return _windowed(config, ["sliding_attention"] * config.whole("num_hidden_layers"))


def _windowed(config: Config, otherwise: list[str]) -> Fields:
    """Counts of sliding and full layers, from the file's list or else the architecture's pattern."""
    kinds = config.kinds() or otherwise
    strange = set(kinds) - {"sliding_attention", "full_attention"}
    if strange:
        config.complain("layer_types", f"layers of kind {listed(strange)} are not modelled")
    return {
        "sliding_window": config.whole("sliding_window"),
        "n_full_attention_layers": kinds.count("full_attention"),
        "n_sliding_layers": kinds.count("sliding_attention"),
    }


def _gemma_window(config: Config) -> Fields:
    """Gemma 3: local layers with a global one at the end of every group."""
    period = config.whole("sliding_window_pattern", _GEMMA_PATTERN)
    layers = range(1, config.whole("num_hidden_layers") + 1)
    return _windowed(config, ["sliding_attention" if layer % period else "full_attention" for layer in layers])


def _alternating_window(config: Config) -> Fields:
    """gpt-oss: sliding and full layers take turns."""
    layers = range(config.whole("num_hidden_layers"))
    return _windowed(config, ["full_attention" if layer % 2 else "sliding_attention" for layer in layers])


def _latent(config: Config) -> Fields:
    """MLA."""
    rope, nope = config.whole("qk_rope_head_dim"), config.whole("qk_nope_head_dim")
    rank = {"q_lora_rank": config.whole("q_lora_rank")} if config.has("q_lora_rank") else {}
    return {
        **rank,
        "kv_lora_rank": config.whole("kv_lora_rank"),
        "qk_rope_head_dim": rope,
        "qk_nope_head_dim": nope,
        "v_head_dim": config.whole("v_head_dim"),
        "head_dim": rope + nope,
    }


def _indexer(config: Config) -> Fields:
    """Sparse-attention indexer."""
    return {
        "dsa_index_n_heads": config.whole("index_n_heads"),
        "dsa_index_head_dim": config.whole("index_head_dim"),
        "dsa_index_topk": config.whole("index_topk"),
    }


def _routed_experts(config: Config) -> Fields:
    """Experts as DeepSeek names them."""
    if config.whole("moe_layer_freq", 1) != 1:
        config.complain("moe_layer_freq", "only experts in every layer after the dense ones are modelled")
    return {
        "intermediate": config.whole("intermediate_size"),
        "n_experts": config.whole("n_routed_experts"),
        "experts_per_token": config.whole("num_experts_per_tok"),
        "n_shared_experts": config.whole("n_shared_experts", 0),
        "moe_intermediate": config.whole("moe_intermediate_size"),
        "first_k_dense": config.whole("first_k_dense_replace", 0),
    }


def _local_experts(config: Config) -> Fields:
    """Experts as Mixtral, gpt-oss and MiniMax name them: every layer, `intermediate_size` wide."""
    return {
        "n_experts": config.whole("num_local_experts"),
        "experts_per_token": config.whole("num_experts_per_tok"),
        "moe_intermediate": config.whole("intermediate_size"),
    }


def _qwen_experts(config: Config) -> Fields:
    """Experts as Qwen names them."""
    if config.values.get("mlp_only_layers") or config.whole("decoder_sparse_step", 1) != 1:
        config.complain("mlp_only_layers", "only experts in every layer are modelled")
    width = config.whole("shared_expert_intermediate_size", 0)
    shared: Fields = {"n_shared_experts": 1, "shared_intermediate": width, "shared_gate": True}
    return {
        "n_experts": config.whole("num_experts"),
        "experts_per_token": config.whole("num_experts_per_tok"),
        "moe_intermediate": config.whole("moe_intermediate_size"),
        **(shared if width else {}),
    }


def _llama4(config: Config) -> Fields:
    """Llama 4: experts in every so-manieth layer, chunked attention in all but every fourth."""
    layers = config.whole("num_hidden_layers")
    interval = config.whole("no_rope_layer_interval", _LLAMA4_INTERVAL)
    rotary = config.values.get("no_rope_layers")
    chunked = sum(map(bool, rotary)) if isinstance(rotary, list) and rotary else layers - layers // interval
    return {
        **_local_experts(config),
        "n_shared_experts": 1,
        "n_moe_layers": layers // config.whole("interleave_moe_layer_step", 1),
        "intermediate": config.whole("intermediate_size_mlp"),
        "attention_chunk_size": config.whole("attention_chunk_size", _LLAMA4_CHUNK),
        "sliding_window": config.whole("attention_chunk_size", _LLAMA4_CHUNK),
        "n_full_attention_layers": layers - chunked,
        "n_sliding_layers": chunked,
    }


def _linear(config: Config) -> Fields:
    """Gated delta-rule layers between full ones."""
    layers = config.whole("num_hidden_layers")
    kinds = config.kinds()
    strange = set(kinds) - {"linear_attention", "full_attention"}
    if strange:
        config.complain("layer_types", f"layers of kind {listed(strange)} are not modelled")
    full = kinds.count("full_attention") or layers // config.whole("full_attention_interval", _QWEN_INTERVAL)
    return {
        "n_full_attention_layers": full,
        "n_linear_layers": layers - full,
        "linear": {
            "kind": "gated_deltanet",
            "num_k_heads": config.whole("linear_num_key_heads"),
            "num_v_heads": config.whole("linear_num_value_heads"),
            "head_k_dim": config.whole("linear_key_head_dim"),
            "head_v_dim": config.whole("linear_value_head_dim"),
            "conv_kernel": config.whole("linear_conv_kernel_dim"),
        },
    }


def _state_space(config: Config) -> Fields:
    """Nemotron-H: a letter a layer, M state space, * attention, - FFN."""
    pattern = str(config.values.get("hybrid_override_pattern", ""))
    strange = set(pattern) - set("M*-")
    if strange or len(pattern) != config.whole("num_hidden_layers"):
        message = "expected one of M, *, - for every layer; no other kind is modelled"
        config.complain("hybrid_override_pattern", message)
    return {
        "intermediate": config.whole("intermediate_size"),
        "n_full_attention_layers": pattern.count("*"),
        "n_mamba_layers": pattern.count("M"),
        "n_mlp_layers": pattern.count("-"),
        "mamba": {
            "kind": "mamba2",
            "num_heads": config.whole("mamba_num_heads"),
            "head_dim": config.whole("mamba_head_dim"),
            "n_groups": config.whole("n_groups"),
            "state_size": config.whole("ssm_state_size"),
            "conv_kernel": config.whole("conv_kernel"),
            "expand": config.whole("expand", 2),
        },
    }


class Architecture(NamedTuple):
    """How the files of one `model_type` are read."""

    family: str
    """Family of the catalog."""
    attention: str
    """Attention of the catalog."""
    readers: tuple[Callable[[Config], Fields], ...]
    """Readers beyond the common one."""
    constants: Mapping[str, object] = MappingProxyType({})
    """Fields that the architecture fixes and the file does not state."""


_SPARSE_LATENT = Architecture("moe", "mla", (_latent, _indexer, _routed_experts))
_LATENT = Architecture("moe", "mla", (_latent, _routed_experts))
_GATED: Fields = {"qk_norm": True, "gated_attention": True}
_GEMMA: Fields = {"qk_norm": True, "norms_per_layer": 4, "tie_embeddings": True}
_SINKS: Fields = {"attention_sinks": True, "expert_bias": True}
_LINEAR_MOE = Architecture("moe", "hybrid_linear", (_qwen_experts, _linear), _GATED)

ARCHITECTURES: dict[str, Architecture] = {
    "llama": Architecture("dense", "gqa", (_dense, _bias)),
    "mistral": Architecture("dense", "gqa", (_dense, _window)),
    "qwen2": Architecture("dense", "gqa", (_dense,), {"qkv_bias": True}),
    "qwen3": Architecture("dense", "gqa", (_dense, _bias), {"qk_norm": True}),
    "gemma3_text": Architecture("dense", "hybrid_local_global", (_dense, _gemma_window), _GEMMA),
    "mixtral": Architecture("moe", "gqa", (_local_experts, _window)),
    "qwen3_moe": Architecture("moe", "gqa", (_qwen_experts, _bias), {"qk_norm": True}),
    "glm4_moe": Architecture("moe", "gqa", (_routed_experts, _input_bias, _norm_flag)),
    "minimax_m2": Architecture("moe", "gqa", (_local_experts, _norm_flag)),
    "gpt_oss": Architecture("moe", "hybrid_sliding", (_local_experts, _alternating_window, _bias), _SINKS),
    "llama4_text": Architecture("moe", "hybrid_chunked", (_llama4, _bias)),
    "deepseek_v3": _LATENT,
    "kimi_k2": _LATENT,
    "deepseek_v32": _SPARSE_LATENT,
    "glm_moe_dsa": _SPARSE_LATENT,
    "qwen3_next": _LINEAR_MOE,
    "qwen3_5_moe_text": _LINEAR_MOE,
    "nemotron_h": Architecture("dense_hybrid", "hybrid_mamba", (_state_space,), {"mlp": "relu2"}),
}
"""Known architectures by `model_type`. A new one is a row, with a reader only where its keys are new."""
