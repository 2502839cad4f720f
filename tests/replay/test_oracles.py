"""The event loop against queueing theory, against sample paths computed another way, and against the closed form."""

import numpy as np
import pytest
from scipy import stats

from dse.facts.workload.sessions import Tokens, steps
from dse.physics import demand
from dse.physics.gated import line_passes
from dse.replay import traffic
from dse.replay.compiled import available
from dse.replay.design import Size, size, system
from dse.replay.layout import R_FIRST, T_PASSES, T_STEPS
from dse.replay.outcome import Outcome
from dse.replay.run import replay
from dse.replay.system import Decode, Keeping, Links, Prefill, System, Times
from dse.search.scoring import phases
from dse.search.scoring.waits import first_token_lines
from tests.replay.conftest import linear, scenario, single_steps, station, way

RHO = 0.6
MEAN = 1000.0
COUNT = 12_000 if available() else 800


def waited(fresh: np.ndarray, ranks: int = 1, first_come: bool = True, seed: int = 1) -> tuple[Outcome, np.ndarray]:
    """Replay single steps at utilisation RHO with Poisson arrivals; service of one second on average."""
    random = np.random.default_rng(seed)
    times = np.cumsum(random.exponential(1 / (RHO * ranks), fresh.size))
    asked = traffic.as_recorded(single_steps(fresh), times)
    found = replay(station(linear(1 / MEAN), ranks, first_come=first_come, chunk=MEAN / 50), asked)
    order = np.argsort(found.records[:, 0])
    return found, (found.records[:, 3] - found.records[:, 2])[order]


