"""Waiting in passes: gated queues and pipelines, simulated one by one."""

from statistics import NormalDist

import numpy as np
import pytest

from dse.physics import gated, queueing


def simulated(rate: float, floor: float, slope: float, stages: int) -> float:
    """Mean wait beside own work of Poisson prompts of 100 tokens in passes over all that have come."""
    random = np.random.default_rng(3)
    times = np.cumsum(random.exponential(100 / rate, 10_000))
    waits, place, free, last = np.empty(times.size), 0, 0.0, 0.0
    while place < times.size:
        begins = max(free, times[place])
        after = max(int(np.searchsorted(times, begins, side="right")), place + 1)
        seconds = floor + slope * 100 * (after - place)
        last = max(begins + seconds, last)
        waits[place:after] = last - times[place:after] - slope * 100
        place, free = after, begins + seconds / stages
    return float(waits.mean())


def asked(floor: float, slope: float, stages: int, load: float, pinned: float = 1.0) -> gated.Asked:
    """Prompts of 100 tokens that come alone; ``load`` is that of their tokens."""
    rate, size, one = load * stages / slope, 100.0, np.ones(1)
    columns = (floor * one, slope * one, float(stages) * one, rate * one, size, size * one, size * one, one, 0 * one)
    return gated.Asked(*columns, 1e9 * one, pinned)


@pytest.mark.parametrize("stages", [1, 4])
@pytest.mark.parametrize("load", [0.2, 0.5, 0.8])
@pytest.mark.parametrize("floor", [0.0, 0.02])
def test_pinned_prompts_wait_in_passes_like_a_gated_queue(stages, load, floor):
    slope = 1e-3
    found = gated.pass_wait(asked(floor, slope, stages, load))
    assert found[1].mean[0] == pytest.approx(simulated(load * stages / slope, floor, slope, stages), rel=0.25, abs=0.03)
    assert found[0].mean[0] <= found[1].mean[0]


def least_loaded(floor: float, slope: float, stages: int, load: float) -> tuple[float, float]:
    """Mean and 95th percentile of the wait beside own work of prompts that go to the rank with the least to do."""
    random, ranks = np.random.default_rng(5), int(gated.RANKS)
    times = np.cumsum(random.exponential(100 * slope / (load * stages * ranks), 20_000))
    free, started, queue = [0.0] * ranks, [0] * ranks, [[] for _ in range(ranks)]
    waits: list[float] = []

    def begin(rank: int, now: float) -> None:
        seconds = floor + slope * 100 * len(queue[rank])
        waits.extend(now + seconds - came - slope * 100 for came in queue[rank])
        free[rank], started[rank], queue[rank] = now + seconds / stages, len(queue[rank]), []

    for now in times.tolist():
        for rank in range(ranks):
            while free[rank] <= now:
                ended, started[rank] = free[rank], 0
                if not queue[rank]:
                    break
                begin(rank, ended)
        rank = min(range(ranks), key=lambda place: (started[place] + len(queue[place]), random.random()))
        queue[rank].append(now)
        if free[rank] <= now:
            begin(rank, now)
    return float(np.mean(waits[2000:])), float(np.quantile(waits[2000:], 0.95))


@pytest.mark.parametrize("stages", [1, 4])
@pytest.mark.parametrize("load", [0.3, 0.6, 0.8])
@pytest.mark.parametrize("floor", [0.02, 0.1])
def test_prompts_sent_where_least_is_to_do_wait_like_eight_gated_ranks(stages, load, floor):
    slope = 1e-3
    mean, late = least_loaded(floor, slope, stages, load)
    wait = gated.pass_wait(asked(floor, slope, stages, load))[0]
    assert wait.mean[0] == pytest.approx(mean, rel=0.3, abs=0.02)
    said = wait.mean + gated.pass_excess(wait.mean - floor, wait.variance, 0.95)
    assert said[0] + 100 * slope == pytest.approx(late + 100 * slope, rel=0.35)


@pytest.mark.parametrize("load", [0.3, 0.5, 0.7, 0.8])
def test_ranks_are_all_busy_as_often_as_erlang_says(load):
    alone, nothing = np.array([load]), np.zeros(1)
    found = gated.crowd(1.0, np.array([2.0]), alone, nothing, alone)
    assert found.chance[0] == pytest.approx(queueing.blocking(gated.RANKS, gated.RANKS * load), abs=0.07)


