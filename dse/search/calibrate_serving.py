"""Fit of the constants of serving engines to measured first tokens and times per token, given the time of passes."""

from typing import NamedTuple

import numpy as np
from scipy.optimize import least_squares

from dse.arrays import BoolArray, FloatArray, IntArray
from dse.facts.measurements import Measurements
from dse.physics import closed_loop
from dse.physics.calibration import Calibration
from dse.physics.closed_loop import Engine
from dse.search import serving_runs
from dse.search.calibrate import SCALE, Residuals

START = Engine(first=0.04, client=0.001, together=1.5, wave=0.3, interference=1.0, step=1.0)
"""Starting point of a fit."""

PULL = Engine(first=0.7, client=0.7, together=0.7, wave=0.7, interference=0.15, step=0.1)
"""Spread of the constants between engines, in logarithms [1]: how far few data may move one engine from all."""

FIRST_WEIGHT = 0.5
"""Weight of a first token over a time per token [1]: repeats of a run scatter 1.7 against 1.4 (p90 of max over min)."""

PRIOR = 6.0
"""Runs that the common constants count as for one engine [1]."""


class EngineFit(NamedTuple):
    """Constants per engine and what they leave unexplained."""

    engines: dict[str, Engine]
    residuals: tuple[Residuals, ...]


def usable(table: Measurements) -> BoolArray:
    """Aggregated runs with both measurements; the worker counts of others are in doubt or few."""
    measured = np.array(table.numbers["measured_ttft_s"]) * np.array(table.numbers["measured_tpot_s"])
    aggregated = np.array([mode == "agg" for mode in table.text["mode"]])
    return np.asarray(aggregated & (measured > 0))


def calibrate_engines(table: Measurements, calibration: Calibration) -> EngineFit:
    """Fit engine constants: one set for all first, then each engine's own pulled towards it.

    Parameters
    ----------
    table : Measurements               of kind `serving`
    calibration : Calibration          constants of passes

    Returns
    -------
    EngineFit                          `any` and each engine that occurs
    """
    table = table.select(np.flatnonzero(usable(table)).tolist())
    made = serving_runs.runs(table)
    first, per_token = (np.array(table.numbers[name]) for name in ("measured_ttft_s", "measured_tpot_s"))
    times = serving_runs.pass_times(made, calibration)
    ranks = made.decode_points.attention_dp
    problem = _Problem(made.clients / ranks, made.slots / ranks, made.output, times, first, per_token)
    common = _solve(problem, START, 1.0)
    engines = {serving_runs.ANY: common}
    for name in dict.fromkeys(table.text["engine"]):
        own = np.array([row for row, other in enumerate(table.text["engine"]) if other == name], dtype=np.int64)
        engines[name] = _solve(problem.rows(own), common, PRIOR)
    served = serving_runs.serve(made, calibration, engines)
    ratios = {"tpot": (served.tpot, "measured_tpot_s"), "ttft": (served.ttft, "measured_ttft_s")}
    residuals = tuple(
        Residuals(name, np.log(times / np.array(table.numbers[column]))) for name, (times, column) in ratios.items()
    )
    return EngineFit(engines, residuals)


class _Problem(NamedTuple):
    """Runs of one fit with the times of their passes."""

    clients: FloatArray
    slots: FloatArray
    output: FloatArray
    times: tuple[FloatArray, FloatArray]
    first: FloatArray
    per_token: FloatArray

    def rows(self, index: IntArray) -> "_Problem":
        """Select rows."""
        prefill, step = self.times
        return _Problem(
            self.clients[index], self.slots[index], self.output[index], (prefill[index], step[index]), self.first[index],
            self.per_token[index],
        )  # fmt: skip


def _solve(problem: _Problem, origin: Engine, prior: float) -> Engine:
    """Constants that fit the runs, pulled towards an origin."""
    start, spread = np.log(origin), np.array(PULL)

    def objective(logs: FloatArray) -> FloatArray:
        engine = Engine(*np.exp(logs))
        served = closed_loop.aggregated(problem.clients, problem.slots, problem.output, problem.times, engine)
        pull = (logs - start) / spread * SCALE * np.sqrt(prior)
        first = FIRST_WEIGHT * np.log(served.ttft / problem.first)
        return np.concatenate([first, np.log(served.tpot / problem.per_token), pull])

    solved = least_squares(objective, start, loss="soft_l1", f_scale=SCALE, max_nfev=60)
    return Engine(*(float(value) for value in np.exp(solved.x)))
