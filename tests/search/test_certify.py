"""Certificates: complete and true where a space can be enumerated, refused where they would speak of another model."""

import json
import math
import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from typer.testing import CliRunner

from dse.cli import app
from dse.facts.errors import SpecError
from dse.facts.problem import load
from dse.insight.runs import open_run
from dse.search.archive import gather
from dse.search.ask import ask
from dse.search.bounds.boxes import products
from dse.search.bounds.certificate import CERTIFICATE, stated
from dse.search.bounds.certify import Effort, beaten, certify
from dse.search.bounds.certify_run import certified
from dse.search.budget import budget
from dse.search.explore import Options, explore
from dse.search.metrics import scores
from dse.search.runs.run import SUMMARY, load_epoch

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def question():
    return ask(load(ROOT / "search_spaces" / "quickstart.yaml"))


@pytest.fixture(scope="module")
def whole(question):
    """Every row of the study."""
    designs = question.space.numbered(np.arange(question.space.size))
    return designs, question.evaluate(designs)


@pytest.fixture(scope="module")
def folder(question, tmp_path_factory):
    results = tmp_path_factory.mktemp("results")
    return explore(question, Options(budget("200 evaluations"), workers=1, results=results)).folder


def front_of(question, designs, metrics, kept):
    rows = metrics.take(np.isin(metrics.design, kept))
    return gather(rows, designs.rows[rows.design], question.goals)


def test_true_front_is_proved_exact(question, whole):
    designs, metrics = whole
    made = certify(question, front_of(question, designs, metrics, np.arange(len(designs))), Effort(0.0, 60.0))
    assert made.complete
    assert made.share == 1
    assert "proved exact" in made.sentence()


@pytest.mark.parametrize("epsilon", [0.0, 0.02, 0.3])
def test_poor_front_is_told_by_how_much_it_is_beaten(question, whole, epsilon):
    designs, metrics = whole
    usable = metrics.take(np.flatnonzero(metrics.feasible))
    front = front_of(question, designs, metrics, np.arange(0, len(designs), 7))
    lead = beaten(scores(usable, question.goals), front.scores)
    over = lead > np.log10(1 + epsilon) + 1e-9
    made = certify(question, front, Effort(epsilon, 60.0))
    assert made.left == 0
    assert made.beating == len(np.unique(usable.design[over]))
    assert made.beaten_by == pytest.approx(10 ** lead[over].max() - 1 if over.any() else 0.0)
    assert made.complete == (not over.any())


@pytest.mark.parametrize("epsilon", [0.02, 0.1, 1.0])
def test_bounds_alone_never_cover_a_design_that_beats_the_front(question, whole, epsilon, monkeypatch):
    """Nothing may be scored, so what is covered is covered by bounds; the truth is known."""
    monkeypatch.setattr(Effort, "payable", lambda effort, designs, bounded=0: False)
    designs, metrics = whole
    usable = metrics.take(np.flatnonzero(metrics.feasible))
    front = front_of(question, designs, metrics, np.arange(0, len(designs), 5))
    over = beaten(scores(usable, question.goals), front.scores) > np.log10(1 + epsilon) + 1e-9
    made = certify(question, front, Effort(epsilon, 60.0))
    assert made.covered <= len(designs) - len(np.unique(usable.design[over]))
    assert made.covered + made.infeasible + made.left == made.designs
    assert made.scored == made.beating == 0
    assert made.covered > 0 or epsilon < 1


@pytest.mark.parametrize("payable", [False, True])
def test_every_step_of_the_curve_is_true(question, whole, payable, monkeypatch):
    """Designs that beat the front by more than a margin are never among those that are proved within it."""
    if not payable:
        monkeypatch.setattr(Effort, "payable", lambda effort, designs, bounded=0: False)
    designs, metrics = whole
    usable = metrics.take(np.flatnonzero(metrics.feasible))
    front = front_of(question, designs, metrics, np.arange(0, len(designs), 11))
    lead = beaten(scores(usable, question.goals), front.scores)
    made = certify(question, front, Effort(0.1, 60.0))
    counts = [step.designs for step in made.curve]
    assert counts == sorted(counts)
    for step in made.curve:
        truth = len(designs) - len(np.unique(usable.design[lead > np.log10(1 + step.epsilon) + 1e-9]))
        assert step.designs == truth if payable else step.designs <= truth
    at = next(step for step in made.curve if step.epsilon == made.epsilon)
    assert at.designs == made.designs - made.left - made.beating
    smallest = made.smallest(0.9)
    assert smallest is None or next(s for s in made.curve if s.epsilon == smallest).designs >= 0.9 * len(designs)


def test_certificate_is_the_same_for_any_number_of_workers_when_counted_in_boxes(question, whole):
    designs, metrics = whole
    front = front_of(question, designs, metrics, np.arange(0, len(designs), 5))
    made = [
        certify(question, front, Effort(0.02, math.inf, boxes, workers)) for boxes in (40, 70) for workers in (1, 2)
    ]
    for one, two in (made[:2], made[2:]):
        assert replace(one, seconds=0.0) == replace(two, seconds=0.0)
    assert made[0].boxes <= 40
    assert made[0].rest
    assert sum(part.designs for part in made[0].rest) == made[0].left


