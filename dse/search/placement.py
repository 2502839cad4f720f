"""Where the steps of a task run: the cheapest placement on device pools that meets a deadline."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from scipy.optimize import Bounds, LinearConstraint, milp
from scipy.sparse import csr_array

from dse.arrays import IntArray


class Option(NamedTuple):
    """One pool that could run a step."""

    seconds: float
    cost: float
    """[$]."""


class Node(NamedTuple):
    """One step with the pools that could run it."""

    options: Mapping[str, Option]
    after: tuple[str, ...] = ()
    """Steps that must be finished before."""


Transfer = Mapping[tuple[str, str], Option]
"""(step before, step after) -> time and cost of what moves between them when they run on different pools."""


@dataclass(frozen=True)
class Placement:
    """A schedule."""

    pools: Mapping[str, str]
    """Step -> pool."""
    cost: float
    """[$]."""
    latency: float
    """Longest path through the graph, transfers included [s]."""


SLACK = 1e-9
"""Relative excess of a deadline that counts as rounding [1]."""


@dataclass
class _Rows:
    """Rows of A x >= b, one nonzero at a time."""

    line: list[int]
    column: list[int]
    value: list[float]
    least: list[float]

    def add(self, terms: Sequence[tuple[int, float]], least: float) -> None:
        """Add one constraint."""
        self.line += [len(self.least)] * len(terms)
        self.column += [column for column, _ in terms]
        self.value += [value for _, value in terms]
        self.least.append(least)


def place(nodes: Mapping[str, Node], transfers: Transfer, deadline: float) -> Placement | None:
    r"""Cheapest placement whose longest path meets the deadline; None where there is none.

    .. math:: \min \sum_{s,p} c_{sp} x_{sp} + \sum_e c_e y_e,\quad \sum_p x_{sp} = 1,\quad y_e \ge x_{ap} - x_{bp},
    .. math:: f_b \ge f_a + t_e y_e + \sum_p t_{bp} x_{bp},\qquad f_s \le D,\quad x \in \{0, 1\}

    Parameters
    ----------
    nodes : steps with their options
    transfers : edges (a, b) with what moves; an edge that is not named moves nothing
    deadline : D [s]

    Notes
    -----
    A mixed-integer linear program, solved exactly by HiGHS. Queueing is outside: times are those of an idle pool.

    >>> prefill = Node({"fast": Option(0.08, 0.08), "cheap": Option(0.13, 0.05)})
    >>> decode = Node({"fast": Option(0.025, 0.03), "cheap": Option(0.03, 0.01)}, after=("prefill",))
    >>> moved = {("prefill", "decode"): Option(0.01, 0.005)}
    >>> best = place({"prefill": prefill, "decode": decode}, moved, deadline=0.12)
    >>> best.pools["prefill"], best.pools["decode"], round(best.cost, 3), round(best.latency, 3)
    ('fast', 'cheap', 0.095, 0.12)
    """
    program = _Program.of(nodes)
    cost = np.zeros(program.count)
    for (name, pool), column in program.chosen.items():
        cost[column] = nodes[name].options[pool].cost
    for edge, column in program.crossed.items():
        cost[column] = transfers.get(edge, _NOTHING).cost
    rows = _Rows([], [], [], [])
    _one_pool_each(rows, nodes, program)
    _crossings(rows, nodes, program)
    _times(rows, nodes, transfers, program)
    matrix = csr_array((rows.value, (rows.line, rows.column)), shape=(len(rows.least), program.count))
    top = np.ones(program.count)
    top[list(program.finish.values())] = deadline * (1 + SLACK)
    found = milp(
        cost,
        integrality=program.whole,
        bounds=Bounds(0, top),
        constraints=LinearConstraint(matrix, np.array(rows.least)),
    )
    if found.x is None:
        return None
    pools = {name: pool for (name, pool), column in program.chosen.items() if found.x[column] > 0.5}
    return placed(nodes, transfers, pools)


def placed(nodes: Mapping[str, Node], transfers: Transfer, pools: Mapping[str, str]) -> Placement:
    """Cost and latency of a given placement."""
    done: dict[str, float] = {}
    cost = 0.0
    while len(done) < len(nodes):
        ready = [name for name in nodes if name not in done and all(before in done for before in nodes[name].after)]
        if not ready:
            raise ValueError("steps wait for each other in a circle")
        for name in ready:
            moved = {before: _moved(transfers, (before, name), pools) for before in nodes[name].after}
            start = max((done[before] + part.seconds for before, part in moved.items()), default=0.0)
            own = nodes[name].options[pools[name]]
            done[name] = start + own.seconds
            cost += own.cost + sum(part.cost for part in moved.values())
    return Placement(dict(pools), cost, max(done.values()))


def _moved(transfers: Transfer, edge: tuple[str, str], pools: Mapping[str, str]) -> Option:
    return _NOTHING if pools[edge[0]] == pools[edge[1]] else transfers.get(edge, _NOTHING)


_NOTHING = Option(0.0, 0.0)


@dataclass(frozen=True)
class _Program:
    """Columns of the linear program."""

    chosen: Mapping[tuple[str, str], int]
    """(step, pool) -> whether the step runs there."""
    crossed: Mapping[tuple[str, str], int]
    """Edge -> whether its ends run on different pools."""
    finish: Mapping[str, int]
    """Step -> when it is finished."""

    @classmethod
    def of(cls, nodes: Mapping[str, Node]) -> "_Program":
        pairs = [(name, pool) for name, node in nodes.items() for pool in node.options]
        edges = [(before, name) for name, node in nodes.items() for before in node.after]
        chosen = {pair: column for column, pair in enumerate(pairs)}
        crossed = {edge: column for column, edge in enumerate(edges, len(pairs))}
        return cls(chosen, crossed, {name: column for column, name in enumerate(nodes, len(pairs) + len(edges))})

    @property
    def count(self) -> int:
        return len(self.chosen) + len(self.crossed) + len(self.finish)

    @property
    def whole(self) -> IntArray:
        """(count,) 1 where a column is an integer; crossings follow from the choices."""
        flags = np.zeros(self.count, dtype=np.int64)
        flags[: len(self.chosen)] = 1
        return flags


def _one_pool_each(rows: _Rows, nodes: Mapping[str, Node], program: _Program) -> None:
    """A step runs on one pool: at least one and, summed with minus signs, at most one."""
    for name, node in nodes.items():
        columns = [program.chosen[name, pool] for pool in node.options]
        rows.add([(column, 1.0) for column in columns], 1.0)
        rows.add([(column, -1.0) for column in columns], -1.0)


def _crossings(rows: _Rows, nodes: Mapping[str, Node], program: _Program) -> None:
    """An edge is crossed where the step before runs on a pool on which the step after does not."""
    for (before, name), column in program.crossed.items():
        for pool in nodes[before].options:
            terms = [(column, 1.0), (program.chosen[before, pool], -1.0)]
            if pool in nodes[name].options:
                terms.append((program.chosen[name, pool], 1.0))
            rows.add(terms, 0.0)


def _times(rows: _Rows, nodes: Mapping[str, Node], transfers: Transfer, program: _Program) -> None:
    """A step is finished no earlier than the one before, the transfer and its own run time allow."""
    for name, node in nodes.items():
        own = [(program.chosen[name, pool], -option.seconds) for pool, option in node.options.items()]
        rows.add([(program.finish[name], 1.0), *own], 0.0)
        for before in node.after:
            wait = (program.crossed[before, name], -transfers.get((before, name), _NOTHING).seconds)
            rows.add([(program.finish[name], 1.0), (program.finish[before], -1.0), wait, *own], 0.0)
