"""Bounds of boxes: never above what a design in the box reaches, whatever the study."""

from dataclasses import replace
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest

from dse.facts.problem import load
from dse.physics import queueing
from dse.search.ask import ask
from dse.search.axes import Designs, Inert
from dse.search.bounds.boxes import halved, members, stacked
from dse.search.bounds.branch import Bounds, Branching
from dse.search.bounds.certify import beaten, doomed
from dse.search.bounds.quantile import least_quantile
from dse.search.bounds.yardstick import Yardstick, yardstick
from dse.search.metrics import scores
from dse.search.space import PAIRS, space

ROOT = Path(__file__).parents[2]
EPSILON = 0.05

STUDY = """
version: 1
name: {name}
agents:
  coding: {{workload: coding, model: qwen3_coder_480b, share: 0.4, context_policy: compaction}}
  {other}
levers:
{levers}
prices: contract_2026
objectives: [minimize cost, maximize throughput, minimize latency]
{rest}
"""

POOLED = """
  serving: [disaggregated, colocated, attention_offload]
  prefill.device: [b200_sxm, a100_80g_sxm, mi355x]
  prefill.second_device: [none, a100_80g_sxm, mi355x]
  prefill.host_memory: [0 GB, 512 GB]
  decode.device: [gb200_nvl72, h20]
  decode.second_device: [none, h20, mi325x]
  decode.memory_scale: [1, 1.5]
  decode.host_memory: [0 GB, 256 GB]
  pool.technology: [none, cxl_ddr5, nvme_tlc]
  pool.capacity: [512 GB, 4 TB]
  optical_bandwidth: [0 GB/s, 400 GB/s]
  weight_dtype: [release, fp8]
"""

WIRED = """
  serving: [attention_offload, disaggregated]
  prefill.device: [h200_sxm, b200_sxm]
  prefill.topology: [native, optical_pool, nvl72]
  decode.device: [b200_sxm, mi355x]
  decode.second_device: [none, b200_sxm]
  decode.topology: [optical_pool, native, nvl72]
  optical_bandwidth: [0 GB/s, 100 GB/s, 1200 GB/s]
  kv_dtype: [bf16, fp8]
  draft_length: [0, 3]
  prefill.host_memory: [512 GB]
  decode.host_memory: [512 GB]
"""

TIED = """
  serving: [disaggregated, attention_offload]
  prefill.device: [b200_sxm, mi355x]
  prefill.second_device: [none, mi355x, h200_sxm]
  decode.device: [b200_sxm, h20]
  decode.second_device: [none, h20]
"""

WIRED_REST = """load: 2 task/s
models:
  qwen3_coder_480b: {quality: {kv: {fp8: {recovery: 99, source: assumption of this test}}}}
"""

CODED = """
  serving: [disaggregated, colocated, attention_offload]
  prefill.device: [b200_sxm, h100_sxm]
  decode.device: [h200_sxm, h100_sxm]
  decode.second_device: [none, h20]
  decode.host_memory: [0 GB, 512 GB]
  pool.technology: [none, cxl_ddr5]
  pool.capacity: [512 GB]
  weight_dtype: [release, fp8]
  kv_compression: [none, cachegen, kv_int4]
  activation_compression: [flash_communication, none]
  attention_kernel: [flash_attention, cluster_fusion, unfused_attention]
"""

MODES = "[disaggregated, colocated, attention_offload]"
WEB = "web_use: {workload: web_use, model: qwen3_235b_a22b, share: 0.6}"
CHAT = "chat: {workload: chat, model: llama_3_1_70b, share: 0.6}"

STUDIES = {
    "pooled": (POOLED, CHAT, 'require: ["domain_power <= 120 kW"]'),
    "wired": (WIRED, CHAT, WIRED_REST),
    "coded": (CODED, CHAT, 'require: ["quality >= 97.5"]'),
    "alone": (
        POOLED.replace(MODES, "[disaggregated]"),
        WEB,
        "serving: {affinity: 99 %, kv_homes: [decode, append_on_decode]}",
    ),
    "queued": (
        POOLED.replace(MODES, "[colocated, disaggregated]"),
        WEB,
        "serving: {discipline: fcfs, arrival_scv: 0.5}\nslo: {ttft: 60 s, tpot: 60 ms}",
    ),
}


