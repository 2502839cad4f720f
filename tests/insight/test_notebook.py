"""What a notebook shows and gives: the front draws itself, becomes a table, and every figure is a function."""

import csv
import re
from pathlib import Path
from xml.etree import ElementTree

import pytest

from dse.facts.errors import SpecError
from dse.insight.notebook import open_run
from dse.insight.report.figures import FIGURES

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def run():
    return open_run(str(ROOT / "results" / "quickstart" / "reference"))


def test_front_draws_itself(run):
    shown = run.front()._repr_html_()
    picture = re.search(r"<svg.*</svg>", shown, flags=re.DOTALL)
    assert picture
    root = ElementTree.fromstring(picture[0])
    assert len(root.findall(".//{*}circle")) == len(run.front())
    assert "analytic estimate, prices 2026-02" in shown
    assert all(f">{pick.letter}</text>" in shown for pick in run.opened.picks)


def test_frame_is_the_table_of_the_run_with_numbers(run):
    frame = run.front().to_frame()
    with (run.folder / "front.csv").open(encoding="utf-8", newline="") as stream:
        lines = list(csv.DictReader(stream))
    assert ["design [id]", *frame.columns] == list(lines[0])
    assert list(frame.index) == [line["design [id]"] for line in lines]
    for name in ("cost [$/task]", "throughput [task/s/MW]", "coding.tpot [s]", "cost_per_mtok [$/Mtok]"):
        assert frame[name].tolist() == pytest.approx([float(line[name]) for line in lines], rel=1e-5)
    assert frame["decode.device [name]"].tolist() == [line["decode.device [name]"] for line in lines]


@pytest.mark.parametrize("name", FIGURES)
def test_every_figure_is_a_function_of_the_run(run, name):
    figure = run.figure(name)
    assert figure.layout.title.text
    assert name == "history" or len(figure.data) > 0


def test_unknown_figure_is_an_error_with_a_hint(run):
    with pytest.raises(SpecError, match=r"Did you mean `map`"):
        run.figure("mpa")
