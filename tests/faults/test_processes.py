"""A team of processes: answers in full or not at all, whatever a worker dies of and when."""

import os
import signal
import struct
import time
from pathlib import Path

import numpy as np
import pytest

from dse.search.crews import processes
from dse.search.crews.processes import Team, WorkerLost


def doubled(number):
    if number < 0:
        raise ValueError("negative")
    return 2 * number


@pytest.fixture
def team():
    hired = Team(doubled, 2)
    yield hired
    hired.close()


def test_every_task_is_answered(team):
    promises = [team.submit(number) for number in range(200)]
    assert [promise.result(timeout=20) for promise in promises] == list(range(0, 400, 2))


def test_an_error_belongs_to_the_one_who_asked(team):
    bad, good = team.submit(-1), team.submit(1)
    with pytest.raises(ValueError, match="negative"):
        bad.result(timeout=20)
    assert good.result(timeout=20) == 2


def test_a_task_that_was_cancelled_in_time_is_dropped():
    team = Team(time.sleep, 1)
    first, second, third = team.submit(0.3), team.submit(60.0), team.submit(0.0)
    assert second.cancel()
    assert first.result(timeout=20) is third.result(timeout=20) is None
    team.close()


def test_tasks_and_answers_larger_than_a_pipe_pass():
    team = Team(np.negative, 2)
    sent = [np.full(500_000, float(number)) for number in range(8)]
    answers = [team.submit(array) for array in sent]
    assert all((answer.result(timeout=20) == -array).all() for answer, array in zip(answers, sent, strict=True))
    team.close()


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM])
def test_a_worker_that_dies_at_work_is_noticed(number):
    team = Team(lambda _: os.kill(os.getpid(), number), 2)
    with pytest.raises(WorkerLost):
        team.submit(0).result(timeout=20)
    with pytest.raises(WorkerLost):
        team.submit(0)
    team.close(patience=0.0)


def test_a_worker_that_dies_while_it_answers_is_noticed(monkeypatch):
    def torn(connection, work, task):
        os.write(connection.fileno(), struct.pack("!i", 1_000_000) + b"x" * 1000)  # a part of a long answer
        os.kill(os.getpid(), signal.SIGKILL)

    monkeypatch.setattr(processes, "_answer", torn)
    team = Team(doubled, 3)
    promises = [team.submit(number) for number in range(9)]
    for promise in promises:
        with pytest.raises(WorkerLost):
            promise.result(timeout=20)
    began = time.monotonic()
    team.close(patience=0.0)
    assert time.monotonic() - began < 5


def test_closing_waits_for_the_task_in_hand_and_no_longer():
    team = Team(time.sleep, 1)
    promise = team.submit(0.5)
    while not promise.running():
        time.sleep(0.01)
    began = time.monotonic()
    team.close()
    assert 0.2 < time.monotonic() - began < 5
    with pytest.raises(WorkerLost):
        promise.result(timeout=1)


def test_workers_go_with_their_parent():
    here, there = os.pipe()
    if os.fork() == 0:  # a parent that is killed
        team = Team(lambda _: os.getpid(), 1)
        os.write(there, str(team.submit(0).result()).encode())
        os.kill(os.getpid(), signal.SIGKILL)
    os.wait()
    worker = int(os.read(here, 100))
    os.close(here)
    os.close(there)
    until = time.monotonic() + 10
    left = Path(f"/proc/{worker}/cmdline")
    while time.monotonic() < until and left.exists():
        time.sleep(0.05)
    assert not left.exists()