class Studied:
    """A study with bounds against a front of a sample of it."""

    def __init__(self, question, seed=0):
        self.question, self.space = question, question.space
        sample = question.evaluate(question.space.sample(60, seed))
        self.rows = sample.take(np.flatnonzero(sample.feasible))
        load_ = question.evaluate.problem.load
        self.yardstick: Yardstick = yardstick(self.rows.columns, question.goals, load_, EPSILON)
        self.bounds = Bounds.of(question.evaluate.plan, question.space, self.yardstick, EPSILON)

    def members(self, boxes):
        blocks = list(members(boxes, self.space, self.bounds.sets, 1 << 20))
        return Designs(np.concatenate([block.rows for block in blocks]), self.space.names)

    def random_boxes(self, rng, count, share=0.0):
        """Parts of roots, halved at random along every lever and set of devices; at share 1 down to single designs."""
        boxes = self.bounds.roots()
        boxes = boxes.take(rng.integers(len(boxes), size=count))
        for lever in rng.permutation(boxes.low.shape[1] + 2):
            chance = max(0.7, share)
            while (several := np.flatnonzero(self.bounds._several(boxes, lever))).size and rng.random() < chance:
                cut = several[rng.random(several.size) < chance]
                halves = halved(boxes.take(cut), np.full(cut.size, lever), self.bounds.sets)
                chosen = halves.take(np.arange(cut.size) + cut.size * rng.integers(2, size=cut.size))
                boxes = stacked([boxes.take(np.setdiff1d(np.arange(len(boxes)), cut)), chosen])
                chance = max(chance / 2, share)
        return boxes


def studied(name, tmp_path_factory):
    if name == "quickstart":
        return Studied(ask(load(ROOT / "search_spaces" / "quickstart.yaml")))
    levers, other, rest = STUDIES[name]
    file = tmp_path_factory.mktemp("study") / f"{name}.yaml"
    file.write_text(STUDY.format(name=name, levers=levers, other=other, rest=rest))
    return Studied(ask(load(file)))


@pytest.fixture(scope="module", params=["quickstart", *STUDIES])
def study(request, tmp_path_factory):
    return studied(request.param, tmp_path_factory)


def test_quantile_is_bounded_whatever_is_delayed_split_or_reweighted():
    rng = np.random.default_rng(0)
    for _ in range(400):
        atoms, level = int(rng.integers(2, 12)), float(rng.choice([0.5, 0.9, 0.95]))
        values = rng.exponential(1.0, atoms)
        ends = rng.dirichlet(np.full(atoms, 0.4), 2) * (rng.random((2, atoms)) < 0.9)
        ends = ends / np.maximum(ends.sum(axis=1, keepdims=True), 1e-12)
        if not (ends.sum(axis=1) > 0.5).all():
            continue
        bound = least_quantile(values[None], ends, level)[0]
        for _ in range(20):
            part, split = rng.random(), rng.choice([0.0, 1.0, rng.random()], atoms)
            weights = part * ends[0] + (1 - part) * ends[1]
            delayed = values + rng.exponential(rng.choice([1e-9, 0.1, 3.0]), atoms) * (rng.random(atoms) < 0.6)
            both, share = np.concatenate([values, delayed]), np.concatenate([weights * (1 - split), weights * split])
            true = queueing.mixture_quantiles(both[None], share[None], (level,))[0, 0]
            assert bound <= true * (1 + 1e-9)


def test_roots_hold_every_design_once(study):
    every_design_once(study)


def every_design_once(study):
    roots = study.bounds.roots()
    found = study.members(roots)
    assert len(found) == study.space.size
    assert len(set(found.identities())) == study.space.size
    assert (study.space.canonical(found.rows).rows == found.rows).all()


def test_device_pairs_of_the_two_pools_may_depend_on_each_other(tmp_path):
    """A space whose second prefill device rests beside one decode device: sets of pairs are products piece by piece."""
    text = STUDY.format(name="tied", levers=TIED, other=CHAT, rest="")
    (tmp_path / "tied.yaml").write_text(text)
    question = ask(load(tmp_path / "tied.yaml"))
    problem = question.evaluate.problem
    inert = {name: [Inert(*rule) for rule in rules] for name, rules in problem.conditions.items()}
    inert["prefill.second_device"] = [
        *inert.get("prefill.second_device", []),
        Inert("decode.device", frozenset(["h20"])),
    ]
    tied = Studied(replace(question, space=space(problem.levers, inert, PAIRS)))
    assert tied.space.size < question.space.size
    every_design_once(tied)
    nothing_below(tied, 6)


