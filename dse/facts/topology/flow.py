r"""Max flows between sets of nodes as minimum cuts, valid at any bandwidth, and counts of parts.

The max flow of a graph is its least cut (Ford and Fulkerson, 1956). A cut's capacity is linear in the
bandwidths:

.. math:: F(\beta) = \min_c \sum_t a_{ct}\,\beta_t

The cuts are found by max flows at a grid of bandwidth ratios and written per device, so that evaluation is
one small matrix product. Exact where one of the cuts found is the least, which holds at all ratios of the
grid; an upper bound in between.
"""

import itertools

import numpy as np
from scipy.sparse import csr_array
from scipy.sparse.csgraph import breadth_first_order, maximum_flow

from dse.arrays import BoolArray, FloatArray, IntArray
from dse.facts.topology.routing import Fabric

# Ratios between the bandwidths of two tiers at which cuts are sought: NICs are 2 to 40 times slower than
# scale-up.
_RATIOS = (1 / 64, 1 / 16, 1 / 4, 1.0, 4.0, 16.0, 64.0)
_RATIOS_OF_MANY = (1 / 16, 1.0, 16.0)
# Capacities are whole numbers below 2^31 in the solver; this leaves room for their sum.
_LARGEST_SUM = 1e9


def transfer_cuts(network: Fabric) -> FloatArray:
    """Cuts between prefill and decode devices per prefill device, (cuts, tiers) [1].

    Without roles, the first half of the devices sends to the second half.
    """
    roles = np.array(network.role)
    senders, receivers = np.flatnonzero(roles == "prefill"), np.flatnonzero(roles == "decode")
    if not senders.size or not receivers.size:
        senders, receivers = _halves(np.arange(network.devices))
    return cuts(network, network.accelerators[senders], network.accelerators[receivers], senders.size)


def memory_cuts(network: Fabric) -> FloatArray:
    """Cuts from accelerators to memory nodes per accelerator, (cuts, tiers) [1]; zero without memory."""
    if not network.memory.size:
        return np.zeros((1, len(network.tiers)))
    return cuts(network, network.accelerators, network.memory, network.devices)


def bisection_cuts(network: Fabric) -> FloatArray:
    """Cuts between halves per device of one half, (cuts, tiers) [1]; 1 is full bisection bandwidth.

    Halves are taken in device order and across each dimension of a lattice: a bound from above in graphs
    without such an order, where the least bisection is a hard problem.
    """
    orders = [np.arange(network.devices)]
    orders += [np.argsort(axis, kind="stable") for axis in network.coordinates.T]
    found = []
    for order in orders:
        one, other = _halves(order)
        if one.size:
            found.append(cuts(network, network.accelerators[one], network.accelerators[other], one.size))
    return _least(np.concatenate(found)) if found else np.zeros((1, len(network.tiers)))


def _halves(order: IntArray) -> tuple[IntArray, IntArray]:
    half = order.size // 2
    return order[:half], order[half:]


def cuts(network: Fabric, senders: IntArray, receivers: IntArray, devices: int) -> FloatArray:
    """Least cuts between two sets of nodes at all bandwidth ratios of the grid, divided by `devices`."""
    tiers = len(network.tiers)
    if not senders.size or not receivers.size:
        return np.zeros((1, tiers))
    grid = _RATIOS if tiers == 2 else _RATIOS_OF_MANY
    rows = [
        _least_cut(network, senders, receivers, np.array([1.0, *ratios]))
        for ratios in itertools.product(grid, repeat=tiers - 1)
    ]
    return _least(np.array(rows)) / devices


def _least_cut(network: Fabric, senders: IntArray, receivers: IntArray, bandwidth: FloatArray) -> FloatArray:
    """Shares of each tier on the least cut at the given bandwidths."""
    # Memory stores and does not forward: its links count only where it is the target.
    usable = ~np.isin(network.tail, np.setdiff1d(network.memory, receivers))
    capacity = network.share * bandwidth[network.tier] * usable
    near = _near_side(network, senders, receivers, capacity)
    crossing = near[network.tail] & ~near[network.head] & usable
    return _per_tier(network, crossing, network.share)


def _near_side(network: Fabric, senders: IntArray, receivers: IntArray, capacity: FloatArray) -> BoolArray:
    """Nodes that can still be reached from the senders when the flow is greatest."""
    start, end = network.nodes, network.nodes + 1
    scale = _LARGEST_SUM / capacity.sum()
    whole = np.where(capacity > 0, np.maximum(np.rint(capacity * scale), 1.0), 0.0)
    ends = np.full(senders.size + receivers.size, _LARGEST_SUM)
    tail = np.concatenate([network.tail, np.full(senders.size, start), receivers])
    head = np.concatenate([network.head, senders, np.full(receivers.size, end)])
    entries = (np.concatenate([whole, ends]).astype(np.int32), (tail, head))
    graph = csr_array(entries, shape=(end + 1, end + 1))
    residual = csr_array(graph - maximum_flow(graph, start, end).flow)
    residual.eliminate_zeros()
    near = np.zeros(end + 1, dtype=np.bool_)
    near[breadth_first_order(residual, start, return_predecessors=False)] = True
    return near[: network.nodes]


def _least(rows: FloatArray) -> FloatArray:
    """Rows that are the least for some bandwidths: repeated and larger ones removed."""
    # Equal cuts add their shares in different orders: the last digits must not keep both.
    rounded, first = np.unique(rows.round(9), axis=0, return_index=True)
    different = (rounded[:, None] != rounded[None]).any(axis=2)
    larger = different & (rounded[:, None] >= rounded[None]).all(axis=2)
    least: FloatArray = rows[first[~larger.any(axis=1)]]
    return least


def counts(network: Fabric) -> dict[str, FloatArray]:
    """Parts per device and tier, (tiers,): numbers, and the same weighted by share of bandwidth.

    A link is counted once, a port at each of its ends: switch ports at switches, optical ports
    (transceivers) at both ends of optical links. Weighted by share and multiplied by the tier's bandwidth, a
    count is B/s of parts.
    """
    one_way = network.tail < network.head
    at_switch = network.switch[network.head]
    parts = {"link": one_way, "switch_port": at_switch, "optical_port": network.optical}
    weights = {"s": network.links.astype(np.float64), "_capacity": network.share}
    return {
        f"{part}{suffix}": _per_tier(network, chosen, weight) / network.devices
        for part, chosen in parts.items()
        for suffix, weight in weights.items()
    }


def _per_tier(network: Fabric, chosen: BoolArray, weight: FloatArray) -> FloatArray:
    """Sum of the weights of the chosen links in each tier, (tiers,)."""
    total = np.zeros(len(network.tiers))
    np.add.at(total, network.tier[chosen], weight[chosen])
    return total
