"""Read a great number of broken inputs; none may end in a traceback or hang.

    python tests/soak/fuzz.py --inputs 1000000 --processes 2
    python tests/soak/fuzz.py --atheris 600            # coverage-guided, for some seconds, where atheris is installed

Prints one JSON object; inputs that were treated wrongly are kept in --keep. The exit code is 1 when there are any.
"""

import argparse
import importlib.util
import json
import multiprocessing
import sys
import tempfile
import time
import warnings
from collections import Counter
from pathlib import Path

PART = 2000


def mutate():
    spec = importlib.util.spec_from_file_location("mutate", Path(__file__).parents[1] / "fuzz" / "mutate.py")
    module = importlib.util.module_from_spec(spec)
    sys.modules["mutate"] = module
    spec.loader.exec_module(module)
    return module


def part(seed):
    """Findings of one part: (what, name, content)."""
    warnings.simplefilter("error")
    module, found = mutate(), []
    with tempfile.TemporaryDirectory() as folder:
        for name, content, reader in module.sample(PART, seed):
            wrong = module.judged(folder, name, content, reader)
            if wrong:
                found.append((wrong, name, content))
    return found


def guided(seconds):
    """Let atheris steer the bytes of every kind of file."""
    import atheris

    with atheris.instrument_imports(include=["dse.facts"]):
        module = mutate()
    known = module.sources()
    folder = tempfile.mkdtemp()

    def one(data):
        name, content, reader, _ = known[data[0] % len(known)] if data else known[0]
        wrong = module.judged(folder, name, data[1:] or content, reader)
        if wrong:
            raise AssertionError(f"{name}: {wrong}")

    atheris.Setup([sys.argv[0], f"-max_total_time={seconds}", "-max_len=20000"], one)
    atheris.Fuzz()


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--inputs", type=int, default=1_000_000)
    parser.add_argument("--processes", type=int, default=2)
    parser.add_argument("--minutes", type=float, default=60, help="after which no further part is begun")
    parser.add_argument("--seed", type=int, default=1000)
    parser.add_argument("--keep", type=Path, default=Path("fuzz_findings"))
    parser.add_argument("--atheris", type=int, default=0, metavar="SECONDS")
    given = parser.parse_args()
    if given.atheris:
        guided(given.atheris)
        return
    began, counts, done = time.monotonic(), Counter(), 0
    with multiprocessing.Pool(given.processes) as pool:
        for found in pool.imap_unordered(part, range(given.seed, given.seed + max(given.inputs // PART, 1))):
            done += PART
            for wrong, name, content in found:
                if not counts[f"{name}: {wrong[:80]}"]:
                    given.keep.mkdir(exist_ok=True)
                    (given.keep / f"{len(counts):03d}_{name}").write_bytes(content)
                counts[f"{name}: {wrong[:80]}"] += 1
            if time.monotonic() - began > 60 * given.minutes:
                break
    seconds = round(time.monotonic() - began, 1)
    print(json.dumps({"inputs": done, "wrong": counts, "seconds": seconds}))
    sys.exit(bool(counts))


if __name__ == "__main__":
    main()