def test_halves_hold_what_the_whole_holds(study):
    rng = np.random.default_rng(1)
    boxes = study.random_boxes(rng, 12)
    counts = study.bounds.alive.count(boxes)
    for lever in range(boxes.low.shape[1] + 2):
        several = np.flatnonzero(study.bounds._several(boxes, lever))
        halves = halved(boxes.take(several), np.full(several.size, lever), study.bounds.sets)
        both = study.bounds.alive.count(halves).reshape(2, -1).sum(axis=0)
        assert (both == counts[several]).all()


def test_sound_designs_are_counted_exactly(study):
    boxes = study.random_boxes(np.random.default_rng(2), 10)
    for row, count in enumerate(study.bounds.alive.count(boxes)):
        found = study.members(boxes.take(np.array([row])))
        assert count == (~doomed(study.question.evaluate, found)).sum()


def test_no_design_in_a_box_is_below_its_bound(study):
    assert nothing_below(study, 24) > 40


def nothing_below(study, count):
    """Rows that were compared with the bounds of some random boxes."""
    rng = np.random.default_rng(3)
    boxes = study.random_boxes(rng, count)
    boxes = boxes.take(study.bounds.alive.count(boxes) > 0)
    curves = study.bounds.relaxation.bound(boxes)
    scored = 0
    for row, curve in enumerate(curves):
        found = study.members(boxes.take(np.array([row])))
        found = found.take(rng.permutation(len(found))[:8])
        metrics = study.question.evaluate(found)
        kept = metrics.take(np.flatnonzero(metrics.feasible))
        level = np.searchsorted(study.yardstick.levels, kept.columns["latency"], side="right") - 1
        cost, energy = kept.columns["cost"], kept.columns["energy_per_task"]
        mixes = [cost + worth[level] * energy for worth in study.yardstick.exchange]
        assert (np.stack([cost, energy, *mixes]) >= curve[:, level]).all()
        scored += len(kept)
    return scored


def test_a_bound_is_not_idle(study):
    """Boxes of one design: the bound is near what the design reaches, else it would prune nothing."""
    rng = np.random.default_rng(4)
    single = study.random_boxes(rng, 60, 1.0)
    single = single.take(study.bounds.alive.count(single) > 0)
    gaps = []
    for row, curve in enumerate(study.bounds.relaxation.bound(single)):
        metrics = study.question.evaluate(study.members(single.take(np.array([row]))))
        kept = metrics.take(np.flatnonzero(metrics.feasible))
        level = np.searchsorted(study.yardstick.levels, kept.columns["latency"], side="right") - 1
        gaps += [np.min(kept.columns["cost"] / curve[0, level])] if len(kept) else []
    assert gaps
    assert np.median(gaps) < 1.25


def test_nothing_beats_the_front_by_more_than_what_a_box_is_said_to_need(study):
    """Boxes are enumerated at every margin, not only at the one asked for; the front is far from the true one."""
    goals, known = study.question.goals, study.bounds.margins
    front, search, told = scores(study.rows, goals), Branching.of(study.bounds), []
    for _ in range(2):
        boxes = search.open.boxes.take(slice(0, 48))
        need = study.bounds.judge(boxes).need
        for row in np.argsort(need, kind="stable")[: min(4, int((need < known.epsilons.size).sum()))]:
            found = study.members(boxes.take(np.array([row])))
            metrics = study.question.evaluate(found.take(slice(0, 24)))
            usable = metrics.take(np.flatnonzero(metrics.feasible))
            lead = beaten(scores(usable, goals), front)
            assert (lead <= np.log10(1 + known.epsilons[need[row]]) + 1e-9).all()
            told.append(need[row])
        if not len(search.open.boxes):
            break
        search.step()
    assert told
    assert min(told) <= known.target


def test_margins_rise_with_the_front_and_halving_finds_the_smallest(study):
    boxes = study.random_boxes(np.random.default_rng(5), 40, 0.9)
    curves = study.bounds.relaxation.bound(boxes)
    known = study.bounds.margins
    fine = np.array([cover.fine(curves, study.yardstick.exchange).all(axis=1) for cover in known.covers])
    assert (fine[1:] >= fine[:-1]).all()
    smallest = np.where(fine.any(axis=0), fine.argmax(axis=0), len(fine))
    assert (known.judge(curves).need == smallest).all()


def test_levels_rise(study):
    assert all(below < above for below, above in pairwise(study.yardstick.levels))
