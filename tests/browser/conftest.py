"""A headless browser, where the machine has one."""

import os
import shutil
from pathlib import Path

import pytest

NAMES = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")


@pytest.fixture(scope="session")
def browser():
    found = os.environ.get("DSE_BROWSER") or next((path for name in NAMES if (path := shutil.which(name))), None)
    if not found:
        pytest.skip(f"no browser on PATH ({', '.join(NAMES)}) and DSE_BROWSER is not set")
    playwright = pytest.importorskip("playwright.sync_api", reason="the playwright package is not installed")
    software = ["--no-sandbox", "--enable-unsafe-swiftshader", "--use-angle=swiftshader"]  # WebGL without a GPU
    with playwright.sync_playwright() as driver:
        opened = driver.chromium.launch(executable_path=found, args=software)
        yield opened
        opened.close()


@pytest.fixture(scope="session")
def pictures(tmp_path_factory) -> Path:
    """Folder of the screenshots; DSE_SCREENSHOTS keeps them."""
    kept = os.environ.get("DSE_SCREENSHOTS")
    folder = Path(kept) if kept else tmp_path_factory.mktemp("screenshots")
    folder.mkdir(parents=True, exist_ok=True)
    return folder


def pytest_collection_modifyitems(items):
    """Run the tests of a page in the order in which they stand: they share the page and what was done to it."""
    spots = [spot for spot, item in enumerate(items) if item.path.parent == Path(__file__).parent]
    ordered = sorted((items[spot] for spot in spots), key=lambda item: (str(item.path), item.location[1]))
    for spot, item in zip(spots, ordered, strict=True):
        items[spot] = item
