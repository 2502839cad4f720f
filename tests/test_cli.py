"""The command line as people, pipes and programs use it."""

import itertools
import json
import os
import pty
import re
import resource
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
STUDY = (Path(__file__).parent / "studies" / "tiny.yaml").read_text()
WRONG = """\
version: 1
name: wrong
agents:
  coding: {workload: codng, model: llama_3_1_70b, context_policy: compaction}
levers:
  decode.device: [h200_sxn]
prices: contract_2026
objectives: [minimize cots]
"""


def process(*arguments: str, folder: Path) -> str:
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    command = [sys.executable, "-m", "dse.cli", *arguments]
    done = subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, check=True, timeout=120)
    assert not done.stderr
    return done.stdout


@pytest.fixture(scope="module")
def folder(dse, tmp_path_factory) -> Path:
    made = tmp_path_factory.mktemp("cli")
    (made / "tiny.yaml").write_text(STUDY)
    (made / "wrong.yaml").write_text(WRONG)
    dse("run", "tiny.yaml", "--workers", "1", folder=made)
    dse("run", "tiny.yaml", "--workers", "1", "--set", "slo.tpot=60 ms", folder=made)
    return made


COMMANDS = [
    *("run", "check", "explain", "breakeven", "compare", "brief", "report", "replay", "certify", "predict", "validate"),
    *("calibrate", "cases", "schema", "show", "workload", "model"),
]
GROUPS = [
    *(f"show {name}" for name in ("front", "design", "catalog", "topology", "workload", "oi-cf")),
    "workload from-trace", "workload list", "model import",
]  # fmt: skip


@pytest.mark.parametrize("command", [*COMMANDS, *GROUPS])
def test_every_help_page_is_short_and_has_two_examples(dse, command, tmp_path):
    text = dse(*command.split(), "--help", folder=tmp_path)
    examples = text.split("Examples:")[1]
    assert len(re.findall(rf"^\s+dse {command}", examples, re.MULTILINE)) >= 2
    assert max(map(len, text.splitlines())) <= 130
    assert len(text.splitlines()) <= 80
    assert "..." not in text.split("Examples:")[0].partition("Commands:")[2]


def test_the_list_of_commands_has_whole_sentences(dse, tmp_path):
    text = dse("--help", folder=tmp_path)
    listed = text.split("Commands:")[1].split("Examples:")[0]
    assert all(line.endswith(".") for line in listed.splitlines() if line.strip())


def test_help_comes_at_once(tmp_path):
    times = []
    for _ in range(4):
        spent = resource.getrusage(resource.RUSAGE_CHILDREN)
        times.append(spent.ru_utime + spent.ru_stime)
        process("--help", folder=tmp_path)
    assert min(after - before for before, after in itertools.pairwise(times)) < 0.3


def test_a_run_in_a_pipe_is_plain_and_fits_the_screen(folder):
    text = process("run", "tiny.yaml", "--workers", "1", folder=folder)
    assert "\x1b" not in text
    assert "\r" not in text
    assert max(map(len, text.splitlines())) <= 100
    for word in ("cheapest", "heterogeneity", "what binds", "confidence", "written", "dse explain last:A"):
        assert word in text


def test_a_run_leaves_its_files_and_prints_its_summary_for_programs(dse, folder):
    summary = json.loads(dse("run", "tiny.yaml", "--workers", "1", "--seed", "3", "--json", folder=folder))
    assert {"front_size", "hypervolume", "best", "knees", "heterogeneity", "exhaustive", "folder"} <= summary.keys()
    assert summary["exhaustive"] is True
    assert summary["seed"] == 3
    made = Path(summary["folder"])
    made = made if made.is_absolute() else folder / made
    assert {"front.csv", "summary.json", "manifest.json", "problem.yaml"} <= {path.name for path in made.iterdir()}


def test_an_infeasible_study_names_the_nearest_design_and_what_would_do(dse, folder):
    text = dse(
        "run", "tiny.yaml", "--workers", "1", "--set", "slo.tpot=1 us", "--results", "other", folder=folder, code=1
    )
    assert "none of" in text
    assert "misses" in text
    option = re.search(r'--set "agents\.coding\.slo\.tpot=([^"]+)"', text)
    assert option
    text = dse("explain", "last:nearest", "--results", "other", folder=folder, code=1)
    assert "missed by" in text
    assert "no step of 10 % lets a mapping of this design meet every target" in text


def test_mistakes_are_told_all_at_once_with_their_places(dse, folder):
    text = dse("check", "wrong.yaml", folder=folder, code=2)
    assert "wrong.yaml: 4 errors" in text
    assert re.search(r"4:\d+ +agents\.coding\.workload +codng", text)
    assert "Did you mean `h200_sxm`?" in text
    errors = json.loads(dse("run", "wrong.yaml", "--json", folder=folder, code=2))["errors"]
    assert len(errors) == 4
    assert {"path", "line", "column", "where", "message"} == errors[0].keys()


