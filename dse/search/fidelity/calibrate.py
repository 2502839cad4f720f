"""Fit of the constants of the time model to measurements: kernels, passes and serving runs together.

Residuals are logarithms of predicted over measured time, so a factor two counts the same either way; the loss is
soft_l1, so a few odd measurements do not carry the fit. A class with few or no data keeps near what it inherits: every
constant is pulled towards its parent (the next wider format, then the starting point) as if by a few measurements.
"""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from scipy.optimize import least_squares

from dse.arrays import FloatArray
from dse.facts.measurements import Measurements
from dse.physics.calibration import PROVISIONAL, Calibration
from dse.search.fidelity import predict
from dse.search.fidelity.kernels import KernelGroup, kernel_groups, kernel_seconds
from dse.search.fidelity.tables import step_points

SCALE = 0.2
"""Residual beyond which a measurement counts linearly instead of squared, in logarithms [1]."""

TRIALS = 40
"""Most evaluations of a fit, those of its derivatives aside."""

PULL = 0.35
"""Spread of a constant around its parent, in logarithms [1]: how much formats of one operator differ."""

WEIGHT = {
    "linear": 300.0,
    "attention_prefill": 150.0,
    "attention_decode": 150.0,
    "experts": 200.0,
    "all_reduce": 150.0,
    "steps": 600.0,
}
"""Measurements that a class counts as, whatever its number of rows [1]."""

_CURVE = ("compute", "memory", "half_rows", "floor")
FITTED = (
    *(f"linear.{width}.{name}" for width in ("bf16", "fp8") for name in _CURVE),
    *(f"attention.{width}.{name}" for width in ("bf16", "fp8") for name in ("compute", "memory", "floor")),
    *(f"experts.{width}.{name}" for width in ("bf16", "fp8") for name in (*_CURVE, "traffic")),
    "network.alpha",
    "network.efficiency",
    "network.pipeline",
    "network.direct_alpha",
    "network.direct_efficiency",
    "overhead.layer",
    "overhead.step",
    "overhead.request",
    "overhead.traffic",
    "mask_tokens",
    "expert_skew",
)
"""Constants that are fitted, by path."""

SHARES = ("compute", "memory", "efficiency", "direct_efficiency")
"""Constants that cannot exceed 1."""

PARENT = {
    path: path.replace(".fp8.", ".bf16.") for path in FITTED if ".fp8." in path and not path.endswith(("half_rows",))
}
"""Constants that inherit from those of the next wider format."""


class Residuals(NamedTuple):
    """Predicted over measured time of one class of measurements."""

    name: str
    ratio: FloatArray
    """Logarithms (n,) [1]."""

    @property
    def median_error(self) -> float:
        """Median of the relative error [1]."""
        return float(np.median(np.abs(np.expm1(self.ratio))))

    @property
    def band(self) -> tuple[float, float]:
        """Factors on a prediction between which two thirds of the measurements lie [1]."""
        low, high = np.quantile(-self.ratio, [1 / 6, 5 / 6])
        return float(np.exp(low)), float(np.exp(high))


class Fit(NamedTuple):
    """Constants and what they leave unexplained."""

    calibration: Calibration
    residuals: tuple[Residuals, ...]


def read_constant(calibration: Calibration, path: str) -> float:
    """One constant by its path.

    >>> read_constant(PROVISIONAL, "linear.bf16.half_rows")
    90.0
    """
    value: object = calibration
    for name in path.split("."):
        value = getattr(value, name)
    return float(value)  # type: ignore[arg-type]


def with_constant(calibration: Calibration, path: str, value: float) -> Calibration:
    """Calibration with one constant replaced.

    >>> with_constant(PROVISIONAL, "overhead.step", 1.0).overhead.step
    1.0
    """
    names = path.split(".")
    chain: list[object] = [calibration]
    for name in names[:-1]:
        chain.append(getattr(chain[-1], name))
    new: object = value
    for owner, name in zip(reversed(chain), reversed(names), strict=True):
        new = owner._replace(**{name: new})  # type: ignore[attr-defined]
    return new  # type: ignore[return-value]


def with_constants(calibration: Calibration, paths: Sequence[str], values: FloatArray) -> Calibration:
    """Calibration with several constants replaced, 4-bit curves following the 8-bit ones."""
    for path, value in zip(paths, values, strict=True):
        calibration = with_constant(calibration, path, float(value))
    return calibration._replace(
        linear=calibration.linear._replace(fp4=calibration.linear.fp8),
        attention=calibration.attention._replace(fp4=calibration.attention.fp8),
        experts=calibration.experts._replace(fp4=calibration.experts.fp8),
    )


class _Data(NamedTuple):
    """Measurements turned into work."""

    kernels: list[KernelGroup]
    steps: list[predict.Group]
    reference: FloatArray


def calibrate(kernels: Measurements | None, steps: Measurements | None, start: Calibration = PROVISIONAL) -> Fit:
    """Fit the constants to measured kernels and passes.

    Parameters
    ----------
    kernels : Measurements or None     of kind `kernels`
    steps : Measurements or None       of kind `steps`; names must be in the catalog
    start : Calibration                where the fit starts and what thin data fall back to

    Returns
    -------
    Fit                                constants, residuals per class
    """
    points = step_points(steps) if steps is not None else None
    data = _Data(
        kernels=kernel_groups(kernels) if kernels is not None else [],
        steps=predict.groups(points) if points else [],
        reference=np.array(steps.numbers["reference_s"]) if steps is not None else np.zeros(0),
    )
    origin = np.log([read_constant(start, path) for path in FITTED])
    upper = np.array([0.0 if path.split(".")[-1] in SHARES else np.inf for path in FITTED])

    def objective(logs: FloatArray) -> FloatArray:
        trial = with_constants(start, FITTED, np.exp(logs))
        parts = [_weighted(residual) for residual in _residuals(data, trial)]
        return np.concatenate([*parts, _pulled(logs, origin) * SCALE])

    solved = least_squares(
        objective,
        np.minimum(origin, upper - 1e-3),
        bounds=(-np.inf, upper),
        loss="soft_l1",
        f_scale=SCALE,
        max_nfev=TRIALS,
        x_scale=0.3,
    )
    best = with_constants(start, FITTED, np.exp(solved.x))
    return Fit(best, tuple(_residuals(data, best)))


def _pulled(logs: FloatArray, origin: FloatArray) -> FloatArray:
    """Distance of every constant from its parent in units of the spread allowed."""
    index = {path: place for place, path in enumerate(FITTED)}
    parents = np.array([logs[index[PARENT[path]]] if path in PARENT else origin[index[path]] for path in FITTED])
    return np.asarray((logs - parents) / PULL)


def _weighted(residuals: Residuals) -> FloatArray:
    """Residuals of a class scaled so that all of them together count as its weight."""
    return np.asarray(residuals.ratio * np.sqrt(WEIGHT[residuals.name] / residuals.ratio.size))


def _residuals(data: _Data, calibration: Calibration) -> list[Residuals]:
    """Residuals by class."""
    found = [
        Residuals(group.name, np.log(kernel_seconds(group, calibration) / group.seconds)) for group in data.kernels
    ]
    if data.reference.size:
        seconds = predict.seconds(data.steps, data.reference.size, calibration)
        found.append(Residuals("steps", np.log(seconds / data.reference)))
    return found
