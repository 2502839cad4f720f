"""The command: text, JSON, page, exit codes, and what it keeps with the run."""

import json
import sys
from pathlib import Path

import pytest

from dse import cli
from dse.facts.problem import load
from dse.insight.notebook import explore
from dse.insight.replays.answer import stored
from dse.insight.runs import open_run
from tests.replay.conftest import DATA

TINY = Path(__file__).parents[1] / "studies" / "tiny.yaml"


@pytest.fixture(scope="module")
def results(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("replays")
    explore(load(TINY), results=folder, workers=1)
    return folder


def called(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], *words: str) -> tuple[int, str]:
    monkeypatch.setattr(sys, "argv", ["dse", "replay", *words])
    try:
        cli.main()
        code = 0
    except SystemExit as stopped:
        code = int(stopped.code or 0)
    found = capsys.readouterr()
    return code, found.out + found.err


def test_a_trace_file_is_answered_in_words_and_kept(results: Path, monkeypatch, capsys) -> None:
    file = str(DATA / "claude_code_steps_head.csv")
    code, said = called(monkeypatch, capsys, "last:A", "--trace", file, "--horizon", "1 h", "--results", str(results))
    assert code == 0
    assert "analytic/simulated" in said
    assert "in the steady state" in " ".join(said.split())
    assert max(len(line) for line in said.splitlines() if "written" not in line) <= 100
    folder = open_run("last", results).run.folder
    assert (folder / "replay.html").is_file()
    assert stored(folder)[-1].trace == "claude_code_steps_head.csv"


def test_json_balances_and_names_every_figure(results: Path, monkeypatch, capsys) -> None:
    words = ("last:A", "--rate", "0.02", "--horizon", "20 min", "--json", "--results", str(results))
    code, said = called(monkeypatch, capsys, *words)
    assert code == 0
    (made,) = json.loads(said)
    assert sum(made["counts"].values()) == made["requests"]
    assert made["distributions"]["task_time"]["p99"] > made["distributions"]["task_time"]["p50"] > 0
    assert set(made["distributions"]["ttft"]) == {"mean", "p50", "p90", "p95", "p99"}
    assert {"output_tokens_per_s", "share_of_requests"} <= set(made["goodput"])
    assert made["simulated"]["hit_rate"] <= 1


def test_the_largest_rate_keeps_the_targets(results: Path, monkeypatch, capsys) -> None:
    words = ("last:A", "--find-rate", "--horizon", "30 min", "--json", "--results", str(results))
    code, said = called(monkeypatch, capsys, *words)
    assert code == 0
    (made,) = json.loads(said)
    assert made["largest_rate"] > 0
    assert made["distributions"]["ttft"]["p95"] <= made["goodput"]["ttft_target"]
    assert made["distributions"]["tpot"]["p95"] <= made["goodput"]["tpot_target"]


def test_every_lettered_design_is_replayed(results: Path, monkeypatch, capsys) -> None:
    code, said = called(monkeypatch, capsys, "--front", "last", "--json", "--results", str(results))
    assert code == 0
    rows = json.loads(said)["rows"]
    letters = [pick.letter for pick in open_run("last", results).picks]
    assert [(row["design"], row["load"]) for row in rows] == [(own, at) for own in letters for at in (0.5, 0.7, 0.8)]
    for row in rows:
        assert row["ratio"]["tasks_per_s"] == pytest.approx(1, abs=0.15)
        assert row["ratio"]["tpot"] == pytest.approx(1, abs=0.15)


def test_a_design_in_yaml_is_replayed(tmp_path: Path, monkeypatch, capsys) -> None:
    text = TINY.read_text().replace("[disaggregated, colocated]", "[disaggregated]")
    text = text.replace("[h100_sxm, b200_sxm]", "[b200_sxm]").replace("[h200_sxm, b200_sxm]", "[b200_sxm]")
    path = tmp_path / "one.yaml"
    path.write_text(text.replace("[0 GB, 1 TB]", "[1 TB]"))
    code, said = called(monkeypatch, capsys, str(path), "--horizon", "5 min")
    assert code == 0
    assert "analytic/simulated" in said
    code, said = called(monkeypatch, capsys, str(TINY))
    assert code == 2
    assert "one choice per lever" in said


@pytest.mark.parametrize(
    ("words", "why"),
    [
        ((), "either RUN:DESIGN"),
        (("last:A", "--agent", "codin"), "Did you mean `coding`?"),
        (("last:A", "--rate", "-1"), "above 0"),
        (("last:A", "--rate", "0"), "--rate"),
        (("last:A", "--horizon", "soon"), "expected a time"),
        (("last:A", "--trace", "absent.csv"), "cannot be read"),
    ],
)
def test_bad_input_ends_with_code_2(results: Path, monkeypatch, capsys, words: tuple[str, ...], why: str) -> None:
    code, said = called(monkeypatch, capsys, *words, "--results", str(results))
    assert code == 2
    assert why in said
