"""The scored sample with which a search began, on disk: a resumed run need not score it again."""

import io
import zipfile
from dataclasses import replace
from pathlib import Path
from typing import NamedTuple

import numpy as np

from dse.search.axes import Designs
from dse.search.engines.proposals import Feedback, Start
from dse.search.runs import run

SAMPLE = "sample.npz"


class Begun(NamedTuple):
    """What a search knew when its engine began."""

    start: Start
    pace: float
    """Seconds that a design took."""


def save(folder: Path, begun: Begun) -> None:
    """Write the sample, with the designs of another run that were scored with it."""
    start, buffer = begun.start, io.BytesIO()
    np.savez_compressed(buffer, rows=start.designs.rows, pace=begun.pace, **start.feedback._asdict())
    run.write_atomic(folder / SAMPLE, buffer.getvalue())


def load(folder: Path, sample: Start) -> Begun | None:
    """Read the sample back; None where it is missing, damaged, or does not begin with the designs of ``sample``."""
    try:
        with np.load(io.BytesIO((folder / SAMPLE).read_bytes()), allow_pickle=False) as arrays:
            rows, pace = arrays["rows"], float(arrays["pace"])
            feedback = Feedback(*(arrays[name] for name in Feedback._fields))
    except (OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile):
        return None
    expected = sample.designs.rows
    if rows.shape[1:] != expected.shape[1:] or not np.array_equal(rows[: len(expected)], expected):
        return None
    return Begun(replace(sample, designs=Designs(rows, sample.designs.names), feedback=feedback), pace)
