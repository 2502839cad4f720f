import numpy as np
import pytest

from dse.facts.errors import SpecError
from dse.search import pareto
from dse.search.crews.workers import blocks, shared
from dse.search.engines import registry
from dse.search.engines.proposals import Feedback, Start
from dse.search.engines.registry import Outlook, choose
from dse.search.metrics import Metrics, scores
from dse.search.space import space

ARRAY = list(registry.ARRAY_ENGINES)
SAMPLERS = [name for name in registry.SAMPLER_ENGINES if name != "gp"]  # needs torch
EVERY = [*ARRAY, *SAMPLERS]


def feedback(toy, goals, designs):
    metrics = toy(designs)
    return Feedback(scores(metrics, goals), metrics.violation, metrics.design)


def begin(toy, goals, seed=0, count=64):
    drawn = toy.space.sample(count, seed)
    return Start(toy.space, seed, drawn, feedback(toy, goals, drawn))


def steps(name, toy, goals, count, state=None, seed=0):
    """Designs of the first proposals of an engine, and its last state."""
    proposals = registry.engine(name)(begin(toy, goals, seed), state)
    proposal, seen, last = next(proposals), [], {}
    for number in range(count):
        last = proposal.state()
        seen.append(proposal.designs)
        if number == count - 1:
            break
        try:
            proposal = proposals.send(feedback(toy, goals, proposal.designs))
        except StopIteration:
            break
    proposals.close()
    return seen, last


@pytest.mark.parametrize("name", EVERY)
def test_proposals_are_canonical_and_never_repeat(name, toys, goals):
    toy = toys["tight"]
    seen, _ = steps(name, toy, goals, 6)
    start = begin(toy, goals).designs
    keys = start.identities() + [key for block in seen for key in block.identities()]
    assert len(keys) == len(set(keys))
    for block in seen:
        assert len(block) > 0
        assert (toy.space.canonical(block.rows).rows == block.rows).all()


@pytest.mark.parametrize("name", EVERY)
def test_the_same_seed_proposes_the_same_designs(name, toys, goals):
    one, _ = steps(name, toys["medium"], goals, 4, seed=5)
    other, _ = steps(name, toys["medium"], goals, 4, seed=5)
    assert [block.identities() for block in one] == [block.identities() for block in other]


@pytest.mark.parametrize("name", [name for name in EVERY if name not in ("nsga3", "qmc")])
def test_an_engine_continues_from_its_state_as_if_it_had_not_stopped(name, toys, goals):
    whole, _ = steps(name, toys["medium"], goals, 6)
    _, state = steps(name, toys["medium"], goals, 3)
    rest, _ = steps(name, toys["medium"], goals, 4, state=state)
    assert [b.identities() for b in whole[2:]] == [b.identities() for b in rest]


@pytest.mark.parametrize("seed", [0, 1])
@pytest.mark.parametrize("name", [name for name in ARRAY if name != "polish"])
@pytest.mark.parametrize("study", ["small", "tight"])
def test_a_small_space_is_searched_to_the_end_and_the_front_is_exact(name, study, seed, ask, truths):
    found = ask(study, "100000 evaluations", sampler=name, seed=seed)
    assert found.summary["exhaustive"]
    assert found.summary["evaluations"] == found.summary["space_size"]
    assert np.unique(pareto.rounded(found.archive.scores), axis=0).tolist() == truths[study].tolist()


def share(found, truth):
    reference = np.array(found.manifest["reference_scores"])
    return found.summary["hypervolume"] / pareto.hypervolume(truth, reference)


@pytest.mark.parametrize("seed", [0, 1, 2])
@pytest.mark.parametrize("name", ["evolution", "polish", "evolution_polish"])
def test_a_learning_engine_is_within_two_percent_on_the_medium_space(name, seed, ask, truths):
    found = ask("medium", "6000 evaluations", sampler=name, seed=seed)
    assert 0.98 <= share(found, truths["medium"]) <= 1 + 1e-9


def ridge(designs):
    """Feasible on x + y = 200 only, where no step of one lever leads; best at x = 140."""
    x, y = (designs[name].astype(float) for name in ("x", "y"))
    cost = 1 + (x - 140) ** 2
    columns = {"cost": cost, "throughput": 1 / cost, "latency": cost}
    return Metrics(np.arange(len(designs)), columns, {}, np.abs(x + y - 200) / 200)


