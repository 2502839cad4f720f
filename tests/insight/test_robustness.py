"""Unknowns are sampled as stated, followed exactly, and summed up to shares and indices that closed forms confirm."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from scipy import stats

from dse.facts.metrics import Requirement
from dse.facts.problem import Range, load
from dse.insight.decision import doubts, overturn, robustness, unknowns
from dse.insight.decision.completion import completed
from dse.insight.decision.doubts import Unknown
from dse.insight.decision.perturbed import Outcome, Rescorer
from dse.insight.notebook import explore, open_run
from dse.insight.runs import Opened
from dse.insight.sensitivity import held
from dse.search.axes import Designs
from dse.search.evaluation import Evaluator
from dse.search.metrics import Goal

STUDY = (Path(__file__).parents[1] / "studies" / "tiny.yaml").read_text()


def of(run) -> tuple[Opened, np.ndarray, tuple[Unknown, ...]]:
    opened = run.opened
    rows = robustness.listed(opened)
    return opened, rows, doubts.unknowns(opened.problem, robustness.devices_of(opened.front, rows.tolist()))


def stated(own) -> dict[str, np.ndarray]:
    return {item.path: np.array([item.stated]) for item in own}


def systems(opened: Opened, rows: np.ndarray) -> held.Systems:
    archive = opened.front.archive
    names = tuple(axis.name for axis in opened.run.question.space.axes)
    used = {name: values[rows] for name, values in archive.metrics.mapping.items()}
    return held.Systems(Designs(archive.rows[rows], names), used)


def columns(metrics, goals) -> np.ndarray:
    return np.stack([metrics.columns[goal.name] for goal in goals], axis=1)


def test_nothing_changes_at_the_stated_numbers(run):
    opened, rows, own = of(run)
    outcome = Rescorer.of(opened, rows, own)(stated(own))
    goals = opened.front.question.goals
    expected = np.stack([opened.front.archive.metrics.columns[goal.name][rows] for goal in goals], axis=1)
    np.testing.assert_allclose(outcome.values[0], expected, rtol=1e-9)
    assert outcome.feasible.all()


def test_any_prices_give_what_the_evaluation_gives(run):
    """Capital is linear in prices and a product with the margin; an ownership rate's level follows the other shares."""
    opened, rows, own = of(run)
    rng = np.random.default_rng(7)
    drawn = {item.path: float(rng.uniform(item.range.low, item.range.high)) for item in own if item.kind == "price"}
    values = stated(own) | {path: np.array([value]) for path, value in drawn.items()}
    found = Rescorer.of(opened, rows, own)(values).values[0]
    plan, problem = Evaluator.of(opened.problem).plan, opened.problem.with_values(drawn)
    (metrics,) = held.scored(plan, systems(opened, rows), [held.Scenario(problem)])
    np.testing.assert_allclose(found, columns(metrics, opened.front.question.goals), rtol=1e-9)


def test_an_error_of_the_model_scales_the_time_of_its_phase(single):
    opened, rows, own = of(single)
    slower = stated(own) | {"time.decode": np.array([1.2])}
    before, after = (Rescorer.of(opened, rows, own)(values) for values in (stated(own), slower))
    cost, throughput, latency = (after.values[0] / before.values[0]).T
    assert ((cost > 1) & (cost < 1.2 + 1e-9)).all()
    assert ((throughput < 1) & (throughput > 1 / 1.2 - 1e-9)).all()
    assert (latency > 1).all()


def test_shares_mix_the_classes(run):
    opened, rows, own = of(run)
    agents = [agent.name for agent in opened.problem.agents]
    if len(agents) == 1:
        assert not [item for item in own if item.kind == "share"]
        return
    share = {"chat": 0.5, "web": 0.25}
    values = stated(own) | {f"agents.{name}.share": np.array([share[name]]) for name in agents}
    found = Rescorer.of(opened, rows, own)(values).values[0, :, 0]
    metrics = opened.front.archive.metrics.columns
    mixed = sum(share[name] / 0.75 * metrics[f"{name}.cost"][rows] for name in agents)
    np.testing.assert_allclose(found, mixed, rtol=1e-9)


