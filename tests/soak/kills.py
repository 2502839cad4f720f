"""Kill -9 a search many times at random moments; every run must equal an undisturbed one.

    python tests/soak/kills.py --kills 500 --seed 0

Prints one JSON object; the exit code is 1 when a run differs. About 0.4 s of one core per kill.
"""

import argparse
import importlib.util
import json
import os
import signal
import sys
import tempfile
import time
from pathlib import Path

import numpy as np


def harness():
    spec = importlib.util.spec_from_file_location("harness", Path(__file__).parents[1] / "faults" / "harness.py")
    module = importlib.util.module_from_spec(spec)
    sys.modules["harness"] = module
    spec.loader.exec_module(module)
    return module


ENGINES = ("evolution_polish", "exhaustive", "random", "sobol")


def one(h, rng, asked, whole):
    """Kill coordinator or worker some times, let the search end, compare; returned are the kills."""
    with tempfile.TemporaryDirectory() as name:
        results, kills = Path(name), 0
        for _ in range(int(rng.integers(1, 6))):
            child = h.begun(results, seconds=1e-4, resume=h.newest(results), **asked)
            child.join(rng.uniform(0, 0.8))
            workers = h.children(child.pid) if child.is_alive() else []
            victim = int(rng.choice(workers)) if workers and rng.random() < 0.3 else child.pid
            if child.is_alive():
                kills += 1
                os.kill(victim, signal.SIGKILL)
            if victim != child.pid:
                child.join(rng.uniform(0, 0.5))
                if child.is_alive():
                    os.kill(child.pid, signal.SIGKILL)
                    kills += 1
            child.join()
        found = h.search(results, resume=h.newest(results), **asked)
        h.check(found.folder, whole)
        return kills


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--kills", type=int, default=500)
    parser.add_argument("--seed", type=int, default=0)
    given = parser.parse_args()
    h = harness()
    h.often()
    rng = np.random.default_rng(given.seed)
    whole, kills, runs, wrong, began = {}, 0, 0, [], time.monotonic()
    while kills < given.kills:
        sampler, workers = ENGINES[int(rng.integers(len(ENGINES)))], int(rng.integers(1, 4))
        if sampler not in whole:
            with tempfile.TemporaryDirectory() as name:
                whole[sampler] = h.facts(h.search(Path(name), sampler=sampler, workers=1).folder)
        try:
            kills += one(h, rng, {"sampler": sampler, "workers": workers}, whole[sampler])
        except Exception as error:
            wrong.append(f"{sampler} with {workers} workers: {type(error).__name__}: {error}"[:300])
            kills += 1
        runs += 1
    facts = {"kills": kills, "runs": runs, "wrong": wrong, "seconds": round(time.monotonic() - began, 1)}
    print(json.dumps(facts))
    sys.exit(bool(wrong))


if __name__ == "__main__":
    main()
