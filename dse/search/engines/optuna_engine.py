"""Any Optuna sampler as an engine: it proposes architectures, each scored with all its mappings.

Optuna keeps one value vector per trial, so a sampler is told the most balanced row of a design: of the
least violating ones the row that covers most volume. The study lives in memory; the record that people
open is written by `study`. Samplers are drawn anew for every batch with a seed from (seed, trials told),
so that a resumed run asks what an uninterrupted one would have asked.
"""

import json
import warnings
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from functools import partial
from typing import Any

import numpy as np
import optuna

from dse.arrays import FloatArray
from dse.search import pareto
from dse.search.axes import Axis, Designs
from dse.search.engines.proposals import Engine, Feedback, Proposal, Proposals, Start, State, remainder
from dse.search.engines.seen import Seen

LARGE = 1e6
"""Stands for a score that is not finite: Optuna would rank infinities with real values."""

PATIENCE = 64
"""Proposals in a row that repeat old designs after which random new designs are scored instead."""

Values = tuple[list[float], float]


SAMPLERS: Mapping[str, tuple[Callable[[int], optuna.samplers.BaseSampler], int]] = {
    "tpe": (lambda seed: optuna.samplers.TPESampler(multivariate=True, group=True, seed=seed), 8),
    "nsga2": (lambda seed: optuna.samplers.NSGAIISampler(seed=seed), 32),
    "nsga3": (lambda seed: optuna.samplers.NSGAIIISampler(seed=seed), 32),
    "gp": (lambda seed: optuna.samplers.GPSampler(seed=seed), 1),
    "qmc": (
        lambda seed: optuna.samplers.QMCSampler(scramble=True, seed=seed, warn_independent_sampling=False),
        32,
    ),
}
"""Name in a study -> sampler from a seed, designs proposed together."""

CONDITIONAL = frozenset({"tpe"})
"""Samplers that do better when inert levers are left out; the others get all levers always."""


@contextmanager
def quiet() -> Iterator[None]:
    """Silence Optuna's progress messages and its notes on experimental features while inside."""
    before = optuna.logging.get_verbosity()
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", optuna.exceptions.ExperimentalWarning)
            yield
    finally:
        optuna.logging.set_verbosity(before)


def sampler_engine(name: str) -> Engine:
    """Engine that proposes what an Optuna sampler asks for."""
    return partial(_asking, name)


def _asking(name: str, start: Start, state: State | None) -> Proposals:
    with quiet():
        study = optuna.create_study(directions=["minimize"] * start.feedback.scores.shape[1])
    worst = np.where(np.isfinite(start.feedback.scores), start.feedback.scores, -LARGE).max(axis=0)
    known: dict[bytes, Values] = {}
    _learn(study, start, known, (start.designs, _balanced(start.feedback, len(start.designs), worst)))
    if state:
        _replay(study, start, known, json.loads(str(state["trials"])))
    first = len(start.designs)
    while len(known) < start.space.size:
        snapshot = partial(_told, study.get_trials(deepcopy=False)[first:])
        asked, designs = _asked(study, start, known, name)
        own = len(designs) > 0
        if not own:
            designs = _random(start, known, len(study.get_trials(deepcopy=False)))
        if len(designs) == 0:
            break
        feedback = yield Proposal(designs, snapshot)
        values = _balanced(feedback, len(designs), worst)
        known |= dict(zip(designs.identities(), values, strict=True))
        for trial, key in asked:
            trial.set_constraint("violation", known[key][1])
            study.tell(trial, known[key][0])
        if not own:
            _learn(study, start, known, (designs, values))


def _balanced(feedback: Feedback, count: int, worst: FloatArray) -> list[Values]:
    """One row per design: least violating, then covering most volume below the worst of the sample."""
    scores = np.clip(np.nan_to_num(feedback.scores, posinf=LARGE, neginf=-LARGE), -LARGE, LARGE)
    volume = np.log(np.maximum(worst - scores, 10.0**-pareto.DECIMALS)).sum(axis=1)
    order = np.lexsort([-volume, feedback.violation, feedback.design])
    best = order[np.searchsorted(feedback.design[order], np.arange(count))]
    violation = np.minimum(feedback.violation[best], LARGE)
    return [(row, float(excess)) for row, excess in zip(scores[best].tolist(), violation, strict=True)]


