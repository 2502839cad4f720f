"""Serving runs of a measurement file: what clients of one or two kinds of instances see."""

from typing import NamedTuple

import numpy as np

from dse.arrays import BoolArray, FloatArray
from dse.facts import catalog
from dse.facts.measurements import Measurements
from dse.physics import closed_loop
from dse.physics.calibration import Calibration
from dse.search.fidelity import predict, tables
from dse.search.fidelity.predict import USABLE_MEMORY, Points

LENGTH = 0.95
"""Mean length of a request over its nominal one [1]: clients that draw lengths have 0.9, others 1."""

ANY = "any"
"""Engine constants of an engine without its own."""

PASS_TOKENS = 8192.0
"""Tokens of a prefill pass [tok]. Source: defaults of TensorRT-LLM (max_num_tokens), SGLang and vLLM."""

ROUNDS = 3
"""Rounds of batch and step time of disaggregated decode; two suffice to 1 % [1]."""


class Runs(NamedTuple):
    """Serving runs with everything that does not depend on the constants, rows as in the file."""

    disaggregated: BoolArray
    clients: FloatArray
    output: FloatArray
    packed: FloatArray
    """Requests that one attention rank prefills in one pass [1]."""
    engine: tuple[str, ...]
    prefill: list[predict.Group]
    decode: list[predict.Group]
    decode_points: Points
    slots: FloatArray
    fleet: closed_loop.Fleet
    transfer: FloatArray


def runs(table: Measurements) -> Runs:
    """Serving runs of a file whose names are all known.

    Parameters
    ----------
    table : Measurements               of kind `serving`, without problems

    Returns
    -------
    Runs                               one prefill and one decode instance per row
    """
    split = np.array([mode == "disagg" for mode in table.text["mode"]])
    clients = _clients(table, split)
    prompt, output = np.array(table.numbers["isl"]) * LENGTH, np.array(table.numbers["osl"]) * LENGTH
    prefill = _instance(table, np.where(split, "prefill_", ""))
    # Every attention rank prefills requests of its own meanwhile. A prefill instance fills its passes; one that also
    # decodes starts each request when it comes (measured first tokens at little load are those of single prefills).
    waiting = np.maximum(np.floor(clients / prefill.attention_dp), 1.0)
    room = np.where(split, np.maximum(np.floor(PASS_TOKENS / prompt), 1.0), 1.0)
    packed = np.minimum(room, waiting)
    prefill = prefill._replace(new_tokens=prompt, batch=packed * prefill.attention_dp)
    decode = _instance(table, np.where(split, "decode_", ""))._replace(
        batch=clients, new_tokens=np.ones_like(clients), cached_tokens=prompt + output / 2
    )
    workers = (_workers(table, side, split) for side in ("prefill_workers", "decode_workers"))
    fleet = closed_loop.Fleet(next(workers) * prefill.attention_dp, next(workers))
    held, moved = _memory(decode, prompt + output, prompt)
    resident = np.where(split, clients / fleet.decode, np.minimum(clients, np.maximum(held, 1.0)))
    decode = decode._replace(batch=resident)
    outer = np.array([_outer(name) for name in decode.device])
    return Runs(
        split,
        clients,
        output,
        packed,
        table.text["engine"],
        predict.groups(prefill),
        predict.groups(decode),
        decode,
        held,
        fleet,
        moved / (outer * prefill.devices),
    )


def serve(made: Runs, calibration: Calibration, engines: dict[str, closed_loop.Engine]) -> closed_loop.Served:
    """Latencies of every run, (n,) columns."""
    size = made.clients.size
    prefill, step = pass_times(made, calibration)
    engine = engine_columns(made.engine, engines)
    ranks = made.decode_points.attention_dp
    together = closed_loop.aggregated(made.clients / ranks, made.slots / ranks, made.output, (prefill, step), engine)
    if not made.disaggregated.any():
        return together
    batch, apart = made.clients, together
    for _ in range(ROUNDS):
        batch = np.where(made.disaggregated, np.maximum(apart.batch, 1.0), batch)
        groups = predict.groups(made.decode_points._replace(batch=batch))
        step = predict.seconds(groups, size, calibration)
        apart = closed_loop.disaggregated(made.clients, made.fleet, made.output, (prefill, step, made.transfer), engine)
    chosen = zip(apart, together, strict=True)
    return closed_loop.Served(*(np.where(made.disaggregated, own, other) for own, other in chosen))


def pass_times(made: Runs, calibration: Calibration) -> tuple[FloatArray, FloatArray]:
    """Prefill of one request per attention rank, and decode step of all that memory holds, of every run [s]."""
    size = made.clients.size
    return predict.seconds(made.prefill, size, calibration) / made.packed, predict.seconds(
        made.decode, size, calibration
    )


