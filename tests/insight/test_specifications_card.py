"""The card of the specifications holds what its data say, escaped, with figures that carry unit, study and date."""

from dse.insight.paths import words
from dse.insight.report.cards import specifications as card


def test_the_card_shows_the_largest_shift_first(run):
    own = card.data(run.opened)
    sizes = [item.size for item in own.shifts.found]
    assert sizes == sorted(sizes, reverse=True)
    made = card.figure(own)
    assert made.data[0].y[-1] == words(own.shifts.found[0].path)
    assert list(made.data[1].x)[-1] == own.shifts.found[0].up.hypervolume
    title = made.layout.title
    assert "analytic estimate" in title.subtitle.text
    assert run.opened.problem.name in title.subtitle.text
    assert "decades" in made.layout.xaxis.title.text


def test_the_card_fits_the_page(run):
    made = card.card(run.opened)
    assert made.key == "specifications"
    assert 'data-figure="specifications"' in made.html
    assert "no new search" in made.html
    assert "<script" not in made.html


def test_break_even_stands_on_the_page_where_the_lever_does(run):
    assert (card.data(run.opened).curve is None) == (len(run.opened.problem.levers["optical_bandwidth"]) < 2)
