import csv
import json
import signal
import subprocess
import sys
import threading
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pytest

from dse.facts.errors import SpecError
from dse.search import pareto
from dse.search.axes import Designs
from dse.search.budget import Budget, budget
from dse.search.metrics import Metrics
from dse.search.question import Question
from dse.search.runs import lock, run, sample
from dse.search.runs.run import load_epoch, open_run

FILES = {"manifest.json", "summary.json", "front.csv", "history.csv", "archive.npz", "sample.npz", "study.journal"}


def names(folder):
    return {entry.name for entry in folder.iterdir()}


@dataclass(frozen=True)
class Interrupted:
    """An evaluator during which a person presses Ctrl-C."""

    toy: object
    after: int
    calls: list

    def __call__(self, designs: Designs) -> Metrics:
        self.calls.append(len(designs))
        if len(self.calls) == self.after:
            signal.raise_signal(signal.SIGINT)
        return self.toy(designs)


def test_a_run_leaves_its_files_and_nothing_else(ask):
    found = ask("small", "400 evaluations", sampler="random")
    assert FILES <= names(found.folder) <= FILES | {".lock", "archive.previous.npz"}
    assert (found.folder.parent / "last").resolve() == found.folder.resolve()


def test_every_column_of_the_front_names_its_unit(ask):
    found = ask("medium", "400 evaluations")
    rows = list(csv.reader((found.folder / "front.csv").read_text().splitlines()))
    assert all(name.endswith("]") and " [" in name for name in rows[0])
    assert rows[0][:4] == ["design [id]", "cost [$/task]", "throughput [task/s/MW]", "latency [1]"]
    assert [row[0] for row in rows[1:3]] == ["D001", "D002"]
    assert len(rows) - 1 == found.summary["front_size"] == len(found.front())
    costs = [float(row[1]) for row in rows[1:]]
    assert costs == sorted(costs)


def test_inert_levers_say_so_and_bytes_are_shown_in_gigabytes(ask):
    found = ask("medium", "400 evaluations")
    front = found.front()
    seen = [front.levers(row) for row in range(len(front))]
    assert all((lv["prefill.device"] == "inert") == (lv["serving"] == "colocated") for lv in seen)
    assert "host [GB]" in ask("small", "300 evaluations").front().table()


def test_summary_and_manifest_have_their_keys(ask):
    found = ask("small", "400 evaluations", sampler="random", seed=3, command="dse run small.yaml")
    assert found.summary.keys() >= {
        "front_size", "hypervolume", "reference_point", "sampler", "reason", "exhaustive", "evaluations",
        "wall_seconds", "knees", "best", "heterogeneity", "settled", "interrupted", "space_size",
    }  # fmt: skip
    manifest = json.loads((found.folder / "manifest.json").read_text())
    assert manifest["seed"] == 3
    assert manifest["command"] == "dse run small.yaml"
    assert manifest["versions"].keys() >= {"dse", "python", "numpy", "optuna"}
    assert manifest["reference_basis"].startswith("worst feasible")
    assert json.loads((found.folder / "summary.json").read_text()) == json.loads(json.dumps(found.summary))


def test_the_reference_point_is_the_worst_feasible_of_the_seeded_sample(ask, toys, goals):
    found = ask("medium", "300 evaluations", seed=4)
    toy = toys["medium"]
    metrics = toy(toy.space.sample(found.manifest["sample"], 4))
    assert found.manifest["reference_point"]["cost"] == pytest.approx(metrics.columns["cost"][metrics.feasible].max())


@pytest.mark.parametrize(
    ("sampler", "pause", "end"),
    [("evolution_polish", 330, 700), ("exhaustive", 330, 700), ("random", 330, 700), ("nsga2", 150, 220)],
)
def test_a_resumed_run_finds_what_an_uninterrupted_one_finds(sampler, pause, end, ask):
    first = ask("small", f"{pause} evaluations", sampler=sampler)
    resumed = ask("small", f"{end} evaluations", sampler=sampler, resume=first.folder)
    whole = ask("small", f"{end} evaluations", sampler=sampler)
    assert resumed.front().csv() == whole.front().csv()
    assert resumed.summary["evaluations"] == whole.summary["evaluations"] == end
    assert resumed.summary["hypervolume"] == whole.summary["hypervolume"]


