"""Accuracy: predictions against measurements, row by row, and of constants fitted without the rows they predict."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import numpy as np
from scipy.stats import spearmanr

from dse.arrays import FloatArray
from dse.facts import catalog
from dse.facts.errors import Mistake, SpecError
from dse.facts.measurements import Measurements, read
from dse.search.fidelity import predict, serving_runs, tables
from dse.search.fidelity.constants import Constants, constants

BATCH_EDGES = (1, 4, 16, 64)
"""Upper ends of the batch ranges [1]."""

QUANTITIES = {
    "steps": {"seconds": ("reference_s", "", "limit_s")},
    "serving": {
        "tpot": ("measured_tpot_s", "peer_tpot_s", "limit_tpot_s"),
        "ttft": ("measured_ttft_s", "peer_ttft_s", "limit_ttft_s"),
    },
}
"""Columns of the measurement, of the peer's prediction and of the limit, by layout and quantity."""


NOT_KERNELS = "is a file of kernels, which are for `dse calibrate`; expected steps or serving runs"
"""What to say of the third layout."""

NO_TIME = "the model gives no finite time"
"""Reason of a row that is well written and still cannot be predicted."""


class Score(NamedTuple):
    """Errors of one quantity over some rows."""

    rows: int
    """Rows compared."""
    median: float
    """Median of |predicted / measured - 1| [1]."""
    mean: float
    """Mean of the same [1]."""
    p90: float
    """90th percentile of the same [1]."""
    bias: float
    """Median of predicted / measured - 1 [1]."""
    spearman: float
    """Rank correlation of predicted with measured [1]."""


class Line(NamedTuple):
    """Scores of one group of rows: ours, the peer's and the limit's on the rows that they cover."""

    quantity: str
    by: str
    """What the rows share: `all`, phase, model, device, engine, batch range or fallback level."""
    value: str
    ours: Score
    peer: Score | None
    limit: Score | None


@dataclass(frozen=True)
class Report:
    """Predictions of every row and their scores."""

    path: str
    kind: str
    ids: tuple[str, ...]
    """Of every row of the file."""
    predicted: dict[str, FloatArray]
    """By quantity, NaN where a row cannot be predicted [s]."""
    measured: dict[str, FloatArray]
    """By quantity, NaN where a row has none [s]."""
    reasons: tuple[str, ...]
    """Why a row is not predicted; empty where it is."""
    labels: dict[str, tuple[str, ...]]
    """What each row belongs to, by kind of group: phase or mode, model, device, engine, batch range, fallback level."""
    lines: tuple[Line, ...]
    """Scores, the whole file first."""

    @property
    def coverage(self) -> float:
        """Share of rows predicted [1]."""
        return sum(not reason for reason in self.reasons) / len(self.reasons)

    def line(self, quantity: str, by: str = "all", value: str = "all") -> Line:
        """One line of the report."""
        return next(own for own in self.lines if own[:3] == (quantity, by, value))


def validate(path: str | Path, *, skip_unknown: bool = False, calibration: str | Path | None = None) -> Report:
    """Predict every row of a steps or serving file and compare with what was measured.

    Parameters
    ----------
    path : str or Path                 CSV file; its layout is recognized by its columns
    skip_unknown : bool                count rows with unknown names instead of refusing the file
    calibration : path or None         calibration file; the shipped one by default

    Returns
    -------
    Report                             raises SpecError for a file that cannot be used
    """
    table = read(path)
    if table.kind == "kernels":
        raise SpecError([Mistake(str(path), 1, 0, "header", NOT_KERNELS)])
    wrong = tables.problems(table)
    if wrong and not skip_unknown:
        raise SpecError([mistake for mistakes in wrong.values() for mistake in mistakes])
    reasons = tuple("; ".join(own.message for own in wrong.get(row, [])) for row in range(len(table)))
    good = [row for row, reason in enumerate(reasons) if not reason]
    return report(table, good, reasons, constants(calibration))


