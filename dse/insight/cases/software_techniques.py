"""Software techniques: compressed KV (CacheGen), compressed partial sums (Flash Communication), fused attention."""

from typing import NamedTuple

import numpy as np

from dse.facts.catalog import accelerator
from dse.facts.catalog import model as catalog_model
from dse.facts.levers import FUSED, NONE
from dse.facts.problem import Problem
from dse.insight.cases.answers import Answers
from dse.insight.cases.relation import Relation, above, below, near
from dse.physics import demand, intensity, roofline, serving
from dse.physics.shape import Shape
from dse.physics.work import pass_work
from dse.search.fidelity import fabric
from dse.search.fidelity.constants import constants
from dse.search.scoring import passes, techniques

CACHEGEN, GROUPED = "cachegen", "kv_int4"
SUMS = "flash_communication"
UNFUSED, CLUSTER = "unfused_attention", "cluster_fusion"

SLOW_LINK = 3e9 / 8
"""Link over which CacheGen is measured: 3 Gbit/s [B/s]."""

HOST = 256e9
"""Host DRAM per device, where the cache of a session waits [B]."""

QUICK = 1e12
"""Rate of a codec that is bound by memory, as that of 4-bit groups in the catalog [B/s]."""

CORE = demand.GROUPS.index("attention_core")

GPT2_MEDIUM = Shape(1, 1024, 50257, n_heads=16, n_kv_heads=16, head_dim=64, n_full_layers=1)
"""Attention of one layer of the model that FlashAttention is measured on."""

CODEC_GAP = (
    "at the assumed 50 GB/s a device, coding takes as long as a network card of 50 GB/s saves; it pays on slower links "
    "(rows above) or with a quicker codec (row below)"
)

GRAPH_GAP = (
    "its baselines pass intermediate results through memory between kernels; the engines behind this package "
    "replay graphs, in which the launches of projections are 4 % of a step"
)


class Variant(NamedTuple):
    """Techniques of one pass."""

    sums: str = NONE
    kernel: str = FUSED


def relations(problem: Problem) -> tuple[Relation, ...]:
    """What each technique does to links, footprint, intensity and front."""
    answers = Answers.of(problem)
    return (*_kv(problem, answers), *_partial_sums(problem, answers), *_kernels(problem, answers))


def _gain(answers: Answers, lever: str, plain: str, chosen: str, metric: str = "cost") -> float:
    """Best value of a metric without a technique over that with it; the other techniques are left out."""
    still = {"kv_compression": NONE, "activation_compression": NONE, "attention_kernel": FUSED}
    values = [answers.where(**{**still, lever: choice}).best(metric) for choice in (plain, chosen)]
    return values[0] / values[1]


def _kv(problem: Problem, answers: Answers) -> tuple[Relation, ...]:
    narrow, wide = (techniques.kv_coding(problem, CACHEGEN, own) for own in ("fp8", "bf16"))
    grouped = techniques.kv_coding(problem, GROUPED, "bf16")
    fetched = float(serving.coded_bandwidth(np.array(SLOW_LINK), np.array(narrow.codec))) * narrow.ratio / SLOW_LINK
    held = answers.where(decode__host_memory=HOST)
    quick = Answers.of(problem.with_values({f"techniques.{CACHEGEN}.rate": QUICK}))
    pays = (1 - 1 / wide.ratio) * wide.ratio / wide.codec
    return (
        Relation("KV on a link, 8-bit cache over CacheGen: 3.5 to 4.3 times smaller", narrow.ratio, 3.5, 4.3, "x"),
        Relation("time to fetch it over 3 Gbit/s, 8-bit over CacheGen: 3.2 to 3.7", fetched, 3.2, 3.7, "x"),
        above("link per device below which coding bf16 KV saves time, over 3 Gbit/s", pays / SLOW_LINK, unit="x"),
        above("footprint of a request in host DRAM, bf16 over 4-bit groups", grouped.ratio, unit="x"),
        above(
            "cost per task with 256 GB of host DRAM, bf16 over 4-bit groups",
            _gain(held, "kv_compression", NONE, GROUPED),
            unit="x",
        ),
        above("the same over CacheGen", _gain(held, "kv_compression", NONE, CACHEGEN), 1.0, "x", CODEC_GAP),
        above(
            "the same over CacheGen with a codec as quick as that of 4-bit groups",
            _gain(quick.where(decode__host_memory=HOST), "kv_compression", NONE, CACHEGEN),
            1.0,
            "x",
        ),
    )


