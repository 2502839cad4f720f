"""The numbers that a study rests on, in words: one name for each wherever it is shown."""

from collections.abc import Mapping

from dse.facts.levers import REGISTRY

ANY = "*"
"""Stands for every part in a path."""

RATES: Mapping[str, str] = {
    "electricity": "price of electricity",
    "host_share": "price of the host",
    "network_share": "price of the network",
    "optics": "price of optics",
    "switching": "price of switches",
    "vendor_margin": "vendor's margin on memory",
    "pue": "PUE",
    "interest": "interest rate",
    "depreciation": "economic life",
    "spare_fraction": "spares",
    "operations": "cost of operation",
}
"""Rate of a price set -> its name in sentences."""

CONSTANTS: Mapping[str, str] = {
    "compute": "share of peak compute reached",
    "memory": "share of memory bandwidth reached",
    "network": "share of link bandwidth reached",
    "overhead": "kernel and message start-up times",
}
"""Group of constants of the time model -> its name in sentences."""

HYPHENS = (("scale up", "scale-up"), ("scale out", "scale-out"), ("all in power", "all-in power"))


def words(path: str) -> str:
    """Path in words.

    >>> words("devices.h200_sxm.memory.bandwidth"), words("devices.*.price"), words("prices.memory.hbm*")
    ('h200_sxm memory bandwidth', 'price, all devices', 'price of hbm*')
    >>> words("devices.mi355x.tco.hyperscaler"), words("time.decode.h200_sxm"), words("prices.depreciation")
    ('price of mi355x', 'decode time of h200_sxm', 'economic life')
    >>> words("agents.chat.share"), words("agents.*.context"), words("memories.cxl_ddr5.bandwidth")
    ('share of chat tasks', 'context of all classes', 'cxl_ddr5 bandwidth')
    """
    section, _, rest = path.partition(".")
    name, _, what = rest.partition(".")
    if path in REGISTRY:
        return f"{_spaced(path)} (same price per part)"
    if (section == "devices" and what.partition(".")[0] == "price") or what == "tco.hyperscaler":
        return "price, all devices" if name == ANY else f"price of {name}"
    if section in ("devices", "memories", "links", "techniques"):
        return _of(name, _spaced(what.removeprefix("tco.")).removesuffix(" *"), section)
    if section == "prices":
        return f"price of {what}" if name == "memory" else RATES.get(name, _spaced(rest))
    if section == "topologies":
        return _of(rest.removesuffix(".hop_latency"), "hop latency", "interconnects")
    if section == "calibration":
        return CONSTANTS[rest]
    if section == "time":
        return f"{name} time of {what or 'all devices'}"
    if section == "agents":
        return _asked(name, what)
    return _spaced(path if section == "serving" else rest)


def _of(name: str, what: str, kind: str) -> str:
    return f"{what}, all {kind}" if name == ANY else f"{name} {what}"


def _asked(name: str, what: str) -> str:
    """Number of a class of agents."""
    if what == "share":
        return f"share of {name} tasks"
    return f"{_spaced(what)} of {'all classes' if name == ANY else name}"


def _spaced(text: str) -> str:
    made = text.replace(".", " ").replace("_", " ")
    for plain, hyphened in HYPHENS:
        made = made.replace(plain, hyphened)
    return made
