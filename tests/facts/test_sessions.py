"""Step tables, policies, distillation, atoms: limits, invariants, published checks of the coding trace."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dse.facts.workload import atoms, distill, policies, sessions
from dse.facts.workload.classes import load_workload, names
from dse.facts.workload.sessions import Steps, Tokens, steps

SHARED = 100.0
laws = settings(deadline=None, max_examples=40)
few = settings(deadline=None, max_examples=12)


@st.composite
def tables(draw: st.DrawFn, breaks: float = 0.2) -> Steps:
    """Small append-only tables with breaks, observations and several agents per session."""
    lengths = draw(st.lists(st.integers(1, 6), min_size=1, max_size=6))
    seed = draw(st.integers(0, 2**16))
    random = np.random.default_rng(seed)
    total = sum(lengths)
    sequence = np.repeat(np.arange(len(lengths)), lengths)
    fresh = random.integers(1, 3000, total).astype(float)
    output = random.integers(1, 300, total).astype(float)
    cached = np.zeros(total)
    for row in range(1, total):
        if sequence[row] == sequence[row - 1]:
            prompt = cached[row - 1] + fresh[row - 1]
            cached[row] = prompt if random.random() >= breaks else np.floor(prompt * random.random())
    observation = np.floor(fresh * random.random(total))
    gap = np.round(random.lognormal(3, 3, total), 3)
    return steps(sequence // 2, gap, Tokens(cached, fresh, output, observation), sequence)


@pytest.fixture(scope="module")
def coding() -> Steps:
    return load_workload("coding").table


def test_recorded_moments_of_the_coding_trace(coding: Steps) -> None:
    found = distill.moments(coding)
    assert (len(coding), coding.sessions, coding.sequences) == (49_334, 710, 773)
    assert found.fresh == pytest.approx(4_583, abs=0.5)
    assert found.cached == pytest.approx(117_796, abs=0.5)
    assert found.context == pytest.approx(122_379, abs=0.5)
    assert found.output == pytest.approx(440, abs=0.5)
    assert found.fresh_cached == pytest.approx(2.228e8, rel=5e-4)
    assert found.fresh_squared == pytest.approx(6.694e8, rel=5e-4)
    assert found.output_context == pytest.approx(5.588e7, rel=5e-4)
    assert found.reuse == pytest.approx(0.963, abs=5e-4)


def test_joint_moment_is_far_below_the_product_of_means(coding: Steps) -> None:
    found = distill.moments(coding)
    assert found.fresh_cached / (found.fresh * found.cached) == pytest.approx(1 - 0.59, abs=0.005)


def test_first_steps_and_tail_carry_the_fresh_tokens(coding: Steps) -> None:
    ordered = np.sort(coding.fresh)[::-1]
    assert coding.first.mean() == pytest.approx(0.016, abs=5e-4)
    assert coding.fresh[coding.first].sum() / coding.fresh.sum() == pytest.approx(0.29, abs=0.005)
    assert ordered[: len(ordered) // 50].sum() / ordered.sum() == pytest.approx(0.60, abs=0.005)
    assert coding.broken[~coding.first].mean() == pytest.approx(0.0207, abs=1e-4)


@pytest.mark.parametrize(("retention", "share"), [(60, 0.851), (300, 0.951), (3600, 0.995)])
def test_hits_by_retention_time(coding: Steps, retention: float, share: float) -> None:
    assert distill.curves(coding, 0).at("hit_by_time", retention) == pytest.approx(share, abs=6e-4)


@pytest.mark.parametrize(("retention", "more"), [(300, 0.16), (3600, 0.84)])
def test_last_steps_add_to_occupancy(coding: Steps, retention: float, more: float) -> None:
    tail = coding.held[coding.last].sum() * retention / len(coding)
    occupancy = float(distill.curves(coding, 0).at("occupancy", retention))
    assert tail / (occupancy - tail) == pytest.approx(more, abs=0.01)


def test_product_of_means_underestimates_occupancy(coding: Steps) -> None:
    again = ~coding.first
    held = sessions.before(coding.held, coding)[again]
    for retention, below in ((300, 0.086), (3600, 0.118)):
        wait = np.minimum(coding.gap[again], retention)
        assert 1 - held.mean() * wait.mean() / (held * wait).mean() == pytest.approx(below, abs=0.002)


@laws
@given(tables())
def test_curves_are_monotone_and_bounded(table: Steps) -> None:
    found = distill.curves(table, SHARED)
    assert found.hit_by_time[0] == 0
    assert found.hit_by_time[-1] == 1
    assert ((found.hit_by_time >= 0) & (found.hit_by_time <= 1)).all()
    for name in ("hit_by_time", "restore_tokens", "occupancy", "idle"):
        assert (np.diff(getattr(found, name)[:-1]) >= 0).all(), name
    for name in ("miss_tokens", "miss_area"):
        assert (np.diff(getattr(found, name)) <= 0).all(), name
        assert getattr(found, name)[-1] == 0
    assert (np.diff(found.occupancy[:-1]) > 0).all()


@laws
@given(tables())
def test_no_retention_loses_all_reused_tokens_but_the_shared(table: Steps) -> None:
    found = distill.curves(table, SHARED)
    reused = table.cached - np.minimum(table.cached, SHARED)
    assert found.miss_tokens[0] == pytest.approx(reused.mean())
    assert found.occupancy[0] == found.restore_tokens[0] == 0
    assert found.restore_tokens[-1] == pytest.approx(table.cached.mean())


@laws
@given(tables(), st.floats(0.01, 1e6))
def test_curves_equal_the_sum_over_steps_on_the_grid(table: Steps, near: float) -> None:
    retention = float(distill.RETENTION[1:-1][np.argmin(abs(distill.RETENTION[1:-1] - near))])
    found = distill.curves(table, SHARED)
    again, late = ~table.first, ~table.first & (table.gap > retention)
    held = sessions.before(table.held, table)
    wait = (held[again] * np.minimum(table.gap[again], retention)).sum()
    tail = table.held[table.last].sum() * retention
    kept = np.minimum(table.cached, SHARED)
    assert found.at("occupancy", retention) == pytest.approx((wait + tail) / len(table))
    assert found.at("miss_tokens", retention) == pytest.approx((table.cached - kept)[late].sum() / len(table))
    assert found.at("miss_area", retention) == pytest.approx(((table.cached**2 - kept**2) / 2)[late].sum() / len(table))


@laws
@given(tables())
def test_curves_between_grid_points_stay_between_them(table: Steps) -> None:
    found = distill.curves(table, SHARED)
    times = np.geomspace(0.01, 1e7, 400)
    for name, sign in (("hit_by_time", 1), ("miss_tokens", -1), ("miss_area", -1), ("occupancy", 1)):
        assert (sign * np.diff(found.at(name, times)) >= -1e-9 * found.at(name, times[1:])).all(), name


def test_occupancy_grows_linearly_beyond_a_week(coding: Steps) -> None:
    found = distill.curves(coding, 0)
    week = distill.RETENTION[-2]
    tail = coding.held[coding.last].sum() / len(coding)
    assert found.growth == pytest.approx(tail)
    assert found.at("occupancy", 2 * week) == pytest.approx(found.at("occupancy", week) + week * tail)
    assert np.isinf(found.at("occupancy", np.inf))


@few
@given(tables())
def test_atoms_weigh_every_step_once_at_every_retention(table: Steps) -> None:
    found = atoms.representative(table, SHARED)
    assert found.weight.sum(axis=1) == pytest.approx(np.ones(48))
    assert (found.weight >= 0).all()
    share = {kind: found.weight[:, found.kind == kind].sum(axis=1) for kind in range(4)}
    again = 1 - table.first.mean()
    assert share[atoms.FIRST] == pytest.approx(np.full(48, table.first.mean()))
    assert share[atoms.MISSED][[0, -1]] == pytest.approx([again, 0], abs=1e-12)
    hits = distill.curves(table, SHARED).hit_by_time * again
    assert share[atoms.HIT] + share[atoms.BROKEN] == pytest.approx(hits, abs=1e-12)


@few
@given(tables())
def test_atoms_are_steps_of_the_right_kind(table: Steps) -> None:
    found = atoms.representative(table, SHARED)
    for column in (found.fresh, found.cached, found.output):
        assert np.isfinite(column).all()
        assert (column >= 0).all()
    assert (found.cached[found.kind == atoms.FIRST] <= SHARED).all()


ALLOWED = {  # mean over random functionals and retention times of the relative error of p50, p95, p99
    "chat": (0.05, 0.06, 0.12),  # measured 0.044, 0.050, 0.100
    "coding": (0.04, 0.05, 0.07),  # measured 0.028, 0.038, 0.052
    "computer_use": (0.02, 0.03, 0.05),  # measured 0.010, 0.023, 0.041
    "web_use": (0.02, 0.03, 0.03),  # measured 0.014, 0.016, 0.016
}


def quantile_errors(workload_id: str, count: int = 60) -> np.ndarray:
    """(T * count, 3) relative errors of p50, p95, p99 over random functionals that the fit has not seen."""
    found = load_workload(workload_id)
    random = np.random.default_rng(99)
    places = np.stack([found.representative.fresh, found.representative.cached, found.representative.output])
    levels, errors = np.array([0.5, 0.95, 0.99]), []
    for retention in (60.0, 300.0, 3600.0, np.inf):
        actual = atoms._features(atoms.actual(found.table, found.shared_prefix, retention))
        weight = found.representative.weights(np.array([retention]))[0]
        for _ in range(count):
            factor = random.exponential(1, 4) * np.exp(random.normal(0, 1, 4)) * (random.random(4) < 0.7)
            factor[random.integers(4)] += 0.1
            factor /= actual.mean(axis=1)
            exact = np.quantile(factor @ actual, levels)
            errors.append(np.abs(atoms.quantile(factor @ atoms._features(places), weight, levels) / exact - 1))
    return np.array(errors)


@pytest.mark.parametrize("workload_id", names())
def test_quantiles_of_random_step_times(workload_id: str) -> None:
    assert (quantile_errors(workload_id).mean(axis=0) <= ALLOWED[workload_id]).all()


def test_sub_agents_have_prefixes_of_their_own() -> None:
    table = steps([1, 1, 1], [0, 0, 5], Tokens([0, 70, 90], [90, 10, 20], [1, 1, 1]), [0, 1, 0])
    assert table.first.tolist() == [True, False, True]
    assert table.cached.tolist() == [0, 90, 0]
    assert (table.sessions, table.sequences) == (1, 2)


def test_shared_prefix_leaves_one_token_to_compute() -> None:
    table = steps([1, 2], [0, 0], Tokens([0, 0], [50, 500], [1, 1]))
    assert sessions.share_prefix(table, 100).fresh.tolist() == [1, 400]


@laws
@given(tables())
def test_save_and_load_is_identity(tmp_path_factory: pytest.TempPathFactory, table: Steps) -> None:
    path = tmp_path_factory.mktemp("table") / "t.npz"
    sessions.save(table, path)
    again = sessions.load(path)
    for name in ("sequence", "gap", "cached", "fresh", "output", "observation", "session"):
        assert getattr(again, name) == pytest.approx(getattr(table, name)), name


@laws
@given(tables(), st.sampled_from(["compaction", "truncation"]), st.floats(800, 12_000))
def test_a_budget_is_kept_and_a_strike_loses_the_prefix(table: Steps, name: str, budget: float) -> None:
    policy = policies.combine(name, policies.Policy())
    sent = policies.apply(policy, table, SHARED, budget)
    assert (sent.held <= budget + 1e-9).all()
    assert (sent.fresh >= 1).all()
    assert (sent.cached >= 0).all()
    assert (sent.context <= table.context).all()
    shortened = np.flatnonzero(sent.context < table.context)
    if len(shortened):
        assert sent.cached[shortened[0]] <= SHARED


@laws
@given(tables())
def test_a_large_budget_changes_nothing(table: Steps) -> None:
    sent = policies.apply(policies.combine("compaction", policies.Policy()), table, SHARED, 1e9)
    assert (sent.context == table.context).all()
    assert (sent.cached == table.cached).all()


def test_compaction_at_hand_computed_points() -> None:
    table = steps([1] * 4, [0, 9, 9, 9], Tokens([0, 600, 800, 900], [600, 200, 100, 100], [10] * 4))
    sent = policies.strike(table, shared=50, budget=850, target=0.2)
    assert sent.context.tolist() == [600, 800, 270, 370]
    assert sent.cached.tolist() == [0, 600, 50, 270]


def test_replacing_pages_at_hand_computed_points() -> None:
    observed = Tokens([0, 100, 170], [100, 70, 60], [10] * 3, [0, 50, 40])
    sent = policies.keep_observations(steps([1] * 3, [0, 9, 9], observed), keep=1)
    assert sent.context.tolist() == [100, 170, 180]
    assert sent.cached.tolist() == [0, 100, 120]


@laws
@given(tables(breaks=0), st.integers(1, 5))
def test_keeping_more_observations_sends_more(table: Steps, keep: int) -> None:
    fewer, more = policies.keep_observations(table, keep), policies.keep_observations(table, keep + 1)
    assert (fewer.context <= more.context + 1e-9).all()
    assert (policies.keep_observations(table, 6).cached == table.cached).all()
    assert (fewer.fresh >= -1e-9).all()


def test_compaction_raises_the_share_of_breaks(coding: Steps) -> None:
    sent = policies.apply(policies.combine("compaction", policies.Policy()), coding, 14_950, 262_144)
    assert sent.held.max() <= 262_144
    assert coding.broken.mean() < sent.broken.mean() < 0.03
    assert distill.moments(sent).context == pytest.approx(100_710, rel=1e-3)
