"""Predicted passes: conventions, ledger, order of rows."""

from pathlib import Path

import numpy as np
import pytest

from dse.facts import catalog
from dse.facts.measurements import read
from dse.physics.calibration import IDEAL
from dse.search.fidelity import predict, tables
from dse.search.fidelity.constants import constants

STEPS = read(Path(__file__).parent.parent / "reference" / "steps_sample.csv")


def points(**changes):
    one = np.ones(1)
    plain = predict.Points(
        ("llama_3_1_8b",), ("h100_sxm",), one, one, one, one, one, one, one, 2047 * one,
        ("bf16",), ("bf16",), ("bf16",), ("bf16",),
    )  # fmt: skip
    return plain._replace(**changes)


def test_decode_of_llama_counts_what_all_sources_count():
    found = predict.predict(points(), IDEAL)
    assert found["flop"][0] == pytest.approx(1.60831e10, rel=2e-4)
    assert found["bytes_moved"][0] == pytest.approx(1.52778e10, rel=2e-3)
    assert found["cf_request_bytes"][0] == pytest.approx(16.06e9 + 2048 * 131072, rel=1e-3)


def test_whole_pass_counts_all_devices():
    single, eight = (predict.predict(points(tp=np.array([tp]), moe_tp=np.array([tp])), IDEAL) for tp in (1.0, 8.0))
    assert eight["flop"][0] == pytest.approx(single["flop"][0])
    assert eight["weights_bytes"][0] == pytest.approx(single["weights_bytes"][0] / 8, rel=1e-3)


def test_order_of_rows_is_irrelevant():
    table = tables.step_points(STEPS)
    order = np.random.default_rng(0).permutation(len(STEPS))
    straight = predict.predict(table, constants().calibration)["seconds"]
    shuffled = predict.predict(table.rows(order), constants().calibration)["seconds"]
    assert shuffled == pytest.approx(straight[order], rel=1e-12)


def test_terms_add_up_and_the_largest_binds():
    found = predict.predict(tables.step_points(STEPS), constants().calibration)
    terms = np.stack([found[name] for name in predict.BOUNDS])
    assert terms.sum(axis=0) == pytest.approx(found["seconds"])
    assert (terms.argmax(axis=0) == found["bound"]).all()
    assert all(np.isfinite(column).all() for column in found.values())


def test_what_does_not_fit_is_said():
    whole = points(model=("llama_3_1_405b",))
    assert predict.predict(whole, IDEAL)["fits"][0] == 0
    assert predict.predict(points(), IDEAL)["fits"][0] == 1


def test_missing_format_is_weight_only():
    narrow = points(weight=("fp4",), expert=("fp4",))
    rate = {name: predict.supply(catalog.accelerator(name), "fp4", "fp4", "bf16") for name in ("h100_sxm", "b200_sxm")}
    assert rate["h100_sxm"].linear_rate == 989e12
    assert rate["b200_sxm"].linear_rate == 9000e12
    assert predict.predict(narrow, IDEAL)["weights_bytes"][0] < 6e9


def test_measured_share_of_a_device_counts_relative_to_those_fitted():
    assert predict.supply(catalog.accelerator("h100_sxm"), "bf16", "bf16", "bf16").compute_fraction == pytest.approx(
        1.0
    )
    mi300 = predict.supply(catalog.accelerator("mi300x"), "bf16", "bf16", "bf16").compute_fraction
    assert mi300 == pytest.approx(0.514 / 0.803)


@pytest.mark.parametrize("device", ["b200_sxm", "gb200_nvl72", "l40s", "mi300x", "mi355x", "tpu_v7x", "trainium2"])
def test_devices_never_fitted_inherit_the_constants(device):
    found = predict.predict(points(device=(device,)), constants().calibration)
    least = 15.3e9 / catalog.accelerator(device).memory.bandwidth
    assert least < found["seconds"][0] < 4 * least + 5e-3
