"""The selected design as a picture, and the fabrics of the lettered designs."""

from collections.abc import Mapping
from dataclasses import dataclass

from dse.facts.topology.network import load_topology, native
from dse.facts.topology.spec import Topology
from dse.insight import wording
from dse.insight.report import markup, system
from dse.insight.report.card import Card
from dse.insight.report.scene import Scene
from dse.insight.report.system import System
from dse.insight.topology_abstract import Abstract, abstract
from dse.insight.topology_picture import svg, thickness, words
from dse.search.scoring.plan import NATIVE


@dataclass(frozen=True)
class Fabric:
    """Interconnect of one pool of one design."""

    name: str
    device: str
    picture: Abstract


@dataclass(frozen=True)
class Pictures:
    """Systems of the lettered designs, and the fabrics they use."""

    letters: tuple[str, ...]
    places: tuple[int, ...]
    """Row of the page's table, per letter."""
    systems: tuple[System, ...]
    """Of every row of the page's table."""
    fabrics: Mapping[str, Fabric]
    uses: Mapping[str, tuple[str, ...]]
    """Letter -> keys of its fabrics."""


def data(scene: Scene) -> Pictures:
    """Systems of all listed rows, fabrics of the lettered ones."""
    rows = scene.rows.tolist()
    fabrics: dict[str, Fabric] = {}
    uses: dict[str, tuple[str, ...]] = {}
    for pick in scene.picks:
        own = _fabrics(scene, pick.row)
        fabrics |= own
        uses[pick.letter] = tuple(own)
    return Pictures(
        letters=tuple(pick.letter for pick in scene.picks),
        places=tuple(rows.index(pick.row) for pick in scene.picks),
        systems=tuple(system.facts(scene, row) for row in rows),
        fabrics=fabrics,
        uses=uses,
    )


def card(scene: Scene) -> Card:
    """Card of the pictures."""
    own = data(scene)
    keys = "".join(
        f'<span><i style="background:{colour}"></i>{markup.text(name)}</span>' for _, colour, name in system.BUSY
    )
    first = own.places[0]
    shown = system.svg(own.systems[first])
    said = "Link width is bandwidth, link colour is the utilisation of its busiest link. Select a design on any figure."
    fabrics = "".join(
        f"<figure><figcaption><b>{markup.text(fabric.name)}</b> with {markup.text(fabric.device)}: "
        f"{markup.text(fabric.picture.description)} Used by "
        f"{markup.text(', '.join(letter for letter, keys in own.uses.items() if key in keys))}.</figcaption>"
        f"{svg(fabric.picture)}{markup.listing(words(fabric.picture), 'quiet')}</figure>"
        for key, fabric in own.fabrics.items()
    )
    body = (
        markup.paragraph(said, "lead")
        + f'<p id="chosen">{markup.text(own.letters[0])}: {markup.text(own.systems[first].title)}</p>'
        + f'<div id="system">{shown}</div><p class="key">{keys}</p>'
        + '<div id="chosen-facts"></div><p class="buttons script"><button id="pin-chosen">pin</button></p>'
        + markup.details(f"{len(own.fabrics)} fabrics of the lettered designs", f'<div class="fabrics">{fabrics}</div>')
    )
    return Card(
        "topology",
        "Topology of the selected design",
        "What does it look like?",
        body,
        state={"first": first, "systems": [_json(item) for item in own.systems]},
    )


def _json(own: System) -> dict[str, object]:
    colour, _ = system.busy(own.utilisation)
    return {
        "pools": [list(pool) for pool in own.pools],
        "rate": wording.quantity(own.bandwidth, "B/s"),
        "width": thickness(own.bandwidth, system.WIDEST),
        "colour": colour,
        "busy": f"{wording.percent(own.utilisation)} busy",
        "medium": own.medium,
        "shared": own.shared,
    }


def _fabrics(scene: Scene, row: int) -> dict[str, Fabric]:
    """Key -> fabric of each pool of a design."""
    levers, problem = scene.front.levers(row), scene.opened.problem
    found = {}
    for pool in ("decode",) if levers["serving"] == "colocated" else ("prefill", "decode"):
        name, kind = str(levers[f"{pool}.topology"]), str(levers[f"{pool}.device"])
        device = problem.devices[kind]
        light = levers.get("optical_bandwidth", 0.0)
        rates = {"optical": float(light)} if isinstance(light, int | float) and light > 0 else {}
        for tier, link in (("scale_up", device.scale_up), ("scale_out", device.scale_out)):
            if link is not None and link.bandwidth:
                rates[tier] = float(link.bandwidth)
        found[f"{name}/{kind}"] = Fabric(
            name, scene.short.get(kind, kind), abstract(_topology(scene, name, kind), rates)
        )
    return found


def _topology(scene: Scene, name: str, kind: str) -> Topology:
    if name != NATIVE:
        return load_topology(scene.opened.problem.topologies[name])
    own = scene.opened.problem.devices[kind].scale_up
    return native(own.domain or 1, own.technology or "") if own else native(1, "")
