"""One small run for all tests of what is said about it."""

from pathlib import Path

import pytest

from dse.facts.problem import load
from dse.insight.notebook import Exploration, explore, open_run

STUDY = (Path(__file__).parents[1] / "studies" / "tiny.yaml").read_text()

MIXED = """\
version: 1
name: mixed
question: Which pool serves two classes?
agents:
  chat: {workload: chat, model: llama_3_1_70b, share: 0.8, context_policy: truncation}
  web: {workload: web_use, model: qwen3_235b_a22b, share: 0.2, context_policy: compaction}
levers:
  prefill.device: [b200_sxm]
  decode.device: [h200_sxm, b200_sxm]
  decode.second_device: [none, mi355x]
  pool.technology: [none, cxl_ddr5]
  pool.capacity: [1 TB]
prices: contract_2026
slo: {ttft: 30 s, tpot: 80 ms}
objectives: [minimize cost, maximize throughput, minimize latency]
budget: 64 evaluations
seed: 0
"""


@pytest.fixture(scope="session", params=[STUDY, MIXED], ids=["one class", "two classes"])
def run(request, tmp_path_factory) -> Exploration:
    folder = tmp_path_factory.mktemp("study")
    (folder / "study.yaml").write_text(request.param)
    made = explore(load(folder / "study.yaml"), results=folder / "results", workers=1)
    return open_run(str(made.folder))


@pytest.fixture(scope="session")
def single(tmp_path_factory) -> Exploration:
    folder = tmp_path_factory.mktemp("single")
    (folder / "study.yaml").write_text(STUDY)
    return explore(load(folder / "study.yaml"), results=folder / "results", workers=1)
