"""A small study that is searched in a forked child, so that it can be killed, and what is compared afterwards."""

import importlib.util
import json
import multiprocessing
import os
import signal
import sys
import time
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from dse.search import explore as module
from dse.search import session
from dse.search.budget import budget
from dse.search.question import Question
from dse.search.runs import run, study


def _toys():
    spec = importlib.util.spec_from_file_location("toys", Path(__file__).parents[1] / "search" / "conftest.py")
    toys = importlib.util.module_from_spec(spec)
    sys.modules["toys"] = toys
    spec.loader.exec_module(toys)
    return toys


TOYS = _toys()
STUDY = "small"
BUDGET = "1500 evaluations"


@dataclass(frozen=True)
class Slow:
    """A toy that takes its time and can say that it is being used."""

    toy: object
    seconds: float
    """Per design."""

    def __call__(self, designs):
        time.sleep(self.seconds * len(designs))
        return self.toy(designs)


def question(seconds=0.0, name=STUDY):
    toy = TOYS.TOYS[name]
    return Question(name, toy.space, TOYS.GOALS, Slow(toy, seconds), {"host": "B"})


def options(results, **changes):
    return module.Options(**{"budget": budget(BUDGET), "workers": 1, "results": results, **changes})


def often():
    """Save at every proposal, so that a kill meets every kind of moment."""
    session.SAVE_EVERY = session.SAVE_COST = 0.0
    study.REST = 20


def search(results, seconds=0.0, **changes):
    """Search in this process, and note beside the run which designs were scored in all."""
    write = study.record

    def noted(found, ledger, storage):
        np.save(beside(found.folder), ledger.rows)
        return write(found, ledger, storage)

    study.record = noted
    try:
        return module.explore(question(seconds), options(results, **changes))
    finally:
        study.record = write


def beside(folder):
    return folder.parent / f"{folder.name}.designs.npy"


def _child(results, seconds, changes):
    os.setpgid(0, 0)
    often()
    module.WORTHWHILE = 0.0
    search(results, seconds, **changes)
    os._exit(0)


def begun(results, seconds=0.0, **changes):
    """Search in a forked child; `child.pid` also names its process group."""
    child = multiprocessing.get_context("fork").Process(target=_child, args=(results, seconds, changes))
    child.start()
    return child


def newest(results):
    """Newest run that was acknowledged, or None."""
    found = sorted(results.glob("*/*/manifest.json"), key=lambda path: path.parent.name)
    return found[-1].parent.resolve() if found else None


def killed(results, rng, moments, **changes):
    """Begin a search and kill -9 its coordinator after each of the moments, resuming it in between."""
    for moment in moments:
        folder = newest(results)
        child = begun(results, resume=folder, **changes)
        child.join(rng.uniform(0, moment))
        if child.is_alive():
            os.kill(child.pid, signal.SIGKILL)
        child.join()
    return newest(results)


def facts(folder):
    """What must be the same, however a run came about."""
    summary = json.loads((folder / run.SUMMARY).read_text())
    return {
        "designs": sorted(map(tuple, np.load(beside(folder)).tolist())),
        "front": (folder / run.FRONT).read_text(),
        "evaluations": summary["evaluations"],
        "hypervolume": summary["hypervolume"],
    }


def check(folder, whole):
    """The run equals an undisturbed one, counts nothing twice, and leaves no drafts."""
    got = facts(folder)
    assert got == whole
    assert len(set(got["designs"])) == len(got["designs"]) == got["evaluations"]
    drafts = [path.name for path in folder.rglob(".*") if path.name != ".lock"]
    assert not drafts
    assert not np.isnan(run.load_epoch(folder).archive.scores).any()


def gone(pid, patience=5.0):
    """Whether a process ends within some seconds."""
    until = time.monotonic() + patience
    while time.monotonic() < until:
        state = Path(f"/proc/{pid}/stat")
        if not state.exists() or state.read_text().rsplit(")", 1)[1].split()[0] == "Z":
            return True
        time.sleep(0.02)
    return False


def children(pid):
    """Processes that a process started."""
    found = []
    for task in Path("/proc").glob("[0-9]*/stat"):
        try:
            fields = task.read_text().rsplit(")", 1)[1].split()
        except OSError:
            continue
        if int(fields[1]) == pid and fields[0] != "Z":
            found.append(int(task.parent.name))
    return found
