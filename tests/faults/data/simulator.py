"""A simulator of somebody else: JSON lines in, JSON lines out; told to crash, hang or babble on some candidates."""

import json
import os
import sys
import time
from pathlib import Path


def main():
    mode, log = sys.argv[1], sys.argv[2]
    seen = 0
    for line in sys.stdin:
        ask = json.loads(line)
        seen += 1
        with Path(log).open("a") as stream:
            stream.write(f"{os.getpid()} {ask['id']}\n")
        chosen = sum(map(ord, ask["id"])) % 3 == 0
        if mode == "crash" and seen == 3:
            os.abort()
        if mode == "crash-always" and chosen:
            os.abort()
        if mode == "hang" and chosen:
            time.sleep(60)
        if mode == "garbage" and seen == 2:
            print("Segmentation fault (core dumped)", flush=True)
            continue
        if mode == "flood" and chosen:
            sys.stdout.write("x" * 3_000_000)
            sys.stdout.flush()
            continue
        if mode == "nan" and chosen:
            print(json.dumps({"id": ask["id"], "metrics": dict.fromkeys(ask["wanted"], float("nan"))}), flush=True)
            continue
        if mode == "refuse" and chosen:
            print(json.dumps({"id": ask["id"], "error": "no such part"}), flush=True)
            continue
        metrics = {name: 2 * ask["analytic"][name] for name in ask["wanted"]}
        print(json.dumps({"id": ask["id"], "metrics": metrics}), flush=True)


if __name__ == "__main__":
    main()
