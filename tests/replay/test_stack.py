"""Exact stack distances against a list that is searched, and the simulation against the exact curve."""

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from dse.facts.workload.traces import read_trace
from dse.insight.replays.retention import curves, figure
from dse.replay import traffic
from dse.replay.run import replay
from dse.replay.stack import NEVER, distances, hit_rates, in_request_order
from dse.replay.system import Decode, Keeping, Links, Prefill, System
from tests.replay.conftest import DATA, linear


@settings(deadline=None, max_examples=60)
@given(st.lists(st.integers(0, 12), max_size=80))
def test_distances_are_those_of_a_list(ids: list[int]) -> None:
    stack: list[int] = []
    expected = []
    for name in ids:
        expected.append(stack.index(name) if name in stack else NEVER)
        if name in stack:
            stack.remove(name)
        stack.insert(0, name)
    assert distances(np.array(ids, dtype=np.int64)).tolist() == expected


@settings(deadline=None, max_examples=30)
@given(st.lists(st.integers(0, 9), min_size=1, max_size=60), st.integers(0, 10))
def test_the_curve_is_that_of_a_cache_of_each_size(ids: list[int], size: int) -> None:
    cache: list[int] = []
    hits = 0
    for name in ids:
        hits += name in cache
        cache = [name, *(other for other in cache if other != name)][:size]
    assert hit_rates(distances(np.array(ids)), np.array([float(size)]))[0] == hits / len(ids)


def test_the_simulation_finds_what_the_exact_curve_says() -> None:
    """One cache of several sizes, requests as recorded: leading blocks found, block by block."""
    found = read_trace(DATA / "mooncake_conversation_head.jsonl")
    assert found.blocks is not None
    assert found.times is not None
    blocks = found.blocks
    order = np.argsort(found.times, kind="stable")
    exact = distances(in_request_order(blocks.ids, blocks.start, order))
    asked = traffic.as_recorded(found.steps, found.times, blocks)
    for capacity in (500, 2000, 10**6):
        keeping = Keeping(1, 1, np.array([capacity * blocks.size, 0.0, 0.0]))
        shape = System(linear(1e-9, 1e-6, 64), Prefill(1, 1, 1e6), Decode(1, 64, 1e12), keeping, Links())
        seen = replay(shape, asked).records[:, 7].sum() / blocks.size / blocks.ids.size
        assert abs(seen - hit_rates(exact, np.array([float(capacity)]))[0]) < 0.02


def test_exact_simulated_and_closed_curves_lie_together() -> None:
    found = curves(DATA / "mooncake_conversation_head.jsonl")
    assert max(abs(seen - real) for seen, real in zip(found.simulated, found.exact, strict=True)) < 0.02
    assert max(abs(said - real) for said, real in zip(found.closed, found.exact, strict=True)) < 0.05
    assert found.exact == sorted(found.exact)
    assert found.exact[-1] == found.limit
    assert len(figure(found).data) == 3
