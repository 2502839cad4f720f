"""Degenerate systems written by hand, and designs of one small study in every way to serve."""

from functools import cache
from pathlib import Path

import numpy as np
import pytest

from dse.facts.problem import load
from dse.facts.workload.sessions import Steps, Tokens, steps
from dse.insight.case import case
from dse.insight.replays.case import served
from dse.replay.design import Served
from dse.replay.scenario import Scenario, of_class
from dse.replay.system import Decode, Keeping, Links, Prefill, System, Times
from dse.search.ask import ask
from dse.search.evaluation import Evaluator

FAR = np.array([0.0, 1e7])
DATA = Path(__file__).parent / "data"

STUDY = """\
version: 1
name: ways
question: Which way of serving is best?
agents:
  {agent}
levers:
  serving: [disaggregated, colocated, attention_offload]
  prefill.device: [b200_sxm]
  decode.device: [h200_sxm]
  decode.second_device: [none, mi355x]
  decode.host_memory: [0 GB, 512 GB]
  pool.technology: [none, cxl_ddr5]
  pool.capacity: [512 GB]
  kv_compression: [none, cachegen]
prices: contract_2026
serving: {{kv_homes: [{home}]}}
slo: {{ttft: 20 s, tpot: 100 ms}}
objectives: [minimize cost, maximize throughput, minimize latency]
budget: 10 s
"""
CHAT = "chat: {workload: chat, model: llama_3_1_70b, share: 1, context_policy: truncation}"
CODING = "coding: {workload: coding, model: qwen3_coder_480b, share: 1, context_policy: compaction}"

WAYS = {
    "decode": ("decode", {"serving": "disaggregated", "decode.host_memory": 512e9}),
    "coded": ("decode", {"serving": "disaggregated", "kv_compression": "cachegen"}),
    "prefill": ("prefill", {"serving": "disaggregated"}),
    "shared": ("shared", {"serving": "disaggregated", "pool.technology": "cxl_ddr5"}),
    "append": ("append_on_decode", {"serving": "disaggregated", "pool.technology": "cxl_ddr5"}),
    "colocated": ("decode", {"serving": "colocated", "decode.host_memory": 512e9}),
    "offload": ("decode", {"serving": "attention_offload", "decode.second_device": "mi355x"}),
}


@cache
def way(name: str, agent: str = CHAT) -> Served:
    """The cheapest mapping of a design that serves in this way."""
    home, chosen = WAYS[name]
    path = Path(_folder()) / f"{name}-{agent[:4]}.yaml"
    path.write_text(STUDY.format(agent=agent, home=home))
    problem = load(path)
    levers = {axis: choices[0] for axis, choices in problem.levers.items()} | chosen
    designs = ask(problem).space.encode(levers)
    own = case(Evaluator.of(problem), designs, {})
    return served(own, own.classes[0])


@cache
def _folder() -> str:
    from tempfile import mkdtemp

    return mkdtemp()


def scenario(name: str, agent: str = CHAT) -> Scenario:
    return of_class(way(name, agent))


def linear(seconds_per_token: float, step: float = 1.0, slots: int = 1) -> Times:
    """Prefill in proportion to its tokens, decode steps that always take the same time."""
    passes = np.outer(FAR * seconds_per_token, np.ones(2))
    return Times(np.full((slots + 1, 2), step), FAR, passes, FAR, passes, FAR, FAR)


def station(times: Times, ranks: int = 1, chunk: float = 10.0, first_come: bool = True, slots: int = 1) -> System:
    """A prefill pool whose answers have one token, so that nothing else is asked."""
    return System(times, Prefill(ranks, 1, chunk), Decode(1, slots, 1e12), Keeping(), Links(), first_come=first_come)


def single_steps(fresh: np.ndarray, output: float = 1.0) -> Steps:
    """Sessions of one step."""
    size = len(fresh)
    zero = np.zeros(size)
    return steps(np.arange(size), zero, Tokens(zero, fresh, np.full(size, output)))


@pytest.fixture(scope="session")
def rng() -> np.random.Generator:
    return np.random.default_rng(7)
