import json
from dataclasses import replace

import numpy as np
import pytest

from dse.facts.errors import SpecError
from dse.search.runs.warm import start_from


def changed(toys, **levers):
    """The medium toy with other choices of some levers; None takes a lever away."""
    from dse.search.space import Space

    toy = toys["medium"]
    axes = [replace(axis, choices=levers.get(axis.name, axis.choices)) for axis in toy.space.axes]
    return replace(toy, space=Space(tuple(axis for axis in axes if axis.choices), toy.space.pairs))


@pytest.fixture
def first(ask):
    return ask("medium", "2000 evaluations", sampler="evolution_polish")


def test_the_same_study_starts_at_the_front_and_scores_it_again(first, ask):
    again = ask("medium", "700 evaluations", sampler="random", start_from=first.folder, seed=9)
    cold = ask("medium", "700 evaluations", sampler="random", seed=9)
    assert again.summary["start_from"]["designs"] == first.summary["front_designs"]
    assert again.summary["start_from"]["notes"] == []
    assert again.summary["hypervolume"] > cold.summary["hypervolume"]
    assert again.summary["evaluations"] == 700
    assert json.loads((again.folder / "manifest.json").read_text())["sample"] == 64


def test_results_are_never_taken_over(first, ask, toys):
    other = replace(toys["medium"], seed=77)
    again = ask("medium", "600 evaluations", sampler="random", start_from=first.folder, toy=other)
    metrics = other(again.question.space.canonical(again.archive.rows))
    best = np.array([metrics.columns["cost"][metrics.design == row].min() for row in range(len(again.archive.rows))])
    assert (again.archive.metrics.columns["cost"] >= best - 1e-12).all()


def test_numbers_move_to_the_nearest_choice_and_unknown_names_are_left_out(first, toys):
    toy = changed(toys, optical=(0.0, 90.0, 900.0), kv_dtype=("fp8", "int8"))
    told = start_from(toy.space, first.folder)
    text = "\n".join(told["notes"])
    assert "kv_dtype bf16 is no choice here: left out" in text or told["designs"] == told["front_designs"]
    assert "optical 50.0 became 90.0" in text
    rows = np.array(told["rows"], dtype=np.int16)
    assert (toy.space.canonical(rows).rows == rows).all()


def test_levers_that_came_or_went_are_told(first, toys):
    toy = changed(toys, topology=())
    told = start_from(toy.space, first.folder)
    assert any(note.startswith("lever topology is gone") for note in told["notes"])
    assert 0 < told["designs"] <= told["front_designs"]


def test_zero_is_near_nothing_but_zero(first, toys):
    toy = changed(toys, optical=(1.0, 1000.0, 0.0))
    told = start_from(toy.space, first.folder)
    assert not any("became 0.0" in note for note in told["notes"])


def test_a_started_run_is_resumed_as_if_it_had_not_stopped(first, ask):
    sampler = "evolution_polish"
    part = ask("medium", "900 evaluations", sampler=sampler, start_from=first.folder)
    resumed = ask("medium", "1500 evaluations", sampler=sampler, resume=part.folder)
    whole = ask("medium", "1500 evaluations", sampler=sampler, start_from=first.folder)
    assert resumed.front().csv() == whole.front().csv()


def test_a_folder_that_is_no_run_is_refused(toys, tmp_path):
    with pytest.raises(SpecError):
        start_from(toys["medium"].space, tmp_path)
