"""What is publicly known of real systems, as trends: the sign always, the size where a figure is known."""

from pathlib import Path

import numpy as np
import pytest

from dse.facts.problem import load
from dse.search.evaluation import evaluate
from dse.search.fidelity import predict
from dse.search.fidelity.constants import constants
from dse.search.space import Space

STUDY = Path(__file__).parents[1] / "studies" / "trends.yaml"


class Found:
    """Metrics of all designs of the study with some of its numbers changed; designs by the choice of one lever."""

    def __init__(self, lever, **changes):
        problem = load(STUDY, {name.replace("__", "."): text for name, text in changes.items()})
        space = Space.of(problem)
        designs = next(iter(space.blocks()))
        self.metrics = evaluate(problem, designs)
        self.names = np.array(problem.levers[lever])[designs[lever]] if len(problem.levers[lever]) > 1 else None

    def rows(self, choice):
        mine = True if self.names is None else self.names[self.metrics.design] == choice
        return self.metrics.feasible & mine

    def least(self, choice, column="cost"):
        return self.metrics.columns[column][self.rows(choice)].min(initial=np.inf)

    def most(self, choice, column="tasks_per_s_device"):
        return self.metrics.columns[column][self.rows(choice)].max(initial=0.0)

    def cheapest(self, choice):
        rows = np.flatnonzero(self.rows(choice))
        row = rows[self.metrics.columns["cost"][rows].argmin()]
        return {name: float(values[row]) for name, values in self.metrics.columns.items()}


LONG = {"agents__user__workload": "coding", "agents__user__model": "qwen3_coder_480b"}
LONG |= {"agents__user__context_policy": "compaction", "agents__user__slo__tpot": "100 ms"}


def test_capacity_alone_buys_throughput_where_contexts_are_long():
    found = Found("decode.device", **LONG)
    for larger in ("taller", "gb300_nvl72"):
        assert found.most(larger) > 1.08 * found.most("gb200_nvl72")
    assert found.least("taller") < 0.95 * found.least("gb200_nvl72")


def test_capacity_buys_nothing_where_it_does_not_bind():
    found = Found("decode.device")
    assert found.most("taller") == pytest.approx(found.most("gb200_nvl72"), rel=0.01)


def domains(tpot):
    wide = {"levers__decode__device": "[gb200_nvl72]", "levers__decode__topology": "[nvl72, two_tier, nvl8]"}
    return Found("decode.topology", **wide, agents__user__slo__tpot=tpot)


def test_wide_domain_pays_on_a_large_mixture_of_experts_at_tight_tpot():
    tight, loose = domains("15 ms"), domains("50 ms")
    assert tight.most("nvl72") > 1.5 * tight.most("two_tier")  # eight wide, and network cards between the servers
    assert tight.most("nvl72") > 3 * tight.most("nvl8")  # eight wide, and no way out
    assert loose.most("nvl72") < 1.1 * loose.most("two_tier")
    assert tight.least("nvl72") < 0.7 * tight.least("two_tier")


@pytest.mark.parametrize("model", ["llama_3_1_70b", "deepseek_v3"])
def test_share_of_prefill_falls_as_the_limit_on_token_latency_tightens(model):
    """arXiv 2506.05508: a tighter limit needs more decode devices for the same prefill."""
    ratios = []
    for tpot in ("12 ms", "20 ms", "30 ms", "50 ms"):
        changes = {"agents__user__model": model, "agents__user__slo__tpot": tpot, "agents__user__slo__ttft": "10 s"}
        found = Found("serving", levers__prefill__device="[h100_sxm]", levers__decode__device="[h100_sxm]", **changes)
        best = found.cheapest("disaggregated")
        ratios.append(best["prefill_seconds"] / best["decode_seconds"])
    assert np.all(np.diff(ratios) > 0)
    assert ratios[-1] > 3 * ratios[0]


def gain(workload, model, tpot="25 ms"):
    """Cost of one pool for both phases over cost of two."""
    changes = {
        "agents__user__workload": f"{workload}.yaml",
        "agents__user__model": model,
        "agents__user__slo__tpot": tpot,
    }
    both = {"levers__serving": "[disaggregated, colocated]"}
    found = Found(
        "serving", levers__prefill__device="[h200_sxm]", levers__decode__device="[h200_sxm]", **both, **changes
    )
    return found.least("colocated") / found.least("disaggregated")


def test_disaggregation_pays_for_long_prompts_and_large_models():
    large = [gain(workload, "deepseek_v3") for workload in ("prompt_heavy", "balanced", "answer_heavy")]
    small = [gain(workload, "llama_3_1_8b") for workload in ("prompt_heavy", "balanced", "answer_heavy")]
    assert large[0] > large[1] > large[2]
    assert small[0] > small[1] > small[2]
    assert large[1] > small[1]
    assert large[0] > 1.5
    assert small[2] < 1.02


def test_prefix_in_hbm_in_dram_or_computed_again():
    """64k tokens of an 8B model on a part with the rates of an H20: 0.11 s, 0.27 s over 54 GB/s, 15 s in public.

    The length of the new request is not published; 200 tokens take about the first figure. The last is 43 % high: a
    part of few FLOP/s keeps its clocks and reaches a larger share of its peak than those behind the constants do.
    """
    one, prefix, fresh = np.ones(1), 65_536.0, 200.0

    def spent(new, cached):
        dtype = ("bf16",)
        points = predict.Points(
            ("llama_3_1_8b",), ("h20",), *(one for _ in range(6)), new * one, cached * one, dtype, dtype, dtype, dtype
        )
        return {name: column[0] for name, column in predict.predict(points, constants().calibration).items()}

    kept, again = spent(fresh, prefix), spent(prefix, 0.0)
    restored = kept["seconds"] + again["kv_bytes"] / 54e9
    assert kept["seconds"] == pytest.approx(0.11, rel=0.3)
    assert restored == pytest.approx(0.27, rel=0.15)
    assert again["seconds"] == pytest.approx(15, rel=0.45)