def assert_mean(values: np.ndarray, expected: float, grain: float = 0.03) -> None:
    """Mean within five standard errors of batch means, and what the chunks of a pass cost."""
    batches = values[values.size // 20 :][: values.size // 20 * 19 // 19 * 19]
    means = np.array([part.mean() for part in np.array_split(batches, 19)])
    error = stats.sem(means)
    assert abs(means.mean() - expected) < 5 * error + grain
    assert 5 * error < 0.6 * expected


def test_exponential_service_waits_like_m_m_1(rng: np.random.Generator) -> None:
    _, found = waited(np.ceil(rng.exponential(MEAN, COUNT)))
    assert_mean(found, 1 / (1 - RHO))


def test_any_service_waits_like_pollaczek_and_khinchine(rng: np.random.Generator) -> None:
    fresh = np.where(rng.random(COUNT) < 0.9, 0.5, 5.5) * MEAN
    second = 0.9 * 0.5**2 + 0.1 * 5.5**2
    _, found = waited(fresh)
    assert_mean(found, 1 + RHO * second / (2 * (1 - RHO)))


def test_shared_passes_answer_like_processor_sharing(rng: np.random.Generator) -> None:
    fresh = np.where(rng.random(COUNT) < 0.9, 0.5, 5.5) * MEAN
    _, found = waited(fresh, first_come=False)
    for work in (0.5, 5.5):
        assert_mean(found[fresh == work * MEAN], work / (1 - RHO), grain=0.1 * work)


def test_deterministic_service_on_several_ranks_waits_like_m_d_c() -> None:
    ranks = 3
    _, found = waited(np.full(COUNT, MEAN), ranks)
    assert_mean(found - 1, m_d_c_wait(ranks, RHO))


def m_d_c_wait(servers: int, rho: float) -> float:
    """Crommelin: what is present one service time later is what exceeded the servers, and who came meanwhile."""
    most = 200
    come = stats.poisson.pmf(np.arange(most), rho * servers)
    present = np.zeros(most)
    present[0] = 1.0
    for _ in range(400):
        left = np.concatenate([[present[: servers + 1].sum()], present[servers + 1 :]])
        present = np.convolve(left, come)[:most]
    queue = (np.maximum(np.arange(most) - servers, 0) * present).sum()
    return float(queue / (rho * servers))


def test_every_wait_follows_the_recursion_of_kiefer_and_wolfowitz(rng: np.random.Generator) -> None:
    fresh, ranks = np.ceil(rng.exponential(MEAN, 2000)), 4
    found, seen = waited(fresh, ranks)
    starts = found.traffic.starts[:, 0]
    free = np.zeros(ranks)
    expected = np.empty(fresh.size)
    for place, (now, work) in enumerate(zip(starts, fresh / MEAN, strict=True)):
        free.sort()
        free[0] = max(free[0], now) + work
        expected[place] = free[0] - now
    assert np.abs(seen - expected).max() < 0.2
    assert np.abs(seen - expected).mean() < 0.02


@pytest.mark.parametrize("name", ["decode", "coded", "prefill", "shared", "colocated", "offload"])
def test_a_single_request_takes_the_closed_form(name: str) -> None:
    """One prompt in three chunks and its answer on an idle design: sums of the pass times of the evaluation."""
    served = way(name)
    chunk = 1024.0 if served.colocated else float(served.mapping["prefill.chunk"])
    fresh, output = 2 * chunk + 512, 33.0
    one = steps([0], [0], Tokens([0], [fresh], [output]))
    shape = system(served, Size(1, 1, 1.0), 2 * fresh)
    none = Keeping(shape.keeping.home, shape.keeping.owners, shape.keeping.tiers, 0.0)
    shape = System(shape.times, shape.prefill, shape.decode, none, shape.links, shape.colocated)
    found = replay(shape, traffic.as_recorded(one, np.zeros(1)))
    mapped = served.mapped("decode" if served.colocated else "prefill")

    def passed(new: float, before: float) -> float:
        load = demand.Load(mapped.degrees["attention_dp"], np.array([new]), np.array([before]))
        return float(phases.timed(mapped.site, mapped.grid(1), load).seconds[0])

    passes = [passed(chunk, 0.0), passed(chunk, chunk), passed(512.0, 2 * chunk)]
    stages = mapped.degrees["pp"]
    begins = np.concatenate([[0.0], np.cumsum(passes[:-1])]) / stages
    prefill = sum(passes) / stages if served.colocated else float((begins + passes).max())  # none overtakes another
    links, tokens = shape.links, fresh
    moved = 0.0
    if name == "shared":
        moved = 2 * tokens * links.kv_token / links.shared
    elif not served.colocated:
        moved = tokens * links.kv_token / min(links.prefill, links.decode)
    assert found.ttft[0] == pytest.approx(prefill + moved, rel=2e-3)
    if name != "offload":
        decode = served.mapped("decode")
        contexts = fresh + np.arange(output - 1)
        load = demand.Load(np.full(contexts.size, 1 / decode.degrees["pp"]), 1.0, contexts, 1.0)
        spent = phases.timed(decode.site, decode.grid(contexts.size), load).seconds.sum()
        assert found.decoding[0] == pytest.approx(spent, rel=2e-3)


def test_coded_kv_crosses_in_the_time_of_the_closed_form() -> None:
    plain, coded = (way(name) for name in ("decode", "coded"))
    for served in (plain, coded):
        links = system(served, Size(1, 1, 1.0), 1e4).links
        line = first_token_lines(served.at, 0.0)[1]
        assert links.kv_token / min(links.prefill, links.decode) == pytest.approx(float(line.per_moved[0]))
    assert coded.kv_token / float(coded.at.kv_token[0]) == pytest.approx(7.0, rel=1e-2)
    assert plain.kv_token == float(plain.at.kv_token[0])


def test_unlimited_memory_leaves_compulsory_misses_only() -> None:
    own = scenario("decode")
    shape = system(own.served, size(own.served), float(own.trace.steps.held.max()))
    keeping = Keeping(0, shape.keeping.owners, np.full(3, 1e15))
    decode = Decode(shape.decode.instances, shape.decode.slots, 1e15, 0.0, shape.decode.ports)
    shape = System(shape.times, shape.prefill, decode, keeping, Links())
    some = own.trace.steps
    rows = np.flatnonzero(some.session < 600)
    part = steps(some.session[rows], some.gap[rows], Tokens(some.cached[rows], some.fresh[rows], some.output[rows]))
    found = replay(shape, traffic.retimed(part, 5.0, np.random.default_rng(0)))
    assert found.hit_rate == 1.0
    assert found.records[:, 8].sum() == part.fresh.sum()


def test_without_a_gap_no_idle_kv_is_held() -> None:
    """Steps that follow at once: what waits in memory is only what the last steps have left."""
    table = steps([0, 0, 0], [0, 0, 0], Tokens([0, 100, 110], [100, 5, 5], [5, 5, 5]))
    times = linear(1e-3, 0.01)
    shape = System(times, Prefill(1, 1, 1e6), Decode(1, 1, 120.0), Keeping(0, 1), Links())
    found = replay(shape, traffic.retimed(table, 1.0, np.random.default_rng(0)))
    assert found.hit_rate == 1.0
    assert found.column(7).tolist() == [0, 100, 110]


def test_more_decoding_requests_slow_each_other_as_the_step_times_say() -> None:
    """Two equal requests share their steps; the second joins when the step in progress ends."""
    times = linear(1e-9, 1.0, slots=2)
    times.decode[2] = 1.5
    shape = System(times, Prefill(2, 1, 1e6), Decode(1, 2, 1e9), Keeping(), Links())
    asked = traffic.as_recorded(single_steps(np.array([10.0, 10.0]), 5.0), np.array([0.0, 1.25]))
    found = replay(shape, asked)
    finish = np.sort(found.records[:, 4])
    assert finish == pytest.approx([2 + 2 * 1.5, 2 + 2 * 1.5 + 2 * 1.0], abs=1e-6)


@pytest.mark.parametrize("busy", [1.0, 4.0])
def test_a_decode_instance_makes_the_passes_of_the_closed_form(busy: float) -> None:
    """Prompts of three chunks, each on a rank of its own, between steps of an instance that is never full."""
    output, calls = 40.0, 3_000
    nodes = np.array([0.0, 1e7])
    passes = np.full((2, 2), 0.5)
    times = Times(np.ones((65, 2)), nodes, passes, nodes, passes, nodes, nodes)
    shape = System(times, Prefill(1), Decode(1, 64, 1e12, chunk=100.0, ranks=64), Keeping(), Links(), colocated=True)
    starts = np.cumsum(np.random.default_rng(5).exponential(output / busy, calls))
    found = replay(shape, traffic.as_recorded(single_steps(np.full(calls, 250.0), output), starts))
    steps = found.totals[T_STEPS] / calls
    made = found.totals[T_PASSES] / calls
    assert made == pytest.approx(float(line_passes(3.0, np.array(steps))), rel=0.08)
    assert made > 1.5 * 250 / (64 * 100)


@pytest.mark.parametrize(("ranks", "tokens"), [(1, 120.0), (2, 60.0), (3, 40.0)])
def test_prompts_in_line_take_as_long_as_the_rank_with_the_most(ranks: int, tokens: float) -> None:
    """Three prompts of 40 tokens on one rank take a pass of 120 tokens, on three that of the longest."""
    decode = Decode(1, 4, 1e12, chunk=1000.0, ranks=ranks)
    shape = System(linear(0.01, slots=4), Prefill(1), decode, Keeping(), Links(), colocated=True)
    come = traffic.as_recorded(single_steps(np.array([1.0, 40.0, 40.0, 40.0])), np.array([0.0, 1e-3, 2e-3, 3e-3]))
    ended = np.sort(replay(shape, come).column(R_FIRST))
    assert ended[1:] == pytest.approx(0.01 + 0.01 * tokens)
