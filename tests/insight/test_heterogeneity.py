"""What mixing device types buys: held against the best of each type, and doubted as much as everything else."""

import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from dse.facts.problem import load
from dse.insight.decision import mixing, single
from dse.insight.decision.compare_runs import compare_runs
from dse.insight.decision.perturbed import Outcome
from dse.insight.notebook import explore, open_run
from dse.insight.report.cards import compare as compare_card
from dse.insight.report.cards import pareto, specifications
from dse.insight.report.scene import Scene
from dse.insight.sensitivity import questions
from dse.insight.shortlist import MIXING, SINGLE
from dse.insight.verdict import unsure, verdict
from dse.search import pareto as fronts
from dse.search.metrics import Goal
from dse.search.verdict import homogeneous

STUDY = (Path(__file__).parents[1] / "studies" / "tiny.yaml").read_text()


def test_the_best_of_each_type_is_of_one_type_and_stands_in_the_summary(run):
    opened = run.opened
    listed = opened.run.summary.get(SINGLE, ())
    systems = single.systems_of(opened)
    assert (systems is None) == (not listed)
    if systems is None:
        return
    space = opened.run.question.space
    assert homogeneous(space, systems.designs.rows).all()
    goals = opened.run.question.goals
    for column, goal in enumerate(goals):
        best = [item["objectives"][goal.name] for item in listed]
        lead = opened.front.objectives(int(np.argmin(opened.front.archive.scores[:, column])))[goal.name]
        factor = lead / max(best) if goal.maximize else min(best) / lead
        assert opened.run.summary["heterogeneity"][goal.name] == pytest.approx(factor, rel=1e-6)


def test_a_gain_is_the_best_of_all_over_the_best_of_one_type():
    goals = [Goal("cost", False, "$"), Goal("rate", True, "1")]
    values = np.array([[[1.0, 4.0], [2.0, 2.0]], [[3.0, 1.0], [2.0, 2.0]], [[1.0, 1.0], [2.0, 2.0]]])
    feasible = np.array([[True, True], [True, True], [True, False]])
    found = mixing.gains(Outcome(values, feasible), goals, np.array([False, True]))
    assert found[:2].tolist() == [[pytest.approx(2), pytest.approx(2)], [pytest.approx(1), pytest.approx(1)]]
    assert np.isinf(found[2]).all()


def test_the_chance_of_a_gain_is_the_same_in_summary_and_verdict(single):
    opened = single.opened
    kept = opened.run.summary.get(MIXING)
    assert kept is not None
    again = mixing.mixing(opened)
    assert again is not None
    assert again.json() == kept
    assert all(
        0 <= item["likely"] <= 1 and item["p10"] <= item["p50"] <= item["p90"] for item in kept["objectives"].values()
    )
    said = {sentence.subject: sentence.text for sentence in verdict(opened.problem, opened.run)}
    assert unsure(kept) in said["heterogeneity"]


def test_letters_stay_when_only_the_table_of_a_front_is_kept(single, tmp_path):
    whole = single.opened
    folder = tmp_path / "kept"
    shutil.copytree(whole.run.folder, folder)
    for name in ("archive.npz", "archive.previous.npz"):
        (folder / name).unlink(missing_ok=True)
    listed = open_run(str(folder)).opened
    assert listed.front.listed_as
    moved = replace(listed.front, archive=listed.front.archive)
    assert len(moved) == len(listed.front)
    named = [[(pick.letter, own.front.ids[pick.row], pick.reason) for pick in own.picks] for own in (whole, listed)]
    assert named[0] == named[1]


def test_every_hypervolume_is_measured_from_the_point_of_the_run(single):
    opened = single.opened
    assert opened.reference is not None
    volume = fronts.hypervolume(opened.front.archive.scores[: len(opened.front)], opened.reference)
    assert volume == pytest.approx(opened.run.summary["hypervolume"], rel=1e-9)
    assert compare_runs(opened, opened).volume == pytest.approx((volume, volume))


def test_the_run_before_is_told_by_time_not_by_name(tmp_path):
    (tmp_path / "study.yaml").write_text(STUDY)
    made = [explore(load(tmp_path / "study.yaml"), results=tmp_path, workers=1) for _ in range(2)]
    named = made[0].folder.parent / "reference"
    shutil.move(made[0].folder, named)
    older, newer = open_run(str(named)).opened, made[1].opened
    assert compare_card.previous(newer) == named.resolve()
    assert compare_card.previous(older) is None
    assert compare_runs(older, newer).inputs == {}


def test_rings_of_the_map_are_the_designs_that_mostly_stay_on_the_front(single):
    scene = Scene(single.opened)
    own = pareto.data(scene)
    shares = dict(zip(scene.robustness.rows, scene.robustness.front, strict=True))
    rows = scene.rows.tolist()
    assert all((shares[row] >= pareto.ROBUST) == (place in own.robust) for place, row in enumerate(rows))
    roles = [trace.meta["role"] for trace in pareto.figure(own).data]
    assert ("robust" in roles) == bool(own.robust)


def test_the_page_and_the_command_answer_a_question_with_the_same_numbers(tmp_path):
    text = STUDY.replace("levers:", "levers:\n  optical_bandwidth: [0 GB/s, 200 GB/s]", 1)
    (tmp_path / "study.yaml").write_text(text)
    opened = explore(load(tmp_path / "study.yaml"), results=tmp_path, workers=1).opened
    item = questions.asked(opened, specifications.QUESTION)[0]
    assert specifications.data(opened).curve.json() == questions.answer(opened, item).json()
