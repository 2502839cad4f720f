"""A prefill part without HBM (Rubin CPX, announced 2025): where it pays by mixture."""

from dataclasses import replace

from dse.facts.catalog import model as catalog_model
from dse.facts.problem import Problem
from dse.facts.workload.classes import load_workload
from dse.insight.cases.answers import Answers
from dse.insight.cases.relation import Relation, above

MIXED = "qwen3_235b_a22b"
"""A model of experts, for the contrast."""

EXPERTS_GAP = (
    "prefill of experts moves many bytes per FLOP (the fitted expert traffic, 15 times the activations, measured on "
    "HBM parts), which 2 TB/s of GDDR7 do not carry"
)


def relations(problem: Problem) -> tuple[Relation, ...]:
    """Cost per task of an HBM part for prefill over the GDDR7 part, from long prompts to long answers."""
    long, even, short = (_ratio(problem, name) for name in ("prompt_heavy", "balanced", "answer_heavy"))
    agent = problem.agents[0]
    experts = replace(problem, agents=(replace(agent, model=catalog_model(MIXED)),))
    return (
        above("cost per task at 8K in 0.5K out, HBM prefill over GDDR7 prefill, dense 70B", long, 1.05, "x"),
        above("that advantage over the one at 2K in 1K out", long / even, unit="x"),
        above("the advantage at 2K in 1K out over that at 0.5K in 4K out", even / short, unit="x"),
        above(
            "cost per task at 8K in 0.5K out on a model of experts",
            _ratio(experts, "prompt_heavy"),
            1.05,
            "x",
            EXPERTS_GAP,
        ),
    )


def _ratio(problem: Problem, lengths: str) -> float:
    """Cost per task with HBM parts for both phases over the GDDR7 part for prefill."""
    agent = problem.agents[0]
    beside = agent.spec.workload.replace("prompt_heavy", lengths)
    scored = Answers.of(replace(problem, agents=(replace(agent, workload=load_workload(beside)),)))
    apart = scored.where(serving="disaggregated")
    return apart.where(prefill__device="rubin_vr200").best("cost") / apart.where(prefill__device="rubin_cpx").best(
        "cost"
    )
