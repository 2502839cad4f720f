"""What several cards need of one run: its table of designs, cases of a few of them, and a sample of the space."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from dse.arrays import FloatArray, IntArray
from dse.insight import wording
from dse.insight.case import Case, case
from dse.insight.decision.robustness import Robustness, robustness
from dse.insight.explain import Explanation, design_of, explanation
from dse.insight.report import style
from dse.insight.runs import Opened
from dse.insight.shortlist import KNEE, Pick
from dse.search.archive import Ledger
from dse.search.axes import Designs
from dse.search.evaluation import Evaluator
from dse.search.frontier import ParetoSet
from dse.search.metrics import Goal, Metrics
from dse.search.runs import run as folders

SAMPLED = 192
"""Designs of the uniform sample that shows the space behind the front; the whole space where it is no larger."""

SEED = 1
"""Of that sample: its own, so that it does not follow the search."""

MOST_ROWS = 600
"""Rows of the front on the page; of a longer one every n-th is left out besides the lettered ones."""

MOST_CARDS = 5
"""Designs that are shown at length."""


@dataclass(frozen=True)
class Scene:
    """A run, with what is computed of it once."""

    opened: Opened

    @cached_property
    def front(self) -> ParetoSet:
        """Non-dominated designs."""
        return self.opened.front

    @cached_property
    def picks(self) -> tuple[Pick, ...]:
        """Lettered designs."""
        return self.opened.picks

    @cached_property
    def shown(self) -> tuple[Pick, ...]:
        """Lettered designs that get a card: the best of each objective, then balanced ones."""
        best = [pick for pick in self.picks if pick.reason != KNEE]
        knees = [pick for pick in self.picks if pick.reason == KNEE]
        return tuple(sorted((best + knees)[:MOST_CARDS]))

    @cached_property
    def note(self) -> str:
        """Study, status and price date, for figures."""
        return style.stamp(self.opened)

    @cached_property
    def goals(self) -> tuple[Goal, ...]:
        """Objectives."""
        return self.front.question.goals

    @cached_property
    def rows(self) -> IntArray:
        """Rows of the front that the page lists; the lettered ones are among them."""
        listed = self.front.listed()
        step = -(-len(listed) // MOST_ROWS) if len(listed) else 1
        lettered = np.array([pick.row for pick in self.picks], dtype=np.int64)
        return np.unique(np.concatenate([listed[::step], lettered])).astype(np.int64)

    @cached_property
    def letters(self) -> dict[int, str]:
        """Row of the front -> its letter."""
        return {pick.row: pick.letter for pick in self.picks}

    @cached_property
    def evaluator(self) -> Evaluator:
        """Evaluator of the problem."""
        evaluate = self.opened.run.question.evaluate
        return evaluate if isinstance(evaluate, Evaluator) else Evaluator.of(self.opened.problem)

    @cached_property
    def agents(self) -> tuple[str, ...]:
        """Names of the classes."""
        return tuple(agent.name for agent in self.opened.problem.agents)

    @cached_property
    def shares(self) -> FloatArray:
        """(classes,) shares of the classes in the tasks [1]."""
        return np.array([agent.share for agent in self.opened.problem.agents])

    @cached_property
    def short(self) -> dict[str, str]:
        """Device -> its short name."""
        return wording.short_names(self.opened.problem.devices)

    def values(self, name: str, rows: Sequence[int] | IntArray | None = None) -> FloatArray:
        """Column of the front in SI."""
        column = self.front.archive.metrics.columns[name]
        return np.asarray(column if rows is None else column[np.asarray(rows)], dtype=np.float64)

    def line(self, row: int) -> str:
        """Design in words."""
        return wording.front_design(self.front, row, self.agents, self.short)

    def name(self, row: int) -> str:
        """Letter of a design, or its id."""
        return self.letters.get(row) or self.front.ids[row]

    def case(self, row: int) -> Case:
        """Design scored again by itself, with everything its score was made of."""
        if row not in self._cases:
            self._cases[row] = case(self.evaluator, design_of(self.opened, row), self.front.mapping(row))
        return self._cases[row]

    def explained(self, row: int) -> Explanation:
        """Explanation of a row."""
        if row not in self._explained:
            designs = design_of(self.opened, row)
            made = explanation(self.evaluator, designs, self.front.mapping(row), self.name(row))
            self._explained[row] = made.explanation()
        return self._explained[row]

    @cached_property
    def robustness(self) -> Robustness:
        """How the listed designs survive what is not known."""
        return robustness(self.opened)

    @cached_property
    def _cases(self) -> dict[int, Case]:
        return {}

    @cached_property
    def _explained(self) -> dict[int, Explanation]:
        return {}

    @cached_property
    def sample(self) -> tuple[Designs, Metrics]:
        """Uniform sample of the space with its scores: what the space offers, whatever the search looked at."""
        designs = self.opened.run.question.space.sample(SAMPLED, SEED)
        return designs, self.evaluator(designs)

    @cached_property
    def ledger(self) -> Ledger | None:
        """Record of all scored designs; None where the run was kept without its archive."""
        if not any((self.opened.run.folder / name).exists() for name in (folders.ARCHIVE, folders.PREVIOUS)):
            return None
        return folders.told(folders.load_epoch(self.opened.run.folder))
