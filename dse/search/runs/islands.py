"""One run by several independent processes: each searches an island of its own, whoever is ready merges them all.

An island is a run folder inside the run, with a seed made from (root, island): the union is the same in whatever
order the islands come, and by however many processes. An island whose process died is taken over by the next.
"""

import json
import os
import shutil
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from dse.facts.errors import SpecError
from dse.search import verdict
from dse.search.archive import Archive, Ledger, gather
from dse.search.crews.workers import cores
from dse.search.explore import explore
from dse.search.metrics import Metrics, stack
from dse.search.question import Question
from dse.search.runs import lock, promising, run
from dse.search.runs.manifest import manifest
from dse.search.runs.run import Epoch, Run
from dse.search.session import Options

FOLDER = "islands"
"""Where the islands of a run are."""

WAIT = 60.0
"""Seconds to wait for others that are merging."""

MOST = 10_000
"""Islands of a run."""


@dataclass(frozen=True)
class Part:
    """What one island contributes."""

    name: str
    epoch: Epoch
    manifest: dict[str, Any]


def join(question: Question, options: Options, folder: Path) -> Run:
    """Search one island of a run, which is made if it is not there, and merge all islands that have results."""
    if options.storage is not None:
        from dse.search.runs import study_storage

        study_storage.reachable(options.storage)
    _founded(question, options, folder, islands={})
    notes = run.read_manifest(folder)
    run.refuse_other(notes, question)
    if "islands" not in notes:
        raise run.refused(folder, "is a run of one process: continue it with --resume, or join under a new name")
    # Another evaluator is asked once, for the promising designs of all islands.
    seen = _explored(replace(question, external=None), options, folder, int(notes["seed"]))
    merged = _merged(question, folder, options)
    return merged if merged is not None else seen


def seed_of(root: int, island: int) -> int:
    """Seed of an island: independent of those of other islands.

    >>> seed_of(0, 1) != seed_of(0, 2) != seed_of(1, 1)
    True
    """
    return int(np.random.SeedSequence((root, island)).generate_state(1)[0])


def _founded(question: Question, options: Options, folder: Path, **extra: Any) -> None:
    """Make a run folder as a whole, unless another process was faster."""
    if (folder / run.MANIFEST).exists():
        return
    notes = manifest(question, options.seed, str(options.budget), "")
    notes |= {"format": run.FORMAT, "asked": options.sampler, "limits": run.limits(options.budget), **extra}
    draft = folder.with_name(f".{folder.name}.{os.getpid()}")
    try:
        draft.mkdir(parents=True, exist_ok=True)
        run.write_atomic(draft / run.PROBLEM, question.resolved.encode())
        for place, source in question.attachments.items():
            (draft / place).parent.mkdir(parents=True, exist_ok=True)
            run.write_atomic(draft / place, source.read_bytes())
        run.write_json(draft / run.MANIFEST, notes)
    except OSError as error:
        raise run.refused(folder, f"cannot be made: {error.strerror}") from error
    with suppress(OSError):
        draft.rename(folder)
    shutil.rmtree(draft, ignore_errors=True)


def _explored(question: Question, options: Options, folder: Path, root: int) -> Run:
    """Search the first island that nobody works on and that has not used its budget."""
    for number in range(1, MOST):
        island = folder / FOLDER / f"{number:04d}"
        _founded(question, replace(options, seed=seed_of(root, number)), island, root=root, island=number)
        if _complete(island) or lock.taken(island):
            continue
        try:
            return explore(question, replace(options, resume=island, storage=None))
        except SpecError:
            if not lock.taken(island):
                raise
    raise run.refused(folder, f"has {MOST - 1:,} islands: start another run")


def _complete(island: Path) -> bool:
    """Whether an island was searched to the end of its budget."""
    try:
        return json.loads((island / run.SUMMARY).read_text(encoding="utf-8"))["interrupted"] is False
    except (OSError, ValueError, KeyError, TypeError):
        return False


def _merged(question: Question, folder: Path, options: Options) -> Run | None:
    """Write the union of all islands as the result of the run; None while another process keeps the folder."""
    with _owned(folder) as own:
        if not own:
            return None
        run.swept(folder)
        while True:
            parts = _parts(folder)
            found = united(question, parts)
            notes = _noted(question, folder, parts)
            run.write_json(folder / run.MANIFEST, notes)
            run.save_epoch(folder, _saved(found, parts))
            result = _written(question, folder, (found, notes), parts, options)
            # A slow evaluator keeps the folder: islands that ended meanwhile could not be merged by their processes.
            if question.external is None or _spent(parts) == _spent(_parts(folder)):
                return result


def _parts(folder: Path) -> list[Part]:
    places = sorted(path.parent for path in (folder / FOLDER).glob(f"*/{run.MANIFEST}"))
    return [part for part in map(_part, places) if part is not None]