def _pass(problem: Problem, device: str, shape: Shape, tp: int, load: demand.Load, used: Variant) -> roofline.PassTime:
    """Time of a pass in bf16."""
    part, mapping = accelerator(device), demand.Mapping(tp=np.array([tp]))
    work = _work(problem, shape, tp, load, used.kernel)
    calibration = techniques.constants(problem, constants().calibration, used.sums, used.kernel)
    links = fabric.links(part, mapping, shape.experts_per_token)
    return roofline.pass_time(work, passes.supply(part, "bf16", "bf16", "bf16"), links, calibration)


def _work(problem: Problem, shape: Shape, tp: int, load: demand.Load, kernel: str) -> demand.Work:
    widths = passes.precision("bf16", "bf16", "bf16", techniques.score_width(problem, kernel))
    return pass_work(shape, widths, demand.Mapping(tp=np.array([tp])), load)


def _partial_sums(problem: Problem, answers: Answers) -> tuple[Relation, ...]:
    """Prefill of eight prompts of 1,024 tokens on four devices, as the source measures it."""
    shape, load = passes.model_shape(catalog_model("llama_3_1_70b")), demand.Load(8.0, 1024.0, 0.0)
    plain, coded = (_pass(problem, "l40s", shape, 4, load, Variant(sums)) for sums in (NONE, SUMS))
    wired = [_pass(problem, "h100_sxm", shape, 4, load, Variant(sums)).seconds for sums in (NONE, SUMS)]
    whole = float(plain.seconds[0] / coded.seconds[0])
    return (
        above(
            "communication of prefill on 4 L40S, bf16 over Flash Communication: more than 3",
            float(plain.network[0] / coded.network[0]),
            3.0,
            "x",
        ),
        near("time of that pass, and so of the first token: 2", whole, 2.0, 0.15, "x"),
        above("that gain over the gain on 4 H100 with NVLink", whole / float((wired[0] / wired[1])[0]), unit="x"),
        above(
            "cost per task, bf16 sums over Flash Communication",
            _gain(answers, "activation_compression", NONE, SUMS),
            unit="x",
        ),
    )


def _kernels(problem: Problem, answers: Answers) -> tuple[Relation, ...]:
    moved = [_core_bytes(_work(problem, GPT2_MEDIUM, 1, demand.Load(64.0, 1024.0, 0.0), k)) for k in (UNFUSED, FUSED)]
    shape, prompt = passes.model_shape(catalog_model("llama_3_1_8b")), demand.Load(1.0, 4096.0, 0.0)
    works = [_work(problem, shape, 1, prompt, kernel) for kernel in (UNFUSED, FUSED)]
    part = accelerator("h100_sxm")
    assert part.memory is not None
    ridge = float(intensity.oi_ridge(np.array(passes.compute_rate(part, "bf16")[0]), np.array(part.memory.bandwidth)))
    unfused, fused = (float(work.flop[CORE, 0]) / _core_bytes(work) / ridge for work in works)
    slow, fast = (_pass(problem, "h100_sxm", shape, 1, prompt, Variant(kernel=k)) for k in (UNFUSED, FUSED))
    step = demand.Load(1.0, 1.0, 4096.0)
    stock, joined = (_pass(problem, "h100_sxm", shape, 1, step, Variant(kernel=k)) for k in (FUSED, CLUSTER))
    return (
        near("memory traffic of attention, GPT-2 at 1K, unfused over fused: 9.2", moved[0] / moved[1], 9.2, 0.15, "x"),
        below("OI of unfused attention at 4K over the ridge of a H100: bound by memory", unfused),
        above("OI of FlashAttention there over the ridge: bound by compute", fused),
        above(
            "time of attention in that prefill, unfused over fused",
            float(slow.group_seconds[CORE, 0] / fast.group_seconds[CORE, 0]),
            1.5,
            "x",
        ),
        above(
            "step latency over target, unfused attention over fused",
            _gain(answers, "attention_kernel", UNFUSED, FUSED, "latency"),
            unit="x",
        ),
        near(
            "decode step of an 8B model on a H100, stock over ClusterFusion: 1.61 on average",
            float(stock.seconds[0] / joined.seconds[0]),
            1.61,
            0.15,
            "x",
            GRAPH_GAP,
        ),
        above(
            "step latency over target, stock over ClusterFusion",
            _gain(answers, "attention_kernel", FUSED, CLUSTER, "latency"),
            unit="x",
        ),
    )


def _core_bytes(work: demand.Work) -> float:
    return float((work.kv_bytes + work.activation_bytes)[CORE, 0])
