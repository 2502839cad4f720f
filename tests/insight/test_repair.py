"""A study without a feasible design is told the least that would help, and it does."""

from pathlib import Path

import pytest

from dse.facts.problem import load
from dse.insight.decision import repair
from dse.insight.notebook import explore
from dse.insight.verdict import verdict

STUDY = (Path(__file__).parents[1] / "studies" / "tiny.yaml").read_text()
CASES = {
    "one target": {"slo.tpot": "5 ms"},
    "one sentence": {"require": '["device_power <= 400 W"]'},
    "a floor": {"require": '["throughput >= 9 task/s/MW"]'},
    "two limits": {"slo.tpot": "5 ms", "require": '["cost <= 0.01 $/task"]'},
}


def found(folder: Path, changes: dict[str, str]):
    (folder / "study.yaml").write_text(STUDY)
    problem = load(folder / "study.yaml", changes)
    return problem, explore(problem, results=folder / "results", workers=1).opened


def feasible(folder: Path, changes: dict[str, str]) -> bool:
    return bool(found(folder, changes)[1].run.summary["feasible"])


@pytest.mark.parametrize("name", ["one target", "one sentence", "a floor"])
def test_the_smallest_relaxation_helps_and_nothing_smaller_does(tmp_path, name):
    changes = CASES[name]
    _, opened = found(tmp_path, changes)
    assert not opened.run.summary["feasible"]
    first = opened.run.summary["nearest"]["relaxations"][0]
    path, _, text = first["set"].partition("=")
    named = "slo.tpot" if path.startswith("agents") else path
    assert feasible(tmp_path, {**changes, named: text})
    closer = first["before"] + 0.97 * (first["after"] - first["before"])
    problem = load(tmp_path / "study.yaml", changes)
    limit = next(own for own in repair._limits(problem) if own.what == first["limit"])
    assert not feasible(tmp_path, {**changes, named: limit.change(closer).partition("=")[2]})


def test_limits_that_fail_together_are_moved_together(tmp_path):
    changes = CASES["two limits"]
    _, opened = found(tmp_path, changes)
    nearest = opened.run.summary["nearest"]
    assert all(item["after"] is None for item in nearest["relaxations"])
    moved = dict(option.split("=", 1) for option in nearest["together"])
    assert moved.keys() == {"agents.coding.slo.tpot", "require"}
    assert feasible(tmp_path, {**changes, "slo.tpot": moved["agents.coding.slo.tpot"], "require": moved["require"]})


def test_the_verdict_names_the_failing_limit_and_what_to_type(tmp_path):
    problem, opened = found(tmp_path, CASES["one target"])
    said = [(sentence.subject, sentence.text) for sentence in verdict(problem, opened.run)]
    words = dict(said)
    assert "the TPOT target of coding" in words["misses"]
    first = opened.run.summary["nearest"]["relaxations"][0]
    assert words["relax"] == first["sentence"]
    assert words["try"] == f'--set "{first["set"]}"'


def test_hardware_that_is_missing_is_named_as_a_lever(tmp_path):
    (tmp_path / "study.yaml").write_text(STUDY.replace("[disaggregated, colocated]", "[attention_offload]"))
    opened = explore(load(tmp_path / "study.yaml"), results=tmp_path / "results", workers=1).opened
    assert repair.HINTS["slack_offload"] in opened.run.summary["nearest"]["hints"]
