"""A search with two workers that waits to be interrupted; run by test_run."""

import importlib.util
import sys
import time
from dataclasses import dataclass
from pathlib import Path

from dse.search import explore as module
from dse.search.budget import budget
from dse.search.question import Question


@dataclass(frozen=True)
class Slow:
    toy: object

    def __call__(self, designs):
        time.sleep(0.001 * len(designs))
        return self.toy(designs)


def main() -> None:
    spec = importlib.util.spec_from_file_location("toys", Path(__file__).with_name("conftest.py"))
    toys = importlib.util.module_from_spec(spec)
    sys.modules["toys"] = toys
    spec.loader.exec_module(toys)
    toy = toys.TOYS["medium"]
    question = Question("medium", toy.space, toys.GOALS, Slow(toy))
    print("searching", flush=True)
    options = module.Options(budget("60 s"), workers=2, results=Path(sys.argv[1]))
    print("interrupted", module.explore(question, options).summary["interrupted"])


if __name__ == "__main__":
    main()
