"""Run the flagship for a long time under two workers, killing workers and coordinator now and then.

    python tests/soak/soak.py --minutes 30 --workers 2 --kill-every 60

Prints one JSON object: designs, restarts, memory and open files over time, hypervolume (monotone?). Tables of an
evaluation fill up to their bound within the first thousands of designs, so memory is flat where the last quarter of
the time has less than 5 % more of it, at most, than the quarter before (the mean is smaller after each restart). The
exit code is 1 when the hypervolume fell, a resume failed, or a file does not parse.
"""

import argparse
import csv
import json
import os
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np

ROOT = Path(__file__).parents[2]
EVERY = 2.0
FLAT = 0.05
"""Share by which memory may grow between the third and the last quarter of a soak."""


def family(pid):
    """A process and those it started."""
    found = [pid]
    for stat in Path("/proc").glob("[0-9]*/stat"):
        try:
            fields = stat.read_text().rsplit(")", 1)[1].split()
        except OSError:
            continue
        if int(fields[1]) == pid and fields[0] != "Z":
            found.append(int(stat.parent.name))
    return found


def measured(pid):
    """Memory [MB] of the coordinator, of the largest worker and of all, and open files of the coordinator.

    A page that several processes share counts in parts: a forked worker has all pages of its coordinator at first.
    """
    sizes = []
    for member in family(pid):
        try:
            lines = Path(f"/proc/{member}/smaps_rollup").read_text().splitlines()[1:]
            sizes.append(int(dict(line.split(":", 1) for line in lines)["Pss"].split()[0]) / 1024)
        except (OSError, KeyError):
            sizes.append(0.0)
    try:
        files = len(list(Path(f"/proc/{pid}/fd").iterdir()))
    except OSError:
        files = 0
    return sizes[0], max(sizes[1:], default=0.0), sum(sizes), files


def command(given, results, resume, budget):
    line = [
        sys.executable,
        "-m",
        "dse.cli",
        "run",
        "--results",
        results,
        "--workers",
        given.workers,
        "--json",
        "--no-report",
    ]
    line += ["--resume", resume] if resume else [given.study, "--seed", given.seed]
    return [str(word) for word in [*line, "--budget", budget]]


def newest(results):
    found = sorted(results.glob("*/*/manifest.json"))
    return found[-1].parent if found else None


def hypervolumes(folder):
    path = folder / "history.csv"
    return [float(row[3]) for row in list(csv.reader(path.read_text().splitlines()))[1:]] if path.exists() else []


def soak(given, results):
    rng = np.random.default_rng(given.seed)
    until, total = time.monotonic() + 60 * given.minutes, 60 * given.minutes
    samples, kills, codes = [], {"coordinator": 0, "worker": 0}, []
    while time.monotonic() < until:
        line = command(given, results, newest(results), f"{total:.0f} s")
        child = subprocess.Popen(line, stdout=subprocess.DEVNULL)
        ends = min(time.monotonic() + rng.exponential(given.kill_every) + 5, until)
        while time.monotonic() < ends and child.poll() is None:
            time.sleep(EVERY)
            samples.append((time.monotonic() - until + total, *measured(child.pid)))
            workers = family(child.pid)[1:]
            if workers and rng.random() < EVERY / given.kill_every:
                os.kill(int(rng.choice(workers)), signal.SIGKILL)
                kills["worker"] += 1
        if child.poll() is not None:
            codes.append(child.returncode)
            if child.returncode not in (0, 1):
                break
        elif time.monotonic() < until:
            child.send_signal(signal.SIGKILL)
            kills["coordinator"] += 1
        else:
            child.send_signal(signal.SIGTERM)
        child.wait()
    line = command(given, results, newest(results), "+5 s")
    last = subprocess.run(line, capture_output=True, text=True, check=False)
    return samples, kills, [*codes, last.returncode], last.stdout


def grown(times, sizes):
    """Memory in each quarter of a soak: mean, largest, and whether the last is like the one before."""
    quarters = [sizes[part] for part in np.array_split(np.argsort(times), 4)]
    means, most = ([float(of(part)) for part in quarters] for of in (np.mean, np.max))
    return {"mean": means, "most": most, "flat": bool(most[3] < (1 + FLAT) * most[2])}


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--minutes", type=float, default=30)
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--kill-every", type=float, default=60, help="seconds between kills, on average")
    parser.add_argument("--study", type=Path, default=ROOT / "search_spaces" / "agentic_datacenter.yaml")
    parser.add_argument("--seed", type=int, default=0)
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        results = Path(name)
        samples, kills, codes, printed = soak(given, results)
        folder = newest(results)
        volumes, summary = hypervolumes(folder), json.loads(printed)
    table = np.array(samples)
    late = table[:, 0] > np.median(table[:, 0])
    monotone = bool((np.diff(volumes) >= -1e-9).all())
    facts = {
        "minutes": given.minutes,
        "workers": given.workers,
        "kills": kills,
        "exit_codes": codes,
        "designs": summary["evaluations"],
        "front_rows": summary["front_size"],
        "hypervolume": summary["hypervolume"],
        "hypervolume_monotone": monotone,
        **{
            f"{name}_mb": grown(table[:, 0], table[:, 1 + place])
            for place, name in enumerate(("coordinator", "worker", "whole"))
        },
        "open_files": {"first_half": int(table[~late, 4].max()), "second_half": int(table[late, 4].max())},
    }
    print(json.dumps(facts))
    sys.exit(not monotone or any(code not in (0, 1) for code in codes))


if __name__ == "__main__":
    main()
