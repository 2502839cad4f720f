"""The Optuna study of a run: a curated record that optuna-dashboard and Optuna's own samplers open.

It holds the front, and a sample of the other designs scored, as readable trials: at most `TRIALS`, because
a dashboard polls all of them and compares each with all of the front. The archive beside it holds
everything. Constraints follow Optuna's sign (feasible at zero or less); the sign is turned here and
nowhere else.
"""

import hashlib
import json
import os
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np
import optuna
from optuna.storages import BaseStorage, JournalStorage
from optuna.storages.journal import BaseJournalBackend, JournalFileBackend

from dse.arrays import FloatArray, IntArray
from dse.facts import units
from dse.facts.errors import SpecError
from dse.search import pareto, verdict
from dse.search.archive import Ledger
from dse.search.axes import Axis, Choice
from dse.search.engines.optuna_engine import LARGE, quiet
from dse.search.frontier import INERT, KNEES, ParetoSet, shown
from dse.search.metrics import Metrics, minimised, scores
from dse.search.question import Question
from dse.search.runs.run import JOURNAL, Run, difference, refused
from dse.search.runs.study_storage import attempted, damaged, open_storage

TRIALS = 800
"""Most trials of a published study: optuna-dashboard opens as many within some two seconds."""

REST = 200
"""Most trials that are not on the front, for contrast."""

NAMED = 24
"""Most choices of an ordered lever that are told by their names; of a longer one the number itself is told."""

Distribution: TypeAlias = optuna.distributions.CategoricalDistribution | optuna.distributions.FloatDistribution

OURS = "dse_row"
"""User attribute of the trials that this module writes: identity of the row."""


def record(run: Run, ledger: Ledger, storage: str | None) -> str | None:
    """Write the study of a run; trials that others added to it stay.

    It is written into the run folder first, whole, then to the storage that was asked for: what others added
    there is safe before the study is replaced. Returned is why that storage could not be written, if so.
    """
    name = f"{run.question.name}-{run.folder.name}"
    with quiet():
        try:
            shared = attempted(storage, lambda opened: _foreign(opened, name, run.question)) if storage else []
            why = None
        except SpecError as error:
            shared, why = [], str(error)
        foreign = _united(_own_foreign(run, name), shared)
        memory = Memory()
        _write(run, ledger, JournalStorage(memory), name, foreign)
        _keep(run.folder / JOURNAL, memory)
        if storage is None or why is not None:
            return why
        try:
            attempted(storage, lambda opened: _rewrite(run, ledger, opened, name, foreign))
        except SpecError as error:
            return str(error)
    return None


def _own_foreign(run: Run, name: str) -> list[optuna.trial.FrozenTrial]:
    """Trials that others added to the journal of the run; a journal that cannot be read is kept aside."""
    path = run.folder / JOURNAL
    if not path.exists():
        return []
    try:
        return _foreign(open_storage(str(path)), name, run.question)
    except SpecError:
        raise
    except Exception:  # a damaged journal raises whatever its lines make of it
        path.replace(damaged(path))
        return []


def _united(
    own: list[optuna.trial.FrozenTrial], shared: list[optuna.trial.FrozenTrial]
) -> list[optuna.trial.FrozenTrial]:
    """Trials of both, each once."""
    found = {(trial.datetime_start, json.dumps(trial.params, sort_keys=True)): trial for trial in [*own, *shared]}
    return list(found.values())


def _keep(path: Path, memory: "Memory") -> None:
    """Write a journal as a whole."""
    draft = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        JournalFileBackend(str(draft)).append_logs(memory.lines)
        draft.replace(path)
    except OSError as error:
        draft.unlink(missing_ok=True)
        raise refused(path, f"cannot be written: {error.strerror}. The rest of the run is whole") from error


class Memory(BaseJournalBackend):
    """Journal that is kept in memory until it is complete: one write instead of one per trial.

    A class because Optuna asks for one.
    """

    def __init__(self) -> None:
        self.lines: list[dict[str, Any]] = []

    def read_logs(self, log_number_from: int) -> list[dict[str, Any]]:
        """Return the lines from a number on."""
        return self.lines[log_number_from:]

    def append_logs(self, logs: list[dict[str, Any]]) -> None:
        """Add lines."""
        self.lines += logs


