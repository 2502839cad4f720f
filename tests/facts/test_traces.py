"""Trace readers: every layout, hand-computed sessions, burstiness, and every mistake with its line."""

import json
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dse.facts.errors import SpecError
from dse.facts.workload import traces
from dse.facts.workload.classes import described, from_trace, load_workload, write
from dse.facts.workload.sessions import share_prefix

HEADER = "session,gap_s,cached_tokens,fresh_tokens,output_tokens\n"


def mooncake(*requests: tuple[int, int, int, list[int]]) -> str:
    return "".join(json.dumps(dict(zip(traces.MOONCAKE, request, strict=True))) + "\n" for request in requests)


def written(folder: Path, name: str, text: str) -> Path:
    path = folder / name
    path.write_text(text, encoding="utf-8")
    return path


def complaints(path: Path) -> list[str]:
    with pytest.raises(SpecError) as caught:
        traces.read_trace(path)
    return [str(mistake).replace(str(path), "FILE") for mistake in caught.value.mistakes]


def test_mooncake_blocks_become_sessions(tmp_path: Path) -> None:
    text = mooncake(
        (0, 1000, 10, [0, 1]),
        (1000, 600, 20, [0, 9]),
        (5000, 1500, 30, [0, 1, 2]),
        (9000, 1536, 30, [0, 1, 2]),
    )
    found = traces.read_trace(written(tmp_path, "m.jsonl", text))
    assert found.shared == 512
    assert found.steps.sessions == 2
    assert found.steps.context.tolist() == [1000, 1500, 1536, 600]
    assert found.steps.cached.tolist() == [0, 1024, 1535, 0]
    assert found.steps.gap.tolist() == [0, 5, 4, 0]
    assert share_prefix(found.steps, found.shared).cached.tolist() == [512, 1024, 1535, 512]


def test_azure_requests_are_sessions_of_one_step(tmp_path: Path) -> None:
    rows = ("TIMESTAMP,ContextTokens,GeneratedTokens", "2023-11-16 18:15:46.6805900,374,44")
    text = "\n".join((*rows, "2023-11-16 18:15:50.99,396,109"))
    found = traces.read_trace(written(tmp_path, "a.csv", text))
    assert found.steps.sessions == 2
    assert found.steps.fresh.tolist() == [374, 396]
    assert found.arrivals is None


def test_own_columns_as_csv_and_json_agree(tmp_path: Path) -> None:
    rows = [("x", "main", 0, 0, 100, 5), ("x", "sub1", 0, 0, 30, 5), ("x", "main", 2.5, 100, 20, 7)]
    fields = ("session", "agent", "gap_s", "cached_tokens", "fresh_tokens", "output_tokens")
    text = ",".join(fields) + "\n" + "\n".join(",".join(map(str, row)) for row in rows)
    lines = "\n".join(json.dumps(dict(zip(fields, row, strict=True))) for row in rows)
    first = traces.read_trace(written(tmp_path, "o.csv", text)).steps
    second = traces.read_trace(written(tmp_path, "o.jsonl", lines)).steps
    assert first.context.tolist() == second.context.tolist() == [100, 120, 30]
    assert first.gap.tolist() == second.gap.tolist() == [0, 2.5, 0]
    assert (first.sessions, first.sequences) == (1, 2)


BAD = {
    "not json": (
        '{"timestamp": 0, "input_length": 5, "output_length": 1, "hash_ids": [0]}\n{oops\n',
        "m.jsonl",
        [2],
    ),
    "list": (
        '{"timestamp": 0, "input_length": 5, "output_length": 1, "hash_ids": [0]}\n[1]\n',
        "m.jsonl",
        [2],
    ),
    "blocks": (mooncake((0, 1000, 1, [0]), (1, 5, 1, [])), "m.jsonl", [1, 2]),
    "unsorted": (mooncake((9, 5, 1, [0]), (1, 5, 1, [0])), "m.jsonl", [2]),
    "number": (HEADER + "a,0,0,many,1\na,-1,0,5,1\na,0,nan,5,1\n", "o.csv", [2, 3, 4]),
    "cells": (HEADER + "a,0,0,5\n", "o.csv", [2]),
    "cached": (HEADER + "a,0,0,10,1\na,0,12,5,1\n", "o.csv", [3]),
    "empty prompt": (HEADER + "a,0,0,0,1\n", "o.csv", [2]),
    "time": ("TIMESTAMP,ContextTokens,GeneratedTokens\nyesterday,1,1\n", "a.csv", [2]),
    "layout": ("session,gap,cached_tokens,fresh_tokens,output_tokens\na,0,0,5,1\n", "o.csv", [1]),
    "header only": (HEADER, "o.csv", []),
    "nothing": ("", "o.csv", []),
}


