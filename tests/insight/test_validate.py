"""Accuracy on the sample, refusals, labels."""

import csv
import io
import time
import xml.etree.ElementTree as ElementTree
from pathlib import Path

import numpy as np
import pytest

from dse.facts.errors import SpecError
from dse.insight.fidelity import scatter, validate, validation_text
from dse.insight.table import WIDTH, lines
from dse.search.fidelity.constants import constants

REFERENCE = Path(__file__).parent.parent / "reference"


def test_passes_are_predicted_within_the_stated_error():
    report = validate.validate(REFERENCE / "steps_sample.csv")
    for phase, limit in (("decode", 0.15), ("prefill", 0.20)):
        assert report.line("seconds", "phase", phase).ours.median < limit
    whole = report.line("seconds")
    assert whole.ours.median < whole.limit.median
    assert report.coverage == 1


def test_serving_is_predicted_within_the_stated_error():
    report = validate.validate(REFERENCE / "serving_sample.csv")
    tpot, ttft = (report.line(name, "phase", "agg") for name in ("tpot", "ttft"))
    assert tpot.ours.median < 0.15
    assert tpot.ours.spearman > 0.9
    assert ttft.ours.median < 0.45
    assert ttft.ours.median < ttft.peer.median < ttft.limit.median


def test_lines_group_every_row_once():
    report = validate.validate(REFERENCE / "steps_sample.csv")
    rows = report.line("seconds").ours.rows
    for by in ("phase", "model", "device", "engine", "batch", "fallback"):
        assert sum(line.ours.rows for line in report.lines if line.by == by) == rows


def test_unknown_names_are_refused_with_row_and_column(tmp_path):
    text = (REFERENCE / "steps_sample.csv").read_text().replace("Llama-3.1-8B", "Lama-3.1-8B", 1)
    path = tmp_path / "own.csv"
    path.write_text(text)
    with pytest.raises(SpecError, match=r"own\.csv:2:0  model  there is no model") as error:
        validate.validate(path)
    assert len(error.value.mistakes) == 1
    report = validate.validate(path, skip_unknown=True)
    assert report.coverage == pytest.approx(1 - 1 / len(report.ids))
    assert "Lama" in report.reasons[0]
    assert np.isnan(report.predicted["seconds"][0])


@pytest.mark.parametrize(
    ("before", "after", "message"),
    [
        ("cached_tokens", "cache", "is no layout known here"),
        (",batch,", ",batches,", "column is missing in a steps file"),
        ("\np0000,prefill", "\np0000,prefill,more", "cells, the header"),
        (",1,1,1,", ",one,1,1,", '"one" is no number'),
        (",bf16,", ",bf17,", "no number format"),
    ],
)
def test_wrong_files_are_refused(tmp_path, before, after, message):
    text = (REFERENCE / "steps_sample.csv").read_text()
    assert before in text
    path = tmp_path / "own.csv"
    path.write_text(text.replace(before, after, 1))
    with pytest.raises(SpecError, match=message):
        validate.validate(path)


def test_measurement_column_may_be_absent(tmp_path):
    lines = (REFERENCE / "steps_sample.csv").read_text().splitlines()
    place = lines[0].split(",").index("reference_s")
    path = tmp_path / "own.csv"
    path.write_text("\n".join(",".join(line.split(",")[:place]) for line in lines))
    report = validate.validate(path)
    assert report.lines == ()
    assert np.isfinite(report.predicted["seconds"]).all()


def test_fallback_levels():
    own = constants()
    levels = [validate.fallback(device, "llama_3_1_70b", own) for device in ("h100_sxm", "b200_sxm", "mi300x")]
    assert levels == ["device fitted, model new", "other device of the vendor", "other vendor"]


def many(name, rows):
    """Text of a sample repeated until it has so many rows."""
    header, *own = (REFERENCE / f"{name}_sample.csv").read_text().splitlines()
    return "\n".join([header, *(own[place % len(own)] for place in range(rows))])


@pytest.mark.parametrize("name", ["steps", "serving"])
def test_five_thousand_rows_take_seconds(tmp_path, name):
    path = tmp_path / "many.csv"
    path.write_text(many(name, 5000))
    start = time.process_time()
    report = validate.validate(path)
    scatter.page(report)
    assert len(report.ids) == 5000
    assert time.process_time() - start < 8


@pytest.mark.parametrize(
    ("name", "columns"),
    [
        ("steps", ["id", "predicted_s", "reason"]),
        ("serving", ["id", "predicted_ttft_s", "predicted_tpot_s", "reason"]),
    ],
)
def test_file_of_predictions_has_a_row_for_every_row(name, columns):
    report = validate.validate(REFERENCE / f"{name}_sample.csv")
    rows = list(csv.DictReader(io.StringIO(validation_text.predictions_csv(report))))
    assert list(rows[0]) == columns
    assert [row["id"] for row in rows] == list(report.ids)
    assert all(float(row[column]) > 0 for row in rows for column in columns[1:-1])


