"""PRESERVE, arXiv 2501.08192: weights and KV fetched into on-chip memory while the all-reduce runs."""

import numpy as np

from dse.arrays import FloatArray
from dse.facts.catalog import accelerator
from dse.facts.catalog import model as catalog_model
from dse.facts.problem import Problem
from dse.insight.cases.relation import Relation, above
from dse.insight.forecast import predict_rows
from dse.physics.network import prefetch_hidden_time
from dse.search.scoring import passes

PART, TP, CONTEXT = "h100_sxm", 8, 4_096

MODELS = ("llama_3_1_8b", "qwen3_32b", "llama_3_1_70b")

BATCHES = (1, 4, 16, 64)

REDUCTIONS = 2
"""All-reduces per layer: after attention and after the FFN."""

CACHES = np.array([8.0, 16.0, 24.0, 32.0, 48.0, 64.0, 80.0, 104.0, 128.0, 192.0]) * 1e6
"""On-chip memory for what is fetched ahead [B]; the source searches 8 MB to 104 MB."""

AREA = 0.45e-6
"""Die area of on-chip memory [mm2/B]: bit cell of 0.021 um2 (5 nm class), about 40 % array efficiency; an estimate."""

ENGINE_GAP = (
    "the one-shot all-reduce of today's engines takes 5 to 17 us, 20 to 60 MB at full bandwidth; the library "
    "collectives of the source take several times that"
)


def relations(_: Problem) -> tuple[Relation, ...]:
    """Largest gain, best cache without and with prefetch, and what it does per cost."""
    gains = np.array([[_gain(model, batch) for batch in BATCHES] for model in MODELS])
    speed = gains.max(axis=(0, 1))
    die = accelerator(PART).die
    assert die is not None
    assert die.area is not None
    price = 1 + AREA * (CACHES - CACHES[0]) / (die.area * 1e6)
    worth = gains.mean(axis=(0, 1)) / price
    best = int(np.argmax(worth))
    return (
        Relation("largest gain of decode, any model, batch and cache: up to 1.6", float(speed.max()), 1.05, 1.6, "x"),
        above(
            "best cache by performance per cost with prefetch, over the smallest", CACHES[best] / CACHES[0], 2.0, "x"
        ),
        Relation("that cache: about 100 MB", CACHES[best] / 1e6, 80, 130, "MB", gap=ENGINE_GAP),
        above("performance per cost at that cache over the smallest", worth[best] / worth[0], 1.0, "x"),
    )


def _gain(model: str, batch: int) -> FloatArray:
    """(caches,) time of a decode pass without prefetch over the time with it."""
    row = {"model": model, "device": PART, "tp": str(TP), "batch": str(batch), "new_tokens": "1"}
    found = predict_rows([{**row, "cached_tokens": str(CONTEXT)}], "pass")[0]
    part = accelerator(PART).memory
    assert part is not None
    count = REDUCTIONS * passes.model_shape(catalog_model(model)).n_layers
    hidden = count * prefetch_hidden_time(np.array(found["network_s"] / count), CACHES, part.bandwidth)
    return np.asarray(found["seconds"] / (found["seconds"] - np.minimum(hidden, found["memory_s"])))
