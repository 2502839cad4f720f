"""Topologies by name, and numbers by dotted path."""

import types
import typing
from collections.abc import Mapping
from importlib.resources import files
from pathlib import Path
from typing import Any

from pydantic.fields import FieldInfo

from dse.facts.files import absolute, is_file
from dse.facts.quantities import Quantity, Strict, Uncertain

FOLDER = "topologies"


def topologies(study: Path, named: Mapping[str, str]) -> dict[str, Path]:
    """Topology files a study can name: its own, those of a `topologies` folder above it, packaged ones."""
    folders = [parent / FOLDER for parent in study.resolve().parents]
    packaged = Path(str(files("dse")))
    # An installed package carries the folder inside itself; a working copy has it beside the package.
    folders += [packaged / FOLDER, packaged.parent / FOLDER]
    found: dict[str, Path] = {}
    for folder in folders:
        for path in sorted(folder.glob("*.yaml")) if folder.is_dir() else ():
            found.setdefault(path.stem, path)
    return {**found, **{name: absolute(study.parent / path) for name, path in named.items()}}


def topology_file(study: Path, name: str) -> Path | None:
    """File that a lever names by its path, relative to the study."""
    path = study.parent / name
    return absolute(path) if name.endswith(".yaml") and is_file(path) else None


def quantity_at(root: object, path: str) -> Quantity | None:
    """Unit of the number at a dotted path below `root`; None where there is no number."""
    here: object = root
    found: FieldInfo | None = None
    names = path.split(".")
    for name in names:
        found = type(here).model_fields.get(name) if isinstance(here, Strict) else None
        here = here.get(name) if isinstance(here, Mapping) else getattr(here, name, None) if found else None
    if isinstance(here, Uncertain):
        return _quantity(type(here).model_fields["likely"])
    return _quantity(found) if found is not None else None


def replaced(root: Any, path: tuple[str, ...], number: float) -> Any:
    """Copy of a tree with the number at `path` set; an uncertain number gets it at all three ends."""
    if not path:
        if isinstance(root, Uncertain):
            return root.model_copy(update={"low": number, "likely": number, "high": number})
        return number
    name, rest = path[0], path[1:]
    if isinstance(root, Mapping):
        return {**root, name: replaced(root[name], rest, number)}
    return root.model_copy(update={name: replaced(getattr(root, name), rest, number)})


def _quantity(field: FieldInfo) -> Quantity | None:
    """Unit noted at a field, also inside `X | None`."""
    for note in field.metadata:
        if isinstance(note, Quantity):
            return note
    return _noted(field.annotation)


def _noted(kind: Any) -> Quantity | None:
    if typing.get_origin(kind) is typing.Annotated:
        return next((note for note in kind.__metadata__ if isinstance(note, Quantity)), None)
    if typing.get_origin(kind) in (typing.Union, types.UnionType):
        return next((found for found in map(_noted, typing.get_args(kind)) if found), None)
    return None
