import contextlib
import copy
import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from dse.facts import levers, problem, reader, writer
from dse.facts.errors import SpecError
from dse.facts.metrics import METRICS
from dse.facts.problem import Problem, dump, json_schema, load

BAD = Path(__file__).parents[1] / "bad"
STUDY = """
version: 1
name: small
agents:
  coding: {workload: coding, model: qwen3_coder_480b, share: 0.25, context_policy: compaction}
  chat: {workload: chat, model: llama_3_1_70b, share: 0.75, slo: {ttft: 1 s}}
levers:
  serving: [disaggregated, colocated]
  prefill.device: [h100_sxm, my_part]
  decode.device: [h200_sxm, mi355x]
  decode.host_memory: [0 GB, 512 GB]
  decode.memory_scale: {from: 1, to: 2, steps: 3}
  decode.topology: [native, fullflat]
  pool.technology: [none, lpddr5x]
  pool.capacity: {from: 256 GB, to: 4 TB, steps: 5, scale: log}
  draft_length: {from: 0, to: 3}
constants:
  weight_dtype: fp8
slo: {ttft: 4 s, tpot: 40 ms}
prices: contract_2026
uncertainties:
  prices.memory.ddr5_rdimm: [12.8 $/GB, 14 $/GB, 18.8 $/GB]
  devices.my_part.price: [6000 $, 9000 $, 15000 $]
  serving.overlap: [0, 0.2, 0.5]
objectives: [minimize cost, maximize throughput, minimize latency]
require: ["domain_power <= 150 kW", "coding.ttft_p95 <= 3 s"]
budget: 20000 evaluations
devices:
  my_part:
    like: rtx_pro_6000_server
    peak: {bf16: 1.5 PFLOP/s, fp8: 3 PFLOP/s}
    memory: {capacity: 128 GB, bandwidth: 2 TB/s}
    scale_up: {technology: pcie6, bandwidth: 121 GB/s, domain: 8}
    price: {likely: 9000 $, low: 6000 $, high: 15000 $, source: assumption, date: 2026-11}
"""

Write = Callable[[str], Path]


@pytest.fixture
def written(tmp_path: Path) -> Write:
    def write(text: str) -> Path:
        path = tmp_path / "study.yaml"
        path.write_text(text)
        return path

    return write


@pytest.fixture(scope="module")
def small(tmp_path_factory: pytest.TempPathFactory) -> Problem:
    path = tmp_path_factory.mktemp("small") / "study.yaml"
    path.write_text(STUDY)
    return load(path)


def reloaded(study: dict[str, object], folder: Path) -> Problem:
    path = folder / "dumped.yaml"
    path.write_text(writer.text(study))
    return load(path)


