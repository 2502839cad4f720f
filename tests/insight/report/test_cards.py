"""The numbers behind each card: every figure may be judged without looking at it."""

from pathlib import Path

import numpy as np
import pytest

from dse.facts.problem import load
from dse.insight import wording
from dse.insight.notebook import explore
from dse.insight.report import designs, health
from dse.insight.report.cards import choices, history, knees, parallel, pareto, plane, sources, terms, topology, tray
from dse.insight.report.cards import verdict as verdict_card
from dse.insight.report.importance import importance
from dse.insight.report.scene import Scene
from dse.search import pareto as sets


def test_verdict_has_three_sentences_that_link_to_existing_cards(scene, cards):
    own = verdict_card.data(scene)
    assert len(own.main) == 3
    assert own.main[0].subject == "cheapest"
    keys = {card.key for card in cards.values()}
    assert {key for key, _ in verdict_card.FIGURES.values()} <= keys


def test_badges_say_status_coverage_price_date_and_hash(scene):
    words = verdict_card.badges(scene)
    assert words[:3] == ["analytic estimate", "exhaustive: exact front", "prices 2026-02"]
    assert words[3].removeprefix("study ") == scene.opened.run.manifest["input_sha256"][:8]


def test_table_lists_the_front_in_shown_units(scene):
    table = designs.data(scene)
    assert len(table.ids) == len(scene.rows)
    cheapest = table.ids.index(scene.front.ids[0])
    assert table.values["cost"][cheapest] == pytest.approx(scene.front.objectives(0)["cost"], rel=1e-3)
    assert table.values["tpot"][cheapest] == pytest.approx(1e3 * scene.values("tpot")[0], rel=1e-3)
    assert set(table.letters) - {""} == {pick.letter for pick in scene.picks}


def test_page_and_terminal_round_to_the_same_digits(scene):
    """The page rounds once: what it holds must lead to the cells of the terminal's tables."""
    table = designs.data(scene)
    for goal in scene.goals:
        size = wording.display(goal.name, goal.unit).size
        exact = scene.values(goal.name, scene.rows) / size
        held = np.array(table.values[goal.name])
        lettered = [place for place, letter in enumerate(table.letters) if letter]
        assert [wording.cell(held[place]) for place in lettered] == [wording.cell(exact[place]) for place in lettered]
        assert np.allclose(held, exact, rtol=1e-6)


def test_scored_designs_include_an_unfinished_batch(tmp_path):
    """A budget that ends within a batch leaves designs in the tail of the archive; the page counts them."""
    study = Path(__file__).parents[2] / "studies" / "small.yaml"
    made = explore(load(study, {"budget": "20 evaluations"}), results=tmp_path, workers=1)
    ledger = Scene(made.opened).ledger
    assert ledger is not None
    assert len(ledger.rows) == made.opened.run.summary["evaluations"]


def test_map_density_counts_every_feasible_point(scene):
    own = pareto.data(scene)
    assert np.nansum(own.density) == own.scored > 0
    assert (own.x.key, own.y.key, own.colour.key) == ("cost", "throughput", "latency")


def test_almost_pareto_designs_are_within_two_percent_of_the_front(scene):
    scores, _ = pareto.cloud(scene)
    gap = sets.shortfall(scores, scene.front.archive.scores)
    close = (gap > 0) & (gap <= np.log10(1.02))
    near = pareto.data(scene).near
    assert 0 < len(near) <= min(int(close.sum()), pareto.MOST_NEAR)
    shown = 10.0 ** scores[close][:, 0]
    assert all(np.isclose(shown, cost, rtol=1e-9).any() for cost in near[:, 0])


def test_knee_cards_are_at_most_five_and_complete(scene):
    found = knees.data(scene)
    assert 3 <= len(found) <= 5
    for knee in found:
        assert sum(part.share for part in knee.price) == pytest.approx(1, abs=1e-6)
        assert all(0 <= own.place <= 1 for own in knee.standing)
        slacks = [limit.slack for limit in knee.limits]
        assert slacks == sorted(slacks)
        for _, parts in knee.terms.values():
            assert sum(part.share for part in parts) == pytest.approx(1, abs=0.02)
        assert knee.picture.startswith("<svg")


def test_best_of_an_objective_stands_at_the_best_end(scene):
    cheapest = next(knee for knee in knees.data(scene) if "cheapest" in knee.reason)
    assert cheapest.standing[0].place == pytest.approx(1)


def test_terms_along_the_front_add_up_to_the_mean_time_of_a_task(scene):
    own = terms.data(scene)
    assert np.allclose(own.shares.sum(axis=1), 1)
    assert (own.shares >= 0).all()
    row = terms.stations(scene)[0]
    total = sum(terms.causes(scene.case(row), scene.shares).values())
    stored = sum(
        share * scene.values(f"{agent}.task_latency")[row]
        for share, agent in zip(scene.shares, scene.agents, strict=True)
    )
    assert total == pytest.approx(float(stored), rel=0.02)


