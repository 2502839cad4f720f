"""A range without steps is as good as continuous: the search finds the optimum of a smooth problem."""

from dataclasses import dataclass

import numpy as np

from dse.facts.levers import REGISTRY, expand
from dse.search.axes import Designs
from dse.search.budget import Budget
from dse.search.explore import Options, explore
from dse.search.metrics import Goal, Metrics
from dse.search.question import Question
from dse.search.space import Space, space

GOALS = (Goal("cost", False, "1"), Goal("delay", False, "1"))
BEST = {"capacity": 3.7e11, "bandwidth": 4.2e10}
"""Where both objectives are least, whichever way they are shared."""


@dataclass(frozen=True)
class Bowl:
    """cost * delay >= 1, with equality at the best choices only; a third lever trades one for the other."""

    space: Space

    def __call__(self, designs: Designs) -> Metrics:
        values = {axis.name: np.array(axis.choices)[designs[axis.name]] for axis in self.space.axes}
        away = sum(np.log(values[name] / best) ** 2 for name, best in BEST.items())
        twist = np.prod([np.log(values[name] / best) for name, best in BEST.items()], axis=0)
        bowl, trade = 1 + away + 1.5 * twist, 2.0 ** values["trade"]
        columns = {"cost": bowl * trade, "delay": bowl / trade}
        return Metrics(np.arange(len(designs)), columns, {}, np.zeros(len(designs)))


def test_a_range_of_a_quantity_without_steps_is_fine_grained():
    choices = expand(REGISTRY["pool.capacity"], {"from": "10 GB", "to": "10 TB", "scale": "log"})
    assert len(choices) == 1_000
    assert (choices[0], choices[-1]) == (1e10, 1e13)
    assert np.ptp(np.diff(np.log(choices))) < 1e-9
    assert np.diff(np.log(choices)).max() < 0.007


def test_search_over_continuous_levers_meets_the_analytic_optimum(tmp_path):
    capacity = expand(REGISTRY["pool.capacity"], {"from": "10 GB", "to": "10 TB", "scale": "log"})
    rate = expand(REGISTRY["optical_bandwidth"], {"from": "1 GB/s", "to": "2000 GB/s", "scale": "log"})
    made = Bowl(space({"capacity": capacity, "bandwidth": rate, "trade": (0, 1, 2)}, {}))
    question = Question("bowl", made.space, GOALS, made)
    found = explore(question, Options(Budget(evaluations=3000), seed=1, workers=1, results=tmp_path))
    cost, delay = (found.archive.metrics.columns[goal.name] for goal in GOALS)
    assert set(np.round(np.log2(cost / delay) / 2)) == {0, 1, 2}
    assert (cost * delay).max() <= 1.001**2
    for row in map(made.space.decode, found.archive.rows):
        assert all(abs(row[name] / best - 1) < 0.02 for name, best in BEST.items())
