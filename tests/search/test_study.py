from dataclasses import replace

import optuna
import pytest

from dse.search.axes import Inert
from dse.search.metrics import Goal
from dse.search.runs.run import load_epoch
from dse.search.runs.study import OURS, TRIALS, objective, record
from dse.search.runs.study_storage import open_storage
from dse.search.space import space


@pytest.fixture
def loaded(ask):
    found = ask("medium", "1500 evaluations")
    storage = open_storage(str(found.folder / "study.journal"))
    return found, optuna.load_study(study_name=None, storage=storage)


def values(found):
    front = found.front()
    return sorted(tuple(front.objectives(row).values()) for row in range(len(front)))


def test_best_trials_are_the_front(loaded):
    found, study = loaded
    assert sorted(tuple(trial.values) for trial in study.best_trials) == values(found)
    assert {trial.user_attrs["design"] for trial in study.best_trials} == set(found.front().ids)


def test_directions_and_metric_names_are_those_of_the_study(loaded):
    _, study = loaded
    assert [d.name for d in study.directions] == ["MINIMIZE", "MAXIMIZE", "MINIMIZE"]
    assert study.metric_names == ["cost [$/task]", "throughput [task/s/MW]", "latency [1]"]


def test_trials_are_readable_few_and_tell_infeasible_ones(loaded):
    found, study = loaded
    front = found.front()
    (first,) = [trial for trial in study.best_trials if trial.user_attrs["design"] == "D001"]
    assert first.params["serving"] == front.levers(0)["serving"]
    assert first.user_attrs["mapping"]["decode.batch"] == str(front.mapping(0)["decode.batch"])
    assert first.constraints["violation"] == 0 >= first.constraints["slack_memory"]
    assert len(front) < len(study.trials) <= TRIALS
    assert any(trial.user_attrs.get("knee") for trial in study.best_trials)


def test_violated_constraints_have_the_sign_of_optuna(ask):
    found = ask("tight", "1000 evaluations")
    study = optuna.load_study(study_name=None, storage=open_storage(str(found.folder / "study.journal")))
    assert any(trial.constraints["violation"] > 0 for trial in study.trials)
    assert all(max(trial.constraints.values()) <= 0 for trial in study.best_trials)
    assert sorted(tuple(trial.values) for trial in study.best_trials) == values(found)


@pytest.mark.parametrize("make", [optuna.samplers.TPESampler, optuna.samplers.NSGAIISampler])
def test_a_plain_sampler_continues_the_study(loaded, make):
    found, study = loaded
    before = len(study.trials)
    study.sampler = make(seed=0)
    study.optimize(objective(found.question), n_trials=5)
    assert len(study.trials) == before + 5
    assert all(trial.state.is_finished() for trial in study.trials)


def test_trials_that_others_added_stay_when_a_run_is_resumed(loaded, ask):
    found, study = loaded
    study.optimize(objective(found.question), n_trials=2)
    resumed = ask("medium", "2500 evaluations", resume=found.folder)
    again = optuna.load_study(study_name=None, storage=open_storage(str(resumed.folder / "study.journal")))
    assert sum(OURS not in trial.user_attrs for trial in again.trials) == 2
    ours = [trial for trial in again.best_trials if OURS in trial.user_attrs]
    assert {tuple(trial.values) for trial in ours} <= set(values(resumed))


@pytest.fixture
def ranged(toys, ask):
    """A study one lever of which is a long range that may be inert."""
    toy = toys["small"]
    levers = {axis.name: axis.choices for axis in toy.space.axes} | {"host": tuple(2e9 * 1.1**n for n in range(40))}
    inert = {axis.name: axis.inert for axis in toy.space.axes} | {"host": (Inert("topology", frozenset({"ring"})),)}
    return ask("small", "600 evaluations", toy=replace(toy, space=space(levers, inert, toy.space.pairs)))


def test_a_long_range_is_told_as_a_number_that_plain_optuna_goes_on_with(ranged):
    study = optuna.load_study(study_name=None, storage=open_storage(str(ranged.folder / "study.journal")))
    kinds = {kind for trial in study.trials for name, kind in trial.distributions.items() if name == "host"}
    assert kinds == {optuna.distributions.FloatDistribution(2.0, 2 * 1.1**39, log=True)}
    assert study.user_attrs["units"] == {"host": "GB"}
    assert {"host" in trial.params for trial in study.trials if trial.params["topology"] == "ring"} == {False}
    front = ranged.front()
    told = {trial.user_attrs["design"]: trial.params.get("host") for trial in study.best_trials}
    for row, name in enumerate(front.ids):
        levers = front.levers(row)
        assert told[name] == (None if levers["topology"] == "ring" else pytest.approx(levers["host"] / 1e9))
    study.optimize(objective(ranged.question), n_trials=3)
    assert 2 <= study.trials[-1].params["host"] <= 2 * 1.1**39


def test_any_storage_url_holds_the_same_study(ask, tmp_path):
    url = f"sqlite:///{tmp_path / 'studies.db'}"
    found = ask("small", "300 evaluations", storage=url)
    study = optuna.load_study(study_name=None, storage=open_storage(url))
    assert sorted(tuple(trial.values) for trial in study.best_trials) == values(found)
    own = open_storage(str(found.folder / "study.journal"))
    assert len(optuna.load_study(study_name=None, storage=own).trials) == len(study.trials)
    study._storage.remove_session()


def test_a_storage_with_another_space_is_refused(ask, tmp_path):
    where = str(tmp_path / "shared.journal")
    found = ask("small", "300 evaluations")
    other = optuna.create_study(
        study_name=f"small-{found.folder.name}",
        storage=open_storage(where),
        directions=["minimize", "maximize", "minimize"],
    )
    other.set_user_attr("signature", {"levers": {"colour": ["red"]}, "objectives": [list(Goal("a", False, "1"))]})
    ledger = load_epoch(found.folder).ledger
    assert "lever colour is gone" in str(record(found, ledger, where))
