"""A program of somebody else as evaluator: it may crash, hang, babble; no candidate harms the next."""

import csv
import json
import os
import signal
import sys
import threading
import time
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from dse.facts.errors import SpecError
from dse.facts.external import External
from dse.facts.problem import dump, load
from dse.search.ask import ask
from dse.search.budget import budget
from dse.search.crews.external import Broken, Conversation, Instead, Program, answer, farewell
from dse.search.explore import Options, explore
from dse.search.runs import islands, promising, run

ROOT = Path(__file__).parents[2]
SIMULATOR = Path(__file__).with_name("data") / "simulator.py"
WANTED = ("cost", "throughput", "latency")


@pytest.fixture
def program(tmp_path):
    def of(mode, timeout=5.0, retries=1):
        return Program((sys.executable, str(SIMULATOR), mode, str(tmp_path / "log")), timeout, retries)

    return of


@pytest.fixture
def stated(program):
    def of(mode, **changes):
        return External(command=program(mode).command, **{"promising": 8, "timeout": "5 s", "retries": 1, **changes})

    return of


def candidates(count):
    analytic = dict.fromkeys(WANTED, 3.0)
    return [{"id": str(n), "levers": {}, "mapping": {}, "analytic": analytic, "wanted": WANTED} for n in range(count)]


def talked(program, count=6):
    talk = Conversation(program)
    try:
        return [talk.ask(candidate, WANTED) for candidate in candidates(count)]
    finally:
        talk.stop()


def test_one_program_scores_many_candidates(program, tmp_path):
    answers = talked(program("well"))
    assert [got.metrics["cost"] for got in answers] == [6.0] * 6
    assert len({line.split()[0] for line in (tmp_path / "log").read_text().splitlines()}) == 1


def test_a_program_that_crashes_once_or_babbles_is_begun_anew_and_nothing_is_lost(program):
    for mode in ("crash", "garbage"):
        assert all(got.metrics for got in talked(program(mode, retries=2)))


def test_a_closed_conversation_ends_at_once_and_begins_no_program(program, tmp_path):
    asked = candidates(4)[3]  # one that it hangs on
    talk = Conversation(program("hang", timeout=60.0, retries=3))
    found = []
    thread = threading.Thread(target=lambda: found.append(talk.ask(asked, WANTED)))
    thread.start()
    while not (tmp_path / "log").exists():
        time.sleep(0.01)
    talk.close()
    thread.join(10)
    assert not thread.is_alive()
    assert talk.ask(asked, WANTED).failure == "is not wanted any more"
    assert found[0].failure == "is not wanted any more"
    assert len((tmp_path / "log").read_text().splitlines()) == 1


@pytest.mark.parametrize(
    ("mode", "why"),
    [
        ("crash-always", "ended without an answer"),
        ("hang", "gave no answer within 0.4 s"),
        ("flood", "wrote more than 1,000,000 bytes"),
        ("nan", "expected a positive number"),
        ("refuse", "refused: no such part"),
    ],
)
def test_a_candidate_that_cannot_be_scored_says_why_and_the_others_are_scored(mode, why, program):
    answers = talked(program(mode, timeout=0.4 if mode == "hang" else 5.0))
    chosen = [ord(str(n)) % 3 == 0 for n in range(6)]
    assert [bool(got.metrics) for got in answers] == [not hit for hit in chosen]
    assert all(why in got.failure for got, hit in zip(answers, chosen, strict=True) if hit)


def test_a_program_that_is_not_there_says_so():
    assert "cannot be started" in talked(Program(("/nowhere/simulator",), 1.0, 0), 1)[0].failure


@pytest.mark.parametrize(
    "line", [b"[]", b"{", b'{"id": "2", "metrics": {}}', b'{"id": "1"}', b'{"id": "1", "metrics": 3}']
)
def test_a_line_that_is_no_answer_is_never_taken_for_one(line):
    with pytest.raises(Broken):
        answer(line, "1", WANTED)


def test_promising_rows_are_scored_after_the_search_and_both_fidelities_stay_apart(harness, saving, stated, tmp_path):
    question = replace(harness.question(), external=stated("well"))
    options = harness.options(tmp_path, sampler="random", budget=harness.budget("400 evaluations"))
    plain = explore(harness.question(), options)
    found = explore(question, options)
    assert found.front().csv() == plain.front().csv()
    rows = list(csv.DictReader((found.folder / promising.TABLE).read_text().splitlines()))
    assert len(rows) == found.summary["external"]["asked"] == 8
    for row in rows:
        assert float(row["cost external [$/task]"]) == pytest.approx(2 * float(row["cost analytic [$/task]"]), rel=1e-4)
    assert found.summary["external"]["ratio"] == pytest.approx(dict.fromkeys(WANTED, 2.0))
    assert set(found.summary["external"]["front"]) <= set(found.front().ids)


