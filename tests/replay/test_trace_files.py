"""Every layout of a trace is read, replayed in full, and refused with the line where it is wrong."""

import json
from pathlib import Path

import numpy as np
import pytest

from dse.facts.errors import SpecError
from dse.facts.workload.traces import read_trace
from dse.replay.scenario import Plan, of_file, play
from tests.replay.conftest import CODING, DATA, way

AGENTS = "trace_id,agent,step,t_s,input_tokens,output_tokens,prefix_hit_tokens,api_time_s,think_time_s\n"


@pytest.mark.parametrize("path", sorted(DATA.glob("*.[cj]s*")), ids=lambda path: path.stem)
def test_a_real_trace_is_served_to_its_last_request(path: Path) -> None:
    own = of_file(way("decode", CODING), path)
    found = play(own, Plan(rate=None if own.trace.times is not None else 0.05, once=True)).outcome
    assert found.counts.unfinished == found.counts.rejected == 0
    assert found.counts.finished == len(own.trace.steps)
    assert own.predicted()["hit_rate"] == pytest.approx(found.hit_rate, abs=0.25)


def test_reduced_and_unreduced_sessions_agree() -> None:
    raw = read_trace(DATA / "claude_code_trace_0012.json")
    assert raw.blocks is not None
    assert raw.blocks.size == 64
    assert len(raw.steps) == 14
    assert raw.steps.gap.tolist()[:3] == [0, 7, 6]
    assert raw.steps.context[0] == 15161
    assert raw.steps.cached[1] == 236 * 64


def test_pauses_that_span_an_unknown_answer_are_cut(tmp_path: Path) -> None:
    rows = ("a,main,0,0,100,5,0,,0", "a,main,1,10,120,5,64,3,60", "a,main,2,30,140,5,64,3,", "a,sub1,0,5,50,5,0,1,0")
    path = tmp_path / "agents.csv"
    path.write_text(AGENTS + "\n".join(rows))
    found = read_trace(path).steps
    assert found.gap.tolist() == [0, 10, 20, 0]
    assert found.sequences == 2


BAD = {
    "backwards": (AGENTS + "a,main,0,9,100,5,0,1,0\na,main,1,3,120,5,64,1,1\n", 3, "before the previous request"),
    "negative": (AGENTS + "a,main,0,0,100,-5,0,1,0\n", 2, "at least 0"),
    "unknown column": (AGENTS.replace("step", "stepp") + "a,main,0,0,100,5,0,1,0\n", 1, "no column of this layout"),
    "more hits than prompt": (AGENTS + "a,main,0,0,100,5,200,1,0\n", 2, "prefix_hit_tokens"),
    "azure backwards": (
        "TIMESTAMP,ContextTokens,GeneratedTokens\n2023-11-16 18:00:02,4,1\n2023-11-16 18:00:01,4,1\n",
        3, "timestamps fall",
    ),
    "empty": ("", 0, "holds no request"),
}  # fmt: skip


@pytest.mark.parametrize("name", BAD)
def test_mistakes_name_their_line(tmp_path: Path, name: str) -> None:
    text, line, words = BAD[name]
    path = tmp_path / "trace.csv"
    path.write_text(text)
    with pytest.raises(SpecError) as caught:
        read_trace(path)
    assert [mistake.line for mistake in caught.value.mistakes] == [line]
    assert words in str(caught.value)


def test_a_session_file_without_blocks_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "session.json"
    path.write_text(json.dumps({"id": "x", "block_size": 64, "requests": [{"t": 0, "in": 5, "out": 1}]}))
    with pytest.raises(SpecError, match="hash_ids"):
        read_trace(path)


def test_times_of_a_file_are_kept_in_the_order_of_its_steps() -> None:
    found = read_trace(DATA / "mooncake_conversation_head.jsonl")
    assert found.times is not None
    assert found.blocks is not None
    assert len(found.times) == len(found.steps)
    again = np.flatnonzero(~found.steps.first)
    assert np.allclose(found.times[again] - found.times[again - 1], found.steps.gap[again])
