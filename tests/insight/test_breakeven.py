"""Break-even values: closed forms where costs are linear in a price, both sides of a choice, the command."""

import csv
import io
import json
from dataclasses import replace
from itertools import pairwise

import numpy as np
import pytest
from typer.testing import CliRunner

from dse.cli import app
from dse.facts.errors import SpecError
from dse.insight.sensitivity import breakeven_text
from dse.insight.sensitivity.breakeven import ENTERS, Criterion, Crossing, Span, breakeven
from dse.insight.sensitivity.choices import choice, sides
from dse.insight.sensitivity.questions import QUESTIONS, asked

SPAN = Span(0.2, 5.0, 7, 3)
DEVICE = "decode.device=h200_sxm"
PRICE = "devices.h200_sxm.price"


@pytest.fixture(scope="module")
def found(single):
    own = choice(single.opened, DEVICE)
    return breakeven(sides(single.opened, own), own, PRICE, SPAN)


def test_both_sides_are_what_they_claim(single):
    own = choice(single.opened, DEVICE)
    made = sides(single.opened, own)
    assert own.taken(made.problem, made.taken).all()
    assert not own.taken(made.problem, made.other).any()
    assert len(made.taken) > 0
    assert len(made.other) > 0
    opposite = choice(single.opened, "decode.device!=h200_sxm")
    assert len(sides(single.opened, opposite).taken) == len(made.other)


def test_a_part_pays_below_its_break_even_price(found):
    for item in found.criteria:
        gains = [gain for gain in item.advantage if np.isfinite(gain)]
        assert all(later <= earlier + 1e-9 for earlier, later in pairwise(gains)), item.name
        for crossing in item.crossings:
            assert crossing.pays_below
            assert crossing.low <= crossing.value <= crossing.high
            assert crossing.high / crossing.low < 1.01
    assert any(item.crossings for item in found.criteria)
    assert found.criteria[-1].name == ENTERS


def test_costs_are_equal_at_the_break_even(single, found):
    """Closed form: at the value itself the two sides cost the same, wherever the curves cross."""
    own = choice(single.opened, DEVICE)
    made = sides(single.opened, own)
    for place, item in enumerate(found.criteria):
        for crossing in item.crossings:
            if crossing.jump:
                continue
            factor = crossing.value / found.base
            near = breakeven(made, own, PRICE, Span(factor * 0.9999, factor * 1.0001, 2, 2))
            assert abs(near.criteria[place].advantage[0]) < 0.01


def test_the_text_says_what_is_held_fixed(found):
    text = breakeven_text.text(found)
    assert max(map(len, text)) <= 100
    whole = " ".join(" ".join(text).split())
    for words in ("held fixed", "not a new search", "analytic estimate", "everything but price of h200_sxm", PRICE):
        assert words in whole
    rows = list(csv.DictReader(io.StringIO(breakeven_text.csv_text([found]))))
    assert {row["kind"] for row in rows} <= {"curve", "crossing"}
    assert sum(row["kind"] == "curve" for row in rows) == SPAN.steps * len(found.criteria)
    assert json.loads(json.dumps(found.json(), allow_nan=False))["path"] == PRICE


def test_several_crossings_read_as_stretches(found):
    steps = ((1.0, False), (2.0, True), (4.0, False))
    crossings = tuple(Crossing(0.99 * at, at, 1.01 * at, below, at == 4.0) for at, below in steps)
    two = replace(
        found, unit="$", base=3.0, criteria=(Criterion("A", (), crossings), Criterion("B", (), crossings[1:]))
    )
    inside, outside = breakeven_text.answers(two)
    assert "cheaper between 1 $ and 2 $ and above 4 $ (known within 1 %, stated 3 $" in inside
    assert "stops attaining the levels at 4 $" in inside
    assert "cheaper below 2 $ and above 4 $" in outside


@pytest.mark.parametrize(
    "text", ["decode.device", "decode.device=x9", "colour=red", "devices=red", "pool.capacity=5 apples"]
)
def test_a_choice_that_cannot_be_read_is_refused(single, text):
    with pytest.raises(SpecError):
        choice(single.opened, text)


def test_every_question_has_an_answer(run):
    several = len(run.opened.problem.agents) > 1
    for name in QUESTIONS:
        if name == "mixture" and not several:
            with pytest.raises(SpecError):
                asked(run.opened, name)
            continue
        item = asked(run.opened, name)[0]
        own = choice(run.opened, item.choice)
        made = breakeven(sides(run.opened, own), own, item.path, Span(item.span.low, item.span.high, 3, 2))
        assert len(made.criteria) == len(run.opened.picks) + 1
        assert breakeven_text.answers(made)


def test_the_command(single, tmp_path):
    name = str(single.opened.run.folder)
    runner = CliRunner()
    asked_for = ["breakeven", name, "--lever", DEVICE, "--price", PRICE, "--range", "0.5,2"]
    plain = runner.invoke(app, [*asked_for, "--csv", str(tmp_path / "curve.csv")])
    assert plain.exit_code == 0, plain.output
    assert "h200_sxm" in plain.output
    assert (tmp_path / "curve.csv").read_text().startswith("kind,choice")
    data = json.loads(runner.invoke(app, [*asked_for, "--json"]).output)
    assert {"crossings", "advantage_decades"} <= data["breakevens"][0]["criteria"][0].keys()
    assert runner.invoke(app, ["breakeven", name]).exit_code == 2
    assert runner.invoke(app, ["breakeven", name, "--lever", DEVICE, "--price", PRICE, "--range", "2,1"]).exit_code == 2


def test_a_search_adds_to_both_sides(single):
    from dse.insight.sensitivity.searching import searcher
    from dse.search.budget import budget

    own = choice(single.opened, DEVICE)
    anew = searcher(budget("12 evaluations"), 0, workers=1)
    found = breakeven(sides(single.opened, own), own, PRICE, Span(0.5, 2.0, 3, 2), anew)
    assert found.searched
    assert "searched anew" in breakeven_text.fixed(found)
