"""Bill of materials of a design for a stated load, in whole instances: devices, memory, links, power, dollars."""

import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, NamedTuple

from dse.insight import wording
from dse.insight.case import Case, ClassCase
from dse.insight.decision.outlay import finance
from dse.physics.cost import SECONDS_PER_HOUR
from dse.search.evaluation import DEGREES
from dse.search.scoring.block import Side
from dse.search.scoring.plan import NATIVE

ROUNDING = 1e-9
"""An instance that is needed to less than this part is none [1]."""


class Part(NamedTuple):
    """Devices of one type that do one thing for one class of agents."""

    agent: str
    role: str
    """prefill, decode or attention."""
    device: str
    instances: int
    """Copies of the model; of attention devices, those they belong to."""
    per_instance: float
    """Devices of an instance."""
    needed: float
    """Devices that the load needs before whole instances are bought."""
    power: float
    """Facility power of all of them [W]."""
    hourly: float
    """Price of all of them [$/h]."""
    capital: float
    """Capital of all of them [$]."""

    @property
    def devices(self) -> int:
        """Devices bought."""
        return math.ceil(self.instances * self.per_instance - ROUNDING)


@dataclass(frozen=True)
class Materials:
    """What a system for a load consists of."""

    load: float
    """Tasks per second [task/s]."""
    parts: tuple[Part, ...]
    package_memory: float
    """Memory in the packages of all devices [B]."""
    host_memory: float
    """Host DRAM, what comes with the hosts included [B]."""
    pool_memory: float
    """Shared pool [B]."""
    optics: float
    """Optical bandwidth of all devices, one direction [B/s]."""
    fabrics: tuple[tuple[str, str, str], ...]
    """Pool, interconnect, links of a device in words."""

    @property
    def devices(self) -> int:
        """Devices in all."""
        return sum(part.devices for part in self.parts)

    @property
    def power(self) -> float:
        """Facility power [W]."""
        return sum(part.power for part in self.parts)

    @property
    def hourly(self) -> float:
        """Price [$/h]."""
        return sum(part.hourly for part in self.parts)

    @property
    def capital(self) -> float:
        """Capital [$]."""
        return sum(part.capital for part in self.parts)

    @property
    def cost(self) -> float:
        """Of a task, rounding to whole instances included [$/task]."""
        return self.hourly / SECONDS_PER_HOUR / self.load

    @property
    def by_type(self) -> dict[str, int]:
        """Device type -> devices bought."""
        found: dict[str, int] = {}
        for part in self.parts:
            found[part.device] = found.get(part.device, 0) + part.devices
        return found

    def json(self) -> dict[str, Any]:
        """For programs."""
        totals = {name: getattr(self, name) for name in ("devices", "power", "hourly", "capital", "cost", "by_type")}
        sizes = {
            name: getattr(self, name) for name in ("load", "package_memory", "host_memory", "pool_memory", "optics")
        }
        parts = [{**part._asdict(), "devices": part.devices} for part in self.parts]
        return {**sizes, **totals, "parts": parts, "fabrics": [list(line) for line in self.fabrics]}


def materials(own: Case, load: float) -> Materials:
    """Bill of a design that serves a load [task/s]."""
    parts = tuple(part for item in own.classes for part in _parts(own, item, load))
    return Materials(
        load=load,
        parts=parts,
        package_memory=sum(part.devices * _package(own, part) for part in parts),
        host_memory=sum(part.devices * _host(own, part) for part in parts),
        pool_memory=_pooled(own, parts),
        optics=sum(part.devices for part in parts) * float(own.block.optical_bandwidth[0]),
        fabrics=tuple(_fabrics(own, parts)),
    )


