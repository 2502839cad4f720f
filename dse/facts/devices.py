"""What a catalog says about an accelerator."""

from typing import Literal

from pydantic import Field

from dse.facts.quantities import (
    Area,
    Bandwidth,
    Bytes,
    Count,
    Dollars,
    DollarsPerSecond,
    Flag,
    FlopRate,
    Fraction,
    Positive,
    PositiveBytes,
    Strict,
    Uncertain,
    Watts,
)

PriceBasis = Literal["device", "server", "system"]


class Peak(Strict):
    """Dense compute rate per number format; a format that is absent is not supported."""

    bf16: FlopRate | None = None
    """Dense rate at 16 bits."""
    fp8: FlopRate | None = None
    """Dense rate at 8-bit floating point."""
    fp4: FlopRate | None = None
    """Dense rate at 4-bit floating point."""
    int8: FlopRate | None = None
    """Dense rate at 8-bit integers."""


class DeviceMemory(Strict):
    """Memory in the device's package."""

    technology: str
    """Memory technology of the catalog, or a name of the vendor's own."""
    capacity: PositiveBytes
    """Of the whole device, decimal bytes."""
    bandwidth: Bandwidth
    """Of the whole device, peak."""
    stacks: Positive | None = None
    """Stacks or chips; derived from the capacity of one stack where the vendor does not say."""


class SecondMemory(Strict):
    """A slower tier on the same board."""

    technology: str
    """Memory technology."""
    capacity: PositiveBytes
    """Per device."""


class ScaleUp(Strict):
    """Links inside the scale-up domain."""

    technology: str
    """Link of the catalog, or a name of the vendor's own."""
    bandwidth: Bandwidth | None = None
    """One direction per device, summed over its links."""
    domain: Positive | None = None
    """Devices that reach each other over these links."""
    pattern: str = ""
    """How the domain is wired, in words."""


class ScaleOut(Strict):
    """Network card of the device."""

    bandwidth: Bandwidth
    """One direction per device."""


class HostLink(Strict):
    """Link to the host's DRAM."""

    technology: str
    """Link of the catalog."""
    bandwidth: Bandwidth
    """One direction per device."""
    estimate: Flag = True
    """True where the generation is inferred from the part's year."""
    source: str = "stated in the study"
    """Where the figure is from."""


class Die(Strict):
    """Silicon, as far as it is published."""

    count: Positive | None = None
    """Dies in the package."""
    area: Area | None = None
    """Of all dies together."""
    process: str | None = None
    """Manufacturing process."""


class DevicePrice(Uncertain[Dollars]):
    """Purchase price per accelerator and what it includes."""

    basis: PriceBasis = "device"
    """`device`: board alone; `server`: with its share of the host and the scale-up switches;
    `system`: with its share of the network too."""


class Rate(Uncertain[DollarsPerSecond]):
    """Rental price of one accelerator."""


class Ownership(Strict):
    """Cost of owning one accelerator as an analyst sums it; used where no unit price is known."""

    hyperscaler: DollarsPerSecond
    """Owned by a hyperscaler."""
    neocloud: DollarsPerSecond
    """Owned by a smaller cloud."""
    rental: DollarsPerSecond
    """Rented for three years."""
    all_in_power: Watts | None = None
    """Utility power per accelerator with host, network and facility."""
    estimate: Flag = True
    """An analyst's model, not a price list."""
    source: str
    """Where the figures are from."""
    note: str = ""
    """What to know before using them."""


class Efficiency(Strict):
    """Share of the peak that the best measured kernels reach."""

    bf16: Fraction | None = None
    """Matrix products at 16 bits over the dense peak."""
    fp8: Fraction | None = None
    """Matrix products at 8 bits over the dense peak."""
    fp4: Fraction | None = None
    """Matrix products at 4 bits over the dense peak."""
    memory: Fraction | None = None
    """Memory bandwidth over its peak."""
    source: str
    """Where the figures are from."""


class Accelerator(Strict):
    """One device type: what it supplies, what it costs, and how sure we are."""

    id: str
    """Name in studies."""
    name: str
    """Name of the product."""
    vendor: str = ""
    """Maker."""
    year: Count | None = None
    """Of first shipment."""
    status: str = ""
    """Shipping, announced, cloud only."""
    peak: Peak = Peak()
    """Dense compute rates."""
    memory: DeviceMemory | None = None
    """Memory in the package."""
    second_memory: SecondMemory | None = None
    """Slower memory on the board."""
    sram: Bytes | None = None
    """On-chip memory."""
    scale_up: ScaleUp | None = None
    """Links inside the scale-up domain."""
    scale_out: ScaleOut | None = None
    """Network card."""
    host_link: HostLink | None = None
    """Link to host DRAM."""
    power: Watts | None = None
    """Thermal design power of the device."""
    die: Die | None = None
    """Silicon."""
    price: DevicePrice | None = None
    """Purchase price per accelerator."""
    cloud: Rate | None = None
    """Rental price per accelerator."""
    tco: Ownership | None = None
    """Analyst's ownership cost."""
    efficiency: Efficiency | None = None
    """Measured share of the peaks."""
    ranges: dict[str, tuple[str, str]] = Field(default_factory=dict)
    """Spread of published values, by field."""
    derived: dict[str, str] = Field(default_factory=dict)
    """Fields that were derived here, with the rule."""
    unverified: tuple[str, ...] = ()
    """Fields recalled or taken from secondary pages."""
    sources: tuple[str, ...] = ()
    """Pages the figures are from."""
    notes: str = ""
    """What a reader should know."""