@pytest.mark.parametrize("name", BAD)
def test_mistakes_name_their_line(tmp_path: Path, name: str) -> None:
    text, file, lines = BAD[name]
    found = complaints(written(tmp_path, file, text))
    assert [int(complaint.split(":")[1]) for complaint in found if complaint.startswith("FILE:")] == lines
    assert found


def test_a_missing_field_is_explained(tmp_path: Path) -> None:
    text, file, _ = BAD["layout"]
    assert "lacks gap_s" in complaints(written(tmp_path, file, text))[0]
    assert "Did you mean `gap`?" in complaints(written(tmp_path, file, text))[0]


def test_mistakes_beyond_the_first_few_are_counted(tmp_path: Path) -> None:
    path = written(tmp_path, "o.csv", HEADER + "a,0,0,many,1\n" * 1000)
    found = complaints(path)
    assert len(found) == traces.MISTAKES + 1
    assert "1,000 mistakes in all" in found[0]


def test_files_that_cannot_be_read(tmp_path: Path) -> None:
    assert "cannot be read" in complaints(tmp_path / "absent.csv")[0]
    (tmp_path / "binary.csv").write_bytes(b"\xff\xfe\x00")
    assert "UTF-8" in complaints(tmp_path / "binary.csv")[0]


def test_burstiness_of_known_processes() -> None:
    random = np.random.default_rng(3)
    poisson = np.cumsum(random.exponential(0.5, 20_000))
    regular = np.arange(1000) * 2.0
    assert traces.arrivals(poisson) == pytest.approx((2.0, 1.0), rel=0.05)
    assert traces.arrivals(regular) == pytest.approx((0.5, 0.0), abs=1e-9)
    coarse = traces.arrivals(np.floor(poisson / 3) * 3)
    assert coarse is not None
    assert coarse.scv == pytest.approx(1.0, rel=0.05)
    assert traces.arrivals(np.zeros(9)) is None


@settings(deadline=None, max_examples=30)
@given(st.lists(st.tuples(st.integers(0, 3), st.integers(1, 4000), st.integers(1, 99)), min_size=1, max_size=20))
def test_own_columns_are_read_as_written(
    tmp_path_factory: pytest.TempPathFactory, rows: list[tuple[int, int, int]]
) -> None:
    text = HEADER + "".join(f"{session},1.5,0,{fresh},{output}\n" for session, fresh, output in rows)
    found = traces.read_trace(written(tmp_path_factory.mktemp("own"), "o.csv", text)).steps
    assert len(found) == len(rows)
    assert found.context.sum() == sum(row[1] for row in rows)
    assert found.sessions == len({row[0] for row in rows})


def test_a_trace_becomes_a_class_that_can_be_written_and_loaded(tmp_path: Path) -> None:
    text = mooncake(*((3000 * k, 600 + 700 * k, 10 + k, list(range(2 + (89 + 700 * k) // 512))) for k in range(8)))
    path = written(tmp_path, "My Trace.jsonl", text)
    found = from_trace(path)
    assert found.id == "trace_my_trace"
    assert found.steps == 8
    assert found.moments.reuse > 0.5
    recording = traces.read_trace(path)
    stored = write(described(recording, path), recording.steps, tmp_path / "out")
    again = load_workload(stored)
    assert again.moments == found.moments
    assert again.served == found.served
    assert again.estimate is False