def _parts(own: Case, item: ClassCase, load: float) -> Iterator[Part]:
    """Devices of one class in both pools."""
    agent = own.plan.classes[item.index].agent
    steps = load * agent.share * item.at.shape.steps
    for role in ("prefill", "decode"):
        seconds = float(getattr(item.columns, f"{role}_seconds")[0])
        if seconds <= 0 or (role == "prefill" and item.colocated):
            continue
        size = math.prod(item.mapping[f"{role}.{degree}"] for degree in DEGREES)
        needed = steps * seconds
        instances = math.ceil(needed / size - ROUNDING)
        side: Any = getattr(item.at, role)
        hourly, power = float(side.hourly[0]), float(side.power[0])
        capital = _capital(own, hourly, power)
        count = instances * size
        pool = own.block.prefill if role == "prefill" else own.block.decode
        option = item.mapping[f"{role}.type"]
        device = own.plan.devices[int(pool.device[0, option])]
        ratio = _attention(own, item, pool, hourly, role)
        if not ratio:
            yield Part(item.name, role, device, instances, size, needed, count * power, count * hourly, count * capital)
            continue
        # The price of a device of the model side carries the attention devices that go with it.
        alone = float(pool.hourly[0, 0]), float(pool.power[0, 0])
        base = _capital(own, *alone)
        yield Part(item.name, role, device, instances, size, needed, count * alone[1], count * alone[0], count * base)
        second = own.plan.devices[int(pool.device[0, 1])]
        rest = (count * (power - alone[1]), count * (hourly - alone[0]), count * (capital - base))
        yield Part(item.name, "attention", second, instances, size * ratio, needed * ratio, *rest)


def _attention(own: Case, item: ClassCase, pool: Side, hourly: float, role: str) -> float:
    """Attention devices per device of the model side; zero where attention is not offloaded."""
    if role == "prefill" or not bool(own.block.offloaded[0]):
        return 0.0
    owner = item.home != "prefill"
    second = float(pool.hourly[0, 1]) + owner * float(pool.pool_hourly[0, 1])
    return (hourly - float(pool.hourly[0, 0])) / second


def _capital(own: Case, hourly: float, power: float) -> float:
    """Capital behind an hourly price [$]."""
    rate, energy = finance(own.plan.problem.prices, {})
    return (hourly - float(energy[0]) * power) / float(rate[0])


def _package(own: Case, part: Part) -> float:
    memory = own.plan.problem.devices[part.device].memory
    scale = float(own.levers[f"{_pool(part)}.memory_scale"])
    return memory.capacity * scale if memory else 0.0


def _host(own: Case, part: Part) -> float:
    asked = float(own.levers[f"{_pool(part)}.host_memory"])
    return max(asked, own.plan.problem.prices.host_share_memory)


def _pooled(own: Case, parts: tuple[Part, ...]) -> float:
    """Pool memory of the pools that own the KV."""
    homes = {item.name: item.home for item in own.classes}
    each = float(own.block.pool_capacity[0])
    owners = [part for part in parts if (part.role == "prefill") == (homes[part.agent] == "prefill")]
    return each * sum(part.devices for part in owners if part.role != "attention" or each)


def _pool(part: Part) -> str:
    return "prefill" if part.role == "prefill" else "decode"


def _fabrics(own: Case, parts: tuple[Part, ...]) -> Iterator[tuple[str, str, str]]:
    """Interconnect of each pool and the links of its devices."""
    for role in dict.fromkeys(_pool(part) for part in parts):
        wiring = str(own.levers[f"{role}.topology"])
        for name in dict.fromkeys(part.device for part in parts if _pool(part) == role):
            device = own.plan.problem.devices[name]
            up, out = device.scale_up, device.scale_out
            light = float(own.block.optical_bandwidth[0])
            native = up.domain if up and wiring == NATIVE else None
            domain = native or own.plan.coefficients(name, wiring).domain
            links = [f"{wording.quantity(up.bandwidth, 'B/s')} in {domain}"] if up and up.bandwidth else []
            links += [f"network {wording.quantity(out.bandwidth, 'B/s')}"] if out else []
            links += [f"optics {wording.quantity(light, 'B/s')}"] if light > 0 else []
            yield role, f"{name} {wiring}", ", ".join(links)
