"""Goldens of arithmetic: a dozen systems of the quickstart and the flagship, scored. Never search trajectories.

`python tests/golden/test_golden.py` writes the numbers anew; a change needs an entry under Model in the change log.
"""

import json
from pathlib import Path

import numpy as np
import pytest

from dse.facts.problem import load
from dse.search.evaluation import Evaluator
from dse.search.space import Space

ROOT = Path(__file__).parents[2]
STORED = Path(__file__).with_name("scores.json")
STUDIES = {"quickstart": (0, 17, 42, 77, 101, 119), "agentic_datacenter": (3, 11, 29, 31, 58, 63)}
COLUMNS = ("cost", "throughput", "latency", "ttft_p95", "tpot", "hit_rate", "task_latency", "energy_per_token")


def scored(study: str) -> dict[str, dict[str, float]]:
    problem = load(ROOT / "search_spaces" / f"{study}.yaml")
    space, numbers = Space.of(problem), STUDIES[study]
    whole = study == "quickstart"
    designs = (space.numbered(np.arange(space.size)) if whole else space.sample(64, 0)).take(np.array(numbers))
    metrics = Evaluator.of(problem)(designs)
    found = {}
    for index, number in enumerate(numbers):
        rows = np.flatnonzero(metrics.design == index)
        best = rows[np.lexsort((metrics.columns["cost"][rows], metrics.violation[rows]))[0]]
        values = {name: float(metrics.columns[name][best]) for name in COLUMNS} | {"mappings": float(rows.size)}
        found[str(number)] = {**values, "violation": float(metrics.violation[best])}
    return found


@pytest.mark.parametrize("study", STUDIES)
def test_scores_do_not_drift(study):
    stored = json.loads(STORED.read_text())[study]
    for design, values in scored(study).items():
        assert values == pytest.approx(stored[design], rel=1e-6, abs=1e-9), f"{study} design {design}"


if __name__ == "__main__":
    STORED.write_text(json.dumps({study: scored(study) for study in STUDIES}, indent=1) + "\n")
