"""Efficient and Scalable Agentic AI with Heterogeneous Systems, arXiv 2507.19635: pairs, networks, task graphs."""

from collections.abc import Mapping
from dataclasses import replace

import numpy as np

from dse.facts.catalog import accelerator
from dse.facts.catalog import model as catalog_model
from dse.facts.problem import Problem
from dse.facts.task_graph import Call, TaskGraph, load_task_graph
from dse.facts.workload.classes import load_workload
from dse.insight.cases.answers import Answers
from dse.insight.cases.registry import study
from dse.insight.cases.relation import Relation, above, below, near
from dse.insight.forecast import predict_rows
from dse.physics import transformer
from dse.search.placement import Node, Option, Placement, place, placed
from dse.search.scoring import passes
from dse.search.scoring.supply import YEAR, system_capital

EXAMPLE = {
    "prefill": Node({"HP": Option(0.080, 1000 * 8e-5), "CO": Option(0.130, 1000 * 5e-5)}),
    "decode": Node({"HP": Option(0.025, 500 * 6e-5), "CO": Option(0.030, 500 * 2e-5)}, after=("prefill",)),
}
"""Worked example: 1000 tokens in, 500 out; seconds and dollars of high-performance and cost-optimised parts."""

MOVED = {("prefill", "decode"): Option(0.010, 1000 * 5e-6)}
"""KV transfer of the example."""

MODEL = "llama_3_1_70b"
"""Model of the network relation and of the task graph."""

PROMPT = 32_768
"""Longest prompt for which the source finds its network enough [tok]."""

NETWORKS = (25e9, 50e9)
"""200 and 400 Gbit/s per part [B/s]."""

INSTANCE = 8
"""Parts that run one copy of the model."""

POOLS = ("b200_sxm", "gaudi3")
"""Pools on which the task graph is placed."""

RIVALS = (("h100_sxm", "h100_sxm"), ("b200_sxm", "b200_sxm"), ("b200_sxm", "gaudi3"))
"""Pairs of which the authors give gains (gimletlabs.ai, 2025-10-13, as reported by gomomento.com)."""

BASIS_GAP = (
    "a system price carries about 15,000 dollars of host and network per part whichever part it is, which weighs more "
    "on the cheaper one; per dollar of the part alone Gaudi 3 leads (row above)"
)

TABLE_GAP = (
    "here B200 decodes about twice as fast as Gaudi 3 for 1.8 times the system price; the paper's hardware table is "
    "not available to this catalog, and its own figures per dollar are said to point elsewhere too"
)


def relations(problem: Problem) -> tuple[Relation, ...]:
    """Worked example, network, pairs, task graph."""
    return (*_example(), *_network(problem), *_pairs(problem), *_graph(problem))


def _example() -> tuple[Relation, ...]:
    chosen = place(EXAMPLE, MOVED, 0.120)
    assert chosen is not None
    cheapest = placed(EXAMPLE, MOVED, {"prefill": "CO", "decode": "CO"})
    unlike = float(chosen.pools == {"prefill": "HP", "decode": "CO"})
    return (
        Relation(
            "worked example at 120 ms: prompts on the fast part, answers on the cheap one is chosen", unlike, 1, 1
        ),
        near("its cost", chosen.cost, 0.095, 1e-6, "$"),
        near("its latency", chosen.latency * 1e3, 120, 1e-6, "ms"),
        near("cost of cheap parts for both: 0.06 by the terms, printed as 0.07", cheapest.cost, 0.06, 1e-6, "$"),
    )


def _network(problem: Problem) -> tuple[Relation, ...]:
    """Time to send the KV of the longest prompt over the time to compute it, per part."""
    held = float(transformer.kv_bytes(passes.model_shape(catalog_model(MODEL)), np.array([float(PROMPT)]), 2.0)[0])
    seconds = min(_seconds(name, Call(fresh=PROMPT, output=1))[0] for name in problem.devices)
    return tuple(
        below(
            f"KV of 32K tokens over {8 * rate / 1e9:.0f} Gbit/s per part, over its prefill on the fastest part",
            held / (INSTANCE * rate) / seconds,
            1.0,
            "x",
        )
        for rate in NETWORKS
    )


def _pairs(problem: Problem) -> tuple[Relation, ...]:
    answers = Answers.of(problem)

    def cost(prefill: str, decode: str) -> float:
        return answers.where(prefill__device=prefill, decode__device=decode).best("cost")

    same = cost("b200_sxm", "b200_sxm")
    return (
        above(
            "cost per task, B200 for both over B200 + Gaudi 3", same / cost("b200_sxm", "gaudi3"), 1.0, "x", TABLE_GAP
        ),
        above(
            "cost per task, B200 for both over H100 + Gaudi 3", same / cost("h100_sxm", "gaudi3"), 1.0, "x", TABLE_GAP
        ),
        above(
            "cost per task, Gaudi 3 for both over B200 + Gaudi 3",
            cost("gaudi3", "gaudi3") / cost("b200_sxm", "gaudi3"),
            unit="x",
        ),
        *_price_basis(problem),
        *_rivals(problem),
    )


def _price_basis(problem: Problem) -> tuple[Relation, ...]:
    """Why the pairs go the way they go: bandwidth per dollar of the part alone and of its system."""
    bare = problem.with_values({"prices.host_share": 0.0, "prices.network_share": 0.0})
    answers = Answers.of(bare)
    same, mixed = (answers.where(prefill__device="b200_sxm", decode__device=one).best("cost") for one in POOLS)
    alone, whole = (_bandwidth_ratio(one) for one in (bare, problem))
    return (
        above("memory bandwidth per dollar, Gaudi 3 over B200, parts alone", alone, 1.0, "x"),
        above("the same with the share of host and network that a part needs", whole, 1.0, "x", BASIS_GAP),
        above("cost per task, B200 for both over B200 + Gaudi 3, parts alone: even", same / mixed, 0.95, "x"),
    )


