"""Predictions of single passes for people and programs: one point or a CSV file of them."""

import csv
import io
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from dse.facts import files, measurements
from dse.facts.errors import Mistake, SpecError
from dse.search.fidelity import predict, tables
from dse.search.fidelity.constants import band_of, constants

DEFAULTS: Mapping[str, str] = {
    "id": "", "phase": "", "engine": "", "pp": "1", "attention_dp": "1", "moe_tp": "", "ep": "", "weight_dtype": "",
    "expert_dtype": "", "kv_dtype": "", "attention_dtype": "", "reference_s": "",
}  # fmt: skip
"""Columns that a file of points may leave out, and what stands for them."""

REQUIRED = ("model", "device", "tp", "batch", "new_tokens", "cached_tokens")
"""Columns that every point has."""

WHOLE = ("weights_bytes", "kv_bytes")
"""Results that the model gives per device and people read over all devices of the instance."""

KEYS = (
    "seconds", "flop", "bytes_moved", "oi", "cf_request_bytes", "cf_device_bytes", "weights_bytes", "kv_bytes", "bound",
    "fits", "compute_s", "memory_s", "network_s", "overhead_s", "low_s", "high_s",
)  # fmt: skip
"""Keys of a prediction; the whole pass over all devices unless the key says device. Two thirds of the passes on devices
and models left out of the fit took between `low_s` and `high_s`."""

Prediction = dict[str, Any]


def predict_file(path: str | Path) -> tuple[list[dict[str, str]], list[Prediction]]:
    """Rows of a CSV file and the prediction of each; SpecError names every wrong cell."""
    text = files.read_text(path, files.TABLE)
    files.table(text, str(path))
    rows = list(csv.DictReader(io.StringIO(text, newline="")))
    header = list(rows[0]) if rows else text.splitlines()[:1]
    missing = [name for name in REQUIRED if name not in header]
    if missing or not rows:
        needed = f"a file of points has rows with the columns {', '.join(REQUIRED)}"
        what = f"column {', '.join(missing)} is missing" if rows else "there are no rows"
        raise SpecError([Mistake(str(path), 1, 0, "header", f"{what}: {needed}")])
    return rows, predict_rows(rows, str(path))


def predict_rows(rows: Sequence[Mapping[str, str | None]], name: str) -> list[Prediction]:
    """Prediction of each point; a cell that is absent takes its default."""
    columns = [*REQUIRED, *DEFAULTS]
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(columns)
    for row in rows:
        filled = {**DEFAULTS, **{key: cell or DEFAULTS.get(key, "") for key, cell in row.items()}}
        filled["phase"] = filled["phase"] or ("decode" if filled.get("new_tokens") == "1" else "prefill")
        writer.writerow([filled.get(column, "") for column in columns])
    table = measurements.read_text(text.getvalue(), name)
    tables.refuse(table)
    points = tables.step_points(table)
    found = predict.predict(points, constants().calibration)
    devices = np.asarray(points.devices, float)
    whole = {key: found[key] * (devices if key in WHOLE else 1.0) for key in found}
    decode = np.asarray(points.new_tokens) == 1
    bands = zip(band_of("prefill"), band_of("decode"), strict=True)
    edges = [found["seconds"] * np.where(decode, of_decode, of_prefill) for of_prefill, of_decode in bands]
    whole |= dict(zip(("low_s", "high_s"), edges, strict=True))
    return [_prediction(whole, row) for row in range(len(table))]


def with_results(rows: Sequence[Mapping[str, str]], found: Sequence[Prediction]) -> str:
    """Rows of a file with the predictions beside them, as CSV."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    own = [key for key in KEYS if key not in rows[0]]
    writer.writerow([*rows[0], *own])
    for row, prediction in zip(rows, found, strict=True):
        writer.writerow([*row.values(), *(_cell(prediction[key]) for key in own)])
    return text.getvalue()


def _prediction(columns: Mapping[str, np.ndarray], row: int) -> Prediction:
    made: Prediction = {key: float(columns[key][row]) for key in KEYS if key in columns}
    made["bound"] = predict.BOUNDS[int(columns["bound"][row])]
    made["fits"] = bool(columns["fits"][row])
    return {**made, **{f"{term}_s": float(columns[term][row]) for term in predict.BOUNDS}}


def _cell(value: Any) -> str:
    return str(value).lower() if isinstance(value, bool | str) else f"{value:.6g}"
