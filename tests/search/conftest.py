"""Synthetic studies: toy serving systems whose true fronts are known by enumeration."""

from dataclasses import dataclass

import numpy as np
import pytest

from dse.search import pareto
from dse.search.axes import Designs, Inert, Pair
from dse.search.budget import budget as read_budget
from dse.search.explore import Options, explore
from dse.search.metrics import Goal, Metrics, scores
from dse.search.question import Question
from dse.search.space import Space, space

GOALS = (Goal("cost", False, "$/task"), Goal("throughput", True, "task/s/MW"), Goal("latency", False, "1"))
BATCH = 2.0 ** np.arange(8)


@dataclass(frozen=True)
class Toy:
    """A space and an evaluator over it; the arrays are drawn once from a seed."""

    space: Space
    tightness: float
    seed: int = 0

    def __call__(self, designs: Designs) -> Metrics:
        rng = np.random.default_rng(self.seed)
        tables = {axis.name: rng.random((4, len(axis.choices))) for axis in self.space.axes}
        active = self.space.active(designs)
        total = np.zeros((4, len(designs)))
        for index, name in enumerate(self.space.names):
            values = tables[name][:, designs[name]]
            other = self.space.names[(index + 1) % len(self.space.names)]
            values = values * (1 + 0.8 * tables[other][:1, designs[other]] * active[other])
            total += np.where(active[name], values, 0.1)
        speed, price, memory, power = total / len(tables)
        batch = np.broadcast_to(BATCH, (len(designs), len(BATCH)))
        seconds = (1.0 + 0.05 * batch) / (0.05 + speed[:, None] ** 3)
        rate = batch / seconds
        cost = (0.2 + price[:, None] ** 2 + 0.3 * power[:, None]) / rate
        need = batch * 0.1 / (0.05 + memory[:, None])
        slack = (self.tightness - need) / self.tightness
        return _rows(cost, rate / (0.2 + power[:, None]), seconds, slack)


def _rows(cost, throughput, latency, slack):
    n, m = cost.shape
    design, step = np.repeat(np.arange(n), m), np.tile(np.arange(m), n)
    violation = np.maximum(-slack, 0)
    least = violation == violation.min(axis=1, keepdims=True)
    keep = (least & ((violation <= 0) | (np.cumsum(least, axis=1) == 1))).ravel()
    columns = {"cost": cost, "throughput": throughput, "latency": latency, "slack_memory": slack}
    return Metrics(
        design=design[keep],
        columns={name: np.ascontiguousarray(values).ravel()[keep] for name, values in columns.items()},
        mapping={"decode.batch": BATCH[step[keep]].astype(np.int64)},
        violation=violation.ravel()[keep],
    )


def inert(lever, *choices):
    return Inert(lever, frozenset(choices))


DEVICES = tuple(f"d{n}" for n in range(8))
PAIRS = (Pair("prefill.device", "prefill.second_device"),)


def small_space() -> Space:
    """4,480 canonical designs."""
    levers = {
        "prefill.device": DEVICES,
        "decode.device": DEVICES[:7],
        "host": (0.0, 1.0, 2.0, 4.0),
        "topology": ("ring", "mesh", "torus", "switch", "dragonfly"),
        "kv_dtype": ("bf16", "fp8", "fp4", "int8"),
    }
    return space(levers, {})


def medium_space() -> Space:
    """About 5e5 canonical designs, with all kinds of dependences."""
    levers = {
        "serving": ("disaggregated", "colocated"),
        "prefill.device": DEVICES,
        "prefill.second_device": ("none", *DEVICES[1:]),
        "prefill.host": (0.0, 1.0, 2.0),
        "decode.device": DEVICES,
        "pool.technology": ("none", "cxl", "hbf"),
        "pool.capacity": (1.0, 2.0, 4.0, 8.0, 16.0),
        "optical": (0.0, 50.0, 100.0, 200.0, 400.0, 800.0),
        "topology": ("ring", "mesh", "torus", "switch"),
        "kv_dtype": ("bf16", "fp8"),
    }
    alone = inert("serving", "colocated")
    rules = {name: [alone] for name in levers if name.startswith("prefill.")}
    return space(levers, {**rules, "pool.capacity": [inert("pool.technology", "none")]}, PAIRS)


def tight_space() -> Space:
    """A few thousand designs of which few are feasible, with conditions on conditions."""
    levers = {
        "serving": ("colocated", "disaggregated"),
        "prefill.device": DEVICES[:4],
        "prefill.second_device": ("none", *DEVICES[:4]),
        "pool.technology": ("none", "cxl", "hbf"),
        "pool.capacity": (1.0, 2.0, 4.0, 8.0),
        "pool.ports": (1, 2),
        "decode.device": DEVICES[:6],
        "topology": ("ring", "mesh", "torus"),
    }
    rules = {
        "prefill.device": [inert("serving", "colocated")],
        "prefill.second_device": [inert("serving", "colocated")],
        "pool.technology": [inert("serving", "colocated")],
        "pool.capacity": [inert("pool.technology", "none")],
        "pool.ports": [inert("pool.technology", "none", "hbf")],
    }
    return space(levers, rules, PAIRS)


TOYS = {
    "small": Toy(small_space(), tightness=4.0, seed=1),
    "medium": Toy(medium_space(), tightness=4.0, seed=2),
    "tight": Toy(tight_space(), tightness=0.128, seed=3),
}


@pytest.fixture
def goals():
    return GOALS


@pytest.fixture
def toys():
    return TOYS


@pytest.fixture
def ask(tmp_path, monkeypatch):
    """Explore a toy study: `ask("small", "500 evaluations", seed=1, sampler="random")`."""
    monkeypatch.setattr("dse.search.runs.study.REST", 60)

    def asked(name, budget, **options):
        toy = options.pop("toy", TOYS[name])
        question = Question(name=name, space=toy.space, goals=GOALS, evaluate=toy, units={"host": "B"}, block=16)
        options = {"workers": 1, "results": tmp_path} | options
        return explore(question, Options(read_budget(budget), **options))

    return asked


@pytest.fixture(scope="session")
def truths():
    """Name of a toy study -> the scores of its true front."""
    return {name: _truth(toy) for name, toy in TOYS.items()}


def _truth(toy):
    found = np.zeros((0, len(GOALS)))
    for block in toy.space.blocks():
        metrics = toy(block)
        found = np.concatenate([found, scores(metrics, GOALS)[metrics.feasible]])
        found = found[pareto.nondominated(found)]
    return np.unique(pareto.rounded(found), axis=0)
