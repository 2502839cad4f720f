"""Graph files beside a topology: GraphML and node-link JSON, read without trust.

GraphML is XML. The parser below fetches nothing from outside, but it would expand entities that a file
defines for itself, which a few lines can blow up to gigabytes: a file that declares any is refused before it
is parsed.
"""

import codecs
import io
import re
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any
from xml.etree.ElementTree import ParseError

import networkx
from pydantic import ValidationError

from dse.facts import reader
from dse.facts.errors import Mistake, SpecError
from dse.facts.quantities import Strict
from dse.facts.topology_spec import Wiring

MAX_BYTES = 10_000_000
"""A graph of two thousand devices needs about a tenth of this."""

_DECLARATION = re.compile(r"<!\s*(DOCTYPE|ENTITY)", re.IGNORECASE)
_BYTE_ORDER_MARKS = (codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE, codecs.BOM_UTF32_LE, codecs.BOM_UTF32_BE)


class _NodeLink(Strict):
    """Node-link JSON as networkx writes it."""

    nodes: list[dict[str, Any]]
    edges: list[dict[str, Any]]
    directed: bool = False
    multigraph: bool = False
    graph: dict[str, Any] | None = None


def read_wiring(beside: Path, name: str) -> Wiring:
    """Nodes and edges of the file `name` in the folder of `beside`."""
    path = beside.parent / name
    if Path(name).is_absolute() or ".." in Path(name).parts:
        raise _refused(beside, f"`file: {name}` must name a file in the folder of this topology or below it")
    if path.suffix == ".graphml":
        return _graphml(path)
    if path.suffix == ".json":
        return _node_link(path)
    raise _refused(path, "expected a file that ends in .graphml or .json")


def _graphml(path: Path) -> Wiring:
    text = _text(path)
    if _DECLARATION.search(text):
        raise _refused(path, "declares a DOCTYPE or an ENTITY, which graph files do not need: remove the declaration")
    try:
        graph = networkx.read_graphml(io.BytesIO(text.encode()))
    except (ParseError, networkx.NetworkXError, KeyError, ValueError) as error:
        raise _refused(path, f"is not GraphML that can be read: {error}") from error
    if graph.is_directed():
        raise _refused(path, 'links are the same in both directions: write edgedefault="undirected"')
    return _wiring(path, graph.nodes(data=True), graph.edges(data=True))


def _node_link(path: Path) -> Wiring:
    found = reader.validate_file(_NodeLink, path)
    if found.directed:
        raise _refused(path, "links are the same in both directions: write `directed: false`")
    for index, node in enumerate(found.nodes):
        if "id" not in node:
            raise _refused(path, f"nodes[{index}] has no `id`")
    for index, edge in enumerate(found.edges):
        if not {"source", "target"} <= set(edge):
            raise _refused(path, f"edges[{index}] needs `source` and `target`")
    nodes = ((node["id"], {key: value for key, value in node.items() if key != "id"}) for node in found.nodes)
    ends = ("source", "target", "key")
    edges = (
        (edge["source"], edge["target"], {key: value for key, value in edge.items() if key not in ends})
        for edge in found.edges
    )
    return _wiring(path, nodes, edges)


def _wiring(
    path: Path,
    nodes: Iterable[tuple[object, Mapping[str, object]]],
    edges: Iterable[tuple[object, object, Mapping[str, object]]],
) -> Wiring:
    data = {
        "nodes": {str(name): dict(attributes) for name, attributes in nodes},
        "edges": [{"ends": (str(a), str(b)), **attributes} for a, b, attributes in edges],
    }
    try:
        return Wiring.model_validate(data)
    except ValidationError as error:
        mistakes = [
            Mistake(str(path), 0, 0, reader.dotted(detail["loc"]), detail["msg"].removeprefix("Value error, "))
            for detail in error.errors(include_url=False)
        ]
        raise SpecError(mistakes) from error


def _text(path: Path) -> str:
    """Content as UTF-8: another encoding could hide a declaration from the check above."""
    try:
        raw = path.read_bytes()
    except OSError as error:
        raise _refused(path, f"cannot be read: {error.strerror}") from error
    if len(raw) > MAX_BYTES:
        raise _refused(path, f"has {len(raw):,} bytes; at most {MAX_BYTES:,} are read")
    head = raw[:200].lower()
    if raw.startswith(_BYTE_ORDER_MARKS) or (b"encoding" in head and b"utf-8" not in head):
        raise _refused(path, "is not UTF-8 text")
    try:
        return raw.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise _refused(path, "is not UTF-8 text") from error


def _refused(path: Path, message: str) -> SpecError:
    return SpecError([Mistake(str(path), 0, 0, "", message)])
