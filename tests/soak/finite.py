"""Score random designs of every shipped search space; no metric may be NaN, nor infinite where it is feasible.

    python tests/soak/finite.py --candidates 10000000 --processes 2 [--minutes 30]

A candidate is one architecture with one mapping, as one class of agents sees it; the cost, energy, token time and
slacks of all of them are looked at, and every metric of those that survive the choice of mappings. Prints one JSON
object; the exit code is 1 when something is no finite number. The time is shared evenly among the spaces.
"""

import argparse
import importlib.util
import json
import multiprocessing
import sys
import time
from collections import Counter
from functools import cache
from pathlib import Path

import numpy as np

from dse.facts.problem import load
from dse.search.ask import ask
from dse.search.scoring import screening

BLOCK = 256
DRAFT = ("cost", "energy", "short", "tpot_full")
seen = Counter()
"""Candidates of the block in progress, and how often a column of theirs was no finite number."""


def checks():
    spec = importlib.util.spec_from_file_location("numbers_test", Path(__file__).parents[1] / "faults/test_numbers.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def watched(plan, block, agent, drafted=screening.drafted):
    """The candidates of one class, looked at before the choice among them."""
    draft = drafted(plan, block, agent)
    seen["candidates"] += draft.design.size
    possible = draft.short <= 0
    for name in DRAFT:
        values = getattr(draft, name)
        seen[name] += int(np.isnan(values).sum() + np.isinf(values[possible]).sum())
    return draft


screening.drafted = watched


@cache
def question(path):
    return ask(load(path))


def block(task):
    """Candidates, architectures, rows and strange columns of one block of designs."""
    path, number = task
    asked = question(path)
    seen.clear()
    designs = asked.space.sample(min(BLOCK, asked.space.size), (7, number))
    metrics = asked.evaluate(designs)
    found = [*checks().strange(metrics), *(name for name in DRAFT if seen[name])]
    return number, Counter(candidates=seen["candidates"], architectures=len(designs), rows=len(metrics)), found


def searched(path, given, pool, seconds):
    """Blocks of one space until there are enough candidates, the time is over, or all of it was seen."""
    total, wrong, until = Counter(), Counter(), time.monotonic() + seconds
    whole = question(path).space.size <= BLOCK
    numbers = iter(range(1 if whole else sys.maxsize))
    while total["candidates"] < given.candidates and time.monotonic() < until:
        part = [(path, n) for n, _ in zip(numbers, range(4 * given.processes), strict=False)]
        if not part:
            break
        for number, counts, found in pool.imap_unordered(block, part):
            total += counts
            wrong.update(f"{path.stem}: {column} (block {number})" for column in found)
    return dict(total), wrong


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--candidates", type=int, default=10_000_000, help="of each space")
    parser.add_argument("--processes", type=int, default=2)
    parser.add_argument("--minutes", type=float, default=30)
    given = parser.parse_args()
    spaces, wrong, began = {}, Counter(), time.monotonic()
    paths = checks().SPACES
    with multiprocessing.Pool(given.processes) as pool:
        for path in paths:
            spaces[path.stem], found = searched(path, given, pool, 60 * given.minutes / len(paths))
            wrong += found
    seconds = round(time.monotonic() - began, 1)
    print(json.dumps({"spaces": spaces, "wrong": wrong, "seconds": seconds}))
    sys.exit(bool(wrong))


if __name__ == "__main__":
    main()