def _spent(parts: Sequence[Part]) -> dict[str, int]:
    """Island -> designs it has scored."""
    return {part.name: part.epoch.spent for part in parts}


def _part(island: Path) -> Part | None:
    """Results of an island; None for one that has none yet."""
    with suppress(SpecError):
        return Part(island.name, run.load_epoch(island), run.read_manifest(island))
    return None


@contextmanager
def _owned(folder: Path) -> Iterator[bool]:
    """Own a folder as soon as those who merge at this moment are ready; false when that takes too long."""
    until = time.monotonic() + WAIT
    while lock.taken(folder) and time.monotonic() < until:
        time.sleep(0.1)
    if lock.taken(folder):
        yield False
        return
    with lock.locked(folder):
        yield True


def united(question: Question, parts: Sequence[Part]) -> tuple[Archive, Ledger]:
    """Archive and ledger of all parts; a design that several scored counts once."""
    archives = [part.epoch.archive for part in parts]
    metrics: Metrics = stack([archive.metrics for archive in archives])
    archive = gather(metrics, np.concatenate([archive.rows for archive in archives]), question.goals)
    ledgers = [run.told(part.epoch) for part in parts]
    rows = np.concatenate([ledger.rows for ledger in ledgers])
    first = np.sort(np.unique(rows, axis=0, return_index=True)[1])
    counts = np.zeros_like(ledgers[0].evaluated)
    for axis, column in enumerate(rows[first].T):
        counts[axis] += np.bincount(column, minlength=counts.shape[1])
    ledger = Ledger(
        rows=rows[first],
        scores=np.concatenate([ledger.scores for ledger in ledgers])[first],
        violation=np.concatenate([ledger.violation for ledger in ledgers])[first],
        best=np.concatenate([ledger.best for ledger in ledgers])[first],
        evaluated=counts,
    )
    return archive, ledger


def _saved(found: tuple[Archive, Ledger], parts: Sequence[Part]) -> Epoch:
    return Epoch(
        archive=found[0],
        ledger=found[1],
        engine={},
        evaluations=len(found[1].rows),
        spent=len(found[1].rows),
        seconds=max(part.epoch.seconds for part in parts),
        history=(),
        finished=True,
    )


def _noted(question: Question, folder: Path, parts: Sequence[Part]) -> dict[str, Any]:
    """Manifest of the run: its reference point is the worst of its islands."""
    known = [part.manifest["reference_scores"] for part in parts if part.manifest["reference_scores"] is not None]
    reference = np.array(known).max(axis=0) if known else None
    first = parts[0].manifest
    return run.read_manifest(folder) | {
        "sampler": first["sampler"],
        "reason": f"{len(parts)} islands; {first['reason']}",
        "sample": first["sample"],
        "islands": {part.name: part.manifest["seed"] for part in parts},
        "reference_scores": None if reference is None else reference.tolist(),
        "reference_point": None if reference is None else verdict.plain(reference, question.goals),
        "reference_basis": "worst of the reference points of the islands",
    }


def _written(
    question: Question,
    folder: Path,
    found: tuple[tuple[Archive, Ledger], dict[str, Any]],
    parts: Sequence[Part],
    options: Options,
) -> Run:
    """Write what people read."""
    from dse.search.runs import study

    (archive, ledger), notes = found
    seconds = max(part.epoch.seconds for part in parts)
    scored = len(ledger.rows)
    reference = archive.scores.max(axis=0) if notes["reference_scores"] is None else np.array(notes["reference_scores"])
    facts: dict[str, Any] = {
        "study": question.name,
        "run": folder.name,
        "sampler": notes["sampler"],
        "reason": notes["reason"],
        "exhaustive": scored >= question.space.size,
        "finished": scored >= question.space.size,
        "interrupted": False,
        "seed": notes["seed"],
        "islands": _spent(parts),
        "space_size": question.space.size,
        "evaluations": scored,
        "wall_seconds": round(seconds, 3),
        "designs_per_second": round(scored / max(seconds, 1e-9), 1),
    }
    facts |= verdict.summary(question, archive, ledger, reference)
    result = Run(folder, question, archive, facts, notes)
    if question.external and facts["feasible"]:
        facts["external"] = promising.score(result, question.external, options.workers or cores())
    run.write_atomic(folder / run.FRONT, result.front().csv().encode())
    run.write_history(folder, ((scored, seconds, len(result.front()), facts["hypervolume"]),))
    run.write_json(folder / run.SUMMARY, facts)
    missed = study.record(result, ledger, options.storage)
    if missed is None:
        return result
    facts |= {"storage_missed": missed}
    run.write_json(folder / run.SUMMARY, facts)
    return replace(result, summary=facts)
