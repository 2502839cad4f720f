"""Whatever a person does with a run, in whatever order, it stays the run that an undisturbed search gives."""

import itertools
import shutil
import tempfile
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from dse.facts.errors import SpecError
from dse.facts.problem import load
from dse.insight.decision.compare_runs import compare_runs
from dse.insight.runs import Opened
from dse.search.axes import Designs
from dse.search.runs import run

STEP = 120
ENGINES = ("evolution_polish", "random", "exhaustive")
PROBLEM = load(Path(__file__).parents[1] / "studies" / "tiny.yaml")
"""A study for comparisons, which look into it for inputs that differ."""


def contents(folder):
    return {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def opened(folder, question):
    return Opened(PROBLEM, run.open_run(folder, question), folder.name)


@pytest.mark.usefixtures("saving")
def test_runs_survive_every_order_of_what_people_do(harness):
    whole = {}

    def undisturbed(sampler, seed, total):
        key = (sampler, seed, total)
        if key not in whole:
            with tempfile.TemporaryDirectory() as name:
                budget = harness.budget(f"{total} evaluations")
                found = harness.search(Path(name), sampler=sampler, seed=seed, budget=budget)
                whole[key] = harness.facts(found.folder)
        return whole[key]

    class Sessions(RuleBasedStateMachine):
        @initialize(sampler=st.sampled_from(ENGINES), seed=st.integers(0, 1))
        def begin(self, sampler, seed):
            self.results = Path(tempfile.mkdtemp())
            self.asked = {"sampler": sampler, "seed": seed}
            self.total = 300
            self.found = harness.search(self.results, budget=harness.budget("300 evaluations"), **self.asked)
            self.first = self.results / "first"
            shutil.copytree(self.found.folder, self.first)

        def _resume(self, total, question=None):
            options = harness.options(
                self.results, resume=self.found.folder, budget=harness.budget(f"{total} evaluations")
            )
            self.found = harness.module.explore(question or harness.question(), options)

        @rule()
        def resume_without_more(self):
            self._resume(self.total)

        @rule()
        @precondition(lambda self: self.total < 700)
        def extend(self):
            self.total += STEP
            self._resume(self.total)

        @rule(calls=st.integers(1, 12))
        @precondition(lambda self: self.total < 700)
        def stop_while_extending(self, calls):
            self.total += STEP
            counter = itertools.count(1)
            plain = harness.question()

            def stopped(designs: Designs):
                if next(counter) == calls:
                    raise KeyboardInterrupt
                return plain.evaluate(designs)

            self._resume(self.total, replace(plain, evaluate=stopped))
            self._resume(self.total)

        @rule()
        def lose_the_newest_archive(self):
            if (self.found.folder / run.PREVIOUS).exists():
                (self.found.folder / run.ARCHIVE).write_bytes(b"PK\x03\x04 cut")
                self._resume(self.total)

        @rule()
        def lose_the_manifest(self):
            (self.found.folder / run.MANIFEST).write_text("{")
            self._resume(self.total)

        @rule()
        def move(self):
            moved = self.results / "moved" / str(len(list(self.results.rglob("*"))))
            moved.parent.mkdir(exist_ok=True)
            shutil.move(self.found.folder, moved)
            self.found = replace(self.found, folder=moved)
            self._resume(self.total)

        @rule()
        def add_a_lever(self):
            other = replace(harness.question(), space=harness.TOYS.TOYS["tight"].space)
            with pytest.raises(SpecError, match="lever"):
                self._resume(self.total, other)

        @rule()
        def compare_with_its_beginning(self):
            before = contents(self.found.folder)
            made = compare_runs(*(opened(folder, harness.question()) for folder in (self.first, self.found.folder)))
            assert contents(self.found.folder) == before
            assert made.covered[1] == 1.0
            assert made.volume[0] <= made.volume[1] == pytest.approx(made.joint)

        @rule()
        def compare_with_another_question(self):
            one, two = (opened(folder, harness.question()) for folder in (self.first, self.found.folder))
            other = replace(one.run, question=replace(one.run.question, goals=harness.TOYS.GOALS[:2]))
            with pytest.raises(SpecError, match="objectives differ"):
                compare_runs(replace(one, run=other), two)

        @invariant()
        def the_run_is_that_of_an_undisturbed_search(self):
            if hasattr(self, "found"):
                got = run.open_run(self.found.folder, harness.question())
                expected = undisturbed(self.asked["sampler"], self.asked["seed"], self.total)
                assert got.front().csv() == expected["front"]
                assert got.summary["evaluations"] == expected["evaluations"]
                assert got.summary["hypervolume"] == expected["hypervolume"]

        def teardown(self):
            shutil.rmtree(getattr(self, "results", ""), ignore_errors=True)

    machine = Sessions.TestCase
    machine.settings = settings(
        max_examples=6, stateful_step_count=6, deadline=None, suppress_health_check=list(HealthCheck)
    )
    machine("runTest").runTest()
