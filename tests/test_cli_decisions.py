"""Commands that turn a front into a decision, in a folder that has nothing but a study: compare, brief, robustness."""

import json
from pathlib import Path

import pytest

STUDY = (Path(__file__).parent / "studies" / "tiny.yaml").read_text()


@pytest.fixture(scope="module")
def folder(dse, tmp_path_factory) -> Path:
    made = tmp_path_factory.mktemp("decisions")
    (made / "tiny.yaml").write_text(STUDY)
    dse("run", "tiny.yaml", "--workers", "1", "--no-report", folder=made)
    dse("run", "tiny.yaml", "--workers", "1", "--no-report", "--set", "slo.tpot=60 ms", folder=made)
    return made


def fits(text: str) -> bool:
    return max(map(len, text.splitlines())) <= 100


def test_two_designs_are_compared_in_every_form(dse, folder):
    text = dse("compare", "last:A", "last:B", folder=folder)
    assert fits(text)
    assert "largest change" in text
    data = json.loads(dse("compare", "last:A", "last:B", "--json", folder=folder))
    assert data["metrics"]["cost"]["ratio"] == pytest.approx(
        data["metrics"]["cost"]["second"] / data["metrics"]["cost"]["first"]
    )
    assert "| metric | last:A | last:B |" in dse("compare", "last:A", "last:B", "--markdown", folder=folder)
    dse("compare", "last:A", "last:B", "--html", "compare.html", folder=folder)
    page = (folder / "compare.html").read_text()
    assert page.startswith("<!doctype html>")
    assert "analytic estimate" in page


def test_two_runs_are_compared_in_every_form(dse, folder):
    text = dse("compare", "last~1", "last", folder=folder)
    assert fits(text)
    for word in ("hypervolume", "coverage", "joint front", "agents.coding.slo.tpot 80 ms → 60 ms"):
        assert word in text
    data = json.loads(dse("compare", "last~1", "last", "--json", folder=folder))
    assert data["inputs_differ"] == {"agents.coding.slo.tpot": ["80 ms", "60 ms"]}
    assert 0 <= data["coverage"][1] <= data["coverage"][0] <= 1
    assert "| best of |" in dse("compare", "last~1", "last", "--markdown", folder=folder)
    dse("compare", "last~1", "last", "--html", "runs.html", folder=folder)
    assert "hypervolume" in (folder / "runs.html").read_text()


def test_a_design_and_a_run_do_not_compare(dse, folder):
    assert "two designs" in dse("compare", "last:A", "last", folder=folder, code=2)


def test_a_brief_lands_in_the_run_or_where_it_is_asked_for(dse, folder):
    text = dse("brief", folder=folder)
    assert fits(text)
    assert {"brief.md", "brief.html"} <= {path.name for path in (folder / "results" / "tiny" / "last").iterdir()}
    data = json.loads(
        dse("brief", "last~1", "--out", "review", "--load", "5 task/s", "--design", "B", "--json", folder=folder)
    )
    assert data["recommended"] == "B"
    assert [item["bill"]["load"] for item in data["candidates"]] == [5.0]
    assert sorted(path.name for path in (folder / "review").iterdir()) == sorted(data["files"])
    assert "expected a load" in dse("brief", "--load", "many", folder=folder, code=2)


def test_robustness_is_shown_on_demand(dse, folder):
    text = dse("show", "front", "--robust", folder=folder)
    assert fits(text)
    for word in ("256 samples", "on front", "balanced designs among the robust ones", "measure first"):
        assert word in text
    data = json.loads(dse("show", "front", "--robust", "--json", folder=folder))["robustness"]
    assert all(0 <= design["front"] <= design["feasible"] <= 1 for design in data["designs"].values())
    assert {item["kind"] for item in data["unknowns"]} >= {"price", "time"}


def test_an_infeasible_run_ends_with_the_smallest_relaxation(dse, folder):
    arguments = ("run", "tiny.yaml", "--workers", "1", "--no-report", "--results", "none", "--set", "slo.tpot=2 ms")
    text = dse(*arguments, folder=folder, code=1)
    for word in ("nearest", "misses", "the TPOT target of coding: 2 ms to", "try", "dse explain last:nearest"):
        assert word in text
    summary = json.loads((folder / "none" / "tiny" / "last" / "summary.json").read_text())
    (relaxed,) = summary["nearest"]["relaxations"]
    assert f'--set "{relaxed["set"]}"' in text
    again = (*arguments[:-1], relaxed["set"])
    assert "cheapest" in dse(*again, folder=folder)
    assert "misses" in dse("brief", "last~1", "--results", "none", folder=folder, code=1)


def test_check_says_whether_the_front_will_be_exact(dse, folder):
    text = dse("check", "tiny.yaml", folder=folder)
    for word in ("12 architectures", "exhaustive", "yes, the front will be exact", "on "):
        assert word in text
    text = dse("check", "tiny.yaml", "--set", "budget=5 evaluations", folder=folder)
    assert "no, the front will be the best found" in text
