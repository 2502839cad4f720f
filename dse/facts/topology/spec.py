"""What an interconnect file may say: a generator with sizes, or nodes and edges, and the tiers of its links.

A tier is one kind of link. Its bandwidth is one direction per device, summed over the device's links, and is
either a symbol (`scale_up`, `scale_out`, `optical`) that the device or a lever fills in, or a fixed quantity.
A link carries a `share` of that bandwidth: 1 is the whole bandwidth of one device.
"""

from collections.abc import Mapping
from typing import Annotated, Literal, Self, TypeAlias, get_args

from pydantic import BeforeValidator, Field, model_validator

from dse.facts.errors import did_you_mean, listed
from dse.facts.quantities import Flag, Quantity, Seconds, Strict

Symbol: TypeAlias = Literal["scale_up", "scale_out", "optical"]
Medium: TypeAlias = Literal["copper", "optical"]

SYMBOLS: tuple[Symbol, ...] = get_args(Symbol)
MAX_DEVICES = 2048
"""Accelerators in one topology: routing keeps all pairs, so memory grows with the square."""


def _bandwidth(text: object) -> object:
    if isinstance(text, str) and not text[:1].isdigit():
        if text in SYMBOLS:
            return text
        hint = did_you_mean(text, SYMBOLS)
        raise ValueError(f'"{text}": expected {", ".join(SYMBOLS)} or a quantity such as "450 GB/s".{hint}')
    return Quantity("B/s", positive=True).read(text)


Size: TypeAlias = Annotated[int, Field(ge=1, le=MAX_DEVICES)]
Share: TypeAlias = Annotated[float, Field(gt=0)]
Oversubscription: TypeAlias = Annotated[float, Field(ge=1)]


class Latency(Strict):
    """Time to cross one link, half of the switch behind it included."""

    value: Seconds
    """Time of one link crossing [s]; a path of two links through a switch costs two."""
    source: str
    """Where the number comes from."""
    estimate: Flag = False
    """Vendor claim, derived or secondary."""


class Tier(Strict):
    """One kind of link."""

    bandwidth: Annotated[Symbol | float, BeforeValidator(_bandwidth)]
    """One direction per device: a symbol filled in by device or lever, or a fixed quantity [B/s]."""
    hop_latency: Latency
    """Time to cross one link of the tier."""
    medium: Medium = "copper"
    """Of links that end at an accelerator or memory node."""
    uplink_medium: Medium | None = None
    """Of links between switches; the same as `medium` when absent."""
    scope: Literal["domain", "system"] | None = None
    """Whether its links make one load/store domain; by default only a `scale_up` tier does."""
    in_network_reduction: Flag = False
    """Switches add up messages, so that an all-reduce sends each message once."""

    @property
    def joins_domain(self) -> bool:
        """Whether devices reachable over this tier are one scale-up domain."""
        return self.scope == "domain" if self.scope else self.bandwidth == "scale_up"


class Switch(Strict):
    """One switch stage: every device has one link to each of `planes` switches."""

    kind: Literal["switch"]
    devices: Size
    planes: Size = 1
    """Parallel switches; a link carries 1/planes of the device's bandwidth."""
    tier: str = "scale_up"


class FullMesh(Strict):
    """A direct link between every two devices."""

    kind: Literal["full_mesh"]
    devices: Size
    tier: str = "scale_up"


class Ring(Strict):
    """Each device linked to two neighbours."""

    kind: Literal["ring"]
    devices: Size
    tier: str = "scale_up"


class Torus(Strict):
    """A lattice closed in every dimension; devices are numbered along the last dimension first."""

    kind: Literal["torus"]
    dims: tuple[Size, ...] = Field(min_length=1, max_length=6)
    tier: str = "scale_up"


class HyperX(Strict):
    """A lattice with a full mesh along every dimension, of switches or of the devices themselves."""

    kind: Literal["hyperx"]
    dims: tuple[Size, ...] = Field(min_length=1, max_length=6)
    devices_per_switch: int = Field(default=0, ge=0, le=MAX_DEVICES)
    """0: the devices themselves stand at the lattice points."""
    trunk: Share = 1
    """Share of a link between two switches."""
    tier: str = "scale_up"


class FatTree(Strict):
    """Folded Clos of switches with `radix` ports: radix^2/2 devices on two levels, radix^3/4 on three."""

    kind: Literal["fat_tree"]
    radix: Annotated[int, Field(ge=2, le=128, multiple_of=2)]
    levels: Literal[2, 3] = 3
    oversubscription: Oversubscription = 1
    tier: str = "scale_up"


class FullFlat(Strict):
    """All devices at their full bandwidth on one flat two-level optical fabric."""

    kind: Literal["full_flat"]
    devices: Size
    devices_per_leaf: Size
    oversubscription: Oversubscription = 1
    tier: str = "scale_up"


