"""The committed quickstart run, opened once for all tests of the page."""

from pathlib import Path

import pytest

from dse.insight import runs
from dse.insight.report import page
from dse.insight.report.scene import Scene

ROOT = Path(__file__).parents[3]


@pytest.fixture(scope="session")
def scene() -> Scene:
    return Scene(runs.open_run(str(ROOT / "results" / "quickstart" / "reference"), ROOT / "results"))


@pytest.fixture(scope="session")
def cards(scene):
    made = {entry.module: page.made(scene, entry) for entry in page.ENTRIES if entry.shared}
    return {name: card for name, card in made.items() if card is not None}
