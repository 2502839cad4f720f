"""Serving under a closed loop: conservation, limits, scaling."""

import numpy as np
import pytest

from dse.physics.closed_loop import Engine, Fleet, aggregated, disaggregated

ENGINE = Engine(first=0.05, client=0.002, together=2.0, wave=0.1)
CLIENTS = np.array([1.0, 8.0, 64.0])
OUTPUT = np.full(3, 200.0)
TIMES = (np.full(3, 0.1), np.array([0.008, 0.01, 0.02]))


def test_a_single_client_waits_for_its_own_prefill_only():
    served = aggregated(CLIENTS, np.full(3, 512.0), OUTPUT, TIMES, ENGINE)
    assert served.ttft[0] == pytest.approx(0.05 + 0.002 + 0.1)
    assert served.tpot[0] == pytest.approx(0.008)


def test_device_time_is_conserved():
    served = aggregated(CLIENTS, np.full(3, 512.0), OUTPUT, TIMES, ENGINE)
    life = served.ttft + OUTPUT * served.tpot
    busy = OUTPUT * TIMES[1] + CLIENTS * TIMES[0]
    assert life - (ENGINE.first + ENGINE.client * CLIENTS) == pytest.approx(busy)


def test_clients_beyond_the_memory_wait():
    held = aggregated(CLIENTS, np.full(3, 32.0), OUTPUT, TIMES, ENGINE)
    assert held.batch.tolist() == [1.0, 8.0, 32.0]
    assert held.ttft[2] > OUTPUT[2] * held.tpot[2]


def test_prefill_elsewhere_leaves_the_decode_step_alone():
    fleet = Fleet(np.ones(3), np.ones(3))
    served = disaggregated(CLIENTS, fleet, OUTPUT, (*TIMES, np.zeros(3)), ENGINE)
    assert served.tpot.tolist() == TIMES[1].tolist()
    assert (np.diff(served.ttft) > 0).all()


def test_more_prefill_instances_never_delay_the_first_token():
    one, four = (
        disaggregated(CLIENTS, Fleet(np.full(3, count), np.ones(3)), OUTPUT, (*TIMES, np.zeros(3)), ENGINE).ttft
        for count in (1.0, 4.0)
    )
    assert (four <= one).all()


def test_all_times_scale_together():
    quick = aggregated(CLIENTS, np.full(3, 32.0), OUTPUT, (TIMES[0] / 2, TIMES[1] / 2), ENGINE.scaled(2.0))
    slow = aggregated(CLIENTS, np.full(3, 32.0), OUTPUT, TIMES, ENGINE)
    assert quick.ttft * 2 == pytest.approx(slow.ttft)
    assert quick.tpot * 2 == pytest.approx(slow.tpot)