def test_another_number_is_exact_at_the_ends_of_its_range(single):
    opened, rows, own = of(single)
    path, low = "serving.utilisation", 0.6
    item = Unknown(path, "other", Range(low, 0.7, 0.8), "1", True, "", opened.problem.serving.utilisation)
    values = stated(own) | {path: np.array([low])}
    found = Rescorer.of(opened, rows, (*own, item))(values)
    plan, problem = Evaluator.of(opened.problem).plan, opened.problem.with_values({path: low})
    (metrics,) = held.scored(plan, systems(opened, rows), [held.Scenario(problem)])
    np.testing.assert_allclose(found.values[0], columns(metrics, opened.front.question.goals), rtol=1e-9)
    assert (found.feasible[0] == metrics.feasible).all()


def test_the_share_of_feasible_samples_is_that_of_a_linear_case(single):
    """Cost is linear in the price of electricity, so a limit on cost is met with the distribution of that price."""
    opened, rows, own = of(single)
    item = next(item for item in own if item.path == "prices.electricity")
    row = rows[:1]
    place = 0.3 * item.range.low + 0.7 * item.range.high
    limit = float(Rescorer.of(opened, row, [item])({item.path: np.array([place])}).values[0, 0, 0])
    limited = Requirement.model_validate(f"cost <= {limit!r} $/task")
    bound = Opened(replace(opened.problem, require=(limited,)), opened.run, opened.name)
    cube = stats.qmc.Sobol(1, rng=np.random.default_rng(0)).random(1024)
    outcome = Rescorer.of(bound, row, [item])(doubts.sampled([item], cube))
    low, likely, high = item.range
    expected = stats.triang.cdf(place, (likely - low) / (high - low), low, high - low)
    assert 0.05 < expected < 0.95
    assert outcome.feasible.mean() == pytest.approx(expected, abs=3e-3)


def test_samples_follow_their_ranges():
    price = Unknown("prices.optics", "price", Range(1.0, 2.0, 5.0), "$", True, "", 2.0)
    common, own = (
        Unknown(path, "time", Range(0.8, 1.0, 1.3), "1", True, "", 1.0) for path in ("time.decode", "time.decode.x")
    )
    cube = stats.qmc.Sobol(3, rng=np.random.default_rng(0)).random(4096)
    drawn = doubts.sampled([price, common, own], cube)
    assert drawn["prices.optics"].min() >= 1.0
    assert drawn["prices.optics"].max() <= 5.0
    assert drawn["prices.optics"].mean() == pytest.approx(8 / 3, rel=1e-3)
    one = stats.norm.cdf(1.0)
    for factor in (drawn["time.decode"], drawn["time.decode.x"]):
        assert np.median(factor) == pytest.approx(1.0, abs=2e-3)
        assert np.quantile(factor, one) == pytest.approx(1.3 ** np.sqrt(0.5), rel=5e-3)
        assert np.quantile(factor, 1 - one) == pytest.approx(0.8 ** np.sqrt(0.5), rel=5e-3)
    spread = np.log(drawn["time.decode"] * drawn["time.decode.x"]).std()
    assert -np.log(0.8) * 0.9 < spread < np.log(1.3) * 1.1


def test_a_range_of_the_study_replaces_that_of_the_catalog(tmp_path):
    text = (
        STUDY
        + "uncertainties: {prices.optics.likely: [1 $/(GB/s), 6 $/(GB/s), 9 $/(GB/s)], serving.affinity: [0.9, 1, 1]}\n"
    )
    (tmp_path / "study.yaml").write_text(text)
    problem = load(tmp_path / "study.yaml")
    own = {item.path: item for item in doubts.unknowns(problem, ["h200_sxm"])}
    assert own["prices.optics"].range.high == pytest.approx(9e-9)
    assert own["prices.optics"].kind == "price"
    assert own["serving.affinity"].kind == "other"
    assert "prices.optics.likely" not in own


