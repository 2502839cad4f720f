"""LIMINAL, arXiv 2507.14397: the limit of decode is bandwidth, then synchronisation."""

import numpy as np

from dse.arrays import FloatArray
from dse.facts.catalog import accelerator
from dse.facts.problem import Problem
from dse.insight.cases.relation import Relation, above, near
from dse.physics.demand import Load, Mapping, Precision
from dse.physics.work import pass_work
from dse.search.scoring import passes

FP8 = Precision(weight=1.0, expert=1.0, kv=1.0, activation=1.0, embedding=1.0)
"""One byte for everything, as the source counts."""

PUBLISHED = ((8, 0.6e-6, 86, 80), (32, 4.5e-6, 290, 271), (128, 4.5e-6, 776, 743))
"""Chips, time of one synchronisation [s], user tokens per second at 4K and at 128K context; source, table of limits."""

CONTEXTS = (4_096, 131_072)
"""Contexts of the source [tok]."""

PARTS = ("h200_sxm", "rubin_vr200", "groq_lpu_v1", "cerebras_wse3")
"""Parts of the catalog with HBM3e, HBM4, SRAM, and SRAM on a wafer; for stacked DRAM there is no part with figures."""

TOLERANCE = 0.02
"""Share within which the six figures must agree."""


def user_rate(
    problem: Problem, device: str, chips: FloatArray, sync: FloatArray, context: FloatArray | float
) -> FloatArray:
    """Tokens per second of one user: bytes of a decode pass over all bandwidth, and one synchronisation per layer."""
    shape = passes.model_shape(problem.agents[0].model)
    memory = problem.devices[device].memory
    assert memory is not None
    work = pass_work(shape, FP8, Mapping(), Load(1.0, 1.0, context))
    moved = (work.weight_bytes + work.kv_bytes).sum(axis=0)
    return np.asarray(1 / (moved / (memory.bandwidth * chips) + shape.n_layers * sync))


def relations(problem: Problem) -> tuple[Relation, ...]:
    """Six published rates, and what eight times the bandwidth buys at both ends."""
    found = []
    for chips, sync, *rates in PUBLISHED:
        for context, published in zip(CONTEXTS, rates, strict=True):
            got = user_rate(problem, "chip_1x", np.array([chips]), np.array([sync]), float(context))
            claim = f"one user of Llama-3.1-405B in fp8, {chips} chips of 4 TiB/s, {context // 1024}K context"
            found.append(near(claim, got[0], published, TOLERANCE, "tok/s"))
    sizes, syncs = (np.array([row[column] for row in PUBLISHED]) for column in (0, 1))
    wide, stock = (user_rate(problem, device, sizes, syncs, float(CONTEXTS[0])) for device in ("chip_8x", "chip_1x"))
    few, _, many = wide / stock
    claim = "8 times the bandwidth on 128 chips, where synchronisation binds"
    found.append(Relation(claim, float(many), 1.1, 4.5, "x"))
    found.append(Relation("the same on 8 chips buys more", float(few / many), 1.0, trend=True, unit="x"))
    return (*found, *_memories(problem))


def _memories(problem: Problem) -> tuple[Relation, ...]:
    """Parts of other memories, as many as hold the model and the cache of one user, at least eight."""
    shape = passes.model_shape(problem.agents[0].model)
    work = pass_work(shape, FP8, Mapping(), Load(1.0, 1.0, float(CONTEXTS[0])))
    moved = float((work.weight_bytes + work.kv_bytes).sum())
    rates, waits = {}, {}
    for name in PARTS:
        part = accelerator(name).memory
        assert part is not None
        chips = max(np.ceil(moved / part.capacity), PUBLISHED[0][0])
        sync = shape.n_layers * (PUBLISHED[0][1] if chips <= PUBLISHED[0][0] else PUBLISHED[1][1])
        step = moved / (part.bandwidth * chips) + sync
        rates[name], waits[name] = 1 / step, sync / step
    stock, taller, on_chip, wafer = PARTS
    return (
        above("one user at 4K on parts with HBM4 over parts with HBM3e", rates[taller] / rates[stock], unit="x"),
        above("the same, SRAM over HBM4", rates[on_chip] / rates[taller], unit="x"),
        above("synchronisation in a step on SRAM parts", waits[on_chip], 0.9),
        above("synchronisation in a step on wafers", waits[wafer], 0.9),
    )
