"""Graph files beside a topology: GraphML and node-link JSON, read without trust.

GraphML is XML. The parser below fetches nothing from outside, but it would expand entities that a file
defines for itself, which a few lines can blow up to gigabytes: a file that declares any is refused before it
is parsed.
"""

import io
import warnings
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any
from xml.etree.ElementTree import ParseError
from xml.parsers import expat

import networkx
from pydantic import ValidationError

from dse.facts import files, reader
from dse.facts.errors import Mistake, SpecError
from dse.facts.quantities import Strict
from dse.facts.topology.spec import Wiring

MAX_BYTES = 10_000_000
"""A graph of two thousand devices needs about a tenth of this."""


_BROKEN = (ParseError, networkx.NetworkXError, LookupError, ValueError, TypeError, AttributeError, UserWarning)
"""What the reader of graphs raises on files that are XML but no graph."""


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
    text = files.read_text(path, MAX_BYTES)
    _refuse_declarations(path, text)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            graph = networkx.read_graphml(io.BytesIO(text.encode()))
    except _BROKEN as error:
        raise _refused(path, f"is not GraphML that can be read: {error}") from error
    if graph.is_directed():
        raise _refused(path, 'links are the same in both directions: write edgedefault="undirected"')
    return _wiring(path, graph.nodes(data=True), graph.edges(data=True))


def _refuse_declarations(path: Path, text: str) -> None:
    """Refuse what is no XML, and XML that declares entities, with the place; nothing is expanded or fetched."""
    parser = expat.ParserCreate("utf-8")

    def declared(*_: object) -> int:
        why = "declares a DOCTYPE or an ENTITY, which graph files do not need: remove the declaration"
        where = (parser.CurrentLineNumber, parser.CurrentColumnNumber + 1)
        raise SpecError([Mistake(str(path), *where, "", why)])

    def encoded(_version: str, encoding: str | None, _standalone: int) -> None:
        if (encoding or "utf-8").lower() != "utf-8":
            why = f'is not UTF-8 text: it says encoding="{encoding}"'
            raise SpecError([Mistake(str(path), parser.CurrentLineNumber, 1, "", why)])

    parser.XmlDeclHandler = encoded
    parser.StartDoctypeDeclHandler = parser.EntityDeclHandler = parser.ExternalEntityRefHandler = declared
    try:
        parser.Parse(text.encode(), True)
    except expat.ExpatError as error:
        why = f"is not GraphML, and no XML at all: {expat.ErrorString(error.code)}"
        raise SpecError([Mistake(str(path), error.lineno, error.offset + 1, "", why)]) from error


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


def _refused(path: Path, message: str) -> SpecError:
    return SpecError([Mistake(str(path), 0, 0, "", message)])
