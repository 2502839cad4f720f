"""One design as a picture: two pools, the link between them, the memory behind them."""

from typing import NamedTuple

import numpy as np

from dse.facts import units
from dse.insight import wording
from dse.insight.explain import design_of
from dse.insight.report.markup import text
from dse.insight.report.scene import Scene
from dse.insight.topology_picture import thickness
from dse.search.frontier import INERT
from dse.search.scoring import block as blocks

WIDTH, HEIGHT = 640, 230
"""Of the picture, in its own units."""

WIDEST = 2e12
"""Bandwidth of the thickest link: that of the largest optical choice of the studies [B/s]."""

BUSY = ((0.5, "#56B4E9", "below half"), (0.8, "#E69F00", "half to 80 %"), (np.inf, "#D55E00", "above 80 %"))
"""Utilisation up to which a link has a colour, and what the colour means."""


class Pool(NamedTuple):
    """Devices with one role."""

    role: str
    devices: str
    """Types, in words."""
    memory: str
    """Package memory and host DRAM of one device."""
    fabric: str
    """Topology and size of an instance."""


class System(NamedTuple):
    """What the picture says."""

    title: str
    pools: tuple[Pool, ...]
    bandwidth: float
    """Between the pools, per device of the decode pool and one direction [B/s]."""
    utilisation: float
    """Of the busiest link of the worst class [1]."""
    medium: str
    shared: str
    """Pooled memory, empty where there is none."""


def facts(scene: Scene, row: int) -> System:
    """System of one row of the front."""
    levers, mapping = scene.front.levers(row), scene.front.mapping(row)
    names = ("decode",) if levers["serving"] == "colocated" else ("prefill", "decode")
    made = blocks.block(scene.evaluator.plan, design_of(scene.opened, row))
    used = max(float(scene.values(f"{agent}.{pool}_link_share", [row])[0]) for agent in scene.agents for pool in names)
    optical = levers.get("optical_bandwidth", 0)
    light = isinstance(optical, int | float) and optical > 0
    shared = ""
    if levers.get("pool.technology", "none") not in ("none", INERT):
        shared = f"{levers['pool.technology']} pool, {units.show(float(levers['pool.capacity']), 'B')} a device"
    return System(
        title=wording.front_design(scene.front, row, scene.agents, scene.short),
        pools=tuple(_pool(scene, levers, mapping, name) for name in names),
        bandwidth=float(np.ravel(made.decode.bandwidth)[0]),
        utilisation=used,
        medium="optical" if light else "network cards",
        shared=shared,
    )


def busy(utilisation: float) -> tuple[str, str]:
    """Colour and words of a utilisation.

    >>> busy(0.9)
    ('#D55E00', 'above 80 %')
    """
    return next((colour, words) for most, colour, words in BUSY if utilisation < most)


def svg(own: System, small: bool = False) -> str:
    """Picture; a small one is a thumbnail with the same content."""
    parts = []
    wide = 250
    lefts = [WIDTH / 2 - wide / 2] if len(own.pools) == 1 else [8, WIDTH - wide - 8]
    for pool, left in zip(own.pools, lefts, strict=True):
        parts.append(_box(pool, left, wide))
    if len(own.pools) == 2:
        parts.insert(0, _link(own, lefts[0] + wide, lefts[1]))
    if own.shared:
        parts.append(_shared(own, lefts[-1] + wide / 2))
    height = HEIGHT if own.shared else HEIGHT - 66
    kind = "system small" if small else "system"
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {height}" role="img" class="{kind}">'
        f"<title>{text(own.title)}</title>{''.join(parts)}</svg>"
    )


def _pool(scene: Scene, levers: wording.Levers, mapping: dict[str, int], pool: str) -> Pool:
    kinds = wording.pool_name(levers, pool, scene.short)
    first = scene.opened.problem.devices[str(levers[f"{pool}.device"])]
    capacity = first.memory.capacity * float(levers.get(f"{pool}.memory_scale", 1.0)) if first.memory else 0.0
    memory = f"{units.show(capacity, 'B')} package"
    host = levers.get(f"{pool}.host_memory", 0)
    if isinstance(host, int | float) and host > 0:
        memory += f" + {units.show(host, 'B')} host"
    sizes = sorted(
        {
            int(np.prod([mapping[f"{agent}.{pool}.{key}"] for key in ("tp", "pp", "attention_dp", "cp")]))
            for agent in scene.agents
        }
    )
    span = f"{sizes[0]}" if len(sizes) == 1 else f"{sizes[0]} to {sizes[-1]}"
    role = "prefill and decode" if levers["serving"] == "colocated" else pool
    return Pool(role, kinds, memory, f"{levers.get(f'{pool}.topology', 'native')} fabric, instances of {span}")


def _box(pool: Pool, left: float, wide: float) -> str:
    middle = left + wide / 2
    kind = f"chip {pool.role.split()[0]}"
    marks = "".join(
        f'<rect x="{left + 20 + 18 * column}" y="{92 + 18 * row}" width="12" height="12" rx="2" class="{kind}"/>'
        for row in range(2)
        for column in range(int((wide - 20) // 18))
    )
    lines = [
        ("t", 30, f"{pool.role} pool"),
        ("t", 52, pool.devices),
        ("s", 74, pool.memory),
        ("s", 148, pool.fabric),
    ]
    words = "".join(
        f'<text class="{kind}" x="{middle}" y="{y}" text-anchor="middle">{text(line)}</text>' for kind, y, line in lines
    )
    return f'<g class="pool"><rect x="{left}" y="6" width="{wide}" height="152" rx="10" class="box"/>{marks}{words}</g>'


def _link(own: System, start: float, end: float) -> str:
    colour, words = busy(own.utilisation)
    wide = thickness(own.bandwidth, WIDEST)
    rate, used = wording.quantity(own.bandwidth, "B/s"), wording.percent(own.utilisation)
    label = f"{rate} per device, {own.medium}, {used} busy ({words})"
    middle = (start + end) / 2
    lines = ((64, rate), (108, own.medium), (124, f"{used} busy"))
    said = "".join(
        f'<text class="s" x="{middle}" y="{y}" text-anchor="middle">{text(line)}</text>' for y, line in lines
    )
    return (
        f'<g class="link"><title>{text(label)}</title>'
        f'<line x1="{start}" y1="82" x2="{end}" y2="82" stroke="{colour}" stroke-width="{wide}"/>'
        f"{said}</g>"
    )


def _shared(own: System, middle: float) -> str:
    return (
        f'<g class="pooled"><line x1="{middle}" y1="158" x2="{middle}" y2="184" stroke="#56B4E9" stroke-width="5"/>'
        f'<rect x="{middle - 125}" y="184" width="250" height="36" rx="10" class="box memory"/>'
        f'<text class="s" x="{middle}" y="206" text-anchor="middle">{text(own.shared)}</text></g>'
    )
