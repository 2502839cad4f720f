"""What a search needs to know of a study: the space, the objectives, and how to score designs."""

import hashlib
import json
import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import partial

from dse.facts.levers import REGISTRY
from dse.facts.metrics import METRICS
from dse.facts.problem import Problem, dump
from dse.search.axes import Choice, Designs
from dse.search.budget import Budget
from dse.search.metrics import Goal, Metrics
from dse.search.space import Space


@dataclass(frozen=True)
class Question:
    """A study as the engines see it."""

    name: str
    space: Space
    goals: tuple[Goal, ...]
    evaluate: Callable[[Designs], Metrics]
    units: Mapping[str, str] = field(default_factory=dict)
    """Unit of each lever, mapping and metric that is not a pure number."""
    resolved: str = ""
    """The study with everything written out, as text."""

    def unit(self, name: str) -> str:
        """Unit of a column, by its full name or its last part; 1 for a pure number."""
        return self.units.get(name, self.units.get(name.rsplit(".", 1)[-1], "1"))

    @property
    def signature(self) -> dict[str, object]:
        """What two runs must share for one to continue the other."""
        levers: dict[str, list[Choice]] = {axis.name: list(axis.choices) for axis in self.space.axes}
        goals = [[goal.name, "maximize" if goal.maximize else "minimize"] for goal in self.goals]
        return {"levers": levers, "objectives": goals}

    @property
    def digest(self) -> str:
        """SHA-256 of the resolved study and of what the search sees of it."""
        text = self.resolved + json.dumps(self.signature, sort_keys=True)
        return hashlib.sha256(text.encode()).hexdigest()


def limits(problem: Problem) -> Budget:
    """Budget that a study states."""
    stated = problem.budget
    return Budget(stated.time or math.inf, stated.evaluations or math.inf)


def question(problem: Problem) -> Question:
    """Question that a study asks of the search, scored by the model."""
    from dse.search.evaluation import evaluate

    return Question(
        name=problem.name,
        space=Space.of(problem),
        goals=tuple(Goal(o.column, o.maximize, o.unit) for o in problem.objectives),
        evaluate=partial(evaluate, problem),
        units={name: lever.unit for name, lever in REGISTRY.items()}
        | {name: metric.unit for name, metric in METRICS.items()},
        resolved=json.dumps(dump(problem), indent=1, ensure_ascii=False),
    )
