"""Waiting in passes: gated queues and pipelines, simulated one by one."""

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


@pytest.mark.parametrize("stages", [1, 4])
@pytest.mark.parametrize("load", [0.2, 0.5, 0.8])
@pytest.mark.parametrize("floor", [0.0, 0.02])
def test_pinned_prompts_wait_in_passes_like_a_gated_queue(stages, load, floor):
    slope = 1e-3
    columns = (np.array([x]) for x in (floor, slope, float(stages), load * stages / slope))
    found = gated.pass_wait(*columns, 100.0, np.array([100.0]), np.array([1e9]))
    assert found[1][0] == pytest.approx(simulated(load * stages / slope, floor, slope, stages), rel=0.25, abs=0.03)
    assert found[0][0] <= found[1][0]


def test_no_prompts_leave_the_floor_of_a_pass():
    columns = (np.array([x]) for x in (0.02, 4e-5, 4.0, 0.0))
    for wait in gated.pass_wait(*columns, 1e3, np.array([2e3]), np.array([8192.0])):
        assert wait == pytest.approx(0.02)


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


def test_response_is_the_pipeline_within_a_chunk_and_processor_sharing_beyond():
    stages = np.array([1.0, 4.0])
    assert gated.pass_response(stages, 0.0, 0.7) == pytest.approx(stages)
    alone = queueing.processor_sharing_response(np.ones(2), 0.7)
    assert gated.pass_response(stages, 1.0, 0.7) == pytest.approx(alone)
    assert gated.pass_response(stages, 0.5, 0.0) == pytest.approx((stages + 1) / 2)


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
