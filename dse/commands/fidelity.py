"""Command line: predictions held against measurements, and constants fitted to them."""

import sys
from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from dse.commands import terminal
from dse.commands.run import AsJson

VALIDATE_EXAMPLES = terminal.examples(
    "dse validate steps.csv --html scatter.html", "dse validate serving.csv --skip-unknown --out predictions.csv"
)
CALIBRATE_EXAMPLES = terminal.examples(
    "dse calibrate kernels.csv steps.csv serving.csv --out calibration.yaml",
    "dse calibrate --steps steps.csv --cross-validate device --out calibration.yaml",
)


class LeftOut(StrEnum):
    """What cross-validation leaves out in turn."""

    device = "device"
    model = "model"


def validate(
    file: Annotated[Path, typer.Argument(help="CSV of measured passes or serving runs.")],
    out: Annotated[Path | None, typer.Option(help="CSV with the prediction of every row.")] = None,
    html: Annotated[Path | None, typer.Option(help="Scatter, predicted against measured, as one HTML file.")] = None,
    skip_unknown: Annotated[bool, typer.Option(help="Count rows with unknown names instead of refusing them.")] = False,
    constants: Annotated[Path | None, typer.Option(help="Calibration file; that of the package by default.")] = None,
    as_json: AsJson = False,
) -> None:
    """Compare predictions with measurements: errors, bias, rank correlation by phase, model, device, engine, load."""
    from dse.insight.fidelity import validation_text
    from dse.insight.fidelity.validate import validate as validated

    report = validated(file, skip_unknown=skip_unknown, calibration=constants)
    if out is not None:
        _save(out, validation_text.predictions_csv(report))
    if html is not None:
        from dse.insight.fidelity.scatter import page

        _save(html, page(report))
    if as_json:
        terminal.say_json(validation_text.json(report))
        return
    first, *others = validation_text.summary(report)
    terminal.say(first, "bold")
    for sentence in others:
        terminal.say(sentence)
    if report.lines:
        terminal.say_table(validation_text.table(report))
    for path in (out, html):
        if path is not None:
            terminal.labelled("written", str(path))


def calibrate(
    files: Annotated[list[Path] | None, typer.Argument(help="CSV files of kernels, passes, serving runs.")] = None,
    kernels: Annotated[Path | None, typer.Option(help="CSV of measured kernels.")] = None,
    steps: Annotated[Path | None, typer.Option(help="CSV of measured passes.")] = None,
    serving: Annotated[Path | None, typer.Option(help="CSV of measured serving runs.")] = None,
    out: Annotated[Path, typer.Option(help="Calibration file to write.")] = Path("calibration.yaml"),
    cross_validate: Annotated[
        list[LeftOut] | None, typer.Option(help="Also fit without each device, or model, and predict it; repeatable.")
    ] = None,
    accuracy: Annotated[
        Path | None, typer.Option(help="JSON with the accuracy table of a cross-validation; Markdown beside it.")
    ] = None,
    fresh: Annotated[bool, typer.Option(help="Start from round numbers, not from the constants that ship.")] = False,
    data: Annotated[str, typer.Option(help="Where the measurements are from, for the file.")] = "own measurements",
    licence: Annotated[str, typer.Option(help="Licence of the measurements.")] = "not stated",
    as_json: AsJson = False,
) -> None:
    """Fit the constants of the time model to measurements and write them with residuals, dates and provenance."""
    from datetime import date

    from dse.facts import calibration
    from dse.insight.fidelity import accuracy as tables
    from dse.insight.fidelity import refit

    chosen = dict.fromkeys(own.value for own in cross_validate or [])
    if accuracy is not None and len(chosen) < len(LeftOut):
        raise typer.BadParameter("--accuracy needs --cross-validate device --cross-validate model")
    paths = [*(files or []), *(path for path in (kernels, steps, serving) if path is not None)]
    made = refit.refit(paths, tuple(chosen), fresh, _murmur)
    calibration.write(refit.calibration_file(made, data, licence), out)
    written = [out]
    if accuracy is not None:
        flags = [*(["--fresh"] if fresh else []), *(f"--cross-validate {own}" for own in chosen), "--accuracy"]
        command = " ".join(["dse calibrate", *(path.name for path in paths), *flags, accuracy.name])
        tables.write(tables.record(made, command, date.today().isoformat()), accuracy)
        written += [accuracy, accuracy.with_suffix(".md")]
    if as_json:
        terminal.say_json({"out": [str(path) for path in written], "classes": refit.summary(made)})
        return
    for own in refit.summary(made):
        blind = f", {own['blind_error']:.1%} on what was left out" if own["blind_error"] is not None else ""
        rows = f"{own['samples']:,} rows, " if own["samples"] else ""
        fitted = f"median error {own['median_error']:.1%}" if own["median_error"] is not None else "cross-validated"
        terminal.labelled(str(own["name"]), f"{rows}{fitted}{blind}")
    for path in written:
        terminal.labelled("written", str(path))


def _save(path: Path, text: str) -> None:
    """Write a file; a place that cannot be written is bad input."""
    from dse.facts.errors import Mistake, SpecError

    try:
        path.write_text(text, encoding="utf-8")
    except OSError as error:
        raise SpecError([Mistake(str(path), 0, 0, "", f"cannot be written: {error.strerror}")]) from None


def _murmur(sentence: str) -> None:
    """Tell on a screen what takes time."""
    if sys.stderr.isatty():
        sys.stderr.write(f"fitting {sentence}\n")
