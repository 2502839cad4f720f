"""An explanation adds up to the numbers it explains, and these are the numbers of the run."""

import json

import numpy as np
import pytest

from dse.facts.errors import SpecError
from dse.insight import explain, explain_text, memory, money, timing
from dse.insight.case import Case, case, decode_phase, prefill_phase
from dse.search.evaluation import Evaluator


def rows(run) -> list[int]:
    """Spread over the front, both ends included."""
    return sorted({0, len(run.front()) // 2, len(run.front()) - 1})


def made(run, row: int) -> Case:
    designs = explain.design_of(run.opened, row)
    return case(Evaluator.of(run.opened.problem), designs, run.front().designs.mapping(row))


def test_a_stored_design_scores_the_same_by_itself(run):
    for row in rows(run):
        own, stored = made(run, row), run.front().designs.archive.metrics.columns
        assert own.kept
        for name, values in own.metrics.columns.items():
            assert values[0] == pytest.approx(stored[name][row], rel=1e-9, abs=1e-12), name


def test_terms_of_the_decode_step_add_up(run):
    for row in rows(run):
        own = made(run, row)
        for item in own.classes:
            phase = decode_phase(own, item)
            assert sum(term.value for term in timing.pass_terms(phase)) == pytest.approx(float(phase.time.seconds[0]))
            section = timing.decode_section(own, item, phase)
            assert sum(term.value for term in section.terms) == pytest.approx(
                float(item.columns.tpot_full[0]), rel=5e-3
            )
            assert sum(term.share or 0 for term in section.terms) == pytest.approx(1, abs=0.02)


def test_the_decode_step_is_that_of_the_evaluation(run):
    own = made(run, 0)
    for item in own.classes:
        step = float(decode_phase(own, item).time.seconds[0])
        assert step == pytest.approx(float(item.at.decode.step_time_full[0]), rel=1e-9)
        if not item.colocated:
            phase = prefill_phase(own, item)
            chunk, prefix = float(item.mapping["prefill.chunk"]), float(phase.load.cached_tokens[0])
            prefill = item.at.prefill
            service = prefill.per_token * chunk + prefill.per_area * chunk * (prefix + chunk / 2)
            assert float(phase.time.seconds[0]) == pytest.approx(
                float(service[0]) * item.mapping["prefill.pp"], rel=1e-9
            )


def test_terms_of_the_first_token_are_causes(run):
    for row in rows(run):
        own = made(run, row)
        for item in own.classes:
            section = timing.first_token_section(own, item)
            assert {"own work", "pass in progress"} <= {term.name for term in section.terms}
            assert all(term.value > 0 for term in section.terms), section
            step = timing.step_section(own, item)
            assert sum(term.value for term in step.terms) == pytest.approx(
                float(item.columns.latency_mean[0]), rel=5e-3
            )


def test_a_ledger_fills_the_device(run):
    for row in rows(run):
        own = made(run, row)
        for item in own.classes:
            for ledger in (memory.decode_ledger(own, item), memory.prefill_ledger(own, item)):
                if ledger is not None:
                    assert sum(term.share or 0 for term in ledger.terms) == pytest.approx(1, abs=1e-9)
                    assert all(term.value >= 0 for term in ledger.terms), ledger


def test_parts_of_the_cost_add_up(run):
    for row in rows(run):
        own, designs = made(run, row), explain.design_of(run.opened, row)
        for item in own.classes:
            section = money.cost_section(own, designs, item)
            assert sum(term.value for term in section.terms) == pytest.approx(float(item.columns.cost[0]), rel=1e-2)
        hourly = money.hourly(own, designs, "decode", 0)
        expected = float(own.block.decode.hourly[0, 0] + own.block.decode.pool_hourly[0, 0])
        assert sum(hourly.values()) == pytest.approx(expected)
        assert hourly["electricity"] > 0
        assert hourly["device"] > 0


def test_an_explanation_fits_a_terminal_and_json(run):
    own = explain.explain(run.opened, 0, "last:A")
    text = explain_text.text(own, every_input=False)
    assert max(map(len, text)) <= 100
    for word in (
        "TPOT",
        "TTFT",
        "decode device",
        "distance to the next bound",
        "analytic estimate, prices",
        "OI FLOP/B",
    ):
        assert any(word in line for line in text), word
    data = json.loads(json.dumps(own.json(), default=float))
    assert {"metrics", "limits", "classes", "inputs", "levers"} <= data.keys()
    assert {"tpot", "ttft", "step", "kv", "cost"} <= next(iter(data["classes"].values()))["sections"].keys()
    assert all({"name", "value", "source", "date", "estimate"} == line.keys() for line in data["inputs"])


def test_every_input_names_its_source(run):
    own = explain.explain(run.opened, 0, "last:A")
    assert all(line.source for line in own.inputs)
    assert any(line.estimate for line in own.inputs)
    assert not all(line.estimate for line in own.inputs)


def test_more_bandwidth_never_slows_decode(single):
    own = explain.explain(single.opened, 0, "A")
    device = own.levers["decode.device"]
    change = explain.what_if(single.opened, 0, "A", {f"devices.{device}.memory.bandwidth": "100 TB/s"})
    before, after = ({term.name: term.value for term in part.metrics} for part in (change.before, change.after))
    assert after["tpot"] < before["tpot"]
    assert after["cost"] < before["cost"]
    assert max(map(len, explain_text.change_text(change))) <= 100


def test_a_lever_can_be_changed(single):
    change = explain.what_if(single.opened, 0, "A", {"decode.host_memory": "2 TB"})
    assert change.after.levers["decode.host_memory"] == 2e12


@pytest.mark.parametrize("path", ["decode.host_memory", "devices.h200_sxm.memory.bandwidth", "devices.x9.power"])
def test_a_change_that_cannot_be_read_is_refused(single, path):
    with pytest.raises(SpecError):
        explain.what_if(single.opened, 0, "A", {path: "5 apples"})


def test_regimes_lie_where_the_columns_say(run):
    own = explain.explain(run.opened, 0, "A")
    for item in own.classes:
        for regime in item.regimes:
            assert regime.oi > 0
            assert regime.cf_request > 0
            assert np.isfinite(regime.ridge)
