"""Lamina, arXiv 2405.01814: decode attention on devices with much memory for the money."""

from dataclasses import replace

import numpy as np

from dse.facts.problem import Problem
from dse.facts.workload.classes import load_workload
from dse.insight.cases.answers import Answers
from dse.insight.cases.relation import Relation, above, near
from dse.physics import serving
from dse.search.scoring import passes

TRACES = ("azure_conversation", "azure_code", "mooncake_conversation", "mooncake_toolagent")
"""Traces of the source, by the workload files beside the case."""

LONG = TRACES[2:]
"""Those with prompts of many thousand tokens."""

BATCH, SLOWDOWN, STEP = 300.0, 0.2, 0.147
"""Batch, allowed slowdown and step time [s] at which the source's link need of 30 GB/s holds."""

FAST_STEP = 0.090
"""A faster step [s], at which it does not."""

SHORT_PROMPTS = (
    "with short prompts the H20 wait for the H100, and at today's estimates a H20 system costs 0.6 of a H100 system, "
    "more than the rental prices of the source imply"
)


def relations(problem: Problem) -> tuple[Relation, ...]:
    """Link need, throughput at equal cost over the traces, batch at equal cost."""
    compared = {name: _gain(problem, name) for name in TRACES}
    gains = {name: gain for name, (gain, _) in compared.items()}
    mean = float(np.mean(list(gains.values())))
    batch = float(np.mean([batch for _, batch in compared.values()]))
    long = float(np.mean([gains[name] for name in LONG]))
    short = float(np.mean([gains[name] for name in TRACES if name not in LONG]))
    return (
        near("link need at batch 300, 20 % slowdown and steps of 147 ms", _link(problem, STEP) / 1e9, 30, 0.02, "GB/s"),
        above("the same at steps of 90 ms: more than the 30 GB/s", _link(problem, FAST_STEP) / 1e9, 30, "GB/s"),
        Relation("tokens per dollar of decode, H100 + H20 over H100, mean of four traces", mean, 1.16, 1.90, "x"),
        Relation(
            "the same on the traces with long prompts", long, 1.16, 1.90, "x", gap="more than the source measured"
        ),
        Relation("the same on the traces with short prompts", short, 1.16, 1.90, "x", gap=SHORT_PROMPTS),
        near("batch at equal cost, H100 + H20 over H100, mean of four traces", batch, 2.4, 0.15, "x"),
    )


def _link(problem: Problem, step: float) -> float:
    """Aggregate bandwidth that keeps the slowdown of a step at the allowed share [B/s]."""
    shape = passes.model_shape(problem.agents[0].model)
    group = np.array(shape.n_heads / shape.n_kv_heads)
    hidden, layers = np.array(2.0 * shape.hidden), np.array(float(shape.n_layers))
    return float(serving.offload_bandwidth(group, hidden, np.array(BATCH), layers, np.array(SLOWDOWN * step)))


def _gain(problem: Problem, trace: str) -> tuple[float, float]:
    """Decode throughput and decode batch at equal cost, with attention devices over without."""
    agent = problem.agents[0]
    beside = agent.spec.workload.replace("mooncake_conversation", trace)
    scored = Answers.of(replace(problem, agents=(replace(agent, workload=load_workload(beside)),))).feasible
    mixed = scored.where(serving="attention_offload", decode__second_device="h20")
    alone = scored.where(serving="disaggregated", decode__second_device="none")
    (cost, step), (own_cost, own_step) = (_cheapest(answers) for answers in (mixed, alone))
    throughput = own_cost / cost
    return throughput, throughput * step / own_step


def _cheapest(answers: Answers) -> tuple[float, float]:
    """Cost of decode per task [$] and time per token [s] of the row with the cheapest decode."""
    row = int(np.argmin(answers.column("decode_cost")))
    return float(answers.column("decode_cost")[row]), float(answers.column("chat.tpot")[row])
