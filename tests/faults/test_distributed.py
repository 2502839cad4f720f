"""The same front at any number of workers, on this machine and on a Dask cluster that shares no files with it."""

import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import pytest

from dse.facts.problem import load
from dse.search import explore as module
from dse.search.ask import ask
from dse.search.budget import budget
from dse.search.explore import Options, explore

pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::ResourceWarning", "ignore::UserWarning")
STUDY = Path(__file__).parents[2] / "search_spaces" / "quickstart.yaml"


@pytest.fixture
def small(monkeypatch, harness):
    """A study whose first sample leaves something to the workers, however little."""
    monkeypatch.setattr(module, "SAMPLE", 16)
    monkeypatch.setattr(module, "WORTHWHILE", 0.0)
    monkeypatch.setattr(harness.study, "REST", 4)
    return ask(load(STUDY))


@pytest.fixture
def cluster(tmp_path):
    """Address of a scheduler and the processes of its two workers, which stand in an empty folder of their own."""
    pytest.importorskip("distributed", reason="Dask is not installed: pip install 'dse[distributed]'")
    script = Path(__file__).with_name("data") / "cluster.py"
    child = subprocess.Popen(
        [sys.executable, script, "2"],
        stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True, cwd=tmp_path,
        env=os.environ | {"PYTHONPATH": str(Path(__file__).parents[2])},
    )  # fmt: skip
    address, *pids = child.stdout.readline().split()
    yield address, [int(pid) for pid in pids]
    child.communicate("", timeout=20)


def front(question, results, **changes):
    asked = {"sampler": "exhaustive", "workers": 1, **changes}
    found = explore(question, Options(budget("100 evaluations"), seed=5, results=results, **asked))
    return found.front().csv(), found.summary["evaluations"], found.summary["hypervolume"]


@pytest.mark.parametrize("sampler", ["evolution_polish", "random"])
def test_one_two_and_three_workers_find_the_same_front(sampler, harness, saving, whole, tmp_path):
    for workers in (2, 3):
        found = harness.search(tmp_path, sampler=sampler, workers=workers)
        harness.check(found.folder, whole(sampler))


def test_a_cluster_finds_the_same_front_and_survives_a_worker(small, cluster, tmp_path):
    address, pids = cluster
    alone = front(small, tmp_path / "alone")
    assert front(small, tmp_path / "cluster", cluster=address) == alone
    os.kill(pids[0], signal.SIGKILL)
    assert front(small, tmp_path / "again", cluster=address) == alone


def test_a_worker_needs_no_file_of_the_coordinator(small, tmp_path):
    from dse.search.crews import dask_crew

    with tempfile.TemporaryDirectory() as name:
        shutil.copytree(STUDY.parent, Path(name) / "spaces")
        shutil.copytree(STUDY.parents[1] / "topologies", Path(name) / "topologies")
        sent = dask_crew.task(ask(load(Path(name) / "spaces" / STUDY.name)))
    designs = small.space.sample(20, 0)
    theirs, ours = dask_crew.rebuilt(sent).evaluate(designs), small.evaluate(designs)
    assert all((theirs.columns[name] == values).all() for name, values in ours.columns.items())


def test_a_class_of_agents_of_ones_own_goes_to_the_workers_and_with_the_run(tmp_path):
    from dse.search.crews import dask_crew

    shipped, own = STUDY.parents[1] / "dse/facts/catalog/workloads", tmp_path / "own"
    (own / "classes").mkdir(parents=True)
    shutil.copy(shipped / "chat.npz", own / "classes")
    (own / "classes" / "mine.yaml").write_text((shipped / "chat.yaml").read_text().replace("id: chat", "id: mine"))
    text = (STUDY.parents[1] / "tests/studies/tiny.yaml").read_text()
    (own / "study.yaml").write_text(text.replace("workload: coding", "workload: classes/mine.yaml"))
    question = ask(load(own / "study.yaml"))
    found = explore(question, Options(budget("8 evaluations"), workers=1, results=tmp_path / "results"))
    sent, moved = dask_crew.task(question), tmp_path / "moved"
    shutil.rmtree(own)
    shutil.move(found.folder, moved)
    designs = question.space.sample(8, 0)
    theirs, ours = dask_crew.rebuilt(sent).evaluate(designs), question.evaluate(designs)
    assert all((theirs.columns[name] == values).all() for name, values in ours.columns.items())
    again = explore(ask(load(moved / "problem.yaml")), Options(budget("12 evaluations"), workers=1, resume=moved))
    assert again.summary["evaluations"] == 12


def test_a_cluster_that_is_not_there_ends_with_a_message(small, tmp_path, harness, monkeypatch):
    pytest.importorskip("distributed")
    monkeypatch.setattr("dse.search.crews.dask_crew.TIMEOUT", "1 s")
    began = time.monotonic()
    with pytest.raises(harness.run.SpecError, match="no Dask scheduler"):
        front(small, tmp_path, cluster="tcp://127.0.0.1:1")
    assert time.monotonic() - began < 15


def test_the_front_does_not_depend_on_how_fast_the_machine_is(harness, saving, whole, tmp_path):
    def result(seconds):
        found = harness.search(tmp_path, seconds=seconds, sampler="random", budget=harness.budget("300 evaluations"))
        return harness.facts(found.folder), harness.run.load_epoch(found.folder).ledger.scores.tolist()

    assert result(0.0) == result(2e-3)
