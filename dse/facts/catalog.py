"""The catalog that ships with the package: accelerators, models, memories, links, techniques and price sets.

Each kind is one YAML file, `name: row`; a row may start from another with `like:`. Rows are checked against
their types when they are first used.
"""

from collections.abc import Mapping
from functools import cache
from importlib.resources import files
from pathlib import Path
from typing import Literal, TypeAlias, TypeVar

from pydantic import ValidationError

from dse.facts.devices import Accelerator
from dse.facts.errors import SpecError, did_you_mean, listed
from dse.facts.models import Model
from dse.facts.prices import PriceSet
from dse.facts.quantities import Strict
from dse.facts.reader import Data, Source, mistakes, read
from dse.facts.technologies import Link, Memory, Technique

Kind: TypeAlias = Literal["accelerators", "models", "memories", "links", "techniques", "prices"]
TYPES: Mapping[Kind, type[Strict]] = {
    "accelerators": Accelerator,
    "models": Model,
    "memories": Memory,
    "links": Link,
    "techniques": Technique,
    "prices": PriceSet,
}
_SINGULAR: Mapping[Kind, str] = {
    "accelerators": "device",
    "models": "model",
    "memories": "memory",
    "links": "link",
    "techniques": "technique",
    "prices": "price set",
}

_Row = TypeVar("_Row", bound=Strict)


def accelerator(name: str) -> Accelerator:
    """Return an accelerator of the catalog.

    >>> accelerator("h100_sxm").memory.bandwidth
    3350000000000.0
    """
    return _typed("accelerators", name, Accelerator)


def model(name: str) -> Model:
    """Return a model of the catalog.

    >>> model("llama_3_1_70b").n_layers
    80
    """
    return _typed("models", name, Model)


def memory(name: str) -> Memory:
    """Return a memory technology of the catalog.

    >>> memory("hbm3e").unit
    'stack'
    """
    return _typed("memories", name, Memory)


def link(name: str) -> Link:
    """Return a link of the catalog.

    >>> link("nvlink4").domain
    8
    """
    return _typed("links", name, Link)


def technique(name: str) -> Technique:
    """Return a technique of the catalog.

    >>> technique("flash_attention").kind
    'attention_kernel'
    """
    return _typed("techniques", name, Technique)


def price_set(name: str) -> PriceSet:
    """Return a price set of the catalog.

    >>> price_set("spot_2026").device_price
    'high'
    """
    return _typed("prices", name, PriceSet)


def names(kind: Kind) -> tuple[str, ...]:
    """Names of all rows of one kind, in the order of the file.

    >>> "h200_sxm" in names("accelerators")
    True
    """
    return tuple(raw(kind).data)


@cache
def raw(kind: Kind) -> Source:
    """File of one kind as read, with `like:` resolved."""
    source = read(_folder() / f"{kind}.yaml")
    rows: dict[str, Data] = {}
    for name, row in source.data.items():
        base = rows.get(str(row.get("like"))) if isinstance(row, dict) else None
        own = {key: value for key, value in row.items() if key != "like"} if isinstance(row, dict) else row
        rows[name] = own if base is None else merged(base, own)
    return Source(source.path, rows, source.places)


def unknown(kind: Kind, name: str, known: Mapping[str, object] | tuple[str, ...]) -> str:
    """Sentence for a name that the catalog does not have."""
    hint = did_you_mean(name, known) or f" Known: {listed(known)}."
    return f'there is no {_SINGULAR[kind]} "{name}".{hint}'


def merged(base: Data, change: Data) -> Data:
    """Mapping with the fields of `change` laid over those of `base`; null removes a field.

    >>> merged({"a": {"b": 1, "c": 2}}, {"a": {"b": 3, "c": None}})
    {'a': {'b': 3}}
    """
    if not isinstance(base, dict) or not isinstance(change, dict):
        return change
    laid = {**base, **{key: merged(base.get(key), value) for key, value in change.items()}}
    return {key: value for key, value in laid.items() if value is not None}


@cache
def _row(kind: Kind, name: str) -> Strict:
    source = raw(kind)
    row = source.data.get(name)
    if not isinstance(row, dict):
        raise SpecError([source.mistake((name,), unknown(kind, name, source.data))])
    try:
        return TYPES[kind].model_validate({"id": name, **row})
    except ValidationError as error:
        placed = Source(
            source.path,
            row,
            {path[1:]: place for path, place in source.places.items() if path[:1] == (name,)},
        )
        raise SpecError(mistakes(TYPES[kind], placed, error)) from error


def _typed(kind: Kind, name: str, row_type: type[_Row]) -> _Row:
    row = _row(kind, name)
    if not isinstance(row, row_type):
        raise TypeError(f"{kind} holds {type(row).__name__}")
    return row


def _folder() -> Path:
    return Path(str(files("dse.facts") / "catalog"))
