"""Three good designs, and the best of each objective: what each is, what limits it, where its money goes."""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from dse.insight import wording
from dse.insight.report import bars, designs, markup, system
from dse.insight.report.bars import Part
from dse.insight.report.card import Card
from dse.insight.report.scene import Scene
from dse.insight.verdict import Limit

LIMITS = 5
"""Nearest limits of a design that are drawn."""

SMALLEST = 0.015
"""Parts of a price below this are put together [1]."""


@dataclass(frozen=True)
class Standing:
    """One metric of a design among the front."""

    label: str
    value: str
    place: float
    """0 is the worst of the front, 1 the best, on a logarithmic scale [1]."""
    worst: str
    best: str


@dataclass(frozen=True)
class Knee:
    """One design."""

    letter: str
    place: int
    """Row of the page's table."""
    reason: str
    line: str
    extras: tuple[str, ...]
    standing: tuple[Standing, ...]
    terms: Mapping[str, tuple[str, tuple[Part, ...]]]
    """Class -> time per output token and its terms."""
    limits: tuple[Limit, ...]
    price: tuple[Part, ...]
    """Parts of the cost of a task."""
    cost: str
    picture: str
    """Thumbnail of the system, SVG."""


def data(scene: Scene) -> tuple[Knee, ...]:
    """Lettered designs, at most five."""
    place = {row: number for number, row in enumerate(scene.rows.tolist())}
    return tuple(_knee(scene, pick.row, pick.letter, pick.reason, place[pick.row]) for pick in scene.shown)


def card(scene: Scene) -> Card:
    """Cards of the designs."""
    found = data(scene)
    names = dict.fromkeys(part.name for knee in found for _, parts in knee.terms.values() for part in parts)
    body = "".join(_html(knee) for knee in found) + _reading(list(names))
    return Card(
        "knees",
        "Designs to discuss",
        "Which few should I look at?",
        f'<div class="knees">{body}</div>',
    )


def _knee(scene: Scene, row: int, letter: str, reason: str, place: int) -> Knee:
    made = scene.explained(row)
    terms = {}
    for own in made.classes:
        section = own.sections["tpot"]
        total = sum(term.value for term in section.terms)
        parts = tuple(Part(t.name, t.share or 0.0, wording.quantity(t.value, "s")) for t in section.terms)
        terms[own.name] = (wording.quantity(total, "s"), parts)
    cost = float(scene.values("cost", [row])[0])
    return Knee(
        letter=letter,
        place=place,
        reason=reason,
        line=wording.design(made.levers, scene.front.mapping(row), scene.agents, scene.short),
        extras=made.extras,
        standing=standing(scene, row),
        terms=terms,
        limits=made.limits[:LIMITS],
        price=price(scene, row),
        cost=wording.quantity(cost, "$/task"),
        picture=system.svg(system.facts(scene, row), small=True),
    )


def standing(scene: Scene, row: int) -> tuple[Standing, ...]:
    """Objectives and latencies of a design between the ends of the front."""
    found = []
    for item in designs.measures(scene)[:5]:
        column = scene.values(item.key, range(len(scene.front))) / item.scale
        low, high = float(column.min()), float(column.max())
        value = float(column[row])
        worst, best = (low, high) if item.maximize else (high, low)
        spread = np.log10(best / worst) if worst > 0 and best > 0 and best != worst else 0.0
        place = float(np.log10(value / worst) / spread) if spread else 1.0
        unit = item.label.rpartition(" [")[2].rstrip("]")
        label = item.label.rpartition(" [")[0]
        ends = [f"{wording.number(end)} {unit}".removesuffix(" 1") for end in (worst, best)]
        found.append(Standing(label, f"{wording.number(value)} {unit}".removesuffix(" 1"), place, *ends))
    return tuple(found)


def price(scene: Scene, row: int) -> tuple[Part, ...]:
    """Parts of the cost of a task of the mixture, the largest first."""
    sums: dict[str, float] = {}
    for own, share in zip(scene.explained(row).classes, scene.shares, strict=True):
        for term in own.sections["cost"].terms:
            sums[term.name] = sums.get(term.name, 0.0) + float(share) * term.value
    total = sum(sums.values())
    large = {name: value for name, value in sums.items() if value / total >= SMALLEST}
    rest = total - sum(large.values())
    ordered = sorted(large.items(), key=lambda item: -item[1])
    if rest > 0:
        ordered.append(("other", rest))
    return tuple(Part(name, value / total, wording.quantity(value, "$/task")) for name, value in ordered)


def _reading(names: list[str]) -> str:
    """How to read the cards."""
    hints = (
        "Letters follow the front from cheap to fast; the same letters stand on the map and in the terminal.",
        "A full bar among the front is the best of the front, an empty one its worst; the scale is logarithmic.",
        "A full limit binds. Less than 5 % left is drawn in red.",
        "Times per output token are those with every slot busy, which the target is held against.",
    )
    return (
        '<article class="knee reading"><h3>How to read these cards</h3>'
        f"{markup.listing(hints)}<h4>Colours of the terms</h4>{bars.legend(names)}</article>"
    )


def _html(knee: Knee) -> str:
    standing = "".join(bars.position(s.label, s.value, s.place, (s.worst, s.best)) for s in knee.standing)
    terms = "".join(bars.stacked(name, value, parts) for name, (value, parts) in knee.terms.items())
    limits = "".join(bars.limit(own.name, own.slack) for own in knee.limits)
    extras = markup.paragraph(", ".join(knee.extras), "quiet") if knee.extras else ""
    buttons = (
        '<p class="buttons script">'
        f'<button data-select="{knee.place}">show on all figures</button>'
        f'<button data-pin="{knee.place}">pin</button><button data-yaml="{knee.place}">copy YAML</button></p>'
    )
    names, shares = [part.name for part in knee.price], [wording.percent(part.share) for part in knee.price]
    return (
        f'<article class="knee" id="design-{markup.text(knee.letter)}">'
        f'<h3><span class="letter">{markup.text(knee.letter)}</span>{markup.text(knee.reason)}</h3>'
        f"{markup.paragraph(knee.line, 'line')}{extras}{knee.picture}"
        f"<h4>Among the front: worst left, best right</h4>{standing}"
        f"<h4>What fills the time per output token</h4>{terms}"
        f"<h4>Nearest limits</h4>{limits}"
        f"<h4>Where the money goes</h4>{bars.stacked('cost', knee.cost, knee.price)}"
        f"{bars.legend(names, shares)}{buttons}</article>"
    )
