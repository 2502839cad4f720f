"""OI and CF of agents, arXiv 2601.22001: the plane of operational intensity and capacity footprint."""

import numpy as np

from dse.arrays import FloatArray
from dse.facts.catalog import accelerator
from dse.facts.models import Model
from dse.facts.problem import Problem
from dse.insight.cases.relation import Relation, above, below
from dse.physics import intensity, transformer
from dse.physics.demand import Load, Mapping, Precision
from dse.physics.work import ledger, pass_work
from dse.search.scoring import passes

WIDTHS = {"bf16": 2.0, "fp8": 1.0, "fp4": 0.5}
"""Formats of the source with their bytes per element."""

DEVICE = "b200_sxm"
"""The device that the source names."""

MODEST = 16
"""Requests of a modest batch: that of the source's figure for DeepSeek-R1."""

GROWTH = (1e3, 1e6)
"""Contexts between which footprints are compared [tok]."""

LONG = 300_000.0
"""Long context at which the source speaks of about 100 GB per request [tok]."""


def relations(problem: Problem) -> tuple[Relation, ...]:
    """Footprints, quadrants, and what more cards do."""
    grouped, every, latent = (_model(problem, name) for name in ("llama_3_1_70b", "llama_70b_mha", "deepseek_r1"))
    growth = {model.id: np.diff(_kv(model, np.array(GROWTH), 2.0))[0] for model in (grouped, every, latent)}
    long = float(_cf(latent, LONG, MODEST, 2.0)) / 1e9
    return (
        above(
            "growth of the footprint with context: multi-head over grouped-query", growth[every.id] / growth[grouped.id]
        ),
        above(
            "growth of the footprint with context: grouped-query over latent", growth[grouped.id] / growth[latent.id]
        ),
        Relation(
            "DeepSeek-R1 in bf16, batch 16, 300K context: about 100 GB and more per request", long, 100, 120, "GB"
        ),
        *_quadrants(problem, (grouped, every, latent)),
        _outgrown(problem, grouped),
        *_cards(grouped),
    )


def _model(problem: Problem, name: str) -> Model:
    return next(agent.model for agent in problem.agents if agent.model.id == name)


def _widths(width: float) -> Precision:
    return Precision(width, width, width, max(width, 1.0))


def _kv(model: Model, context: FloatArray, width: float) -> FloatArray:
    return np.asarray(transformer.kv_bytes(passes.model_shape(model), context, width), dtype=np.float64)


def _weights(model: Model, width: float) -> float:
    return float(ledger(passes.model_shape(model), _widths(width), Mapping()).weights_bytes[0])


def _cf(model: Model, context: float, batch: int, width: float) -> float:
    kv = _kv(model, np.array([context]), width)
    return float(intensity.cf_request(kv, _weights(model, width), np.array([float(batch)]))[0])


def _ridge(name: str) -> float:
    rate, _ = passes.compute_rate(accelerator(DEVICE), name)
    memory = accelerator(DEVICE).memory
    assert memory is not None
    return float(intensity.oi_ridge(np.array(rate), np.array(memory.bandwidth)))


def _oi(model: Model, width: float, load: Load) -> float:
    return float(intensity.phase_oi(pass_work(passes.model_shape(model), _widths(width), Mapping(), load))[0])


def _quadrants(problem: Problem, models: tuple[Model, ...]) -> tuple[Relation, ...]:
    """Decode lies left of the ridge whatever the agent, model and format; prefill of a cold context right of it.

    The last model has experts, of which a short prompt touches many: its prefill is right of the ridge for most agents.
    """
    decode, first = (
        np.array(
            [
                [[_oi(model, width, load) / _ridge(name) for name, width in WIDTHS.items()] for load in loads]
                for model in models
            ]
        )
        for loads in _loads(problem)
    )
    return (
        below(
            "decode at batch 16 is left of the ridge for every agent, model and format: largest OI / ridge",
            decode.max(),
        ),
        above("prefill of a cold context on the dense models is right of it: smallest OI / ridge", first[:-1].min()),
        Relation(
            "agents whose cold context is right of it on DeepSeek-R1, of four",
            float((first[-1, :, 0] >= 1).sum()),
            2,
            4,
            trend=True,
        ),
    )


def _loads(problem: Problem) -> tuple[list[Load], list[Load]]:
    """A decode step at a modest batch and a cold prompt, of every agent."""
    contexts = [agent.workload.served.context for agent in problem.agents]
    return [Load(float(MODEST), 1.0, size) for size in contexts], [Load(1.0, size, 0.0) for size in contexts]


def _outgrown(problem: Problem, model: Model) -> Relation:
    """Agents whose mean context on the grouped-query model outgrows one device at a modest batch."""
    memory = accelerator(DEVICE).memory
    assert memory is not None
    contexts = np.array([agent.workload.served.context for agent in problem.agents])
    held = _weights(model, 2.0) + MODEST * _kv(model, contexts, 2.0)
    outgrown = int((held > memory.capacity).sum())
    return Relation(
        "agents that outgrow one B200 on the 70B model in bf16 at batch 16, of four", outgrown, 2, 4, trend=True
    )


def _cards(model: Model) -> tuple[Relation, Relation]:
    """Eight cards instead of one: footprint of each, intensity of the pass."""
    load = Load(float(MODEST), 1.0, 32_768.0)
    shape = passes.model_shape(model)
    one, eight = (pass_work(shape, _widths(2.0), Mapping(tp=degree), load) for degree in (1, 8))
    books = [ledger(shape, _widths(2.0), Mapping(tp=degree)) for degree in (1, 8)]
    held = [float(book.weights_bytes[0] + MODEST * 32_768.0 * book.kv_bytes_per_token[0]) for book in books]
    ratio = float(intensity.phase_oi(eight)[0] / intensity.phase_oi(one)[0])
    return (
        above("eight cards cure the footprint: bytes per device, one card over eight", held[0] / held[1], 7.5),
        Relation("eight cards do not cure the intensity: OI, eight cards over one", ratio, 0.8, 1.05, trend=True),
    )
