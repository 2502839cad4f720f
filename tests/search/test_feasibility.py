from dataclasses import replace

import numpy as np
import pytest

from dse.facts.errors import SpecError
from dse.search.axes import Inert
from dse.search.feasibility import emptied, idle
from dse.search.metrics import Metrics
from dse.search.space import space


def rows(**slacks):
    columns = {f"slack_{name}": np.array(values) for name, values in slacks.items()}
    violation = sum(np.maximum(-values, 0) for values in columns.values())
    return Metrics(np.arange(len(violation)), columns, {}, violation)


def test_the_requirement_that_no_design_meets_is_named():
    (said,) = emptied(rows(power=[-0.5, -0.2], memory=[0.3, -0.1]))
    assert said == "slack_power: none of 2 designs meets it; the best misses by 20%"


def test_requirements_that_exclude_each_other_are_named_together():
    (said,) = emptied(rows(power=[-0.5, 0.2, -0.1], memory=[0.3, -0.1, 0.2]))
    assert "exclude each other" in said
    assert said.index("slack_power (67%") < said.index("slack_memory (33%")


def test_a_space_with_a_feasible_design_is_not_empty():
    assert emptied(rows(power=[-0.5, 0.2])) == []


def test_a_search_without_a_feasible_design_says_which_requirement_empties_the_space(ask, toys):
    found = ask("tight", "500 evaluations", toy=replace(toys["tight"], tightness=0.01))
    assert found.summary["emptied_by"][0].startswith("slack_memory: none of")
    assert ask("tight", "3000 evaluations").summary["emptied_by"] == []


def test_levers_that_can_never_act_are_told():
    rule = (Inert("pool", frozenset({"none"})),)
    held = space({"pool": ("none",), "size": (1, 2), "host": (1, 2)}, {"size": rule})
    assert idle(held) == ["size has 2 choices that can have no effect: pool is always none"]
    assert idle(space({"pool": ("none", "cxl"), "size": (1, 2)}, {"size": rule})) == []


def test_levers_with_too_many_combinations_are_refused_with_their_place():
    rule = (Inert("pool", frozenset({"none"})),)
    many = {f"x{number}": tuple(range(9000)) for number in range(5)}
    with pytest.raises(SpecError, match=r"levers\.x0 .*59,?0?.*|levers\.x0") as caught:
        _ = space({"pool": ("none", "cxl"), **many}, dict.fromkeys(many, rule)).size
    assert "x0 (9,000 choices)" in str(caught.value)


def test_too_many_levers_that_decide_about_others_are_refused():
    chain = {f"x{number}": tuple(range(300)) for number in range(4)}
    rules = {f"x{number}": (Inert(f"x{number - 1}", frozenset({0})),) for number in range(1, 4)}
    with pytest.raises(SpecError, match="decide about others"):
        _ = space(chain, rules).size


def test_a_long_ordered_lever_has_neighbours_at_growing_distances():
    tested = space({"rate": tuple(float(n) for n in range(1000)), "kind": ("a", "b")}, {})
    near, _ = tested.neighbours(tested.encode({"rate": 500.0, "kind": "a"}))
    rates = sorted(int(row[0]) for row in near.rows if row[1] == 0)
    assert {499, 501, 498, 502, 244, 756} <= set(rates)
    assert len(near) < 30
