import re
from importlib.resources import files
from pathlib import Path

import pytest

from dse.facts import catalog, units
from dse.facts.catalog import Kind
from dse.facts.devices import Accelerator
from dse.facts.errors import SpecError
from dse.facts.levers import REGISTRY
from dse.facts.models import Model
from dse.facts.technologies import Technique

ACCELERATORS = catalog.names("accelerators")
MODELS = catalog.names("models")
FOLDER = Path(str(files("dse.facts") / "catalog"))
KV_BYTES = {
    "llama_3_1_8b": 131_072,
    "llama_3_1_70b": 327_680,
    "llama_3_1_405b": 516_096,
    "mixtral_8x7b": 131_072,
    "qwen3_235b_a22b": 192_512,
    "deepseek_v3": 70_272,
    "kimi_k2": 70_272,
}


def test_catalog_is_complete() -> None:
    assert len(ACCELERATORS) == 36
    assert len(MODELS) == 27
    assert {"contract_2026", "spot_2026"} <= set(catalog.names("prices"))


@pytest.mark.parametrize("kind", sorted(catalog.TYPES))
def test_every_row_is_valid_and_named_plainly(kind: Kind) -> None:
    read = {
        "accelerators": catalog.accelerator,
        "models": catalog.model,
        "memories": catalog.memory,
        "links": catalog.link,
        "techniques": catalog.technique,
        "prices": catalog.price_set,
    }[kind]
    for name in catalog.names(kind):
        assert read(name).id == name
        assert re.fullmatch(r"[a-z][a-z0-9_]*", name)


@pytest.mark.parametrize("name", catalog.names("techniques"))
def test_technique_is_a_choice_of_a_lever_and_has_its_sources(name: str) -> None:
    row = catalog.technique(name)
    assert REGISTRY[row.kind].kind == "technique"
    assert row.sources
    for number in (row.bits, row.rate, row.recovery):
        assert number is None or (number.source and number.date)
    for field in row.derived:
        assert _value(row, field) is not None


def test_a_technique_states_what_its_kind_needs() -> None:
    with pytest.raises(ValueError, match="states the `bits`"):
        Technique(id="x", name="x", kind="kv_compression")
    with pytest.raises(ValueError, match="compresses nothing"):
        Technique(id="x", name="x", kind="attention_kernel", bits=4)


@pytest.mark.parametrize("name", ACCELERATORS)
def test_accelerator_is_sourced_and_plausible(name: str) -> None:
    device = catalog.accelerator(name)
    assert device.sources
    assert device.memory is not None
    rates = [rate for rate in (device.peak.bf16, device.peak.fp8, device.peak.fp4) if rate is not None]
    assert rates == sorted(rates)
    assert all(1e13 < rate < 1e17 for rate in rates)
    for price in (device.price, device.cloud, device.tco):
        assert price is None or price.source
    for field in device.derived:
        assert _value(device, field) is not None


@pytest.mark.parametrize(
    ("name", "field", "number"),
    [
        ("h100_sxm", "peak.bf16", 989e12),
        ("h100_sxm", "memory.bandwidth", 3.35e12),
        ("h200_sxm", "memory.capacity", 141e9),
        ("b200_sxm", "peak.fp4", 9e15),
        ("gb200_nvl72", "host_link.bandwidth", 450e9),
        ("gb300_nvl72", "scale_up.domain", 72),
        ("a100_80g_sxm", "host_link.bandwidth", 32e9),
        ("mi355x", "scale_up.bandwidth", 535.5e9),
        ("mi300x", "efficiency.bf16", 0.514),
        ("h20", "price.likely", 12_000.0),
        ("gb300_nvl72", "price.basis", "server"),
        ("groq_lpu_v1", "peak.int8", 750e12),
        ("b300_sxm", "tco.neocloud", 2.808 / 3600),
        ("cerebras_wse3", "memory.bandwidth", 21e15),
        ("tpu_v7x", "scale_up.bandwidth", 600e9),
    ],
)
def test_accelerator_has_its_published_number(name: str, field: str, number: float | str) -> None:
    value = _value(catalog.accelerator(name), field)
    assert value == (pytest.approx(number) if isinstance(number, float) else number)


@pytest.mark.parametrize(
    ("name", "field"),
    [
        ("l40s", "price"),
        ("rtx_pro_6000_server", "price"),
        ("cerebras_wse3", "peak.bf16"),
        ("h100_sxm", "peak.fp4"),
    ],
)
def test_unknown_number_is_absent_and_never_zero(name: str, field: str) -> None:
    assert _value(catalog.accelerator(name), field) is None


