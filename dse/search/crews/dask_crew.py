"""Workers of a Dask cluster that is already running.

The question is sent as data: its resolved text and its topology files. A worker needs this package installed and
nothing else, no file system that it shares with the coordinator. It builds the evaluation once and keeps it.
"""

import hashlib
import tempfile
from collections.abc import Mapping
from concurrent.futures import CancelledError
from functools import lru_cache
from importlib import import_module
from pathlib import Path
from typing import Any, NamedTuple

from dse.facts.errors import Mistake, SpecError
from dse.search.axes import Designs
from dse.search.crews.workers import Crew, Evaluator, Promise, Scored, reduced
from dse.search.metrics import Goal
from dse.search.question import Question

TIMEOUT = "20 s"
"""How long a scheduler may take to answer."""

KNOWN = 4
"""Questions whose evaluation a worker keeps."""


class Task(NamedTuple):
    """What a worker needs to score designs."""

    goals: tuple[Goal, ...]
    resolved: str
    files: Mapping[str, bytes]
    evaluate: Evaluator | None
    """The evaluation itself, for a question that is not made from a study file."""

    @property
    def digest(self) -> str:
        """Identity of the question."""
        total = hashlib.sha256(self.resolved.encode())
        for name, content in sorted(self.files.items()):
            total.update(name.encode() + b"\0" + content)
        return total.hexdigest()


def task(question: Question) -> Task:
    """Question as data."""
    files = {place: source.read_bytes() for place, source in question.attachments.items()}
    return Task(question.goals, question.resolved, files, None if question.resolved else question.evaluate)


class Rebuilt(NamedTuple):
    """Evaluation of a question that came as data."""

    evaluate: Evaluator
    folder: tempfile.TemporaryDirectory[str] | None
    """Files of the question, which the evaluation reads when it needs them; they go with this process."""


def rebuilt(sent: Task) -> Rebuilt:
    """Build the evaluation of a question that came as data."""
    if sent.evaluate is not None:
        return Rebuilt(sent.evaluate, None)
    from dse.facts.problem import load
    from dse.search.ask import ask

    kept = tempfile.TemporaryDirectory(prefix="dse-", ignore_cleanup_errors=True)
    folder = Path(kept.name)
    for place, content in sent.files.items():
        (folder / place).parent.mkdir(parents=True, exist_ok=True)
        (folder / place).write_bytes(content)
    study = folder / "problem.yaml"
    study.write_text(sent.resolved, encoding="utf-8")
    return Rebuilt(ask(load(study)).evaluate, kept)


class _Known:
    """Task that is looked up by its digest, so that a worker builds its evaluation once."""

    def __init__(self, sent: Task) -> None:
        self.sent = sent
        self.key = sent.digest if sent.evaluate is None else str(id(sent.evaluate))

    def __hash__(self) -> int:
        return hash(self.key)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, _Known) and other.key == self.key


@lru_cache(maxsize=KNOWN)
def _evaluation(known: _Known) -> Rebuilt:
    return rebuilt(known.sent)


def _kept(sent: Task) -> Task:
    """Task as a result that lives on the cluster: lost with a worker, it is sent again by the scheduler."""
    return sent


def _work(sent: Task, designs: Designs) -> Scored:
    return reduced(designs, _evaluation(_Known(sent)).evaluate(designs), sent.goals)


class Cluster:
    """Workers behind a Dask scheduler; what one of them loses when it dies, the scheduler gives to another."""

    def __init__(self, question: Question, address: str) -> None:
        self._address = address
        self._task = task(question)
        self._connect()

    def _connect(self) -> None:
        try:
            self._dask: Any = import_module("distributed")
        except ImportError:
            raise _refused(self._address, "needs Dask: pip install 'dse[distributed]'") from None
        try:
            self._client = self._dask.Client(self._address, timeout=TIMEOUT, set_as_default=False)
        except (OSError, ValueError) as error:
            raise _refused(self._address, f"there is no Dask scheduler: {error}") from None
        self._sent = self._client.submit(_kept, self._task, pure=False)

    @property
    def workers(self) -> int:
        """Threads of all workers that are there now; one while none is."""
        return max(int(sum(self._client.nthreads().values())), 1)

    @property
    def lost(self) -> tuple[type[Exception], ...]:
        """Errors that mean that a worker, or the scheduler, went away."""
        dask = self._dask
        own = (dask.KilledWorker, dask.client.FutureCancelledError, dask.comm.CommClosedError)
        return (*own, CancelledError, ConnectionError)

    def submit(self, designs: Designs) -> Promise:
        """Send a block out."""
        promise: Promise = self._client.submit(_work, self._sent, designs, pure=False)
        return promise

    def renew(self) -> None:
        """Connect again; blocks that were out are sent anew."""
        self.close()
        self._connect()

    def close(self) -> None:
        """Leave the cluster as it was found."""
        self._client.close(timeout=TIMEOUT)


def crew(question: Question, address: str) -> Crew:
    """Crew on a running cluster."""
    return Crew(question.evaluate, question.goals, Cluster(question, address), question.block)


def _refused(address: str, why: str) -> SpecError:
    return SpecError([Mistake(address, 0, 0, "cluster", why)])
