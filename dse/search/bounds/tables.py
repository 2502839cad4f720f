"""Cells of all single choices, made before the first box is bounded: by several processes, as far as the time goes."""

from collections.abc import Callable, Sequence
from contextlib import suppress
from itertools import product
from typing import Any, NamedTuple

from dse.search.bounds.cells import COLOCATED, MODES, OFFLOADED, Cells
from dse.search.bounds.crew import Crew, Late


class Job(NamedTuple):
    """Cells of one device type."""

    mode: int
    kinds: tuple[int, int]
    """Device type, and the type that helps it or -1."""
    pool: bool
    """Whether there is pooled memory."""


Made = tuple[dict[Any, Any], ...]
"""New entries of the tables of cells."""


def fill(cells: Cells, workers: int) -> bool:
    """Make the cells of all choices; whether the time was enough, else what is missing is made when it is needed."""
    modes = {MODES[str(choice)] for choice in cells.plan.problem.levers["serving"]}
    kinds = range(cells.prefill.types.size) if modes != {COLOCATED} else range(0)
    _collect(cells, workers, _prefill, list(kinds))
    pools = sorted({bool(size > 0) for size in cells.pooled.capacity.ravel().tolist()})
    _collect(cells, workers, _decode, _jobs(cells, sorted(modes), pools))
    return not cells.clock.late


def _jobs(cells: Cells, modes: Sequence[int], pools: Sequence[bool]) -> list[Job]:
    """All decode cells; a pool does not help where attention is moved."""
    firsts = sorted(set(cells.decode.first.tolist()))
    seconds = sorted({kind for kind in cells.decode.second.tolist() if kind >= 0})
    alone = range(cells.decode.types.size)
    made = [Job(OFFLOADED, pair, False) for pair in product(firsts, seconds) if OFFLOADED in modes]
    return made + [
        Job(mode, (kind, -1), pool) for mode in modes if mode != OFFLOADED for kind in alone for pool in pools
    ]


def _collect(cells: Cells, workers: int, work: Callable[[Cells, Any], Made], tasks: Sequence[Any]) -> None:
    with Crew(cells, min(workers, len(tasks))) as crew:
        for made in crew.map(work, tasks):
            for known, new in zip(_tables(cells), made, strict=True):
                known.update(new)


def _tables(cells: Cells) -> Made:
    return cells.rows, cells.prefill_cells, cells.decode_cells


def _prefill(cells: Cells, kind: int) -> Made:
    return _new(cells, lambda: cells.prefill_cell(kind, cells.widest("prefill")))


def _decode(cells: Cells, job: Job) -> Made:
    return _new(cells, lambda: cells.decode_cell(*job, cells.widest("decode")))


def _new(cells: Cells, make: Callable[[], object]) -> Made:
    """Entries that making something adds, also where the time ends on the way."""
    before = [set(table) for table in _tables(cells)]
    with suppress(Late):
        make()
    return tuple(
        {key: table[key] for key in table.keys() - known} for table, known in zip(_tables(cells), before, strict=True)
    )