def _asked(
    study: optuna.Study, start: Start, known: dict[bytes, Values], name: str
) -> tuple[list[tuple[optuna.Trial, bytes]], Designs]:
    """Ask until there is a batch of new designs; repetitions are told their known result with the batch."""
    make, batch = SAMPLERS[name]
    told = len(study.get_trials(deepcopy=False))
    asked: list[tuple[optuna.Trial, bytes]] = []
    rows: dict[bytes, np.ndarray] = {}
    with quiet():
        study.sampler = make(int(np.random.default_rng((start.seed, 4, told)).integers(2**31)))
        while len(rows) < batch and len(asked) - len(rows) < PATIENCE:
            trial = study.ask()
            design = start.space.canonical(_suggested(trial, start, conditional=name in CONDITIONAL))
            key = design.identities()[0]
            asked.append((trial, key))
            if key not in known:
                rows[key] = design.rows[0]
    stacked = np.array(list(rows.values()), dtype=np.int16).reshape(-1, len(start.space.axes))
    return asked, Designs(stacked, start.space.names)


def _suggested(trial: optuna.Trial, start: Start, conditional: bool) -> np.ndarray:
    space = start.space
    row = np.array([space.structure.rests], dtype=np.int16)
    controlled = [axis for axis, _, _ in space.structure.conditions]
    free = [axis for axis in range(len(space.axes)) if axis not in controlled]
    for index in [*free, *dict.fromkeys(controlled)]:
        if conditional and not space.structure.active(row)[0, index]:
            continue
        axis = space.axes[index]
        if axis.ordered:
            row[0, index] = trial.suggest_int(axis.name, 0, len(axis.choices) - 1)
        else:
            row[0, index] = trial.suggest_categorical(axis.name, tuple(range(len(axis.choices))))
    return row


def _distribution(axis: Axis) -> optuna.distributions.BaseDistribution:
    if axis.ordered:
        return optuna.distributions.IntDistribution(0, len(axis.choices) - 1)
    return optuna.distributions.CategoricalDistribution(tuple(range(len(axis.choices))))


def _learn(
    study: optuna.Study, start: Start, known: dict[bytes, Values], results: tuple[Designs, list[Values]]
) -> None:
    """Add scored designs that no sampler asked for."""
    designs, values = results
    distributions = {axis.name: _distribution(axis) for axis in start.space.axes}
    for row, key, value in zip(designs.rows.tolist(), designs.identities(), values, strict=True):
        known[key] = value
        study.add_trial(
            optuna.trial.create_trial(
                params=dict(zip(start.space.names, row, strict=True)),
                distributions=distributions,
                values=value[0],
                constraints={"violation": value[1]},
            )
        )


def _random(start: Start, known: dict[bytes, Values], step: int) -> Designs:
    drawn = start.space.sample(PATIENCE, (start.seed, 5, step))
    fresh = drawn.take(np.array([key not in known for key in drawn.identities()], dtype=np.bool_))
    rows = np.frombuffer(b"".join(known), dtype=np.int16).reshape(-1, len(start.space.axes))
    return fresh if len(fresh) else next(remainder(start.space, Seen(rows)), fresh)


def _told(trials: list[optuna.trial.FrozenTrial]) -> State:
    """Trials as text: parameters, values, and what the sampler noted on them."""
    kept = [
        {
            "params": trial.params,
            "values": trial.values,
            "constraints": trial.constraints,
            "system_attrs": {k: v for k, v in trial.system_attrs.items() if not k.startswith("constraints")},
        }
        for trial in trials
        if trial.state != optuna.trial.TrialState.RUNNING
    ]
    return {"trials": np.array(json.dumps(kept))}


def _replay(study: optuna.Study, start: Start, known: dict[bytes, Values], trials: list[dict[str, Any]]) -> None:
    """Restore the trials of a saved state."""
    axes = {axis.name: axis for axis in start.space.axes}
    for told in trials:
        params, values = told["params"], told["values"]
        complete = values is not None
        study.add_trial(
            optuna.trial.create_trial(
                state=optuna.trial.TrialState.COMPLETE if complete else optuna.trial.TrialState.FAIL,
                params=params,
                distributions={name: _distribution(axes[name]) for name in params},
                values=list(values) if complete else None,
                system_attrs=told["system_attrs"],
                constraints={name: float(value) for name, value in told["constraints"].items()},
            )
        )
        if complete:
            row = [params.get(axis.name, axis.rest) for axis in start.space.axes]
            design = start.space.canonical(np.array([row], dtype=np.int16))
            known[design.identities()[0]] = (list(values), float(told["constraints"]["violation"]))
