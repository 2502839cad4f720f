"""Compare bounds of random parts of many studies with what their designs reach: no design may lie below its bound.

    python tests/soak/bounds.py [--first 0] [--seeds 30] [STUDY.yaml or a study of tests/search/test_bounds.py ...]

Without studies all of the test's, and the flagship, are tried. Prints one line a study: comparisons, violations, and
the median of cost over its bound. The exit code is 1 if there is a violation.
"""

import argparse
import sys
import tempfile
from pathlib import Path

import numpy as np

ROOT = Path(__file__).parents[2]
sys.path.insert(0, str(ROOT / "tests" / "search"))

import test_bounds  # noqa: E402  (beside this folder)

from dse.facts.problem import load  # noqa: E402
from dse.search.ask import ask  # noqa: E402

BOXES, DESIGNS, LARGEST = 24, 12, 200_000
"""Boxes a seed, designs of each that are scored, and designs of a box at most: they are all written out."""

SHARES = (0.0, 0.5, 0.9, 1.0)
"""How far boxes are divided, see `Studied.random_boxes`."""

RENEWED = 10
"""Seeds after which the front that levels come from is another one."""


class Folders:
    """Temporary folders as pytest gives them."""

    def mktemp(self, name):
        """Make a folder."""
        return Path(tempfile.mkdtemp(prefix=name))


def study(name, seed):
    """Study by its name among the test's, or by its file."""
    if name.endswith(".yaml"):
        return test_bounds.Studied(ask(load(Path(name))), seed)
    return test_bounds.studied(name, Folders())


def compared(of, seed):
    """Comparisons, violations and ratios of cost to its bound for some random boxes."""
    rng = np.random.default_rng(seed)
    boxes = of.random_boxes(rng, BOXES, rng.choice(SHARES))
    boxes = boxes.take(of.bounds.alive.count(boxes) > 0)
    checks, bad, ratios = 0, 0, []
    for row, curve in enumerate(of.bounds.relaxation.bound(boxes)):
        box = boxes.take(np.array([row]))
        pairs = [len(group.choices[one]) for group, one in zip(of.bounds.sets, box.sets[0].tolist(), strict=True)]
        if np.prod((box.high - box.low).astype(float)) * np.prod(pairs) > LARGEST:
            continue
        found = of.members(box)
        metrics = of.question.evaluate(found.take(rng.permutation(len(found))[:DESIGNS]))
        kept = metrics.take(np.flatnonzero(metrics.feasible))
        if not len(kept):
            continue
        level = np.searchsorted(of.yardstick.levels, kept.columns["latency"], side="right") - 1
        cost, energy = kept.columns["cost"], kept.columns["energy_per_task"]
        mixes = [cost + worth[level] * energy for worth in of.yardstick.exchange]
        good = np.stack([cost, energy, *mixes]) >= curve[:, level]
        checks, bad = checks + good.size, bad + int((~good).sum())
        ratios.append(float(np.min(cost / curve[0, level])))
    return checks, bad, ratios


def main():
    """Try every study with every seed."""
    words = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    words.add_argument("studies", nargs="*")
    words.add_argument("--first", type=int, default=0)
    words.add_argument("--seeds", type=int, default=30)
    asked = words.parse_args()
    flagship = str(ROOT / "search_spaces" / "agentic_datacenter.yaml")
    failed = 0
    for name in asked.studies or ["quickstart", *test_bounds.STUDIES, flagship]:
        checks, bad, ratios, of = 0, 0, [], None
        for seed in range(asked.first, asked.first + asked.seeds):
            of = study(name, seed) if of is None or seed % RENEWED == 0 else of
            more = compared(of, seed)
            checks, bad, ratios = checks + more[0], bad + more[1], ratios + more[2]
        failed += bad
        median = np.median(ratios) if ratios else float("nan")
        print(f"{name}: {checks:,} comparisons, {bad} violations, cost over bound {median:.3f}", flush=True)
    return int(failed > 0)


if __name__ == "__main__":
    sys.exit(main())
