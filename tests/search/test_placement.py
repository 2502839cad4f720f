"""Placement of a task's steps: the published example, optimality against enumeration, what a deadline does."""

from itertools import product

import numpy as np
import pytest

from dse.search.placement import Node, Option, place, placed

PREFILL = Node({"HP": Option(0.080, 0.08), "CO": Option(0.130, 0.05)})
DECODE = Node({"HP": Option(0.025, 0.03), "CO": Option(0.030, 0.01)}, after=("prefill",))
MOVED = {("prefill", "decode"): Option(0.010, 0.005)}
EXAMPLE = {"prefill": PREFILL, "decode": DECODE}
"""Worked example of arXiv 2507.19635: 1000 tokens in, 500 out, high-performance and cost-optimised parts."""


@pytest.mark.parametrize(
    ("deadline", "pools", "dollars"),
    [(0.120, ("HP", "CO"), 0.095), (0.105, ("HP", "HP"), 0.11), (0.160, ("CO", "CO"), 0.06)],
)
def test_published_example_at_three_deadlines(deadline, pools, dollars):
    best = place(EXAMPLE, MOVED, deadline)
    assert (best.pools["prefill"], best.pools["decode"]) == pools
    assert best.cost == pytest.approx(dollars)
    assert best.latency <= deadline * (1 + 1e-9)


def test_no_placement_meets_an_impossible_deadline():
    assert place(EXAMPLE, MOVED, 0.1) is None


def random_graph(seed):
    rng = np.random.default_rng(seed)
    names = [f"s{index}" for index in range(6)]
    nodes, moved = {}, {}
    for index, name in enumerate(names):
        after = tuple(other for other in names[:index] if rng.random() < 0.5)
        options = {pool: Option(*rng.uniform(0.1, 1.0, 2)) for pool in ("a", "b", "c")[: rng.integers(1, 4)]}
        nodes[name] = Node(options, after)
        moved |= {(other, name): Option(*rng.uniform(0, 0.3, 2)) for other in after}
    return nodes, moved


@pytest.mark.parametrize("seed", range(8))
def test_placement_is_the_cheapest_of_all(seed):
    nodes, moved = random_graph(seed)
    every = [
        placed(nodes, moved, dict(zip(nodes, pools, strict=True)))
        for pools in product(*(node.options for node in nodes.values()))
    ]
    for deadline in np.quantile([one.latency for one in every], [0.1, 0.5, 1.0]):
        best = place(nodes, moved, float(deadline))
        assert best.cost == pytest.approx(min(one.cost for one in every if one.latency <= deadline * (1 + 1e-9)))


def test_a_later_deadline_never_costs_more():
    nodes, moved = random_graph(3)
    found = [place(nodes, moved, deadline) for deadline in (1.5, 2.0, 3.0, 9.0)]
    costs = [one.cost for one in found if one is not None]
    assert costs == sorted(costs, reverse=True)
    assert len(costs) >= 2


def test_circle_is_refused():
    nodes = {"a": Node({"x": Option(1, 1)}, ("b",)), "b": Node({"x": Option(1, 1)}, ("a",))}
    with pytest.raises(ValueError, match="circle"):
        placed(nodes, {}, {"a": "x", "b": "x"})
