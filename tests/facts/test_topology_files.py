"""Topology files: what ships loads, what is wrong is refused with its place."""

import json
from pathlib import Path

import networkx
import numpy as np
import pytest

from dse.facts.errors import SpecError
from dse.facts.topology.graph import graph
from dse.facts.topology.network import load_topology
from dse.facts.topology.reduce import derive

SHIPPED = sorted((Path(__file__).parents[2] / "topologies").glob("*.yaml"))
NAMES = {
    "nvl8",
    "nvl72",
    "two_tier",
    "fullflat",
    "fat_tree",
    "ring",
    "torus_2d",
    "torus_3d",
    "full_mesh",
    "hyperx",
    "dragonfly",
    "optical_pool",
    "asymmetric",
}

HEAD = """\
description: a test
tiers:
  scale_up: {bandwidth: 450 GB/s, hop_latency: {value: 1 us, source: test}}
sources: [test]
"""
GRAPHML = """\
<?xml version="1.0" encoding="UTF-8"?>
<graphml xmlns="http://graphml.graphdrawing.org/xmlns">
  <key id="tier" for="edge" attr.name="tier" attr.type="string"/>
  <key id="share" for="edge" attr.name="share" attr.type="double"/>
  <graph edgedefault="undirected">
    <node id="a"/><node id="b"/><node id="c"/>
    <edge source="a" target="b"><data key="tier">scale_up</data><data key="share">0.5</data></edge>
    <edge source="b" target="c"><data key="tier">scale_up</data></edge>
  </graph>
</graphml>
"""
NODE_LINK = {
    "directed": False,
    "multigraph": False,
    "graph": {},
    "nodes": [{"id": "a"}, {"id": "b"}, {"id": "c"}],
    "edges": [
        {"source": "a", "target": "b", "tier": "scale_up", "share": 0.5},
        {"source": "b", "target": "c", "tier": "scale_up"},
    ],
}
WIRING = """\
wiring:
  nodes: {a: {}, b: {}, c: {}}
  edges:
    - {ends: [a, b], tier: scale_up, share: 0.5}
    - {ends: [b, c], tier: scale_up}
"""


def written(folder: Path, body: str, name: str = "t.yaml") -> Path:
    path = folder / name
    path.write_text(HEAD + body)
    return path


def refusal(path: Path) -> str:
    with pytest.raises(SpecError) as caught:
        load_topology(path)
    return str(caught.value)


def test_every_named_topology_ships():
    assert {path.stem for path in SHIPPED} == NAMES


@pytest.mark.parametrize("path", SHIPPED, ids=lambda path: path.stem)
def test_shipped_topology_reduces(path):
    reduced = derive(load_topology(path))
    arrays = [value for value in vars(reduced).values() if isinstance(value, np.ndarray)]
    assert all(np.isfinite(array).all() and (array >= 0).all() for array in arrays)
    assert not any(array.flags.writeable for array in arrays)
    assert reduced.steps.shape == reduced.traffic.shape == (6, reduced.sizes.size, len(reduced.tiers))
    assert (reduced.traffic[:, 1:].sum(axis=2) > 0).all()
    assert (reduced.steps[:, 0] == 0).all()
    assert (reduced.traffic[:, 0] == 0).all()


@pytest.mark.parametrize("path", SHIPPED, ids=lambda path: path.stem)
def test_links_of_a_device_carry_at_most_its_bandwidth_per_tier(path):
    built = graph(load_topology(path))
    for name, data in built.nodes(data=True):
        if data["kind"] == "accelerator":
            for tier in {link["tier"] for _, _, link in built.edges(name, data=True)}:
                links = [link["share"] for _, _, link in built.edges(name, data=True) if link["tier"] == tier]
                assert sum(links) <= 1 + 1e-12


@pytest.mark.parametrize("body", [WIRING, "file: g.graphml\n", "file: g.json\n"], ids=["yaml", "graphml", "node_link"])
def test_three_ways_to_write_a_graph_are_the_same(tmp_path, body):
    (tmp_path / "g.graphml").write_text(GRAPHML)
    (tmp_path / "g.json").write_text(json.dumps(NODE_LINK))
    built = graph(load_topology(written(tmp_path, body)))
    edges = {(*sorted(ends), data["share"], data["bandwidth"]) for *ends, data in built.edges(data=True)}
    assert edges == {("a", "b", 0.5, 225e9), ("b", "c", 1.0, 450e9)}


