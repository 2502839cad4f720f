"""Entries of the catalog as people read them: every field with its unit."""

from collections.abc import Iterator, Mapping
from typing import Any

from dse.facts import catalog
from dse.facts.errors import Mistake, SpecError, did_you_mean, listed
from dse.insight.table import Table, shortened
from dse.insight.wording import number, quantity

KINDS: Mapping[str, catalog.Kind] = {
    **dict.fromkeys(("accelerator", "accelerators", "device", "devices"), "accelerators"),
    **dict.fromkeys(("model", "models"), "models"),
    **dict.fromkeys(("memory", "memories"), "memories"),
    **dict.fromkeys(("link", "links"), "links"),
    **dict.fromkeys(("technique", "techniques"), "techniques"),
    **dict.fromkeys(("price", "prices"), "prices"),
}
"""Words for the kinds of the catalog."""


def kind_of(word: str) -> catalog.Kind:
    """Kind that a word means."""
    if word not in KINDS:
        hint = did_you_mean(word, KINDS) or f" Known: {listed(set(KINDS.values()))}."
        raise SpecError([Mistake("", 0, 0, "catalog", f'there is no kind "{word}".{hint}')])
    return KINDS[word]


def contents() -> Table:
    """Kinds of the catalog with their number of entries."""
    rows = tuple(
        (kind, str(len(catalog.names(kind))), f"dse show catalog {kind}") for kind in dict.fromkeys(KINDS.values())
    )
    return Table(("kind", "entries", "shown by"), rows, frozenset({0, 2}))


def place_of(name: str) -> tuple[catalog.Kind, str] | None:
    """Kind that has an entry of this name."""
    kinds = (kind for kind in dict.fromkeys(KINDS.values()) if name in catalog.names(kind))
    return next(((kind, name) for kind in kinds), None)


def entry(kind: catalog.Kind, name: str) -> dict[str, Any]:
    """One row of the catalog as a study would write it."""
    if name not in catalog.names(kind):
        raise SpecError([Mistake("", 0, 0, kind, catalog.unknown(kind, name, catalog.names(kind)))])
    getter: Any = {
        "accelerators": catalog.accelerator,
        "models": catalog.model,
        "memories": catalog.memory,
        "links": catalog.link,
        "techniques": catalog.technique,
        "prices": catalog.price_set,
    }[kind]
    data: dict[str, Any] = getter(name).model_dump(mode="json", exclude_none=True)
    return data


def lines(data: Mapping[str, Any], indent: int = 0) -> Iterator[str]:
    """Nested fields, one a line."""
    for key, value in data.items():
        if value in ({}, [], "", ()):
            continue
        margin = "  " * indent
        if isinstance(value, dict):
            yield f"{margin}{key}:"
            yield from lines(value, indent + 1)
        else:
            text = ", ".join(map(str, value)) if isinstance(value, list | tuple) else str(value)
            yield f"{margin}{key:<{max(22 - 2 * indent, 1)}} {text}"


def overview(kind: catalog.Kind) -> Table:
    """All rows of a kind with what tells them apart."""
    made = {
        "accelerators": (
            ("device", "bf16 FLOP/s", "memory", "bandwidth", "scale-up", "power", "price", "status"),
            _device,
        ),
        "models": (("model", "parameters B", "active B", "layers", "context tok", "attention", "release"), _model),
        "memories": (("memory", "per", "bandwidth", "capacity", "name"), _memory),
        "links": (("link", "kind", "bandwidth", "name"), _link),
        "techniques": (("technique", "lever", "bits left", "rate", "quality %", "name"), _technique),
        "prices": (("price set", "date", "title"), _price),
    }[kind]
    header, row = made
    rows = tuple(row(name) for name in catalog.names(kind))
    return Table(header, rows, frozenset({0, len(header) - 1}))


def _device(name: str) -> tuple[str, ...]:
    part = catalog.accelerator(name)
    up = part.scale_up
    return (
        name,
        _shown(part.peak.bf16, "FLOP/s"),
        _shown(part.memory.capacity if part.memory else None, "B"),
        _shown(part.memory.bandwidth if part.memory else None, "B/s"),
        f"{_shown(up.bandwidth if up else None, 'B/s')} x {up.domain if up and up.domain else 1}",
        _shown(part.power, "W"),
        _shown(part.price.likely if part.price else None, "$"),
        part.status,
    )


def _model(name: str) -> tuple[str, ...]:
    row = catalog.model(name)
    total, active = (getattr(row, f"published_{word}", None) for word in ("total", "active"))
    sizes = [number(size / 1e9) if size else "" for size in (total, active)]
    return (name, *sizes, str(row.n_layers), f"{row.max_context:,}", row.attention, row.release_dtype)


def _memory(name: str) -> tuple[str, ...]:
    row = catalog.memory(name)
    return (name, row.unit, _shown(row.bandwidth, "B/s"), _shown(row.capacity, "B"), shortened(row.name, 40))


def _link(name: str) -> tuple[str, ...]:
    row = catalog.link(name)
    return (name, str(row.kind), _shown(row.bandwidth, "B/s"), shortened(row.name, 40))


def _technique(name: str) -> tuple[str, ...]:
    row = catalog.technique(name)
    bits, quality = (number(value.likely) if value else "" for value in (row.bits, row.recovery))
    return (name, row.kind, bits, _shown(row.rate.likely if row.rate else None, "B/s"), quality, row.name)


def _price(name: str) -> tuple[str, ...]:
    row = catalog.price_set(name)
    return (name, row.date, row.title)


def _shown(value: float | None, unit: str) -> str:
    return "" if value is None else quantity(value, unit)
