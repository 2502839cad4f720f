"""Interconnects: from a file, or the scale-up domain that a device has of its own."""

from pathlib import Path
from typing import NamedTuple

from dse.facts import reader
from dse.facts.errors import Mistake, SpecError
from dse.facts.topology import spec
from dse.facts.topology.files import read_wiring
from dse.facts.topology.spec import Topology

__all__ = ["NATIVE_LIMIT", "Topology", "load_topology", "native"]

NATIVE_LIMIT = 1024
"""Largest native domain that is built; a larger pod is represented by this many of its devices."""

_MESH_LIMIT = 16
"""Largest domain in which every two devices have a link of their own."""
_FLAT_POD = 256
"""Largest pod of TPUs wired as a 2D torus (v5e, v6e; larger ones are 3D): Google Cloud TPU pages."""
_LEAF = 16
"""Devices on one leaf switch of a domain with two switch stages (assumed; the stages are non-blocking)."""


class _Native(NamedTuple):
    """How devices with one scale-up technology are wired."""

    words: tuple[str, ...]
    shape: str
    hop_latency: str
    source: str


_HALF_NVLINK = "half of 1.5 us between devices: fridayswithfaraday.com, NVLink and NVSwitch"
_CLOUDMATRIX = "a quarter of 1 us between nodes, four links apart: besthub.dev on CloudMatrix384"
_ICI = "about 1 us per hop: rule of thumb of the jax-ml scaling book"
_UALINK = "a quarter of a round trip of 1 us through a switch: tomshardware.com on UALink 200G 1.0"
_PCIE = "half of 3 us: fridayswithfaraday.com"

# The first row with a word of the technology's name decides; the last row takes everything else.
_NATIVE_SHAPES = (
    _Native(("2d torus",), "torus_2d", "1 us", _ICI),
    _Native(("3d torus", "neuronlink v3"), "torus_3d", "1 us", _ICI),
    _Native(("torus", "tpu", "ici"), "pod", "1 us", _ICI),
    _Native(("infinity fabric", "xgmi", "roce", "full mesh"), "full_mesh", "0.75 us", _HALF_NVLINK),
    _Native(("unified bus", "huawei ub", "ub"), "full_flat", "0.25 us", _CLOUDMATRIX),
    _Native(("ualink",), "switch", "0.25 us", _UALINK),
    _Native(("pcie",), "switch", "1.5 us", _PCIE),
    _Native(("",), "switch", "0.75 us", _HALF_NVLINK),
)


def load_topology(path: str | Path) -> Topology:
    """Topology of a file, with the graph beside it read in; SpecError names every mistake."""
    topology = reader.validate_file(Topology, path)
    if topology.file is None:
        return topology
    wiring = read_wiring(Path(path), topology.file)
    unknown = spec.tier_problem(topology.tiers, {edge.tier for edge in wiring.edges})
    if unknown:
        raise SpecError([Mistake(str(Path(path).parent / topology.file), 0, 0, "", unknown)])
    return topology.model_copy(update={"wiring": wiring})


def native(domain: int, technology: str, domains: int = 1) -> Topology:
    """One scale-up domain of a device's own size and kind, or several joined by a network of NICs.

    Parameters
    ----------
    domain : devices of the domain; 1 for parts without scale-up links
    technology : name of the scale-up technology, such as "NVLink 5", "infinity_fabric_mi300", "ICI 2D torus"
    domains : domains side by side; more than one adds the tier `scale_out`

    >>> native(8, "Infinity Fabric").generator.kind, native(64, "ICI 3D torus").generator.dims
    ('full_mesh', (4, 4, 4))
    """
    wired = _wired_natively(technology)
    size = max(1, min(domain, NATIVE_LIMIT // domains))
    inner = _shape(wired.shape, size)
    latency = spec.Latency(value=wired.hop_latency, source=wired.source, estimate=True)
    tiers = {"scale_up": spec.Tier(bandwidth="scale_up", hop_latency=latency)}
    generator: spec.Generator = inner
    if domains > 1:
        generator = spec.TwoTier(kind="two_tier", domain=inner, domains=domains, devices_per_leaf=domains)
        tiers["scale_out"] = _scale_out()
    description = f"{domains} x {size} devices on {technology}" if domains > 1 else f"{size} devices on {technology}"
    return Topology(description=description, tiers=tiers, generator=generator, sources=(wired.source,))


def _wired_natively(technology: str) -> _Native:
    name = technology.lower().replace("_", " ").replace("-", " ")
    padded = f" {name}"
    return next(row for row in _NATIVE_SHAPES if any(f" {word}" in padded for word in row.words))


def _shape(shape: str, devices: int) -> spec.Flat:
    if shape in ("torus_2d", "torus_3d", "pod"):
        flat = shape == "torus_2d" or (shape == "pod" and devices <= _FLAT_POD)
        return spec.Torus(kind="torus", dims=_near_cube(devices, 2 if flat else 3))
    if shape == "full_mesh" and devices <= _MESH_LIMIT:
        return spec.FullMesh(kind="full_mesh", devices=devices)
    if shape == "full_flat" and devices > _LEAF:
        return spec.FullFlat(kind="full_flat", devices=devices, devices_per_leaf=_LEAF)
    return spec.Switch(kind="switch", devices=devices)


def _scale_out() -> spec.Tier:
    source = "a quarter of 5 us between racks, four links apart: aiconfigurator planner constant"
    latency = spec.Latency(value="1.25 us", source=source, estimate=True)
    return spec.Tier(bandwidth="scale_out", hop_latency=latency, uplink_medium="optical")


def _near_cube(devices: int, dimensions: int) -> tuple[int, ...]:
    """Extents with the given product, as equal as can be, the longest first.

    >>> _near_cube(256, 2), _near_cube(1024, 3), _near_cube(7, 2)
    ((16, 16), (16, 8, 8), (7, 1))
    """
    if dimensions == 1:
        return (devices,)
    root = round(devices ** (1 / dimensions))
    smallest = max(extent for extent in range(1, root + 1) if devices % extent == 0)
    return (*_near_cube(devices // smallest, dimensions - 1), smallest)
