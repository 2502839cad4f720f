"""The folder of a run: written atomically, owned by one process at a time, valid at any moment."""

import csv
import io
import json
import math
import os
import re
import time
import zipfile
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from dse.facts.convergence import convergence
from dse.facts.errors import Mistake, SpecError
from dse.search.archive import Archive, Ledger
from dse.search.budget import Budget
from dse.search.engines.proposals import State
from dse.search.frontier import ParetoSet
from dse.search.metrics import Metrics
from dse.search.question import Question

ARCHIVE = "archive.npz"
PREVIOUS = "archive.previous.npz"
DAMAGED = "archive.damaged.npz"
MANIFEST = "manifest.json"
SUMMARY = "summary.json"
FRONT = "front.csv"
PROBLEM = "problem.yaml"
HISTORY = "history.csv"
JOURNAL = "study.journal"

FORMAT = 1
"""Version of the run folder; a folder of a later one is refused."""

KEYS = frozenset({"study", "seed", "digest", "signature", "sampler", "reason", "sample", "reference_scores"})
"""What a manifest must hold for a run to be continued."""

_DRAFT = re.compile(r"\..+\.[0-9]+(\.lock)?$")
"""Names of files that were being written when a process died."""


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
    tail: Ledger | None = None
    """What an unfinished batch added to the ledger: scored, but not told to the engine."""


@dataclass(frozen=True)
class Run:
    """A run on disk and what it found."""

    folder: Path
    question: Question
    archive: Archive
    summary: Mapping[str, Any]
    manifest: Mapping[str, Any]
    listed_as: tuple[str, ...] = ()
    """Names of the rows where they were read from a table."""

    def front(self) -> ParetoSet:
        """Return the non-dominated designs."""
        return ParetoSet(self.question, self.archive, self.listed_as)


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
    """Replace a file as a whole: readers see the old one or the new one, also after a loss of power."""
    draft = _written(path, content)
    draft.replace(path)
    _settled(path.parent)


def _written(path: Path, content: bytes) -> Path:
    """File beside `path` with the content, safe on the disk; a full disk leaves nothing behind."""
    draft = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        with draft.open("wb") as stream:
            stream.write(content)
            stream.flush()
            os.fsync(stream.fileno())
    except OSError as error:
        with suppress(OSError):
            draft.unlink(missing_ok=True)
        why = f"cannot be written: {error.strerror}. What was written before is whole; make room and resume the run"
        raise refused(path, why) from error
    return draft


def _settled(folder: Path) -> None:
    """Let the names in a folder reach the disk, where the file system can do that."""
    with suppress(OSError):
        descriptor = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)


def swept(folder: Path) -> None:
    """Remove what processes that died were writing; only the owner of the folder may, islands have their own."""
    for path in (*folder.glob(".*"), *folder.glob("topologies/.*")):
        if _DRAFT.fullmatch(path.name) and (path.is_file() or path.is_symlink()):  # a link may have lost its file
            path.unlink(missing_ok=True)


def write_json(path: Path, content: Mapping[str, Any]) -> None:
    """Write a mapping as readable JSON."""
    write_atomic(path, (json.dumps(content, indent=2, ensure_ascii=False) + "\n").encode())


def new_folder(root: Path, study: str) -> Path:
    """Make results/<study>/<timestamp>, and let `last` point to it.

    The name is never older than that of a run that is already there, also when the clock was set back.
    """
    newest = max((path.name.partition("-")[0] for path in root.glob("*/[0-9]*T[0-9]*Z*")), default="")
    stamp = max(time.strftime("%Y%m%dT%H%M%SZ", time.gmtime()), newest)
    for number in range(1000):
        folder = root / study / (f"{stamp}-{number}" if number else stamp)
        try:
            folder.mkdir(parents=True)
            link = folder.parent / f".last.{os.getpid()}"
            link.unlink(missing_ok=True)
            link.symlink_to(folder.name, target_is_directory=True)
            link.replace(folder.parent / "last")
        except FileExistsError:
            continue
        except OSError as error:
            raise refused(folder, f"cannot be made: {error.strerror}. Name another place with --results") from error
        return folder
    raise refused(root / study, "a thousand runs were started in one second")