def engine_columns(names: tuple[str, ...], engines: dict[str, closed_loop.Engine]) -> closed_loop.Engine:
    """Constants of each row's engine, (n,) fields; an engine that was never measured has those of any."""
    rows = [engines.get(name, engines[ANY]) for name in names]
    return closed_loop.Engine(*(np.array(column) for column in zip(*rows, strict=True)))  # type: ignore[arg-type]


def _clients(table: Measurements, split: BoolArray) -> FloatArray:
    """Requests in the loop: what a file calls concurrency or batch, else what the decode instances were made for."""
    said = [np.nan_to_num(np.array(table.numbers[column])) for column in ("concurrency", "batch")]
    per_rank, ranks, workers = (
        np.nan_to_num(np.array(table.numbers[f"decode_{name}"])) for name in ("batch", "attention_dp", "workers")
    )
    made_for = np.where(split, per_rank * np.maximum(ranks, 1.0) * np.maximum(workers, 1.0), 0.0)
    most = np.maximum(*said)
    return np.maximum(np.where(most > 0, most, made_for), 1.0)


def _instance(table: Measurements, prefix: FloatArray) -> Points:
    """Points of the instances of one phase; a load of one prefill request until it is replaced."""

    def column(name: str) -> FloatArray:
        values = [table.numbers[f"{own}{name}"][row] for row, own in enumerate(prefix)]
        return np.array([1.0 if np.isnan(value) or value < 1 else value for value in values])

    tp, attention_dp = column("tp"), column("attention_dp")
    moe_tp, ep = column("moe_tp"), column("ep")
    tp, attention_dp, moe_tp, ep = _consistent(table, (tp, attention_dp, moe_tp, ep))
    one, weight = np.ones(len(table)), tables.formats(table, "weight_dtype")
    kept = ("bf16",) * len(table)
    return Points(
        tables.models(table),
        tables.devices(table),
        tp,
        column("pp"),
        attention_dp,
        moe_tp,
        ep,
        one,
        one,
        0 * one,
        weight,
        tables.expert_formats(table),
        kept,
        kept,
    )


def _consistent(
    table: Measurements, degrees: tuple[FloatArray, FloatArray, FloatArray, FloatArray]
) -> tuple[FloatArray, FloatArray, FloatArray, FloatArray]:
    """Degrees that describe one instance: ``moe_tp * ep = tp * attention_dp``, dense models without experts.

    Some exports write a group of experts twice, as ``moe_tp = ep = g`` and as ``tp`` or ``attention_dp`` of g²
    devices; the instance then has g of them and no tensor parallelism inside an expert.
    """
    tp, attention_dp, moe_tp, ep = degrees
    dense = np.array([not catalog.model(name).n_experts for name in tables.models(table)])
    members = tp * attention_dp
    twice = (moe_tp == ep) & (ep > 1) & (members == moe_tp * ep)
    tp = np.where(twice & (tp == members), ep, tp)
    attention_dp = np.where(twice & (attention_dp == members), ep, attention_dp)
    members = tp * attention_dp
    ep = np.where(dense, 1.0, np.minimum(ep, members))
    return tp, attention_dp, members / ep, ep


def _workers(table: Measurements, column: str, split: BoolArray) -> FloatArray:
    """Instances of one phase, 1 where the file does not say."""
    values = np.array(table.numbers[column])
    return np.where(split & ~np.isnan(values) & (values >= 1), values, 1.0)


def _memory(decode: Points, context: FloatArray, prompt: FloatArray) -> tuple[FloatArray, FloatArray]:
    """Requests of a full context that fit into an instance, and bytes of a prompt's KV over all devices."""
    slots, moved = np.zeros(len(decode.model)), np.zeros(len(decode.model))
    for group in predict.groups(decode):
        rows = decode.rows(group.row)._replace(batch=np.ones(group.row.size), cached_tokens=np.zeros(group.row.size))
        memory = group.device.memory
        room = USABLE_MEMORY * (memory.capacity if memory else 0.0) - group.ledger.weights_bytes
        full = predict.kv_bytes(group.ledger, group.shape, rows._replace(new_tokens=context[group.row]))
        sent = predict.kv_bytes(group.ledger, group.shape, rows._replace(new_tokens=prompt[group.row]))
        slots[group.row] = np.floor(np.maximum(room / full, 0.0)) * rows.attention_dp
        moved[group.row] = sent * rows.tp
    return slots, moved


def _outer(device: str) -> float:
    """Bandwidth of a device's network card [B/s]; infinite where the catalog has none."""
    card = catalog.accelerator(device).scale_out
    return card.bandwidth if card else np.inf
