"""The claim of `results/benchmarks/search_quality.md` on a small study per shape; the benchmark has the large ones."""

import numpy as np
import pytest
from synthetic import GOALS, SHAPES, Synthetic, scored, small

from dse.search import pareto
from dse.search.budget import budget
from dse.search.engines import elites
from dse.search.engines.proposals import Feedback
from dse.search.explore import Options, explore
from dse.search.metrics import scores


def searched(study: Synthetic, folder, limit: str, sampler: str = "auto", seed: int = 0):
    return explore(study.question, Options(budget(limit), seed=seed, workers=1, sampler=sampler, results=folder))


@pytest.mark.parametrize("shape", ["two_level", "conditional", "tight"])
def test_auto_enumerates_a_small_study_and_its_front_is_the_true_one(shape, tmp_path):
    study = small(shape, 0)
    found = searched(study, tmp_path, "100000 evaluations")
    assert found.summary["exhaustive"]
    assert study.share(found.archive.scores) == pytest.approx(1, abs=1e-6)
    assert study.distance(found.archive.scores) < 1e-6


@pytest.mark.parametrize("shape", list(SHAPES))
def test_search_reaches_the_true_front_of_every_shape_without_enumerating_it(shape, tmp_path):
    study = small(shape, 0)
    limit = min(8000 if shape == "tight" else 3000, study.space.size // 2)
    found = searched(study, tmp_path, f"{limit} evaluations", sampler="evolution_polish")
    assert found.summary["evaluations"] < study.space.size
    assert study.share(found.archive.scores) >= 0.995


def test_a_flat_search_sees_the_rows_that_an_architecture_has():
    study = small("tight", 0)
    designs = study.space.sample(200, 1)
    mapping = np.tile(np.arange(study.mappings), len(designs))
    values, violation = study.single(np.repeat(designs.rows, study.mappings, axis=0), mapping)
    best = values[violation <= 0]
    assert np.sort(best, axis=0) == pytest.approx(np.sort(scored(study, designs), axis=0))


def test_elites_hold_the_best_design_of_every_choice():
    study = small("tight", 0)
    drawn = study.space.sample(400, 2)
    metrics = study(drawn)
    feedback = Feedback(scores(metrics, GOALS), metrics.violation, metrics.design)
    best = elites.entered(elites.founded(study.space, feedback), study.space, drawn, feedback)
    twice = elites.entered(best, study.space, drawn, feedback)
    assert (twice.value == best.value).all()
    halves = elites.founded(study.space, feedback)
    for half in (slice(0, 200), slice(200, 400)):
        part = drawn.take(half)
        own = study(part)
        halves = elites.entered(halves, study.space, part, Feedback(scores(own, GOALS), own.violation, own.design))
    assert halves.value == pytest.approx(best.value)


def test_scouts_come_from_one_cell():
    study = small("tight", 0)
    drawn = study.space.sample(400, 2)
    metrics = study(drawn)
    feedback = Feedback(scores(metrics, GOALS), metrics.violation, metrics.design)
    best = elites.entered(elites.founded(study.space, feedback), study.space, drawn, feedback)
    one, other, levers = elites.parents(best, study.space, np.random.default_rng(0), 64)
    assert (np.take_along_axis(one, levers, 1) == np.take_along_axis(other, levers, 1)).all()


def test_overhead_is_reported_and_is_no_more_than_a_part_of_the_whole(tmp_path):
    found = searched(small("two_level", 0), tmp_path, "1500 evaluations", sampler="evolution_polish")
    facts = found.summary
    assert facts["evaluation_seconds"] > 0
    assert facts["overhead_share"] == pytest.approx(facts["overhead_seconds"] / facts["evaluation_seconds"], rel=0.06)
    assert facts["evaluation_seconds"] <= facts["wall_seconds"]


def test_the_truth_dominates_every_sample():
    study = small("mixed", 0)
    sample = scored(study, study.space.sample(2000, 3))
    both = np.concatenate([study.truth, sample])
    assert pareto.nondominated(pareto.rounded(both))[: len(study.truth)].all()
