"""Several processes on one run: islands with seeds of their own, merged into one front."""

import json
import os
import signal
import time
from dataclasses import replace

import numpy as np
import pytest

from dse.facts.errors import SpecError
from dse.search.runs import islands, lock, run


@pytest.fixture
def joined(harness, saving, tmp_path):
    def join(name="big", **changes):
        options = harness.options(tmp_path, sampler="random", budget=harness.budget("400 evaluations"))
        return islands.join(harness.question(), replace(options, **changes), tmp_path / name)

    return join


def files(folder):
    return (folder / run.FRONT).read_text(), json.loads((folder / run.SUMMARY).read_text())


def test_islands_have_other_seeds_and_their_union_is_the_front(joined, harness):
    parts = [joined() for _ in range(3)]
    assert list(parts[-1].summary["islands"]) == ["0001", "0002", "0003"]
    ledgers = [run.told(run.load_epoch(folder)) for folder in sorted((parts[0].folder / "islands").iterdir())]
    assert [len(ledger.rows) for ledger in ledgers] == [400, 400, 400]
    rows = np.concatenate([ledger.rows for ledger in ledgers])
    assert parts[-1].summary["evaluations"] == len(np.unique(rows, axis=0)) > 1000
    truth = harness.module.run.load_epoch(parts[-1].folder).archive.scores
    for folder in sorted((parts[0].folder / "islands").iterdir()):
        scores = run.load_epoch(folder).archive.scores
        assert (truth[:, None, :] <= scores[None, :, :] + 1e-12).all(axis=2).any(axis=0).all()


def test_the_front_does_not_depend_on_how_many_processes_searched(joined, harness, tmp_path):
    for _ in range(3):
        alone = joined("alone")
    children = [harness.multiprocessing.get_context("fork").Process(target=joined, args=("many",)) for _ in range(3)]
    for child in children:
        child.start()
    for child in children:
        child.join(60)
        assert child.exitcode == 0
    front, facts = files(tmp_path / "many")
    assert front == files(alone.folder)[0]
    assert facts["evaluations"] == alone.summary["evaluations"]
    assert facts["hypervolume"] == alone.summary["hypervolume"]


def test_an_island_whose_process_was_killed_is_taken_over(joined, harness, tmp_path):
    whole = joined("whole")
    slow = harness.options(tmp_path, sampler="random", budget=harness.budget("400 evaluations"))
    work = (harness.question(2e-3), slow, tmp_path / "big")
    child = harness.multiprocessing.get_context("fork").Process(target=islands.join, args=work)
    child.start()
    island = tmp_path / "big" / "islands" / "0001"
    while not run.begun(island):
        time.sleep(0.01)
    os.kill(child.pid, signal.SIGKILL)
    child.join()
    taken = joined()
    assert list(taken.summary["islands"]) == ["0001"]
    assert files(taken.folder)[0] == files(whole.folder)[0]


def test_who_merges_while_another_process_keeps_the_folder_gets_the_island_and_loses_nothing(
    joined, tmp_path, monkeypatch
):
    monkeypatch.setattr(islands, "WAIT", 0.1)
    joined()
    with lock.locked(tmp_path / "big"):
        second = joined()
    assert second.folder.name == "0002"
    assert list(joined().summary["islands"]) == ["0001", "0002", "0003"]


def test_a_run_of_one_process_cannot_be_joined_nor_a_shared_one_resumed(joined, harness, tmp_path):
    own = harness.search(tmp_path, sampler="random", budget=harness.budget("300 evaluations"))
    with pytest.raises(SpecError, match="--resume"):
        joined(f"small/{own.folder.name}")
    shared = joined()
    with pytest.raises(SpecError, match="--join"):
        harness.search(tmp_path, resume=shared.folder)
