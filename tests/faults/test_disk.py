"""Full disks, folders without permission, damaged files, clocks that jump, two writers."""

import json
import os
import resource
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

from dse.facts.errors import SpecError
from dse.search.runs import lock, run

NOBODY = 65534


@pytest.fixture
def stopped(harness, saving, tmp_path):
    """A run that has used half of its budget."""
    return harness.search(tmp_path, sampler="evolution_polish", budget=harness.budget("800 evaluations")).folder


@pytest.fixture
def continued(harness, stopped, whole):
    def go():
        found = harness.search(stopped.parents[1], resume=stopped, sampler="evolution_polish")
        harness.check(found.folder, whole("evolution_polish"))

    return go


def in_child(work, limit=None):
    """Error message of something that is done in a forked child, possibly with a limit on the size of files."""
    read, write = os.pipe()
    pid = os.fork()
    if pid == 0:
        try:
            if limit is not None:
                signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
                resource.setrlimit(resource.RLIMIT_FSIZE, (limit, limit))
            work()
            os.write(write, b"nothing was refused")
        except SpecError as error:
            os.write(write, str(error).encode())
        finally:
            os._exit(0)
    os.close(write)
    with os.fdopen(read) as stream:
        text = stream.read()
    os.waitpid(pid, 0)
    return text


@pytest.mark.parametrize("size", [100, 3_000, 20_000])
def test_a_full_disk_ends_with_a_message_and_the_run_is_resumed_when_there_is_room(
    size, harness, saving, whole, tmp_path
):
    message = in_child(lambda: harness.search(tmp_path, sampler="evolution_polish"), limit=size)
    assert "cannot be written: File too large" in message
    folder = harness.newest(tmp_path)
    found = harness.search(tmp_path, sampler="evolution_polish", resume=folder)
    harness.check(found.folder, whole("evolution_polish"))


def test_a_disk_that_fills_up_while_a_run_is_resumed_keeps_what_was_there(stopped, continued, harness):
    before = run.load_epoch(stopped)
    message = in_child(lambda: harness.search(stopped.parents[1], resume=stopped), limit=2_000)
    assert "What was written before is whole" in message
    assert run.load_epoch(stopped).spent >= before.spent
    continued()


def test_a_folder_without_permission_ends_with_a_message(harness, tmp_path):
    code = (
        "import sys; from pathlib import Path\n"
        "from dse.search.runs import run\n"
        "try: run.new_folder(Path(sys.argv[1]), 'study')\n"
        "except Exception as error: print(type(error).__name__, error)\n"
    )
    shut = Path("/proc/self/study") if os.geteuid() == 0 else tmp_path / "shut"
    if os.geteuid():
        shut.mkdir(mode=0o555)
    done = subprocess.run([sys.executable, "-c", code, shut], capture_output=True, text=True, check=True)
    assert done.stdout.startswith("SpecError")
    assert "cannot be made" in done.stdout
    assert "--results" in done.stdout


def test_a_run_is_read_from_a_folder_that_cannot_be_written(stopped, harness):
    for path in [stopped, *stopped.iterdir()]:
        path.chmod(0o555 if path.is_dir() else 0o444)
    before = sorted(path.name for path in stopped.iterdir())

    def work():
        harness.run.open_run(stopped, harness.question())

    assert in_child(work) == "nothing was refused"
    assert sorted(path.name for path in stopped.iterdir()) == before
    stopped.chmod(0o755)


@pytest.mark.parametrize("how", ["cut", "empty", "flipped", "noise"])
@pytest.mark.parametrize("name", ["archive.npz", "manifest.json", "study.journal", "summary.json"])
def test_a_damaged_file_does_not_stop_a_run_from_being_continued(name, how, stopped, continued):
    damage(stopped / name, how)
    continued()
    assert json.loads((stopped / run.MANIFEST).read_text())["seed"] == 0
    assert json.loads((stopped / run.SUMMARY).read_text())["finished"] is False