def test_stations_run_from_cheap_to_dear_with_all_letters(scene):
    rows = terms.stations(scene)
    cost = scene.values("cost", rows)
    assert (np.diff(cost) >= 0).all()
    assert set(scene.letters) <= set(rows)


def test_trajectories_pass_through_the_regimes_that_explain_tells(scene):
    pick = scene.shown[0]
    told = {regime.phase: regime for own in scene.explained(pick.row).classes for regime in own.regimes}
    for path in plane.data(scene).paths[0]:
        assert path.ridge == pytest.approx(told[path.phase].ridge, rel=1e-6)
        if path.phase == "decode":
            assert path.at[0] == pytest.approx(told["decode"].oi, rel=0.05)
            assert path.at[1] == pytest.approx(told["decode"].cf_request, rel=0.05)


def test_longer_context_raises_the_footprint(scene):
    for path in (path for paths in plane.data(scene).paths for path in paths):
        assert (np.diff(path.cf) > 0).all()


def test_attained_rate_stays_under_its_roof(scene):
    for path in (path for paths in plane.data(scene).paths for path in paths):
        assert path.rate <= min(path.peak, path.bandwidth * path.intensity) * 1.001


def test_parallel_axes_are_decades_with_their_values_as_words(scene):
    own = {axis.key: axis for axis in parallel.data(scene).axes}
    cost = own["cost"]
    assert 10 ** min(cost.values) == pytest.approx(scene.values("cost", scene.rows).min(), rel=1e-3)
    assert [10**tick for tick in cost.ticks] == pytest.approx([float(word) for word in cost.words])
    assert set(own["decode.device"].values) == set(own["decode.device"].ticks)


def test_importance_finds_the_lever_that_decides_and_no_other():
    rng = np.random.default_rng(3)
    rows = rng.integers(0, 5, (300, 4)).astype(np.int16)
    found = importance(rows, (5, 5, 5, 5), np.abs(rows[:, 2] - 3.0) + 0.01 * rng.random(300))
    assert found.share[2] > 0.9
    assert found.best[2] == 3


def test_importance_of_noise_is_nothing_or_little():
    rng = np.random.default_rng(4)
    rows = rng.integers(0, 3, (300, 6)).astype(np.int16)
    found = importance(rows, (3,) * 6, rng.random(300))
    assert (found.value <= found.chance).mean() >= 0.5


def test_choices_share_out_what_is_above_chance(scene):
    own = choices.data(scene)
    sums = own.share.sum(axis=0)
    assert all(total == pytest.approx(1) or total == 0 for total in sums)
    assert own.feasible <= own.sampled


def test_exhaustive_run_has_no_history_figure(scene, cards):
    assert history.data(scene).exhaustive
    assert "exact front" in cards["history"].html
    assert not cards["history"].figures


def test_late_gain_is_the_part_added_by_the_last_quarter():
    assert history.late_gain(np.array([25.0, 50, 75, 100]), np.array([1.0, 2, 3, 4])) == pytest.approx(0.25)


def test_every_health_check_says_a_sentence(scene):
    found = health.checks(scene)
    assert len(found) == len(health.ALWAYS) + len(health.WITH_FRONT)
    assert all(own.state in ("pass", "look", "problem") for own in found)
    assert not [own for own in found if own.sentence.startswith("could not be told")]


def test_failing_health_check_says_so():
    def broken(_):
        raise ValueError("no data")

    own = health._checked(broken, None)
    assert (own.state, own.sentence) == ("look", "could not be told: no data")


def test_old_prices_are_noticed(scene):
    assert health._months("2026-02") - health._months("2025-01") == 13
    assert health.prices(scene).state == "pass"


def test_sources_state_error_inputs_and_command(scene):
    own = sources.data(scene)
    kinds = {(error.figure, error.kind) for error in own.errors}
    assert ("one decode step", "left out of the fit") in kinds
    assert any(line.estimate for line in own.inputs)
    assert own.command.startswith("dse run")


def test_tray_compares_the_lettered_designs(scene):
    own = tray.data(scene)
    assert len(own.names) + 1 <= 8
    assert all(len(row) == len(own.names) + 1 for row in own.rows)


def test_pictures_know_every_listed_design(scene):
    own = topology.data(scene)
    assert len(own.systems) == len(scene.rows)
    assert all(0 <= item.utilisation <= 1 + 1e-6 for item in own.systems)
    assert all(item.bandwidth > 0 for item in own.systems)
    assert {key for keys in own.uses.values() for key in keys} == set(own.fabrics)
