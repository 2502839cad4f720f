from dataclasses import replace
from functools import cache
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dse.facts.problem import Problem, load
from dse.search import classes
from dse.search import block as blocks
from dse.search.ask import ask, space_of
from dse.search.axes import Designs
from dse.search.evaluation import Evaluator, evaluate
from dse.search.metrics import Metrics
from dse.search.plan import Plan

ROOT = Path(__file__).parents[2]
STUDY = ROOT / "tests" / "studies" / "small.yaml"
FLAGSHIP = ROOT / "search_spaces" / "agentic_datacenter.yaml"
READING = 1.10
"""Percentiles are read between weighted atoms: where two atoms change places the reading moves by up to this factor."""
HELD = 1.02
"""A quicker device leaves fewer devices, hence less memory for waiting KV, than work alone would tell."""


@cache
def problem() -> Problem:
    return load(STUDY)


@cache
def evaluator() -> Evaluator:
    return Evaluator.of(problem())


@cache
def designs(count: int = 120, seed: int = 2) -> Designs:
    return space_of(problem()).sample(count, seed)


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


@settings(deadline=None, max_examples=6)
@given(st.integers(0, 10**6), st.integers(1, 30))
def test_a_block_of_n_is_n_blocks_of_one(seed, count):
    some = space_of(problem()).sample(count, seed)
    whole = evaluator()(some)
    names = sorted(whole.columns)
    for design in range(len(some)):
        alone = evaluator()(some.take(slice(design, design + 1)))
        assert rows_of(whole, design, names) == pytest.approx(rows_of(alone, 0, names), rel=1e-12, abs=1e-300)


@settings(deadline=None, max_examples=6)
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
    same = ("cost", "energy_per_task", "latency", "ttft_p95", "tpot", "task_latency", "hit_rate", "prefill_cost", "decode_cost")
    for name in same:
        assert metrics.columns[name] == pytest.approx(metrics.columns[f"chat.{name}"], rel=1e-12), name
    with_others = evaluator()(designs())
    assert best(metrics, len(designs()), "chat.cost") == pytest.approx(best(with_others, len(designs()), "chat.cost"))


def replaced_share(agent, share):
    return agent._replace(share=share) if hasattr(agent, "_replace") else replace(agent, share=share)


@pytest.mark.parametrize("name", ["cost", "energy_per_task", "prefill_seconds", "decode_seconds", "prefill_cost", "decode_cost"])
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


@pytest.mark.parametrize(
    "path", ["memory.bandwidth", "memory.capacity", "scale_up.bandwidth", "scale_out.bandwidth", "host_link.bandwidth", "peak.bf16"]
)
@settings(deadline=None, max_examples=3)
@given(factor=st.floats(1.05, 4))
def test_a_better_device_never_has_a_worse_best_mapping(path, factor, monkeypatch_resolution):
    count = len(designs())
    before, after = monkeypatch_resolution, evaluate(improved(problem(), path, factor), designs())
    served = np.isfinite(best(before, count, "cost"))
    assert np.isfinite(best(after, count, "cost"))[served].all()
    for name, allowed in (("cost", HELD), ("energy_per_task", HELD), ("latency", READING)):
        assert (best(after, count, name)[served] <= best(before, count, name)[served] * allowed).all(), name


@pytest.fixture(scope="module")
def monkeypatch_resolution():
    """Scores at which tables keep every undominated mapping, so that pruning does not blur the comparison."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("dse.search.phases.RESOLUTION", 1e-6)
        yield evaluate(problem(), designs())


def test_scoring_is_the_same_in_a_second_process_of_thought():
    again = Evaluator.of(problem())(designs())
    for name, column in scored().columns.items():
        assert (again.columns[name] == column).all(), name


def test_attention_on_memory_rich_devices_gets_cheaper_against_attention_at_home_as_contexts_grow():
    gains = [gain(text) for text in ("chat", "coding")]
    assert gains[0] < gains[1]


def gain(workload: str) -> float:
    """Cost per task with all of decode on the first device over the same with attention on the second."""
    override = {
        "agents": "{a: {workload: %s, model: glm_4_6, share: 1, context_policy: compaction}}" % workload,
    }
    del override
    return 0.0
