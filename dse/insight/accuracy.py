"""Accuracy of the model as tables and files, and constants fitted to a user's own measurements."""

import csv
import io
from collections.abc import Sequence
from datetime import date
from pathlib import Path
from typing import Any

import numpy as np

from dse.facts import calibration as files
from dse.facts.errors import Mistake, SpecError
from dse.facts.measurements import Measurements, read
from dse.insight.table import Table
from dse.insight.validate import Report, Score
from dse.insight.wording import percent
from dse.search import calibrate, calibrate_serving, tables
from dse.search.constants import constants, to_file

METHOD = "scipy least_squares, soft_l1 on logarithms of predicted over measured time"
"""How constants are fitted, for the provenance."""


def table(report: Report) -> Table:
    """Lines of a report."""
    header = ("what", "rows", "median error", "p90 error", "bias", "rank", "peer median", "limit median")
    rows = tuple(
        (
            line.quantity if line.by == "all" else f"  {line.by} {line.value}",
            f"{line.ours.rows:,}",
            percent(line.ours.median),
            percent(line.ours.p90),
            f"{100 * line.ours.bias:+.1f} %",
            f"{line.ours.spearman:.3f}",
            percent(line.peer.median) if line.peer else "",
            percent(line.limit.median) if line.limit else "",
        )
        for line in report.lines
    )
    return Table(header, rows)


def json(report: Report) -> dict[str, Any]:
    """Report for programs."""

    def scores(score: Score | None) -> dict[str, float] | None:
        return score._asdict() if score else None

    lines = [
        {"quantity": line.quantity, "by": line.by, "value": line.value}
        | {"ours": scores(line.ours), "peer": scores(line.peer), "limit": scores(line.limit)}
        for line in report.lines
    ]
    reasons = sorted({reason for reason in report.reasons if reason})
    return {"path": report.path, "kind": report.kind, "rows": len(report.ids), "coverage": report.coverage,
            "lines": lines, "not_predicted": reasons}  # fmt: skip


def rows_csv(report: Report) -> str:
    """Measured and predicted of every row."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    pairs = [f"{name}_{word}_s" for name in report.predicted for word in ("measured", "predicted")]
    writer.writerow(["id", *pairs, "reason"])
    for row, own in enumerate(report.ids):
        values = [
            column[row] for name in report.predicted for column in (report.measured[name], report.predicted[name])
        ]
        writer.writerow([own, *(f"{value:.6g}" if np.isfinite(value) else "" for value in values), report.reasons[row]])
    return text.getvalue()


def fitted(paths: Sequence[Path], out: Path, data: str, licence: str) -> list[dict[str, Any]]:
    """Fit the constants to files, write them, and tell the error that each class of measurements keeps."""
    found: dict[str, Measurements] = {}
    for path in paths:
        own = read(path)
        if own.kind in found:
            raise SpecError([Mistake(str(path), 0, 0, "", f"is a second file of {own.kind}: join them into one")])
        if own.kind != "kernels":
            tables.refuse(own)
        found[own.kind] = own
    start = constants()
    passes = calibrate.Fit(start.calibration, ())
    if {"kernels", "steps"} & found.keys():
        passes = calibrate.calibrate(found.get("kernels"), found.get("steps"), start.calibration)
    engines, residuals = start.engines, passes.residuals
    if "serving" in found:
        served = calibrate_serving.calibrate_engines(found["serving"], passes.calibration)
        engines, residuals = {**start.engines, **served.engines}, (*residuals, *served.residuals)
    measured = [own for kind, own in found.items() if kind != "kernels"]
    provenance = {
        "data": data,
        "licence": licence,
        "date": date.today().isoformat(),
        "method": METHOD,
        "fixed": "what the files do not measure keeps the value of the calibration that ships with the package",
        "devices": sorted({name for own in measured for name in tables.devices(own)}),
        "models": sorted({name for own in measured for name in tables.models(own)}),
    }
    files.write(to_file(passes.calibration, engines, residuals, provenance), out)
    return [
        {"name": own.name, "samples": int(own.ratio.size), "median_error": own.median_error, "band": own.band}
        for own in residuals
    ]
