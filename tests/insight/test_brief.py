"""The brief says only what the run knows: every number in its sentences is one of the data."""

import math
import re

import numpy as np
import pytest

from dse.facts import reader
from dse.insight.case import case
from dse.insight.decision import brief as insight
from dse.insight.decision import brief_page, deployment, materials
from dse.insight.decision.front_picture import drawing
from dse.insight.explain import design_of
from dse.insight.shortlist import KNEE
from dse.insight.table import MOST_COLUMNS
from dse.search.evaluation import Evaluator

NUMBER = re.compile(r"(?<![\w.\-])\d[\d,]*(?:\.\d+)?(?![\w\-])")


@pytest.fixture(scope="module")
def own(run) -> insight.Brief:
    return insight.brief(run.opened)


def close(text: str, known: list[float]) -> bool:
    """Whether a written number is one of the known ones at some prefix or as percent, to its digits."""
    written = float(text.replace(",", ""))
    digits = len(text.partition(".")[2])
    scales = [10.0**power for power in (-15, -12, -9, -6, -3, 0, 2, 3, 6, 9, 12)]
    scales += [3600, 3.6e6, 1 / 86_400, 1 / 60, 1 / (365 * 86_400)]  # $/h, $/kWh, days, minutes, years
    room = 0.51 * 10.0**-digits if digits or abs(written) < 1000 else 0.005 * written
    return any(abs(value * scale - written) <= room for value in known for scale in scales)


def numbers(tree: object) -> list[float]:
    if isinstance(tree, dict):
        return [number for child in tree.values() for number in numbers(child)]
    if isinstance(tree, list | tuple | np.ndarray):
        return [number for child in tree for number in numbers(child)]
    return [abs(float(tree))] if isinstance(tree, int | float) and not isinstance(tree, bool) else []


def test_every_number_of_a_sentence_is_kept_beside_it(own):
    for item in own.sentences():
        text = re.sub(r"\b(p50|p95|p99)\b|\d{4}-\d\d|\d σ|D\d+", "", item.text)
        for found in NUMBER.findall(re.sub(r"\b[A-Za-z]+\d+\w*|\b\w*_\w*", "", text)):
            assert close(found, [abs(number) for number in item.numbers]), (found, item)


def test_every_number_of_the_tables_is_in_the_data(own):
    known = numbers(own.json()) + numbers([effect.up.held for effect in own.effects])
    known += [1 - value for value in known if 0 < value < 1]
    bandwidths = [
        rate
        for device in own.problem.devices.values()
        for rate in (device.scale_up and device.scale_up.bandwidth, device.scale_out and device.scale_out.bandwidth)
        if rate
    ]
    for table in (
        brief_page.systems(own),
        brief_page.bills(own),
        brief_page.swing_table(own),
        brief_page.unknown_table(own),
    ):
        assert len(table.header) <= MOST_COLUMNS
        for row in table.rows:
            if row[0] in ("system", "links per device"):
                continue
            for cell in row[1:]:
                for found in NUMBER.findall(re.sub(r"\b[A-Za-z]+\d+\w*|\b\w*_\w*|\d σ", "", cell)):
                    assert close(found, known + bandwidths), (found, row)


def test_there_are_three_systems_where_the_front_has_them(own, run):
    front = run.opened.front
    rows = [item.row for item in own.candidates]
    assert len(set(rows)) == len(rows) == min(insight.CANDIDATES, len(run.opened.picks))
    assert int(np.argmin(front.archive.scores[:, 0])) in rows
    knees = [pick for pick in run.opened.picks if KNEE in pick.reason]
    shares = {pick.row: own.robust.front[own.robust.place(pick.row)] for pick in knees}
    assert shares[own.candidates[own.chosen].row] == max(shares.values())


def test_a_bill_buys_whole_instances_and_adds_up(own):
    for item in own.candidates:
        bill = item.bill
        assert all(part.devices >= part.needed - 1e-6 for part in bill.parts)
        assert sum(bill.by_type.values()) == bill.devices
        assert bill.cost >= item.metrics["cost"] * (1 - 1e-9)
        assert sum(item.money.values()) == pytest.approx(bill.hourly)
        assert bill.capital > 0


def test_a_large_load_costs_what_the_model_says(run):
    opened = run.opened
    made = case(Evaluator.of(opened.problem), design_of(opened, 0), opened.front.mapping(0))
    bill = materials.materials(made, 1e7)
    assert bill.cost == pytest.approx(made.value("cost"), rel=1e-3)
    assert bill.load / bill.power == pytest.approx(made.value("throughput"), rel=1e-3)


def test_a_deployment_is_yaml_with_the_mapping_of_the_design(own, tmp_path):
    for item in own.candidates:
        assert item.sketch is not None
        path = tmp_path / f"{item.name}.yaml"
        path.write_text(item.sketch)
        data = reader.read(path).data
        for agent in own.problem.agents:
            side = data["agents"][agent.name]["decode"]
            degrees = [side[deployment.WORDS[name]] for name in ("tp", "pp", "attention_dp", "cp")]
            assert side["devices_per_instance"] == math.prod(degrees)
            assert side["devices"] == side["replicas"] * side["devices_per_instance"]
            assert data["agents"][agent.name]["kv"]["home"] in ("prefill", "decode", "shared", "append_on_decode")


def test_a_part_that_cannot_be_bought_has_no_deployment(single):
    opened = single.opened
    made = case(Evaluator.of(opened.problem), design_of(opened, 0), opened.front.mapping(0))
    bill = materials.materials(made, 1.0)
    assert deployment.sketch(made, bill, "A", "note") is not None
    part = made.plan.problem.devices[bill.parts[0].device]
    dream = part.model_copy(update={"peak": part.peak.model_copy(update={"bf16": 1e16})})
    made.plan.problem.devices[bill.parts[0].device] = dream  # type: ignore[index]
    assert deployment.sketch(made, bill, "A", "note") is None
    made.plan.problem.devices[bill.parts[0].device] = part  # type: ignore[index]


def test_a_named_design_is_the_recommended_one(run):
    names = [pick.letter for pick in run.opened.picks][::-1][:2]
    made = insight.brief(run.opened, names, load=3.0)
    assert [item.name for item in made.candidates] == names
    assert made.chosen == 0
    assert made.candidates[0].bill.load == 3.0


def test_the_page_has_two_sheets_and_both_documents_say_the_same(own):
    page, text = brief_page.html(own), brief_page.markdown(own)
    assert page.count('<section class="sheet') == 2
    assert page.count("<table") == page.count("</table>") == 5
    for heading in (
        "Answer",
        "Three systems",
        "Bill of materials",
        "What could overturn the answer",
        "What it rests on",
    ):
        assert f"<h2>{heading}</h2>" in page
        assert f"## {heading}" in text
    assert "analytic estimate" in text
    assert own.problem.prices.date in text
    assert "http" not in page.replace("http://www.w3.org", "")


def test_a_drawing_places_a_design_by_its_logarithms():
    points = np.array([[0.1, 1.0], [1.0, 10.0], [10.0, 100.0]])
    made = drawing(points, [("B", 1.0, 10.0, True)], ("x", "<y>"))
    left, middle, right = (float(x) for x in re.findall(r'class="dot" cx="([\d.]+)"', made))
    assert middle == pytest.approx((left + right) / 2, abs=0.2)
    assert "&lt;y&gt;" in made
