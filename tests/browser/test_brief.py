"""The brief prints on two sheets of A4, with nothing cut off."""

import re
from pathlib import Path

import pytest

from dse.insight import runs
from dse.insight.decision import brief_page
from dse.insight.decision.brief import brief

ROOT = Path(__file__).parents[2]
A4 = (595, 842)
"""Points."""


@pytest.mark.parametrize("study", ["quickstart", "agentic_datacenter"])
def test_a_brief_prints_on_two_sheets(browser, tmp_path, pictures, study):
    reference = ROOT / "results" / study / "reference"
    file = tmp_path / "brief.html"
    file.write_text(brief_page.html(brief(runs.open_run(str(reference), reference))), encoding="utf-8")
    shown = browser.new_page(viewport={"width": 1000, "height": 1200})
    errors: list[str] = []
    shown.on("pageerror", lambda error: errors.append(str(error)))
    shown.on("request", lambda own: errors.append(own.url) if own.url.startswith("http") else None)
    shown.goto(file.as_uri())
    shown.emulate_media(media="print")
    heights = shown.evaluate("[...document.querySelectorAll('.sheet')].map(e => [e.scrollHeight, e.clientHeight])")
    assert all(whole <= visible for whole, visible in heights)
    printed = shown.pdf(prefer_css_page_size=True, print_background=True)
    shown.screenshot(path=pictures / f"brief_{study}.png", full_page=True)
    shown.close()
    assert not errors
    assert len(re.findall(rb"/Type\s*/Page\b", printed)) == 2
    boxes = re.findall(rb"/MediaBox\s*\[\s*0\s+0\s+([\d.]+)\s+([\d.]+)", printed)
    assert all(abs(float(box[0]) - A4[0]) < 2 and abs(float(box[1]) - A4[1]) < 2 for box in boxes)
