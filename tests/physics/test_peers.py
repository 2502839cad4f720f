"""The same pass by other tools: agreement where conventions are shared, difference where they err."""

import csv
from pathlib import Path

import pytest

from dse.facts import catalog
from dse.physics.transformer import Shape, shape
from dse.physics.work import GROUPS, Load, Mapping, Precision, Work, ledger, pass_work

FILE = Path(__file__).parent.parent / "reference" / "peers.csv"
ROWS = list(csv.DictReader(line for line in FILE.read_text().splitlines() if not line.startswith("#")))
GATHER = GROUPS.index("embedding")


def label(row: dict[str, str]) -> str:
    return "-".join(row[name] for name in ("peer", "model", "phase", "batch", "context", "tp"))


def rows(kind: str) -> list[dict[str, str]]:
    return [row for row in ROWS if row["kind"] == kind]


def model(row: dict[str, str]) -> Shape:
    return shape(**catalog.model(row["model"]).model_dump())


def precision(row: dict[str, str]) -> Precision:
    """Peers use one width for all weights."""
    weight = float(row["weight_bytes_per_element"])
    return Precision(weight, weight, float(row["kv_bytes_per_element"]), 2, embedding=weight)


def computed(row: dict[str, str], tp: float) -> Work:
    context = float(row["context"])
    new, cached = (context, 0.0) if row["phase"] == "prefill" else (1.0, context)
    return pass_work(model(row), precision(row), Mapping(tp=tp, moe_tp=tp), Load(float(row["batch"]), new, cached))


def divided(row: dict[str, str]) -> tuple[float, float]:
    """FLOP and bytes as the peers count: weights divided by tp, latents replicated, no look-up."""
    tp = float(row["tp"])
    whole, part = computed(row, 1.0), computed(row, tp)
    weights = whole.weight_bytes.sum() - whole.weight_bytes[GATHER].sum()
    return whole.flop.sum() / tp, weights / tp + part.kv_bytes.sum()


@pytest.mark.parametrize("row", rows("agree"), ids=label)
def test_peers_agree(row):
    flop, moved = divided(row)
    assert flop == pytest.approx(float(row["flop"]), rel=0.001)
    assert moved == pytest.approx(float(row["bytes_moved"]), rel=0.002)


@pytest.mark.parametrize("row", [row for row in rows("agree") if row["model"] != "deepseek_v3"], ids=label)
def test_real_division_of_grouped_query_models_is_near_the_ideal_one(row):
    work = computed(row, float(row["tp"]))
    moved = (work.weight_bytes + work.kv_bytes).sum() - work.weight_bytes[GATHER].sum()
    assert work.flop.sum() == pytest.approx(float(row["flop"]), rel=0.01)
    assert moved == pytest.approx(float(row["bytes_moved"]), rel=0.02)


@pytest.mark.parametrize("row", rows("topk_bytes"), ids=label)
def test_reading_top_k_experts_whatever_the_batch_is_not_our_convention(row):
    flop, moved = divided(row)
    assert flop == pytest.approx(float(row["flop"]), rel=0.02)
    assert moved > 1.5 * float(row["bytes_moved"])


@pytest.mark.parametrize("row", rows("wrong"), ids=label)
def test_sizing_every_expert_as_a_dense_ffn_is_not_our_convention(row):
    flop, _ = divided(row)
    book = ledger(model(row), precision(row), Mapping(tp=8, moe_tp=8))
    assert flop < 0.6 * float(row["flop"])
    assert float(book.weights_bytes[0]) < 0.12 * float(row["weight_bytes"])
    assert float(book.kv_bytes_per_token[0]) * 4096 * float(row["batch"]) > 4 * float(row["kv_bytes"])
