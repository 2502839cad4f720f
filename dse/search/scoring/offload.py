"""Attention offload: decode attention and the KV on one device type, the rest of the model on another."""

from typing import TYPE_CHECKING

import numpy as np

from dse.arrays import BoolArray, FloatArray, IntArray
from dse.physics import serving
from dse.physics.calibration import pick
from dse.physics.intensity import attention_oi_limit
from dse.search.scoring.passes import WIDTH, compute_rate
from dse.search.scoring.rows import Rows
from dse.search.scoring.sides import DecodeSide

if TYPE_CHECKING:
    from dse.search.scoring.block import Block
    from dse.search.scoring.plan import Plan

HOP_LATENCY = 5e-6
"""Latency between two device types over the network [s]. Source: planner constant between racks of AIConfigurator
(Apache-2.0), range 1 to 10 us; an estimate."""


def offloaded(
    plan: "Plan",
    block: "Block",
    agent: int,
    decode: DecodeSide,
    rows: Rows,
    attention_share: FloatArray,
    devices: FloatArray,
    owner: BoolArray,
) -> DecodeSide:
    """Columns of decode with attention moved to the second device type where a design says so.

    Two batches alternate, or as many as the study says, one in attention and one in the rest, so both device types are
    busy (Lamina, arXiv 2405.01814, section 4). The attention devices per instance are what balances the two times, or
    what holds the KV of all batches if that is more. The result is expressed per device of the model side: its price
    and power carry the attention devices that go with it, its room is theirs; they pay for the pool where they own the
    KV (``owner``).
    """
    moved = np.flatnonzero(block.offloaded[rows.design] & (block.decode.device[rows.design, 1] >= 0))
    if moved.size == 0:
        return decode
    model, item, batches = plan.classes[agent].model, plan.classes[agent], plan.problem.serving.offload_batches
    second = block.decode.device[rows.design[moved], 1]
    widths = np.asarray([WIDTH[str(choice)] for choice in plan.problem.levers["kv_dtype"]])
    width = widths[block.kv_dtype[rows.design[moved]]]
    kv = np.asarray([plan.kv_token(agent, str(choice)) for choice in plan.problem.levers["kv_dtype"]])
    request = kv[block.kv_dtype[rows.design[moved]]] * item.load.decode_context
    batch, rest = decode.batch[moved], decode.step_time_full[moved] * (1 - attention_share[moved])
    rate = attention_rate(plan, agent, second, width)
    floor = model.n_layers * np.asarray(pick(width, plan.calibration.attention, "floor"))
    usable = block.decode.usable[rows.design[moved], 1]
    held = batch * request
    count = np.ceil(np.maximum(held / (rate * np.maximum(rest - floor, floor)), batches * held / usable))
    attention = held / (rate * count) + floor
    link = np.minimum(decode.bandwidth[moved] * devices[moved], block.decode.bandwidth[rows.design[moved], 1] * count)
    group = np.asarray(model.n_heads / max(model.n_kv_heads, 1), dtype=float)
    width_bytes, layers = np.asarray(2.0 * model.hidden), np.asarray(float(model.n_layers))
    sent = serving.offload_bandwidth(group, width_bytes, batch, layers, np.ones(batch.size)) / link
    crossing = sent + 2 * layers * (plan.calibration.network.alpha + HOP_LATENCY)
    step = serving.alternation_time(batches, rest, attention, crossing)
    ratio = count / devices[moved]
    slots = batches * decode.slots[moved]
    second_hourly = (
        block.decode.hourly[rows.design[moved], 1] + owner[moved] * block.decode.pool_hourly[rows.design[moved], 1]
    )
    second_power = (
        block.decode.power[rows.design[moved], 1] + owner[moved] * block.decode.pool_power[rows.design[moved], 1]
    )
    model_room = decode.room[moved]
    changes: dict[str, FloatArray] = {
        "step_time": step,
        "step_time_full": step,
        "work": devices[moved] * step / slots,
        "slots": slots,
        "batch": batches * batch,
        "rank_requests": batches * batch / devices[moved],
        "rank_devices": np.ones(batch.size),
        "kv_bytes": request / item.load.decode_context,
        "request_bytes": request,
        "room": np.where(model_room < 0, model_room, ratio * usable),
        "memory": decode.memory[moved],
        "host_bytes": decode.host_bytes[moved] * ratio,
        "host_bandwidth": block.decode.host_bandwidth[rows.design[moved], 1] * ratio,
        "hourly": block.decode.hourly[rows.design[moved], 0] + ratio * second_hourly,
        "power": block.decode.power[rows.design[moved], 0] + ratio * second_power,
    }
    columns = decode._asdict()
    for name, values in changes.items():
        column = columns[name].copy()
        column[moved] = values
        columns[name] = column
    return DecodeSide(**columns)


def attention_rate(plan: "Plan", agent: int, device: IntArray, width: FloatArray) -> FloatArray:
    """KV that one device of each type attends to per second, at its memory or its compute roof [B/s]."""
    model, curves = plan.classes[agent].model, plan.calibration.attention
    bandwidth = plan.fleet.memory_bandwidth[device] * pick(width, curves, "memory")
    peaks = np.asarray([compute_rate(plan.problem.devices[name], "bf16")[0] for name in plan.devices])
    widths, index = np.unique(width, return_inverse=True)
    intensity = np.asarray([attention_oi_limit(model, float(kv)) for kv in widths])[index]
    return np.asarray(np.minimum(bandwidth, peaks[device] * curves.bf16.compute / intensity))
