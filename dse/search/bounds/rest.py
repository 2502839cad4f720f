"""What bounds leave open: which hardware, at which latencies, by how much, and which levers were not divided yet."""

from collections.abc import Sequence

import numpy as np

from dse.arrays import FloatArray, IntArray
from dse.search.bounds.branch import Branching, Open
from dse.search.bounds.certificate import Part

MOST_PARTS = 8
"""Parts that are told apart, the largest first."""

MOST_LEVERS = 3
"""Levers of a part that are named."""

TOLD_APART = ("serving", "decode.device")
"""Levers by which parts are told apart: nearly every box has one choice of them."""


def rest(search: Branching) -> tuple[Part, ...]:
    """Parts of what is left, the largest first; the last one holds all smaller ones."""
    open_ = search.remaining()
    keys, place = np.unique(_choices(search, open_), axis=0, return_inverse=True)
    place = place.ravel()
    designs = np.bincount(place, weights=open_.designs.astype(float), minlength=len(keys))
    order = np.argsort(-designs, kind="stable")
    named = order[:MOST_PARTS]
    parts = [_part(search, open_.take(place == row), _named(search, keys[row])) for row in named.tolist()]
    others = open_.take(np.isin(place, order[MOST_PARTS:]))
    return (*parts, *([_part(search, others, {})] if len(others.boxes) else []))


def _choices(search: Branching, open_: Open) -> IntArray:
    """(n, 2) choice of each lever by which parts are told apart; -1 where a box has several."""
    boxes, serving = open_.boxes, search.bounds.columns.place["serving"]
    known = [np.unique(pairs[:, 0]) for pairs in search.bounds.sets[1].choices]
    only = np.array([first[0] if first.size == 1 else -1 for first in known])
    return np.column_stack([boxes.low[:, serving], only[boxes.sets[:, 1]]])


def _named(search: Branching, key: IntArray) -> dict[str, str]:
    levers = search.bounds.cells.plan.problem.levers
    chosen = zip(TOLD_APART, key.tolist(), strict=True)
    return {name: str(levers[name][choice]) for name, choice in chosen if choice >= 0 and len(levers[name]) > 1}


def _part(search: Branching, open_: Open, where: dict[str, str]) -> Part:
    known = search.bounds.margins
    seen = open_.lowest >= 0
    worst = int(open_.need.max())
    edges = np.append(known.covers[0].levels, np.inf)
    latency = (
        (float(edges[open_.lowest[seen].min()]), float(edges[open_.highest[seen].max() + 1])) if seen.any() else None
    )
    return Part(
        where,
        int(open_.designs.sum()),
        len(open_.boxes),
        int(open_.designs[~seen].sum()),
        float(known.epsilons[worst]) if worst < known.epsilons.size else None,
        (latency[0], latency[1] if np.isfinite(latency[1]) else None) if latency else None,
        bool(seen.any() and edges[open_.lowest[seen].min() + 1] <= known.best),
        _undivided(search, open_),
    )


def _undivided(search: Branching, open_: Open) -> tuple[str, ...]:
    """Levers that still vary most in the boxes, by the logarithm of their choices."""
    boxes, space = open_.boxes, search.bounds.space
    sizes: list[FloatArray] = [np.log2((boxes.high - boxes.low).astype(float))]
    sizes += [
        np.log2([len(group.choices[one]) for one in boxes.sets[:, side].tolist()])[:, None]
        for side, group in enumerate(search.bounds.sets)
    ]
    mean = np.average(np.concatenate(sizes, axis=1), axis=0, weights=open_.designs)
    return _largest([*space.names, "prefill.device", "decode.device"], mean)


def _largest(names: Sequence[str], values: FloatArray) -> tuple[str, ...]:
    order = np.argsort(-values, kind="stable")[:MOST_LEVERS]
    return tuple(names[one] for one in order.tolist() if values[one] > 0)
