"""Laws of every replay: requests, tokens and bytes balance; the seed decides; an interrupt keeps what is finished."""

import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dse.facts.workload.sessions import Steps, Tokens, steps
from dse.physics import demand
from dse.replay import grids, layout, run, traffic
from dse.replay.clock import chunk_time, step_time
from dse.replay.design import decode_step_of, size, system
from dse.replay.outcome import Outcome
from dse.replay.run import replay
from dse.replay.scenario import Plan, play
from dse.replay.system import Decode, Keeping, Links, Prefill, System
from dse.search.scoring import phases
from tests.replay.conftest import WAYS, linear, scenario, way

ROOT = Path(__file__).parents[2]


def sessions(count: int, seed: int) -> Steps:
    """Random sessions whose prompts grow."""
    random = np.random.default_rng(seed)
    session = np.sort(random.integers(0, max(count // 4, 1), count))
    opens = np.diff(session, prepend=-1) > 0
    fresh, output = random.integers(1, 400, count).astype(float), random.integers(1, 40, count).astype(float)
    cached = np.zeros(count)
    for row in range(1, count):
        if not opens[row]:
            cached[row] = random.integers(0, int(cached[row - 1] + fresh[row - 1]) + 1)
    return steps(session, random.exponential(3.0, count), Tokens(cached, fresh, output))


def toy(home: int, colocated: bool, room: float, tiers: tuple[float, float, float], first_come: bool) -> System:
    times = linear(1e-3, 0.01, slots=4)
    times = replace(times, decode=times.decode * np.linspace(1, 2, 5)[:, None])
    prefill, decode = Prefill(2, 2, 256.0), Decode(2, 4, room, 0.0, 2, 64.0, 2)
    owners = {0: 2, 1: 2, 2: 1, 3: 2}[0 if colocated else home]
    keeping = Keeping(0 if colocated else home, owners, np.array(tiers), 16.0)
    links = Links(2.0, 1e5, 2e5, 1e5, 1e5, 1e5, (1e5, 2e5), False)
    return System(times, prefill, decode, keeping, links, colocated, first_come)


def assert_balanced(found: Outcome, table: Steps) -> None:
    counts, records, kv = found.counts, found.records, found.totals
    assert sum(counts) == found.traffic.requests
    done = records[records[:, layout.R_END] == layout.FINISHED]
    assert (done[:, layout.R_FIRST] >= done[:, layout.R_ARRIVAL]).all()
    assert (done[:, layout.R_FINISH] >= done[:, layout.R_FIRST]).all()
    rows = done[:, layout.R_ROW].astype(int)
    assert np.array_equal(done[:, layout.R_OUTPUT], table.output[rows])
    calm = done[done[:, layout.R_PREEMPTED] == 0]
    assert np.allclose(calm[:, layout.R_FOUND] + calm[:, layout.R_COMPUTED], calm[:, layout.R_CONTEXT])
    assert (found.series[:, layout.S_HBM : layout.S_POOL + 1] >= 0).all()
    assert (kv >= 0).all()


@settings(deadline=None, max_examples=25)
@given(
    st.integers(0, 3),
    st.booleans(),
    st.sampled_from([600.0, 2500.0, 1e6]),
    st.sampled_from([(0.0, 0.0, 0.0), (900.0, 3000.0, 0.0), (500.0, 2000.0, 1e5)]),
    st.booleans(),
    st.integers(0, 99),
)
def test_requests_and_tokens_balance(
    home: int, colocated: bool, room: float, tiers: tuple[float, float, float], first_come: bool, seed: int
) -> None:
    table = sessions(40, seed)
    found = replay(
        toy(home, colocated, room, tiers, first_come), traffic.retimed(table, 2.0, np.random.default_rng(seed))
    )
    assert_balanced(found, table)
    assert found.counts.unfinished == 0
    assert found.in_flight == 0
    assert found.series[-1, layout.S_ACTIVE] == pytest.approx(0, abs=1e-6)


@pytest.mark.parametrize("name", WAYS)
def test_every_way_to_serve_balances_and_agrees_in_throughput(name: str) -> None:
    own = scenario(name)
    found = play(own, Plan(horizon=600.0 if name == "append" else 120.0)).outcome
    assert_balanced(found, own.trace.steps)
    assert found.counts.finished > 100
    assert found.steps_per_s == pytest.approx(found.offered, rel=0.15)


@settings(deadline=None, max_examples=10)
@given(st.integers(0, 99))
def test_bytes_between_the_pools_are_what_the_homes_say(seed: int) -> None:
    table = sessions(30, seed)
    for home in (0, 1):
        shape = toy(home, False, 1e6, (1e6, 0.0, 0.0), True)
        found = replay(shape, traffic.retimed(table, 1.0, np.random.default_rng(seed)))
        done = found.records
        hits = done[:, layout.R_TIER] >= 0
        moved = found.totals
        if home == 0:
            assert moved[layout.T_FORTH] == pytest.approx(done[:, layout.R_COMPUTED].sum())
            assert moved[layout.T_BACK] == pytest.approx(done[hits, layout.R_FOUND].sum())
        else:
            assert moved[layout.T_FORTH] == pytest.approx(done[:, layout.R_CONTEXT].sum())
            assert moved[layout.T_BACK] == pytest.approx(done[:, layout.R_OUTPUT].sum())


def test_the_seed_decides() -> None:
    own = scenario("decode")
    first, again, other = (play(own, Plan(horizon=5.0, seed=seed)).outcome.records for seed in (3, 3, 4))
    assert np.array_equal(first, again)
    assert not np.array_equal(first[:100], other[:100])


def test_machine_code_and_plain_python_agree() -> None:
    """The compiler is a convenience: without it the same records come out."""
    code = (
        "import numpy as np; from tests.replay.test_laws import sessions, toy; from dse.replay import run, traffic;"
        "asked = traffic.retimed(sessions(60, 5), 1.0, np.random.default_rng(0));"
        "found = run.replay(toy(0, False, 2500.0, (900.0, 3000.0, 0.0), False), asked);"
        "print(found.records.sum(axis=0).tolist())"
    )
    said = [
        subprocess.run(
            [sys.executable, "-c", code], env=os.environ | extra, cwd=ROOT, check=True, capture_output=True, text=True
        ).stdout
        for extra in ({}, {"NUMBA_DISABLE_JIT": "1"})
    ]
    assert said[0] == said[1]


def test_a_batch_that_outgrows_its_memory_preempts_and_still_finishes() -> None:
    table = steps(np.arange(6), np.zeros(6), Tokens(np.zeros(6), np.full(6, 100.0), np.full(6, 200.0)))
    shape = toy(0, False, 700.0, (0.0, 0.0, 0.0), True)
    shape = replace(shape, decode=replace(shape.decode, instances=1), keeping=Keeping(0, 1))
    found = replay(shape, traffic.as_recorded(table, np.zeros(6)))
    assert found.counts.finished == 6
    assert found.totals[layout.T_PREEMPTED] > 0


def test_a_prompt_that_fits_nowhere_is_rejected() -> None:
    table = steps([0, 1], [0, 0], Tokens([0, 0], [500, 5000], [10, 10]))
    found = replay(toy(0, False, 1000.0, (0.0, 0.0, 0.0), True), traffic.as_recorded(table, np.zeros(2)))
    assert tuple(found.counts) == (1, 1, 0)


def test_rows_are_kept_for_sequences_that_go_on_only(monkeypatch: pytest.MonkeyPatch) -> None:
    """Few sessions at a time need few rows, however many there are in all; how many there are first changes nothing."""
    table, grown = sessions(400, 3), []
    asked = traffic.retimed(table, 0.05, np.random.default_rng(1))
    design = toy(0, False, 3000.0, (0.0, 4000.0, 0.0), False)
    wide = replay(design, asked)
    more = run._with_more_slots
    monkeypatch.setattr(run, "LIVE", 2)
    monkeypatch.setattr(run, "_with_more_slots", lambda world: grown.append(len(world.slots)) or more(world))
    narrow = replay(design, asked)
    assert len(asked.starts) > 50 > 2 * max(grown)
    assert np.array_equal(narrow.records, wide.records)


def test_the_horizon_leaves_the_rest_unfinished() -> None:
    table = sessions(200, 1)
    found = replay(
        toy(0, False, 1e6, (0.0, 0.0, 0.0), True), traffic.retimed(table, 1.0, np.random.default_rng(0)), 20.0
    )
    assert found.counts.unfinished > 0
    assert sum(found.counts) == 200


def test_an_interrupt_keeps_what_is_finished(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(run, "SLICE", 50)

    def stop(now: float, end: float) -> None:
        if now > 0.3 * end:
            raise KeyboardInterrupt

    table = sessions(300, 2)
    asked = traffic.retimed(table, 1.0, np.random.default_rng(0))
    found = replay(toy(0, False, 1e6, (0.0, 0.0, 0.0), True), asked, progress=stop)
    assert found.interrupted
    assert 0 < found.counts.finished < 300
    assert sum(found.counts) == 300


@pytest.mark.parametrize(("name", "bound"), [("decode", 0.01), ("offload", 0.02)])
def test_interpolated_times_are_close_and_exact_at_the_nodes(name: str, bound: float) -> None:
    served = way(name)
    shape = system(served, size(served), 60_000.0)
    step, slots = decode_step_of(served), shape.decode.slots
    random = np.random.default_rng(0)
    world = run._world(shape, traffic.as_recorded(sessions(4, 0), np.zeros(4)), 1.0, 1.0, 0)
    for _ in range(40):
        requests, context = int(random.integers(1, slots + 1)), float(random.uniform(200, 60_000))
        exact = float(step(np.array([float(requests)]), np.array([context]))[0])
        assert step_time(world, requests, context) == pytest.approx(exact, rel=bound)
    node = float(shape.times.contexts[5])
    assert step_time(world, slots, node) == pytest.approx(
        float(step(np.array([float(slots)]), np.array([node]))[0]), rel=1e-9
    )
    mapped, times = served.mapped("prefill"), shape.times
    for _ in range(40):
        new, before = float(random.uniform(1, shape.prefill.chunk)), float(random.uniform(0, 60_000))
        load = demand.Load(mapped.degrees["attention_dp"], np.array([new]), np.array([before]))
        exact = float(phases.timed(mapped.site, mapped.grid(1), load).seconds[0])
        assert chunk_time(times.tokens, times.prefixes, times.prefill, new, before) == pytest.approx(exact, rel=0.01)
    assert grids.geometric(1, 100).tolist() == sorted(set(grids.geometric(1, 100).tolist()))
