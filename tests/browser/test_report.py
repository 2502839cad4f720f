"""The page of the flagship study in a real browser: nothing breaks, everything is linked."""

from pathlib import Path

import pytest

from dse.insight import runs
from dse.insight.report import page as report

ROOT = Path(__file__).parents[2]
REFERENCE = ROOT / "results" / "agentic_datacenter" / "reference"
CARDS = (
    "verdict",
    "map",
    "knees",
    "why",
    "plane",
    "parallel",
    "choices",
    "tray",
    "topology",
    "history",
    "health",
    "sources",
)

PATIENCE = 120_000
"""Longest wait for the browser [ms]: it draws without a GPU, beside whatever else the machine does."""


@pytest.fixture(scope="module")
def file(tmp_path_factory) -> Path:
    opened = runs.open_run(str(REFERENCE), REFERENCE)
    return report.write(opened, tmp_path_factory.mktemp("page") / "report.html")


@pytest.fixture(scope="module")
def page(browser, file, pictures):
    shown = browser.new_page(viewport={"width": 1400, "height": 1000}, color_scheme="light")
    shown.set_default_timeout(PATIENCE)
    shown.errors = []
    shown.on("console", lambda message: shown.errors.append(message.text) if message.type == "error" else None)
    shown.on("pageerror", lambda error: shown.errors.append(str(error)))
    shown.on("request", lambda own: shown.errors.append(own.url) if own.url.startswith("http") else None)
    shown.goto(file.as_uri())
    shown.wait_for_selector("html[data-ready]")
    yield shown
    shown.close()


@pytest.fixture(autouse=True)
def _every_filter_open(page):
    page.click("#clear")


def kept(page) -> list[int]:
    return page.evaluate("dseReport.kept()")


def column(page, name: str) -> list[float]:
    return page.evaluate(f"JSON.parse(document.getElementById('state').textContent).designs.values['{name}']")


def test_every_card_is_there_and_every_figure_is_drawn(page, pictures):
    present = page.eval_on_selector_all("section.card", "cards => cards.map(card => card.dataset.card)")
    assert [key for key in present if key in CARDS] == list(CARDS)
    assert not page.query_selector_all("section.card .failed")
    visible = "divs => divs.filter(div => div.offsetParent).map(div => div.querySelectorAll('svg.main-svg').length)"
    assert all(count >= 1 for count in page.eval_on_selector_all(".figure", visible))
    page.screenshot(path=pictures / "light.png", full_page=True)


def test_slider_keeps_what_meets_the_limit(page):
    page.eval_on_selector(
        "#limit", "own => { own.value = 500; own.dispatchEvent(new Event('input', {bubbles: true})); }"
    )
    latency, shown = column(page, "latency"), kept(page)
    assert 0 < len(shown) < len(latency)
    limit = max(latency[row] for row in shown)
    assert {row for row, value in enumerate(latency) if value <= limit} == set(shown)
    dimmed = page.evaluate("document.querySelector('[data-figure=map]').data.find(t => t.meta.role === 'front')")
    assert sorted(dimmed["selectedpoints"]) == sorted(shown)
    lines = page.evaluate("document.querySelector('[data-figure=parallel]').data[0].dimensions[0].values.length")
    assert lines == len(shown)


def test_selection_on_the_map_filters_the_parallel_axes(page):
    page.locator("[data-figure=map]").scroll_into_view_if_needed()
    box = page.locator("[data-figure=map] .nsewdrag").first.bounding_box()
    x, y, wide, high = box["x"], box["y"], box["width"], box["height"]
    page.mouse.move(x + 2, y + 2)
    page.mouse.down()
    for a, b in ((0.3, 0.01), (0.3, 0.6), (0.01, 0.6), (0.01, 0.02)):
        page.mouse.move(x + a * wide, y + b * high, steps=4)
    page.mouse.up()
    page.wait_for_function("dseReport.kept().length < dseReport.count")
    shown, cost = kept(page), column(page, "cost")
    assert 0 < len(shown) < len(cost)
    assert max(cost[row] for row in shown) < max(cost)
    lines = page.evaluate("document.querySelector('[data-figure=parallel]').data[0].dimensions[0].values.length")
    assert lines == len(shown)


def test_brush_on_an_axis_filters_the_map(page):
    page.locator("[data-figure=parallel]").scroll_into_view_if_needed()
    names = page.evaluate("JSON.parse(document.getElementById('state').textContent).parallel.axes")
    box = page.locator("[data-figure=parallel] .axis-brush .background").nth(names.index("cost")).bounding_box()
    middle = box["x"] + box["width"] / 2
    page.mouse.move(middle, box["y"] + 0.95 * box["height"])
    page.mouse.down()
    page.mouse.move(middle, box["y"] + 0.55 * box["height"], steps=8)
    page.mouse.up()
    page.wait_for_function("dseReport.kept().length < dseReport.count")
    shown, cost = kept(page), column(page, "cost")
    assert 0 < len(shown) < len(cost)
    assert max(cost[row] for row in shown) < max(cost)
    points = page.evaluate(
        "document.querySelector('[data-figure=map]').data.find(t => t.meta.role === 'front').selectedpoints"
    )
    assert sorted(points) == sorted(shown)


