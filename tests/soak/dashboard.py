"""Open the study of a run in a real optuna-dashboard and time it: a curated record stays quick.

    python tests/soak/dashboard.py results/agentic_datacenter/reference [--polls 5] [--dashboard PATH]

Without `--dashboard` the package is installed into a fresh virtual environment in a temporary folder, which needs the
network. Prints one JSON object: trials, seconds until the server answers, seconds of the first and of further loads of
all trials. The exit code is 1 when a further load takes more than `--limit` seconds.
"""

import argparse
import json
import shutil
import socket
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request
import venv
from pathlib import Path


def installed(folder):
    """Program of a dashboard in a fresh environment."""
    venv.create(folder, with_pip=True)
    subprocess.run([folder / "bin" / "pip", "install", "-q", "optuna-dashboard"], check=True)
    return folder / "bin" / "optuna-dashboard"


def free_port():
    """Port that nothing listens on."""
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        return taken.getsockname()[1]


def asked(url, patience=60.0):
    """Answer of the server, as soon as it gives one, and the seconds that took."""
    began = time.monotonic()
    while True:
        try:
            with urllib.request.urlopen(url, timeout=patience) as answer:
                return json.load(answer), time.monotonic() - began
        except urllib.error.HTTPError:
            raise
        except OSError:
            if time.monotonic() - began > patience:
                raise
            time.sleep(0.1)


def timed(program, journal, polls):
    """Serve a copy of a journal and load its first study as the page does."""
    port = free_port()
    server = subprocess.Popen(
        [program, "--host", "127.0.0.1", "--port", str(port), journal],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    try:
        base = f"http://127.0.0.1:{port}/api/studies"
        studies, ready = asked(base)
        number = studies["study_summaries"][0]["study_id"]
        found, loads = {}, []
        for _ in range(polls + 1):
            found, seconds = asked(f"{base}/{number}?after=0")
            loads.append(round(seconds, 3))
    finally:
        server.terminate()
        server.wait(10)
    best = len(found["best_trials"])
    return {
        "trials": len(found["trials"]),
        "best": best,
        "ready": round(ready, 3),
        "first": loads[0],
        "next": loads[1:],
    }


def main():
    """Measure and judge."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("run", type=Path, help="run folder, or a journal file")
    parser.add_argument("--polls", type=int, default=3)
    parser.add_argument("--limit", type=float, default=5.0)
    parser.add_argument("--dashboard", type=Path, help="program of an installed optuna-dashboard")
    given = parser.parse_args()
    journals = (
        [given.run] if given.run.is_file() else sorted(given.run.glob("*journal*")) + sorted(given.run.glob("*.log"))
    )
    if not journals:
        sys.exit(f"{given.run} has no journal of a study")
    with tempfile.TemporaryDirectory() as name:
        program = given.dashboard or installed(Path(name) / "environment")
        copy = shutil.copy(journals[0], Path(name) / "journal.log")
        found = timed(program, copy, given.polls)
    print(json.dumps(found))
    sys.exit(max(found["next"]) > given.limit)


if __name__ == "__main__":
    main()