def test_file_written_by_networkx_is_read(tmp_path):
    drawn = networkx.Graph()
    drawn.add_edge("x", "y", tier="scale_up", share=0.25, links=2)
    networkx.write_graphml(drawn, tmp_path / "g.graphml")
    loaded = load_topology(written(tmp_path, "file: g.graphml\n"))
    assert loaded.wiring is not None
    assert (loaded.wiring.edges[0].share, loaded.wiring.edges[0].links) == (0.25, 2)


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        (GRAPHML.replace("<graphml", '<!DOCTYPE g [<!ENTITY x "y">]><graphml', 1), "DOCTYPE"),
        (GRAPHML.replace("<graphml", "<!doctype g><graphml", 1), "no XML at all"),
        (GRAPHML.replace("UTF-8", "UTF-7"), "UTF-8"),
        (GRAPHML.replace('"undirected"', '"directed"'), "both directions"),
        (GRAPHML.replace("</graphml>", ""), "not GraphML"),
        (GRAPHML.replace('target="c"', 'target="b"'), "to itself"),
        (GRAPHML.replace("0.5", "-1"), "greater than 0"),
        (GRAPHML.replace(">scale_up<", ">scale_upp<", 1), "Did you mean `scale_up`?"),
        (GRAPHML.replace('attr.name="share"', 'attr.name="shares"'), "shares"),
    ],
)
def test_bad_graphml_is_refused(tmp_path, content, expected):
    (tmp_path / "g.graphml").write_text(content)
    message = refusal(written(tmp_path, "file: g.graphml\n"))
    assert "g.graphml" in message
    assert expected in message


@pytest.mark.parametrize("encoding", ["utf-16", "utf-16-le", "utf-32"])
def test_declaration_cannot_hide_in_another_encoding(tmp_path, encoding):
    bomb = '<?xml version="1.0"?><!DOCTYPE g [<!ENTITY x "y">]><graphml/>'
    (tmp_path / "g.graphml").write_bytes(bomb.encode(encoding))
    refusal(written(tmp_path, "file: g.graphml\n"))


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        ({"directed": True}, "both directions"),
        ({"nodes": [{"name": "a"}]}, "has no `id`"),
        ({"edges": [{"source": "a"}]}, "`source` and `target`"),
        ({"edges": [{"source": "a", "target": "d", "tier": "scale_up"}]}, "`d`, which is no node"),
    ],
)
def test_bad_node_link_is_refused(tmp_path, change, expected):
    (tmp_path / "g.json").write_text(json.dumps(NODE_LINK | change))
    assert expected in refusal(written(tmp_path, "file: g.json\n"))


@pytest.mark.parametrize(
    ("body", "expected"),
    [
        ("file: ../g.graphml\n", "in the folder"),
        ("file: /etc/g.graphml\n", "in the folder"),
        ("", "exactly one of"),
        ("file: g.json\n" + WIRING, "found file and wiring"),
        ("generator: {kind: switch, devices: 8, tier: scale_out}\n", "tier `scale_out` is not described"),
        ("generator: {kind: switch, devices: 0}\n", "at least 1"),
        ("generator: {kind: switch, device: 8}\n", "unknown field `device`"),
        ("generator: {kind: torus, dims: []}\n", "entries"),
        (
            "generator: {kind: dragonfly, groups: 9, routers: 2, devices_per_router: 1, global_links: 2}\n",
            "8 other groups",
        ),
    ],
)
def test_bad_topology_is_refused_with_its_place(tmp_path, body, expected):
    message = refusal(written(tmp_path, body))
    assert "t.yaml" in message
    assert expected in message


@pytest.mark.parametrize(("name", "expected"), [("g.txt", ".graphml or .json"), ("absent.graphml", "cannot be read")])
def test_graph_file_that_cannot_be_used_is_named(tmp_path, name, expected):
    message = refusal(written(tmp_path, f"file: {name}\n"))
    assert name in message
    assert expected in message


@pytest.mark.parametrize("bandwidth", ["scale_upp", "450", "450 GB", "0 GB/s", "yards"])
def test_bandwidth_is_a_symbol_or_a_quantity(tmp_path, bandwidth):
    path = tmp_path / "t.yaml"
    body = HEAD.replace("450 GB/s", bandwidth) + "generator: {kind: switch, devices: 8}\n"
    path.write_text(body)
    assert "t.yaml:3" in refusal(path)


def test_graph_with_an_island_is_refused(tmp_path):
    lonely = WIRING.replace("    - {ends: [b, c], tier: scale_up}\n", "")
    with pytest.raises(SpecError, match="cannot reach each other"):
        derive(load_topology(written(tmp_path, lonely)))


def test_two_tiers_between_the_same_nodes_are_refused(tmp_path):
    path = tmp_path / "t.yaml"
    tier = "  other: {bandwidth: optical, hop_latency: {value: 1 us, source: test}}\nsources:"
    path.write_text(HEAD.replace("sources:", tier) + WIRING + "    - {ends: [a, b], tier: other}\n")
    with pytest.raises(SpecError, match="two tiers"):
        derive(load_topology(path))
