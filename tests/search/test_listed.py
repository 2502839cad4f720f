"""A run kept without its archive opens from its table."""

from pathlib import Path

import numpy as np
import pytest

from dse.facts.errors import SpecError
from dse.facts.problem import load
from dse.insight import runs
from dse.insight.notebook import explore
from dse.search.runs.listed import listed_archive

STUDY = (Path(__file__).parents[1] / "studies" / "tiny.yaml").read_text()


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    folder = tmp_path_factory.mktemp("listed")
    (folder / "study.yaml").write_text(STUDY)
    return explore(load(folder / "study.yaml"), results=folder / "results", workers=1).opened


def test_table_gives_the_archive_back(made):
    archive, names = listed_archive(made.run.folder, made.run.question)
    stored = made.front.archive
    assert names == made.front.ids
    assert (archive.rows == stored.rows).all()
    assert archive.metrics.columns.keys() == stored.metrics.columns.keys()
    for name, values in stored.metrics.columns.items():
        assert np.allclose(archive.metrics.columns[name], values, rtol=1e-5, atol=1e-12), name
    for name, values in stored.metrics.mapping.items():
        assert (archive.metrics.mapping[name] == values).all(), name


def test_run_without_archive_opens_with_the_names_of_its_table(made, tmp_path):
    for name in ("front.csv", "manifest.json", "problem.yaml", "summary.json"):
        (tmp_path / name).write_bytes((made.run.folder / name).read_bytes())
    opened = runs.open_run(str(tmp_path), tmp_path)
    assert opened.front.ids == made.front.ids
    assert opened.picks == made.picks
    assert runs.row_of(opened, "d2") == runs.row_of(made, "D002")


def test_table_of_another_study_is_refused(made, tmp_path):
    (tmp_path / "front.csv").write_text("design [id],cost [$/task]\nD001,1\n")
    with pytest.raises(SpecError, match="no front of this study"):
        listed_archive(tmp_path, made.run.question)


def test_empty_folder_is_refused(made, tmp_path):
    with pytest.raises(SpecError, match="no readable archive"):
        listed_archive(tmp_path, made.run.question)
