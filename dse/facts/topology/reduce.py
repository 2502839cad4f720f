"""A graph reduced to coefficients, once: arrays that evaluation multiplies with messages and bandwidths."""

import contextlib
import hashlib
import json
import os
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from importlib import resources
from pathlib import Path
from typing import Any

import numpy as np

from dse.arrays import FloatArray, IntArray
from dse.facts.topology.collectives import OPS, collectives, domain_size, group_sizes
from dse.facts.topology.flow import bisection_cuts, counts, memory_cuts, transfer_cuts
from dse.facts.topology.graph import graph
from dse.facts.topology.routing import Routing, fabric, route
from dse.facts.topology.spec import Topology


@dataclass(frozen=True)
class Coefficients:
    """What evaluation needs of one topology. `t` counts tiers, `g` group sizes, `c` cuts, `o` operations."""

    ops: tuple[str, ...]
    tiers: tuple[str, ...]
    bandwidth: tuple[str, ...]
    """Symbol of each tier's bandwidth: `scale_up`, `scale_out`, `optical`, or "fixed"."""
    fixed_bandwidth: FloatArray
    """(t,) one direction per device [B/s]; 0 where the bandwidth is a symbol."""
    hop_latency: FloatArray
    """(t,) time to cross one link [s]."""
    devices: int
    domain: int
    """Devices of the smallest scale-up domain."""
    memory_nodes: int
    sizes: IntArray
    """(g,) group sizes, ascending."""
    steps: FloatArray
    """(o, g, t) links crossed one after the other."""
    traffic: FloatArray
    """(o, g, t) time per byte held and per 1/bandwidth."""
    transfer: FloatArray
    """(c, t) cuts from prefill to decode devices, per prefill device."""
    memory_flow: FloatArray
    """(c, t) cuts from accelerators to memory nodes, per accelerator; zero without memory nodes."""
    bisection: FloatArray
    """(c, t) cuts between halves, per device of one half."""
    mean_hops: FloatArray
    """(t,) links crossed by a message between two random devices."""
    links: FloatArray
    """(t,) links per device."""
    switch_ports: FloatArray
    """(t,) ends of links at switches per device."""
    optical_ports: FloatArray
    """(t,) ends of optical links per device."""
    link_capacity: FloatArray
    """(t,) links per device, weighted by share."""
    switch_port_capacity: FloatArray
    """(t,) switch ports per device, weighted by share."""
    optical_port_capacity: FloatArray
    """(t,) optical ports per device, weighted by share."""


def group_index(sizes: IntArray, members: IntArray) -> IntArray:
    """Index of the least listed group size that holds `members`; `sizes.size` where none does.

    A group of a size not listed is charged as the next larger listed one.

    >>> group_index(np.array([1, 2, 4, 8]), np.array([1, 3, 8, 9])).tolist()
    [0, 2, 3, 4]
    """
    return np.searchsorted(sizes, members).astype(np.int64)


def tier_bandwidths(coefficients: Coefficients, supply: Mapping[str, FloatArray | float]) -> FloatArray:
    """Bandwidth of each tier, (n, t) [B/s]; `supply` holds (n,) values [B/s] of the symbols that occur."""
    columns = [
        np.asarray(fixed if symbol == "fixed" else supply[symbol], dtype=np.float64)
        for symbol, fixed in zip(coefficients.bandwidth, coefficients.fixed_bandwidth, strict=True)
    ]
    return np.stack(np.broadcast_arrays(*columns), axis=-1)


def flow_bandwidth(cuts: FloatArray, bandwidths: FloatArray) -> FloatArray:
    """Max flow per device: the least cut at the given bandwidths.

    Equation: F = min over cuts c of sum over tiers t of cuts[c, t] * bandwidths[..., t]

    Parameters
    ----------
    cuts : (c, t) array        `transfer`, `memory_flow` or `bisection` of the coefficients [1]
    bandwidths : (..., t)      one direction per device [B/s]

    >>> float(flow_bandwidth(np.array([[1.0, 0.0], [0.0, 0.5]]), np.array([450e9, 50e9])))
    25000000000.0
    """
    least: FloatArray = (bandwidths[..., None, :] * cuts).sum(axis=-1).min(axis=-1)
    return least