@pytest.mark.parametrize("name", sorted(KV_BYTES))
def test_model_fields_give_the_published_kv_size(name: str) -> None:
    model = catalog.model(name)
    if model.kv_lora_rank is not None and model.qk_rope_head_dim is not None:
        elements = model.n_layers * (model.kv_lora_rank + model.qk_rope_head_dim)
    else:
        elements = 2 * model.n_layers * model.n_kv_heads * model.head_dim
    assert 2 * elements == KV_BYTES[name]


@pytest.mark.parametrize("name", MODELS)
def test_model_is_sourced_and_its_scores_too(name: str) -> None:
    model = catalog.model(name)
    assert model.sources
    assert all(model.released_dtypes.values())
    for scores in (model.quality.weight, model.quality.kv):
        assert all(score.source and 50 < score.recovery < 110 for score in scores.values())
    assert model.release_dtype not in model.quality.weight


def test_models_whose_attention_is_not_described_are_marked() -> None:
    unmodelled = [catalog.model(name) for name in MODELS if not catalog.model(name).modelled]
    assert [(model.id, bool(model.reason)) for model in unmodelled] == [("deepseek_v4_pro", True)]


@pytest.mark.parametrize("name", catalog.names("prices"))
def test_price_set_prices_what_can_be_varied(name: str) -> None:
    prices = catalog.price_set(name)
    pools = {memory for memory in catalog.names("memories") if catalog.memory(memory).pool}
    assert {*pools, "ddr5_rdimm", "hbm2e", "hbm3", "hbm3e", "hbm4", "gddr7", "nvme_tlc"} <= set(prices.memory)
    assert set(prices.memory) <= set(catalog.names("memories"))
    assert all(price.source and price.low > 0 for price in prices.memory.values())


def test_price_sets_differ_where_they_say() -> None:
    contract, spot = catalog.price_set("contract_2026"), catalog.price_set("spot_2026")
    assert spot.memory["ddr5_rdimm"].low > contract.memory["ddr5_rdimm"].high
    assert (contract.device_price, spot.device_price) == ("likely", "high")
    assert spot.electricity == contract.electricity
    assert spot.differs


def test_derived_prices_follow_their_rules() -> None:
    prices = catalog.price_set("contract_2026")
    assert prices.memory["cxl_ddr5"].likely == pytest.approx(1.25 * prices.memory["ddr5_rdimm"].likely)
    assert prices.memory["gddr7"].likely == pytest.approx(0.5 * prices.memory["hbm3e"].likely)
    assert prices.memory["hbf"].likely == pytest.approx(36 / 512 * prices.memory["hbm3e"].likely, rel=0.01)
    module = catalog.link("pluggable_1_6t")
    assert module.price is not None
    assert module.module_price is not None
    assert module.bandwidth is not None
    assert module.price.likely == pytest.approx(module.module_price.likely / module.bandwidth)
    assert prices.optics.likely == module.price.likely


def test_scale_up_and_memory_technologies_are_known_where_priced() -> None:
    for name in ACCELERATORS:
        device = catalog.accelerator(name)
        assert device.memory is not None
        assert device.memory.technology in catalog.names("memories")
        assert device.host_link is None or device.host_link.technology in catalog.names("links")


def test_catalog_names_no_path_of_this_machine() -> None:
    for path in sorted(FOLDER.glob("*.yaml")):
        text = path.read_text()
        assert not re.search(r"shared/|/work|/home|/tmp", text), path.name


def test_every_number_with_a_unit_shows_and_reads_back() -> None:
    device = catalog.accelerator("h200_sxm")
    again = Accelerator.model_validate(device.model_dump(mode="json", exclude_none=True))
    assert again == device
    assert units.show(device.memory.bandwidth if device.memory else 0, "B/s") == "4.8 TB/s"
    model = catalog.model("deepseek_v3_2")
    assert Model.model_validate(model.model_dump(mode="json", exclude_none=True)) == model


def test_unknown_row_is_refused_with_a_suggestion() -> None:
    with pytest.raises(SpecError, match=r'there is no device "h100"\. Did you mean `h100_sxm`'):
        catalog.accelerator("h100")


def _value(row: object, path: str) -> object:
    for name in path.split("."):
        row = getattr(row, name, None)
    return row
