"""What a catalog says about money and power: one price set per view of the market."""

from typing import Literal

from dse.facts.quantities import (
    Bytes,
    Dollars,
    DollarsPerBandwidth,
    DollarsPerByte,
    DollarsPerJoule,
    Ratio,
    Seconds,
    Strict,
    Uncertain,
)


class PriceSet(Strict):
    """Prices and rates on one basis: capital cost of the system per accelerator, plus energy."""

    id: str
    """Name in studies."""
    title: str
    """What the set stands for, in a few words."""
    date: str
    """Year and month of the market it describes."""
    differs: str = ""
    """What sets it apart from the other sets."""
    device_price: Literal["low", "likely", "high"] = "likely"
    """Which end of each accelerator's price range is the one used."""
    memory: dict[str, Uncertain[DollarsPerByte]]
    """Per technology; HBM prices are those a device maker pays, before its margin."""
    vendor_margin: Uncertain[Ratio]
    """Gross margin of accelerator makers: a change of memory costs its price / (1 - margin)."""
    host_share: Uncertain[Dollars]
    """Host (processor, board, chassis, supply, card, DRAM) per accelerator; added to a `device` price."""
    host_share_memory: Bytes
    """DRAM per accelerator already paid for in `host_share`."""
    network_share: Uncertain[Dollars]
    """Scale-out network with transceivers per accelerator; added to `device` and `server` prices."""
    optics: Uncertain[DollarsPerBandwidth]
    """Optical port per bandwidth of one direction, one end."""
    switching: Uncertain[DollarsPerBandwidth]
    """One layer of switches per bandwidth of one direction per accelerator, without optics."""
    cooling: Uncertain[Dollars]
    """Liquid cooling per rack."""
    electricity: Uncertain[DollarsPerJoule]
    """Energy at the meter."""
    pue: Uncertain[Ratio]
    """Facility power over power of the computers."""
    depreciation: Uncertain[Seconds]
    """Economic life over which capital is written off."""
    interest: Uncertain[Ratio]
    """Cost of capital per year."""
    spare_fraction: Uncertain[Ratio]
    """Share of accelerators held as spares or down for repair."""
    operations: Uncertain[Ratio]
    """Cost of operation beside capital and electricity, as a share of the capital rate."""