@pytest.mark.parametrize("path", sorted(BAD.glob("*.yaml")), ids=lambda path: path.stem)
def test_wrong_study_gives_exactly_its_message(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(BAD)
    with pytest.raises(SpecError) as caught:
        load(path.name)
    assert str(caught.value) + "\n" == path.with_suffix(".expected").read_text()


def test_every_wrong_study_has_its_message_beside_it() -> None:
    studies = {path.stem for path in BAD.glob("*.yaml")}
    assert studies == {path.stem for path in BAD.glob("*.expected")}
    assert len(studies) >= 22


def test_choices_are_in_si_and_defaults_are_filled_in(small: Problem) -> None:
    assert list(small.levers) == [name for name, lever in levers.REGISTRY.items() if not lever.optional]
    assert small.levers["decode.host_memory"] == (0.0, 512e9)
    assert small.levers["decode.memory_scale"] == (1.0, 1.5, 2.0)
    assert small.levers["pool.capacity"] == pytest.approx((256e9, 508.97e9, 1011.9e9, 2011.9e9, 4e12), rel=1e-4)
    assert small.levers["draft_length"] == (0, 1, 2, 3)
    assert small.levers["weight_dtype"] == ("fp8",)
    assert small.levers["kv_dtype"] == ("bf16",)
    assert small.levers["prefill.topology"] == ("native",)
    assert small.levers["optical_bandwidth"] == (0.0,)


def test_everything_named_is_looked_up(small: Problem) -> None:
    assert set(small.devices) == {"h100_sxm", "h200_sxm", "mi355x", "my_part"}
    assert list(small.topologies) == ["fullflat"]
    assert small.topologies["fullflat"].is_file()
    assert small.prices.id == "contract_2026"
    assert [agent.model.id for agent in small.agents] == ["qwen3_coder_480b", "llama_3_1_70b"]
    assert [tuple(agent.slo) for agent in small.agents] == [(4.0, 0.04), (1.0, 0.04)]
    assert small.agents[0].workload.max_context == 262_144
    assert small.uncertainties["devices.my_part.price"] == (6000.0, 9000.0, 15000.0)
    assert [(goal.column, goal.maximize) for goal in small.objectives] == [
        ("cost", False),
        ("throughput", True),
        ("latency", False),
    ]
    assert [(limit.column, limit.at_most, limit.limit) for limit in small.require] == [
        ("domain_power", True, 150e3),
        ("coding.ttft_p95", True, 3.0),
    ]


def test_own_part_starts_from_the_part_it_is_like(small: Problem) -> None:
    part = small.devices["my_part"]
    assert part.host_link is not None
    assert part.host_link.bandwidth == 63e9
    assert part.peak.fp4 == 1.871e15
    assert part.memory is not None
    assert (part.memory.technology, part.memory.capacity) == ("gddr7", 128e9)


def test_conditions_name_when_a_lever_is_inert(small: Problem) -> None:
    assert small.conditions["pool.capacity"] == (("pool.technology", frozenset({"none"})),)
    assert small.conditions["prefill.device"] == (("serving", frozenset({"colocated"})),)
    assert "decode.device" not in small.conditions


def test_catalog_part_can_be_changed_and_a_field_removed(written: Write) -> None:
    rows = "  h200_sxm: {memory: {bandwidth: 8 TB/s}, efficiency: null}\n"
    device = load(written(f"{STUDY}{rows}")).devices["h200_sxm"]
    assert device.memory is not None
    assert (device.memory.bandwidth, device.memory.capacity) == (8e12, 141e9)
    assert device.efficiency is None


@pytest.mark.parametrize(
    ("name", "text", "lever", "choices"),
    [
        ("decode.device", "h100_sxm", "decode.device", ("h100_sxm",)),
        ("levers.kv_dtype", "[bf16]", "kv_dtype", ("bf16",)),
        ("constants.decode.memory_scale", "1.5", "decode.memory_scale", (1.5,)),
        ("weight_dtype", "[release, fp8]", "weight_dtype", ("release", "fp8")),
        ("pool.capacity", "{from: 1 TB, to: 2 TB, steps: 2}", "pool.capacity", (1e12, 2e12)),
    ],
)
def test_lever_is_overridden(written: Write, name: str, text: str, lever: str, choices: tuple[object, ...]) -> None:
    assert load(written(STUDY), {name: text}).levers[lever] == choices


def test_values_are_overridden_by_their_path(written: Write) -> None:
    overrides = {
        "devices.h200_sxm.memory.capacity": "256GB",
        "slo.tpot": "20ms",
        "seed": "7",
        "prices.memory.ddr5_rdimm": "[20 $/GB, 30 $/GB, 40 $/GB]",
        "agents.coding.share": "0.5",
        "agents.chat.share": "0.5",
    }
    changed = load(written(STUDY), overrides)
    memory = changed.devices["h200_sxm"].memory
    assert memory is not None
    assert memory.capacity == 256e9
    assert changed.agents[0].slo.tpot == 0.02
    assert changed.seed == 7
    assert changed.prices.memory["ddr5_rdimm"].likely == 30e-9
    assert [agent.share for agent in changed.agents] == [0.5, 0.5]


def test_wrong_override_is_named_like_a_line_of_the_file(written: Write) -> None:
    with pytest.raises(SpecError) as caught:
        load(written(STUDY), {"devices.h200_sxm.memory.bandwidth": "8", "slo.tpot": "on"})
    assert "--set slo.tpot=on  slo.tpot  `on` can be read" in str(caught.value)
    with pytest.raises(SpecError, match="8 has no unit"):
        load(written(STUDY), {"devices.h200_sxm.memory.bandwidth": "8"})


def test_study_extends_another_one(written: Write, tmp_path: Path) -> None:
    base = written(STUDY)
    variant = tmp_path / "variant.yaml"
    variant.write_text("extends: study.yaml\nname: variant\nconstants: {decode.device: h100_sxm}\nprices: spot_2026\n")
    extended, original = load(variant), load(base)
    assert (extended.name, extended.prices.id) == ("variant", "spot_2026")
    assert extended.levers["decode.device"] == ("h100_sxm",)
    assert extended.levers["prefill.device"] == original.levers["prefill.device"]
    further = tmp_path / "further.yaml"
    further.write_text("extends: variant.yaml\n")
    with pytest.raises(SpecError, match="cannot extend another one"):
        load(further)


def test_topology_is_found_beside_the_study_first(written: Write, tmp_path: Path) -> None:
    folder = tmp_path / "topologies"
    folder.mkdir()
    (folder / "mine.yaml").write_text("description: mine\n")
    (tmp_path / "other.yaml").write_text("description: other\n")
    text = STUDY.replace("[native, fullflat]", "[native, mine, other.yaml, third]")
    found = load(written(f"{text}topologies: {{third: other.yaml}}\n")).topologies
    assert found["mine"] == folder / "mine.yaml"
    assert found["other.yaml"] == found["third"] == tmp_path / "other.yaml"


def test_colocated_study_needs_no_prefill_device(written: Write) -> None:
    left_out = (
        "  prefill.device: [h100_sxm, my_part]\n",
        "  devices.my_part.price: [6000 $, 9000 $, 15000 $]\n",
    )
    text = STUDY.replace("[disaggregated, colocated]", "[colocated]")
    for line in left_out:
        text = text.replace(line, "")
    assert load(written(text)).levers["prefill.device"] == ("h200_sxm",)


def test_number_can_be_replaced_without_reading_again(small: Problem) -> None:
    changed = small.with_values(
        {"prices.memory.ddr5_rdimm": 20e-9, "devices.h200_sxm.memory.bandwidth": 5e12, "serving.overlap": 0.5}
    )
    memory = changed.devices["h200_sxm"].memory
    assert memory is not None
    assert (changed.prices.memory["ddr5_rdimm"].likely, memory.bandwidth, changed.serving.overlap) == (
        20e-9,
        5e12,
        0.5,
    )
    assert small.serving.overlap == 0.0
    with pytest.raises(SpecError, match="there is no number"):
        small.with_values({"devices.h200_sxm.name": 1.0})


def test_study_with_its_own_score_may_use_another_format(written: Write) -> None:
    score = "models: {qwen3_coder_480b: {quality: {kv: {fp8: {recovery: 98, source: own test}}}}}\n"
    text = STUDY.replace("weight_dtype: fp8", "kv_dtype: fp8")
    with pytest.raises(SpecError, match="no sourced accuracy of qwen3_coder_480b with its KV cache in fp8"):
        load(written(text))
    assert load(written(text + score)).levers["kv_dtype"] == ("fp8",)


def test_problem_is_written_completely_and_read_back(small: Problem, tmp_path: Path) -> None:
    study = dump(small)
    again = reloaded(study, tmp_path)
    assert dump(again) == study
    assert (again.levers, again.devices, again.prices, again.serving) == (
        small.levers,
        small.devices,
        small.prices,
        small.serving,
    )
    assert (again.objectives, again.require, again.uncertainties) == (
        small.objectives,
        small.require,
        small.uncertainties,
    )
    json.dumps(study)


NUMBERS = {
    "decode.host_memory": ("GB", st.integers(0, 4000)),
    "prefill.host_memory": ("GiB", st.integers(0, 4000)),
    "optical_bandwidth": ("GB/s", st.floats(0, 4000)),
    "pool.capacity": ("TB", st.floats(0.001, 64)),
}


@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    quantities=st.fixed_dictionaries(
        {},
        optional={name: st.lists(number, min_size=1, max_size=3, unique=True) for name, (_, number) in NUMBERS.items()},
    ),
    devices=st.lists(st.sampled_from(["h100_sxm", "h200_sxm", "mi300x", "gaudi3"]), min_size=1, unique=True),
    serving=st.fixed_dictionaries(
        {},
        optional={
            "utilisation": st.floats(0.01, 0.99),
            "runtime_reserve": st.floats(0, 64).map(lambda g: f"{g} GB"),
        },
    ),
    bandwidth=st.floats(0.1, 100),
    limit=st.floats(1e-6, 1e6),
    seed=st.integers(0, 2**31),
)
def test_any_study_is_written_and_read_back(
    tmp_path: Path,
    quantities: dict[str, list[float]],
    devices: list[str],
    serving: dict[str, float | str],
    bandwidth: float,
    limit: float,
    seed: int,
) -> None:
    chosen = {name: [f"{number} {NUMBERS[name][0]}" for number in numbers] for name, numbers in quantities.items()}
    study = {
        "version": 1,
        "name": "any",
        "agents": {"chat": {"workload": "chat", "model": "llama_3_1_70b"}},
        "levers": {"prefill.device": devices, "decode.device": devices, **chosen},
        "serving": serving,
        "prices": "spot_2026",
        "objectives": ["minimize cost"],
        "require": [f"tpot <= {limit} s"],
        "seed": seed,
        "devices": {"h100_sxm": {"memory": {"bandwidth": f"{bandwidth} TB/s"}}},
    }
    first = reloaded(study, tmp_path)
    again = reloaded(dump(first), tmp_path)
    assert dump(again) == dump(first)
    assert (again.levers, again.serving, again.devices) == (first.levers, first.serving, first.devices)
    assert again.require[0].limit == limit