def test_more_budget_is_added_to_what_was_used(ask):
    first = ask("medium", "400 evaluations")
    assert ask("medium", "+200 evaluations", resume=first.folder).summary["evaluations"] == 600


def test_a_finished_run_has_nothing_to_resume(ask):
    first = ask("tight", "100000 evaluations")
    again = ask("tight", "200000 evaluations", resume=first.folder)
    assert again.summary["finished"]
    assert again.front().csv() == first.front().csv()


@pytest.mark.parametrize("after", [3, 20, 45])
@pytest.mark.parametrize("sampler", ["evolution_polish", "exhaustive"])
def test_ctrl_c_leaves_a_valid_run_that_can_be_continued(after, sampler, ask, toys):
    broken = Interrupted(toys["small"], after, [])
    toy = replace(toys["small"])
    object.__setattr__(broken, "space", toy.space)
    stopped = ask("small", "900 evaluations", sampler=sampler, toy=broken)
    assert stopped.summary["interrupted"]
    assert 0 < stopped.summary["evaluations"] < 900
    assert names(stopped.folder) >= FILES - {"sample.npz"}  # in its sample, a run has none yet
    resumed = ask("small", "900 evaluations", sampler=sampler, resume=stopped.folder)
    whole = ask("small", "900 evaluations", sampler=sampler)
    assert resumed.front().csv() == whole.front().csv()


def test_stopping_twice_within_one_batch_loses_no_count(ask, toys):
    stopped, counted = None, [0]
    for after in (20, 2, 3):  # the later parts do not come as far in the batch as the first one did
        broken = Interrupted(toys["small"], after, [])
        object.__setattr__(broken, "space", toys["small"].space)
        again = {"resume": stopped.folder} if stopped else {}
        stopped = ask("small", "900 evaluations", sampler="exhaustive", toy=broken, **again)
        counted.append(stopped.summary["evaluations"])
        assert len(run.told(load_epoch(stopped.folder)).rows) == counted[-1]
    assert counted == sorted(counted)
    resumed = ask("small", "900 evaluations", sampler="exhaustive", resume=stopped.folder)
    whole = ask("small", "900 evaluations", sampler="exhaustive")
    assert resumed.summary["evaluations"] == 900
    assert resumed.front().csv() == whole.front().csv()


def test_a_resumed_run_does_not_score_its_sample_again(ask, toys):
    first = ask("medium", "400 evaluations")
    unfinished = 400 - load_epoch(first.folder).evaluations  # the batch in which the budget ended is done again
    assert 0 < unfinished < 400 - first.manifest["sample"]
    counting = Interrupted(toys["medium"], 10**9, [])
    object.__setattr__(counting, "space", toys["medium"].space)
    ask("medium", "+200 evaluations", resume=first.folder, toy=counting)
    assert sum(counting.calls) == 200 + unfinished


@pytest.mark.parametrize("damage", ["gone", "cut"])
def test_a_sample_that_was_lost_is_scored_again(damage, ask):
    first, whole = ask("medium", "400 evaluations"), ask("medium", "600 evaluations")
    kept = first.folder / sample.SAMPLE
    if damage == "gone":
        kept.unlink()
    else:
        kept.write_bytes(kept.read_bytes()[:200])
    assert ask("medium", "+200 evaluations", resume=first.folder).front().csv() == whole.front().csv()