def test_shared_passes_settle_where_what_comes_is_what_is_done():
    """With floors that many prompts must share all ranks are always busy, with the tokens of a steady gated queue."""
    steady, begun = np.array([0.5]), np.array([40.0])
    found = gated.crowd(1.0, np.ones(1), steady, begun, steady + begun)
    assert found.chance[0] == pytest.approx(1.0, abs=1e-3)
    assert found.tokens[0] == pytest.approx(begun[0] / (1 - steady[0]) - 1, rel=1e-3)


@pytest.mark.parametrize("beyond", [-3.0, -0.5, 0.0, 0.7, 2.0, 6.0])
def test_the_ratio_of_mills_is_close(beyond):
    law = NormalDist()
    assert float(gated.mills(np.array(beyond))) == pytest.approx(law.cdf(-beyond) / law.pdf(beyond), rel=0.012)


def test_waits_that_vary_like_an_exponential_one_have_its_quantile():
    for variance in (0.999, 1.001):
        found = float(gated.pass_excess(np.array(1.0), np.array(variance), 0.95))
        assert found == pytest.approx(-np.log(0.05) - 1, rel=0.02)
    assert float(gated.pass_excess(np.array(1.0), np.array(0.0), 0.95)) == pytest.approx(0.0, abs=1e-9)
    assert float(gated.pass_excess(np.array(0.0), np.array(0.0), 0.95)) == 0.0


def test_no_prompts_leave_the_floor_of_a_pass():
    for wait in gated.pass_wait(asked(0.02, 4e-5, 4, 0.0)):
        assert wait.mean == pytest.approx(0.02)
        assert wait.variance == pytest.approx(0.0)


def test_passes_that_end_in_order_hold_up_those_behind():
    """One long pass a hundred seconds among short ones: simulated at random times."""
    random = np.random.default_rng(1)
    long, own, stages, rate = 2.0, 0.3, 4, 0.01
    times = np.cumsum(random.exponential(1 / rate, 20_000))
    asked = random.uniform(times[0], times[-1], 200_000)
    since = asked - times[np.searchsorted(times, asked) - 1] - long / stages
    held = np.where(since >= 0, np.maximum(long * (1 - 1 / stages) - since - own, 0), 0.0)
    found = gated.order_wait((np.array([[long]]), np.ones(1)), np.array([own]), np.array([4.0]), np.array([rate]))
    assert found[0] == pytest.approx(held.mean(), rel=0.1)
    assert gated.order_wait((np.array([[long]]), np.ones(1)), np.array([own]), np.ones(1), np.array([rate]))[0] == 0


def test_response_is_the_pipeline_within_a_chunk_and_stage_after_stage_beyond():
    stages = np.array([1.0, 4.0])
    assert gated.pass_response(stages, 0.0, 3.0) == pytest.approx(stages)
    assert gated.pass_response(stages, 1.0, 3.0) == pytest.approx([3.0, 3.0])
    assert gated.pass_response(stages, 0.5, 1.0) == pytest.approx((stages + 1) / 2)


def lined(prompts: float, steps: float, ranks: int, seconds: float) -> tuple[float, float]:
    """Passes per prompt, all and those with a whole chunk; prompts have three chunks, one of them short."""
    random = np.random.default_rng(11)
    rate = prompts / steps
    line: list[int] = []
    count = passes = whole = 0
    length = 1.0
    for _ in range(20_000):
        come = int(random.poisson(rate * length))
        count += come
        line += [3] * come
        served = line[:ranks]
        passes += bool(served)
        whole += any(left > 1 for left in served)
        # Steps with a pass are longer, and more prompts come during them; on average still so many per step.
        length = (1.0 + seconds * bool(served)) / (1.0 + seconds * gated.line_passes(3 * rate, np.array(1.0)))
        line = [left - 1 for left in served if left > 1] + line[ranks:]
    return passes / count, whole / count


@pytest.mark.parametrize("seconds", [0.0, 1.0])
@pytest.mark.parametrize("steps", [4.0, 8.0, 40.0])
def test_prompts_in_line_share_passes_like_infinite_servers(steps, seconds):
    found = lined(1.0, steps, 16, seconds)
    grain = 0.03 + 0.07 * seconds
    assert found[0] == pytest.approx(float(gated.line_passes(3.0, np.array(steps))), rel=grain)
    assert found[1] == pytest.approx(float(gated.line_passes(2.0, np.array(steps))), rel=grain)
