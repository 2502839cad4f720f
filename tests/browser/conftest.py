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
