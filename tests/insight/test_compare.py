"""Two designs and two runs are compared by what can be checked by hand."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from dse.facts.errors import SpecError
from dse.facts.problem import load
from dse.insight.decision import compare, compare_runs
from dse.insight.explain import explain
from dse.insight.notebook import explore
from dse.insight.runs import Opened
from dse.search import pareto
from dse.search.archive import Archive
from dse.search.runs.run import Run

STUDY = (Path(__file__).parents[1] / "studies" / "tiny.yaml").read_text()


@pytest.fixture(scope="module")
def dearer(tmp_path_factory) -> Opened:
    """The same study with a dearer electricity and a tighter target."""
    folder = tmp_path_factory.mktemp("dearer")
    (folder / "study.yaml").write_text(STUDY)
    changes = {"prices.electricity": "0.2 $/kWh", "slo.tpot": "60 ms"}
    return explore(load(folder / "study.yaml", changes), results=folder / "results", workers=1).opened


def only(opened: Opened, rows: list[int], name: str) -> Opened:
    """Run that found some of the rows only."""
    archive = opened.run.archive
    part = Archive(archive.rows[rows], archive.metrics.take(np.array(rows)), archive.scores[rows])
    return Opened(opened.problem, replace(opened.run, archive=part), name)


def test_a_run_compares_with_itself_as_equal(single):
    found = compare_runs.compare_runs(single.opened, single.opened)
    assert found.volume[0] == found.volume[1] == found.joint
    assert found.covered == (1.0, 1.0)
    assert found.own == (0.0, 0.0)
    assert found.frequencies == ()
    assert found.inputs == {}
    assert "search and levers alone" in dict(compare_runs.sentences(found))["inputs"]


def test_halves_of_a_front_add_up_to_it(single):
    rows = list(range(len(single.opened.front)))
    one, two = only(single.opened, rows[::2], "even"), only(single.opened, rows[1::2], "odd")
    found = compare_runs.compare_runs(one, two)
    assert found.members == (len(rows[::2]), len(rows[1::2]))
    assert found.covered == (0.0, 0.0)
    whole = pareto.hypervolume(single.opened.run.archive.scores, found.reference)
    assert found.joint == pytest.approx(whole)
    assert max(found.volume) < found.joint
    assert sum(found.own) < 1
    shares = {(item.lever, item.choice): item for item in found.frequencies}
    for lever in {lever for lever, _ in shares}:
        changes = [item.second - item.first for (name, _), item in shares.items() if name == lever]
        assert sum(changes) == pytest.approx(0, abs=1e-12)


def test_dearer_inputs_are_named_and_cover_less(single, dearer):
    found = compare_runs.compare_runs(single.opened, dearer)
    assert {"prices.electricity.likely", "agents.coding.slo.tpot"} <= set(found.inputs)
    assert found.inputs["agents.coding.slo.tpot"] == ("80 ms", "60 ms")
    assert found.best["cost"][1] > found.best["cost"][0]
    assert found.covered[0] > 0 == found.covered[1]
    text = dict(compare_runs.sentences(found))
    assert "choices and inputs together" in text["inputs"]
    assert f"{found.volume[0]:.4g}" in text["hypervolume"]
    best, frequencies = compare_runs.tables(found)
    assert best.rows[0][-1] == "worse"
    assert all(len(row) == 4 for row in frequencies.rows)


def test_runs_with_other_objectives_are_refused(tmp_path, single):
    (tmp_path / "study.yaml").write_text(STUDY.replace("minimize latency", "minimize tpot"))
    other = explore(load(tmp_path / "study.yaml"), results=tmp_path / "results", workers=1).opened
    with pytest.raises(SpecError, match="objectives differ"):
        compare_runs.compare_runs(single.opened, other)


def test_a_run_without_a_feasible_design_is_refused(single):
    empty = only(single.opened, [0], "empty")
    metrics = replace(empty.run.archive.metrics, violation=np.ones(1))
    run: Run = replace(empty.run, archive=replace(empty.run.archive, metrics=metrics))
    with pytest.raises(SpecError, match="no feasible design"):
        compare_runs.compare_runs(single.opened, Opened(single.opened.problem, run, "empty"))


def test_the_cause_is_the_term_that_changed_most(single):
    opened = single.opened
    first, last = (explain(opened, row, name) for row, name in ((0, "A"), (len(opened.front) - 1, "Z")))
    for metric, section in (("cost", "cost"), ("tpot", "tpot"), ("ttft_p95", "ttft")):
        found = compare.cause(metric, first, last)
        assert found is not None
        old, new = ({term.name: term.value for term in own.classes[0].sections[section].terms} for own in (first, last))
        change = {name: new.get(name, 0.0) - old.get(name, 0.0) for name in {*old, *new}}
        assert found.term == max(change, key=lambda name: abs(change[name]))
        assert found.after - found.before == pytest.approx(change[found.term])
    assert compare.cause("hit_rate", first, last) is None


def test_ratios_have_a_direction_and_equal_designs_none(single):
    opened = single.opened
    found = compare.compare((opened, 0), (opened, len(opened.front) - 1), ("A", "Z"))
    assert found.metrics["cost"]["verdict"] == "worse"
    assert found.metrics["cost"]["ratio"] > 1
    assert "$/task" in str(found.metrics["cost"]["cause"])
    said = dict(compare.sentences(found))
    assert " changes most by " in said["cause"]
    assert all("." not in name for name, *_ in compare.tables(found)[0].rows)
    same = compare.compare((opened, 0), (opened, 0), ("A", "A"))
    assert same.choices == {}
    assert {row["verdict"] for row in same.metrics.values()} <= {compare.SAME}
