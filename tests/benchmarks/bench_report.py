"""Time and size of the pages of the committed runs: `python tests/benchmarks/bench_report.py`.

Targets: 20 s for the flagship study, 5 s for quickstart, 6 MB for either, each in a fresh process.
"""

import json
import subprocess
import sys
import tempfile
import time
from pathlib import Path

ROOT = Path(__file__).parents[2]
TARGETS = {"agentic_datacenter": 20.0, "quickstart": 5.0}
MOST_BYTES = 6_000_000


def measured(study: str, folder: Path) -> tuple[float, int]:
    """Wall seconds and bytes of one page."""
    run, out = ROOT / "results" / study / "reference", folder / f"{study}.html"
    command = [sys.executable, "-m", "dse.cli", "report", str(run), "--out", str(out), "--json"]
    began = time.perf_counter()
    done = subprocess.run(command, cwd=ROOT, check=True, capture_output=True, text=True)
    return time.perf_counter() - began, int(json.loads(done.stdout)["bytes"])


def main() -> int:
    missed = 0
    with tempfile.TemporaryDirectory() as folder:
        for study, target in TARGETS.items():
            seconds, size = measured(study, Path(folder))
            good = seconds < target and size <= MOST_BYTES
            missed += not good
            print(
                f"{study:<20} {seconds:6.1f} s of {target:.0f} s   {size / 1e6:.2f} MB   {'ok' if good else 'MISSED'}"
            )
    return missed


if __name__ == "__main__":
    sys.exit(main())
