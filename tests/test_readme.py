"""The README keeps its promises: two commands, a table that is a committed run, code that runs."""

import csv
import re
from pathlib import Path

ROOT = Path(__file__).parent.parent
README = (ROOT / "README.md").read_text()
REFERENCE = ROOT / "results" / "agentic_datacenter" / "reference"


def between(name: str) -> str:
    found = re.search(rf"<!-- {name}:begin -->(.*?)<!-- {name}:end -->", README, re.DOTALL)
    assert found, f"README has no block {name}"
    return found[1]


def test_two_commands_do_all_the_set_up():
    block = re.search(r"<!-- ci:.*?```bash\n(.*?)```", README, re.DOTALL)
    assert block
    commands = block[1].strip().splitlines()
    assert len(commands) == 2
    assert "dse run" in commands[0]
    assert commands[1].endswith("pytest")


def test_flagship_table_is_the_committed_run():
    text = (REFERENCE / "front.csv").read_text()
    rows = {row["design [id]"]: row for row in csv.DictReader(text.splitlines())}
    lines = [line.split("|")[1:-1] for line in between("flagship").splitlines() if re.match(r"\| D\d+", line)]
    assert len(lines) >= 3
    for cells in lines:
        design, cost, throughput, latency = (cell.strip() for cell in cells[:4])
        row = rows[design]
        for shown, name in ((cost, "cost [$/task]"), (throughput, "throughput [task/s/MW]"), (latency, "latency [1]")):
            assert float(shown) == float(f"{float(row[name]):.3g}"), (design, name)


def test_python_example_runs(tmp_path, monkeypatch):
    code = re.search(r"```python\n(.*?)```", README, re.DOTALL)
    assert code
    monkeypatch.chdir(tmp_path)
    (tmp_path / "search_spaces").symlink_to(ROOT / "search_spaces")
    exec(compile(code[1], "README.md", "exec"), {})
    assert len((tmp_path / "front.csv").read_text().splitlines()) > 10


def test_every_link_to_a_file_of_the_package_exists():
    for path in re.findall(r"`((?:physics|facts|search|insight)/[\w/]+\.py)`", README):
        assert (ROOT / "dse" / path).exists(), path


def guarantees() -> list[str]:
    """Sentences of the section on what is guaranteed, without its introduction."""
    section = re.search(r"\n## What is guaranteed\n(.*?)\n## ", README, re.DOTALL)
    assert section
    bullets = re.split(r"\n- ", section[1])[1:]
    sentences = [re.split(r"(?<=[.)])\. |(?<=\.) (?=[A-Z])", " ".join(bullet.split())) for bullet in bullets]
    return [sentence for parts in sentences for sentence in parts if sentence.strip()]


def test_every_guarantee_names_tests_that_exist():
    known = {
        name
        for folder in ("faults", "fuzz", "browser")
        for path in (ROOT / "tests" / folder).glob("test_*.py")
        for name in re.findall(r"^def (test_\w+)", path.read_text(), re.MULTILINE)
    }
    assert len(guarantees()) >= 10
    for sentence in guarantees():
        named = re.findall(r"`(test_\w+)(…?)`", sentence)
        assert named, sentence
        for name, cut in named:
            assert any(test == name or (cut and test.startswith(name)) for test in known), name
