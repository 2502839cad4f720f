import numpy as np
import pytest

from dse.facts.convergence import Convergence, convergence
from dse.facts.errors import SpecError
from dse.facts.study import Budget as Stated
from dse.search.budget import Budget, budget


@pytest.mark.parametrize(
    ("text", "read"),
    [
        ("converged", Budget(converged=Convergence())),
        ("converged 1 %", Budget(converged=Convergence(0.01))),
        ("60 s or converged 0.5 % over 500 evaluations", Budget(60.0, converged=Convergence(0.005, 500.0))),
        ("converged over 2 min", Budget(converged=Convergence(1e-3, 0.0, 120.0))),
        ("+60s, 5000 evaluations", Budget(60.0, 5000.0, more=True)),
    ],
)  # fmt: skip
def test_budgets_of_several_limits_are_read(text, read):
    assert budget(text) == read
    assert budget(str(read)) == budget(text.removeprefix("+"))


@pytest.mark.parametrize("text", ["soon", "converged by 3", "60 s or", "0 s", "converged 1 % over 5 designs"])
def test_other_budgets_are_refused_with_an_example(text):
    with pytest.raises(SpecError, match="for example"):
        budget(text)
    with pytest.raises(ValueError, match="expected a time"):
        Stated.model_validate(text if text != "0 s" else "none")


@pytest.mark.parametrize("text", ["30 s or converged", "2000 evaluations", "converged 1 % over 60 s"])
def test_a_budget_in_a_study_survives_writing(text):
    stated = Stated.model_validate(text)
    assert Stated.model_validate(stated.model_dump()) == stated
    assert stated.converged is None or convergence(stated.converged) is not None


def test_a_search_ends_when_it_has_converged(ask):
    found = ask("medium", "converged 1 % over 500 evaluations or 20000 evaluations", sampler="evolution_polish")
    assert found.summary["converged"]
    assert found.summary["evaluations"] < 20000
    history = np.loadtxt(found.folder / "history.csv", delimiter=",", skiprows=1)
    last = history[-1]
    before = history[history[:, 0] <= last[0] - 500][-1]
    assert last[3] - before[3] < 0.011 * last[3]


def test_convergence_over_evaluations_is_reproducible(ask):
    limit = "converged 2 % over 500 evaluations"
    one, other = (ask("medium", limit, sampler="evolution_polish", seed=3) for _ in range(2))
    assert one.front().csv() == other.front().csv()
    assert one.summary["evaluations"] == other.summary["evaluations"]


def test_an_exhaustive_search_does_not_stop_before_its_end(ask):
    found = ask("small", "converged 50 % over 300 evaluations", sampler="exhaustive")
    assert found.summary["exhaustive"]
    assert not found.summary["converged"]


def test_a_converged_search_goes_on_when_more_is_asked_for(ask):
    first = ask("medium", "converged 5 % over 300 evaluations", sampler="evolution_polish")
    again = ask("medium", "+400 evaluations", resume=first.folder)
    assert again.summary["evaluations"] == first.summary["evaluations"] + 400


def test_time_left_is_told_for_every_kind_of_budget(ask):
    for limit in ("1000 evaluations", "converged 1 % over 300 evaluations"):
        seen = []
        ask("medium", limit, sampler="evolution_polish", progress=seen.append)
        assert seen[-1].share == 1
        assert all(0 <= glance.share <= 1 for glance in seen)
        assert seen[-1].seconds_left == 0
