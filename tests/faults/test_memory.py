"""A search and a reader take memory for what they keep, however long they run."""

import gc
import importlib
import itertools
import pkgutil
import time
import tracemalloc
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest

import dse
from dse.facts import problem
from dse.facts.workload.traces import read_trace
from dse.search import course
from dse.search.archive import empty_ledger
from dse.search.axes import Designs
from dse.search.budget import Budget
from dse.search.crews.workers import Scored
from dse.search.engines.proposals import Feedback
from dse.search.engines.seen import Seen
from dse.search.evaluation import Evaluator
from dse.search.metrics import Goal, Metrics
from dse.search.space import Space

ROOT = Path(__file__).parents[2]
MB = 2**20
GOALS = (Goal("cost", False, "$"), Goal("latency", False, "s"))

NAMES = {
    "dse.facts.catalog.raw",
    "dse.facts.catalog._row",
    "dse.facts.names._known",
    "dse.facts.names.find_device",
    "dse.facts.names.find_model",
    "dse.search.runs.manifest._version",
}
"""Caches without a bound: their keys are names that a catalog, a study or the list of packages holds, never numbers."""


@pytest.fixture
def traced():
    tracemalloc.start()
    yield tracemalloc.get_traced_memory
    tracemalloc.stop()


def a_course():
    plan = course.Plan(GOALS, 10**9, Budget(evaluations=10**9), lambda _: None)
    return course.Course(plan, time.monotonic(), None, empty_ledger((10,), len(GOALS)), 0, [], sampled=True)


class WideCrew:
    """Blocks of one design with a thousand equal rows of a hundred columns each: 0.8 MB."""

    def score(self, designs):
        for place in range(len(designs)):
            columns = {f"c{number}": np.ones(1000) for number in range(100)}
            columns |= {goal.name: np.ones(1000) for goal in GOALS}
            kept = Metrics(np.zeros(1000, dtype=np.int64), columns, {}, np.zeros(1000))
            feedback = Feedback(np.zeros((1, 2)), np.zeros(1), np.zeros(1, dtype=np.int64))
            yield Scored(designs.take(slice(place, place + 1)), feedback, kept)


def test_a_batch_holds_the_rows_of_a_few_blocks_at_most(traced):
    done = a_course()
    feedback = done.score(WideCrew(), Designs(np.zeros((64, 1), dtype=np.int16), ("lever",)))
    assert feedback is not None
    assert done.evaluations == len(feedback.scores) == 64
    assert len(done.found()) == 1
    assert traced()[1] < (course.MERGE + 4) * 0.85 * MB


def test_the_history_of_a_day_is_not_much_longer_than_that_of_an_hour(monkeypatch):
    now = itertools.count(0.0, 10.0)
    long = a_course()
    monkeypatch.setattr(course.time, "monotonic", lambda: 0.0)
    long.began = 0.0
    monkeypatch.setattr(course.Course, "seconds", property(lambda _: next(now)))
    looks = 0
    while long.looked < 24 * 3600:
        long.look()
        looks += 1
        assert long.history[-1][1] == long.looked
    times = np.array([point[1] for point in long.history])
    assert (np.diff(times) > 0).all()
    assert len(times) < 4000 < looks
    assert np.diff(times).max() <= 2 * course.SPACING * times[-1]


def test_a_hundred_thousand_designs_are_remembered_in_few_bytes_each(traced):
    rng, names = np.random.default_rng(0), tuple("abcdefghijklmnopq")
    seen, before, every = Seen(np.zeros((0, len(names)), dtype=np.int16)), traced()[0], set()
    for _ in range(50):
        drawn = Designs(rng.integers(0, 3, (2000, len(names)), dtype=np.int16), names)
        fresh = seen.fresh(drawn)
        every.update(drawn.identities())
        again = seen.fresh(drawn)
        assert len(fresh) > 1900
        assert not len(again)
    assert len(seen) == len(every)
    rows = seen.rows(without=drawn)
    assert set(Designs(rows, names).identities()) == every - set(drawn.identities())
    assert rows.tobytes() == b"".join(sorted(every - set(drawn.identities())))
    del every, rows
    assert traced()[0] - before < 55 * len(seen)


def test_scoring_the_same_designs_again_leaves_nothing_behind(traced):
    asked = problem.load(ROOT / "search_spaces" / "quickstart.yaml")
    evaluate, designs = Evaluator.of(asked), Space.of(asked).sample(64, 0)
    for _ in range(8):  # machine code is loaded once so many points were read
        evaluate(designs)
    held = []
    for _ in range(4):
        gc.collect()
        held.append(traced()[0])
        for _ in range(3):
            evaluate(designs)
    assert min(np.diff(held)) < 0.0375 * MB  # a leak grows every time; threads of other tests end at some time


def modules():
    for found in pkgutil.walk_packages(dse.__path__, "dse."):
        if not found.name.endswith("__main__"):
            yield importlib.import_module(found.name)


def caches(module: ModuleType):
    for name, value in vars(module).items():
        if hasattr(value, "cache_parameters") and value.__module__ == module.__name__:
            yield f"{module.__name__}.{name}", value


def test_every_cache_has_a_bound():
    found = {name: value for module in modules() for name, value in caches(module)}
    assert len(found) > 10
    endless = {
        name
        for name, value in found.items()
        if value.cache_parameters()["maxsize"] is None and value.__wrapped__.__code__.co_argcount
    }
    assert endless == NAMES


def test_a_trace_is_read_line_by_line(tmp_path, traced):
    path = tmp_path / "trace.csv"
    head = "session,gap_s,cached_tokens,fresh_tokens,output_tokens\n"
    path.write_text(head + "".join(f"s{row // 100},0,0,{1000 + row % 7},{10 + row % 5}\n" for row in range(20_000)))
    assert len(read_trace(path).steps) == 20_000
    assert traced()[1] < 13 * path.stat().st_size
