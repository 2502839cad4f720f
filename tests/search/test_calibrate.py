"""The fit finds what it should, and the shipped constants are those of a fit."""

from pathlib import Path

import numpy as np
import pytest

from dse.facts.calibration import load, write
from dse.facts.measurements import read
from dse.physics.calibration import PROVISIONAL
from dse.search.fidelity import calibrate, calibrate_serving, kernels, predict, serving_runs, tables
from dse.search.fidelity.constants import constants, from_file, to_file

REFERENCE = Path(__file__).parent.parent / "reference"
KERNELS, STEPS, SERVING = (read(REFERENCE / f"{name}_sample.csv") for name in ("kernels", "steps", "serving"))


@pytest.fixture(scope="module")
def fit():
    return calibrate.calibrate(KERNELS, STEPS)


def test_fit_beats_the_starting_point(fit):
    points = tables.step_points(STEPS)
    reference = np.array(STEPS.numbers["reference_s"])
    start = predict.seconds(predict.groups(points), len(STEPS), PROVISIONAL)
    steps = next(own for own in fit.residuals if own.name == "steps")
    assert steps.median_error < np.median(np.abs(start / reference - 1))
    assert steps.median_error < 0.12


def test_constants_stay_physical(fit):
    for path in calibrate.FITTED:
        value = calibrate.read_constant(fit.calibration, path)
        assert value > 0
        assert value <= 1 or path.split(".")[-1] not in calibrate.SHARES


def test_fit_is_reproducible(fit):
    assert calibrate.calibrate(KERNELS, STEPS).calibration == fit.calibration


def test_formats_without_data_follow_the_next_wider_one(fit):
    assert fit.calibration.linear.fp4 == fit.calibration.linear.fp8


def test_fit_without_data_keeps_the_starting_point():
    nothing = calibrate.calibrate(None, None)
    start, end = (calibrate.read_constant(own, "linear.bf16.compute") for own in (PROVISIONAL, nothing.calibration))
    assert end == pytest.approx(start, rel=0.2)


def test_times_made_by_other_constants_are_recovered():
    truth = calibrate.with_constant(constants().calibration, "overhead.layer", 9e-6)
    points = tables.step_points(STEPS)
    times = predict.seconds(predict.groups(points), len(STEPS), truth)
    made = STEPS.select(range(len(STEPS)))
    made = type(made)(made.path, made.kind, made.text, {**made.numbers, "reference_s": tuple(times)})
    found = calibrate.calibrate(None, made, start=constants().calibration)
    off = np.abs(predict.seconds(predict.groups(points), len(STEPS), constants().calibration) / times - 1)
    assert found.residuals[0].median_error < np.median(off) / 2  # the pull towards the start keeps the rest


def test_engines_are_fitted_to_first_and_later_tokens(fit):
    engines = calibrate_serving.calibrate_engines(SERVING, constants().calibration)
    tpot, ttft = engines.residuals
    assert tpot.median_error < 0.15
    assert ttft.median_error < 0.6  # eighty runs of fourteen campaigns; the figure of all runs is in the docs
    assert set(engines.engines) == {serving_runs.ANY}


def test_calibration_file_round_trip(tmp_path):
    own = constants()
    residuals = [calibrate.Residuals("steps", np.array([-0.1, 0.0, 0.1]))]
    provenance = load().provenance.model_dump()
    write(to_file(own.calibration, own.engines, residuals, provenance), tmp_path / "own.yaml")
    back = from_file(load(tmp_path / "own.yaml"))
    for path in calibrate.FITTED:
        expected = calibrate.read_constant(own.calibration, path)
        assert calibrate.read_constant(back.calibration, path) == pytest.approx(expected, rel=1e-3)
    assert back.bands["steps"][0] < 1 < back.bands["steps"][1]


def test_shipped_calibration_says_where_it_is_from():
    file = load()
    assert file.provenance.licence == "Apache-2.0"
    assert {"linear", "attention_decode", "experts", "all_reduce", "steps", "tpot", "ttft"} <= set(file.bands)
    assert all(band.low < 1 < band.high for band in file.bands.values())


def test_collectives_of_a_library_are_predicted_without_being_fitted():
    groups = kernels.library_groups(read(REFERENCE / "collectives_sample.csv"))
    assert {own.name for own in groups} == {"all_gather", "reduce_scatter", "alltoall", "all_reduce"}
    ratios = [kernels.kernel_seconds(own, constants().calibration) / own.seconds for own in groups]
    assert np.median(np.abs(np.concatenate(ratios) - 1)) < 0.25
