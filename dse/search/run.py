"""The folder of a run: written atomically, owned by one process at a time, valid at any moment."""

import csv
import fcntl
import io
import json
import os
import time
import zipfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from dse.facts.errors import Mistake, SpecError
from dse.search.archive import Archive, Ledger
from dse.search.frontier import ParetoSet
from dse.search.metrics import Metrics
from dse.search.proposals import State
from dse.search.question import Question

ARCHIVE = "archive.npz"
PREVIOUS = "archive.previous.npz"
MANIFEST = "manifest.json"
SUMMARY = "summary.json"
FRONT = "front.csv"
PROBLEM = "problem.yaml"
HISTORY = "history.csv"
JOURNAL = "study.journal"


def refused(where: Path | str, why: str) -> SpecError:
    """Error for a run folder or a storage that cannot be used."""
    return SpecError([Mistake(str(where), 0, 0, "", why)])


@dataclass(frozen=True)
class Epoch:
    """Everything from which a run continues, besides the study itself."""

    archive: Archive
    ledger: Ledger
    engine: State
    """State of the engine before the batch that was in progress."""
    evaluations: int
    """Designs scored up to that state."""
    spent: int
    """Designs scored in all, those of an unfinished batch included."""
    seconds: float
    history: tuple[tuple[float, ...], ...]
    """(evaluations, seconds, front size, hypervolume) over time."""
    finished: bool = False
    """Whether the engine has nothing left to propose."""


@dataclass(frozen=True)
class Run:
    """A run on disk and what it found."""

    folder: Path
    question: Question
    archive: Archive
    summary: Mapping[str, Any]
    manifest: Mapping[str, Any]

    def front(self) -> ParetoSet:
        """Return the non-dominated designs."""
        return ParetoSet(self.question, self.archive)


