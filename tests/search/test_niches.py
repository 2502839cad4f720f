"""Niches: colonies that keep one choice of a listed lever, and regions behind levers that change together."""

from dataclasses import dataclass, replace

import numpy as np
import pytest
from synthetic import GOALS, small

from dse.search.axes import Designs
from dse.search.budget import Budget
from dse.search.engines import colony, evolution, niches
from dse.search.engines.proposals import Feedback, Start
from dse.search.explore import Options, explore
from dse.search.metrics import Metrics, scores
from dse.search.question import Question
from dse.search.space import Space, space

DEVICES = tuple(f"d{number}" for number in range(10))


@dataclass(frozen=True)
class Trap:
    """The best design has a device that is worst with all but one combination of six other levers."""

    space: Space

    def __call__(self, designs: Designs) -> Metrics:
        levers = np.stack([designs[f"x{number}"] for number in range(6)], axis=1)
        hidden = designs["device"] == 7
        near = np.where(hidden[:, None], levers == 3, levers == 0).sum(axis=1)
        cost = np.where(hidden, 40.0 - 6 * near, 12.0 - near) - np.where(hidden & (near == 6), 2.0, 0.0)
        columns = {"cost": cost, "throughput": 1 / cost, "latency": cost * 2.0 ** designs["side"]}
        columns["throughput"] = 2.0 ** designs["side"] / cost
        return Metrics(np.arange(len(designs)), columns, {}, np.zeros(len(designs)))


@pytest.fixture
def trap():
    return Trap(space({"device": DEVICES, **{f"x{n}": tuple(range(8)) for n in range(6)}, "side": (0, 1, 2)}, {}))


@pytest.mark.parametrize("seed", [1, 2])
def test_a_region_behind_several_levers_is_found(seed, trap, tmp_path):
    question = Question("trap", trap.space, GOALS, trap, generation=256)
    options = Options(Budget(evaluations=40_000), seed=seed, workers=1, results=tmp_path)
    found = explore(question, options)
    assert {found.question.space.decode(row)["device"] for row in found.archive.rows} == {"d7"}


def test_children_take_whole_parts_from_one_parent_half_the_time():
    made = space({f"{part}.{lever}": (0, 1) for part in ("prefill", "decode") for lever in range(8)}, {})
    mother, father = np.zeros((2000, 16), dtype=np.int16), np.ones((2000, 16), dtype=np.int16)
    child = evolution._mixed(made, mother, father, np.random.default_rng(0)).reshape(-1, 2, 8)
    whole = (child == child[:, :, :1]).all(axis=(1, 2))
    alike = 1 - evolution.CROSSOVER * (1 - evolution.WHOLE)
    assert whole.mean() == pytest.approx(alike, abs=0.03)


def started(study):
    designs = study.space.sample(256, 1)
    metrics = study(designs)
    return Start(study.space, 0, designs, Feedback(scores(metrics, GOALS), metrics.violation, metrics.design))


def test_niches_are_the_choices_of_listed_levers():
    made = space({"device": ("a", "b"), "rate": (1, 2, 3), "kind": ("x",)}, {})
    assert niches.niches(made).tolist() == [[0, 0], [0, 1]]


def test_a_niche_keeps_its_choice_and_the_least_visited_comes_next():
    study = small("two_level", 1)
    land = niches.settlement(started(study), visiting=True)
    visited = []
    free = replace(land.free, generation=niches.SETTLED, success=np.array([1e-6, 1e-6, 1.0]))
    land = replace(land, free=free)
    for number in range(3 * len(land.visits)):
        rng = np.random.default_rng(number)
        begun, visit = niches.turn(study.space, replace(land, niche=None), rng)
        if visit:
            axis, choice = begun.niche.held
            assert (begun.niche.latent[:, axis] == choice).all()
            assert (niches.pinned(begun.niche, study.space.sample(9, 0).rows)[:, axis] == choice).all()
            visited.append((int(axis), int(choice)))
            land = replace(begun, niche=None)
    assert len(set(visited)) == len(land.visits)


def test_an_interrupted_visit_goes_on_where_it_was():
    study = small("two_level", 1)
    start = started(study)

    def followed(proposals, steps):
        proposed = []
        proposal = next(proposals)
        for _ in range(steps):
            proposed.append(proposal)
            metrics = study(proposal.designs)
            feedback = Feedback(scores(metrics, GOALS), metrics.violation, metrics.design)
            try:
                proposal = proposals.send(feedback)
            except StopIteration:
                break
        return proposed

    whole = []
    proposals = evolution.evolution_polish(start, None)
    proposal, states = next(proposals), []
    for _ in range(6):
        states.append({name: np.array(value) for name, value in proposal.state().items()})
        whole.append(proposal.designs.rows)
        metrics = study(proposal.designs)
        try:
            proposal = proposals.send(Feedback(scores(metrics, GOALS), metrics.violation, metrics.design))
        except StopIteration:
            break
    again = followed(evolution.evolution_polish(start, states[2]), len(whole) - 2)
    assert all((one.designs.rows == other).all() for one, other in zip(again, whole[2:], strict=False))


def test_a_front_of_many_rows_gets_larger_generations():
    study = small("two_level", 1)
    first = colony.founded(started(study))
    assert colony.batch(first) == colony.BATCH
    long = replace(first, front_scores=np.zeros((10**6, 3)))
    assert colony.batch(long) == colony.LARGEST