def objective(question: Question) -> Callable[[optuna.Trial], tuple[float, ...]]:
    """Objective for plain Optuna to continue a study with: `study.optimize(objective(question))`."""

    def score(trial: optuna.Trial) -> tuple[float, ...]:
        chosen = [_suggested(trial, question, axis) for axis in question.space.axes]
        metrics = question.evaluate(question.space.canonical(np.array([chosen], dtype=np.int16)))
        row = _balanced(question, metrics)
        trial.set_constraint("violation", float(min(metrics.violation[row], LARGE)))
        return tuple(
            float(np.clip(metrics.columns[goal.name][row] / shown(goal.unit)[1], -LARGE, LARGE))
            for goal in question.goals
        )

    return score


def _suggested(trial: optuna.Trial, question: Question, axis: Axis) -> int:
    kind = _distribution(question, axis)
    if isinstance(kind, optuna.distributions.FloatDistribution):
        value = trial.suggest_float(axis.name, kind.low, kind.high, log=kind.log)
        return int(np.abs(_numbers(question, axis) - value).argmin())
    label = trial.suggest_categorical(axis.name, kind.choices)
    return axis.rest if label == INERT else kind.choices.index(label)


def _balanced(question: Question, metrics: Metrics) -> int:
    feasible = np.flatnonzero(metrics.violation == metrics.violation.min())
    return int(feasible[pareto.knees_by_bulge(scores(metrics, question.goals)[feasible])[0]])


def _rewrite(
    run: Run, ledger: Ledger, storage: BaseStorage, name: str, foreign: list[optuna.trial.FrozenTrial]
) -> None:
    if name in optuna.get_all_study_names(storage):
        optuna.delete_study(study_name=name, storage=storage)
    _write(run, ledger, storage, name, foreign)


def _foreign(storage: BaseStorage, name: str, question: Question) -> list[optuna.trial.FrozenTrial]:
    """Trials that someone else added; a study of another space is refused."""
    if name not in optuna.get_all_study_names(storage):
        return []
    study = optuna.load_study(study_name=name, storage=storage)
    before = study.user_attrs.get("signature", {"levers": {}})["levers"]
    changed = difference(before, json.loads(json.dumps(question.signature))["levers"])
    if changed:
        raise refused(name, f"the storage holds a study of this name and another space: {'; '.join(changed)}")
    return [trial for trial in study.trials if OURS not in trial.user_attrs and trial.state.is_finished()]


def _write(run: Run, ledger: Ledger, storage: BaseStorage, name: str, foreign: list[optuna.trial.FrozenTrial]) -> None:
    question, front = run.question, run.front()
    study = optuna.create_study(
        study_name=name,
        storage=storage,
        directions=["maximize" if goal.maximize else "minimize" for goal in question.goals],
    )
    study.set_metric_names([f"{goal.name} [{shown(goal.unit)[0]}]" for goal in question.goals])
    members = _members(front)
    for key, value in {
        "signature": question.signature,
        "archive_rows": len(front),
        "front_trials": len(members),
        "units": {axis.name: shown(question.unit(axis.name))[0] for axis in question.space.axes if _numeric(axis)},
        "note": "analytic estimate; curated record: the front and a sample of the rest",
    }.items():
        study.set_user_attr(key, value)
    study.add_trials(_front_trials(front, members))
    study.add_trials(_rest_trials(question, front, members, ledger))
    study.add_trials([trial for trial in foreign if _fitting(trial, question)])


def _members(front: ParetoSet) -> IntArray:
    """Rows of the front that the study shows: all, or an evenly thinned choice of them with the best and both knees."""
    most = TRIALS - REST
    if len(front) <= most:
        return np.arange(len(front))
    best = front.archive.scores[: len(front)].argmin(axis=0)
    kept = np.concatenate([best, *(front.knees(3, method) for method in KNEES)])
    spread = np.linspace(0, len(front) - 1, max(most - len(kept), 0)).astype(np.int64)
    return np.unique(np.concatenate([kept, spread]))


def _front_trials(front: ParetoSet, members: IntArray) -> list[optuna.trial.FrozenTrial]:
    question, metrics = front.question, front.archive.metrics
    knees = {method: front.knees(3, method) for method in KNEES}
    slacks = [name for name in metrics.columns if "slack" in name]
    told = _told(question)
    return [
        optuna.trial.create_trial(
            **_readable(question, told, front.archive.rows[row]),
            values=list(front.objectives(row).values()),
            constraints={"violation": 0.0} | {name: min(-float(metrics.columns[name][row]), 0.0) for name in slacks},
            user_attrs={
                "design": front.ids[row],
                "mapping": {name: question.word(name, code) for name, code in front.mapping(row).items()},
                "knee": [method for method, rows in knees.items() if row in rows],
                OURS: _identity(front.archive.rows[row], list(front.mapping(row).values())),
            },
        )
        for row in members.tolist()
    ]


