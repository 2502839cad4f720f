"""Fit of the constants of serving engines to measured first tokens and times per token, given the time of passes."""

from typing import NamedTuple

import numpy as np
from scipy.optimize import least_squares

from dse.arrays import BoolArray, FloatArray
from dse.facts.measurements import Measurements
from dse.physics import closed_loop
from dse.physics.calibration import Calibration
from dse.physics.closed_loop import Engine
from dse.search.fidelity import serving_runs
from dse.search.fidelity.calibrate import SCALE, Residuals

START = Engine(first=0.04, client=0.002, together=2.0, wave=0.3)
"""Starting point of a fit, from a first fit to all public runs: a fold that starts here has seen what it leaves out."""

BLIND = Engine(first=0.01, client=0.001, together=1.0, wave=1.0)
"""Starting point that knows no measurement, for leave-one-out: a front end that takes 10 ms per request and 1 ms per
client, one other prefill in front of one's own, and further ones in proportion to the time they take."""

SPREAD = 0.7
"""Spread of the constants between engines around their starting point, in logarithms [1]."""

PRIOR = 30.0
"""Runs that the starting point counts as [1]."""

FIRST_WEIGHT = 0.5
"""Weight of a first token over a time per token [1]: repeats of a run scatter 1.7 against 1.4 (p90 of max over min)."""


class EngineFit(NamedTuple):
    """Constants per engine and what they leave unexplained."""

    engines: dict[str, Engine]
    residuals: tuple[Residuals, ...]


def usable(table: Measurements) -> BoolArray:
    """Aggregated runs with both measurements; the worker counts of others are in doubt or few."""
    measured = np.array(table.numbers["measured_ttft_s"]) * np.array(table.numbers["measured_tpot_s"])
    aggregated = np.array([mode == "agg" for mode in table.text["mode"]])
    return np.asarray(aggregated & (measured > 0))


def calibrate_engines(table: Measurements, calibration: Calibration, start: Engine = START) -> EngineFit:
    """Fit the constants of serving: one set for all engines of the file.

    One set, because constants per engine fit the runs at hand better and unseen devices worse. Median error of first
    tokens: 0.25 per engine and 0.37 with one set in sample; on devices left out 0.72 and 0.29, or 0.41 from a start
    that knows no measurement. Who serves with one engine calibrates on its runs.

    Parameters
    ----------
    table : Measurements               of kind `serving`
    calibration : Calibration          constants of passes
    start : Engine                     where the fit starts and what it is pulled towards

    Returns
    -------
    EngineFit                          constants under the name `any`
    """
    table = table.select(np.flatnonzero(usable(table)).tolist())
    made = serving_runs.runs(table)
    first, per_token = (np.array(table.numbers[name]) for name in ("measured_ttft_s", "measured_tpot_s"))
    ranks = made.decode_points.attention_dp
    times = serving_runs.pass_times(made, calibration)
    problem = _Problem(made.clients / ranks, made.slots / ranks, made.output, times, first, per_token, _balance(table))
    engines = {serving_runs.ANY: _solve(problem, start)}
    served = serving_runs.serve(made, calibration, engines)
    ratios = {"tpot": (served.tpot, per_token), "ttft": (served.ttft, first)}
    return EngineFit(engines, tuple(Residuals(name, np.log(own / real)) for name, (own, real) in ratios.items()))


def _balance(table: Measurements) -> FloatArray:
    """Weights that let campaigns (a model on a device with an engine) count alike however many runs they made."""
    keys = list(zip(table.text["model"], table.text["device"], table.text["engine"], strict=True))
    weights = np.array([keys.count(key) ** -0.5 for key in keys])
    return np.asarray(weights / weights.mean())


class _Problem(NamedTuple):
    """Runs of one fit with the times of their passes."""

    clients: FloatArray
    slots: FloatArray
    output: FloatArray
    times: tuple[FloatArray, FloatArray]
    first: FloatArray
    per_token: FloatArray
    weight: FloatArray


def _solve(problem: _Problem, start: Engine) -> Engine:
    """Constants that fit the runs, pulled towards the starting point."""
    origin = np.log(start)

    def objective(logs: FloatArray) -> FloatArray:
        engine = Engine(*np.exp(logs))
        served = closed_loop.aggregated(problem.clients, problem.slots, problem.output, problem.times, engine)
        first = FIRST_WEIGHT * problem.weight * np.log(served.ttft / problem.first)
        later = problem.weight * np.log(served.tpot / problem.per_token)
        return np.concatenate([first, later, (logs - origin) / SPREAD * SCALE * np.sqrt(PRIOR)])

    solved = least_squares(objective, origin, loss="soft_l1", f_scale=SCALE, max_nfev=60)
    return Engine(*(float(value) for value in np.exp(solved.x)))
