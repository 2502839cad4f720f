r"""Collectives on a graph: how many links one byte crosses, how loaded the worst link of each tier becomes.

A collective is a sequence of phases; a phase is a set of messages sent at once by **all** groups of the
system (replicas work at the same time), routed by `routing`. Times of phases add up:

.. math:: T(m) = \sum_t \left( \mathrm{steps}_t\,\alpha_t + \mathrm{traffic}_t\,\frac{m}{\beta_t} \right)

with m the bytes that each member holds (the whole vector for all-reduce and reduce-scatter, the gathered
result for all-gather, the send buffer for all-to-all, the message for p2p), alpha the latency of one link
and beta the bandwidth of one device. A phase that uses two tiers is charged for both, an upper bound:
pipelining could hide one.

A reduce-scatter inside one domain is one of four schedules, that with the least traffic:

* ring: two rings in opposite directions over the members in order, half the vector each, n - 1 rounds;
* pairs: every member sends each other member its part, one round (the many rings of a full mesh are the
  same);
* the same two along the rows of a lattice, dimension after dimension, the vector cut into as many parts as
  there are dimensions, each part starting with another dimension so that all links work.

All-gather is its mirror image, all-reduce both. A group that spans domains reduces inside, then between
members of the same rank, then gathers inside. Sources: Thakur, Rabenseifner, Gropp, Optimization of
collective communication operations in MPICH, 2005, sections 3 and 4; Jouppi et al., TPU v4, 2023 (all
dimensions of a torus at once).
"""

from collections.abc import Iterator
from typing import NamedTuple

import numpy as np

from dse.arrays import FloatArray, IntArray
from dse.facts.topology.routing import Demand, Fabric, Routing, alone, together

OPS = ("all_reduce", "all_gather", "reduce_scatter", "all_to_all", "p2p", "all_reduce_direct")
"""`all_reduce_direct` is all-reduce in two rounds of pairwise messages: fewer steps, for short messages."""


class Cost(NamedTuple):
    """Coefficients per tier."""

    steps: FloatArray
    """Links crossed one after the other, (tiers,) [1]."""
    traffic: FloatArray
    """Bytes over the most loaded link per byte held and per share, (tiers,) [1]."""

    def plus(self, other: "Cost", times: float = 1.0) -> "Cost":
        """One after the other, the second one a number of times."""
        return Cost(self.steps + times * other.steps, self.traffic + times * other.traffic)


class Layout(NamedTuple):
    """Where the groups of one size stand: (groups, domains, members in a domain) numbers of accelerators."""

    members: IntArray

    @property
    def spread(self) -> int:
        """Domains that a group spans."""
        return int(self.members.shape[1])

    @property
    def rows(self) -> IntArray:
        """Members of each group, (groups, members)."""
        return self.members.reshape(self.members.shape[0], -1)


def domain_size(network: Fabric) -> int:
    """Devices of the smallest scale-up domain."""
    sizes: IntArray = np.bincount(network.domain)
    return int(sizes.min())


def group_sizes(network: Fabric) -> IntArray:
    """Powers of two, the domain and the whole system."""
    powers = 2 ** np.arange(int(np.log2(network.devices)) + 1)
    return np.unique([*powers, domain_size(network), network.devices])