def test_answers_are_kept_as_they_come_and_asked_for_once(harness, saving, stated, tmp_path):
    question = replace(harness.question(), external=stated("well"))
    options = harness.options(tmp_path, sampler="random", budget=harness.budget("400 evaluations"))
    found = explore(question, options)
    path = found.folder / promising.ANSWERS
    lines = path.read_bytes().splitlines(keepends=True)
    path.write_bytes(b"".join(lines[:-1]) + lines[-1][:20])
    again = explore(question, replace(options, resume=found.folder))
    assert again.summary["external"]["fresh"] == 1
    assert again.summary["external"]["failed"] == 0
    assert len((tmp_path / "log").read_text().splitlines()) == 9


def test_a_signal_while_a_program_scores_leaves_a_complete_run_that_asks_for_the_rest(
    harness, saving, stated, tmp_path
):
    options = harness.options(tmp_path, sampler="random", budget=harness.budget("400 evaluations"))
    plain = explore(harness.question(), replace(options, results=tmp_path / "plain"))
    hangs = replace(harness.question(), external=stated("hang", timeout="60 s"))
    child = harness.multiprocessing.get_context("fork").Process(target=explore, args=(hangs, options))
    child.start()
    answers = []
    while child.is_alive() and not answers:
        time.sleep(0.02)
        answers = [path for path in tmp_path.glob(f"*/*/{promising.ANSWERS}") if not path.parent.is_symlink()]
    os.kill(child.pid, signal.SIGTERM)
    child.join(20)
    assert child.exitcode == 0
    folder = answers[0].parent
    assert (folder / run.FRONT).read_text() == plain.front().csv()
    facts = json.loads((folder / run.SUMMARY).read_text())
    assert facts["interrupted"]
    assert facts["evaluations"] == 400
    known = len(promising.recalled(answers[0]))
    again = explore(replace(hangs, external=stated("well")), replace(options, resume=folder))
    assert again.summary["external"]["fresh"] == 8 - known < 8


def test_processes_that_share_a_run_ask_once_for_the_promising_designs_of_all(harness, saving, stated, tmp_path):
    question = replace(harness.question(), external=stated("well"))
    options = harness.options(tmp_path, sampler="random", budget=harness.budget("400 evaluations"))
    for islands_so_far in (1, 2):
        found = islands.join(question, options, tmp_path / "shared")
        assert len(found.summary["islands"]) == islands_so_far
        assert found.summary["external"]["asked"] == 8
    asked = [line.split()[1] for line in (tmp_path / "log").read_text().splitlines()]
    assert len(set(asked)) == len(asked) == len((found.folder / promising.ANSWERS).read_text().splitlines())
    assert not list((found.folder / islands.FOLDER).rglob(promising.TABLE))


def test_a_program_scores_every_design_in_place_of_the_model_on_workers(harness, saving, program, tmp_path):
    plain = harness.question()
    instead = Instead(plain.evaluate, plain.space, plain.goals, program("refuse"))
    question = replace(plain, evaluate=instead, block=1)
    options = harness.options(tmp_path, sampler="random", budget=harness.budget("60 evaluations"))
    fronts = []
    for workers in (1, 2):
        found = explore(question, replace(options, workers=workers))
        columns = found.archive.metrics.columns
        assert np.allclose(columns["cost"], 2 * columns["analytic.cost"])
        assert found.summary["evaluations"] == 60
        fronts.append(found.front().csv())
    farewell()
    assert fronts[0] == fronts[1]


def test_the_section_of_a_study_is_read_kept_in_the_run_and_used(stated, tmp_path):
    text = (ROOT / "search_spaces" / "quickstart.yaml").read_text()
    section = {"command": list(stated("well").command), "promising": 5, "timeout": "5 s"}
    path = tmp_path / "study.yaml"
    path.write_text(text + f"\nevaluator: {json.dumps(section)}\n")
    problem = load(path)
    assert dump(problem)["evaluator"]["stage"] == "after"
    question = ask(problem)
    began = time.monotonic()
    found = explore(question, Options(budget("40 evaluations"), workers=2, results=tmp_path / "results"))
    assert time.monotonic() - began < 60
    assert found.summary["external"]["asked"] == 5
    assert load(found.folder / "problem.yaml").evaluator == problem.evaluator


@pytest.mark.parametrize(
    ("section", "message"),
    [
        ("{command: []}", "evaluator.command"),
        ("{command: [a], stage: before}", "evaluator.stage"),
        ("{command: [a], timeout: 5}", "evaluator.timeout"),
        ("{comand: [a]}", "Did you mean `command`"),
    ],
)
def test_a_wrong_section_is_refused_with_its_place(section, message, tmp_path):
    path = tmp_path / "study.yaml"
    path.write_text((ROOT / "search_spaces" / "quickstart.yaml").read_text() + f"\nevaluator: {section}\n")
    with pytest.raises(SpecError) as caught:
        load(path)
    assert message in str(caught.value)
