"""Constraints between levers that follow from the hardware: each rules out exactly the designs that break it."""

from pathlib import Path

import numpy as np
import pytest

from dse.facts.problem import load
from dse.search.ask import ask
from dse.search.feasibility import emptied

QUICK = Path(__file__).parents[2] / "search_spaces" / "quickstart.yaml"
HELD = {"prefill.device": "b200_sxm", "decode.host_memory": "[0 GB]", "serving": "disaggregated"}


@pytest.fixture(scope="module")
def scored():
    """Question of the quickstart with changes, all its designs, and their metrics."""

    def score(**changes):
        question = ask(load(QUICK, HELD | changes))
        designs = question.space.numbered(np.arange(question.space.size))
        return question, designs, question.evaluate(designs)

    return score


def ruled_out(scored, slack):
    """Choices per design that one constraint rules out, as a set of decoded designs."""
    question, designs, metrics = scored
    broken = np.unique(metrics.design[metrics.columns[slack] < 0])
    return [question.space.decode(row) for row in designs.rows[broken]]


def test_stacks_cannot_hold_more_than_the_tallest_of_their_kind(scored):
    found = scored(
        **{"levers.decode.memory_scale": "[1, 1.2, 1.5, 2, 4]", "levers.decode.device": "[h200_sxm, mi355x]"}
    )
    devices, memories = load(QUICK, HELD).devices, load(QUICK, HELD).memories
    expected = []
    for design in map(found[0].space.decode, found[1].rows):
        memory = devices[str(design["decode.device"])].memory
        kind = memories[memory.technology]
        tallest = kind.capacity_max or kind.capacity
        if memory.capacity * design["decode.memory_scale"] > memory.stacks * tallest:
            expected.append(design)
    assert 0 < len(expected) < len(found[1])
    assert ruled_out(found, "slack_decode_stacks") == expected


def test_an_optical_fabric_needs_optical_ports(scored):
    changes = {
        "levers.decode.topology": "[native, optical_pool, torus_3d]",
        "levers.optical_bandwidth": "[0 GB/s, 200 GB/s]",
    }
    found = scored(**changes)
    out = ruled_out(found, "slack_decode_optics")
    wanted = [
        design
        for design in map(found[0].space.decode, found[1].rows)
        if design["decode.topology"] == "optical_pool" and design["optical_bandwidth"] == 0
    ]
    assert out == wanted
    assert wanted


@pytest.mark.parametrize("metric", ["domain_power", "device_power"])
def test_a_power_limit_rules_out_the_designs_above_it(scored, metric):
    _, _, free = scored()
    limit = float(np.median(free.columns[metric]))
    _, _, metrics = scored(require=f'["{metric} <= {limit!r} W"]')
    power = metrics.columns[metric]
    assert 0 < (power > limit).sum() < len(power)
    assert ((metrics.columns[f"slack_{metric}"] < 0) == (power > limit)).all()
    assert (metrics.violation[power > limit] > 0).all()


def test_a_domain_has_as_many_devices_as_its_topology_says(scored):
    _, _, metrics = scored(
        **{"levers.decode.device": "[h200_sxm]", "decode.topology": "native", "prefill.device": "h200_sxm"}
    )
    assert metrics.columns["domain_power"] == pytest.approx(8 * metrics.columns["device_power"])


@pytest.mark.parametrize(
    ("changes", "named"),
    [
        ({"levers.decode.memory_scale": "[40]"}, "slack_decode_stacks"),
        ({"decode.topology": "optical_pool", "levers.optical_bandwidth": "[0 GB/s]"}, "slack_decode_optics"),
        ({"require": '["domain_power <= 1 W"]'}, "slack_domain_power"),
        ({"require": '["device_power <= 1 W"]'}, "slack_device_power"),
    ],
)
def test_the_constraint_that_empties_a_space_is_named(scored, changes, named):
    _, _, metrics = scored(**changes)
    assert any(said.startswith(f"{named}: none of") for said in emptied(metrics))
