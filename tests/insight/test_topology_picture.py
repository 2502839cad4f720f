"""Interconnects are drawn as groups: the abstraction is exact, the picture small."""

from pathlib import Path
from xml.etree import ElementTree

import pytest

from dse.facts.topology.graph import graph, names_of
from dse.facts.topology.network import load_topology
from dse.insight.topology_abstract import abstract
from dse.insight.topology_picture import file, page, svg, words

FILES = sorted((Path(__file__).parents[2] / "topologies").glob("*.yaml"))


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_groups_hold_every_node_and_every_link(path):
    topology = load_topology(path)
    own, built = abstract(topology), graph(topology)
    assert sum(group.size for group in own.groups) == len(built)
    assert sum(group.size for group in own.groups if group.kind == "accelerator") == len(names_of(built, "accelerator"))
    assert sum(bundle.links for bundle in own.bundles) == sum(data["links"] for *_, data in built.edges(data=True))
    assert len(own.groups) <= 8


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_picture_is_well_formed_and_small(path):
    drawn = svg(abstract(load_topology(path)), alone=True)
    root = ElementTree.fromstring(drawn)
    assert root.tag.endswith("svg")
    assert len(drawn) < 12_000


def test_rack_is_two_groups():
    own = abstract(load_topology(next(path for path in FILES if path.stem == "nvl72")), {"scale_up": 900e9})
    assert [(group.kind, group.size) for group in own.groups] == [("accelerator", 72), ("switch", 18)]
    (bundle,) = own.bundles
    assert (bundle.links, bundle.degree, bundle.bandwidth) == (72 * 18, 18, pytest.approx(900e9))
    assert words(own) == ["72 accelerators to 18 switches: 18 copper links each, 900 GB/s each"]


def test_repetition_is_counted_rather_than_drawn():
    own = abstract(load_topology(next(path for path in FILES if path.stem == "two_tier")))
    assert max(bundle.units for bundle in own.bundles) == 16


def test_files_of_a_topology():
    assert file("ring", Path.cwd()).startswith("<svg")
    made = page("ring", Path.cwd())
    assert "<h1>ring</h1>" in made
    assert "Sources" in made
