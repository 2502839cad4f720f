"""Attention and experts on devices of their own (MegaScale-Infer, arXiv 2504.02263)."""

from dataclasses import replace

import numpy as np

from dse.facts.catalog import model as catalog_model
from dse.facts.problem import Problem
from dse.facts.workload import load_workload
from dse.insight.cases.answers import Answers
from dse.insight.cases.relation import Relation, above

LONG, SHORT = "mooncake_conversation", "azure_conversation"
"""Workloads beside the case with long and with short prompts."""

BASE = "h100_sxm"
"""Part that keeps the experts."""

LATENT = "deepseek_v3"

LATENT_GAP = (
    "absorbed latent attention is bound by FLOP, of which H20 has little: the split belongs to grouped-query models"
)


def relations(problem: Problem) -> tuple[Relation, ...]:
    """Decode tokens per dollar with over without attention devices, by context, part and kind of attention."""
    long, short = (_gain(problem, name, ("h20", "mi300x")) for name in (LONG, SHORT))
    agent = problem.agents[0]
    latent = replace(problem, agents=(replace(agent, model=catalog_model(LATENT)),))
    return (
        Relation("tokens per dollar of decode, attention apart, 12K prompts: up to 1.9", long, 1.0, 1.9, "x"),
        Relation("the same with H20 for attention alone", _gain(problem, LONG, ("h20",)), 1.0, 1.9, "x"),
        above("the gain at 12K prompts over the gain at 1.2K prompts", long / short, unit="x"),
        above(
            "the same with H20 on a model with latent attention", _gain(latent, LONG, ("h20",)), 1.0, "x", LATENT_GAP
        ),
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
