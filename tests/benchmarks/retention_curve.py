"""Hit rate against capacity of a trace with block hashes, three ways: JSON and a picture. Run by hand.

python tests/benchmarks/retention_curve.py conversation_trace.jsonl OUT_FOLDER
"""

import json
import sys
from pathlib import Path

from dse.insight.replays.retention import curves, figure


def main(trace: Path, folder: Path) -> None:
    found = curves(trace)
    folder.mkdir(parents=True, exist_ok=True)
    rounded = {
        key: [float(f"{one:.5g}") for one in value] if isinstance(value, list) else value
        for key, value in found.json().items()
    }
    (folder / f"retention_{trace.stem}.json").write_text(json.dumps(rounded, indent=1) + "\n", encoding="utf-8")
    figure(found).write_html(folder / f"retention_{trace.stem}.html")
    worst = max(abs(said - real) for said, real in zip(found.closed, found.exact, strict=True))
    print(f"{trace.name}: closed form within {100 * worst:.1f} points of the exact curve")


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]))
