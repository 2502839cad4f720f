from dataclasses import replace
from functools import cache
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dse.facts.problem import Problem, load
from dse.search.axes import Designs
from dse.search.evaluation import Evaluator, evaluate
from dse.search.metrics import Metrics
from dse.search.space import Space

ROOT = Path(__file__).parents[2]
STUDY = ROOT / "tests" / "studies" / "small.yaml"
OFFLOAD = ROOT / "tests" / "studies" / "offload.yaml"
FLAGSHIP = ROOT / "search_spaces" / "agentic_datacenter.yaml"
READING = 1.10
"""Percentiles are read between weighted atoms: a swap of two moves the reading by up to this."""
FEWER = 1.2
"""Quicker decode needs fewer devices, so less memory for waiting KV; none are bought for memory alone."""


@cache
def problem() -> Problem:
    return load(STUDY)


@cache
def evaluator() -> Evaluator:
    return Evaluator.of(problem())


@cache
def designs(count: int = 48, seed: int = 2) -> Designs:
    return Space.of(problem()).sample(count, seed)


@cache
def scored() -> Metrics:
    return evaluator()(designs())


def rows_of(metrics: Metrics, design: int, names: list[str]) -> np.ndarray:
    """Rows of one design, in a fixed order."""
    rows = np.stack([metrics.columns[name][metrics.design == design] for name in names], axis=1)
    return rows[np.lexsort(np.round(rows, 12).T)]


def best(metrics: Metrics, count: int, name: str) -> np.ndarray:
    """Least of a metric over the feasible mappings of each design; infinite where there is none."""
    least, fine = np.full(count, np.inf), metrics.feasible
    np.minimum.at(least, metrics.design[fine], metrics.columns[name][fine])
    return least


def improved(study: Problem, path: str, factor: float) -> Problem:
    """Study in which one number of every device is multiplied."""

    def value(part):
        for name in path.split("."):
            part = getattr(part, name)
        return part

    return study.with_values({f"devices.{name}.{path}": value(part) * factor for name, part in study.devices.items()})


def test_every_design_has_a_row():
    assert set(scored().design) == set(range(len(designs())))


def test_every_column_is_finite_and_as_long_as_the_designs_of_its_rows():
    metrics = scored()
    for name, column in metrics.columns.items():
        assert column.shape == metrics.design.shape, name
        assert np.isfinite(column).all(), name
    assert np.isfinite(metrics.violation).all()


def test_a_row_is_feasible_exactly_when_no_slack_is_negative():
    metrics = scored()
    slacks = np.stack([column for name, column in metrics.columns.items() if "slack" in name])
    assert ((slacks >= 0).all(axis=0) == metrics.feasible).all()


@settings(deadline=None, max_examples=4)
@given(st.integers(0, 10**6), st.integers(1, 12))
def test_a_block_of_n_is_n_blocks_of_one(seed, count):
    some = Space.of(problem()).sample(count, seed)
    whole = evaluator()(some)
    names = sorted(whole.columns)
    for design in range(len(some)):
        alone = evaluator()(some.take(slice(design, design + 1)))
        assert rows_of(whole, design, names) == pytest.approx(rows_of(alone, 0, names), rel=1e-12, abs=1e-300)


@settings(deadline=None, max_examples=3)
@given(st.integers(0, 10**6))
def test_the_order_of_designs_is_irrelevant(seed):
    order = np.random.default_rng(seed).permutation(len(designs()))
    shuffled = evaluator()(designs().take(order))
    names = ["cost", "throughput", "latency", "chat.cost", "web.ttft_p95"]
    for place in range(0, len(order), 7):
        assert (rows_of(shuffled, place, names) == rows_of(scored(), int(order[place]), names)).all()


def test_an_inert_lever_changes_nothing():
    rows = designs().rows.copy()
    names = designs().names
    pool, capacity = names.index("pool.technology"), names.index("pool.capacity")
    rows[:, pool] = 0
    small, large = rows.copy(), rows.copy()
    small[:, capacity], large[:, capacity] = 0, 1
    one, other = (evaluator()(Designs(part, names)) for part in (small, large))
    assert (one.columns["cost"] == other.columns["cost"]).all()
    assert (one.columns["latency"] == other.columns["latency"]).all()


def test_one_class_with_share_one_is_that_class_alone():
    alone = replace(problem(), agents=(replaced_share(problem().agents[0], 1.0),))
    metrics = evaluate(alone, designs())
    same = (
        "cost",
        "energy_per_task",
        "latency",
        "ttft_p95",
        "tpot",
        "task_latency",
        "hit_rate",
        "prefill_cost",
        "decode_cost",
    )
    for name in same:
        assert metrics.columns[name] == pytest.approx(metrics.columns[f"chat.{name}"], rel=1e-12), name
    with_others = evaluator()(designs())
    assert best(metrics, len(designs()), "chat.cost") == pytest.approx(best(with_others, len(designs()), "chat.cost"))


def replaced_share(agent, share):
    return agent._replace(share=share) if hasattr(agent, "_replace") else replace(agent, share=share)


@pytest.mark.parametrize(
    "name", ["cost", "energy_per_task", "prefill_seconds", "decode_seconds", "prefill_cost", "decode_cost"]
)
def test_a_mixture_asks_for_the_share_weighted_sum_of_its_classes(name):
    metrics = scored()
    total = sum(agent.share * metrics.columns[f"{agent.name}.{name}"] for agent in problem().agents)
    assert metrics.columns[name] == pytest.approx(total, rel=1e-12)


