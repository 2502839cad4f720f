"""The package from a notebook or a script: search a problem, look at the front, ask why."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from dse.facts.problem import Problem
from dse.insight import explain_text, runs, table
from dse.insight.decision.completion import completed
from dse.insight.explain import Explanation
from dse.insight.explain import explain as explained
from dse.insight.runs import Opened
from dse.insight.shortlist import KNEES
from dse.insight.verdict import verdict
from dse.search.ask import ask, limits
from dse.search.budget import budget as read_budget
from dse.search.course import Progress
from dse.search.explore import explore as searched
from dse.search.frontier import ParetoSet
from dse.search.session import Options, ignore

CURRENT = "run"
"""Name of a run that was not opened by name."""


@dataclass(frozen=True)
class Design:
    """One row of a front."""

    opened: Opened
    row: int

    @property
    def id(self) -> str:
        """Name in the front."""
        return self.opened.front.ids[self.row]

    @property
    def levers(self) -> dict[str, str | float | int]:
        """Choices."""
        return self.opened.front.levers(self.row)

    @property
    def objectives(self) -> dict[str, float]:
        """Objectives, in the units of tables."""
        return self.opened.front.objectives(self.row)

    def explain(self) -> str:
        """Term by term, with formulas and sources."""
        return "\n".join(explain_text.text(self.explanation()))

    def explanation(self) -> Explanation:
        """The same as data."""
        return explained(self.opened, self.row, f"{self.opened.name}:{self.id}")


@dataclass(frozen=True)
class Front:
    """Non-dominated designs of a run; prints as its table of lettered designs."""

    opened: Opened

    @property
    def designs(self) -> ParetoSet:
        """All rows as columns of numbers."""
        return self.opened.front

    def __len__(self) -> int:
        """Count the rows."""
        return len(self.designs)

    def __getitem__(self, name: str) -> Design:
        """Return the design with this letter or id."""
        return Design(self.opened, runs.row_of(self.opened, name))

    def knees(self, count: int = KNEES) -> list[Design]:
        """Balanced designs, apart from each other."""
        return [Design(self.opened, int(row)) for row in self.designs.knees(count)]

    def to_csv(self, path: str | Path) -> None:
        """Write all rows with the unit in every column name."""
        self.designs.to_csv(path)

    def to_frame(self) -> Any:
        """All rows as a pandas DataFrame, the unit in every column name; needs the extra `frame`."""
        from dse.insight import frame

        return frame.frame(self.designs)

    def _repr_html_(self) -> str:
        """Picture and table, as a notebook shows them."""
        from dse.insight import sketch

        return sketch.html(self.opened.problem, self.designs, self.opened.picks)

    def __str__(self) -> str:
        """Table of the lettered designs."""
        picks = self.opened.picks
        rows = [pick.row for pick in picks]
        return "\n".join(table.lines(table.front_table(self.opened.problem, self.designs, rows, picks)))


@dataclass(frozen=True)
class Exploration:
    """A run with its problem."""

    opened: Opened

    @property
    def folder(self) -> Path:
        """Where it lies."""
        return self.opened.run.folder

    @property
    def summary(self) -> dict[str, object]:
        """Content of summary.json."""
        return dict(self.opened.run.summary)

    def front(self) -> Front:
        """Non-dominated designs."""
        return Front(self.opened)

    def report(self, path: str | Path | None = None) -> Path:
        """Write the page of the run; into its folder where no file is named."""
        from dse.insight.report import page

        return page.write(self.opened, Path(path) if path is not None else None)

    def figure(self, name: str = "map") -> Any:
        """Plotly figure of the page: map, solid, terms, plane, roofline, parallel, choices or history."""
        from dse.insight.report import figures
        from dse.insight.report.scene import Scene

        return figures.figure(Scene(self.opened), name)

    def verdict(self) -> str:
        """Answer in sentences."""
        return "\n".join(f"{said.subject}: {said.text}" for said in verdict(self.opened.problem, self.opened.run))


def explore(
    problem: Problem,
    budget: str | None = None,
    *,
    seed: int | None = None,
    workers: int | None = None,
    sampler: str | None = None,
    results: str | Path = "results",
    progress: Callable[[Progress], None] = ignore,
) -> Exploration:
    """Search a problem and write a run; exhaustive where the space is small enough for the budget.

    Parameters
    ----------
    problem : Problem                  of `load`
    budget : str, optional             "30 s" or "20000 evaluations"; the study's by default
    seed, workers, sampler : optional  the study's by default; one process a core
    results : folder                   where run folders are made
    progress : callable                told how far the search is
    """
    options = Options(
        budget=read_budget(budget) if budget else limits(problem),
        seed=problem.seed if seed is None else seed,
        workers=workers,
        sampler=sampler or problem.sampler,
        results=Path(results),
        progress=progress,
    )
    found = completed(problem, searched(ask(problem), options))
    return Exploration(Opened(problem, found, CURRENT))


def open_run(name: str = runs.LAST, results: str | Path = "results") -> Exploration:
    """Run on disk: last, last~1, STUDY/last or a folder."""
    return Exploration(runs.open_run(name, Path(results)))


def explain(run: Exploration, name: str) -> str:
    """Why one design of a run is what it is."""
    return run.front()[name].explain()