class Dragonfly(Strict):
    """Groups of fully meshed routers; every two groups joined by the same number of global links."""

    kind: Literal["dragonfly"]
    groups: Size
    routers: Size
    """Routers of a group."""
    devices_per_router: Size
    global_links: Size
    """Global links of a router."""
    trunk: Share = 1
    """Share of a link between two routers."""
    tier: str = "scale_up"

    @model_validator(mode="after")
    def _all_groups_reachable(self) -> Self:
        if self.routers * self.global_links < self.groups - 1:
            ports = self.routers * self.global_links
            raise ValueError(f"a group has {ports} global links but {self.groups - 1} other groups: add `global_links`")
        return self


Flat: TypeAlias = Annotated[
    Switch | FullMesh | Ring | Torus | HyperX | FatTree | FullFlat | Dragonfly, Field(discriminator="kind")
]


class TwoTier(Strict):
    """Scale-up domains joined by a leaf-spine network of NICs."""

    kind: Literal["two_tier"]
    domain: Flat
    """One scale-up domain."""
    domains: Size
    devices_per_leaf: Size
    """Devices on one leaf switch."""
    rails: Flag = True
    """Leaf switches join devices of the same position in each domain; otherwise neighbours of one domain."""
    oversubscription: Oversubscription = 1
    tier: str = "scale_out"


class OpticalPool(Strict):
    """Scale-up domains and pooled memory joined by optical circuit switches."""

    kind: Literal["optical_pool"]
    domain: Flat
    domains: Size = 1
    appliances: Size
    """Memory nodes."""
    appliance_share: Share
    """Bandwidth of a memory node in units of one device's optical bandwidth."""
    planes: Size = 1
    """Parallel optical switches."""
    tier: str = "optical"


Generator: TypeAlias = Annotated[
    Switch | FullMesh | Ring | Torus | HyperX | FatTree | FullFlat | Dragonfly | TwoTier | OpticalPool,
    Field(discriminator="kind"),
]


class Node(Strict):
    """A node of an arbitrary graph."""

    kind: Literal["accelerator", "switch", "memory"] = "accelerator"
    role: Literal["prefill", "decode", "any"] = "any"


class Edge(Strict):
    """A link of an arbitrary graph, the same in both directions; parallel ones add up."""

    ends: tuple[str, str]
    tier: str
    share: Share = 1
    """Of the bandwidth of the tier; unequal links have unequal shares."""
    links: Size = 1
    """Physical links that make up this edge (counts only)."""
    medium: Medium | None = None
    """Instead of the medium of the tier."""


class Wiring(Strict):
    """An arbitrary graph."""

    nodes: dict[str, Node]
    edges: tuple[Edge, ...]

    @model_validator(mode="after")
    def _ends_exist(self) -> Self:
        for edge in self.edges:
            for end in edge.ends:
                if end not in self.nodes:
                    raise ValueError(f"edge to `{end}`, which is no node.{did_you_mean(end, self.nodes)}")
            if edge.ends[0] == edge.ends[1]:
                raise ValueError(f"edge from `{edge.ends[0]}` to itself")
        return self


class Topology(Strict):
    """One interconnect: exactly one of `generator`, `file` (GraphML, node-link JSON) and `wiring`."""

    description: str
    tiers: dict[str, Tier] = Field(min_length=1)
    generator: Generator | None = None
    file: str | None = None
    wiring: Wiring | None = None
    """Nodes and edges; filled in from `file` where one is named."""
    sources: tuple[str, ...] = Field(min_length=1)

    @model_validator(mode="after")
    def _one_graph(self) -> Self:
        given = [name for name in ("generator", "file", "wiring") if getattr(self, name) is not None]
        if len(given) != 1:
            found = f"found {' and '.join(given)}" if given else "found none"
            raise ValueError(f"exactly one of `generator`, `file` or `wiring` is expected, {found}")
        return self

    @model_validator(mode="after")
    def _tiers_exist(self) -> Self:
        unknown = tier_problem(self.tiers, _tiers_named(self))
        if unknown:
            raise ValueError(unknown)
        return self


def tier_problem(tiers: Mapping[str, Tier], named: set[str]) -> str:
    """Sentence about the first tier that is named but not described, or nothing."""
    for name in sorted(named - set(tiers)):
        return f"tier `{name}` is not described in `tiers`.{did_you_mean(name, tiers)} Known: {listed(tiers)}"
    return ""


def _tiers_named(topology: Topology) -> set[str]:
    if topology.wiring:
        return {edge.tier for edge in topology.wiring.edges}
    if topology.generator is None:
        return set()
    inner = getattr(topology.generator, "domain", topology.generator)
    return {topology.generator.tier, inner.tier}
