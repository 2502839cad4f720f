"""Software techniques: levers that a study names, rows of the catalog, terms of physics."""

from dataclasses import replace
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest

from dse.facts.catalog import technique
from dse.facts.errors import SpecError
from dse.facts.problem import dump, load, resolve
from dse.facts.reader import Source
from dse.insight import explain_text
from dse.insight.explain import explanation
from dse.physics import demand, serving
from dse.physics.shape import Shape
from dse.physics.work import pass_work
from dse.search.evaluation import Evaluator, evaluate
from dse.search.metrics import Metrics
from dse.search.scoring import block as blocks
from dse.search.scoring import classes, passes, techniques
from dse.search.space import Space

STUDY = """
version: 1
name: techniques
agents:
  {agent}
levers:
  serving: [disaggregated, colocated]
  prefill.device: [h100_sxm]
  decode.device: [h200_sxm]
  decode.host_memory: [0 GB, 256 GB]
  pool.technology: [none, cxl_ddr5]
  pool.capacity: [512 GB]
{levers}
prices: contract_2026
objectives: [minimize cost, maximize throughput, minimize latency]
{rest}
"""
CODING = "coding: {workload: coding, model: qwen3_coder_480b, share: 1, context_policy: compaction}"
CHAT = "chat: {workload: chat, model: llama_3_1_70b, share: 1, context_policy: truncation}"
FREE = """techniques:
  free_kv: {name: free, kind: kv_compression, bits: 4}
  free_sums: {name: free, kind: activation_compression, bits: 4}
"""
LEVERS = ("kv_compression", "activation_compression", "attention_kernel")


@pytest.fixture(scope="module")
def study(tmp_path_factory):
    folder = tmp_path_factory.mktemp("techniques")

    def made(levers="", rest="", agent=CHAT):
        path = folder / "study.yaml"
        path.write_text(STUDY.format(levers=levers, rest=rest, agent=agent))
        return load(path)

    return made


def best(problem, columns=("cost", "latency", "energy_per_task")):
    """Best feasible value of each column for every design, in the order of the levers that all studies here share."""
    metrics = scored(problem)
    count = Space.of(problem).size
    found = np.full((count, len(columns)), np.inf)
    for index, name in enumerate(columns):
        np.minimum.at(found[:, index], metrics.design, np.where(metrics.feasible, metrics.columns[name], np.inf))
    return found


def scored(problem) -> Metrics:
    space = Space.of(problem)
    return evaluate(problem, space.numbered(np.arange(space.size)))


def test_a_study_that_names_no_technique_has_no_such_lever(study):
    problem = study()
    assert not set(LEVERS) & set(problem.levers)
    assert not set(LEVERS) & set(Space.of(problem).names)
    assert "techniques" not in dump(problem)


def test_choosing_none_changes_no_number(study):
    plain = scored(study())
    named = "  kv_compression: [none]\n  activation_compression: [none]\n  attention_kernel: [flash_attention]"
    named = scored(study(named))
    assert plain.columns.keys() == named.columns.keys()
    for name, values in plain.columns.items():
        np.testing.assert_array_equal(values, named.columns[name])


@pytest.mark.parametrize("agent", [CHAT, CODING])
def test_a_compression_without_cost_never_hurts(study, agent):
    plain = best(study(agent=agent))
    coded = best(study("  kv_compression: [free_kv]\n  activation_compression: [free_sums]", FREE, agent))
    assert (coded <= plain * (1 + 1e-9)).all()
    assert (coded < plain * (1 - 1e-3)).any()


def test_a_slower_codec_is_never_better(study):
    problem = study("  kv_compression: [cachegen]", agent=CODING)
    columns = [
        best(problem.with_values({"techniques.cachegen.rate": rate}), ("cost", "latency")) for rate in (1e12, 5e10, 5e9)
    ]
    for quick, slow in pairwise(columns):
        assert (quick <= slow * (1 + 1e-9)).all()
    assert (columns[0] < columns[2] * 0.99).any()


def test_links_carry_the_coded_kv(study):
    shares = {}
    for lever in ("none", "kv_int4"):
        problem = study(f"  kv_compression: [{lever}]", "serving: {kv_homes: [decode]}", CODING)
        plan = Evaluator.of(problem).plan
        block = blocks.block(plan, Space.of(problem).numbered(np.arange(1)))
        shares[lever] = [float(column[0]) for column in classes.kv_tokens(plan, block, 0)]
    ratio = 16 / technique("kv_int4").bits.likely
    assert shares["none"][1] == 0.0
    assert shares["none"][0] / shares["kv_int4"][0] == pytest.approx(ratio)
    # raw bytes over the rate of a device, whatever the ratio
    assert shares["kv_int4"][0] * shares["kv_int4"][1] == pytest.approx(shares["none"][0] / 1e12)


