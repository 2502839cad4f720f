"""Designs of a fresh search of a varied problem, for questions that must not rest on the old front alone."""

import tempfile
from pathlib import Path

from dse.insight.sensitivity.breakeven import Search
from dse.insight.sensitivity.held import Scenario
from dse.search.ask import ask
from dse.search.axes import Designs
from dse.search.budget import Budget
from dse.search.explore import explore
from dse.search.session import Options


def searcher(budget: Budget, seed: int, workers: int | None = None) -> Search:
    """Search with a budget per varied problem; the runs are thrown away."""

    def designs(scenario: Scenario) -> Designs:
        question = ask(scenario.problem)
        with tempfile.TemporaryDirectory() as folder:
            found = explore(question, Options(budget=budget, seed=seed, workers=workers, results=Path(folder)))
        return Designs(found.archive.rows.copy(), question.space.names)

    return designs
