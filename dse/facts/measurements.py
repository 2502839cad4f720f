"""Measurements of kernels, passes and serving runs as CSV files, strict about columns and numbers.

Each layout is a set of required columns; more columns are allowed. Cells are text until a layout says that they are
numbers. A wrong cell is reported with its row and column, all of them at once.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, TypeAlias

from dse.facts import files
from dse.facts.errors import Mistake, SpecError, did_you_mean, listed

Kind: TypeAlias = Literal["kernels", "steps", "serving"]

TEXT: Mapping[Kind, tuple[str, ...]] = {
    "kernels": ("kind", "device", "backend", "dtype", "kv_dtype", "distribution", "op"),
    "steps": (
        "id",
        "phase",
        "model",
        "device",
        "engine",
        "weight_dtype",
        "expert_dtype",
        "kv_dtype",
        "attention_dtype",
    ),
    "serving": ("id", "mode", "model", "device", "engine", "weight_dtype", "workers_known"),
}
"""Columns read as text."""

NUMBERS: Mapping[Kind, tuple[str, ...]] = {
    "kernels": (
        "m",
        "n",
        "k",
        "batch",
        "q_len",
        "kv_len",
        "heads",
        "kv_heads",
        "head_dim",
        "hidden",
        "inter",
        "topk",
        "experts",
        "moe_tp",
        "moe_ep",
        "num_gpus",
        "message_bytes",
        "latency_us",
    ),
    "steps": (
        "tp",
        "pp",
        "attention_dp",
        "moe_tp",
        "ep",
        "batch",
        "new_tokens",
        "cached_tokens",
        "reference_s",
    ),
    "serving": (
        "isl",
        "osl",
        "concurrency",
        "batch",
        "tp",
        "pp",
        "attention_dp",
        "moe_tp",
        "ep",
        *(
            f"{side}_{name}"
            for side in ("prefill", "decode")
            for name in ("workers", "batch", "tp", "pp", "attention_dp", "moe_tp", "ep")
        ),
    ),
}
"""Columns read as numbers; empty cells become NaN."""

OPTIONAL: Mapping[Kind, tuple[str, ...]] = {
    "kernels": (),
    "steps": ("limit_s",),
    "serving": (
        "measured_ttft_s",
        "measured_tpot_s",
        "peer_ttft_s",
        "peer_tpot_s",
        "limit_ttft_s",
        "limit_tpot_s",
    ),
}
"""Number columns that may be absent, then NaN: times of other tools, and of rows yet to be measured."""

SIGNATURE: Mapping[Kind, frozenset[str]] = {
    "kernels": frozenset({"kind", "latency_us"}),
    "steps": frozenset({"phase", "new_tokens", "cached_tokens"}),
    "serving": frozenset({"isl", "osl", "concurrency"}),
}
"""Columns by which a layout is recognized."""


@dataclass(frozen=True)
class Measurements:
    """One file as columns of equal length."""

    path: str
    kind: Kind
    text: Mapping[str, tuple[str, ...]]
    numbers: Mapping[str, tuple[float, ...]]
    """Empty cells are NaN."""
    lines: tuple[int, ...] = ()
    """Line of each row in the file, counted from 1 with its header; empty where rows follow the header directly."""

    def __len__(self) -> int:
        """Rows."""
        return len(next(iter(self.text.values())))

    def select(self, rows: Sequence[int]) -> "Measurements":
        """Some of the rows."""
        return Measurements(
            self.path,
            self.kind,
            {name: tuple(column[row] for row in rows) for name, column in self.text.items()},
            {name: tuple(column[row] for row in rows) for name, column in self.numbers.items()},
            tuple(self.lines[row] for row in rows) if self.lines else (),
        )

    def mistake(self, row: int, column: str, message: str) -> Mistake:
        """Mistake in a cell; rows are counted from 0, lines of the file from 1 with its header."""
        return Mistake(self.path, self.lines[row] if self.lines else row + 2, 0, column, message)


def read(path: str | Path) -> Measurements:
    """Read a CSV file of any layout; SpecError names every wrong cell."""
    return read_text(files.read_text(path, files.TABLE), str(path))


def read_text(text: str, name: str = "<text>") -> Measurements:
    """Read the text of a CSV file; the layout is recognized by its columns.

    >>> try:
    ...     read_text("a,b")
    ... except SpecError as error:
    ...     print(str(error)[:48])
    <text>:1:0  header  is no layout known here: ker
    """
    rows = [row for _, row in files.table(text, name)]
    if not rows:
        raise SpecError([Mistake(name, 1, 1, "", "is empty; expected a header and rows")])
    header = [column.strip() for column in rows[0]]
    kind = _layout(header, name)
    _refuse_header(header, kind, name)
    cells = [(line, row) for line, row in enumerate(rows[1:], start=2) if any(cell.strip() for cell in row)]
    wrong = [
        Mistake(name, line, 0, "", f"has {len(row)} cells, the header {len(header)}")
        for line, row in cells
        if len(row) != len(header)
    ]
    if wrong or not cells:
        raise SpecError(wrong or [Mistake(name, 2, 0, "", "has a header and no rows")])
    columns = {column: [row[place].strip() for _, row in cells] for place, column in enumerate(header)}
    return _typed(columns, kind, name, [line for line, _ in cells])


def _layout(header: list[str], name: str) -> Kind:
    """Layout whose signature the header has."""
    for kind, signature in SIGNATURE.items():
        if signature <= set(header):
            return kind
    needed = "; ".join(f"{kind} needs {', '.join(sorted(signature))}" for kind, signature in SIGNATURE.items())
    raise SpecError([Mistake(name, 1, 0, "header", f"is no layout known here: {needed}")])


def _refuse_header(header: list[str], kind: Kind, name: str) -> None:
    """Missing and repeated columns."""
    needed = (*TEXT[kind], *NUMBERS[kind])
    missing = [
        Mistake(
            name, 1, 0, column, f"column is missing in a {kind} file.{did_you_mean(column, set(header) - set(needed))}"
        )
        for column in needed
        if column not in header and not _may_miss(kind, column)
    ]
    repeated = [
        Mistake(name, 1, 0, column, "column occurs twice") for column in {c for c in header if header.count(c) > 1}
    ]
    if missing or repeated:
        raise SpecError([*missing, *repeated])


def _may_miss(kind: Kind, column: str) -> bool:
    """Columns that a user's own file may leave out: the measurement itself, and the other mode of serving."""
    return column in ("reference_s", "workers_known") or (
        kind == "serving" and column.startswith(("prefill_", "decode_"))
    )


