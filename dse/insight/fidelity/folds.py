"""Blind accuracy: constants fitted without a device or a model predict what was left out.

A fold starts from constants that have seen no measurement of serving (`calibrate_serving.BLIND`), so what is left out
enters neither by the data nor by the starting point. It does enter by the form of the equations, which was chosen with
all public runs at hand.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from itertools import product
from typing import NamedTuple

import numpy as np

from dse.arrays import FloatArray
from dse.facts.errors import Mistake, SpecError
from dse.facts.measurements import Kind, Measurements
from dse.insight.fidelity.validate import BATCH_EDGES, QUANTITIES, Line, predictions, score, scored
from dse.physics.calibration import IDEAL, PROVISIONAL, Calibration
from dse.physics.closed_loop import Engine
from dse.search.fidelity import calibrate, calibrate_serving, serving_runs, tables
from dse.search.fidelity.constants import Constants, constants
from dse.search.fidelity.kernels import KernelGroup, kernel_groups, kernel_seconds, library_groups

Files = Mapping[Kind, Measurements]
"""Measurements without problems, at most one file of each kind."""

KINDS = ("device", "model")
"""What may be left out."""

_ARCHITECTURE = {"deepseek_r1": "deepseek_v3"}
"""Models that differ in weights only."""


class Pair(NamedTuple):
    """Times of the measurements of one class."""

    predicted: FloatArray
    """(n,) NaN where a row cannot be predicted [s]."""
    measured: FloatArray
    """(n,) NaN where a row has none [s]."""
    limit: FloatArray
    """(n,) of a pure roofline [s]."""


class Folds(NamedTuple):
    """Predictions of rows by constants, and their scores."""

    by: str
    """What was left out: `device`, `model`, or `nothing`."""
    lines: tuple[Line, ...]
    """Scores over all rows, by phase or mode, by load, and by what was left out."""
    ratios: dict[str, FloatArray]
    """Logarithm of predicted over measured time by operator class and quantity [1]."""
    starts: dict[str, tuple[float, float]]
    """Least and most median error of aggregated runs over the starting points of `corners`, by quantity [1]."""


def in_sample(files: Files, own: Constants) -> Folds:
    """Scores of constants on the measurements they were fitted to."""
    found = {kind: _predicted(table, own) for kind, table in _whole(files).items()}
    return _scored(files, "nothing", found, _kernel_pairs(files.get("kernels"), own))


def cross_validate(files: Files, by: str, progress: Callable[[str], None] = lambda _: None) -> Folds:
    """Leave one device or one model out at a time, refit on the rest, predict what was left out.

    Parameters
    ----------
    files : mapping                    measurements by kind; what is absent keeps the constants that ship
    by : str                           `device` or `model`; kernels belong to no model and stay in
    progress : callable                told the name of each group left out

    Returns
    -------
    Folds                              of operators (by device only), passes, times per token and first tokens
    """
    found = {kind: np.full((len(QUANTITIES[kind]), len(table)), np.nan) for kind, table in _whole(files).items()}
    parted = files if by == "device" else _whole(files)
    every = tuple(dict.fromkeys(name for table in parted.values() for name in families(table, by)))
    if len(every) < 2:
        only = f"there is only {every[0]}" if every else "no passes and no runs"
        where = ", ".join(table.path for table in files.values())
        raise SpecError([Mistake(where, 0, 0, by, f"leaving one {by} out needs two of them; {only}")])
    kernels: dict[str, list[Pair]] = {}
    others = np.full((2 ** len(Engine._fields), *found["serving"].shape), np.nan) if "serving" in files else None
    for name in every:
        progress(name)
        kept = _without(files, by, name)
        passes = _passes(kept)
        own = Constants(passes, _engines(kept, passes, calibrate_serving.BLIND), {})
        for kind, table in _whole(files).items():
            out = [row for row, label in enumerate(families(table, by)) if label == name]
            if out:
                found[kind][:, out] = _predicted(table.select(out), own)
            if out and others is not None and kind == "serving":
                for corner, start in enumerate(corners()):
                    own = own._replace(engines=_engines(kept, passes, start))
                    others[corner][:, out] = _predicted(table.select(out), own)
        left = _only(files.get("kernels"), name) if by == "device" else None
        for group, pair in _kernel_pairs(left, own).items():
            kernels.setdefault(group, []).append(pair)
    joined = {name: _joined(pairs) for name, pairs in kernels.items()}
    spans = _spans(files["serving"], others) if others is not None else {}
    return _scored(files, by, found, joined)._replace(starts=spans)


def corners() -> list[Engine]:
    """Starting points around the blind one: each constant a factor of three smaller or larger."""
    factors = product((1 / BOX, BOX), repeat=len(Engine._fields))
    return [Engine(*(np.array(calibrate_serving.BLIND) * np.array(own)).tolist()) for own in factors]


BOX = 3.0
"""Factor either way within which an uninformed guess of an engine's constants may lie [1]."""


def _without(files: Files, by: str, name: str) -> dict[Kind, Measurements]:
    """Files without one device or model."""
    made: dict[Kind, Measurements] = {}
    for kind, table in files.items():
        whole = by == "model" and kind == "kernels"
        rows = [row for row, label in enumerate(families(table, by)) if whole or label != name]
        if rows:
            made[kind] = table.select(rows)
    return made


def _passes(kept: Files) -> Calibration:
    """Constants of passes fitted to what is left; those that ship where nothing measures passes."""
    if not {"kernels", "steps"} & kept.keys():
        return constants().calibration
    return calibrate.calibrate(kept.get("kernels"), kept.get("steps"), PROVISIONAL).calibration