def open_run(folder: Path, question: Question) -> Run:
    """Read a finished, or interrupted, run."""
    manifest = read_manifest(folder)
    refuse_other(manifest, question)
    try:
        summary = json.loads((folder / SUMMARY).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        summary = {}
    return Run(folder, question, load_epoch(folder).archive, summary, manifest)


def write_atomic(path: Path, content: bytes) -> None:
    """Replace a file as a whole: readers see the old one or the new one."""
    draft = path.with_name(f".{path.name}.{os.getpid()}")
    with draft.open("wb") as stream:
        stream.write(content)
        stream.flush()
        os.fsync(stream.fileno())
    draft.replace(path)


def write_json(path: Path, content: Mapping[str, Any]) -> None:
    """Write a mapping as readable JSON."""
    write_atomic(path, (json.dumps(content, indent=2, ensure_ascii=False) + "\n").encode())


def new_folder(root: Path, study: str) -> Path:
    """Make results/<study>/<timestamp>, and let `last` point to it."""
    stamp = time.strftime("%Y%m%dT%H%M%SZ", time.gmtime())
    for number in range(1000):
        folder = root / study / (f"{stamp}-{number}" if number else stamp)
        try:
            folder.mkdir(parents=True)
        except FileExistsError:
            continue
        link = folder.parent / f".last.{os.getpid()}"
        link.unlink(missing_ok=True)
        link.symlink_to(folder.name, target_is_directory=True)
        link.replace(folder.parent / "last")
        return folder
    raise refused(root / study, "a thousand runs were started in one second")


@contextmanager
def locked(folder: Path) -> Iterator[None]:
    """Own a folder; the lock goes with the process that holds it."""
    with (folder / ".lock").open("w") as stream:
        try:
            fcntl.flock(stream, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            raise refused(folder, "another process is working on this run") from None
        yield


def save_epoch(folder: Path, epoch: Epoch) -> None:
    """Write the archive; the one before is kept until this one is complete."""
    archive, ledger = epoch.archive, epoch.ledger
    arrays: dict[str, np.ndarray] = {
        "archive/rows": archive.rows,
        "archive/scores": archive.scores,
        "archive/violation": archive.metrics.violation,
        "history": np.array(epoch.history, dtype=np.float64).reshape(-1, 4),
        "evaluations": np.array(epoch.evaluations),
        "spent": np.array(epoch.spent),
        "seconds": np.array(epoch.seconds),
        "finished": np.array(epoch.finished),
    }
    arrays |= {f"column/{name}": values for name, values in archive.metrics.columns.items()}
    arrays |= {f"mapping/{name}": values for name, values in archive.metrics.mapping.items()}
    arrays |= {f"ledger/{name}": values for name, values in vars(ledger).items()}
    arrays |= {f"engine/{name}": values for name, values in epoch.engine.items()}
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED, compresslevel=1) as packed:
        for name, values in arrays.items():
            with packed.open(f"{name}.npy", "w", force_zip64=True) as member:
                np.lib.format.write_array(member, np.asanyarray(values), allow_pickle=False)
    if (folder / ARCHIVE).exists():
        (folder / ARCHIVE).replace(folder / PREVIOUS)
    write_atomic(folder / ARCHIVE, buffer.getvalue())


def load_epoch(folder: Path) -> Epoch:
    """Read the newest archive that is whole."""
    for name in (ARCHIVE, PREVIOUS):
        try:
            with (folder / name).open("rb") as stream, np.load(stream, allow_pickle=False) as arrays:
                return _epoch({key: arrays[key] for key in arrays.files})
        except (OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile):
            continue
    raise refused(folder, f"no readable {ARCHIVE}: start a new run instead of resuming this one")


def _epoch(arrays: Mapping[str, np.ndarray]) -> Epoch:
    def part(prefix: str) -> dict[str, np.ndarray]:
        return {key.removeprefix(prefix): values for key, values in arrays.items() if key.startswith(prefix)}

    rows = arrays["archive/rows"]
    metrics = Metrics(np.arange(len(rows)), part("column/"), part("mapping/"), arrays["archive/violation"])
    return Epoch(
        archive=Archive(rows, metrics, arrays["archive/scores"]),
        ledger=Ledger(**part("ledger/")),
        engine=part("engine/"),
        evaluations=int(arrays["evaluations"]),
        spent=int(arrays["spent"]),
        seconds=float(arrays["seconds"]),
        history=tuple(tuple(line) for line in arrays["history"].tolist()),
        finished=bool(arrays["finished"]),
    )


def read_manifest(folder: Path) -> dict[str, Any]:
    """Read what a run was started with."""
    try:
        manifest: dict[str, Any] = json.loads((folder / MANIFEST).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        raise refused(folder, f"no readable {MANIFEST}: this is not the folder of a run") from None
    return manifest


def refuse_other(manifest: Mapping[str, Any], question: Question) -> None:
    """Refuse to continue a run of another study, and say what differs."""
    if manifest["digest"] == question.digest:
        return
    before, now = manifest["signature"], json.loads(json.dumps(question.signature))
    differences = difference(before["levers"], now["levers"])
    if before["objectives"] != now["objectives"]:
        differences.append(f"objectives were {before['objectives']}, are {now['objectives']}")
    what = "; ".join(differences) or "the same levers, but models, devices, prices or parameters changed"
    raise refused(manifest["study"], f"the run was made for another study: {what}. Start a new run")


def difference(before: Mapping[str, Any], now: Mapping[str, Any]) -> list[str]:
    """Sentences for levers that differ between two spaces."""
    gone = [f"lever {name} is gone" for name in before if name not in now]
    new = [f"lever {name} is new" for name in now if name not in before]
    changed = [f"{n} was {before[n]}, is {now[n]}" for n in before if n in now and before[n] != now[n]]
    return gone + new + changed


def write_history(folder: Path, history: tuple[tuple[float, ...], ...]) -> None:
    """Write the course of the search as a table."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(["evaluations [designs]", "time [s]", "front [rows]", "hypervolume [decades^k]"])
    writer.writerows([int(n), f"{seconds:.3f}", int(rows), f"{volume:.9g}"] for n, seconds, rows, volume in history)
    write_atomic(folder / HISTORY, text.getvalue().encode())
