"""Score random designs of every shipped search space; no metric may be NaN or infinite.

    python tests/soak/finite.py --designs 10000000 --processes 2

Prints one JSON object; the exit code is 1 when a column holds what is no finite number.
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

BLOCK = 256


def checks():
    spec = importlib.util.spec_from_file_location("numbers_test", Path(__file__).parents[1] / "faults/test_numbers.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@cache
def question(path):
    from dse.facts.problem import load
    from dse.search.ask import ask

    return ask(load(path))


def block(task):
    """Strange columns of one block of designs."""
    path, number = task
    asked = question(path)
    metrics = asked.evaluate(asked.space.sample(min(BLOCK, asked.space.size), (7, number)))
    return path.stem, len(metrics), [(name, number) for name in checks().strange(metrics)]


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--designs", type=int, default=10_000_000, help="of each space")
    parser.add_argument("--processes", type=int, default=2)
    given = parser.parse_args()
    tasks = [(path, n) for path in checks().SPACES for n in range(-(-given.designs // BLOCK))]
    tasks = [(path, n) for path, n in tasks if n == 0 or question(path).space.size > BLOCK]
    rows, wrong, designs, began = Counter(), Counter(), Counter(), time.monotonic()
    with multiprocessing.Pool(given.processes) as pool:
        for name, count, found in pool.imap_unordered(block, tasks, chunksize=8):
            rows[name] += count
            designs[name] += BLOCK
            for column, number in found:
                wrong[f"{name}: {column} (block {number})"] += 1
    seconds = round(time.monotonic() - began, 1)
    print(json.dumps({"designs": designs, "rows": rows, "wrong": wrong, "seconds": seconds}, indent=2))
    sys.exit(bool(wrong))


if __name__ == "__main__":
    main()