@pytest.mark.parametrize(
    "arguments",
    [
        ("run",),
        ("run", "missing.yaml"),
        ("run", "tiny.yaml", "--budget", "soon"),
        ("run", "tiny.yaml", "--set", "seed"),
        ("run", "tiny.yaml", "--sampler", "magic"),
        ("run", "tiny.yaml", "--set", "levers.decode.device=[nothing]"),
        ("run", "--resume", "nothing"),
        ("explain", "last", "--part", "h999"),
        ("explain", "last:Z9"),
        ("explain", "last:A", "--set", "a.b=c"),
        ("show", "catalog", "things"),
        ("show", "catalog", "model", "lama"),
        ("show", "topology", "nvl7"),
        ("show", "workload", "codng"),
        ("show", "oi-cf", "--device", "h999"),
        ("predict",),
        ("predict", "--model", "lama", "--device", "h100_sxm"),
        ("predict", "--csv", "missing.csv"),
        ("validate", "missing.csv"),
        ("calibrate", "missing.csv"),
        ("workload", "from-trace", "missing.csv"),
        ("model", "import", "missing.json"),
        ("schema", "--check", "missing.json"),
        ("nonsense",),
    ],
    ids=" ".join,
)  # fmt: skip
def test_bad_input_ends_with_code_2_and_a_sentence(dse, folder, arguments):
    assert dse(*arguments, folder=folder, code=2).strip()


def test_check_tells_size_engine_and_time(dse, folder):
    text = dse("check", "tiny.yaml", folder=folder)
    assert "no errors" in text
    assert "exhaustive" in text
    facts = json.loads(dse("check", "tiny.yaml", "--json", folder=folder))
    assert facts["space_size"] == 12
    assert facts["exhaustive"] is True
    assert facts["errors"] == []


def test_a_resolved_study_is_a_study(dse, folder):
    text = dse("check", "tiny.yaml", "--resolved", folder=folder)
    (folder / "resolved.yaml").write_text(text)
    assert dse("check", "resolved.yaml", "--resolved", folder=folder) == text


def test_a_run_can_be_resumed_without_its_study(dse, folder):
    dse(
        "run",
        "tiny.yaml",
        "--workers",
        "1",
        "--budget",
        "4 evaluations",
        "--sampler",
        "random",
        "--results",
        "parts",
        folder=folder,
    )
    first = json.loads(dse("show", "front", "last", "--results", "parts", "--json", folder=folder))
    assert first["evaluations"] == 4
    text = dse(
        "run",
        "--resume",
        "last",
        "--workers",
        "1",
        "--budget",
        "+4 evaluations",
        "--results",
        "parts",
        "--json",
        folder=folder,
    )
    second = json.loads(text)
    assert second["evaluations"] == 8
    assert second["folder"].endswith(first["run"])


def test_a_front_a_design_and_an_explanation_are_shown(dse, folder):
    text = dse("show", "front", "last", "--rows", "3", folder=folder)
    assert "D00" in text or " A " in text
    front = json.loads(dse("show", "front", "--json", folder=folder))
    assert {"id", "letter", "objectives", "levers", "mapping"} <= front["designs"][0].keys()
    assert "decode.device" in dse("show", "design", "last:A", folder=folder)
    text = dse("explain", "last:A", folder=folder)
    assert "\x1b" not in text
    assert max(map(len, text.splitlines())) <= 100
    data = json.loads(dse("explain", "last:D001", "--json", folder=folder))
    assert {"metrics", "limits", "classes", "inputs"} <= data.keys()
    change = json.loads(dse("explain", "last:A", "--set", "prices.electricity=0.3 $/kWh", "--json", folder=folder))
    assert change["metrics"]["cost"]["ratio"] > 1


def test_two_runs_are_compared(dse, folder):
    text = dse("compare", "last~1:A", "last:A", folder=folder)
    assert "ratio" in text
    data = json.loads(dse("compare", "last:A", "last:A", "--json", folder=folder))
    assert data["choices"] == {}


def test_the_catalog_is_shown(dse, folder):
    assert "h100_sxm" in dse("show", "catalog", "accelerators", folder=folder)
    for kind in ("models", "memories", "links", "prices"):
        text = dse("show", "catalog", kind, folder=folder)
        assert max(map(len, text.splitlines())) <= 120
    assert "4.8 TB/s" in dse("show", "catalog", "device", "h200_sxm", folder=folder)
    assert dse("show", "catalog", "h200_sxm", folder=folder) == dse(
        "show", "catalog", "device", "h200_sxm", folder=folder
    )
    assert "accelerators" in json.loads(dse("show", "catalog", "--json", folder=folder))
    assert "nvl72" in json.loads(dse("show", "topology", "--json", folder=folder))
    assert json.loads(dse("show", "catalog", "model", "llama_3_1_70b", "--json", folder=folder))["n_layers"] == 80
    assert "coding" in dse("show", "workload", folder=folder)
    assert json.loads(dse("show", "workload", "coding", "--json", folder=folder))["steps"] > 60
    assert json.loads(dse("show", "topology", "nvl8", "--json", folder=folder))["devices"] == 8