def reduce(topology: Topology, cache: Path | None = None) -> Coefficients:
    """Coefficients of a topology, from the cache where the same topology was reduced by the same code before.

    Parameters
    ----------
    topology : the interconnect
    cache : folder; by default `dse/topologies` in the user's cache folder. An unwritable one is not used
    """
    folder = cache or _user_cache()
    stored = folder / f"{_key(topology)}.npz"
    found = _load(stored)
    if found is None:
        found = derive(topology)
        _store(stored, found)
    return found


def derive(topology: Topology) -> Coefficients:
    """Coefficients of a topology, computed."""
    network = fabric(topology, graph(topology))
    routing = route(network)
    described = tuple(topology.tiers.values())
    sizes = group_sizes(network)
    in_network = tuple(tier.in_network_reduction for tier in described)
    costs = [collectives(routing, int(size), in_network) for size in sizes]
    symbols = tuple(tier.bandwidth if isinstance(tier.bandwidth, str) else "fixed" for tier in described)
    return _read_only(
        Coefficients(
            ops=OPS,
            tiers=network.tiers,
            bandwidth=symbols,
            fixed_bandwidth=np.array([0.0 if isinstance(t.bandwidth, str) else t.bandwidth for t in described]),
            hop_latency=np.array([tier.hop_latency.value for tier in described]),
            devices=network.devices,
            domain=domain_size(network),
            memory_nodes=network.memory.size,
            sizes=sizes,
            steps=np.array([[cost[op].steps for cost in costs] for op in OPS]),
            traffic=np.array([[cost[op].traffic for cost in costs] for op in OPS]),
            transfer=transfer_cuts(network),
            memory_flow=memory_cuts(network),
            bisection=bisection_cuts(network),
            mean_hops=_mean_hops(routing),
            **counts(network),
        )
    )


def _mean_hops(routing: Routing) -> FloatArray:
    devices = routing.fabric.devices
    total: FloatArray = routing.hops.sum(axis=(0, 1))
    return total / max(devices * (devices - 1), 1)


def _read_only(coefficients: Coefficients) -> Coefficients:
    for value in vars(coefficients).values():
        if isinstance(value, np.ndarray):
            value.flags.writeable = False
    return coefficients


def _user_cache() -> Path:
    base = os.environ.get("XDG_CACHE_HOME") or os.environ.get("LOCALAPPDATA")
    return (Path(base) if base else Path.home() / ".cache") / "dse" / "topologies"


def _key(topology: Topology) -> str:
    """Hash of the topology and of the code that reduces it: a change of either makes a new entry."""
    content = hashlib.sha256(topology.model_dump_json().encode())
    for module in sorted(resources.files("dse.facts.topology").iterdir(), key=lambda entry: entry.name):
        if module.name.endswith(".py"):
            content.update(module.read_bytes())
    content.update(np.__version__.encode())
    return content.hexdigest()


def _load(stored: Path) -> Coefficients | None:
    """Stored coefficients; None where there are none or the file is damaged."""
    try:
        with stored.open("rb") as file, np.load(file, allow_pickle=False) as archive:
            plain = json.loads(str(archive["plain"]))
            fields: dict[str, Any] = {name: archive[name] for name in archive.files if name != "plain"}
        fields |= {name: tuple(value) if isinstance(value, list) else value for name, value in plain.items()}
        return _read_only(Coefficients(**fields))
    except Exception:  # a damaged file can fail in any step of unpacking, with any error
        return None


def _store(stored: Path, coefficients: Coefficients) -> None:
    """Write whole or not at all, so that two processes cannot disturb each other."""
    fields = asdict(coefficients)
    arrays: dict[str, Any] = {name: value for name, value in fields.items() if isinstance(value, np.ndarray)}
    plain = {name: value for name, value in fields.items() if name not in arrays}
    partial = stored.with_suffix(f".{os.getpid()}.partial")
    try:
        stored.parent.mkdir(parents=True, exist_ok=True)
        with partial.open("wb") as file:
            np.savez(file, plain=np.array(json.dumps(plain)), **arrays)
        partial.replace(stored)
    except OSError:
        with contextlib.suppress(OSError):
            partial.unlink(missing_ok=True)