def test_schema_describes_every_field_and_lever() -> None:
    schema = json_schema()
    assert all("description" in entry for entry in schema["properties"].values())
    assert set(schema["properties"]["levers"]["properties"]) == set(levers.REGISTRY)
    assert "id" not in schema["$defs"]["Accelerator"]["properties"]
    assert "like" in schema["$defs"]["Accelerator"]["properties"]
    for name, definition in schema["$defs"].items():
        for field, entry in definition.get("properties", {}).items():
            assert entry.get("description"), f"{name}.{field}"
    json.dumps(schema)


@pytest.mark.parametrize("name", sorted(levers.REGISTRY))
def test_every_lever_is_documented_and_its_default_is_a_choice(name: str) -> None:
    lever = levers.REGISTRY[name]
    assert lever.description
    assert all(other in levers.REGISTRY for other, _ in lever.inert)
    if lever.default is not None and lever.kind != "quantity":
        assert levers.choice(lever, lever.default, {}) == lever.default


def test_every_metric_has_a_readable_unit() -> None:
    for name, metric in METRICS.items():
        unit = f" {metric.unit}" if metric.unit != "1" else ""
        assert problem.Requirement.model_validate(f"{name} >= 3{unit}").limit == 3.0


def test_override_text_is_read_strictly() -> None:
    assert reader.value("[1, a b]", "--set", ("x",)) == [1, "a b"]
    with pytest.raises(SpecError, match="--set  x  `010`"):
        reader.value("010", "--set", ("x",))


