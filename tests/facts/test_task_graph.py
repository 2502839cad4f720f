"""Task graphs: order, and what is refused with its place."""

import pytest

from dse.facts.errors import SpecError
from dse.facts.task_graph import load_task_graph
from dse.insight.cases.registry import study

HEAD = "id: x\ndescription: x\nsource: x\nsteps:\n"


def written(tmp_path, text):
    path = tmp_path / "graph.yaml"
    path.write_text(HEAD + text)
    return path


def test_shipped_graph_is_in_order():
    graph = load_task_graph(study("hetero_prefill_decode").parent / "graphs" / "coding_subagents.yaml")
    order = graph.order
    assert order[0] == "plan"
    assert order[-1] == "report"
    assert all(order.index(before) < order.index(name) for name in order for before in graph.steps[name].after)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("  a: {after: [b], tool: 1 s}\n  b: {after: [a], tool: 1 s}\n", "in a circle: a, b"),
        ("  a: {after: [plam], tool: 1 s}\n  plan: {tool: 1 s}\n", 'Did you mean "plan"'),
        ("  a: {tool: 1 s, call: {fresh: 1, output: 1}}\n", "either `call` or `tool`"),
        ("  a: {after: []}\n", "either `call` or `tool`"),
        ("  a: {tool: 1}\n", "expected a time"),
    ],
)
def test_what_is_wrong_is_said(tmp_path, text, message):
    with pytest.raises(SpecError) as refused:
        load_task_graph(written(tmp_path, text))
    assert message.replace('"', "`") in str(refused.value).replace('"', "`")
