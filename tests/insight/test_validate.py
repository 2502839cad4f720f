"""Accuracy on the sample, refusals, labels."""

from pathlib import Path

import numpy as np
import pytest

from dse.facts.errors import SpecError
from dse.insight import validate
from dse.search.constants import constants

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
