"""The calibration file as the constants of physics, and back."""

from collections.abc import Mapping, Sequence
from functools import lru_cache
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, Literal, NamedTuple, TypeAlias

from dse.facts.calibration import Band, CalibrationFile, load
from dse.physics.calibration import OF_TECHNIQUES, Calibration, Curve, Curves, NetworkConstants, Overheads
from dse.physics.closed_loop import Engine

if TYPE_CHECKING:
    from dse.search.fidelity.calibrate import Residuals

Timed: TypeAlias = Literal["prefill", "decode", "tpot", "ttft"]
"""Predicted times that have a band: of one pass of either phase, and of a serving system."""

_IN_SAMPLE: Mapping[str, str] = {"prefill": "steps", "decode": "steps", "tpot": "tpot", "ttft": "ttft"}
"""Band to take from a file that has no blind ones."""

DIGITS = 4
"""Significant digits of a constant in the file: more than the fit is worth."""


class Constants(NamedTuple):
    """Constants of passes, of engines, and the spread that they leave."""

    calibration: Calibration
    engines: dict[str, Engine]
    bands: dict[str, tuple[float, float]]
    """Factors on a prediction between which two thirds of the measurements of a class lie, in sample [1]."""
    devices: tuple[str, ...] = ()
    """Catalog names of the devices that the constants were fitted on."""
    models: tuple[str, ...] = ()
    """Catalog names of the models that the constants were fitted on."""
    blind: Mapping[str, tuple[float, float]] = MappingProxyType({})
    """The same factors for devices and models left out of the fit [1]."""


@lru_cache(maxsize=8)
def constants(path: str | Path | None = None) -> Constants:
    """Constants of a calibration file; without a path those that ship with the package.

    >>> 0 < constants().calibration.overhead.step < 1e-2
    True
    """
    return from_file(load(path))


def band_of(time: Timed, own: Constants | None = None) -> tuple[float, float]:
    """Model error of a predicted time: factors between which two thirds of the measurements lie.

    Parameters
    ----------
    time : str                         `prefill`, `decode`: one pass; `tpot`, `ttft`: what clients see
    own : Constants or None            constants behind the prediction; the shipped ones by default

    Returns
    -------
    (low, high)                        the measurement is expected in prediction times low to prediction times high [1]

    Notes
    -----
    The spread over devices and models that were left out of the fit where the calibration has it, because a study
    asks about devices that nobody measured; else the spread in sample. Two designs of one study share most of the
    error, so a difference smaller than the band may still be real: the band tells when *not* to rely on it.

    >>> low, high = band_of("decode")
    >>> low < 1 < high
    True
    """
    known = own or constants()
    return known.blind[time] if time in known.blind else known.bands.get(_IN_SAMPLE[time], (1.0, 1.0))


def from_file(file: CalibrationFile) -> Constants:
    """Constants of a calibration."""
    rows = file.model_dump()
    curves = {
        name: Curves(*(Curve(**rows[name][width]) for width in Curves._fields))
        for name in ("linear", "attention", "experts")
    }
    calibration = Calibration(
        linear=curves["linear"],
        attention=curves["attention"],
        experts=curves["experts"],
        network=NetworkConstants(**rows["network"]),
        overhead=Overheads(**rows["overhead"]),
        mask_tokens=file.mask_tokens,
        expert_skew=file.expert_skew,
        overlap=file.overlap,
    )
    engines = {name: Engine(**row) for name, row in rows["engines"].items()}
    bands, blind = ({name: (band.low, band.high) for name, band in rows.items()} for rows in (file.bands, file.blind))
    return Constants(calibration, engines, bands, file.provenance.devices, file.provenance.models, blind)


def band_row(own: "Residuals") -> Band:
    """Spread of residuals as the file states it."""
    low, high = (round(factor, DIGITS) for factor in own.band)
    return Band(samples=own.ratio.size, median_error=round(own.median_error, DIGITS), low=low, high=high)


def to_file(
    calibration: Calibration,
    engines: dict[str, Engine],
    residuals: "Sequence[Residuals]",
    provenance: dict[str, Any],
    blind: "Sequence[Residuals]" = (),
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
        fitted = (name for name in value._fields if name not in OF_TECHNIQUES)
        return {name: written(name, getattr(value, name)) for name in fitted}

    def written(name: str, value: Any) -> Any:
        if hasattr(value, "_asdict"):
            return row(value)
        number = float(f"{value:.{DIGITS}g}")
        if name in seconds:
            return f"{number * 1e6:.{DIGITS}g} us"
        return f"{number:g} {units[name]}" if name in units else number

    return CalibrationFile.model_validate(
        {
            "provenance": provenance,
            **row(calibration),
            "engines": {name: row(engine) for name, engine in engines.items()},
            "bands": {own.name: band_row(own).model_dump() for own in residuals},
            "blind": {own.name: band_row(own).model_dump() for own in blind},
        }
    )