def _bandwidth_ratio(problem: Problem) -> float:
    """Memory bandwidth per dollar of a system with Gaudi 3 over one with B200 [1]."""
    dear, cheap = (problem.devices[name] for name in POOLS)
    assert dear.memory is not None
    assert cheap.memory is not None
    worth = [part.memory.bandwidth / system_capital(part, problem.prices) for part in (cheap, dear) if part.memory]
    return worth[0] / worth[1]


def _rivals(problem: Problem) -> tuple[Relation, ...]:
    """Later figures of the same authors: cost against H100 for both, where answers are long."""
    agent = problem.agents[0]
    beside = load_workload(agent.spec.workload.replace("prompt_heavy", "answer_heavy"))
    answers = Answers.of(replace(problem, agents=(replace(agent, workload=beside),)))
    base, same, mixed = (answers.where(prefill__device=one, decode__device=other).best("cost") for one, other in RIVALS)
    return (
        near(
            "cost per task with long answers, H100 for both over B200 for both: about 2.5", base / same, 2.5, 0.2, "x"
        ),
        near("the same over B200 + Gaudi 3: up to 4", base / mixed, 4.0, 0.2, "x", BASIS_GAP),
    )


def _graph(problem: Problem) -> tuple[Relation, ...]:
    """The agent's graph: cheapest at a loose deadline, and at one between the quickest placement and that."""
    graph = load_task_graph(study("hetero_prefill_decode").parent / "graphs" / "coding_subagents.yaml")
    nodes, moved = _nodes(problem, graph)
    loose = _placed(nodes, moved, 1e6)
    fast = placed(nodes, moved, {name: _quickest(node) for name, node in nodes.items()})
    tight = _placed(nodes, moved, (fast.latency + loose.latency) / 2)
    single = min(
        (one.cost for one in (_on_one(nodes, moved, pool) for pool in POOLS) if one.latency <= tight.latency),
        default=np.inf,
    )
    return (
        above(
            "task graph: cost of the cheapest single pool over the mixed placement, same deadline",
            single / tight.cost,
            1.0,
            "x",
        ),
        above(
            "task graph: cost at the deadline halfway to the quickest, over no deadline",
            tight.cost / loose.cost,
            1.0,
            "x",
        ),
        below(
            "task graph: latency of that placement over the deadline",
            tight.latency / ((fast.latency + loose.latency) / 2),
        ),
    )


def _placed(nodes: Mapping[str, Node], moved: Mapping[tuple[str, str], Option], deadline: float) -> Placement:
    found = place(nodes, moved, deadline)
    if found is None:
        raise ValueError(f"no placement within {deadline} s")
    return found


def _quickest(node: Node) -> str:
    return min(node.options, key=lambda pool: node.options[pool].seconds)


def _on_one(nodes: Mapping[str, Node], moved: Mapping[tuple[str, str], Option], pool: str) -> Placement:
    """Everything on one pool; tools stay where they are."""
    return placed(
        nodes, moved, {name: pool if pool in node.options else next(iter(node.options)) for name, node in nodes.items()}
    )


def _nodes(problem: Problem, graph: TaskGraph) -> tuple[dict[str, Node], dict[tuple[str, str], Option]]:
    """A call is a prefill and a decode, each on one of the pools; what moves between them is the KV of its prompt."""
    nodes: dict[str, Node] = {}
    moved: dict[tuple[str, str], Option] = {}
    ends = {name: f"{name}.decode" if step.call else name for name, step in graph.steps.items()}
    shape = passes.model_shape(catalog_model(MODEL))
    for name in graph.order:
        step = graph.steps[name]
        after = tuple(ends[before] for before in step.after)
        if step.call is None:
            nodes[name] = Node({"host": Option(float(step.tool or 0.0), step.tool_cost)}, after)
            continue
        times = {pool: _seconds(pool, step.call) for pool in POOLS}
        rates = {pool: INSTANCE * system_capital(problem.devices[pool], problem.prices) / LIFE for pool in POOLS}
        options = [{pool: Option(times[pool][i], times[pool][i] * rates[pool]) for pool in POOLS} for i in (0, 1)]
        nodes[f"{name}.prefill"] = Node(options[0], after)
        nodes[ends[name]] = Node(options[1], (f"{name}.prefill",))
        tokens = np.array([step.call.fresh + step.call.cached])
        held = float(transformer.kv_bytes(shape, tokens, 2.0)[0])
        moved[f"{name}.prefill", ends[name]] = Option(held / (INSTANCE * NETWORKS[0]), 0.0)
    return nodes, moved


LIFE = 4 * YEAR
"""Time over which a system is written off [s], as in the price set."""


def _seconds(device: str, call: Call) -> tuple[float, float]:
    """Prefill and decode of one call on an idle instance [s]; every token at the mean context of the answer."""
    wired = accelerator(device).scale_up
    tp = min(INSTANCE, wired.domain if wired and wired.domain else INSTANCE)
    base = {"model": MODEL, "device": device, "tp": str(tp), "batch": "1", "weight_dtype": "fp8"}
    context = call.fresh + int(call.cached)
    rows = [
        {**base, "new_tokens": str(call.fresh), "cached_tokens": str(int(call.cached)), "phase": "prefill"},
        {**base, "new_tokens": "1", "cached_tokens": str(context + call.output // 2), "phase": "decode"},
    ]
    prefill, step = predict_rows(rows, "call")
    return float(prefill["seconds"]), float(step["seconds"]) * call.output
