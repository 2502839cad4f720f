"""Loading against recomputing (Mooncake, arXiv 2407.00079), and the memory in which a cache should wait."""

import numpy as np

from dse.arrays import FloatArray
from dse.facts.catalog import accelerator
from dse.facts.catalog import model as catalog_model
from dse.facts.problem import Problem
from dse.insight.cases.relation import Relation, above, near
from dse.insight.forecast import predict_rows
from dse.physics import transformer
from dse.physics.cost import holding_time
from dse.search.scoring import passes
from dse.search.scoring.supply import system_capital

MODEL = "llama_3_1_70b"
"""The 70B model of the source's example."""

PREFIX = 8_192.0
"""Cached tokens of the example."""

PUBLISHED = (("a100_80g_sxm", "A800", 6.0), ("h100_sxm", "H800", 19.0))
"""Parts with the compute of the source's, their names there, and the least useful bandwidth [GB/s]."""

TOLERANCE = 0.15
"""The source rounds to whole GB/s and counts the full square of causal attention and a smaller FFN."""

PART, TP = "h200_sxm", 8
"""Instance on which recomputing is priced."""

CONTEXTS = (8_192, 131_072)
"""Short and long context [tok]."""

STARTING_TIME = 10.0
"""Retention from which capacity is multiplied [s]."""

TIERS = ("hbm3e", "ddr5_rdimm", "hbf")
"""Memories from dear to cheap."""


def relations(problem: Problem) -> tuple[Relation, ...]:
    """Least bandwidths, break-even gaps by tier and context, and hit rate over capacity."""
    found = [
        near(
            f"least useful bandwidth for 8192 cached tokens of a 70B model on 8 {name}",
            _least(part),
            rate,
            TOLERANCE,
            "GB/s",
        )
        for part, name, rate in PUBLISHED
    ]
    short, long = (_gaps(problem, context) for context in CONTEXTS)
    found += [
        above("break-even gap at 128K context, host DRAM over HBM", long[1] / long[0], unit="x"),
        above("break-even gap at 128K context, high-bandwidth flash over host DRAM", long[2] / long[1], unit="x"),
        above("break-even gap in host DRAM, 128K over 8K context", long[1] / short[1], unit="x"),
        above("break-even gap of 128K in host DRAM", long[1] / 60, 5.0, "min"),
    ]
    return (*found, *_capacity(problem))


def _least(part: str) -> float:
    """Bandwidth at which eight devices at peak recompute a prefix as fast as it is loaded [GB/s]."""
    shape = passes.model_shape(catalog_model(MODEL))
    cached = np.array([PREFIX])
    rate, _ = passes.compute_rate(accelerator(part), "bf16")
    seconds = transformer.prefill_flop(shape, cached, np.zeros(1)) / (8 * rate)
    return float((transformer.kv_bytes(shape, cached, 2.0) / seconds)[0] / 1e9)


def _gaps(problem: Problem, context: int) -> FloatArray:
    """Break-even gap of a context in each tier [s]."""
    row = {
        "model": MODEL,
        "device": PART,
        "tp": str(TP),
        "batch": "1",
        "new_tokens": str(context),
        "cached_tokens": "0",
    }
    seconds = float(predict_rows([row], "recompute")[0]["seconds"])
    life = problem.prices.depreciation.likely
    money = seconds * TP * system_capital(problem.devices[PART], problem.prices) / life
    held = transformer.kv_bytes(passes.model_shape(catalog_model(MODEL)), np.array([float(context)]), 2.0)
    prices = np.array([_price(problem, tier) for tier in TIERS])
    return holding_time(np.array(money), held, prices, life)


def _price(problem: Problem, tier: str) -> float:
    """Price of a memory as a system owner pays it [$/B]: package memory carries the margin of the device maker."""
    price = problem.prices.memory[tier].likely
    return price / (1 - problem.prices.vendor_margin.likely) if tier == TIERS[0] else price


def _capacity(problem: Problem) -> tuple[Relation, ...]:
    """Hit rate of the coding sessions at a capacity, four and sixteen times of it, by the closed form of retention."""
    curves = problem.agents[0].workload.curves
    start = float(np.interp(STARTING_TIME, curves.retention, curves.occupancy))
    few, more, most = np.interp(start * np.array([1.0, 4.0, 16.0]), curves.occupancy, curves.hit_by_time)
    return (
        above(
            "hit rate at four times the capacity that keeps KV for 10 s, over the hit rate there", more / few, 1.05, "x"
        ),
        above("what the first fourfold gains over what the second gains", (more - few) / (most - more), 1.05, "x"),
    )