def test_rows_without_prediction_are_empty_with_a_reason(tmp_path):
    path = tmp_path / "own.csv"
    path.write_text((REFERENCE / "steps_sample.csv").read_text().replace("Llama-3.1-8B", "Lama", 1))
    report = validate.validate(path, skip_unknown=True)
    first = next(csv.DictReader(io.StringIO(validation_text.predictions_csv(report))))
    assert first["predicted_s"] == ""
    assert 'no model "Lama"' in first["reason"]
    assert "1 not predicted" in validation_text.summary(report)[1]
    assert validation_text.json(report)["not_predicted"] == [{"id": first["id"], "reason": first["reason"]}]


def test_scatter_is_one_offline_file_that_escapes_names(tmp_path):
    path = tmp_path / "own.csv"
    text = (REFERENCE / "steps_sample.csv").read_text()
    path.write_text(text.replace("p0000,", "<script>alert('x')</script>,", 1))
    page = scatter.page(validate.validate(path))
    assert "<script" not in page
    assert "&lt;script&gt;" in page
    for word in ("http", "src=", "@import", "url("):
        assert word not in page
    assert "prefers-color-scheme: dark" in page
    svgs = [own.split("</svg><figcaption>")[0] + "</svg>" for own in page.split("<figure>")[1:]]
    assert len(svgs) == 2
    assert sum(len(ElementTree.fromstring(own).findall(".//title")) for own in svgs) == text.count("\n") - 1


def test_scatter_of_rows_without_measurement_says_so(tmp_path):
    rows = [line.split(",") for line in (REFERENCE / "steps_sample.csv").read_text().splitlines()]
    place = rows[0].index("reference_s")
    path = tmp_path / "own.csv"
    path.write_text("\n".join(",".join(row[:place]) for row in rows))
    assert "No row has both" in scatter.page(validate.validate(path))


def test_points_on_the_band_are_drawn_on_its_edge():
    scale = scatter.Scale(-3, 1)
    across = scale.x(0.1 * (1 + scatter.BAND)) - scale.x(0.1)
    up = scale.y(0.1) - scale.y(0.1 * (1 + scatter.BAND))
    assert across == pytest.approx(up)
    assert scale.x(1e-3) == scatter.MARGIN
    assert scale.x(10) == scatter.MARGIN + scatter.SIDE


def test_table_fits_the_terminal():
    report = validate.validate(REFERENCE / "serving_sample.csv")
    assert max(map(len, lines(validation_text.table(report)))) <= WIDTH


@pytest.mark.parametrize(
    ("changes", "where", "message"),
    [
        ({"mode": "both"}, "mode", "no way to serve"),
        ({"concurrency": "", "batch": ""}, "concurrency", "no load"),
        ({"isl": ""}, "isl", "is empty"),
        ({"osl": "0"}, "osl", "is 0"),
        ({"tp": ""}, "tp", "is empty"),
    ],
)
def test_runs_that_say_too_little_are_refused(tmp_path, changes, where, message):
    rows = list(csv.DictReader(io.StringIO((REFERENCE / "serving_sample.csv").read_text())))
    row = next(row for row in rows if row["mode"] == "agg") | changes
    path = tmp_path / "own.csv"
    with path.open("w", newline="") as file:
        writer = csv.DictWriter(file, list(row))
        writer.writeheader()
        writer.writerow(row)
    with pytest.raises(SpecError, match=message) as error:
        validate.validate(path)
    assert where in {mistake.where for mistake in error.value.mistakes}


def test_kernels_are_for_calibration():
    with pytest.raises(SpecError, match="dse calibrate"):
        validate.validate(REFERENCE / "kernels_sample.csv")


def test_own_constants_may_be_used(tmp_path):
    from dse.facts.calibration import load, write

    shipped = load()
    slow = shipped.overhead.model_copy(update={"step": 1.0})
    write(shipped.model_copy(update={"overhead": slow}), tmp_path / "slow.yaml")
    report = validate.validate(REFERENCE / "steps_sample.csv", calibration=tmp_path / "slow.yaml")
    assert (report.predicted["seconds"] > 1).all()


def test_lines_are_those_of_the_file_with_its_empty_lines(tmp_path):
    header, first, *rest = (REFERENCE / "steps_sample.csv").read_text().splitlines()
    path = tmp_path / "own.csv"
    path.write_text(
        "\n".join([header, first, "", "", rest[0].replace("Llama", "Lama").replace("Qwen", "Quen"), *rest[1:]])
    )
    with pytest.raises(SpecError) as error:
        validate.validate(path)
    assert [mistake.line for mistake in error.value.mistakes] == [5]
