"""The fitted constants of the time model as a file: values with units, spread of residuals, origin of the data."""

from functools import lru_cache
from importlib.resources import files
from pathlib import Path

import yaml
from pydantic import Field

from dse.facts.quantities import Count, Fraction, Ratio, Seconds, Strict, Tokens
from dse.facts.reader import validate_file


class CurveRow(Strict):
    """How close one operator class comes to its roofs in one compute format."""

    compute: Fraction
    """Share of the dense peak that a large operator reaches."""
    memory: Fraction
    """Share of the memory bandwidth that a large operator reaches."""
    half_rows: Tokens
    """Rows at which the compute share has fallen to half."""
    floor: Seconds
    """Time of a kernel with nothing to do."""
    traffic: Ratio
    """Times the activations pass through memory."""


class CurveRows(Strict):
    """One operator class in the compute formats."""

    bf16: CurveRow
    """Two bytes per operand."""
    fp8: CurveRow
    """One byte per operand."""
    fp4: CurveRow
    """Half a byte per operand."""


class NetworkRow(Strict):
    """Software side of collectives."""

    alpha: Seconds
    """Start of a library collective."""
    hop: Seconds
    """Software latency of one link crossing."""
    efficiency: Fraction
    """Share of the link bandwidth that large messages reach."""
    pipeline: Seconds
    """Start of one chunk of a pipelined message."""
    direct_alpha: Seconds
    """Start of an engine's own all-reduce."""
    direct_efficiency: Fraction
    """Share of the link bandwidth that it reaches."""
    in_network_efficiency: Fraction
    """Share of the link bandwidth reached when switches reduce."""
    exchange_alpha: Seconds
    """Start of an expert dispatch or combine."""
    exchange_efficiency: Fraction
    """Share of the link bandwidth that dispatch and combine reach."""


class OverheadRow(Strict):
    """Time outside of the large operators."""

    layer: Seconds
    """Small kernels of one layer."""
    step: Seconds
    """Scheduling, sampling and launch of one pass."""
    request: Seconds
    """Bookkeeping per request of a pass."""
    traffic: Ratio
    """Further passes over the activations."""


class EngineRow(Strict):
    """How a serving engine schedules."""

    first: Seconds
    """Time of a request outside of the model before its first token."""
    client: Seconds
    """The same per request in the loop."""
    together: Ratio
    """Prefills that precede a request's own whatever the batch."""
    wave: Ratio
    """Further ones per request in the batch and share of time spent on prefill."""


class Band(Strict):
    """What the constants leave unexplained in one class of measurements."""

    samples: Count
    """Measurements compared."""
    median_error: Ratio
    """Median of the relative error."""
    low: Ratio
    """Factor on a prediction below which a sixth of the measurements lie."""
    high: Ratio
    """Factor on a prediction above which a sixth of the measurements lie."""


class Provenance(Strict):
    """Where the constants are from."""

    data: str
    """Measurements and their origin."""
    licence: str
    """Licence of the measurements."""
    date: str
    """Date of the fit."""
    method: str
    """How the constants were fitted."""
    fixed: str
    """Constants that were not fitted and where they are from."""
    devices: tuple[str, ...] = ()
    """Catalog names of the devices measured."""
    models: tuple[str, ...] = ()
    """Catalog names of the models measured."""


class CalibrationFile(Strict):
    """A calibration: constants, bands, provenance."""

    provenance: Provenance
    """Where the constants are from."""
    linear: CurveRows
    """Dense matrix products."""
    attention: CurveRows
    """Attention core."""
    experts: CurveRows
    """Grouped matrix products of routed experts."""
    network: NetworkRow
    """Collectives."""
    overhead: OverheadRow
    """Everything else of a pass."""
    mask_tokens: Tokens
    """Masked positions that a query computes in vain."""
    expert_skew: Ratio
    """Load of the hottest expert rank over the mean, at many ranks."""
    overlap: Fraction
    """Share of the communication that runs under compute."""
    engines: dict[str, EngineRow]
    """Constants per serving engine; `any` for one that was not measured."""
    bands: dict[str, Band]
    """Residual spread per class of measurements, in sample."""
    blind: dict[str, Band] = Field(default_factory=dict)
    """The same of devices and models that were left out of the fit; per operator class, phase and latency."""


@lru_cache(maxsize=8)
def load(path: str | Path | None = None) -> CalibrationFile:
    """Read a calibration; without a path the one that ships with the package.

    >>> load().linear.bf16.compute < 1
    True
    """
    shipped = Path(str(files("dse.facts") / "catalog" / "calibration.yaml"))
    return validate_file(CalibrationFile, path or shipped)


def write(calibration: CalibrationFile, path: str | Path) -> None:
    """Write a calibration as YAML that `load` reads."""
    head = (
        "# Constants of the time model, fitted to measurements (`dse calibrate` writes this file). Provenance below.\n"
    )
    plain = calibration.model_dump(mode="json")
    Path(path).write_text(
        head + yaml.safe_dump(plain, sort_keys=False, allow_unicode=True, width=120), encoding="utf-8"
    )
