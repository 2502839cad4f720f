"""The table of a model-phase-context plane: operational intensity, capacity footprint and regime on one device."""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from dse.facts import catalog
from dse.facts.models import Model
from dse.facts.workload.classes import load_workload, names
from dse.insight import wording
from dse.insight.table import Table
from dse.physics import intensity, transformer
from dse.physics.demand import Load, Mapping, Precision
from dse.physics.shape import Shape
from dse.physics.work import ledger, pass_work
from dse.search.scoring import passes

USABLE = 0.9
"""Share of the memory for weights and KV [1], the default of common engines."""

MODELS = ("llama_3_1_70b", "qwen3_coder_480b", "deepseek_v3")
"""Shown when none is named: grouped-query dense, grouped-query experts, latent attention."""


class Row(NamedTuple):
    """One agent on one model in one phase."""

    agent: str
    model: str
    phase: str
    context: float
    """Mean context of the phase [tok]."""
    oi: float
    """Of the whole pass [FLOP/B]."""
    cf_request: float
    """Cache of a request and its share of the weights [B]."""
    cf_device: float
    """Resident on one device [B]."""
    regime: str
    """Which supply binds."""


class Plane(NamedTuple):
    """All rows on one device."""

    device: str
    devices: int
    """Devices that share the model."""
    batch: int
    ridge: float
    """Of the device at the release format of bf16 models [FLOP/B]."""
    rows: tuple[Row, ...]


def plane(agents: Sequence[str], models: Sequence[str], device: str, batch: int, devices: int) -> Plane:
    """Every agent on every model in both phases.

    Parameters
    ----------
    agents : names of workloads        all where there is none
    models : names of models           three typical ones where there is none
    device : name of an accelerator
    batch : requests in a decode step
    devices : accelerators that share the model by tensor parallelism
    """
    part = catalog.accelerator(device)
    assert part.memory is not None
    rows = []
    for agent in agents or names():
        for name in models or MODELS:
            rows += _rows(agent, catalog.model(name), device, batch, devices)
    rate, _ = passes.compute_rate(part, "bf16")
    return Plane(device, devices, batch, float(rate / part.memory.bandwidth), tuple(rows))


def table(own: Plane) -> Table:
    """Rows as text."""
    header = ("agent", "model", "phase", "context tok", "OI FLOP/B", "CF/req GB", "CF/dev GB", "regime")
    rows = tuple(
        (
            row.agent,
            row.model,
            row.phase,
            wording.cell(row.context),
            wording.cell(row.oi),
            wording.cell(row.cf_request / 1e9),
            wording.cell(row.cf_device / 1e9),
            row.regime.replace(" and ", ", "),
        )
        for row in own.rows
    )
    return Table(header, rows, frozenset({0, 1, 2, 7}))


def _rows(agent: str, model: Model, device: str, batch: int, devices: int) -> list[Row]:
    """Prefill of the mean append on the mean prefix, and decode at the mean context."""
    work = load_workload(agent, None, model.max_context, None)
    moments, shape = work.served, passes.model_shape(model)
    part = catalog.accelerator(device)
    weight, expert = passes.formats(model, "release")
    widths = passes.precision(weight, expert, "bf16")
    rate, _ = passes.compute_rate(part, passes.computed_format(part, weight))
    assert part.memory is not None
    ridge = intensity.oi_ridge(np.array([rate]), np.array([part.memory.bandwidth]))
    weights = np.array([_weights(shape, widths)])
    found = []
    for phase, load, context in (
        ("prefill", Load(1.0, moments.fresh, moments.cached), moments.context),
        ("decode", Load(float(batch), 1.0, moments.context), moments.context),
    ):
        requests = np.array([1.0 if phase == "prefill" else float(batch)])
        oi = intensity.phase_oi(pass_work(shape, widths, Mapping(), load))
        kv = np.asarray(transformer.kv_bytes(shape, np.array([context]), 2.0), float)
        held = intensity.capacity_batch(np.array([part.memory.capacity * devices]), weights, kv, 1.0, USABLE)
        wanted = (
            intensity.saturating_batch(shape, widths, np.array([context]), ridge) if phase == "decode" else requests
        )
        name = intensity.REGIMES[int(intensity.regime(oi, ridge, held, wanted)[0])]
        whole = float(intensity.cf_request(kv, weights, requests)[0])
        share = float(intensity.cf_device(weights / devices, kv / devices, requests)[0])
        found.append(Row(agent, model.id, phase, context, float(oi[0]), whole, share, name))
    return found


def _weights(shape: Shape, widths: Precision) -> float:
    """Weights of the whole model [B]."""
    return float(np.ravel(ledger(shape, widths, Mapping()).weights_bytes)[0])
