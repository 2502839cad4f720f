"""What a catalog says about memory technologies, links and software techniques."""

from typing import Literal, Self, TypeAlias

from pydantic import Field, model_validator

from dse.facts.quantities import (
    Bandwidth,
    Dollars,
    DollarsPerBandwidth,
    Energy,
    Flag,
    Fraction,
    Metres,
    Positive,
    PositiveBytes,
    Ratio,
    Seconds,
    Strict,
    Uncertain,
    Watts,
)


class Memory(Strict):
    """A memory technology, per unit in which it is bought. Prices stand in the price sets."""

    id: str
    """Name in studies."""
    name: str
    """Name in sentences."""
    unit: Literal["stack", "device", "channel", "link"]
    """What bandwidth and capacity count."""
    bandwidth: Bandwidth | None = None
    """Per unit, peak, one direction where the two differ."""
    capacity: PositiveBytes | None = None
    """Per unit."""
    capacity_max: PositiveBytes | None = None
    """Per unit, tallest or densest version announced."""
    latency: Uncertain[Seconds] | None = None
    """Time to the first byte of a read."""
    energy: Uncertain[Energy] | None = None
    """Per byte moved; definitions in the sources mix device and interface."""
    power: Watts | None = None
    """Per unit when active, where energy is not given per byte."""
    writes_per_day: Uncertain[Ratio] | None = None
    """Times that the whole capacity may be written each day over its life (flash); absent: without limit."""
    pool: Flag = False
    """May serve as a shared pool."""
    derived: dict[str, str] = Field(default_factory=dict)
    """Fields that were derived here, with the rule."""
    sources: tuple[str, ...] = ()
    """Pages the figures are from."""
    notes: str = ""
    """What a reader should know."""


class Link(Strict):
    """A link or optical technology; bandwidths are one direction per device."""

    id: str
    """Name in studies."""
    name: str
    """Name in sentences."""
    kind: str
    """Electrical scale-up, host, memory fabric, scale-out or optics."""
    bandwidth: Bandwidth | None = None
    """One direction per device, port or chiplet."""
    domain: Positive | None = None
    """Devices that can be joined directly."""
    latency: Uncertain[Seconds] | None = None
    """From device to device."""
    switch_latency: Uncertain[Seconds] | None = None
    """Through one switch."""
    energy: Uncertain[Energy] | None = None
    """Per byte."""
    power: Watts | None = None
    """Per module."""
    module_price: Uncertain[Dollars] | None = None
    """Per module, one end."""
    price: Uncertain[DollarsPerBandwidth] | None = None
    """Per bandwidth of one direction, one end."""
    reach: Metres | None = None
    """Length that can be bridged."""
    efficiency: Fraction | None = None
    """Share of the bandwidth left by the protocol."""
    measured_share: Fraction | None = None
    """Share of the bandwidth that a transfer between two devices reaches."""
    estimate: Flag = False
    """True where the bandwidth itself is a claim or a derivation."""
    derived: dict[str, str] = Field(default_factory=dict)
    """Fields that were derived here, with the rule."""
    sources: tuple[str, ...] = ()
    """Pages the figures are from."""
    notes: str = ""
    """What a reader should know."""


TechniqueKind: TypeAlias = Literal["kv_compression", "activation_compression", "attention_kernel"]
"""Lever that a technique is a choice of."""


class Technique(Strict):
    """A published technique of serving software: a choice of the lever of its kind."""

    id: str
    """Name in studies."""
    name: str
    """Name in sentences."""
    kind: TechniqueKind
    """Lever that it is a choice of."""
    bits: Uncertain[Ratio] | None = None
    """Bits left of a compressed element, scales included; a narrower element stays as it is."""
    rate: Uncertain[Bandwidth] | None = None
    """What one device compresses or restores per second, counted before compression; absent: without a cost."""
    recovery: Uncertain[Ratio] | None = None
    """Quality kept, percent of the same model without it; absent: exact."""
    score_passes: Ratio = 0.0
    """Times that an attention score passes through memory; 0 where scores stay on the chip."""
    core_kernels: Ratio = 1.0
    """Kernels of one layer's attention core."""
    projection_kernels: Fraction = 1.0
    """Share of the launches of attention projections that is left; 0 where they run in the kernel of the core."""
    derived: dict[str, str] = Field(default_factory=dict)
    """Fields that were derived here, with the rule."""
    sources: tuple[str, ...] = ()
    """Pages the figures are from."""
    notes: str = ""
    """What a reader should know."""

    @model_validator(mode="after")
    def _complete(self) -> Self:
        if self.kind == "attention_kernel":
            if self.bits is not None or self.rate is not None:
                raise ValueError("an attention kernel compresses nothing: it has no `bits` and no `rate`")
        elif self.bits is None or self.bits.low <= 0:
            raise ValueError("a compression states the `bits` that it leaves of an element, more than zero")
        return self
