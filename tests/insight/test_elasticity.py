"""What specifications are worth: closed forms, laws, and that one array call gives what separate problems give."""

import json
from dataclasses import replace

import numpy as np
import pytest

from dse.facts.errors import SpecError
from dse.insight import explain
from dse.insight.case import case
from dse.insight.money import cost_section, hourly
from dse.insight.sensitivity import elasticity_text
from dse.insight.sensitivity.candidates import evaluator, front_systems
from dse.insight.sensitivity.choices import device_types
from dse.insight.sensitivity.elasticity import tornado
from dse.insight.sensitivity.held import Scenario, Systems, scored
from dse.insight.sensitivity.specifications import specifications
from dse.insight.sensitivity.stretched import changed
from dse.insight.sensitivity.varied import knob, varied
from dse.search.axes import Designs
from dse.search.evaluation import Evaluator


@pytest.fixture(scope="module")
def plan(run):
    return evaluator(run.opened).plan


@pytest.fixture(scope="module")
def systems(run):
    return front_systems(run.opened, 12)


def cheapest(run):
    designs = explain.design_of(run.opened, 0)
    own = case(evaluator(run.opened), designs, run.front().designs.mapping(0))
    return own, designs


@pytest.fixture(scope="module")
def effects(run):
    own, designs = cheapest(run)
    found = tornado(evaluator(run.opened), own, designs, run.front().designs.question.goals)
    return {effect.name: effect for effect in found.effects}


def test_held_systems_score_as_the_search_scored_them(run, plan):
    archive = run.front().designs.archive
    designs = Designs(archive.rows.copy(), run.opened.run.question.space.names)
    (found,) = scored(plan, Systems(designs, archive.metrics.mapping), [Scenario(run.opened.problem)])
    for name, values in archive.metrics.columns.items():
        assert found.columns[name] == pytest.approx(values, rel=1e-9, abs=1e-12), name


PATHS = (
    "devices.*.memory.bandwidth",
    "devices.*.peak.*",
    "devices.*.price",
    "devices.*.scale_up.bandwidth",
    "prices.electricity",
    "prices.memory.ddr5_rdimm",
    "memories.cxl_ddr5.bandwidth",
    "serving.utilisation",
    "optical_bandwidth",
)


@pytest.mark.parametrize("path", PATHS)
def test_a_change_in_the_one_array_call_is_that_of_a_problem_of_its_own(run, plan, systems, path):
    change = varied(plan, path, 1.1)
    together = scored(plan, systems, [Scenario(run.opened.problem), change, varied(plan, "prices.pue", 1.1)])[1]
    alone = scored(Evaluator.of(change.problem).plan, systems, [Scenario(change.problem)])[0]
    for name, values in alone.columns.items():
        assert together.columns[name] == pytest.approx(values, rel=1e-9, abs=1e-12), name


BETTER_UP = ("devices.*.memory.bandwidth", "devices.*.peak.*", "devices.*.scale_up.bandwidth", "calibration.compute")
DEARER_UP = ("devices.*.price", "prices.electricity", "prices.host_share", "prices.interest")


@pytest.mark.parametrize("path", BETTER_UP)
def test_better_hardware_never_costs_more_time_or_energy(plan, systems, path):
    low, high = scored(plan, systems, [varied(plan, path, 0.9), varied(plan, path, 1.1)])
    for name in ("tpot", "cost", "energy_per_task"):
        assert (high.columns[name] <= low.columns[name] * (1 + 1e-9)).all(), name


@pytest.mark.parametrize("path", DEARER_UP)
def test_higher_prices_cost_more_and_change_nothing_else(plan, systems, path):
    low, high = scored(plan, systems, [varied(plan, path, 0.9), varied(plan, path, 1.1)])
    assert (high.columns["cost"] >= low.columns["cost"]).all()
    assert (high.columns["cost"] > low.columns["cost"]).any()
    for name in ("latency", "energy_per_task", "tpot"):
        assert high.columns[name] == pytest.approx(low.columns[name])


def test_longer_hops_never_speed_up_a_step(plan, systems):
    low, high = (scored(plan, systems, [varied(plan, "topologies.*.hop_latency", x)])[0] for x in (0.5, 2.0))
    assert (high.columns["tpot"] >= low.columns["tpot"]).all()
    assert (high.columns["tpot"] > low.columns["tpot"]).any()


def test_a_price_has_its_share_of_the_cost_as_elasticity(run, effects):
    """Cost is linear in a price: its elasticity is its share, here from the parts of the bill.

    A part that enters through an ownership rate costs more than its own share: the level of its rate follows, too.
    """
    own, designs = cheapest(run)
    share = 0.0
    weights = [agent.share for agent in run.opened.problem.agents]
    for weight, item in zip(weights, own.classes, strict=True):
        terms = {term.name: term.value for term in cost_section(own, designs, item).terms}
        share += weight * terms["electricity"] / own.value("cost")
    effect = effects["prices.electricity"]
    used = [str(choice) for name, choice in own.levers.items() if name.endswith("device") and choice != "none"]
    if all(run.opened.problem.devices[name].price for name in used):
        assert effect.elasticity["cost"] == pytest.approx(share, rel=0.02)
    else:
        assert share < effect.elasticity["cost"] < 1.2 * share
    assert effect.up.held["cost"] == pytest.approx(-effect.down.held["cost"], rel=1e-6)
    assert hourly(own, designs, "decode", 0)["electricity"] > 0