def test_selecting_a_design_changes_picture_table_and_ring(page, pictures):
    buttons = page.locator("button[data-select]")
    last = buttons.nth(buttons.count() - 1)
    wanted = int(last.get_attribute("data-select"))
    before = page.inner_text("#chosen")
    last.click()
    assert page.evaluate("dseReport.chosen()") == wanted
    assert page.inner_text("#chosen") != before
    ring = page.evaluate("document.querySelector('[data-figure=map]').data.find(t => t.meta.role === 'chosen').x[0]")
    assert ring == column(page, "cost")[wanted]
    assert page.locator("#system svg").count() == 1
    page.locator("#topology").screenshot(path=pictures / "topology.png")


def test_click_on_a_star_selects_it(page):
    page.click("button[data-select] >> nth=0")
    page.locator("[data-figure=map]").scroll_into_view_if_needed()
    spots = page.evaluate(
        "(() => { const d = document.querySelector('[data-figure=map]'), s = d.data.find(t => t.meta.role === 'stars'),"
        " f = d._fullLayout, b = d.getBoundingClientRect(), i = s.customdata.length - 1;"
        " return [b.left + f.xaxis._offset + f.xaxis.l2p(Math.log10(s.x[i])),"
        " b.top + f.yaxis._offset + f.yaxis.l2p(Math.log10(s.y[i])), s.customdata[i]]; })()"
    )
    page.mouse.move(spots[0], spots[1])
    page.mouse.click(*spots[:2])
    page.wait_for_function(f"dseReport.chosen() === {spots[2]}")


def test_pinned_designs_copy_as_markdown_and_yaml(page):
    page.click("#tray-clear")
    for number in range(2):
        page.click(f"button[data-pin] >> nth={number}")
    assert len(page.evaluate("dseReport.pinned()")) == 2
    lines = page.evaluate("dseReport.markdown()").splitlines()
    assert lines[1] == "|---|---:|---:|"
    assert page.locator("#tray-table tr").count() == len(lines) - 3
    text = page.evaluate("dseReport.yaml(0)")
    assert "constants:\n" in text
    assert "  decode.device: " in text
    assert "inert" not in text


def test_tabs_draw_what_was_hidden(page, pictures):
    for tab, figure in (("map-3d", "solid"), ("plane-roof", "roofline")):
        page.click(f"button[data-tab={tab}]")
        page.wait_for_selector(f"[data-figure={figure}][data-drawn] .svg-container")
    page.locator("#map").screenshot(path=pictures / "solid.png")
    for tab in ("map-2d", "plane-plane"):
        page.click(f"button[data-tab={tab}]")


def test_system_menu_shows_one_system(page):
    page.select_option("#plane-system", index=1)
    wanted = page.input_value("#plane-system")
    shown = page.evaluate(
        "document.querySelector('[data-figure=plane]').data.filter(t => t.visible).map(t => t.meta.system)"
    )
    assert set(shown) == {wanted}


def test_axis_menus_change_the_map(page):
    page.select_option("select[data-axis=x]", "tpot")
    title = page.evaluate("document.querySelector('[data-figure=map]').layout.xaxis.title.text")
    assert title == "time per output token [ms]"
    page.select_option("select[data-axis=x]", "cost")


def test_dark_on_a_phone(browser, file, pictures):
    other = browser.new_page(viewport={"width": 420, "height": 900}, color_scheme="dark")
    other.set_default_timeout(PATIENCE)
    other.goto(file.as_uri())
    other.wait_for_selector("html[data-ready]")
    assert other.evaluate("document.documentElement.scrollWidth <= window.innerWidth")
    ink = other.evaluate("getComputedStyle(document.body).color")
    assert min(int(part) for part in ink[4:-1].split(",")) > 200
    letters = other.evaluate("document.querySelector('[data-figure=map]').layout.font.color")
    assert letters == "#e7eaef"
    other.screenshot(path=pictures / "dark-narrow.png", full_page=True)
    other.close()


def test_theme_can_be_changed(page, pictures):
    page.click("#theme")
    assert (
        page.evaluate("document.querySelector('[data-figure=why], [data-figure=terms]').layout.font.color") == "#e7eaef"
    )
    page.screenshot(path=pictures / "dark.png", full_page=True)
    page.click("#theme")


def test_page_prints(page, pictures):
    page.pdf(path=pictures / "print.pdf", format="A4")
    assert (pictures / "print.pdf").stat().st_size > 100_000


def test_without_a_script_the_text_is_all_there(browser, file):
    context = browser.new_context(java_script_enabled=False)
    plain = context.new_page()
    plain.goto(file.as_uri())
    text = plain.inner_text("main")
    for wanted in ("Verdict", "Nearest limits", "Health checks", "Run it again"):
        assert wanted in text
    assert "need JavaScript" in plain.inner_text("body")
    context.close()


def test_zz_console_stayed_clean(page):
    assert page.errors == []