JUNK: tuple[object, ...] = (
    None, 5, -1, 1.5, True, "x", "5 GB", "", [], [1], [["b"]], {}, {"a": {"b": None}}, {"from": 1, "to": 2},
    {"like": "h100_sxm"}, {"like": 5}, 10**30,
)  # fmt: skip


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_no_change_of_a_study_is_more_than_a_mistake(data: st.DataObject, tmp_path: Path) -> None:
    study = reader.read_text(STUDY).data
    for _ in range(data.draw(st.integers(1, 3))):
        here: object = study
        key: object = None
        while isinstance(here, dict | list) and here:
            keys = sorted(here) if isinstance(here, dict) else list(range(len(here)))
            parent, key = here, data.draw(st.sampled_from(keys))
            here = here[key]  # type: ignore[index]
            if data.draw(st.booleans()):
                break
        parent[key] = copy.deepcopy(data.draw(st.sampled_from(JUNK)))
    with contextlib.suppress(SpecError):
        reloaded(study, tmp_path)


def test_alternating_batches_are_written_where_they_are_not_two(small: Problem, tmp_path: Path) -> None:
    assert "offload_batches" not in dump(small)["serving"]
    one = replace(small, serving=small.serving.model_copy(update={"offload_batches": 1}))
    assert reloaded(dump(one), tmp_path).serving.offload_batches == 1
