"""The replay as second fidelity: a real child process replays the promising designs; its figures stay apart."""

import csv
import json
import shutil
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import pytest

from dse.facts.errors import SpecError
from dse.facts.external import SIMULATED
from dse.facts.problem import load
from dse.insight.replays.second import Second, served_share
from dse.insight.runs import open_run
from dse.insight.verdict import verdict
from dse.search.ask import ask
from dse.search.budget import budget
from dse.search.explore import explore
from dse.search.runs import promising, run
from dse.search.session import Options

TESTS = Path(__file__).parents[1]
TINY = (TESTS / "studies" / "tiny.yaml").read_text()
TRACE = TESTS / "replay" / "data" / "claude_code_steps_head.csv"


def study(folder, section, text=TINY):
    path = folder / "study.yaml"
    path.write_text(f"{text}\nevaluator: {section}\n")
    return path


def searched(path, results, **changes):
    options = Options(budget("64 evaluations"), workers=1, results=results, sampler="exhaustive")
    return explore(ask(load(path)), replace(options, **changes))


@pytest.fixture(scope="module")
def found(tmp_path_factory):
    folder = tmp_path_factory.mktemp("replayed")
    path = study(folder, "{replay: {calls: 300, seed: 3}, promising: 2, timeout: 300 s}")
    return searched(path, folder / "results")


def candidate(found, row=0):
    return promising.request(found.question.space, found.front().archive.rows[row], found.front().archive.metrics, row,
                             tuple(goal.name for goal in found.question.goals))  # fmt: skip


def test_the_replay_scores_promising_designs_and_both_fidelities_stay_apart(found, tmp_path):
    plain = tmp_path / "plain.yaml"
    plain.write_text(TINY)
    assert found.front().csv() == searched(plain, tmp_path).front().csv()
    rows = list(csv.DictReader((found.folder / promising.TABLE).read_text().splitlines()))
    assert len(rows) == 2
    for row in rows:
        analytic, replayed = (float(row[f"cost {source} [$/task]"]) for source in ("analytic", "external"))
        assert analytic * 0.999 <= replayed < 2 * analytic
        assert row["latency external [1]"] != row["latency analytic [1]"]
        assert row["failure [text]"] == ""
    facts = found.summary["external"]
    assert (facts["by"], facts["asked"], facts["failed"]) == ("replay", 2, 0)
    said = {sentence.subject: sentence.text for sentence in verdict(load(found.folder / run.PROBLEM), found)}
    assert said["second look"].startswith("2 of 2 promising designs scored by the replay")


def test_the_time_of_the_replay_is_no_overhead_of_the_search(found):
    assert found.summary["overhead_share"] < 20


def test_the_process_answers_line_by_line_and_refuses_what_the_model_does_not_offer(found):
    asked = candidate(found)
    strange = asked | {"id": "strange", "mapping": {**asked["mapping"], "coding.decode.tp": 77}}
    done = subprocess.run(
        [sys.executable, "-m", "dse.cli", "replay", "--serve", found.folder / run.PROBLEM],
        input="".join(json.dumps(line) + "\n" for line in (asked, strange, asked)), capture_output=True, text=True,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    first, refused, again = map(json.loads, done.stdout.splitlines())
    assert first == again
    assert set(first["metrics"]) == {"cost", "throughput", "latency"}
    assert "does not offer this mapping" in refused["error"]
    noted = promising.recalled(found.folder / promising.ANSWERS)
    assert dict(noted[asked["id"]].metrics) == first["metrics"]


def test_a_trace_goes_with_the_run_which_can_be_moved(tmp_path):
    (tmp_path / "here").mkdir()
    shutil.copy(TRACE, tmp_path / "here" / "steps.csv")
    section = "{replay: {trace: steps.csv, calls: 200}, promising: 1, timeout: 300 s}"
    first = searched(study(tmp_path / "here", section), tmp_path / "results")
    moved = tmp_path / "elsewhere"
    shutil.move(first.folder, moved)
    shutil.rmtree(tmp_path / "here")
    (moved / promising.ANSWERS).unlink()
    again = searched(moved / run.PROBLEM, tmp_path, resume=moved)
    assert again.summary["external"] == first.summary["external"] | {"fresh": 1}
    assert again.summary["external"]["failed"] == 0
    assert open_run(str(moved), tmp_path).front.csv() == first.front().csv()


def test_a_design_that_cannot_keep_up_costs_what_it_leaves_unserved():
    assert served_share(SimpleNamespace(steps_per_s=8.0, offered=10.0)) == 0.8
    assert served_share(SimpleNamespace(steps_per_s=10.1, offered=10.0)) == 1.0


def test_every_metric_that_is_promised_is_measured(found):
    problem = load(found.folder / run.PROBLEM)
    asked = candidate(found) | {"wanted": sorted({*SIMULATED, "coding.ttft_p95"})}
    metrics = Second(problem)(asked)["metrics"]
    assert all(value > 0 for value in metrics.values())
    assert metrics["ttft_p50"] <= metrics["ttft_p95"] == metrics["coding.ttft_p95"]
    assert metrics["throughput"] == pytest.approx(1 / metrics["energy_per_task"])


@pytest.mark.parametrize(
    ("section", "message"),
    [
        ("{command: [a], replay: {}}", "either a `command` or a `replay`"),
        ("{}", "either a `command` or a `replay`"),
        ("{replay: {}, stage: instead}", "too slow to score every design"),
        ("{replay: {trace: nowhere.csv}}", "there is no file"),
        ('{replay: {trace: "a\\0b"}}', "there is no file"),
        ("{replay: {agent: codin}}", "Did you mean `coding`"),
        ("{replay: {calls: 0}}", "evaluator.replay.calls"),
    ],
)
def test_a_wrong_section_is_refused_with_its_place(section, message, tmp_path):
    with pytest.raises(SpecError) as caught:
        load(study(tmp_path, section))
    assert message in str(caught.value)
    assert "evaluator" in str(caught.value)


def test_an_objective_that_no_replay_measures_is_refused(tmp_path):
    text = TINY.replace("minimize cost,", "maximize quality,")
    with pytest.raises(SpecError, match=r"objectives\[0\]  quality is not measured by a replay"):
        load(study(tmp_path, "{replay: {}}", text))
