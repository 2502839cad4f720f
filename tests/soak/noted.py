"""Keep what a long script printed, with the machine it ran on, and write the page of all of them.

    python tests/soak/kills.py --kills 500 | python tests/soak/noted.py kills
    python tests/soak/noted.py                                # only write the page again

The JSON object on standard input becomes the script's line in results/benchmarks/robustness.jsonl, in place of its
earlier one; the page is results/benchmarks/robustness.md. The exit code is 1 when nothing was printed.
"""

import json
import os
import platform
import sys
import time
from importlib.metadata import version
from pathlib import Path

FOLDER = Path(__file__).parents[2] / "results" / "benchmarks"
LINES = FOLDER / "robustness.jsonl"
PAGE = FOLDER / "robustness.md"

HEAD = """# Robustness: what the long scripts found

Made by `python tests/soak/noted.py` from `robustness.jsonl`; each script is run by hand and its figures are kept with
the machine. The short versions of all of them are tests and run in CI. A count that is less than what was asked for was
ended by `--minutes`.
"""


def machine():
    """What a figure depends on."""
    cpu = next((line.split(":")[1].strip() for line in lines("/proc/cpuinfo") if line.startswith("model name")), "?")
    packages = ", ".join(f"{name} {version(name)}" for name in ("numpy", "optuna"))
    return f"{os.cpu_count()} cores, {cpu}, Python {platform.python_version()}, {packages}"


def lines(path):
    try:
        return Path(path).read_text().splitlines()
    except OSError:
        return []


def kills(facts):
    return "Kill -9, then the same result", [
        ("kills of coordinator or worker, at random moments", f"{facts['kills']:,}"),
        ("runs that were resumed and compared with an undisturbed one", f"{facts['runs']:,}"),
        ("runs that differed", len(facts["wrong"])),
    ]


def fuzz(facts):
    return "Broken input", [
        ("mutated YAML, JSON, CSV, GraphML files", f"{facts['inputs']:,}"),
        ("tracebacks, hangs, messages without a place", sum(facts["wrong"].values())),
        ("time", f"{facts['seconds'] / 60:.0f} min"),
        *[("since then", facts["since"]) for _ in range("since" in facts)],
    ]


def finite(facts):
    rows = [
        (f"{name}: candidates (an architecture with a mapping, each class), architectures, rows", shown)
        for name, part in facts["spaces"].items()
        for shown in [f"{part['candidates']:,}, {part['architectures']:,}, {part['rows']:,}"]
    ]
    return "Numbers", [*rows, ("NaN, or infinite where feasible", sum(facts["wrong"].values()))]


def soak(facts):
    killed, files = facts["kills"], facts["open_files"]
    whose = {"coordinator": "the coordinator", "worker": "a worker", "whole": "all processes"}
    memory = [(f"most memory of {words}, in each quarter", quarters(facts, name)) for name, words in whose.items()]
    return f"{facts['minutes']:g} minutes of the flagship with {facts['workers']} workers", [
        ("kills of the coordinator, of a worker", f"{killed['coordinator']}, {killed['worker']}"),
        ("designs, rows of the front", f"{facts['designs']:,}, {facts['front_rows']:,}"),
        ("hypervolume never fell", "yes" if facts["hypervolume_monotone"] else "no"),
        *memory,
        (
            "most open files of the coordinator, first half → second",
            f"{files['first_half']:.0f} → {files['second_half']:.0f}",
        ),
    ]


def quarters(facts, name):
    return ", ".join(f"{size:.0f}" for size in facts[f"{name}_mb"]["most"]) + " MB"


def workers(facts):
    return "Workers", [
        ("designs of the flagship", f"{facts['designs']:,}"),
        ("speed-up of two workers over one", f"{facts['speed_up']:.2f}"),
        ("one block on a worker", f"{facts['block_ms']:.1f} ms"),
        ("the coordinator's work for it", f"{facts['coordinator_ms_per_block']:.2f} ms"),
        ("workers that one coordinator can feed, on paper: their quotient", f"{facts['workers_on_paper']:.0f}"),
        ("same front", "yes" if facts["same_front"] else "no"),
    ]


SECTIONS = {"kills": kills, "fuzz": fuzz, "finite": finite, "soak": soak, "workers": workers}


def page(notes):
    """Page of all notes."""
    parts = [HEAD]
    for name, section in SECTIONS.items():
        if name in notes:
            title, rows = section(notes[name]["facts"])
            table = "\n".join(f"| {what} | {figure} |" for what, figure in rows)
            parts.append(f"## {title}\n\n| `{name}` | {notes[name]['date']} |\n|---|---:|\n{table}\n")
            parts.append(f"{notes[name]['machine']}.\n")
    return "\n".join(parts)


def main():
    notes = {note["script"]: note for note in map(json.loads, lines(LINES))}
    if len(sys.argv) > 1:
        printed = sys.stdin.read()
        sys.stdout.write(printed)
        day = time.strftime("%Y-%m-%d", time.gmtime())
        notes[sys.argv[1]] = {
            "script": sys.argv[1],
            "date": day,
            "machine": machine(),
            "facts": json.loads(printed or "null"),
        }
        if not notes[sys.argv[1]]["facts"]:
            sys.exit(1)
        ordered = [notes[name] for name in SECTIONS if name in notes]
        LINES.write_text("".join(json.dumps(note) + "\n" for note in ordered))
    PAGE.write_text(page(notes))


if __name__ == "__main__":
    main()