def test_an_element_narrower_than_the_code_stays_as_it_is():
    wide, narrow = technique("cachegen"), technique("flash_communication")
    assert techniques.coding(wide, 1.0).ratio == pytest.approx(3.5, rel=1e-3)
    assert techniques.coding(narrow, 0.5) == techniques.Coding()
    assert techniques.coding(None, 2.0) == techniques.Coding()


def test_coding_and_sending_take_the_time_of_both():
    bandwidth, codec = np.array([1e9, 5e10]), np.array(1e-10)
    np.testing.assert_allclose(1 / serving.coded_bandwidth(bandwidth, codec), 1 / bandwidth + codec)
    np.testing.assert_array_equal(serving.coded_bandwidth(bandwidth, np.array(0.0)), bandwidth)


def test_scores_that_leave_the_chip_are_counted_by_hand():
    """One layer, 16 heads: written, read, written and read again, two bytes each, for half the square of a prompt."""
    shape = Shape(1, 1024, 8, n_heads=16, n_kv_heads=16, head_dim=64, n_full_layers=1)
    widths = [passes.precision("bf16", "bf16", "bf16", score) for score in (0.0, 8.0)]
    load_ = demand.Load(2.0, 1024.0, 512.0)
    core = demand.GROUPS.index("attention_core")
    fused, unfused = (pass_work(shape, width, demand.Mapping(tp=4), load_) for width in widths)
    extra = float((unfused.kv_bytes - fused.kv_bytes)[core, 0])
    assert extra == pytest.approx(8 * 2 * (16 / 4) * 1024 * (512 + 1024 / 2))
    np.testing.assert_array_equal(unfused.flop, fused.flop)
    np.testing.assert_array_equal(np.delete(unfused.kv_bytes, core, 0), np.delete(fused.kv_bytes, core, 0))


def test_kernels_order_as_they_fuse(study):
    rest = "slo: {ttft: 60 s, tpot: 200 ms}"
    unfused, fused, cluster = (
        best(study(f"  attention_kernel: [{name}]", rest))
        for name in ("unfused_attention", "flash_attention", "cluster_fusion")
    )
    assert (fused <= unfused).all()
    assert (cluster <= fused * (1 + 1e-9)).all()
    assert (fused < unfused * 0.99).any()
    assert (cluster[:, 1] < fused[:, 1]).any()


def test_quality_of_techniques_multiplies_and_can_be_demanded(study):
    levers = "  kv_compression: [none, cachegen]\n  activation_compression: [none, flash_communication]"
    metrics = scored(study(levers))
    assert sorted({round(float(value), 6) for value in metrics.columns["quality"]}) == [97.02, 98.0, 99.0, 100.0]
    demanded = scored(study(levers, 'require: ["quality >= 99"]'))
    kept = demanded.columns["quality"][demanded.feasible]
    assert kept.size
    assert (kept >= 99).all()


def test_a_study_brings_its_own_technique_and_keeps_it(study):
    problem = study("  kv_compression: [none, free_kv]", FREE)
    assert set(problem.techniques) == {"free_kv"}
    again = resolve(Source("again", dump(problem), {}), Path("again.yaml"))
    assert again.techniques == problem.techniques
    assert again.levers == problem.levers


def test_a_technique_of_another_kind_is_refused_with_those_of_this_one(study):
    with pytest.raises(SpecError, match="cachegen"):
        study("  kv_compression: [flash_communication]")


def test_explain_says_what_is_compressed_and_by_whom(study):
    problem = study("  kv_compression: [cachegen]\n  activation_compression: [flash_communication]")
    problem = replace(problem, levers={**problem.levers, "serving": ("disaggregated",), "pool.technology": ("none",)})
    space = Space.of(problem)
    made = explanation(Evaluator.of(problem), space.numbered(np.arange(1)), {}, "A").explanation()
    text = " ".join(" ".join(explain_text.text(made, every_input=True)).split())
    assert "KV transfer compressed x7, CacheGen" in text
    assert "partial sums compressed x3.05, Flash Communication" in text
    assert "arXiv 2310.07240" in text
    assert "techniques.cachegen.rate" in text
    assert "cachegen" in made.extras
