"""Measurement files as tables of points."""

from collections.abc import Sequence

import numpy as np

from dse.arrays import FloatArray
from dse.facts import catalog
from dse.facts.errors import Mistake, SpecError
from dse.facts.measurements import Measurements, unknown_name
from dse.facts.names import find_device, find_model
from dse.search.fidelity.predict import Points
from dse.search.scoring.passes import WIDTH


def problems(table: Measurements) -> dict[int, list[Mistake]]:
    """Rows that cannot be predicted, each with what is wrong with it."""
    found: dict[int, list[Mistake]] = {}
    for row in range(len(table)):
        mistakes = _row_problems(table, row)
        if mistakes:
            found[row] = mistakes
    return found


def _row_problems(table: Measurements, row: int) -> list[Mistake]:
    """What is wrong with one row."""
    mistakes = []
    model, device = table.text["model"][row], table.text["device"][row]
    name = find_model(model)
    if name is None:
        mistakes.append(table.mistake(row, "model", unknown_name("model", model, catalog.names("models"))))
    elif not catalog.model(name).modelled:
        mistakes.append(table.mistake(row, "model", f"{model} is not modelled: {catalog.model(name).reason}"))
    found = find_device(device)
    if found is None:
        mistakes.append(table.mistake(row, "device", unknown_name("device", device, catalog.names("accelerators"))))
    elif catalog.accelerator(found).memory is None or catalog.accelerator(found).peak.bf16 is None:
        mistakes.append(table.mistake(row, "device", f"{device} has no memory bandwidth or bf16 rate in the catalog"))
    for column in ("weight_dtype", "expert_dtype", "kv_dtype", "attention_dtype"):
        written = table.text.get(column, ("",) * len(table))[row]
        if written and written not in WIDTH:
            mistakes.append(
                table.mistake(row, column, f'"{written}" is no number format; expected one of {", ".join(WIDTH)}')
            )
    mistakes += [
        table.mistake(row, column, "is empty; expected a number" if np.isnan(value) else "is 0; expected at least 1")
        for column in _needed(table, row)
        if np.isnan(value := table.numbers[column][row]) or (value < 1 and column != "cached_tokens")
    ]
    if table.kind == "serving":
        mistakes += _run_problems(table, row)
    return mistakes


def _needed(table: Measurements, row: int) -> tuple[str, ...]:
    """Number columns without which a row says too little to be predicted."""
    if table.kind == "steps":
        return ("tp", "batch", "new_tokens", "cached_tokens")
    split = table.text["mode"][row] == "disagg"
    return ("isl", "osl", *(("prefill_tp", "decode_tp") if split else ("tp",)))


MODES = ("agg", "disagg")
"""Ways to serve that a serving file may name."""


def _run_problems(table: Measurements, row: int) -> list[Mistake]:
    """What is wrong with the mode and the load of a serving run."""
    mode = table.text["mode"][row]
    if mode not in MODES:
        return [table.mistake(row, "mode", f'"{mode}" is no way to serve; expected {" or ".join(MODES)}')]
    columns = ("concurrency", "batch", *(("decode_batch",) if mode == "disagg" else ()))
    if any(table.numbers[column][row] >= 1 for column in columns):
        return []
    return [
        table.mistake(row, "concurrency", f"no load: {', '.join(columns)} are empty; expected requests in the loop")
    ]


def refuse(table: Measurements) -> None:
    """SpecError with everything that is wrong with the rows of a file."""
    found = [mistake for mistakes in problems(table).values() for mistake in mistakes]
    if found:
        raise SpecError(found)


def step_points(table: Measurements) -> Points:
    """Passes of a steps file whose names are all known.

    Parameters
    ----------
    table : Measurements               of kind `steps`, without problems

    Returns
    -------
    Points                             empty expert degrees mean a dense model
    """
    tp, attention_dp = degrees(table, "tp"), degrees(table, "attention_dp")
    weight = formats(table, "weight_dtype")
    moe_tp, ep = experts(table, "moe_tp", "ep", tp * attention_dp)
    kv = tuple(own or "bf16" for own in table.text["kv_dtype"])
    return Points(
        model=models(table),
        device=devices(table),
        tp=tp,
        pp=degrees(table, "pp"),
        attention_dp=attention_dp,
        moe_tp=moe_tp,
        ep=ep,
        batch=np.array(table.numbers["batch"]),
        new_tokens=np.array(table.numbers["new_tokens"]),
        cached_tokens=np.array(table.numbers["cached_tokens"]),
        weight=weight,
        expert=tuple(
            own or other for own, other in zip(table.text["expert_dtype"], expert_formats(table), strict=True)
        ),
        kv=kv,
        attention=tuple(own or other for own, other in zip(table.text["attention_dtype"], kv, strict=True)),
    )


def models(table: Measurements) -> tuple[str, ...]:
    """Catalog names of the models."""
    return tuple(find_model(name) or name for name in table.text["model"])


def devices(table: Measurements) -> tuple[str, ...]:
    """Catalog names of the devices."""
    return tuple(find_device(name) or name for name in table.text["device"])


def formats(table: Measurements, column: str) -> tuple[str, ...]:
    """Number formats of the weights; empty means the release's."""
    return tuple(
        own or catalog.model(model).release_dtype for own, model in zip(table.text[column], models(table), strict=True)
    )


def expert_formats(table: Measurements) -> tuple[str, ...]:
    """Number formats of routed experts where a file names the weights' only."""
    made = []
    for own, model in zip(table.text["weight_dtype"], models(table), strict=True):
        row = catalog.model(model)
        made.append(own or row.expert_dtype or row.release_dtype)
    return tuple(made)


def degrees(table: Measurements, column: str) -> FloatArray:
    """Degrees of parallelism, 1 where empty or zero."""
    values = np.array(table.numbers[column])
    return np.where(np.isnan(values) | (values < 1), 1.0, values)


def experts(table: Measurements, tensor: str, ranks: str, members: FloatArray) -> tuple[FloatArray, FloatArray]:
    """Expert degrees whose product is the size of the instance; dense models have only tensor parallelism."""
    moe_tp, ep = degrees(table, tensor), degrees(table, ranks)
    dense = np.array([not catalog.model(name).n_experts for name in models(table)])
    ep = np.where(dense, 1.0, np.minimum(ep, members))
    known = np.where(moe_tp * ep == members, moe_tp, members / ep)
    return np.where(dense, members, known), ep


def select(points: Points, rows: Sequence[int]) -> Points:
    """Some rows of a table of points."""
    return points.rows(np.asarray(rows, dtype=np.int64))
