"""Interconnects as pictures: a few groups with bold links between them, never one box per device."""

import math
from html import escape
from pathlib import Path

from dse.facts.topology.network import load_topology
from dse.insight import wiring
from dse.insight.topology_abstract import Abstract, Bundle, Group, abstract
from dse.insight.wording import number, quantity

WIDTH = 740
"""Of the picture, in its own units."""

ROW, BOX, WIDE = 132, 58, 200
"""Distance of two rows, height and width of a box."""

COLUMN = 400
"""Distance of two boxes of a row, at least: labels stand between them."""

DOTS = 12
"""Marks of a group before an ellipsis."""

THINNEST, THICKEST = 2.0, 14.0
"""Of a link."""

COLOURS = {"accelerator": "#0072B2", "switch": "#8A8F98", "memory": "#E69F00"}
"""Kind of a node -> Okabe–Ito colour."""

LINK = "#56B4E9"
"""Colour of a link of which no utilisation is known."""

PLURALS = {"accelerator": "accelerators", "switch": "switches", "memory": "memory nodes"}

STYLE = (
    "text{font-family:system-ui,-apple-system,'Segoe UI',Roboto,Arial,sans-serif;fill:currentColor}"
    ".t{font-size:14px;font-weight:600}.s{font-size:12px;opacity:.85}"
)
ALONE = (
    "svg{color:#1d2530;--card:#fff;background:#fff}"
    "@media(prefers-color-scheme:dark){svg{color:#e6e9ee;--card:#14171c;background:#14171c}}"
)
"""Colours of a picture that stands by itself."""

PAGE = (
    ":root{color-scheme:light dark}"
    "body{font:16px/1.5 system-ui,sans-serif;max-width:52rem;margin:2rem auto;padding:0 1rem;overflow-wrap:anywhere;"
    "--card:Canvas}svg{background:Canvas;color:CanvasText}"
)


def file(name: str, beside: Path) -> str:
    """SVG file of a topology, by its name or its path."""
    return svg(abstract(load_topology(wiring.file(name, beside))), alone=True) + "\n"


def page(name: str, beside: Path) -> str:
    """Page of a topology: picture, what the picture says, sources."""
    topology = load_topology(wiring.file(name, beside))
    own = abstract(topology)
    said = "".join(f"<li>{escape(line)}</li>" for line in words(own))
    cited = "".join(f"<li>{escape(line)}</li>" for line in topology.sources)
    return (
        f'<!doctype html><html lang="en"><head><meta charset="utf-8"><title>{escape(name)}</title>'
        f'<meta name="viewport" content="width=device-width,initial-scale=1"><style>{PAGE}</style></head><body>'
        f"<h1>{escape(name)}</h1><p>{escape(own.description)}</p>{svg(own)}"
        f"<h2>Links</h2><ul>{said}</ul><h2>Sources</h2><ul>{cited}</ul></body></html>\n"
    )


def svg(own: Abstract, alone: bool = False) -> str:
    """Picture of an abstracted interconnect; `alone` as a file of its own rather than a part of a page."""
    rows: dict[int, list[int]] = {}
    for place, group in enumerate(own.groups):
        rows.setdefault(group.depth, []).append(place)
    deepest = max(rows)
    wide = max(WIDTH, COLUMN * max(len(members) for members in rows.values()) + 60)
    spots = {
        member: (wide * (column + 0.5) / len(members), 44.0 + ROW * (deepest - depth))
        for depth, members in rows.items()
        for column, member in enumerate(members)
    }
    height = 44 + ROW * deepest + BOX / 2 + 16
    scale = max((bundle.bandwidth or bundle.share for bundle in own.bundles), default=1.0)
    parts = [_bundle(bundle, spots, scale) for bundle in own.bundles]
    parts += [_group(group, spots[place], _inner(own, place)) for place, group in enumerate(own.groups)]
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {wide:.0f} {height:.0f}" role="img" class="topology"'
        f' style="max-width:{wide:.0f}px;width:100%"><title>{escape(own.description)}</title>'
        f"<style>{STYLE}{ALONE if alone else ''}</style>{''.join(parts)}</svg>"
    )


def words(own: Abstract) -> list[str]:
    """Every bundle as a sentence."""
    found = []
    for bundle in own.bundles:
        one, other = own.groups[bundle.one], own.groups[bundle.other]
        where = "each other" if bundle.one == bundle.other else f"{other.size:,} {noun(other)}"
        joined = f", in {bundle.units} separate parts" if bundle.units > 1 else ""
        found.append(f"{one.size:,} {noun(one)} to {where}: {links(bundle)} each, {rate(bundle)}{joined}")
    return found


def rate(bundle: Bundle) -> str:
    """Bandwidth of one node over a bundle, one direction."""
    if bundle.bandwidth is not None:
        return f"{quantity(bundle.bandwidth, 'B/s')} each"
    return f"{number(bundle.share)} × {bundle.symbol or 'bandwidth'}"


def links(bundle: Bundle) -> str:
    """Links of one node over a bundle."""
    return f"{bundle.degree} {bundle.medium} link{'s' if bundle.degree > 1 else ''}"


def noun(group: Group) -> str:
    """What a group is made of."""
    return group.kind if group.size == 1 else PLURALS[group.kind]


