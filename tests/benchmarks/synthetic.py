"""Synthetic studies of our shape whose true fronts are known, because every design of theirs was scored.

Log-quantities of an architecture (compute, bandwidth, capacity, link, price, power) are sums of contributions of its
levers, drawn from a seed, and of interactions between pairs of levers. A mapping (devices per instance, batch) turns
them into cost, throughput and latency, and into the slacks of the requirements. So what is searched has two levels,
inert levers, device pairs whose order has no meaning, and a front that is no product of the fronts of its levers.
"""

import hashlib
import json
import math
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path

import moocore
import numpy as np

from dse.search import pareto
from dse.search.axes import Choice, Designs, Inert, Pair, Rows
from dse.search.metrics import Goal, Metrics, scores
from dse.search.question import Question
from dse.search.space import Space, space

GOALS = (Goal("cost", False, "$/task"), Goal("throughput", True, "task/s/MW"), Goal("latency", False, "1"))
QUANTITIES = ("compute", "bandwidth", "capacity", "link", "price", "power")
DEVICES = tuple(f"d{number:02}" for number in range(12))
WORK, SYNC, REQUEST = 0.1, 0.02, 0.3
"""Demand of a request: decode work per request, synchronisation of an instance, memory."""
GENERATION = 256
"""Designs of a generation: a design takes microseconds here."""
ROWS = 1 << 19
"""Rows of the enumeration that are scored together."""
MARGIN = 0.1
"""The reference point lies this part of the front's extent beyond its worst, in each objective."""


@dataclass(frozen=True)
class Limits:
    """Requirements; infinite where there is none."""

    latency: float = math.inf
    power: float = math.inf
    price: float = math.inf
    link: float = 0.0
    """Least link rate."""
    shoreline: float = math.inf
    """Most link rate and bandwidth together."""