def report(table: Measurements, good: Sequence[int], reasons: tuple[str, ...], own: Constants) -> Report:
    """Predictions and scores of a table, `good` rows only."""
    predicted = {name: np.full(len(table), np.nan) for name in QUANTITIES[table.kind]}
    for name, values in predictions(table.select(good), own).items() if good else ():
        predicted[name][list(good)] = values
    measured = {name: np.array(table.numbers[columns[0]]) for name, columns in QUANTITIES[table.kind].items()}
    labels = _labels(table, own)
    lines = [
        line
        for name in predicted
        for by, groups in labels.items()
        for line in scored(table, name, by, groups, predicted[name])
    ]
    finite = np.all([np.isfinite(values) for values in predicted.values()], axis=0)
    said = tuple(reason or ("" if fine else NO_TIME) for reason, fine in zip(reasons, finite, strict=True))
    return Report(table.path, table.kind, table.text["id"], predicted, measured, said, labels, tuple(lines))


def predictions(table: Measurements, own: Constants) -> dict[str, FloatArray]:
    """Predicted times of a table without problems, by quantity [s]."""
    if table.kind == "steps":
        points = tables.step_points(table)
        return {"seconds": predict.seconds(predict.groups(points), len(table), own.calibration)}
    served = serving_runs.serve(serving_runs.runs(table), own.calibration, own.engines)
    return {"tpot": served.tpot, "ttft": served.ttft}


def score(predicted: FloatArray, measured: FloatArray) -> Score | None:
    """Errors over the rows that have both; None where there are none.

    >>> score(np.array([1.1, 2.0, np.nan]), np.array([1.0, 2.0, 3.0])).rows
    2
    """
    both = np.isfinite(predicted) & np.isfinite(measured) & (measured > 0)
    if not both.any():
        return None
    ratio = predicted[both] / measured[both] - 1
    error = np.abs(ratio)
    varied = both.sum() > 1 and np.ptp(predicted[both]) > 0 and np.ptp(measured[both]) > 0
    rank = float(spearmanr(predicted[both], measured[both]).statistic) if varied else 1.0
    return Score(
        int(both.sum()),
        float(np.median(error)),
        float(error.mean()),
        float(np.quantile(error, 0.9)),
        float(np.median(ratio)),
        rank,
    )


def scored(table: Measurements, name: str, by: str, labels: Sequence[str], predicted: FloatArray) -> Iterable[Line]:
    """Scores of every group of rows that share a label."""
    measured, peer, limit = (
        np.array(table.numbers[column]) if column else np.full(len(table), np.nan)
        for column in QUANTITIES[table.kind][name]
    )
    for value in sorted(set(labels)):
        rows = np.array([label == value for label in labels])
        ours = score(predicted[rows], measured[rows])
        if ours:
            yield Line(name, by, value, ours, score(peer[rows], measured[rows]), score(limit[rows], measured[rows]))


def _labels(table: Measurements, own: Constants) -> dict[str, tuple[str, ...]]:
    """What rows may be grouped by."""
    size = len(table)
    load = np.array(table.numbers["batch" if table.kind == "steps" else "concurrency"])
    phase = table.text["phase" if table.kind == "steps" else "mode"]
    found: dict[str, tuple[str, ...]] = {
        "all": ("all",) * size,
        "phase": phase,
        "model": table.text["model"],
        "device": table.text["device"],
        "engine": table.text["engine"],
        "batch": tuple(batch_range(value) for value in load),
        "fallback": tuple(
            fallback(device, model, own)
            for device, model in zip(tables.devices(table), tables.models(table), strict=True)
        ),
    }
    if table.kind == "serving":
        found["workers"] = tuple("known" if value != "False" else "guessed" for value in table.text["workers_known"])
    return found


def batch_range(value: float) -> str:
    """Range that a batch lies in.

    >>> batch_range(1.0), batch_range(20.0), batch_range(100.0)
    ('1', '17-64', '65+')
    """
    if not np.isfinite(value):
        return "unknown"
    lower = 1
    for edge in BATCH_EDGES:
        if value <= edge:
            return f"{lower}" if lower == edge else f"{lower}-{edge}"
        lower = edge + 1
    return f"{lower}+"


def fallback(device: str, model: str, own: Constants) -> str:
    """From how far the constants of a row are inherited.

    >>> fallback("b200_sxm", "llama_3_1_8b", constants())
    'other device of the vendor'
    """
    if device in own.devices:
        return "device and model fitted" if model in own.models else "device fitted, model new"
    vendors = {catalog.accelerator(name).vendor for name in own.devices}
    known = device in catalog.names("accelerators") and catalog.accelerator(device).vendor in vendors
    return "other device of the vendor" if known else "other vendor"
