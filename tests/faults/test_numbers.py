"""No NaN and no infinity in any metric of any shipped search space."""

from pathlib import Path

import numpy as np
import pytest

from dse.facts.problem import load
from dse.search.ask import ask

SPACES = sorted((Path(__file__).parents[2] / "search_spaces").glob("*.yaml"))
COUNT = 800


def strange(metrics):
    """Columns that hold what is no finite number; an infeasible row may need infinite time."""
    feasible = metrics.feasible
    found = [name for name, values in metrics.columns.items() if np.isnan(values).any()]
    found += [name for name, values in metrics.columns.items() if np.isinf(values[feasible]).any()]
    return found + (["violation"] if np.isnan(metrics.violation).any() or (metrics.violation < 0).any() else [])


@pytest.mark.parametrize("path", SPACES, ids=lambda path: path.stem)
def test_every_metric_of_a_sample_of_every_shipped_space_is_a_finite_number(path):
    question = ask(load(path))
    designs = question.space.sample(min(COUNT, question.space.size), 20260101)
    metrics = question.evaluate(designs)
    assert not strange(metrics)
    assert set(metrics.design.tolist()) == set(range(len(designs)))
    for goal in question.goals:
        assert (metrics.columns[goal.name][metrics.feasible] > 0).all()