def test_counts_add_up_when_the_time_is_over_at_once(question, whole):
    designs, metrics = whole
    made = certify(question, front_of(question, designs, metrics, np.arange(9)), Effort(0.05, 1e-9))
    assert made.infeasible + made.covered + made.scored + made.beating + made.left == made.designs
    assert made.left > 0
    assert "left" in made.sentence()
    assert {part.reason(made.epsilon) for part in made.rest} == {"not looked at before the end"}
    assert made.seconds < 10


@given(st.sets(st.tuples(st.integers(0, 4), st.integers(0, 4)), min_size=1))
def test_pairs_that_depend_on_each_other_are_cut_into_products(pairs):
    rows = np.array(sorted(pairs))
    made = products(rows[:, :1], rows[:, 1:])
    again = [(a, b) for first, second in made for a in first.ravel().tolist() for b in second.ravel().tolist()]
    assert sorted(again) == sorted(pairs)


def test_nothing_but_infeasible_parts_is_covered_for_an_objective_without_bound(tmp_path):
    text = (ROOT / "search_spaces" / "quickstart.yaml").read_text().replace("minimize latency]", "minimize ttft_p50]")
    (tmp_path / "study.yaml").write_text(text)
    asked = ask(load(tmp_path / "study.yaml"))
    designs = asked.space.numbered(np.arange(asked.space.size))
    metrics = asked.evaluate(designs)
    made = certify(asked, gather(metrics, designs.rows[metrics.design], asked.goals), Effort(0.05, 60.0))
    assert made.unbounded == ("ttft_p50",)
    assert made.covered == 0
    assert made.complete


def test_certificate_lies_in_the_run_folder_and_speaks_of_its_front(folder):
    made = certified(folder, Effort(0.0, 60.0))
    written = json.loads((folder / CERTIFICATE).read_text())
    assert written["sentence"] == made.sentence()
    now = load_epoch(folder).archive.scores
    assert stated(folder, now) == made.sentence()
    assert stated(folder, now + 0.1) is None


def test_certificate_is_quoted_where_only_tables_were_kept(folder, tmp_path):
    made = certified(folder, Effort(0.0, 1e-9))
    copy = tmp_path / "run"
    shutil.copytree(folder, copy, ignore=shutil.ignore_patterns("archive*", "study*", ".lock"))
    opened = open_run(str(copy), tmp_path)
    assert stated(copy, opened.front.archive.scores) == made.sentence()


def test_enumerated_front_needs_no_time(folder):
    made = certified(folder, Effort(0.0, 1e-9))
    assert made.complete
    assert made.scored == made.designs
    assert made.smallest(1.0) == 0


def test_sampled_front_is_certified_by_scoring_the_rest(question, tmp_path):
    made = explore(question, Options(budget("40 evaluations"), workers=1, results=tmp_path, sampler="random"))
    found = certified(made.folder, Effort(0.0, 60.0))
    assert found.left == 0
    assert found.beating > 0
    assert "continue the search" in found.sentence()


def test_run_of_which_only_tables_were_kept_is_certified_from_them(folder, tmp_path):
    copy = tmp_path / "run"
    shutil.copytree(folder, copy, ignore=shutil.ignore_patterns("archive*", "study*", ".lock"))
    assert certified(copy, Effort(0.0, 60.0)).complete


def test_run_of_another_model_is_refused_with_the_difference(folder, tmp_path):
    copy = tmp_path / "run"
    shutil.copytree(folder, copy, ignore=shutil.ignore_patterns("archive*", "study*", ".lock"))
    lines = (copy / "front.csv").read_text().splitlines()
    first = lines[1].split(",")
    first[1] = f"{1.1 * float(first[1]):.6g}"
    (copy / "front.csv").write_text("\n".join([lines[0], ",".join(first), *lines[2:]]) + "\n")
    with pytest.raises(SpecError, match=r"another version .* had cost"):
        certified(copy, Effort())


def test_run_of_another_catalog_is_refused_with_the_difference(folder, tmp_path):
    copy = tmp_path / "run"
    shutil.copytree(folder, copy)
    text = (copy / "problem.yaml").read_text()
    assert "seed: 0" in text
    (copy / "problem.yaml").write_text(text.replace("seed: 0", "seed: 1"))
    with pytest.raises(SpecError, match="another study"):
        certified(copy, Effort())


def test_command_prints_writes_and_refuses(folder):
    runner = CliRunner()
    done = runner.invoke(app, ["certify", str(folder), "--epsilon", "0", "--budget", "60s"])
    assert done.exit_code == 0, done.output
    assert "proved exact" in done.output
    assert max(map(len, done.output.splitlines()[:-1])) <= 100
    made = json.loads(runner.invoke(app, ["certify", str(folder), "--json"]).stdout)
    assert made["complete"]
    assert made["designs"] == 120
    assert (folder / SUMMARY).exists()
    assert "margins" in done.output
    for words in (["--budget", "20 evaluations"], ["--epsilon", "-3%"], ["--epsilon", "much"]):
        assert runner.invoke(app, ["certify", str(folder), *words]).exit_code == 2
    with pytest.raises(SpecError, match="no such run"):
        runner.invoke(app, ["certify", "nowhere"], catch_exceptions=False)
