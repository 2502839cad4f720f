"""Multi-fidelity: the analytic search screens, a program or the replay scores the promising rows of its front.

The two fidelities never mix: front.csv stays what the model says, external.csv puts both side by side, and
external.jsonl keeps every answer as it came, so that a run that is continued asks for none twice.
"""

import csv
import io
import json
import os
import sys
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor, as_completed
from pathlib import Path
from queue import SimpleQueue
from typing import Any

import numpy as np

from dse.facts.external import External
from dse.search import pareto
from dse.search.crews.external import Answer, Conversation, Program, request
from dse.search.frontier import ParetoSet, shown
from dse.search.runs import run
from dse.search.runs.run import Run

ANSWERS = "external.jsonl"
TABLE = "external.csv"


def promising(front: ParetoSet, count: int) -> np.ndarray:
    """Rows of a front that stand for all of it: the best of each objective, knees, and an even choice of the rest."""
    if len(front) <= count:
        return np.arange(len(front))
    best = front.archive.scores.argmin(axis=0)
    picked = list(dict.fromkeys([*best.tolist(), *front.knees(3).tolist()]))
    spread = pareto.representatives(front.archive.scores, 0.0)
    even = spread[np.linspace(0, len(spread) - 1, count).round().astype(np.int64)]
    return np.sort(np.array(list(dict.fromkeys([*picked, *even.tolist()]))[:count]))


def command(stated: External, study: Path) -> tuple[str, ...]:
    """What is started: the program of the user, or this package's replay of the study of a run."""
    return stated.command or (sys.executable, "-m", "dse.cli", "replay", "--serve", str(study))


def score(found: Run, stated: External, workers: int) -> dict[str, Any]:
    """Score the promising rows of a run by the program; returned is what the summary says of it."""
    program = Program(command(stated, found.folder / run.PROBLEM), stated.timeout, stated.retries)
    front = found.front()
    rows = promising(front, stated.promising)
    wanted = tuple(goal.name for goal in found.question.goals)
    asked = [
        request(found.question.space, front.archive.rows[row], front.archive.metrics, row, wanted)
        for row in rows.tolist()
    ]
    known = recalled(found.folder / ANSWERS)
    fresh = [candidate for candidate in asked if candidate["id"] not in known]
    for candidate, got in _scored(fresh, program, wanted, workers):
        known[candidate["id"]] = got
        _noted(found.folder / ANSWERS, candidate["id"], got)
    answers = [known[candidate["id"]] for candidate in asked]
    run.write_atomic(found.folder / TABLE, _table(front, rows, answers).encode())
    return {"by": "program" if stated.command else "replay"} | _facts(front, rows, answers, len(fresh))


def recalled(path: Path) -> dict[str, Answer]:
    """Answers of an earlier part of the run; a line that was cut short, and a failure, are asked for again."""
    known: dict[str, Answer] = {}
    lines = path.read_bytes().splitlines() if path.exists() else []
    for line in lines:
        try:
            content = json.loads(line)
            if content["metrics"]:
                known[content["id"]] = Answer(content["metrics"], "")
        except (ValueError, KeyError, TypeError):
            continue
    return known


def _scored(
    candidates: list[dict[str, Any]], program: Program, wanted: tuple[str, ...], workers: int
) -> Iterable[tuple[dict[str, Any], Answer]]:
    """Candidates with their answers, by several running programs; each thread only waits for its own."""
    talks = [Conversation(program) for _ in range(max(min(workers, len(candidates)), 1))]
    idle: SimpleQueue[Conversation] = SimpleQueue()
    for talk in talks:
        idle.put(talk)

    def one(candidate: dict[str, Any]) -> tuple[dict[str, Any], Answer]:
        talk = idle.get()
        try:
            return candidate, talk.ask(candidate, wanted)
        finally:
            idle.put(talk)

    threads = ThreadPoolExecutor(len(talks))
    try:
        for done in as_completed([threads.submit(one, candidate) for candidate in candidates]):
            yield done.result()
    finally:
        threads.shutdown(wait=False, cancel_futures=True)
        for talk in talks:
            talk.close()


def _noted(path: Path, id_: str, got: Answer) -> None:
    """Add an answer to the file of answers, safe on the disk."""
    with path.open("ab") as stream:
        stream.write(json.dumps({"id": id_, "metrics": got.metrics, "failure": got.failure}).encode() + b"\n")
        stream.flush()
        os.fsync(stream.fileno())


def _table(front: ParetoSet, rows: np.ndarray, answers: list[Answer]) -> str:
    """Both fidelities side by side."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    goals = [(goal.name, *shown(goal.unit)) for goal in front.question.goals]
    names = [f"{name} {source} [{unit}]" for name, unit, _ in goals for source in ("analytic", "external")]
    writer.writerow(["design [id]", *names, "failure [text]"])
    for row, got in zip(rows.tolist(), answers, strict=True):
        cells = []
        for name, _, size in goals:
            own = got.metrics.get(name)
            cells += [
                f"{front.archive.metrics.columns[name][row] / size:.6g}",
                "" if own is None else f"{own / size:.6g}",
            ]
        writer.writerow([front.ids[row], *cells, got.failure])
    return text.getvalue()


def _facts(front: ParetoSet, rows: np.ndarray, answers: list[Answer], fresh: int) -> dict[str, Any]:
    """What the external fidelity says: its own front, and how far the model was from it."""
    done = [place for place, got in enumerate(answers) if got.metrics]
    signs = np.array([-1.0 if goal.maximize else 1.0 for goal in front.question.goals])
    names = [goal.name for goal in front.question.goals]
    facts: dict[str, Any] = {"asked": len(rows), "fresh": fresh, "failed": len(rows) - len(done)}
    if not done:
        return facts | {"front": [], "ratio": {}}
    own = np.array([[answers[place].metrics[name] for name in names] for place in done])
    model = np.stack([front.archive.metrics.columns[name][rows[done]] for name in names], axis=1)
    kept = np.flatnonzero(pareto.nondominated(signs * np.log10(own)))
    ratio = np.median(own / model, axis=0)
    return facts | {
        "front": [front.ids[rows[done[place]]] for place in kept.tolist()],
        "ratio": dict(zip(names, ratio.tolist(), strict=True)),
    }
