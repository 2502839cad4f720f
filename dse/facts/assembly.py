"""From files and overrides to one tree: `extends`, `--set` and `like` are resolved here, on plain data."""

from collections.abc import Mapping
from pathlib import Path

from dse.facts import catalog
from dse.facts.errors import Mistake, SpecError
from dse.facts.files import is_file
from dse.facts.levers import REGISTRY
from dse.facts.reader import Data, Path_, Place, Source, read, value

SECTIONS: Mapping[str, catalog.Kind] = {
    "devices": "accelerators",
    "models": "models",
    "memories": "memories",
    "links": "links",
    "techniques": "techniques",
}
"""Sections of a study that extend the catalog."""
_DOTTED_KEYS = frozenset({"levers", "constants", "uncertainties"})
COMPLETE = "none"
"""`like: none` marks a row that inherits nothing."""
OVERRIDE = "--set"


def study_source(path: str | Path, overrides: Mapping[str, str] | None = None) -> Source:
    """Study as one tree: the file laid over the one it extends, then the overrides."""
    source = _extended(read(path), Path(path))
    for name, text in (overrides or {}).items():
        source = _overridden(source, name, text)
    return source


def with_catalog(source: Source) -> tuple[Source, list[Mistake]]:
    """Rows of the study completed from the rows they are like; mistakes where there is no such row."""
    data, mistakes = dict(source.data), list[Mistake]()
    for section, kind in SECTIONS.items():
        rows = data.get(section)
        if isinstance(rows, dict):
            data[section] = {
                name: _completed(source, (section, name), kind, name, row, rows, mistakes) for name, row in rows.items()
            }
    prices = data.get("prices")
    if isinstance(prices, str):
        prices = {"like": prices}
    if isinstance(prices, dict):
        name = prices.get("id", prices.get("like", "own"))
        data["prices"] = _completed(source, ("prices",), "prices", str(name), prices, {}, mistakes)
    return Source(source.path, data, source.places), mistakes


def _extended(source: Source, path: Path) -> Source:
    """File laid over the one it extends; one level only."""
    base_name = source.data.get("extends")
    if base_name is None:
        return source
    own = {key: entry for key, entry in source.data.items() if key != "extends"}
    if not isinstance(base_name, str):
        raise SpecError([source.mistake(("extends",), "expected the name of a study file")])
    base_path = path.parent / base_name
    if not is_file(base_path):
        raise SpecError([source.mistake(("extends",), f'there is no file "{base_path}"')])
    base = read(base_path)
    if "extends" in base.data:
        raise SpecError([base.mistake(("extends",), "a study that is extended cannot extend another one")])
    data = _laid_over(base.data, own)
    return Source(source.path, data, {**base.places, **source.places})


def _laid_over(base: dict[str, Data], own: Mapping[str, Data]) -> dict[str, Data]:
    """Sections merged; a lever named as one kind replaces the same lever of the other kind."""
    laid = dict(base)
    for section, other in (("levers", "constants"), ("constants", "levers")):
        named, rest = own.get(section), laid.get(other)
        if isinstance(named, dict) and isinstance(rest, dict):
            laid[other] = {key: entry for key, entry in rest.items() if key not in named}
    if isinstance(laid.get("prices"), str) and isinstance(own.get("prices"), dict):
        laid["prices"] = {"like": laid["prices"]}
    merged = catalog.merged(laid, {**own})
    return merged if isinstance(merged, dict) else dict(own)


def _overridden(source: Source, name: str, text: str) -> Source:
    """Tree with one value of the command line set."""
    path = _override_path(source.data, name)
    data = value(text, f"{OVERRIDE} {name}={text}", path)
    if path[0] in ("levers", "constants") and len(path) == 2 and name in REGISTRY:
        path = ("levers" if isinstance(data, list | dict) else "constants", path[1])
    change: Data = data
    for key in reversed(path):
        change = {str(key): change}
    placed: dict[Path_, Place] = {place: where for place, where in source.places.items() if place[: len(path)] != path}
    placed[path] = (f"{OVERRIDE} {name}={text}", 0, 0)
    if not isinstance(change, dict):
        raise SpecError([Mistake(OVERRIDE, 0, 0, name, "expected name=value")])
    return Source(source.path, _laid_over(source.data, change), placed)


def _override_path(data: Mapping[str, Data], name: str) -> Path_:
    """Keys of a dotted name; a lever's own name may be written without its section."""
    if name in REGISTRY:
        levers = data.get("levers")
        return ("levers" if isinstance(levers, dict) and name in levers else "constants", name)
    first, _, rest = name.partition(".")
    if first in _DOTTED_KEYS and rest:
        return (first, rest)
    return tuple(name.split("."))


def _completed(
    source: Source,
    path: Path_,
    kind: catalog.Kind,
    name: str,
    row: Data,
    rows: Mapping[str, Data],
    mistakes: list[Mistake],
) -> Data:
    """Row with its id, laid over the row it is like; a row of a catalog name is like that row."""
    if not isinstance(row, dict):
        return row
    known = catalog.raw(kind).data
    own = {key: entry for key, entry in row.items() if key != "like"}
    like = row.get("like", name if name in known else COMPLETE)
    if not isinstance(like, str):
        mistakes.append(source.mistake((*path, "like"), "expected the name of a row of the catalog"))
        like = next(iter(known))
    identity: dict[str, Data] = {"id": name}
    if like == COMPLETE:
        return {**identity, **{key: entry for key, entry in own.items() if entry is not None}}
    if like not in known:
        sibling = " Start from a row of the catalog." if like in rows else ""
        place = path if (*path, "like") not in source.places else (*path, "like")
        mistakes.append(source.mistake(place, catalog.unknown(kind, like, known) + sibling))
        # Any row will do to go on with: the study is refused, but its other mistakes are still found.
        like = next(iter(known))
    completed = catalog.merged(known[like], own)
    return {**identity, **completed} if isinstance(completed, dict) else completed
