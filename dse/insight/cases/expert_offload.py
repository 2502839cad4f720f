"""Attention and experts on devices of their own (MegaScale-Infer, arXiv 2504.02263)."""

from dataclasses import replace

import numpy as np

from dse.facts.catalog import model as catalog_model
from dse.facts.problem import Problem
from dse.facts.workload.classes import load_workload
from dse.insight.cases.answers import Answers
from dse.insight.cases.relation import Relation, above
from dse.insight.sensitivity import held
from dse.search.evaluation import Evaluator
from dse.search.space import Space

LONG, SHORT = "mooncake_conversation", "azure_conversation"
"""Workloads beside the case with long and with short prompts."""

BASE = "h100_sxm"
"""Part that keeps the experts."""

LATENT = "deepseek_v3"

LATENT_GAP = (
    "absorbed latent attention is bound by FLOP, of which H20 has little: the split belongs to grouped-query models"
)

PARTS = ("h20", "mi300x")
"""Devices for attention."""

THIRD_BATCH = (
    "the KV of a third batch takes attention devices that cost more than hidden messages give back; the source keeps "
    "the batch and has requests of 730 tokens"
)


def relations(problem: Problem) -> tuple[Relation, ...]:
    """Decode tokens per dollar with over without attention devices, by context, part and attention; gain of overlap."""
    long, short = (_gain(problem, name, PARTS) for name in (LONG, SHORT))
    agent = problem.agents[0]
    latent = replace(problem, agents=(replace(agent, model=catalog_model(LATENT)),))
    second, third = _overlap(problem)
    one, two, three = (_cost(_alternating(problem, batches)) for batches in (1, 2, 3))
    return (
        Relation("tokens per dollar of decode, attention apart, 12K prompts: up to 1.9", long, 1.0, 1.9, "x"),
        Relation("the same with H20 for attention alone", _gain(problem, LONG, ("h20",)), 1.0, 1.9, "x"),
        above("the gain at 12K prompts over the gain at 1.2K prompts", long / short, unit="x"),
        above(
            "the same with H20 on a model with latent attention", _gain(latent, LONG, ("h20",)), 1.0, "x", LATENT_GAP
        ),
        Relation(
            "decode tokens per device and per dollar, two batches in turn over one, all else held",
            *(second, 1.0, 2.0, "x"),
            trend=True,
        ),
        above("decode tokens per device of the experts, three batches over two, mapping held", third, unit="x"),
        above("tokens per dollar of decode, best designs, two batches over one", one / two, unit="x"),
        above("the same, three batches over two", two / three, 1.0, "x", THIRD_BATCH),
    )


def _gain(problem: Problem, workload: str, parts: tuple[str, ...]) -> float:
    """Decode cost per task on the base part alone over the cheapest with attention on one of the parts."""
    agent = problem.agents[0]
    beside = agent.spec.workload.replace(LONG, workload)
    own = replace(problem, agents=(replace(agent, workload=load_workload(beside)),))
    scored = Answers.of(own).feasible.where(decode__device=BASE)
    alone = scored.where(serving="disaggregated", decode__second_device="none")
    apart = scored.where(serving="attention_offload", decode__second_device=parts)
    return float(np.min(alone.column("decode_cost")) / np.min(apart.column("decode_cost")))


def _alternating(problem: Problem, batches: int) -> Problem:
    """The problem with so many batches in turn between the devices of the experts and those of attention."""
    return replace(problem, serving=problem.serving.model_copy(update={"offload_batches": batches}))


def _cost(problem: Problem) -> float:
    """Least decode cost per task with attention apart [$]."""
    scored = Answers.of(problem).feasible.where(decode__device=BASE)
    return float(np.min(scored.where(serving="attention_offload", decode__second_device=PARTS).column("decode_cost")))


def _overlap(problem: Problem) -> tuple[float, float]:
    """Decode tokens per device of the experts, two batches over one and three over two, with the mapping held.

    Of the designs that have the same attention devices with one batch and with two, so that nothing but the overlap
    differs, the cheapest counts.
    """
    scored = Answers.of(problem).feasible.where(decode__device=BASE)
    own = scored.where(serving="attention_offload", decode__second_device=PARTS).metrics
    systems = held.Systems(Space.of(problem).numbered(own.design), own.mapping)
    scenarios = [held.Scenario(_alternating(problem, batches)) for batches in (1, 2, 3)]
    found = [item.columns for item in held.scored(Evaluator.of(problem).plan, systems, scenarios)]
    one, two, three = (columns["decode_seconds"] for columns in found)
    hourly = [columns["decode_cost"] / columns["decode_seconds"] for columns in found]
    alike = np.isclose(hourly[0], hourly[1], rtol=1e-9)
    row = int(np.argmin(np.where(alike, found[1]["decode_cost"], np.inf)))
    return float(one[row] / two[row]), float(two[row] / three[row])