def test_one_point_is_predicted(dse, folder):
    options = [
        "--model",
        "llama_3_1_70b",
        "--device",
        "h100_sxm",
        "--tp",
        "4",
        "--batch",
        "16",
        "--new-tokens",
        "1",
        "--cached-tokens",
        "4096",
    ]
    made = json.loads(dse("predict", *options, "--json", folder=folder))
    assert made["bound"] == "memory"
    assert made["fits"] is True
    alone = ["1" if word == "4" else word for word in options]
    assert json.loads(dse("predict", *alone, "--json", folder=folder, code=1))["fits"] is False


def test_a_schema_is_checked(dse, folder):
    dse("schema", "--out", "schema.json", folder=folder)
    dse("schema", "--check", "schema.json", folder=folder)
    assert json.loads((folder / "schema.json").read_text())["properties"]["agents"]


def test_a_trace_becomes_a_class_of_a_study(dse, folder):
    rows = "".join(
        f'{{"timestamp": {1000 * step}, "input_length": {512 * (step % 5 + 1)}, "output_length": {20 + step},'
        f' "hash_ids": {list(range(step % 5 + 1))}}}\n'
        for step in range(40)
    )
    (folder / "trace.jsonl").write_text(rows)
    made = json.loads(
        dse("workload", "from-trace", "trace.jsonl", "--id", "mine", "--out", "classes", "--json", folder=folder)
    )
    assert made["id"] == "mine"
    text = STUDY.replace("workload: coding", "workload: classes/mine.yaml")
    (folder / "own.yaml").write_text(text)
    dse("check", "own.yaml", folder=folder)


def test_a_model_is_imported(dse, folder):
    config = {
        "model_type": "llama", "hidden_size": 4096, "num_hidden_layers": 32, "num_attention_heads": 32,
        "num_key_value_heads": 8,
        "intermediate_size": 14336, "vocab_size": 128256, "max_position_embeddings": 131072, "torch_dtype": "bfloat16",
        "rms_norm_eps": 1e-5, "tie_word_embeddings": False, "_name_or_path": "me/My-Model",
    }  # fmt: skip
    (folder / "config.json").write_text(json.dumps(config))
    made = json.loads(dse("model", "import", "config.json", "--json", folder=folder))["models"]
    assert next(iter(made.values()))["n_layers"] == 32
    dse("model", "import", "config.json", "--out", "model.yaml", folder=folder)
    (folder / "with_model.yaml").write_text(
        STUDY.replace("model: llama_3_1_70b", f"model: {next(iter(made))}") + (folder / "model.yaml").read_text()
    )
    dse("check", "with_model.yaml", folder=folder)


def test_a_screen_gets_one_line_of_progress_and_ctrl_c_leaves_a_run_to_resume(dse, folder):
    many = "{from: 0 GB, to: 2 TB, steps: 80}"
    command = [sys.executable, "-m", "dse.cli", "run", "tiny.yaml", "--workers", "1", "--results", "stopped"]
    command += [
        "--budget",
        "60 s",
        "--set",
        f"levers.decode.host_memory={many}",
        "--set",
        f"levers.prefill.host_memory={many}",
    ]
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "TERM": "xterm"}
    ours, theirs = pty.openpty()
    with (folder / "screen.txt").open("w") as output:
        process = subprocess.Popen(command, cwd=folder, env=environment, stdout=output, stderr=theirs)
    os.close(theirs)
    seen, deadline = "", time.monotonic() + 60
    while "hypervolume" not in seen and time.monotonic() < deadline:
        seen += os.read(ours, 4096).decode()
    process.send_signal(signal.SIGINT)
    assert process.wait(60) in (0, 1)
    os.close(ours)
    for word in ("designs", "/s", "front", "hypervolume", "left"):
        assert word in seen
    text = (folder / "screen.txt").read_text()
    assert "by Ctrl-C; what was found is saved" in text
    assert "dse run --resume" in text
    resumed = ["run", "--resume", "last", "--workers", "1", "--budget", "+1 s", "--results", "stopped", "--json"]
    summary = json.loads(dse(*resumed, folder=folder))
    assert summary["evaluations"] > 0
    assert summary["interrupted"] is False


def test_import_is_light():
    code = "import sys, dse; print(sorted({'numpy', 'pydantic', 'optuna', 'typer', 'networkx'} & set(sys.modules)))"
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    done = subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
