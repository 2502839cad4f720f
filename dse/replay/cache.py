"""KV between steps: least-recently-used lists per tier and owner, nodes are sequences or prefix blocks.

Tiers are inclusive: what a step leaves is written to every tier, each tier evicts by itself. A node belongs to one
owner, the instance that holds the KV.
"""

from dse.arrays import FloatArray, IntArray
from dse.replay.compiled import compiled
from dse.replay.layout import BACK, CAPACITY, FRONT, T_EVICTED, USED, World

TIERS = 3
"""HBM, host DRAM, pool."""


@compiled
def tier_of(w: World, node: int) -> int:
    """Nearest tier that holds a node, -1 for none."""
    for tier in range(TIERS):
        if w.links[tier, node, 2] >= 0:
            return tier
    return -1


@compiled
def take_out(w: World, tier: int, node: int) -> None:
    """Remove a node from the list of a tier, if it is there."""
    before, after, owner = w.links[tier, node, 0], w.links[tier, node, 1], w.links[tier, node, 2]
    if owner < 0:
        return
    if before >= 0:
        w.links[tier, before, 1] = after
    else:
        w.domains[tier, owner, FRONT] = after
    if after >= 0:
        w.links[tier, after, 0] = before
    else:
        w.domains[tier, owner, BACK] = before
    w.domains[tier, owner, USED] -= w.sizes[node]
    w.links[tier, node, 2] = -1


@compiled
def put_first(w: World, tier: int, node: int, owner: int) -> None:
    """Add a node as the most recently used of its owner's list."""
    first = int(w.domains[tier, owner, FRONT])
    w.links[tier, node, 0] = -1
    w.links[tier, node, 1] = first
    w.links[tier, node, 2] = owner
    if first >= 0:
        w.links[tier, first, 0] = node
    else:
        w.domains[tier, owner, BACK] = node
    w.domains[tier, owner, FRONT] = node
    w.domains[tier, owner, USED] += w.sizes[node]


@compiled
def shrink(w: World, tier: int, owner: int) -> None:
    """Evict the least recently used nodes until the rest fits."""
    while w.domains[tier, owner, USED] > w.domains[tier, owner, CAPACITY]:
        last = int(w.domains[tier, owner, BACK])
        if last < 0:
            return
        take_out(w, tier, last)
        w.totals[T_EVICTED] += w.sizes[last]


@compiled
def keep(w: World, node: int, owner: int, size: float) -> None:
    """Leave a node of this size with an owner, in every tier that has room for anything."""
    for tier in range(TIERS):
        take_out(w, tier, node)
    w.sizes[node] = size
    for tier in range(TIERS):
        if w.domains[tier, owner, CAPACITY] > 0:
            put_first(w, tier, node, owner)
            shrink(w, tier, owner)


@compiled
def refresh(w: World, node: int) -> None:
    """Make a node the most recently used wherever it is."""
    for tier in range(TIERS):
        owner = w.links[tier, node, 2]
        if owner >= 0:
            take_out(w, tier, node)
            put_first(w, tier, node, owner)


@compiled
def found_blocks(w: World, first: int, last: int, owner: int, blocks: int) -> tuple[int, int]:
    """Leading blocks of a prompt that an owner holds, and the farthest tier among them."""
    farthest = 0
    for place in range(first, last):
        tier = tier_of(w, owner * blocks + w.blocks[place])
        if tier < 0:
            return place - first, farthest
        farthest = max(farthest, tier)
    return last - first, farthest


@compiled
def keep_blocks(w: World, first: int, last: int, owner: int, blocks: int, size: float) -> None:
    """Leave the blocks of a prompt with an owner, the opening ones most recently used: they serve most prompts."""
    for place in range(last - 1, first - 1, -1):
        keep(w, owner * blocks + w.blocks[place], owner, size)


@compiled
def preload(w: World, nodes: IntArray, owners: IntArray, sizes: FloatArray) -> None:
    """Fill the tiers with what earlier steps have left, the oldest first."""
    for place in range(nodes.size):
        keep(w, nodes[place], owners[place], sizes[place])