def test_local_search_follows_a_requirement_that_binds(goals):
    made = space({"x": tuple(range(200)), "y": tuple(range(200))}, {})
    drawn = made.encode(*({"x": x, "y": 199 - x + (x % 7 == 0)} for x in range(1, 60)))
    metrics = ridge(drawn)
    begun = Start(made, 0, drawn, Feedback(scores(metrics, goals), metrics.violation, metrics.design))
    proposals, best = registry.engine("polish")(begun, None), np.inf
    proposal = next(proposals)
    for _ in range(60):
        metrics = ridge(proposal.designs)
        best = min(best, *metrics.columns["cost"][metrics.violation <= 0], np.inf)
        try:
            proposal = proposals.send(Feedback(scores(metrics, goals), metrics.violation, metrics.design))
        except StopIteration:
            break
    assert best == 1


@pytest.mark.parametrize("name", ["tpe", "nsga2"])
def test_an_optuna_sampler_learns(name, ask, truths):
    found = ask("small", "160 evaluations", sampler=name)
    plain = ask("small", "160 evaluations", sampler="random")
    reference = np.array(plain.manifest["reference_scores"])
    assert found.summary["evaluations"] == 160
    assert pareto.hypervolume(found.archive.scores, reference) > 0.5 * pareto.hypervolume(truths["small"], reference)


@pytest.mark.parametrize("name", ["evolution_polish", "exhaustive"])
def test_one_seed_gives_one_front_at_any_number_of_workers(name, ask, toys, monkeypatch):
    monkeypatch.setattr("dse.search.explore.WORTHWHILE", 0.0)
    fronts = [
        ask("small", "1500 evaluations", sampler=name, seed=7, workers=workers).front().csv() for workers in (1, 2, 3)
    ]
    assert fronts[0] == fronts[1] == fronts[2]


@pytest.mark.parametrize("count", [1, 15, 64, 140, 1000])
@pytest.mark.parametrize("workers", [1, 2, 3, 16])
def test_workers_share_a_batch_evenly(count, workers, toys):
    drawn = toys["small"].space.sample(count, seed=0)
    cut = [len(block) for block in blocks(drawn, shared(count, workers))]
    assert sum(cut) == count
    assert max(cut) <= 128
    assert len(cut) <= workers or max(cut) > 64
    assert len(cut) == 1 or min(cut[:-1]) >= 16


@pytest.mark.parametrize(
    ("outlook", "name"),
    [
        (Outlook(400, 1e9, 1e-3), "exhaustive"),
        (Outlook(10**12, 20_000, 1e-3), "evolution_polish"),
        (Outlook(10**12, 300, 2.0), "tpe"),
    ],
)
def test_auto_chooses_by_size_budget_and_pace_and_says_why(outlook, name):
    choice = choose(outlook)
    assert choice.name == name
    assert f"{outlook.size:,}" in choice.reason


def test_a_sampler_without_its_package_says_what_to_install(ask, monkeypatch):
    monkeypatch.setattr("dse.search.engines.registry.find_spec", lambda name: None)
    with pytest.raises(SpecError, match="needs the package torch"):
        ask("small", "10 evaluations", sampler="gp")


def test_an_unknown_sampler_lists_the_known(ask):
    with pytest.raises(SpecError, match="known are auto, exhaustive"):
        ask("small", "10 evaluations", sampler="anneal")


@pytest.fixture
def led(monkeypatch):
    monkeypatch.setattr("dse.search.engines.sweeps.LARGE", 0)
    monkeypatch.setattr("dse.search.engines.sweeps.SHARE", 0.3)


def test_a_led_enumeration_proposes_every_design_once(led, toys, goals):
    toy = toys["small"]
    seen, _ = steps("exhaustive", toy, goals, 10_000)
    keys = begin(toy, goals).designs.identities() + [key for block in seen for key in block.identities()]
    assert len(keys) == len(set(keys)) == toy.space.size


def test_a_led_enumeration_finds_the_front_early(led, toys, goals):
    toy = toys["small"]
    seen, _ = steps("exhaustive", toy, goals, 10_000)
    rows = np.concatenate([block.rows for block in seen])
    everything = scores(toy(toy.space.numbered(np.arange(toy.space.size))), goals)
    early = feedback(toy, goals, type(seen[0])(rows[: len(rows) // 3], toy.space.names))
    reference = everything.max(axis=0)
    whole = pareto.hypervolume(everything, reference)
    assert pareto.hypervolume(early.scores[early.violation <= 0], reference) > 0.98 * whole


@pytest.mark.parametrize("where", [0.3, 0.6, 1.0])
def test_a_led_enumeration_continues_where_it_stopped(led, where, toys, goals):
    toy = toys["small"]
    whole, _ = steps("exhaustive", toy, goals, 10_000)
    stop = round(where * len(whole))
    _, state = steps("exhaustive", toy, goals, stop)
    rest, _ = steps("exhaustive", toy, goals, 10_000, state=state)
    assert [block.identities() for block in whole[stop - 1 :]] == [block.identities() for block in rest]
