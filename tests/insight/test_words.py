"""What a run says fits the screen, and is made of the run's numbers."""

import numpy as np
import pytest

from dse.facts.errors import SpecError
from dse.insight import chart, runs, table, wording
from dse.insight.decision.compare import compare, tables
from dse.insight.notebook import open_run
from dse.insight.oi_cf import plane
from dse.insight.shortlist import shortlist
from dse.insight.verdict import limits, verdict


def test_letters_name_the_extremes_and_the_knees(run):
    front = run.front().designs
    picks = shortlist(front)
    assert [pick.letter for pick in picks] == list("ABCDEFGH")[: len(picks)]
    rows = {pick.row for pick in picks}
    assert {int(row) for row in front.knees(3)} <= rows
    assert {int(np.argmin(front.archive.scores[:, goal])) for goal in range(3)} <= rows


def test_a_verdict_has_its_four_subjects(run):
    said = {sentence.subject: sentence.text for sentence in verdict(run.opened.problem, run.opened.run)}
    assert {"heterogeneity", "what binds", "confidence"} <= said.keys()
    assert any("cheapest" in subject for subject in said)
    cheapest = run.front().designs.archive.metrics.columns["cost"][0]
    text = next(text for subject, text in said.items() if "cheapest" in subject)
    assert f"{wording.number(cheapest)} $/task" in text
    assert run.opened.problem.prices.date in said["confidence"]


def test_a_table_fits_and_has_at_most_eight_columns(run):
    front = run.front().designs
    made = table.front_table(run.opened.problem, front, range(min(20, len(front))), run.opened.picks)
    assert len(made.header) <= table.MOST_COLUMNS
    assert all(len(row) == len(made.header) for row in made.rows)
    assert max(map(len, table.lines(made))) <= table.WIDTH
    assert "$/task" in made.header


def test_a_picture_is_small_and_shows_every_letter(run):
    lines = chart.picture(run.front().designs, run.opened.picks)
    assert len(lines) <= 20
    assert max(map(len, lines)) <= 100
    shown = "".join(lines[1:-2])
    for pick in run.opened.picks:
        assert pick.letter in shown


@pytest.mark.parametrize("span", [1.0, 1.02, 1.5, 9.0, 1e6])
def test_axes_have_ticks_at_any_span(span):
    axis = chart.axis(np.array([3.0, 3.0 * span]), 40)
    ticks = chart.ticks(axis, 6)
    assert 1 <= len(ticks) <= 6
    assert all(axis.low <= np.log10(tick) <= axis.high for tick in ticks)


def test_limits_are_sorted_and_leave_out_what_does_not_apply(run):
    found = limits(run.front().designs.archive.metrics.columns, 0)
    assert [limit.slack for limit in found] == sorted(limit.slack for limit in found)
    assert all(limit.slack >= 0 for limit in found)


def test_a_design_equals_itself_and_differs_from_another(run):
    last = len(run.front()) - 1
    same = compare((run.opened, 0), (run.opened, 0), ("A", "A"))
    assert not same.choices
    assert all(row["verdict"] in ("same", "") for row in same.metrics.values())
    other = compare((run.opened, 0), (run.opened, last), ("A", "Z"))
    assert other.choices
    assert other.metrics["cost"]["verdict"] in ("worse", "same")
    assert all(max(map(len, table.lines(own))) <= 100 for own in tables(other))


def test_runs_are_found_by_every_name(single):
    results, folder = single.folder.parent.parent, single.folder
    for name in ("last", "last~0", "tiny/last", "tiny", folder.name, f"tiny/{folder.name}", str(folder)):
        assert runs.locate(name, results) == folder.resolve(), name
    opened, row = runs.design("last:A", results)
    assert row == opened.picks[0].row
    assert runs.design("tiny/last:D001", results)[1] == 0
    assert runs.design("last:1".replace("1", "d001"), results)[1] == 0


@pytest.mark.parametrize("name", ["last~5", "nothing", "other/last"])
def test_a_run_that_is_not_there_is_refused(single, name):
    with pytest.raises(SpecError):
        runs.locate(name, single.folder.parent.parent)


@pytest.mark.parametrize("name", ["last", "last:D999999", "last:Q"])
def test_a_design_that_is_not_there_is_refused(single, name):
    with pytest.raises(SpecError):
        runs.design(name, single.folder.parent.parent)


def test_the_public_names_do_what_the_first_page_says(single, tmp_path):
    run = open_run("tiny", single.folder.parent.parent)
    front = run.front()
    front.to_csv(tmp_path / "front.csv")
    assert (tmp_path / "front.csv").read_text().startswith("design [id],cost [$/task]")
    assert "design" in str(front)
    best = front.knees(3)
    assert "TPOT" in best[0].explain()
    assert front[best[0].id].objectives == best[0].objectives
    assert "confidence" in run.verdict()


def test_decode_needs_more_capacity_for_a_longer_context():
    own = plane(["coding", "chat"], ["llama_3_1_70b"], "b200_sxm", 16, 8)
    decode = {row.agent: row for row in own.rows if row.phase == "decode"}
    assert decode["coding"].cf_request > decode["chat"].cf_request
    assert decode["coding"].oi < decode["chat"].oi