def _engines(kept: Files, passes: Calibration, start: Engine) -> dict[str, Engine]:
    """Constants of engines fitted to what is left; the starting point where nothing measures serving."""
    serving = kept.get("serving")
    if serving is None or not calibrate_serving.usable(serving).any():
        return {serving_runs.ANY: start}
    return calibrate_serving.calibrate_engines(serving, passes, start).engines


def _predicted(table: Measurements, own: Constants) -> FloatArray:
    """Predicted times (quantities, n) [s]."""
    return np.stack(list(predictions(table, own).values()))


def _spans(table: Measurements, others: FloatArray) -> dict[str, tuple[float, float]]:
    """Range of the median errors of aggregated runs over starting points; all runs, and those with few clients."""
    aggregated = np.array([own == "agg" for own in phases(table)])
    few = aggregated & (np.array(table.numbers["concurrency"]) <= BATCH_EDGES[2])
    made: dict[str, tuple[float, float]] = {}
    for place, (name, columns) in enumerate(QUANTITIES["serving"].items()):
        measured = np.array(table.numbers[columns[0]])
        for title, rows in ((name, aggregated), (f"{name} at most {BATCH_EDGES[2]}", few)):
            found = [own for corner in others if (own := score(corner[place][rows], measured[rows]))]
            if found:
                medians = [round(own.median, 4) for own in found]
                made[title] = (min(medians), max(medians))
    return made


def families(table: Measurements, by: str) -> tuple[str, ...]:
    """Devices, or models with those of the same architecture as one."""
    if by == "device" or "model" not in table.text:
        return tables.devices(table)
    return tuple(_ARCHITECTURE.get(name, name) for name in tables.models(table))


def _whole(files: Files) -> dict[Kind, Measurements]:
    """Files of passes and of serving runs."""
    return {kind: table for kind, table in files.items() if kind != "kernels"}


def _only(table: Measurements | None, device: str) -> Measurements | None:
    """Kernels of one device."""
    rows = [row for row, name in enumerate(tables.devices(table)) if name == device] if table is not None else []
    return table.select(rows) if table is not None and rows else None


def _kernel_pairs(table: Measurements | None, own: Constants) -> dict[str, Pair]:
    """Times of measured kernels by operator class."""
    if table is None:
        return {}

    def pair(group: KernelGroup) -> Pair:
        return Pair(kernel_seconds(group, own.calibration), group.seconds, kernel_seconds(group, IDEAL))

    made = {group.name: pair(group) for group in kernel_groups(table)}
    library = [pair(group) for group in library_groups(table)]
    return made | ({LIBRARY: _joined(library)} if library else {})


LIBRARY = "library"
"""Collectives of a communication library, of all operations."""


def _joined(pairs: Sequence[Pair]) -> Pair:
    """Several classes as one."""
    return Pair(*map(np.concatenate, zip(*pairs, strict=True)))


def _scored(files: Files, by: str, found: Mapping[Kind, FloatArray], kernels: Mapping[str, Pair]) -> Folds:
    """Scores of predictions by quantity and operator class."""
    lines: list[Line] = []
    ratios: dict[str, FloatArray] = {}
    for name, pair in kernels.items():
        ours = score(pair.predicted, pair.measured)
        if ours:
            lines.append(Line(name, "all", "all", ours, None, score(pair.limit, pair.measured)))
        ratios[name] = np.log(pair.predicted / pair.measured)
    for kind, values in found.items():
        table = files[kind]
        for name, predicted in zip(QUANTITIES[kind], values, strict=True):
            groups = _groups(table, by)
            lines += [
                line for group, labels in groups.items() for line in scored(table, name, group, labels, predicted)
            ]
            ratios |= _spread(table, name, predicted)
    return Folds(by, tuple(lines), ratios, {})


def _groups(table: Measurements, by: str) -> dict[str, Sequence[str]]:
    """What rows are grouped by."""
    phase = phases(table)
    light = np.array(table.numbers["concurrency" if table.kind == "serving" else "batch"]) <= BATCH_EDGES[2]
    loads = [
        f"{own}, at most {BATCH_EDGES[2]}" if low else f"{own}, more" for own, low in zip(phase, light, strict=True)
    ]
    groups: dict[str, Sequence[str]] = {"all": ["all"] * len(table), "phase": phase, "load": loads}
    return groups | ({by: families(table, by)} if by in KINDS else {})


def phases(table: Measurements) -> tuple[str, ...]:
    """Phase of every pass, or mode of every run; runs whose worker counts are a guess are a mode of their own."""
    if table.kind == "steps":
        return table.text["phase"]
    pairs = zip(table.text["mode"], table.text["workers_known"], strict=True)
    return tuple(f"{mode}, workers guessed" if known == "False" else mode for mode, known in pairs)


def _spread(table: Measurements, name: str, predicted: FloatArray) -> dict[str, FloatArray]:
    """Residuals of a quantity: passes by phase, latencies of aggregated runs."""
    measured = np.array(table.numbers[QUANTITIES[table.kind][name][0]])
    both = np.isfinite(predicted) & np.isfinite(measured) & (measured > 0)

    def of(wanted: Iterable[bool]) -> FloatArray:
        rows = both & np.array(list(wanted), dtype=bool)
        return np.asarray(np.log(predicted[rows] / measured[rows]))

    labels = phases(table)
    if table.kind == "serving":
        return {name: of(own == "agg" for own in labels)}
    return {phase: of(own == phase for own in labels) for phase in ("prefill", "decode") if phase in labels}
