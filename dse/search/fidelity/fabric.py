r"""Paths of messages on the machine a device is sold in: scale-up domains behind switches, joined by network cards.

Used where a measurement names a device and not a topology. Coefficients are closed forms of the hierarchical
algorithms: reduce or gather inside the domain, exchange between domains, spread inside again.
"""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike

from dse.arrays import FloatArray
from dse.facts.devices import Accelerator
from dse.physics.demand import Mapping
from dse.physics.network import Path, expert_copies
from dse.physics.roofline import Links

CROSSING = 0.4e-6
"""Latency of one link crossing inside a domain [s]. Source: half the slope of measured collectives over rounds on
H100 and H200 (NCCL 2.29, AIConfigurator tables, Apache-2.0): 5.2 / 7.1 / 10.4 us for 1, 3 and 7 rounds."""

OUTER_CROSSING = 2.5e-6
"""Latency of one link crossing between domains [s]. Source: half of 5 us from device to device over InfiniBand or
RoCE, planner constant of AIConfigurator (Apache-2.0), range 1 to 10 us."""

SHARED_BUS = "PCIe"
"""Scale-up technologies with this name hang on a host tree that all devices share."""


class Machine(NamedTuple):
    """Two tiers of links as one device sees them."""

    domain: float
    """Devices of a scale-up domain [1]."""
    inner: float
    """Bandwidth inside, one direction per device [B/s]."""
    outer: float
    """Bandwidth between domains, one direction per device [B/s]."""
    shared: bool
    """True where the domain is a host tree without links of its own."""


def machine(device: Accelerator) -> Machine:
    """Links of a device as sold; a missing scale-out link is taken to be the host's.

    >>> from dse.facts.catalog import accelerator
    >>> machine(accelerator("h100_sxm")).inner
    450000000000.0
    """
    up, out, host = device.scale_up, device.scale_out, device.host_link
    outer = out.bandwidth if out else host.bandwidth if host else None
    inner = up.bandwidth if up and up.bandwidth else outer
    if inner is None:
        raise ValueError(f"{device.id} has no link")
    shared = bool(up and up.technology.startswith(SHARED_BUS.lower()))
    return Machine(float(up.domain or 1) if up else 1.0, inner, outer or inner, shared)


def links(device: Accelerator, mapping: Mapping, per_token: int) -> Links:
    """Paths of every message of an instance, (2, n) for the two tiers.

    Parameters
    ----------
    device : Accelerator               with its scale-up and scale-out links
    mapping : Mapping                  degrees of parallelism, (n,) [devices]
    per_token : int                    experts per token, 0 for dense models [1]

    Returns
    -------
    Links                              members of a group are next to each other
    """
    made = machine(device)
    tp, pp, dp, _, ep, cp = np.broadcast_arrays(*(np.asarray(degree, float) for degree in mapping))
    outward = np.minimum(ep, made.domain)
    copies = np.stack([np.full_like(ep, max(per_token, 1)), expert_copies(max(per_token, 1), np.ceil(ep / outward))])
    return Links(
        all_reduce=_reduction(made, tp),
        all_gather=_gather(made, tp),
        expert_gather=_gather(made, dp),
        exchange=_exchange(made, ep),
        context=_gather(made, cp),
        p2p=_single(made, pp, np.maximum(tp * dp * cp, 1)),
        copies=copies,
        expert_ranks=ep,
        direct=_direct(made, tp),
    )


def _path(made: Machine, steps: Sequence[ArrayLike], traffic: Sequence[ArrayLike], members: FloatArray) -> Path:
    """Path of two tiers; on a shared bus the devices of a group divide what one of them has."""
    inner = np.minimum(members, made.domain)
    bandwidth = np.full_like(members, made.inner) / (np.maximum(inner / 2, 1) if made.shared else 1)
    return Path(
        np.stack([np.asarray(step, float) for step in steps]),
        np.stack([np.asarray(share, float) for share in traffic]),
        np.array([[CROSSING], [OUTER_CROSSING]]),
        np.stack([bandwidth, np.full_like(members, made.outer)]),
    )


def _levels(made: Machine, members: FloatArray) -> tuple[FloatArray, FloatArray]:
    """Members inside a domain, and domains."""
    inner = np.minimum(members, made.domain)
    return inner, np.ceil(members / inner)


def _reduction(made: Machine, members: FloatArray) -> Path:
    """Ring in the domain, ring of what each member holds between domains."""
    inner, outer = _levels(made, members)
    steps = [4 * (inner - 1), 4 * (outer - 1)]
    return _path(made, steps, [2 * (inner - 1) / inner, 2 * (outer - 1) / outer / inner], members)


def _direct(made: Machine, members: FloatArray) -> Path:
    """Two rounds of everyone to everyone on each level."""
    inner, outer = _levels(made, members)
    steps = [4.0 * (inner > 1), 4.0 * (outer > 1)]
    return _path(made, steps, [2 * (inner - 1) / inner, 2 * (outer - 1) / outer / inner], members)


def _gather(made: Machine, members: FloatArray) -> Path:
    """Pieces between domains first, then everything inside."""
    inner, outer = _levels(made, members)
    return _path(made, [2 * (inner - 1), 2 * (outer - 1)], [(inner - 1) * outer, outer - 1], members)


def _exchange(made: Machine, members: FloatArray) -> Path:
    """Everyone to everyone: the share that stays inside and the share that leaves, at once."""
    inner, outer = _levels(made, members)
    away = (outer - 1) / outer
    inside = [2.0 * (members > 1), 2.0 * (outer > 1)]
    return _path(made, inside, [(1 - away) * (inner - 1) / inner, away], members)


def _single(made: Machine, stages: FloatArray, stage: FloatArray) -> Path:
    """To the next stage: inside the domain while the pipeline fits there."""
    leaves = stages * stage > made.domain
    present = stages > 1
    steps = [2.0 * (present & ~leaves), 2.0 * (present & leaves)]
    return _path(made, steps, [1.0 * (present & ~leaves), 1.0 * (present & leaves)], stages)