def thickness(value: float, scale: float) -> float:
    """Width of a link: by the square root of its bandwidth, so that a tenth is still seen.

    >>> thickness(1.0, 1.0), thickness(0.0, 1.0)
    (14.0, 2.0)
    """
    return round(THINNEST + (THICKEST - THINNEST) * math.sqrt(min(value / scale, 1.0)), 1) if scale else THINNEST


def _inner(own: Abstract, place: int) -> Bundle | None:
    return next((bundle for bundle in own.bundles if bundle.one == bundle.other == place), None)


def _bundle(bundle: Bundle, spots: dict[int, tuple[float, float]], scale: float) -> str:
    """Line between two groups with what it carries, written on the side to which it leans."""
    if bundle.one == bundle.other:
        return ""
    (x1, y1), (x2, y2) = spots[bundle.one], spots[bundle.other]
    wide = thickness(bundle.bandwidth or bundle.share, scale)
    dash = "" if bundle.medium == "copper" else ' stroke-dasharray="10 5"'
    units = f"{bundle.units} separate parts" if bundle.units > 1 else ""
    lines = [line for line in (rate(bundle), links(bundle), units) if line]
    left = x2 < x1
    leaning = x1 != x2
    part = 0.4 if leaning else 0.5
    x = x1 + part * (x2 - x1) + (-1 if left else 1) * (10 + wide / 2)
    y = y1 + part * (y2 - y1) + (14 if leaning else 4 - 7 * (len(lines) - 1))
    end = "end" if left else "start"
    said = "".join(
        f'<text class="s" x="{x:.0f}" y="{y + 15 * row:.0f}" text-anchor="{end}">{escape(line)}</text>'
        for row, line in enumerate(lines)
    )
    return (
        f'<g class="link"><title>{escape(", ".join(lines))}</title>'
        f'<line x1="{x1:.0f}" y1="{y1:.0f}" x2="{x2:.0f}" y2="{y2:.0f}" stroke="{LINK}" stroke-opacity=".8"'
        f' stroke-width="{wide}"{dash}/>{said}</g>'
    )


def _group(group: Group, spot: tuple[float, float], inner: Bundle | None) -> str:
    """Box of a group: how many of what, a mark for each of the first dozen, how they are joined among themselves."""
    x, y = spot
    colour = COLOURS[group.kind]
    marks, step = min(group.size, DOTS), 12
    left = x - step * (marks - 1) / 2 - (8 if group.size > DOTS else 0)
    corner = 4 if group.kind == "switch" else 1
    dots = "".join(
        f'<rect x="{left + step * mark - 4:.0f}" y="{y + 9:.0f}" width="8" height="8" rx="{corner}" fill="{colour}"/>'
        for mark in range(marks)
    )
    more = f'<text class="s" x="{left + step * marks - 2:.0f}" y="{y + 18:.0f}">…</text>' if group.size > DOTS else ""
    title = escape(f"{group.size:,} {noun(group)}")
    return (
        f'<g class="group"><rect x="{x - WIDE / 2:.0f}" y="{y - BOX / 2:.0f}" width="{WIDE}" height="{BOX}" rx="8"'
        f' fill="var(--card,#fff)" stroke="{colour}" stroke-width="1.5"/>'
        f'<text class="t" x="{x:.0f}" y="{y - 4:.0f}" text-anchor="middle">{title}</text>{dots}{more}'
        f"{_among(group, spot, inner) if inner else ''}</g>"
    )


def _among(group: Group, spot: tuple[float, float], inner: Bundle) -> str:
    """How the members of a group are joined among themselves: a small figure and two lines beside the box."""
    x, y = spot[0] + WIDE / 2 + 12, spot[1]
    full = inner.degree >= group.size - 1
    shape = "full mesh" if full else "ring" if inner.degree == 2 else "lattice"
    lines = (f"{shape}: {links(inner)} each", rate(inner))
    said = "".join(
        f'<text class="s" x="{x + 46:.0f}" y="{y - 3 + 15 * row:.0f}">{escape(line)}</text>'
        for row, line in enumerate(lines)
    )
    return f'<g class="link">{_shape(shape, x + 20, y)}{said}</g>'


def _shape(shape: str, x: float, y: float) -> str:
    """Small figure of six joined points, or of nine on a lattice."""
    if shape == "lattice":
        points = [(x - 14 + 14 * column, y - 14 + 14 * row) for row in range(3) for column in range(3)]
        pairs = [(n, n + 1) for n in range(9) if n % 3 < 2] + [(n, n + 3) for n in range(6)]
    else:
        points = [(x + 17 * math.cos(math.tau * n / 6), y + 17 * math.sin(math.tau * n / 6)) for n in range(6)]
        ring = [(n, (n + 1) % 6) for n in range(6)]
        pairs = [(n, m) for n in range(6) for m in range(n)] if shape == "full mesh" else ring
    drawn = "".join(
        f'<line x1="{points[a][0]:.1f}" y1="{points[a][1]:.1f}" x2="{points[b][0]:.1f}" y2="{points[b][1]:.1f}"'
        f' stroke="{LINK}" stroke-width="1.5"/>'
        for a, b in pairs
    )
    dots = "".join(f'<circle cx="{a:.1f}" cy="{b:.1f}" r="3" fill="currentColor"/>' for a, b in points)
    return drawn + dots
