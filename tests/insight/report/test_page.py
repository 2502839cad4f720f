"""The page as a file: complete, offline, escaped, readable without a script."""

import json
import re
from dataclasses import replace
from html.parser import HTMLParser

import pytest

from dse.insight.report import markup, page
from dse.insight.report.page import Entry
from dse.insight.report.scene import Scene

MOST_BYTES = 6_000_000


@pytest.fixture(scope="module")
def text(scene) -> str:
    return page.html(scene.opened)


@pytest.fixture(scope="module")
def words(text) -> str:
    """What is left without scripts and styles."""
    return re.sub(r"<(script|style)\b.*?</\1>", "", text, flags=re.DOTALL)


class Outline(HTMLParser):
    def __init__(self):
        super().__init__()
        self.open, self.cards, self.columns, self.links = [], [], [], []

    def handle_starttag(self, tag, attributes):
        own = dict(attributes)
        if "data-card" in own:
            self.cards.append(own["data-card"])
        if tag == "tr":
            self.columns.append(0)
        if tag in ("td", "th"):
            self.columns[-1] += 1
        self.links += [own[name] for name in ("href", "src") if own.get(name)]


def test_page_is_small_and_holds_the_library_once(text):
    assert len(text.encode()) <= MOST_BYTES
    assert text.count("plotly.js v") == 1


def test_page_has_every_card_in_order(words, cards):
    outline = Outline()
    outline.feed(words)
    mine = [card.key for card in cards.values()]
    assert [key for key in outline.cards if key in mine] == mine


def test_no_card_of_the_committed_run_fails(words):
    assert "could not be made" not in words
    assert "could not be told" not in words


def test_page_loads_nothing(words):
    outline = Outline()
    outline.feed(words)
    assert all(link.startswith("#") for link in outline.links), outline.links
    assert "default-src 'none'" in words


def test_tables_have_at_most_eight_columns(words):
    outline = Outline()
    outline.feed(words)
    assert max(outline.columns) <= markup.MOST_COLUMNS


def test_text_reads_without_a_script(words, scene):
    for wanted in (
        "Verdict",
        "cheapest",
        "Nearest limits",
        "Where the money goes",
        "How exact is the model?",
        "dse run",
    ):
        assert wanted in words
    assert all(f"{pick.letter}</span>" in words for pick in scene.shown)


def test_every_figure_says_what_it_is(cards, scene):
    for card in cards.values():
        for key, figure in card.figures.items():
            title = figure.layout.title
            assert title.text, key
            for part in (scene.opened.problem.name, "analytic estimate", "prices 2026-02"):
                assert part in title.subtitle.text, key


def test_every_axis_of_a_figure_has_a_title_with_its_unit(cards):
    for card in cards.values():
        for key, figure in card.figures.items():
            for name in ("xaxis", "yaxis"):
                axis = figure.layout[name]
                if axis.title.text and "[" not in axis.title.text:
                    assert axis.title.text.startswith("designs"), (key, axis.title.text)
    assert cards["plane"].figures["plane"].layout.yaxis.title.text.startswith("CF per request")


def test_names_of_users_are_escaped(scene):
    evil = "</script><script>alert(1)</script><img src=x onerror=alert(2)>"
    problem = replace(scene.opened.problem, name=evil, question=evil)
    text = page.html(replace(scene.opened, problem=problem))
    assert "<script>alert" not in text
    assert "<img" not in re.sub(r"<script>.*?</script>", "", text, flags=re.DOTALL)
    for body in re.findall(r'<script type="application/json"[^>]*>(.*?)</script>', text, flags=re.DOTALL):
        json.loads(body)


def test_failing_card_becomes_a_note(scene, monkeypatch):
    monkeypatch.setattr("dse.insight.report.cards.history.card", lambda _: 1 / 0)
    made = page.made(scene, Entry("history", "Search"))
    assert made is not None
    assert made.title == "Search"
    assert "could not be made: division by zero" in made.html


def test_card_that_is_not_there_is_left_out(scene):
    assert page.made(scene, Entry("of_tomorrow", "Tomorrow")) is None


def test_study_without_a_feasible_design_has_a_page_that_says_so(scene):
    archive = scene.front.archive
    metrics = replace(archive.metrics.take(slice(0, 1)), violation=archive.metrics.violation[:1] + 1.0)
    none = replace(archive, rows=archive.rows[:1], scores=archive.scores[:1], metrics=metrics)
    run = replace(scene.opened.run, archive=none, summary={"evaluations": 128, "nearest": None})
    text = page.html(replace(scene.opened, run=run))
    assert "none of 128 designs meets every requirement" in text
    assert len(Scene(replace(scene.opened, run=run)).front) == 0


def test_table_of_more_than_eight_columns_is_refused():
    with pytest.raises(ValueError, match="at most 8 columns"):
        markup.table(range(9), [])


def test_written_page_lies_where_it_is_told(scene, text, tmp_path, monkeypatch):
    monkeypatch.setattr(page, "html", lambda _: text)
    path = page.write(scene.opened, tmp_path / "deep" / "front.html")
    assert path.read_text(encoding="utf-8").startswith("<!doctype html>")