def test_ctrl_c_with_workers_ends_quickly_and_cleanly(tmp_path):
    script = Path(__file__).with_name("interrupt.py")
    child = subprocess.Popen(
        [sys.executable, str(script), str(tmp_path)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    assert child.stdout is not None
    assert child.stdout.readline().strip() == "searching"
    timer = threading.Timer(0.5, child.send_signal, [signal.SIGINT])
    timer.start()
    out, err = child.communicate(timeout=30)
    assert (child.returncode, err) == (0, "")
    assert "interrupted True" in out


def test_a_truncated_archive_falls_back_to_the_one_before(ask):
    first = ask("small", "900 evaluations", sampler="evolution_polish")
    archive = first.folder / run.ARCHIVE
    archive.write_bytes(archive.read_bytes()[:1000])
    whole = ask("small", "1500 evaluations", sampler="evolution_polish")
    resumed = ask("small", "1500 evaluations", sampler="evolution_polish", resume=first.folder)
    assert resumed.front().csv() == whole.front().csv()


def test_without_a_readable_archive_the_message_says_what_to_do(ask):
    first = ask("small", "300 evaluations")
    for name in (run.ARCHIVE, run.PREVIOUS):
        (first.folder / name).write_bytes(b"PK")
    with pytest.raises(SpecError, match="start a new run"):
        load_epoch(first.folder)


def test_a_run_of_another_study_is_refused_with_the_difference(ask):
    first = ask("small", "300 evaluations")
    with pytest.raises(SpecError, match="lever host is gone"):
        ask("tight", "500 evaluations", resume=first.folder)


def test_a_folder_belongs_to_one_process(ask):
    first = ask("small", "300 evaluations")
    with lock.locked(first.folder), pytest.raises(SpecError, match="another process"):
        ask("small", "500 evaluations", resume=first.folder)


def test_a_run_can_be_opened_again(ask, toys, goals):
    first = ask("small", "300 evaluations")
    question = Question("small", toys["small"].space, goals, toys["small"], {"host": "B"})
    again = open_run(first.folder, question)
    assert again.front().csv() == first.front().csv()
    assert again.summary["front_size"] == first.summary["front_size"]


def test_an_infeasible_study_names_the_nearest_design_and_what_it_misses(ask, toys):
    found = ask("tight", "3000 evaluations", toy=replace(toys["tight"], tightness=0.01))
    assert not found.summary["feasible"]
    assert len(found.front()) == 0
    assert found.summary["nearest"]["missed"]["slack_memory"] < 0


def test_a_settled_lever_says_by_how_much_the_next_value_loses(ask):
    found = ask("medium", "3000 evaluations")
    front = found.front()
    fixed = {line["lever"]: line for line in found.summary["settled"]}
    for name in found.question.space.names:
        values = {front.levers(row)[name] for row in range(len(front))} - {"inert"}
        assert (len(values) == 1) == (name in fixed)
    for line in fixed.values():
        assert line["loss"] is None or 0 <= line["loss"] < 1
        assert line["statement"].startswith("settled, because")


def test_heterogeneity_is_the_gain_over_the_best_single_device(ask, toys, goals):
    found = ask("small", "100000 evaluations")
    toy = toys["small"]
    designs = toy.space.numbered(np.arange(toy.space.size))
    metrics = toy(designs)
    cost, same = metrics.columns["cost"], designs["prefill.device"] == designs["decode.device"]
    best = cost[metrics.feasible].min(), cost[metrics.feasible & same[metrics.design]].min()
    assert found.summary["heterogeneity"]["cost"] == pytest.approx(best[1] / best[0])


def test_history_rises_and_ends_at_the_front(ask):
    found = ask("medium", "2000 evaluations")
    lines = list(csv.reader((found.folder / "history.csv").read_text().splitlines()))[1:]
    volumes = [float(line[3]) for line in lines]
    assert volumes == sorted(volumes)
    assert volumes[-1] == pytest.approx(found.summary["hypervolume"], rel=1e-8)


def test_progress_is_reported_and_a_time_budget_is_kept(ask):
    seen = []
    found = ask("medium", "0.5 s", sampler="evolution", progress=seen.append)
    assert seen[-1].share >= 1
    assert 0.4 < found.summary["wall_seconds"] < 2
    assert pareto.nondominated(found.archive.scores).all()


@pytest.mark.parametrize(
    ("text", "limits"),
    [
        ("60 s", Budget(60.0)), ("2 min", Budget(120.0)), ("20000 evaluations", Budget(evaluations=2e4)),
        ("1_000 evaluations", Budget(evaluations=1e3)), ("+60s", Budget(60.0, more=True)),
    ],
)  # fmt: skip
def test_budgets_are_read(text, limits):
    assert budget(text) == limits


def test_a_budget_without_unit_is_refused():
    with pytest.raises(SpecError, match="for example"):
        budget("60")