def save_epoch(folder: Path, epoch: Epoch, packed: bool = True) -> None:
    """Write the archive; the one before is kept until this one is complete on the disk.

    To pack it takes six times as long as to write it four times as large, so what the next one replaces is not packed.
    """
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
        "manifest": np.frombuffer(_content(folder / MANIFEST), dtype=np.uint8),
    }
    arrays |= {f"column/{name}": values for name, values in archive.metrics.columns.items()}
    arrays |= {f"mapping/{name}": values for name, values in archive.metrics.mapping.items()}
    arrays |= {f"ledger/{name}": values for name, values in vars(ledger).items()}
    arrays |= {f"tail/{name}": values for name, values in vars(epoch.tail).items()} if epoch.tail else {}
    arrays |= {f"engine/{name}": values for name, values in epoch.engine.items()}
    buffer = io.BytesIO()
    method = zipfile.ZIP_DEFLATED if packed else zipfile.ZIP_STORED
    with zipfile.ZipFile(buffer, "w", method, compresslevel=1) as file:
        for name, values in arrays.items():
            with file.open(f"{name}.npy", "w", force_zip64=True) as member:
                np.lib.format.write_array(member, np.asanyarray(values), allow_pickle=False)
    draft = _written(folder / ARCHIVE, buffer.getvalue())
    with suppress(FileNotFoundError):
        (folder / ARCHIVE).replace(folder / PREVIOUS)
    draft.replace(folder / ARCHIVE)
    _settled(folder)


def load_epoch(folder: Path) -> Epoch:
    """Read the newest archive that is whole."""
    for name in (ARCHIVE, PREVIOUS):
        arrays = _arrays(folder / name)
        if arrays is not None:
            return _epoch(arrays)
    raise refused(folder, f"no readable {ARCHIVE}: start a new run instead of resuming this one")


def told(epoch: Epoch) -> Ledger:
    """Ledger of all designs that were scored, those of an unfinished batch included."""
    if epoch.tail is None:
        return epoch.ledger
    lines = {
        name: np.concatenate([getattr(epoch.ledger, name), getattr(epoch.tail, name)])
        for name in ("rows", "scores", "violation", "best")
    }
    return Ledger(**lines, evaluated=epoch.tail.evaluated)


def begun(folder: Path) -> bool:
    """Whether a run was ever saved; one that was not is begun anew, with the same seed and sample."""
    return any((folder / name).exists() for name in (ARCHIVE, PREVIOUS))


def set_aside(folder: Path) -> None:
    """Keep a damaged archive under another name, so that saving does not put it in place of the good one before."""
    current = folder / ARCHIVE
    if current.exists() and (folder / PREVIOUS).exists() and _arrays(current) is None:
        current.replace(folder / DAMAGED)


def _arrays(path: Path) -> dict[str, np.ndarray] | None:
    """Arrays of an archive whose checksums are right; None for one that is missing or damaged."""
    try:
        with path.open("rb") as stream:
            with zipfile.ZipFile(stream) as packed:
                if packed.testzip() is not None:
                    return None
            stream.seek(0)
            with np.load(stream, allow_pickle=False) as arrays:
                found = {key: arrays[key] for key in arrays.files}
        _epoch(found)
    except Exception:  # a damaged file can fail in any step of unpacking, with any error
        return None
    return found


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
        tail=Ledger(**tail) if (tail := part("tail/")) else None,
    )


def read_manifest(folder: Path) -> dict[str, Any]:
    """Read what a run was started with; the archive holds a copy for a manifest that is damaged."""
    for content in (_content(folder / MANIFEST), *(_copy(folder / name) for name in (ARCHIVE, PREVIOUS))):
        manifest = _parsed(content)
        if manifest is not None:
            version = manifest.get("format", FORMAT)
            if version != FORMAT:
                raise refused(folder, f"the run has format {version}, this version of dse reads {FORMAT}: update dse")
            return manifest
    raise refused(folder, f"no readable {MANIFEST}: this is not the folder of a run")


def limits(budget: Budget) -> dict[str, float | str | None]:
    """Budget as a manifest keeps it, so that a run is resumed with what it was begun with."""
    amounts = {"seconds": budget.seconds, "evaluations": budget.evaluations}
    finite = {name: amount if math.isfinite(amount) else None for name, amount in amounts.items()}
    return {**finite, "converged": str(budget.converged) if budget.converged else None}


def allowed(manifest: Mapping[str, Any]) -> Budget | None:
    """Budget that a run was given last; None for a run that does not say."""
    noted = manifest.get("limits")
    if not isinstance(noted, Mapping):
        return None
    seconds, evaluations = noted.get("seconds"), noted.get("evaluations")
    settled = convergence(noted["converged"]) if noted.get("converged") else None
    return Budget(seconds or math.inf, evaluations or math.inf, converged=settled)


def _content(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError:
        return b""


def _copy(archive: Path) -> bytes:
    arrays = _arrays(archive) or {}
    return bytes(arrays["manifest"]) if "manifest" in arrays else b""


def _parsed(content: bytes) -> dict[str, Any] | None:
    try:
        found = json.loads(content)
    except (ValueError, RecursionError):
        return None
    return found if isinstance(found, dict) and found.keys() >= KEYS else None


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