def _rest_trials(
    question: Question, front: ParetoSet, members: IntArray, ledger: Ledger
) -> list[optuna.trial.FrozenTrial]:
    """Sample of the designs scored that a published member of the front dominates, or that are infeasible."""
    finite = np.flatnonzero(np.isfinite(ledger.scores).all(axis=1) & np.isfinite(ledger.violation))
    drawn = np.sort(np.random.default_rng(0).permutation(finite)[: 2 * REST])
    if len(members):
        best = minimised(front.archive.metrics.take(members), question.goals)
        signs = np.array([-1.0 if goal.maximize else 1.0 for goal in question.goals])
        own = signs * 10.0 ** (signs * ledger.scores[drawn])
        beaten = [bool(((best <= row).all(axis=1) & (best < row).any(axis=1)).any()) for row in own]
        drawn = drawn[np.array(beaten, dtype=np.bool_) | (ledger.violation[drawn] > 0)]
    told = _told(question)
    return [
        optuna.trial.create_trial(
            **_readable(question, told, ledger.rows[line]),
            values=list(verdict.plain(ledger.scores[line], question.goals).values()),
            constraints={"violation": float(ledger.violation[line])},
            user_attrs={OURS: _identity(ledger.rows[line], [])},
        )
        for line in drawn[:REST].tolist()
    ]


def _identity(row: np.ndarray, mapping: Sequence[int]) -> str:
    return hashlib.sha256(repr((row.tolist(), list(mapping))).encode()).hexdigest()[:16]


def _told(question: Question) -> list[tuple[Axis, Sequence[str | float], Distribution]]:
    """Each lever, what a trial says for each of its choices, and among what."""
    return [
        (
            axis,
            _numbers(question, axis).tolist() if _numeric(axis) else _labels(question, axis),
            _distribution(question, axis),
        )
        for axis in question.space.axes
    ]


def _readable(
    question: Question, told: Sequence[tuple[Axis, Sequence[str | float], Distribution]], row: np.ndarray
) -> dict[str, Any]:
    """Parameters of one design with their distributions; a number that is inert is left out, a name says so."""
    active = question.space.structure.active(row[None, :])[0]
    params: dict[str, str | float] = {}
    for (axis, words, _), index, acts in zip(told, row.tolist(), active, strict=True):
        if acts:
            params[axis.name] = words[index]
        elif not _numeric(axis):
            params[axis.name] = INERT
    return {"params": params, "distributions": {axis.name: kind for axis, _, kind in told if axis.name in params}}


def _fitting(trial: optuna.trial.FrozenTrial, question: Question) -> bool:
    """Whether a trial tells its levers as this study does: one storage may hold one kind of a lever only."""
    kinds = {axis.name: type(_distribution(question, axis)) for axis in question.space.axes}
    return all(type(own) is kinds.get(name, type(own)) for name, own in trial.distributions.items())


def _distribution(question: Question, axis: Axis) -> Distribution:
    if not _numeric(axis):
        return optuna.distributions.CategoricalDistribution(_labels(question, axis))
    numbers = _numbers(question, axis)
    low, high = float(numbers.min()), float(numbers.max())
    even = (low + high) / 2
    geometric = low > 0 and float(np.median(numbers)) < np.sqrt(even * np.sqrt(low * high))
    return optuna.distributions.FloatDistribution(low, high, log=bool(geometric))


def _numeric(axis: Axis) -> bool:
    return axis.ordered and len(axis.choices) > NAMED


def _numbers(question: Question, axis: Axis) -> FloatArray:
    """(choices,) numbers of an ordered lever, in the unit of tables."""
    return np.array(axis.choices, dtype=np.float64) / shown(question.unit(axis.name))[1]


def _labels(question: Question, axis: Axis) -> list[str]:
    """Choices of a lever as text; a lever that may be inert has one more."""
    labels = [_label(choice, question.unit(axis.name)) for choice in axis.choices]
    if len(set(labels)) < len(labels):
        labels = [str(choice) for choice in axis.choices]
    return [*labels, INERT] if axis.inert else labels


def _label(choice: Choice, unit: str) -> str:
    return choice if isinstance(choice, str) else units.show(choice, unit)
