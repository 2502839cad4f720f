"""The levers: all that a study may choose, with unit, default and the condition under which it is inert."""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal, TypeAlias

from dse.facts import units
from dse.facts.errors import did_you_mean, listed
from dse.facts.reader import Data

Choice: TypeAlias = str | float | int
Kind: TypeAlias = Literal["choice", "device", "topology", "pool", "dtype", "technique", "quantity", "count"]

NONE = "none"
"""Choice that stands for absence."""
NATIVE = "native"
"""Topology of a device's own scale-up domain."""
RELEASE = "release"
"""Number format in which a model was released."""
FUSED = "flash_attention"
"""Technique that keeps attention scores on the chip: what engines run and the time model is fitted on."""
_MAX_STEPS = 10_000
_FINE = 1_000
"""Steps of a range of a quantity that states none: objectives that are smooth there are within 0.1 % of their best. On
members of the flagship's front, optical bandwidth and pool capacity from twice as many gained less than 0.01 %."""


@dataclass(frozen=True)
class Lever:
    """One choice a study makes."""

    name: str
    """Name in studies."""
    kind: Kind
    """What the choices name."""
    description: str
    """What it changes."""
    default: Choice | None
    """Choice when the study does not name it; None where there is none."""
    unit: str = "1"
    """SI unit of a quantity."""
    options: tuple[str, ...] = ()
    """Words allowed, where the kind does not come from the catalog."""
    inert: tuple[tuple[str, frozenset[Choice]], ...] = ()
    """It has no effect while one of these levers takes one of these choices."""
    least: float = 0.0
    """Smallest number allowed."""
    optional: bool = False
    """It is part of a study only where the study names it."""


_COLOCATED = (("serving", frozenset[Choice]({"colocated"})),)
_NO_POOL = (("pool.technology", frozenset[Choice]({NONE})),)


def _pool_levers(pool: str, what: str, inert: tuple[tuple[str, frozenset[Choice]], ...]) -> tuple[Lever, ...]:
    """Levers that the prefill and the decode pool have in common."""
    return (
        Lever(f"{pool}.device", "device", f"accelerator that runs {what}", None, inert=inert),
        Lever(
            f"{pool}.second_device",
            "device",
            "second accelerator type in the pool; agents are routed to the type that serves them cheaper",
            NONE,
            options=(NONE,),
            inert=inert,
        ),
        Lever(
            f"{pool}.memory_scale",
            "quantity",
            "capacity of the package memory over the stock part, by taller or more stacks",
            1.0,
            inert=inert,
            least=1.0,
        ),
        Lever(
            f"{pool}.host_memory",
            "quantity",
            "host DRAM per accelerator that may hold KV",
            0.0,
            "B",
            inert=inert,
        ),
        Lever(f"{pool}.topology", "topology", "interconnect of the pool", NATIVE, options=(NATIVE,), inert=inert),
    )


_ALL = (
    Lever(
        "serving",
        "choice",
        "prefill and decode in separate pools, in one pool (the decode levers describe it), or decode "
        "attention on the second device of the decode pool",
        "disaggregated",
        options=("disaggregated", "colocated", "attention_offload"),
    ),
    *_pool_levers("prefill", "prefill", _COLOCATED),
    *_pool_levers("decode", "decode, or both phases when colocated", ()),
    Lever("pool.technology", "pool", "memory shared through the fabric that may hold KV", NONE, options=(NONE,)),
    Lever("pool.capacity", "quantity", "pool memory per accelerator that owns KV", 0.0, "B", inert=_NO_POOL),
    Lever(
        "optical_bandwidth",
        "quantity",
        "optical bandwidth per accelerator, one direction; 0 leaves the electrical network card",
        0.0,
        "B/s",
    ),
    Lever(
        "weight_dtype",
        "dtype",
        "number format of the weights",
        RELEASE,
        options=(RELEASE, "bf16", "fp8", "fp4", "int8"),
    ),
    Lever("kv_dtype", "dtype", "number format of the KV cache", "bf16", options=("bf16", "fp8", "fp4", "int8")),
    Lever("draft_length", "count", "tokens drafted per decode step by speculative decoding", 0),
    Lever(
        "kv_compression",
        "technique",
        "coding of the KV that crosses links or waits below HBM; the cache in HBM stays as it is",
        NONE,
        options=(NONE,),
        optional=True,
    ),
    Lever(
        "activation_compression",
        "technique",
        "coding of the partial sums that tensor parallelism reduces",
        NONE,
        options=(NONE,),
        optional=True,
    ),
    Lever("attention_kernel", "technique", "what attention keeps on the chip", FUSED, options=(FUSED,), optional=True),
)
REGISTRY: Mapping[str, Lever] = {lever.name: lever for lever in _ALL}
"""All levers by name, in the order in which designs list them."""


