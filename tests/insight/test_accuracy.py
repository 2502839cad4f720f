"""The accuracy table: kept in the README, honest about what it misses, made of blind predictions."""

import json
from pathlib import Path

import numpy as np
import pytest

from dse.facts.errors import SpecError
from dse.facts.measurements import read
from dse.insight.fidelity import accuracy, folds, refit
from dse.search.fidelity import calibrate, calibrate_serving
from dse.search.fidelity.constants import band_of, constants

ROOT = Path(__file__).parents[2]
RESULTS = ROOT / "results" / "validation" / "accuracy.json"
REFERENCE = ROOT / "tests" / "reference"
CONTENT = accuracy.read(RESULTS)


def row(what, figure="median"):
    return next(own for own in CONTENT["rows"] if (own["what"], own["figure"]) == (what, figure))


def test_readme_shows_the_table_of_the_results_file():
    assert accuracy.between_marks((ROOT / "README.md").read_text()) == accuracy.markdown(CONTENT).strip()


def test_rendered_file_beside_the_figures_is_current():
    assert RESULTS.with_suffix(".md").read_text() == accuracy.markdown(CONTENT)


def test_placing_the_table_keeps_the_rest_of_a_document():
    before = f"# Title\n\n{accuracy.BEGIN}\nold\n{accuracy.END}\n\nEnd\n"
    after = accuracy.placed(before, CONTENT)
    assert after.startswith("# Title\n\n")
    assert after.endswith("\n\nEnd\n")
    assert accuracy.between_marks(after) == accuracy.markdown(CONTENT).strip()
    assert accuracy.placed(after, CONTENT) == after


def test_every_figure_of_the_issue_has_a_blind_value_and_a_target():
    assert [own["what"] for own in CONTENT["rows"]] == [entry.what for entry in accuracy.ENTRIES]
    for own in CONTENT["rows"]:
        assert own["device"] is not None
        assert own["source"].startswith("kernels") == ("model" not in own)
    assert sum(own["target"] is not None for own in CONTENT["rows"]) == 11


def test_every_missed_target_is_named_with_its_size():
    text = "\n".join(accuracy.misses(CONTENT))
    for own in CONTENT["rows"]:
        for by in ("device", "model"):
            value, target = own.get(by), own["target"]
            if value is None or target is None:
                continue
            missed = value > target if own["figure"] == "median" else value < target
            assert (f"{own['what']}," in text and f"without the {by}" in text) or not missed
    worst = row("decode attention")["device"]
    assert worst < 0.25 or f"decode attention, {100 * worst:.1f} % without the device against 25 %" in text


def test_dependence_on_the_starting_point_is_told():
    text = accuracy.markdown(CONTENT)
    assert "40 % is not safely met" in text
    for ranges in CONTENT["starts"].values():
        low, high = ranges["ttft"]
        assert low < high


def test_we_beat_peer_and_limit_blind_on_the_same_rows():
    for what in ("TPOT, aggregated", "TTFT, aggregated, any load", "TTFT, aggregated, at most 16 clients"):
        own = row(what)
        assert own["peer_n"] == own["n"]
        assert max(own["device"], own["model"]) < own["peer"] < own["limit"]


def test_shipped_constants_are_those_of_the_table():
    for what, name in (("matrix products", "linear"), ("decode attention", "attention_decode")):
        low, high = constants().bands[name]
        assert low < 1 < high
        assert row(what)["n"] > 200


@pytest.mark.parametrize("time", ["prefill", "decode", "tpot", "ttft"])
def test_band_is_that_of_what_was_left_out(time):
    low, high = band_of(time)
    assert (low, high) == constants().blind[time]
    assert 0.5 < low < 1 < high < 3
    assert band_of(time, constants()._replace(blind={}))[0] < 1


def test_first_tokens_are_the_least_certain():
    width = {time: np.log(band_of(time)[1] / band_of(time)[0]) for time in ("prefill", "decode", "tpot", "ttft")}
    assert max(width, key=width.get) == "ttft"


@pytest.fixture(scope="module", autouse=True)
def rough():
    """Fits that stop early: these tests are about who is fitted to what."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(calibrate, "TRIALS", 6)
        yield


@pytest.fixture(scope="module")
def steps_fold(rough):
    table = read(REFERENCE / "steps_sample.csv")
    return folds.cross_validate({"steps": table}, "model")


def test_folds_predict_every_row_once(steps_fold):
    whole = next(line for line in steps_fold.lines if line[:3] == ("seconds", "all", "all"))
    parts = [line.ours.rows for line in steps_fold.lines if line.by == "model"]
    assert whole.ours.rows == sum(parts) == 65
    assert steps_fold.ratios["decode"].size + steps_fold.ratios["prefill"].size == 65


def test_blind_is_worse_than_in_sample_and_better_than_the_limit(steps_fold):
    fitted = refit.refit([REFERENCE / "steps_sample.csv"], fresh=True)
    inside = next(own for own in fitted.residuals if own.name == "steps").median_error
    whole = next(line for line in steps_fold.lines if line.by == "all")
    assert inside < whole.ours.median < whole.limit.median


def test_a_fold_has_not_seen_what_it_predicts():
    """Measurements of the device left out may be anything: the constants do not move."""
    table = read(REFERENCE / "serving_sample.csv")
    left = np.array(folds.families(table, "device")) == "h200_sxm"
    odd = {
        name: tuple(np.where(left, 7.0, values)) if name.startswith("measured") else values
        for name, values in table.numbers.items()
    }
    changed = type(table)(table.path, table.kind, table.text, odd)
    own, other = (
        folds._engines(folds._without({"serving": data}, "device", "h200_sxm"), constants().calibration, start)
        for data, start in ((table, calibrate_serving.BLIND), (changed, calibrate_serving.BLIND))
    )
    assert own == other


def test_one_device_cannot_be_left_out():
    table = read(REFERENCE / "steps_sample.csv")
    rows = [place for place, name in enumerate(table.text["device"]) if name == "h100_sxm"]
    with pytest.raises(SpecError, match="needs two of them; there is only h100_sxm"):
        folds.cross_validate({"steps": table.select(rows)}, "device")


def test_a_file_of_one_kind_is_named_once():
    path = REFERENCE / "steps_sample.csv"
    with pytest.raises(SpecError, match="is a second file of steps"):
        refit.refit([path, path])
    with pytest.raises(SpecError, match="name at least one file"):
        refit.refit([])


def test_kernels_without_a_time_or_device_are_refused(tmp_path):
    lines = (REFERENCE / "kernels_sample.csv").read_text().splitlines()
    cells = lines[1].split(",")
    lines[1] = ",".join([cells[0], "h900", *cells[2:-1], ""])
    path = tmp_path / "kernels.csv"
    path.write_text("\n".join(lines))
    with pytest.raises(SpecError) as error:
        refit.refit([path])
    assert {(own.line, own.where) for own in error.value.mistakes} == {(2, "device"), (2, "latency_us")}


def test_a_results_file_that_is_none_is_refused(tmp_path):
    path = tmp_path / "none.json"
    path.write_text("{")
    with pytest.raises(SpecError, match="is no file of accuracy figures"):
        accuracy.read(path)
    assert json.loads(RESULTS.read_text()) == CONTENT
