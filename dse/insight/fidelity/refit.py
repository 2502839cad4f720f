"""Constants fitted to files of measurements, with what they leave unexplained in sample and blind."""

from collections.abc import Callable, Sequence
from datetime import date
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from dse.facts import catalog
from dse.facts.calibration import CalibrationFile
from dse.facts.errors import Mistake, SpecError
from dse.facts.measurements import Kind, Measurements, read, unknown_name
from dse.facts.names import find_device
from dse.insight.fidelity.folds import Folds, cross_validate
from dse.physics.calibration import PROVISIONAL
from dse.search.fidelity import calibrate, calibrate_serving, tables
from dse.search.fidelity.calibrate import Residuals
from dse.search.fidelity.constants import Constants, constants, to_file
from dse.search.fidelity.kernels import KINDS, WIDTHS

METHOD = "scipy least_squares, soft_l1 on logarithms of predicted over measured time; classes weighted alike"
"""How constants are fitted, for the provenance."""

KEPT = "what the files do not measure keeps the value of the calibration that the fit started from"
"""Constants that a fit leaves alone, for the provenance."""


class Refit(NamedTuple):
    """Constants, their residuals, and the files behind them."""

    files: dict[Kind, Measurements]
    own: Constants
    residuals: tuple[Residuals, ...]
    folds: tuple[Folds, ...]
    """One per kind of group left out."""


def measurements(paths: Sequence[Path]) -> dict[Kind, Measurements]:
    """Files by kind, recognized by their columns; SpecError names what is wrong in any of them."""
    found: dict[Kind, Measurements] = {}
    mistakes: list[Mistake] = []
    for path in paths:
        try:
            table = read(path)
            if table.kind in found:
                again = f"is a second file of {table.kind}: join it with {found[table.kind].path}"
                raise SpecError([Mistake(str(path), 0, 0, "", again)])
            _refuse_unusable(table)
            found[table.kind] = table
        except SpecError as error:
            mistakes += error.mistakes
    if mistakes or not found:
        raise SpecError(mistakes or [Mistake("", 0, 0, "", "name at least one file of kernels, steps or serving runs")])
    return found


def _refuse_unusable(table: Measurements) -> None:
    """SpecError with the rows that nothing can be fitted to."""
    if table.kind != "kernels":
        tables.refuse(table)
    if table.kind == "serving" and not calibrate_serving.usable(table).any():
        raise SpecError([Mistake(table.path, 0, 0, "mode", "no aggregated run has both a TTFT and a TPOT")])
    time = {"kernels": "latency_us", "steps": "reference_s"}.get(table.kind)
    wrong = [
        table.mistake(row, time, "is empty or 0; a fit needs the measured time")
        for row, value in enumerate(table.numbers[time] if time else ())
        if time and not value > 0
    ]
    wrong += _unknown_kernels(table) if table.kind == "kernels" else []
    if wrong:
        raise SpecError(wrong)


def _unknown_kernels(table: Measurements) -> list[Mistake]:
    """Kernels on devices and in number formats that nobody knows."""
    devices, formats = table.text["device"], table.text["dtype"]
    made = [
        table.mistake(row, "device", unknown_name("device", name, catalog.names("accelerators")))
        for row, name in enumerate(devices)
        if find_device(name) is None
    ]
    return made + [
        table.mistake(row, "dtype", f'"{name}" is no format of kernels; expected one of {", ".join(WIDTHS)}')
        for row, (name, kind) in enumerate(zip(formats, table.text["kind"], strict=True))
        if kind in KINDS and name not in WIDTHS
    ]


def refit(
    paths: Sequence[Path],
    leave_out: Sequence[str] = (),
    fresh: bool = False,
    progress: Callable[[str], None] = lambda _: None,
) -> Refit:
    """Fit the constants to files of measurements.

    Parameters
    ----------
    paths : sequence of Path           at most one file each of kernels, steps, serving runs
    leave_out : sequence of str        `device`, `model`: cross-validate by leaving each of them out in turn
    fresh : bool                       start from round numbers; else from the constants that ship, which is right for
                                       a user's own engine with few measurements
    progress : callable                told what is being fitted

    Returns
    -------
    Refit                              constants, residuals, folds
    """
    files = measurements(paths)
    start = constants()
    progress(", ".join(f"{len(table):,} {kind}" for kind, table in files.items()))
    passes = calibrate.Fit(start.calibration, ())
    if {"kernels", "steps"} & files.keys():
        origin = PROVISIONAL if fresh else start.calibration
        passes = calibrate.calibrate(files.get("kernels"), files.get("steps"), origin)
    engines, residuals = start.engines, passes.residuals
    if "serving" in files:
        served = calibrate_serving.calibrate_engines(files["serving"], passes.calibration)
        engines, residuals = {**start.engines, **served.engines}, (*residuals, *served.residuals)
    folds = tuple(
        cross_validate(files, by, lambda name, by=by: progress(f"without {by} {name}"))  # type: ignore[misc]
        for by in leave_out
    )
    return Refit(files, Constants(passes.calibration, engines, {}), residuals, folds)


def blind(folds: Sequence[Folds]) -> list[Residuals]:
    """Residuals of devices and models left out, all folds together."""
    names = dict.fromkeys(name for own in folds for name in own.ratios)
    joined = {name: np.concatenate([own.ratios[name] for own in folds if name in own.ratios]) for name in names}
    return [Residuals(name, ratios) for name, ratios in joined.items() if ratios.size]


def summary(made: Refit) -> list[dict[str, Any]]:
    """Errors of each class of measurements, in sample and of what was left out."""
    inside, outside = ({own.name: own for own in rows} for rows in (made.residuals, blind(made.folds)))
    return [
        {
            "name": name,
            "samples": int(inside[name].ratio.size) if name in inside else None,
            "median_error": inside[name].median_error if name in inside else None,
            "band": inside[name].band if name in inside else None,
            "blind_error": outside[name].median_error if name in outside else None,
            "blind_band": outside[name].band if name in outside else None,
        }
        for name in dict.fromkeys([*inside, *outside])
    ]


def calibration_file(made: Refit, data: str, licence: str) -> CalibrationFile:
    """Fit as a calibration file, with the date and the origin of its data."""
    measured = [table for kind, table in made.files.items() if kind != "kernels"]
    provenance = {
        "data": data,
        "licence": licence,
        "date": date.today().isoformat(),
        "method": METHOD,
        "fixed": KEPT,
        "devices": sorted({name for table in made.files.values() for name in tables.devices(table)}),
        "models": sorted({name for table in measured for name in tables.models(table)}),
    }
    return to_file(made.own.calibration, made.own.engines, made.residuals, provenance, blind(made.folds))
