"""Where the numbers of a run come from: hashes, versions, seed, budget, command."""

import hashlib
import platform
import time
from functools import cache
from importlib import metadata, resources
from typing import Any

from dse.search.question import Question

PACKAGES = ("numpy", "scipy", "optuna", "moocore")
"""Libraries whose version can move a result."""


def manifest(question: Question, seed: int, budget: str, command: str) -> dict[str, Any]:
    """Provenance of a new run; the search adds its engine, sample and reference point."""
    return {
        "study": question.name,
        "started": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
        "command": command,
        "seed": seed,
        "budget": budget,
        "digest": question.digest,
        "input_sha256": hashlib.sha256(question.resolved.encode()).hexdigest(),
        "catalog_sha256": catalog_hash(),
        "versions": {"dse": _version("dse"), "python": platform.python_version()}
        | {name: _version(name) for name in PACKAGES},
        "space_size": question.space.size,
        "signature": question.signature,
        "sampler": None,
        "reason": None,
        "sample": None,
        "reference_scores": None,
        "reference_point": None,
        "reference_basis": None,
    }


def catalog_hash() -> str:
    """SHA-256 of all files of the catalog, names and contents, in the order of the names."""
    total = hashlib.sha256()
    folder = resources.files("dse.facts") / "catalog"
    for entry in sorted(folder.iterdir(), key=lambda item: item.name) if folder.is_dir() else ():
        if entry.is_file():
            total.update(entry.name.encode() + b"\0" + entry.read_bytes())
    return total.hexdigest()


@cache
def _version(name: str) -> str:
    try:
        return metadata.version(name)
    except metadata.PackageNotFoundError:
        return "not installed"