@dataclass(frozen=True)
class Synthetic:
    """A study and its evaluator."""

    name: str
    space: Space
    limits: Limits
    instances: tuple[int, ...]
    """Devices per instance that a mapping may choose."""
    batches: tuple[int, ...]
    seed: int
    interactions: int = 12

    @cached_property
    def question(self) -> Question:
        """Question as the search sees it."""
        return Question(self.name, self.space, GOALS, self, generation=GENERATION)

    @property
    def mappings(self) -> int:
        """Mappings of an architecture."""
        return len(self.instances) * len(self.batches)

    @property
    def size(self) -> int:
        """Architectures times mappings."""
        return self.space.size * self.mappings

    def __call__(self, designs: Designs) -> Metrics:
        """Score designs: every feasible mapping of each, or its least violating one."""
        objectives, slacks, violation = self._scored(designs.rows)
        least = violation.argmin(axis=1)
        kept = violation <= 0
        kept[np.arange(len(kept)), least] = True
        kept &= violation <= violation[np.arange(len(kept)), least][:, None]
        owner, mapping = np.nonzero(kept)
        columns = dict(zip((goal.name for goal in GOALS), (values[kept] for values in objectives), strict=True))
        columns |= {name: np.broadcast_to(values, kept.shape)[kept] for name, values in slacks.items()}
        index = np.unravel_index(mapping, (len(self.instances), len(self.batches)))
        codes = {"tp": np.array(self.instances)[index[0]], "batch": np.array(self.batches)[index[1]]}
        return Metrics(owner, columns, codes, violation[kept])

    def single(self, rows: Rows, mapping: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """(n, k) scores and (n,) violation of architectures with one mapping each, as a flat search sees them."""
        canonical = self.space.canonical(rows).rows
        objectives, _, violation = self._scored(canonical, mapping[:, None])
        signs = np.array([-1.0 if goal.maximize else 1.0 for goal in GOALS])
        return signs * np.log10(np.stack([values[:, 0] for values in objectives], axis=1)), violation[:, 0]

    def _scored(
        self, rows: Rows, mapping: np.ndarray | None = None
    ) -> tuple[tuple[np.ndarray, ...], Mapping[str, np.ndarray], np.ndarray]:
        codes = np.arange(self.mappings)[None, :] if mapping is None else mapping
        compute, bandwidth, capacity, link, price, power = self._quantities(rows)
        tp = np.array(self.instances, dtype=np.float64)[codes // len(self.batches)]
        batch = np.array(self.batches, dtype=np.float64)[codes % len(self.batches)]
        step = (1 / compute + WORK * batch / bandwidth) / tp + SYNC * (tp - 1) / link
        rate = batch / step
        slacks = {
            "slack_capacity": 1 - (1 + REQUEST * batch) / (capacity * tp),
            "slack_latency": 1 - step / self.limits.latency,
            "slack_power": 1 - power * tp / self.limits.power,
            "slack_price": 1 - price * tp / self.limits.price,
            "slack_link": link / self.limits.link - 1 if self.limits.link else np.zeros_like(link),
            "slack_shoreline": 1 - (link + bandwidth) / self.limits.shoreline,
        }
        violation = np.zeros(step.shape)
        for slack in slacks.values():
            violation += np.maximum(-slack, 0)
        return (price * tp / rate, rate / (power * tp), step), slacks, violation

    def _quantities(self, rows: Rows) -> list[np.ndarray]:
        total = np.zeros((len(QUANTITIES), len(rows)))
        active = self.space.structure.active(rows)
        tables, pairs = self._tables
        for axis, table in enumerate(tables):
            total += np.where(active[:, axis], table[:, rows[:, axis]], 0.0)
        for first, second, quantity, table in pairs:
            both = active[:, first] & active[:, second]
            total[quantity] += np.where(both, table[rows[:, first], rows[:, second]], 0.0)
        return [np.exp(values)[:, None] for values in total]

    @cached_property
    def _tables(self) -> tuple[list[np.ndarray], list[tuple[int, int, int, np.ndarray]]]:
        """Contributions per lever and choice, and per pair of levers."""
        rng = np.random.default_rng(self.seed)
        tables = [self._contributions(rng, axis) for axis in range(len(self.space.axes))]
        pairs = []
        for _ in range(self.interactions):
            first, second = rng.choice(len(tables), 2, replace=False)
            table = 0.25 * np.multiply.outer(self._shape(rng, first), self._shape(rng, second))
            pairs.append((int(first), int(second), int(rng.integers(len(QUANTITIES))), table))
        return tables, pairs

    def _contributions(self, rng: np.random.Generator, index: int) -> np.ndarray:
        """(quantities, choices): a choice that gives more costs more, roughly."""
        axis = self.space.axes[index]
        worth = self._shape(rng, index)
        gain, noise = rng.uniform(0.1, 0.7, len(QUANTITIES)), 0.0 if axis.ordered else 0.15
        own = np.multiply.outer(gain * rng.choice([0.0, 1.0], len(QUANTITIES), p=[0.4, 0.6]), worth)
        own[-2:] = np.multiply.outer(gain[-2:] * 0.8, worth)
        bend = np.multiply.outer(rng.normal(0, 0.15, len(QUANTITIES)), worth**2)
        return np.asarray(own + bend + rng.normal(0, noise, own.shape) if noise else own + bend)

    def _shape(self, rng: np.random.Generator, index: int) -> np.ndarray:
        """(choices,) worth of each choice, -1 to 1; smooth along an ordered lever."""
        axis = self.space.axes[index]
        if axis.ordered:
            steps = np.linspace(-1, 1, len(axis.choices))
            return np.asarray(steps + 0.3 * np.sin(rng.uniform(1, 4) * steps + rng.uniform(0, 3)))
        return np.asarray(rng.uniform(-1, 1, len(axis.choices)))

    @cached_property
    def truth(self) -> np.ndarray:
        """(f, k) scores of the true front; kept in the folder for temporary files."""
        text = json.dumps([self.question.signature, vars(self.limits), self.instances, self.batches, self.interactions])
        key = hashlib.sha256(f"{text}{self.seed}{Path(__file__).read_text()}".encode()).hexdigest()[:16]
        place = Path(tempfile.gettempdir()) / "dse-true-fronts" / f"{self.name}-{key}.npy"
        if place.exists():
            return np.asarray(np.load(place))
        front = self._enumerated()
        place.parent.mkdir(exist_ok=True)
        np.save(place, front)
        return front

    def _enumerated(self) -> np.ndarray:
        found = np.zeros((0, len(GOALS)))
        for block in self._blocks():
            objectives, _, violation = self._scored(block.rows)
            good = violation <= 0
            values = np.stack([np.log10(values[good]) for values in objectives], axis=1)
            values[:, 1] *= -1
            found = np.concatenate([found, values[pareto.nondominated(values)]])
            found = found[pareto.nondominated(found)]
        return np.unique(pareto.rounded(found), axis=0)

    def _blocks(self) -> Iterator[Designs]:
        return self.space.blocks(length=max(ROWS // self.mappings, 1))

    @cached_property
    def reference(self) -> np.ndarray:
        """(k,) a little beyond the worst of the true front."""
        low, high = self.truth.min(axis=0), self.truth.max(axis=0)
        return np.asarray(high + MARGIN * (high - low))

    def share(self, found: np.ndarray) -> float:
        """Part of the true hypervolume that scores cover."""
        return pareto.hypervolume(found, self.reference) / pareto.hypervolume(self.truth, self.reference)

    def distance(self, found: np.ndarray) -> float:
        """IGD+ of scores: mean decades from a true front member to what was found, improvements not counted."""
        return float(moocore.igd_plus(found, ref=self.truth)) if len(found) else math.inf


def scored(study: Synthetic, designs: Designs) -> np.ndarray:
    """(m, k) scores of the feasible rows of designs."""
    metrics = study(designs)
    return scores(metrics, GOALS)[metrics.feasible]


def inert(lever: str, *choices: Choice) -> tuple[Inert, ...]:
    """Condition under which a lever has no effect."""
    return (Inert(lever, frozenset(choices)),)


def numbers(count: int, low: float = 1.0, ratio: float = 1.0) -> tuple[float, ...]:
    """Choices of an ordered lever."""
    return tuple(float(low * ratio**step if ratio > 1 else low + step) for step in range(count))


def two_level(seed: int) -> Synthetic:
    """2e5 architectures of categorical levers with 40 mappings each."""
    levers: dict[str, Sequence[Choice]] = {
        "prefill.device": DEVICES,
        "decode.device": DEVICES,
        "decode.second_device": ("none", *DEVICES),
        "topology": ("native", "ring", "torus", "switch"),
        "host": numbers(5),
        "optical": numbers(6),
        "weight_dtype": ("bf16", "fp8"),
    }
    made = space(levers, {}, [Pair("decode.device", "decode.second_device")])
    return Synthetic("two_level", made, Limits(latency=8.0), (1, 2, 4, 8, 16), tuple(2**n for n in range(8)), seed)


def conditional(seed: int) -> Synthetic:
    """2e7 architectures with levers that switch others off, and conditions on conditions."""
    levers: dict[str, Sequence[Choice]] = {
        "serving": ("disaggregated", "colocated"),
        "prefill.device": DEVICES[:8],
        "prefill.second_device": ("none", *DEVICES[:8]),
        "prefill.host": numbers(4),
        "decode.device": DEVICES[:8],
        "pool.technology": ("none", "cxl", "hbf", "nvme"),
        "pool.capacity": numbers(8, 1, 2),
        "pool.sharing": ("none", "pair", "rack"),
        "pool.ports": numbers(3),
        "optical": numbers(8),
        "topology": ("native", "ring", "torus", "switch", "dragonfly"),
        "kv_dtype": ("bf16", "fp8"),
    }
    rules = {name: inert("serving", "colocated") for name in levers if name.startswith("prefill.")}
    rules |= {name: inert("pool.technology", "none") for name in ("pool.capacity", "pool.sharing")}
    rules["pool.ports"] = inert("pool.sharing", "none")
    made = space(levers, rules, [Pair("prefill.device", "prefill.second_device")])
    return Synthetic("conditional", made, Limits(latency=8.0, power=60.0), (1, 4, 16), (1, 8, 64), seed)


def tight(seed: int) -> Synthetic:
    """1e6 architectures of which few meet six requirements."""
    levers: dict[str, Sequence[Choice]] = {
        "serving": ("colocated", "disaggregated"),
        "prefill.device": DEVICES[:6],
        "decode.device": DEVICES,
        "decode.second_device": ("none", *DEVICES),
        "memory": numbers(4),
        "host": numbers(6),
        "topology": ("native", "ring", "torus", "switch", "dragonfly"),
        "optical": numbers(8, 1, 2),
        "weight_dtype": ("bf16", "fp8"),
    }
    rules = {"prefill.device": inert("serving", "colocated")}
    made = space(levers, rules, [Pair("decode.device", "decode.second_device")])
    limits = Limits(latency=1.0, power=2.0, price=2.4, link=1.9, shoreline=4.0)
    return Synthetic("tight", made, limits, (1, 2, 4), (1, 2, 4, 8), seed)


def mixed(seed: int) -> Synthetic:
    """1e8 architectures: lists, whole numbers, logarithmic and continuous ranges."""
    levers: dict[str, Sequence[Choice]] = {
        "device": DEVICES,
        "topology": ("native", "ring", "switch"),
        "draft": tuple(range(8)),
        "memory": numbers(101),
        "capacity": numbers(17, 1, 1.4),
        "optical": numbers(201, 50),
    }
    return Synthetic("mixed", space(levers, {}), Limits(latency=6.0, power=20.0, shoreline=12.0), (2,), (4,), seed)


SHAPES = {"two_level": two_level, "conditional": conditional, "tight": tight, "mixed": mixed}
"""Name of a shape -> its study from a seed."""


def small(shape: str, seed: int) -> Synthetic:
    """The same shape with fewer choices per lever: enumerated in a second or two."""
    whole = SHAPES[shape](seed)
    most = {"two_level": 4, "conditional": 3, "tight": 4, "mixed": 8}[shape]
    levers = {axis.name: _thinned(axis.choices, most) for axis in whole.space.axes}
    rules = {axis.name: axis.inert for axis in whole.space.axes}
    return replace(whole, name=f"small_{shape}", space=space(levers, rules, whole.space.pairs))


def _thinned(choices: Sequence[Choice], most: int) -> tuple[Choice, ...]:
    picked = (
        np.unique(np.linspace(0, len(choices) - 1, most).astype(int)) if len(choices) > most else range(len(choices))
    )
    return tuple(choices[int(index)] for index in picked)
