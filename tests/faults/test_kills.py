"""kill -9, SIGTERM and Ctrl-C at any moment: a resumed run is the run that nobody disturbed."""

import os
import signal
import time
from dataclasses import replace

import numpy as np
import pytest

from dse.facts.errors import SpecError
from dse.search.runs import lock

DETERMINISTIC = ("evolution_polish", "exhaustive", "random", "sobol")


@pytest.mark.parametrize("seed", range(5))
def test_killed_twice_at_random_moments_a_resumed_run_equals_an_undisturbed_one(seed, harness, saving, whole, tmp_path):
    sampler = DETERMINISTIC[seed % len(DETERMINISTIC)]
    rng = np.random.default_rng(seed)
    asked = {"sampler": sampler, "seed": seed, "workers": 1 + seed % 2}
    folder = harness.killed(tmp_path, rng, [0.5, 0.8], seconds=1e-4, **asked)
    run = harness.search(tmp_path, resume=folder, **asked)
    harness.check(run.folder, whole(sampler, seed))


def test_a_run_keeps_the_seed_and_the_engine_it_was_begun_with(harness, saving, whole, tmp_path):
    child = harness.begun(tmp_path, seconds=1e-3, sampler="random", seed=3)
    while harness.newest(tmp_path) is None:
        time.sleep(0.001)
    os.kill(child.pid, signal.SIGKILL)
    child.join()
    run = harness.search(tmp_path, resume=harness.newest(tmp_path), sampler="exhaustive", seed=99)
    harness.check(run.folder, whole("random", 3))


def test_killed_workers_are_replaced_and_nothing_is_lost_or_counted_twice(harness, saving, whole, tmp_path, rng):
    child = harness.begun(tmp_path, seconds=4e-4, sampler="evolution_polish", workers=2)
    hit = 0
    while child.is_alive() and hit < 3:
        time.sleep(rng.uniform(0.05, 0.15))
        workers = harness.children(child.pid)
        if workers and child.is_alive():
            os.kill(int(rng.choice(workers)), signal.SIGKILL)
            hit += 1
    child.join(30)
    assert hit == 3
    assert child.exitcode == 0
    harness.check(harness.newest(tmp_path), whole("evolution_polish"))


def test_designs_that_kill_every_worker_end_with_a_message(harness, monkeypatch):
    class Deadly:
        def __call__(self, designs):
            os.kill(os.getpid(), signal.SIGKILL)

    crew = harness.module.crew(replace(harness.question(), evaluate=Deadly()), 2)
    try:
        with pytest.raises(harness.run.SpecError, match="workers died 5 times"):
            list(crew.score(harness.question().space.sample(20, 0)))
    finally:
        crew.close()


def test_workers_of_a_killed_coordinator_go_and_do_not_keep_its_lock(harness, saving, whole, tmp_path):
    child = harness.begun(tmp_path, seconds=2e-3, sampler="random", workers=2)
    while not (workers := harness.children(child.pid)):
        time.sleep(0.01)
    time.sleep(0.1)
    os.kill(child.pid, signal.SIGKILL)
    child.join()
    run = harness.search(tmp_path, resume=harness.newest(tmp_path), sampler="random")
    harness.check(run.folder, whole("random"))
    assert all(harness.gone(pid) for pid in workers)


def orphaned(folder, seconds):
    """Lock a folder in a process that forks a worker and dies; the worker keeps its copy of the lock for a while."""
    chief = os.fork()
    if not chief:
        with lock.locked(folder):
            if not os.fork():
                time.sleep(seconds)
            os._exit(0)
    os.waitpid(chief, 0)


def test_the_lock_of_a_dead_process_is_waited_for_until_the_worker_it_was_forking_has_gone(tmp_path):
    orphaned(tmp_path, 0.3)
    with lock.locked(tmp_path):
        assert (tmp_path / lock.LOCK).exists()


def test_the_lock_of_a_dead_process_that_is_never_given_back_is_refused(tmp_path, monkeypatch):
    monkeypatch.setattr(lock, "PATIENCE", 0.1)
    orphaned(tmp_path, 1.0)
    with pytest.raises(SpecError, match="another process is working"), lock.locked(tmp_path):
        pass


def test_drafts_and_links_that_a_dead_process_left_are_swept(harness, tmp_path):
    (tmp_path / ".front.csv.123").touch()
    (tmp_path / ".study.journal.123.lock").symlink_to(tmp_path / ".study.journal.123")
    (tmp_path / ".lock").touch()
    harness.run.swept(tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == [".lock"]


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_leaves_a_complete_run_that_can_be_continued(number, harness, saving, whole, tmp_path):
    child = harness.begun(tmp_path, seconds=8e-3, sampler="evolution_polish", workers=2)
    while not (folder := harness.newest(tmp_path)) or not harness.run.begun(folder):
        time.sleep(0.005)
    os.killpg(child.pid, number)
    began = time.monotonic()
    child.join(10)
    assert child.exitcode == 0
    assert time.monotonic() - began < 5
    summary = harness.facts(folder)
    assert summary["evaluations"] < 1500
    run = harness.search(tmp_path, resume=folder, sampler="evolution_polish")
    harness.check(run.folder, whole("evolution_polish"))