def test_all_money_together_has_elasticity_one(plan, systems):
    paths = ("devices.*.price", "prices.host_share", "prices.network_share", "prices.electricity", "prices.memory.*")
    paths += ("prices.optics", "prices.switching")
    (stated,) = scored(plan, systems, [Scenario(plan.problem)])
    problem = plan.problem
    for path in paths:
        problem = varied(replace(plan, problem=problem), path, 1.1).problem
    (dearer,) = scored(plan, systems, [Scenario(problem)])
    listed = [all(plan.problem.devices[kind].price for kind in kinds) for kinds in device_kinds(plan, systems)]
    assert any(listed)  # an ownership rate is brought to the level of list prices, which is not linear
    assert dearer.columns["cost"][listed] == pytest.approx(1.1 * stated.columns["cost"][listed], rel=1e-9)


def device_kinds(plan, systems):
    return [device_types(plan.problem, systems.designs, row) for row in range(len(systems))]


def test_a_decode_step_bound_by_memory_has_elasticity_minus_one_in_bandwidth(run, plan, systems):
    """Without floors, messages and compute only memory is left of a decode step, and its time is bytes / bandwidth."""
    ideal = varied(plan, "calibration.overhead", 1e-9)
    endless = ("devices.*.peak.*", "devices.*.scale_up.bandwidth", "devices.*.scale_out.bandwidth")
    problem = plan.problem
    for path in endless:
        problem = varied(replace(plan, problem=problem), path, 1e9).problem
    still = dict.fromkeys(("native", *problem.topologies), 1e-9)
    tpots = []
    for factor in (0.9, 1.1):
        faster = varied(replace(plan, problem=problem), "devices.*.memory.bandwidth", factor).problem
        made = Scenario(faster, still, ideal.calibration)
        tpots.append(scored(plan, systems, [made])[0].columns["tpot_full"])
    slope = np.log(tpots[1] / tpots[0]) / np.log(1.1 / 0.9)
    separate = np.array([name == "disaggregated" for name in serving(run, systems)])
    assert separate.any()
    assert slope[separate] == pytest.approx(-1, abs=0.12)


def serving(run, systems):
    choices = run.opened.problem.levers["serving"]
    return [choices[row] for row in systems.designs["serving"]] if "serving" in systems.designs.names else choices


def test_effects_are_sorted_and_told(run, effects):
    sizes = [effect.size for effect in effects.values()]
    assert sizes == sorted(sizes, reverse=True)
    assert any(name.endswith("memory.bandwidth") for name in effects)
    own, designs = cheapest(run)
    found = tornado(evaluator(run.opened), own, designs, run.front().designs.question.goals)
    for every in (False, True):
        text = elasticity_text.effect_lines(found, every)
        assert max(map(len, text)) <= 100
    assert any("memory bandwidth" in line for line in text)
    assert found.json()["step"] == 0.1


def test_a_tuned_mapping_is_never_worse_than_a_held_one_that_meets_its_targets(effects):
    for effect in effects.values():
        for move in (effect.down, effect.up):
            if not move.broken and move.remapped is not None:
                assert move.remapped <= move.held["cost"] + 1e-9


def test_the_front_moves_with_specifications(run):
    found = specifications(run.opened)
    shifts = {item.path: item for item in found.found}
    bandwidth, price = shifts["devices.*.memory.bandwidth"], shifts["devices.*.price"]
    assert bandwidth.up.hypervolume > 0 > bandwidth.down.hypervolume
    assert price.up.hypervolume < 0 < price.down.hypervolume
    assert price.down.cost < 0 < price.up.cost < 0.1
    assert len(price.up.knees) == len(found.letters)
    text = elasticity_text.front_lines(found)
    assert max(map(len, text)) <= 100
    json.loads(json.dumps(found.json(), allow_nan=False))
    one = specifications(run.opened, part="b200_sxm")
    assert all(item.path.startswith("devices.b200_sxm.") for item in one.found)


def test_stretched_workloads_do_what_they_say(run):
    problem = run.opened.problem
    name = problem.agents[0].name
    longer = changed(problem, f"agents.{name}.gap", 3.0).agents[0].workload
    before = problem.agents[0].workload
    assert longer.table.gap == pytest.approx(3 * before.table.gap)
    assert longer.representative.weight.sum(axis=1) == pytest.approx(1)
    assert (longer.curves.hit_by_time <= before.curves.hit_by_time + 1e-12).all()
    wider = changed(problem, f"agents.{name}.context", 2.0).agents[0].workload
    assert wider.served.context == pytest.approx(2 * before.served.context, rel=1e-6)
    assert wider.served.output == before.served.output


@pytest.mark.parametrize(
    "path", ["devices.b200_sxm.colour", "nothing", "agents.x.gap", "topologies.moebius.hop_latency"]
)
def test_a_number_that_does_not_exist_is_refused(plan, path):
    with pytest.raises(SpecError):
        knob(plan, path)