def damage(path, how):
    content = bytearray(path.read_bytes())
    if how == "cut":
        content = content[: len(content) // 2]
    elif how == "empty":
        content = bytearray()
    elif how == "flipped":
        for place in np.random.default_rng(1).integers(len(content), size=20):
            content[place] ^= 0xFF
    else:
        content = bytearray(np.random.default_rng(2).bytes(len(content)))
    path.write_bytes(content)


def test_every_flipped_byte_of_an_archive_is_noticed_or_harmless(stopped, rng):
    whole, path = run.load_epoch(stopped), stopped / run.ARCHIVE
    (stopped / run.PREVIOUS).unlink(missing_ok=True)
    content = path.read_bytes()
    for place in rng.integers(len(content), size=150):
        path.write_bytes(content[:place] + bytes([content[place] ^ 0x55]) + content[place + 1 :])
        try:
            found = run.load_epoch(stopped)
        except SpecError:
            continue
        assert np.array_equal(found.archive.scores, whole.archive.scores)
        assert np.array_equal(found.ledger.rows, whole.ledger.rows)


def test_a_damaged_archive_never_takes_the_place_of_the_good_one_before(stopped, harness):
    damage(stopped / run.ARCHIVE, "cut")
    good = (stopped / run.PREVIOUS).read_bytes()
    in_child(lambda: harness.search(stopped.parents[1], resume=stopped), limit=2_000)
    assert (stopped / run.PREVIOUS).read_bytes() == good
    assert (stopped / run.DAMAGED).exists()


def test_an_archive_with_an_object_inside_is_not_unpickled(stopped, tmp_path):
    for name in (run.ARCHIVE, run.PREVIOUS):
        np.savez(stopped / name, **{"archive/rows": np.array([print], dtype=object)}, allow_pickle=True)
    with pytest.raises(SpecError, match="no readable archive"):
        run.load_epoch(stopped)


def test_a_run_folder_of_a_later_version_is_refused(stopped, harness):
    manifest = json.loads((stopped / run.MANIFEST).read_text())
    (stopped / run.MANIFEST).write_text(json.dumps(manifest | {"format": run.FORMAT + 1}))
    with pytest.raises(SpecError, match="update dse"):
        harness.search(stopped.parents[1], resume=stopped)


def test_a_run_that_was_moved_is_continued(stopped, harness, whole, tmp_path):
    moved = tmp_path / "elsewhere" / "run"
    shutil.copytree(stopped, moved)
    shutil.rmtree(stopped)
    found = harness.search(tmp_path, resume=moved, sampler="evolution_polish")
    assert found.folder == moved
    harness.check(moved, whole("evolution_polish"))


def test_the_second_writer_is_refused_and_told_who_the_first_is(harness, tmp_path):
    child = harness.begun(tmp_path, seconds=2e-3, sampler="random")
    while not (folder := harness.newest(tmp_path)):
        time.sleep(0.005)
    try:
        with pytest.raises(SpecError, match=rf"process {child.pid} of .+ on .+, for \d+ s"):
            harness.search(tmp_path, resume=folder)
    finally:
        os.kill(child.pid, signal.SIGKILL)
        child.join()
    with lock.locked(folder):
        assert f'"pid": {os.getpid()}' in (folder / lock.LOCK).read_text()


@pytest.mark.parametrize("hours", [-30, 30])
def test_a_clock_that_jumps_changes_neither_the_result_nor_which_run_is_the_last(
    hours, harness, saving, whole, tmp_path, monkeypatch
):
    first = harness.search(tmp_path, sampler="random", budget=harness.budget("400 evaluations")).folder
    now, given = time.time, time.gmtime
    monkeypatch.setattr(time, "time", lambda: now() + 3600 * hours)
    monkeypatch.setattr(time, "gmtime", lambda seconds=None: given(now() + 3600 * hours))
    harness.search(tmp_path, resume=first, sampler="random")
    harness.check(first, whole("random"))
    assert json.loads((first / run.SUMMARY).read_text())["wall_seconds"] < 60
    second = run.new_folder(tmp_path, "small")
    assert second.name > first.name
    assert (tmp_path / "small" / "last").resolve() == second.resolve()
    monkeypatch.undo()
    assert run.new_folder(tmp_path, "small").name > second.name