@pytest.mark.parametrize("name", ["latency", "ttft_p95", "tpot", "task_latency"])
def test_latency_of_a_mixture_is_that_of_its_worst_class(name):
    metrics = scored()
    worst = np.max([metrics.columns[f"{agent.name}.{name}"] for agent in problem().agents], axis=0)
    assert (metrics.columns[name] == worst).all()


def test_throughput_per_watt_is_the_inverse_of_energy_per_task_and_cost_the_sum_of_both_pools():
    columns = scored().columns
    assert columns["throughput"] * columns["energy_per_task"] == pytest.approx(np.ones(len(scored())))
    assert columns["prefill_cost"] + columns["decode_cost"] == pytest.approx(columns["cost"])


def test_no_row_of_a_design_is_beaten_by_another_in_cost_energy_and_latency():
    metrics = scored()
    names = ["cost", "energy_per_task", "latency"]
    for design in range(0, len(designs()), 5):
        rows = rows_of(metrics, design, names)
        beaten = (rows[None] <= rows[:, None]).all(axis=2) & (rows[None] < rows[:, None]).any(axis=2)
        assert not beaten.any()


def unpruned(study: Problem) -> Metrics:
    """Scores with tables that keep every undominated mapping, so that their resolution does not blur comparisons."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("dse.search.scoring.tables.RESOLUTION", 1e-6)
        return evaluate(study, designs())


@cache
def stock() -> Metrics:
    return unpruned(problem())


@pytest.mark.parametrize("factor", [1.1, 2.0])
@pytest.mark.parametrize(
    ("path", "allowed"),
    [
        ("memory.bandwidth", FEWER),
        ("memory.capacity", 1 + 1e-9),
        ("scale_up.bandwidth", 1 + 1e-9),
        ("scale_out.bandwidth", 1 + 1e-9),
        ("host_link.bandwidth", 1 + 1e-9),
        ("peak.bf16", 1 + 1e-9),
    ],
)
def test_a_better_device_never_has_a_worse_best_mapping(path, allowed, factor):
    count = len(designs())
    before, after = stock(), unpruned(improved(problem(), path, factor))
    known = np.isfinite(best(before, count, "cost"))
    assert np.isfinite(best(after, count, "cost"))[known].all()
    for name, limit in (("cost", allowed), ("energy_per_task", allowed), ("latency", READING)):
        assert (best(after, count, name)[known] <= best(before, count, name)[known] * limit).all(), name


def test_two_evaluators_of_one_problem_agree_to_the_last_bit():
    again = Evaluator.of(problem())(designs())
    for name, column in scored().columns.items():
        assert (again.columns[name] == column).all(), name


def served(workload: str, serving: str, second: str) -> Metrics:
    """Feasible rows of 70B decode on H100, its attention at home or on H20 with more memory per dollar."""
    policy = "compaction" if workload == "coding" else "append_only"
    overrides = {"agents.coding.workload": workload, "agents.coding.context_policy": policy}
    study = load(OFFLOAD, {**overrides, "levers.serving": f"[{serving}]", "levers.decode.second_device": f"[{second}]"})
    metrics = evaluate(study, Space.of(study).sample(1, 0))
    assert metrics.feasible.any()
    return metrics.take(metrics.feasible)


@pytest.mark.parametrize("workload", ["coding", "chat", "web_use"])
def test_attention_on_a_memory_rich_second_device_makes_decode_cheaper_at_equal_targets(workload):
    home, away = (served(workload, *pair).columns for pair in (("disaggregated", "none"), ("attention_offload", "h20")))
    assert away["decode_cost"].min() < home["decode_cost"].min()


def test_attention_offload_pays_most_where_contexts_are_longest():
    gain = {}
    for workload in ("coding", "web_use"):
        home, away = (served(workload, *pair) for pair in (("disaggregated", "none"), ("attention_offload", "h20")))
        gain[workload] = home.columns["decode_cost"].min() / away.columns["decode_cost"].min()
    assert gain["coding"] > gain["web_use"] > 1


def test_attention_offload_without_a_second_device_is_infeasible_by_its_slack():
    study = load(OFFLOAD, {"levers.serving": "[attention_offload]", "levers.decode.second_device": "[none]"})
    metrics = evaluate(study, Space.of(study).sample(1, 0))
    assert not metrics.feasible.any()
    assert (metrics.columns["slack_offload"] < 0).all()


def test_a_target_that_nothing_meets_is_a_slack_and_every_number_stays_finite():
    study = load(STUDY, {"agents.chat.slo": "{ttft: 1 ms, tpot: 1 ms}"})
    metrics = evaluate(study, Space.of(study).sample(40, 0))
    assert not metrics.feasible.any()
    assert len(metrics) == 40
    assert (metrics.columns["chat.slack_tpot"] < 0).all()
    assert all(np.isfinite(column).all() for column in metrics.columns.values())


@pytest.mark.slow
def test_no_number_of_the_flagship_is_infinite_or_missing():
    study = load(FLAGSHIP)
    metrics = evaluate(study, Space.of(study).sample(300, 11))
    assert set(metrics.design) == set(range(300))
    assert metrics.feasible.any()
    assert not metrics.feasible.all()
    for name, column in metrics.columns.items():
        assert np.isfinite(column).all(), name