def _typed(columns: Mapping[str, list[str]], kind: Kind, name: str, lines: list[int]) -> Measurements:
    """Columns as text and numbers; every cell that is no number is a mistake."""
    size, mistakes = len(lines), list[Mistake]()
    numbers = {}
    for column in (*NUMBERS[kind], *OPTIONAL[kind]):
        values = []
        for line, cell in zip(lines, columns.get(column, [""] * size), strict=True):
            value = _number(cell)
            if value is None:
                mistakes.append(
                    Mistake(name, line, 0, column, f'"{cell}" is no number; write a plain number or leave it empty')
                )
            values.append(math.nan if value is None else value)
        numbers[column] = tuple(values)
    if mistakes:
        raise SpecError(mistakes)
    text = {column: tuple(columns.get(column, [""] * size)) for column in TEXT[kind]}
    return Measurements(name, kind, text, numbers, tuple(lines))


def _number(cell: str) -> float | None:
    """Number of a cell, NaN if it is empty, None if it is no finite number >= 0."""
    if not cell:
        return math.nan
    try:
        value = float(cell)
    except ValueError:
        return None
    return value if math.isfinite(value) and value >= 0 else None


def unknown_name(kind: str, written: str, known: Sequence[str]) -> str:
    """Sentence for a name that the catalog does not have."""
    return (
        f'there is no {kind} "{written}" in the catalog.{did_you_mean(written, known) or f" Known: {listed(known)}."}'
    )
