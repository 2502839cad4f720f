"""Design-space exploration for AI-agent inference systems.

>>> import dse
>>> problem = dse.load("search_spaces/quickstart.yaml")             # doctest: +SKIP
>>> run = dse.explore(problem, budget="30 s", seed=0)               # doctest: +SKIP
>>> run.front().to_csv("front.csv")                                 # doctest: +SKIP
>>> print(dse.explain(run, "A"))                                    # doctest: +SKIP
>>> metrics = dse.evaluate(problem, dse.Space.of(problem).sample(1000, seed=1))     # doctest: +SKIP
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from dse.facts.errors import SpecError as SpecError
    from dse.facts.problem import Problem as Problem
    from dse.facts.problem import load as load
    from dse.insight.notebook import explain as explain
    from dse.insight.notebook import explore as explore
    from dse.insight.notebook import open_run as open_run
    from dse.search.evaluation import evaluate as evaluate
    from dse.search.space import Space as Space

_HOMES = {
    "Problem": "dse.facts.problem",
    "Space": "dse.search.space",
    "SpecError": "dse.facts.errors",
    "evaluate": "dse.search.evaluation",
    "explain": "dse.insight.notebook",
    "explore": "dse.insight.notebook",
    "load": "dse.facts.problem",
    "open_run": "dse.insight.notebook",
}
"""Public name -> module; imported when first used, so that `import dse` costs nothing."""

__all__ = ["Problem", "Space", "SpecError", "evaluate", "explain", "explore", "load", "open_run"]


def __getattr__(name: str) -> Any:
    """Import a public name when it is first used."""
    if name not in _HOMES:
        raise AttributeError(f"module 'dse' has no attribute {name!r}")
    return getattr(import_module(_HOMES[name]), name)


def __dir__() -> list[str]:
    """Public names."""
    return __all__
