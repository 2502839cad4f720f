"""`dse validate` and `dse calibrate` as a person types them."""

import json
from pathlib import Path

import pytest
from typer.testing import CliRunner

from dse import cli
from dse.facts.calibration import load
from dse.facts.errors import SpecError
from dse.search.fidelity import calibrate

REFERENCE = Path(__file__).parent / "reference"
STEPS, SERVING, KERNELS = (str(REFERENCE / f"{name}_sample.csv") for name in ("steps", "serving", "kernels"))


def dse(*arguments, code=0):
    result = CliRunner().invoke(cli.app, arguments)
    if isinstance(result.exception, SpecError):
        raise result.exception
    assert result.exit_code == code, result.output
    return result.output


def test_validate_writes_what_it_is_asked_for(tmp_path):
    text = dse("validate", STEPS, "--out", str(tmp_path / "p.csv"), "--html", str(tmp_path / "s.html"))
    assert "65 rows of steps, 65 predicted (100 %)" in text
    assert "fallback device and model fitted" in text
    assert (tmp_path / "p.csv").read_text().startswith("id,predicted_s,reason\n")
    assert (tmp_path / "s.html").read_text().startswith("<!doctype html>")


def test_validate_for_programs():
    content = json.loads(dse("validate", SERVING, "--json"))
    assert content["coverage"] == 1
    whole = {line["quantity"]: line for line in content["lines"] if line["by"] == "all"}
    assert set(whole["tpot"]["ours"]) == {"rows", "median", "mean", "p90", "bias", "spearman"}
    assert whole["ttft"]["peer"]["rows"] > 0


def test_a_place_that_cannot_be_written_is_bad_input(tmp_path):
    with pytest.raises(SpecError, match="cannot be written"):
        dse("validate", STEPS, "--out", str(tmp_path / "no" / "p.csv"))


def test_calibrate_takes_files_by_name_or_by_columns(tmp_path, monkeypatch):
    monkeypatch.setattr(calibrate, "TRIALS", 4)
    out = tmp_path / "own.yaml"
    text = dse("calibrate", SERVING, "--steps", STEPS, "--out", str(out))
    assert "median error" in text
    made = load(str(out))
    assert made.provenance.data == "own measurements"
    assert {"steps", "tpot", "ttft"} <= set(made.bands)
    assert made.linear != load().linear
    dse("validate", STEPS, "--constants", str(out))


def test_cross_validation_enters_the_file_and_the_table(tmp_path, monkeypatch):
    monkeypatch.setattr(calibrate, "TRIALS", 4)  # a rough fit will do
    out, table = tmp_path / "own.yaml", tmp_path / "accuracy.json"
    both = ("--cross-validate", "device", "--cross-validate", "model")
    made = json.loads(dse("calibrate", STEPS, *both, "--accuracy", str(table), "--out", str(out), "--json"))
    blind = {own["name"]: own["blind_error"] for own in made["classes"]}
    assert 0 < blind["decode"] < 0.3
    assert set(load(str(out)).blind) == {"prefill", "decode"}
    assert "without the device" in table.with_suffix(".md").read_text()


def test_a_table_needs_both_folds(tmp_path):
    text = dse("calibrate", STEPS, "--accuracy", str(tmp_path / "a.json"), code=2)
    assert "--cross-validate" in text
