"""Models whose memory of the context hardly grows: how their footprint and speed move with context."""

import numpy as np

from dse.arrays import FloatArray
from dse.facts.catalog import model as catalog_model
from dse.facts.problem import Problem, load
from dse.insight.cases.answers import Answers
from dse.insight.cases.registry import study
from dse.insight.cases.relation import Relation, above, below
from dse.physics import transformer
from dse.physics.demand import Load, Mapping
from dse.physics.work import pass_work
from dse.search.scoring import passes

GROUPED, LATENT, SPARSE, HYBRID = "qwen3_235b_a22b", "deepseek_v3", "deepseek_v3_2", "qwen3_5_397b_a17b"
"""One published model of each kind: grouped-query, latent, latent and sparse, linear in three layers of four."""

CONTEXTS = np.array([8_192.0, 131_072.0])
"""Short and long context [tok]."""

DENSE, STATE = "llama_3_1_70b", "nemotron_h_56b"
"""A dense model, and one of state-space layers that serves short contexts only."""

BUDGETS = (32_768, 131_072)
"""Context budgets that all four models can serve [tok]."""

TARGETS = {"slo": "{ttft: 10 s, tpot: 100 ms}"}
"""Targets that all of them meet."""

BATCH = 32.0
"""Requests in a decode step, enough that the KV and not the weights alone count."""


def relations(_: Problem) -> tuple[Relation, ...]:
    """Footprint at 128K, and bytes moved per step at 128K over 8K."""
    kv = {name: float(_kv(name)[1]) for name in (GROUPED, LATENT, SPARSE, HYBRID)}
    growth = {name: _traffic(name) for name in kv}
    return (
        above("KV of a request at 128K, grouped-query over latent", kv[GROUPED] / kv[LATENT], unit="x"),
        above("KV of a request at 128K, latent over hybrid linear", kv[LATENT] / kv[HYBRID], unit="x"),
        above(
            "KV of a request at 128K, sparse over latent: the footprint does not fall",
            kv[SPARSE] / kv[LATENT],
            unit="x",
        ),
        above(
            "growth of decode traffic from 8K to 128K, latent over sparse", growth[LATENT] / growth[SPARSE], unit="x"
        ),
        above("the same, grouped-query over hybrid linear", growth[GROUPED] / growth[HYBRID], unit="x"),
        below("decode traffic of the sparse model at 128K over 8K, batch 32", growth[SPARSE], 1.5, "x"),
        below("decode traffic of the hybrid model at 128K over 8K, batch 32", growth[HYBRID], 1.5, "x"),
        above(
            "KV of a request at 8K, grouped-query 70B over state-space 56B",
            float(_kv(DENSE)[0]) / float(_kv(STATE)[0]),
            2.0,
            "x",
        ),
        *_front(),
    )


def _front() -> tuple[Relation, ...]:
    """Cost per task of coding sessions kept to a long context over a short one, each model on its own best designs."""
    rise = {}
    for name in (GROUPED, LATENT, SPARSE, HYBRID):
        costs = []
        for budget in BUDGETS:
            changed = {"agents.coding.model": name, "agents.coding.context_budget": str(budget), **TARGETS}
            costs.append(Answers.of(load(study("hybrid_memory_models"), changed)).best("cost"))
        rise[name] = costs[1] / costs[0]
    return (
        above(
            "rise of cost per task from 32K to 128K contexts, latent over sparse", rise[LATENT] / rise[SPARSE], unit="x"
        ),
        above("the same, grouped-query over hybrid linear", rise[GROUPED] / rise[HYBRID], unit="x"),
    )


def _kv(name: str) -> FloatArray:
    return np.asarray(transformer.kv_bytes(passes.model_shape(catalog_model(name)), CONTEXTS, 2.0), dtype=np.float64)


def _traffic(name: str) -> float:
    """Bytes that a decode step moves at the long context over the short one, release formats."""
    model = catalog_model(name)
    widths = passes.precision(*passes.formats(model, "release"), "bf16")
    work = pass_work(passes.model_shape(model), widths, Mapping(), Load(BATCH, 1.0, CONTEXTS))
    moved = (work.weight_bytes + work.kv_bytes).sum(axis=0)
    return float(moved[1] / moved[0])