def layout(network: Fabric, size: int) -> Layout:
    """Compact groups of at least `size` members.

    A group inside a domain is contiguous. A larger one takes the fewest domains that hold it and the same
    number of members in each (128 members on domains of 72 are 2 x 64), which rounds its size up where it
    does not divide.
    """
    domain = domain_size(network) if domain_size(network) > 1 else network.devices
    spread = -(-size // domain)
    inside = -(-size // spread)
    regions = network.domain if domain_size(network) > 1 else np.zeros_like(network.domain)
    blocks = [
        devices[start : start + inside]
        for devices in (np.flatnonzero(regions == region) for region in range(regions.max() + 1))
        for start in range(0, devices.size - inside + 1, inside)
    ]
    groups = len(blocks) // spread
    if groups == 0:
        return Layout(np.arange(size).reshape(1, 1, size))
    return Layout(np.array(blocks[: groups * spread]).reshape(groups, spread, inside))


def collectives(routing: Routing, size: int, in_network: tuple[bool, ...]) -> dict[str, Cost]:
    """Coefficients of every operation at one group size; `in_network`: tiers that add up messages."""
    placed = layout(routing.fabric, size)
    everyone = _rows_to_demand(placed.rows, "pairs")
    exchange = _phase(routing, everyone, 1)
    share = 1.0 / placed.members.shape[2]
    inner = _reduce_scatter(routing, placed.members.reshape(-1, placed.members.shape[2]))
    across = Cost(np.zeros_like(inner.steps), np.zeros_like(inner.traffic))
    if placed.spread > 1:
        across = _reduce_scatter(routing, placed.members.transpose(0, 2, 1).reshape(-1, placed.spread))
    scatter = inner.plus(Cost(across.steps, across.traffic * share))
    outermost = across if placed.spread > 1 else inner
    members = placed.spread if placed.spread > 1 else placed.members.shape[2]
    reduced = _all_reduce(outermost, members, in_network, _farthest(routing, everyone))
    if placed.spread > 1:
        reduced = Cost(reduced.steps, reduced.traffic * share).plus(inner, 2.0)
    return {
        "all_reduce": reduced,
        "all_gather": scatter,
        "reduce_scatter": scatter,
        "all_to_all": exchange,
        "p2p": _farthest_pair(routing, placed.rows),
        "all_reduce_direct": _direct(routing, placed, share),
    }


def _all_reduce(scatter: Cost, members: int, in_network: tuple[bool, ...], crossing: FloatArray) -> Cost:
    """Reduce-scatter and all-gather, or one message up to the switches that add and one down.

    A switch that adds makes each member send its vector once instead of 2 (n - 1)/n times over the same
    links.
    """
    used = scatter.traffic > 0
    if members < 2 or not used.any() or not all(np.array(in_network)[used]):
        return Cost(2.0 * scatter.steps, 2.0 * scatter.traffic)
    return Cost(np.where(used, crossing, 0.0), scatter.traffic * members / (members - 1))


def _direct(routing: Routing, placed: Layout, share: float) -> Cost:
    """All-reduce by pairwise messages: two rounds in each domain and two between domains."""
    inner = _phase(routing, _rows_to_demand(placed.members.reshape(-1, placed.members.shape[2]), "pairs"), 1)
    total = Cost(2.0 * inner.steps, 2.0 * inner.traffic)
    if placed.spread == 1:
        return total
    ranks = placed.members.transpose(0, 2, 1).reshape(-1, placed.spread)
    across = _phase(routing, _rows_to_demand(ranks, "pairs"), 1)
    return total.plus(Cost(across.steps, across.traffic * share), 2.0)


def _reduce_scatter(routing: Routing, rows: IntArray) -> Cost:
    """The schedule with the least traffic; the first of the list where they are equal."""
    tiers = len(routing.fabric.tiers)
    best = Cost(np.zeros(tiers), np.zeros(tiers))
    if rows.shape[1] < 2:
        return best
    for number, phases in enumerate(_schedules(routing.fabric, rows)):
        total = Cost(np.zeros(tiers), np.zeros(tiers))
        for demand, rounds in phases:
            total = total.plus(_phase(routing, demand, rounds))
        # Rounding noise must not decide between schedules that are equal.
        if number == 0 or total.traffic.sum() < best.traffic.sum() * (1 - 1e-9):
            best = total
    return best


def _schedules(network: Fabric, rows: IntArray) -> Iterator[list[tuple[Demand, int]]]:
    """Phases of each schedule, with the number of rounds of each."""
    size = rows.shape[1]
    yield [(_rows_to_demand(rows, "ring"), size - 1)]
    if size > 2:
        yield [(_rows_to_demand(rows, "pairs"), 1)]
    axes = _axes(network, rows)
    if len(axes) > 1:
        for kind in ("ring", "pairs"):
            yield [_stage(axes, stage, kind) for stage in range(len(axes))]


def _axes(network: Fabric, rows: IntArray) -> list[IntArray]:
    """Lines of members along each dimension of a lattice, (lines, extent); none if rows are no blocks."""
    if not network.coordinates.shape[1]:
        return []
    places = network.coordinates[rows]
    varying = [axis for axis in range(places.shape[2]) if np.ptp(places[0, :, axis])]
    extents = [np.unique(places[0, :, axis]).size for axis in varying]
    if len(varying) < 2 or np.prod(extents) != rows.shape[1]:
        return []
    lines = []
    for axis, extent in zip(varying, extents, strict=True):
        others = [other for other in varying if other != axis]
        keys = [
            places[:, :, axis],
            *(places[:, :, other] for other in others),
            np.arange(len(rows))[:, None] + 0 * rows,
        ]
        order = np.lexsort([key.ravel() for key in keys])
        line = rows.ravel()[order].reshape(-1, extent)
        if _not_straight(network.coordinates[line], axis):
            return []
        lines.append(line)
    return lines


def _not_straight(places: IntArray, axis: int) -> bool:
    """Whether some line leaves its row or visits a place twice."""
    across = np.delete(places, axis, axis=2)
    return bool((across != across[:, :1]).any() or (np.diff(places[:, :, axis], axis=1) <= 0).any())


def _stage(axes: list[IntArray], stage: int, kind: str) -> tuple[Demand, int]:
    """Stage of a schedule along all dimensions: part p of the vector works on dimension p + stage."""
    demands, rounds = [], 1
    for part in range(len(axes)):
        before = np.prod([axes[(part + earlier) % len(axes)].shape[1] for earlier in range(stage)])
        lines = axes[(part + stage) % len(axes)]
        demand = _rows_to_demand(lines, kind)
        demands.append(demand._replace(volume=demand.volume / (len(axes) * before)))
        rounds = max(rounds, lines.shape[1] - 1 if kind == "ring" else 1)
    return Demand(*(np.concatenate(column) for column in zip(*demands, strict=True))), rounds


def _rows_to_demand(rows: IntArray, kind: str) -> Demand:
    """Messages of a reduce-scatter in each row: around the row both ways, or between all its pairs."""
    size = rows.shape[1]
    if kind == "ring":
        after, before = np.roll(rows, -1, axis=1), np.roll(rows, 1, axis=1)
        source, target = np.concatenate([rows, rows], axis=None), np.concatenate([after, before], axis=None)
        return Demand(source, target, np.full(source.size, (size - 1) / (2 * size)))
    source, target = np.repeat(rows, size, axis=1).ravel(), np.tile(rows, (1, size)).ravel()
    other = source != target
    return Demand(source[other], target[other], np.full(int(other.sum()), 1 / size))


def _phase(routing: Routing, demand: Demand, rounds: int) -> Cost:
    """Messages sent at once: latency of the longest way in every round, time of the most loaded links."""
    return Cost(rounds * _farthest(routing, demand), together(routing, demand))


def _farthest(routing: Routing, demand: Demand) -> FloatArray:
    """Most links of each tier on the way of any message."""
    if not demand.source.size:
        return np.zeros(len(routing.fabric.tiers))
    farthest: FloatArray = routing.hops[demand.source, demand.target].max(axis=0)
    return farthest


def _farthest_pair(routing: Routing, rows: IntArray) -> Cost:
    """One message in each group, from its first member to the farthest one, sent alone.

    A member of another domain is farther than any of the own domain.
    """
    if rows.shape[1] < 2:
        return Cost(np.zeros(len(routing.fabric.tiers)), np.zeros(len(routing.fabric.tiers)))
    first = rows[:, 0]
    way = routing.hops[first[:, None], rows].sum(axis=2)
    domain = routing.fabric.domain
    way += (domain[rows] != domain[first][:, None]) * way.max()
    demand = Demand(first, rows[np.arange(len(rows)), way.argmax(axis=1)], np.ones(len(rows)))
    return Cost(_farthest(routing, demand), alone(routing, demand))
