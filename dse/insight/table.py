"""Tables for a terminal: at most eight columns, one hundred characters, units in the header."""

from collections.abc import Sequence
from textwrap import wrap
from typing import NamedTuple

from dse.facts.problem import Problem
from dse.insight import wording
from dse.insight.shortlist import Pick
from dse.search.frontier import ParetoSet

WIDTH = 100
"""Characters of a line."""

MOST_COLUMNS = 8
"""More than this cannot be read."""

LATENCIES = ("ttft_p95", "tpot")
"""Columns beside the objectives, where the objectives leave room."""


class Table(NamedTuple):
    """Text of a table; the first column is aligned left, the others right."""

    header: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]
    left: frozenset[int] = frozenset({0})
    """Columns of words."""


def shortened(text: str, width: int) -> str:
    """Text cut to a width, with an ellipsis.

    >>> shortened("mi355x TP8 EP64", 9)
    'mi355x T…'
    """
    return text if len(text) <= width else f"{text[: width - 1]}…"


def lines(table: Table, width: int = WIDTH) -> list[str]:
    """Lines of a table; the first column gives way where the line is too long."""
    cells = [table.header, *table.rows]
    widths = [max(len(row[column]) for row in cells) for column in range(len(table.header))]
    spare = width - sum(widths[1:]) - 2 * len(widths) - 2
    words = max(range(len(widths)), key=lambda column: (column in table.left) * widths[column])
    if words == 0:
        widths[0] = min(widths[0], max(spare, 12))
    made = []
    for row in cells:
        texts = [
            f"{shortened(text, widths[column]):<{widths[column]}}"
            if column in table.left
            else f"{text:>{widths[column]}}"
            for column, text in enumerate(row)
        ]
        made.append(f"  {'  '.join(texts)}".rstrip())
    return made


def front_table(problem: Problem, front: ParetoSet, rows: Sequence[int], picks: Sequence[Pick]) -> Table:
    """Rows of a front: name, design in words, objectives, latencies."""
    question, columns = front.question, front.archive.metrics.columns
    agents = [agent.name for agent in problem.agents]
    names = [goal.name for goal in question.goals][: MOST_COLUMNS - 1]
    names += [name for name in LATENCIES if name not in names][: MOST_COLUMNS - 1 - len(names)]
    shown = {name: wording.display(name, question.unit(name)) for name in names}
    heads = [wording.heading(name, question.unit(name)) for name in names]
    letters = {pick.row: pick for pick in picks}
    short = wording.short_names(problem.devices)
    labels = [letters[row].letter if row in letters else front.ids[row] for row in rows]
    width, table = max(map(len, labels), default=0), []
    for row, label in zip(rows, labels, strict=True):
        values = [wording.cell(float(columns[name][row]) / shown[name].size) for name in names]
        table.append((f"{label:<{width}}  {wording.front_design(front, row, agents, short)}", *values))
    return Table((f"{'':{width + 2}}design", *heads), tuple(table))


def wrapped(margin: str, sentence: str, hanging: str | None = None) -> list[str]:
    """Sentence folded into lines; those after the first begin with the hanging margin."""
    after = margin if hanging is None else hanging
    return wrap(
        sentence,
        WIDTH,
        initial_indent=margin,
        subsequent_indent=after,
        break_long_words=False,
        break_on_hyphens=False,
    )
