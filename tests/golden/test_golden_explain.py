"""Goldens of explanations: a dozen named systems rendered as text, effects of every number included.

Arithmetic and words, never search trajectories: each system is stated lever by lever and takes its cheapest feasible
mapping. `python tests/golden/test_golden_explain.py` writes the texts anew; a number that moved needs an entry under
Model in the change log.
"""

from dataclasses import replace
from functools import cache
from pathlib import Path

import pytest

from dse.facts.problem import load
from dse.insight import explain_text
from dse.insight.explain import explanation
from dse.insight.sensitivity.elasticity import tornado
from dse.search.ask import ask
from dse.search.evaluation import Evaluator

ROOT = Path(__file__).parents[2]
TEXTS = Path(__file__).with_name("explain")

SYSTEMS = {
    "gqa_disaggregated": ("search_spaces/quickstart", {"prefill.device": "h100_sxm", "decode.device": "h200_sxm"}),
    "gqa_colocated": ("search_spaces/quickstart", {"serving": "colocated", "decode.device": "mi355x"}),
    "own_part_and_host_memory": (
        "search_spaces/quickstart",
        {"prefill.device": "my_context_part", "decode.device": "gb300_nvl72", "decode.host_memory": 1e12},
    ),
    "mla_one_rack": ("tests/studies/trends", {"decode.device": "gb200_nvl72"}),
    "mla_taller_memory": ("tests/studies/trends", {"decode.device": "taller"}),
    "attention_offload": ("tests/studies/offload", {"serving": "attention_offload", "decode.second_device": "h20"}),
    "without_offload": ("tests/studies/offload", {"serving": "disaggregated"}),
    "dense_model": ("tests/studies/tiny", {"prefill.device": "b200_sxm", "decode.device": "h200_sxm"}),
    "pool_and_optics": (
        "tests/studies/small",
        {
            "prefill.device": "h200_sxm",
            "decode.device": "h100_sxm",
            "decode.second_device": "mi300x",
            "pool.technology": "cxl_ddr5",
            "pool.capacity": 4e12,
            "optical_bandwidth": 400e9,
        },
    ),
    "two_classes_colocated": ("tests/studies/small", {"serving": "colocated", "decode.device": "h200_sxm"}),
    "four_classes_rack": (
        "search_spaces/agentic_datacenter",
        {
            "prefill.device": "gb200_nvl72",
            "decode.device": "mi355x",
            "prefill.host_memory": 512e9,
            "decode.host_memory": 512e9,
            "weight_dtype": "fp8",
        },
    ),
    "four_classes_pooled_fabric": (
        "search_spaces/agentic_datacenter",
        {
            "prefill.device": "b200_sxm",
            "prefill.topology": "two_tier",
            "decode.device": "gb300_nvl72",
            "decode.topology": "nvl72",
            "decode.memory_scale": 1.0,
            "pool.technology": "lpddr5x",
            "pool.capacity": 2009509145207.66,
            "optical_bandwidth": 800e9,
            "weight_dtype": "fp8",
        },
    ),
}


@cache
def evaluator(study: str) -> Evaluator:
    return Evaluator.of(load(ROOT / f"{study}.yaml"))


def rendered(name: str) -> str:
    study, levers = SYSTEMS[name]
    own = evaluator(study)
    question = ask(own.problem)
    designs = question.space.encode({lever: nearest(own, lever, choice) for lever, choice in levers.items()})
    made = explanation(own, designs, {}, name)
    whole = replace(made.explanation(), effects=tornado(own, made.case, designs, question.goals))
    return "\n".join(explain_text.text(whole, every_effect=True)) + "\n"


def nearest(own: Evaluator, lever: str, choice: str | float) -> str | float | int:
    """Choice of the study, or the one next to a number."""
    offered = own.problem.levers[lever]
    if isinstance(choice, str):
        return choice
    return min(offered, key=lambda value: abs(float(value) - choice))


@pytest.mark.parametrize("name", SYSTEMS)
def test_the_explanation_does_not_drift(name):
    assert rendered(name) == (TEXTS / f"{name}.txt").read_text(encoding="utf-8")


def test_no_golden_is_left_over():
    assert {path.stem for path in TEXTS.glob("*.txt")} == set(SYSTEMS)


if __name__ == "__main__":
    for system in SYSTEMS:
        (TEXTS / f"{system}.txt").write_text(rendered(system), encoding="utf-8")
