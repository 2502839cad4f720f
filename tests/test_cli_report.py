"""The page and the pictures from the command line."""

import json
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
STUDY = (Path(__file__).parent / "studies" / "tiny.yaml").read_text()


@pytest.fixture(scope="module")
def folder(dse, tmp_path_factory) -> Path:
    made = tmp_path_factory.mktemp("report")
    (made / "tiny.yaml").write_text(STUDY)
    dse("run", "tiny.yaml", "--workers", "1", folder=made)
    return made


def test_every_run_writes_its_page(folder):
    pages = list(folder.glob("results/*/*/report.html"))
    assert pages
    assert "<!doctype html>" in pages[0].read_text(encoding="utf-8")[:20]


def test_run_without_a_page(dse, folder):
    said = json.loads(dse("run", "tiny.yaml", "--workers", "1", "--no-report", "--json", folder=folder))
    assert said["report"] is None
    assert not (Path(said["folder"]) / "report.html").exists()


def test_report_writes_where_it_is_told(dse, folder):
    said = json.loads(dse("report", "last", "--out", "page.html", "--json", folder=folder))
    assert said["report"] == "page.html"
    assert said["bytes"] == (folder / "page.html").stat().st_size <= 6_000_000


def test_report_of_nothing_is_bad_input(dse, folder):
    assert "there is no such run" in dse("report", "nothing", folder=folder, code=2)


def test_report_of_a_run_kept_without_its_archive(dse, tmp_path):
    place = str(ROOT / "results" / "quickstart" / "reference")
    assert "written" in dse("report", place, "--out", "page.html", folder=tmp_path)


def test_topology_is_drawn_into_files(dse, tmp_path):
    said = dse("show", "topology", "nvl72", "--svg", "rack.svg", "--html", "rack.html", "--json", folder=tmp_path)
    assert json.loads(said) == {"written": ["rack.svg", "rack.html"]}
    assert (tmp_path / "rack.svg").read_text().startswith("<svg")
    assert "72 accelerators" in (tmp_path / "rack.html").read_text()


def test_help_has_two_examples(dse, tmp_path):
    text = dse("report", "--help", folder=tmp_path)
    assert text.count("  dse report") >= 2