def test_a_design_leads_unless_it_is_infeasible_or_beaten():
    goals = [Goal("cost", False, "$"), Goal("gain", True, "1")]
    values = np.array([[[1.0, 1.0], [2.0, 2.0], [2.0, 0.5]], [[1.0, 1.0], [2.0, 2.0], [2.0, 0.5]]])
    feasible = np.array([[True, True, True], [False, True, True]])
    leads, behind = robustness.led(Outcome(values, feasible), goals)
    assert leads.tolist() == [[True, True, False], [False, True, False]]
    assert behind[0, 2] == pytest.approx(0.5)
    assert behind[1, 0] == 0


def test_shares_of_a_run_are_shares_and_robust_knees_are_sound(run):
    own = robustness.robustness(run.opened, samples=32)
    assert ((own.front <= own.feasible) & (own.feasible <= 1)).all()
    assert (np.diff(own.ranges, axis=2) >= 0).all()
    knees = robustness.robust_knees(run.opened, own)
    assert set(knees) <= set(own.rows)
    bar = min(robustness.FEASIBLE, own.feasible.max())
    assert all(own.feasible[own.place(row)] >= bar for row in knees)


def test_a_study_that_asks_for_robust_designs_gets_them_as_knees(tmp_path):
    (tmp_path / "study.yaml").write_text(STUDY + "robust: true\n")
    made = explore(load(tmp_path / "study.yaml"), results=tmp_path / "results", workers=1)
    rows = made.opened.run.summary["robust"]["rows"]
    again = open_run(str(made.folder)).opened
    lettered = {pick.row for pick in again.picks}
    best = {int(np.argmin(again.front.archive.scores[:, goal])) for goal in range(3)}
    assert lettered == set(rows) | best
    assert completed(again.problem, again.run).summary["robust"]["rows"] == rows


def test_indices_of_a_sum_are_the_shares_of_its_variances():
    weights = np.array([1.0, 2.0, 3.0])

    def function(cube: np.ndarray) -> np.ndarray:
        return np.stack([weights @ cube, np.ones(cube.shape[1])])

    found = unknowns.indices(function, 3, 2048, seed=1)
    np.testing.assert_allclose(found[:, 0], weights**2 / (weights**2).sum(), atol=5e-3)
    assert (found[:, 1] == 0).all()


def test_importance_ranks_what_moves_the_objectives(single):
    own = unknowns.importance(single.opened, samples=32)
    largest = own.total.max(axis=(1, 2))
    assert (np.diff(largest) <= 0).all()
    table = dict(zip((item.path for item in own.unknowns), own.by_goal, strict=True))
    goals = [goal.name for goal in own.goals]
    assert table["prices.depreciation"][goals.index("cost")] > 0.05
    assert table["prices.depreciation"][goals.index("latency")] < 1e-9
    first = unknowns.next_measurement(own)
    assert first is not None
    assert first.estimate
    assert first.path not in unknowns.SETTLED


def test_each_unknown_alone_moves_a_design_the_way_it_must(single):
    opened = single.opened
    row = opened.picks[0].row
    found = {swing.unknown.path: swing for swing in overturn.swings(opened, [row])[row]}
    goals = [goal.name for goal in opened.front.question.goals]
    cost, throughput = goals.index("cost"), goals.index("throughput")
    life, power = found["prices.depreciation"], found["prices.pue"]
    assert life.low.changes[cost] > 0 > life.high.changes[cost]
    assert power.high.changes[throughput] < 0
    assert found["time.decode"].high.changes[throughput] < 0
    beaten = [swing for swing in found.values() if swing.overturns]
    assert all(
        swing.low.behind + swing.high.behind > 0 or not (swing.low.leads and swing.high.leads) for swing in beaten
    )