def unknown(name: str) -> str:
    """Sentence for a name that is no lever."""
    hint = did_you_mean(name, REGISTRY) or f" Known: {listed(REGISTRY, len(REGISTRY))}."
    return f'there is no lever "{name}".{hint}'


def choice(lever: Lever, written: Data, known: Mapping[str, object]) -> Choice:
    """One choice in SI; ValueError says what is wrong. `known` are names of the catalog and the study."""
    if lever.kind in ("quantity", "count"):
        number = units.parse(written, lever.unit)
        if number < lever.least:
            raise ValueError(f"{written}: expected at least {units.show(lever.least, lever.unit)}")
        if lever.kind == "count" and number != int(number):
            raise ValueError(f"{written}: expected a whole number")
        return int(number) if lever.kind == "count" else number
    words = (*lever.options, *known)
    if not isinstance(written, str) or written not in words:
        hint = did_you_mean(str(written), words) or f" Known: {listed(words)}."
        raise ValueError(f'there is no {_NOUNS[lever.kind]} "{written}".{hint}')
    return written


_NOUNS = {
    "choice": "choice",
    "device": "device",
    "topology": "topology",
    "pool": "pool memory",
    "dtype": "number format",
    "technique": "technique",
}


def expand(lever: Lever, written: Mapping[str, Data]) -> tuple[Choice, ...]:
    """Choices of a range {from, to, steps, scale}; ValueError says what is wrong.

    Without `steps` a linear count takes every whole number, and a quantity a thousand steps.

    >>> expand(REGISTRY["pool.capacity"], {"from": "1 GB", "to": "4 GB", "steps": 3, "scale": "log"})
    (1000000000.0, 2000000000.0, 4000000000.0)
    """
    if lever.kind not in ("quantity", "count"):
        raise ValueError(f"{lever.name} takes a list of names, not a range")
    odd = sorted(set(written) - {"from", "to", "steps", "scale"})
    missing = [name for name in ("from", "to") if name not in written]
    if odd or missing:
        wrong = f"unknown `{odd[0]}`" if odd else f"`{missing[0]}` is missing"
        raise ValueError(f"{wrong}: a range is {{from, to, steps, scale: linear|log}}")
    first, last = (choice(lever, written[name], {}) for name in ("from", "to"))
    if not isinstance(first, int | float) or not isinstance(last, int | float) or first >= last:
        raise ValueError("`from` must be smaller than `to`")
    scale = written.get("scale", "linear")
    every = int(last - first) + 1 if scale == "linear" else None
    steps = written.get("steps", every if lever.kind == "count" else _FINE)
    if not isinstance(steps, int) or isinstance(steps, bool) or not 2 <= steps <= _MAX_STEPS:
        raise ValueError(f"`steps` is {steps}: expected a whole number from 2 to {_MAX_STEPS:,}")
    if scale not in ("linear", "log"):
        raise ValueError(f'`scale` is "{scale}": expected linear or log')
    if scale == "log" and first <= 0:
        raise ValueError("a range with `scale: log` must start above zero")
    inner = [_between(first, last, step / (steps - 1), scale == "log") for step in range(1, steps - 1)]
    points = [first, *(round(point) if lever.kind == "count" else _tidy(point) for point in inner), last]
    return tuple(dict.fromkeys(points))


def _between(first: float, last: float, share: float, logarithmic: bool) -> float:
    return first * (last / first) ** share if logarithmic else first + (last - first) * share


def _tidy(number: float) -> float:
    """Number without the last digits of a power, so that 2 GB is 2e9 B."""
    return float(f"{number:.12g}") if math.isfinite(number) else number
