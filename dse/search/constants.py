"""The calibration file as the constants of physics, and back."""

from collections.abc import Sequence
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from dse.facts.calibration import CalibrationFile, load
from dse.physics.calibration import Calibration, Curve, Curves, NetworkConstants, Overheads
from dse.physics.closed_loop import Engine

if TYPE_CHECKING:
    from dse.search.calibrate import Residuals

DIGITS = 4
"""Significant digits of a constant in the file: more than the fit is worth."""


class Constants(NamedTuple):
    """Constants of passes, of engines, and the spread that they leave."""

    calibration: Calibration
    engines: dict[str, Engine]
    bands: dict[str, tuple[float, float]]
    """Factors on a prediction between which two thirds of the measurements of a class lie [1]."""
    devices: tuple[str, ...] = ()
    """Catalog names of the devices that the constants were fitted on."""
    models: tuple[str, ...] = ()
    """Catalog names of the models that the constants were fitted on."""


@lru_cache(maxsize=8)
def constants(path: str | Path | None = None) -> Constants:
    """Constants of a calibration file; without a path those that ship with the package.

    >>> 0 < constants().calibration.overhead.step < 1e-2
    True
    """
    return from_file(load(path))


def from_file(file: CalibrationFile) -> Constants:
    """Constants of a calibration."""
    rows = file.model_dump()
    curves = {
        name: Curves(*(Curve(**rows[name][width]) for width in Curves._fields))
        for name in ("linear", "attention", "experts")
    }
    calibration = Calibration(
        **curves,
        network=NetworkConstants(**rows["network"]),
        overhead=Overheads(**rows["overhead"]),
        mask_tokens=file.mask_tokens,
        expert_skew=file.expert_skew,
        overlap=file.overlap,
    )
    engines = {name: Engine(**row) for name, row in rows["engines"].items()}
    bands = {name: (band.low, band.high) for name, band in file.bands.items()}
    return Constants(calibration, engines, bands, file.provenance.devices, file.provenance.models)


def to_file(
    calibration: Calibration, engines: dict[str, Engine], residuals: "Sequence[Residuals]", provenance: dict[str, Any]
) -> CalibrationFile:
    """Calibration file of fitted constants."""
    units = {"half_rows": "tok", "mask_tokens": "tok"}
    seconds = {
        "floor",
        "alpha",
        "hop",
        "pipeline",
        "direct_alpha",
        "exchange_alpha",
        "layer",
        "step",
        "request",
        "first",
        "client",
    }

    def row(value: Any) -> dict[str, Any]:
        return {name: written(name, own) for name, own in value._asdict().items()}

    def written(name: str, value: Any) -> Any:
        if hasattr(value, "_asdict"):
            return row(value)
        number = float(f"{value:.{DIGITS}g}")
        if name in seconds:
            return f"{number * 1e6:.{DIGITS}g} us"
        return f"{number:g} {units[name]}" if name in units else number

    bands = {
        own.name: {
            "samples": own.ratio.size,
            "median_error": round(own.median_error, DIGITS),
            "low": round(own.band[0], DIGITS),
            "high": round(own.band[1], DIGITS),
        }
        for own in residuals
    }
    return CalibrationFile.model_validate(
        {
            "provenance": provenance,
            **row(calibration),
            "engines": {name: row(engine) for name, engine in engines.items()},
            "bands": bands,
        }
    )
