"""What fills the memories of a design, how long KV survives in them, and the regime of each phase."""

from typing import NamedTuple

import numpy as np

from dse.arrays import FloatArray
from dse.insight.case import Case, ClassCase, Phase, decode_phase
from dse.insight.technique_words import kv_transfer
from dse.insight.terms import Section, Term
from dse.insight.wording import number, percent, quantity
from dse.physics import intensity
from dse.search.scoring.keeping import kept


def decode_ledger(own: Case, item: ClassCase) -> Section:
    """Package memory of a decode device; the lines add up to its capacity."""
    decode = item.at.decode
    if moved(own):
        return _attention_ledger(own, item)
    side, option = own.block.decode, item.mapping["decode.type"]
    total, usable = float(side.memory[0, option]), float(side.usable[0, option])
    weights, room = usable - float(decode.room[0]), float(decode.room[0])
    full = float(decode.rank_requests[0] * decode.request_bytes[0])
    busy = full * float(decode.slots[0] / decode.batch[0])
    owner = item.home in ("decode", "append_on_decode") or item.colocated
    slots = f"{number(float(decode.slots[0]))} of {number(float(decode.batch[0]))} slots of the instance"
    lines = [
        Term("weights", weights, "B", f"per device of {item.mapping['decode.tp']} x TP", "work.ledger"),
        Term("active KV", min(busy, room), "B", f"mean, {slots}; all busy {quantity(full, 'B')}", "intensity I7"),
        *_rest(total - usable, room - min(busy, room), owner),
    ]
    return _ledger(f"decode device {own.plan.devices[int(side.device[0, option])]}", total, lines)


def moved(own: Case) -> bool:
    """Whether decode attention runs on the second device type."""
    return bool(own.block.offloaded[0]) and int(own.block.decode.device[0, 1]) >= 0


def attention_devices(own: Case, item: ClassCase) -> float:
    """Devices that hold the KV, per device of the model side [1]."""
    return max(float(item.at.decode.room[0]) / float(own.block.decode.usable[0, 1]), 1e-9)


def _attention_ledger(own: Case, item: ClassCase) -> Section:
    """Package memory of a device that holds the KV and runs the attention of decode."""
    decode, side, each = item.at.decode, own.block.decode, attention_devices(own, item)
    total, usable = float(side.memory[0, 1]), float(side.usable[0, 1])
    full = float(decode.rank_requests[0] * decode.request_bytes[0]) / each
    busy = min(full * float(decode.slots[0] / decode.batch[0]), usable)
    owner = item.home in ("decode", "append_on_decode")
    slots = f"{number(float(decode.slots[0]))} of {number(float(decode.batch[0]))} slots of the instance"
    lines = [
        Term("active KV", busy, "B", f"mean, {slots}; all busy {quantity(full, 'B')}", "intensity I7"),
        *_rest(total - usable, usable - busy, owner),
    ]
    names = [own.plan.devices[int(row)] for row in side.device[0]]
    weights = float(decode_phase(own, item).ledger.weights_bytes[0])
    ledger = _ledger(f"attention device {names[1]}", total, lines)
    note = f"{number(each)} of them per {names[0]}, of which weights fill {quantity(weights, 'B')}"
    return Section(ledger.title, ledger.terms, f"{note} of {quantity(float(side.memory[0, 0]), 'B')}")


def prefill_ledger(own: Case, item: ClassCase) -> Section | None:
    """Package memory of a prefill device; None where one pool serves both phases."""
    if item.colocated:
        return None
    prefill = item.at.prefill
    side, option = own.block.prefill, item.mapping["prefill.type"]
    total, usable = float(side.memory[0, option]), float(side.usable[0, option])
    weights, tail, room = usable - float(prefill.room[0]), float(prefill.tail_bytes[0]), float(prefill.room[0])
    lines = [
        Term("weights", weights, "B", f"per device of {item.mapping['prefill.tp']} x TP", "work.ledger"),
        Term("longest request", min(tail, room), "B", "99th percentile of contexts must fit", "intensity I7"),
        *_rest(total - usable, room - min(tail, room), item.home == "prefill"),
    ]
    return _ledger(f"prefill device {own.plan.devices[int(side.device[0, option])]}", total, lines)


def _rest(reserve: float, left: float, owner: bool) -> list[Term]:
    word = "idle KV" if owner else "free"
    why = "room for sessions between steps" if owner else "the KV of idle sessions lives elsewhere"
    return [Term("reserve", reserve, "B", "engine and share left empty"), Term(word, left, "B", why)]


def _ledger(name: str, total: float, lines: list[Term]) -> Section:
    shown = tuple(line._replace(share=line.value / total) for line in lines if line.value)
    return Section(f"{name}: {quantity(total, 'B')}", shown)


def keeping_section(own: Case, item: ClassCase) -> Section:
    """Home of the KV, retention time, hits, restores and what must be recomputed."""
    held, at = kept(item.at), item.at
    tiers = []
    side = own.block.prefill if item.home == "prefill" else own.block.decode
    host = float(side.host_memory[0])
    if host and item.home != "shared":
        tiers.append(f"host DRAM {quantity(host, 'B')}")
    if float(at.pool.capacity[0]):
        tiers.append(f"{own.levers['pool.technology']} pool {quantity(float(at.pool.capacity[0]), 'B')}")
    below = f", below HBM: {', '.join(tiers)} per device" if tiers else ", nothing below HBM"
    terms: tuple[Term, ...] = (
        Term("retention", float(held.time[0]), "s", "occupancy(T) = M / λ of the largest tier", "retention R2"),
        Term(
            "hit rate", float(held.hit[0]), "1", f"{percent(float(held.restored[0]))} of the hits come from below HBM"
        ),
        Term(
            "recomputed",
            float(held.lost_tokens[0]),
            "tok",
            f"per step, beside {number(at.shape.moments.fresh)} tok fresh",
        ),
    )
    coded = kv_transfer(own)
    if coded:
        terms = (*terms, Term("KV of a token", float(at.kv_token[0]), "B", f"on links and below HBM: {coded}"))
    flag = "; bistable: a lost cache is not regained at this load" if float(item.columns.bistable[0]) else ""
    return Section(f"KV home {item.home}{below}", terms, flag.removeprefix("; "))


class Regime(NamedTuple):
    """One phase in the plane of operational intensity and capacity footprint."""

    phase: str
    device: str
    oi: float
    """Of the whole pass [FLOP/B]."""
    ridge: float
    """Of the device, in the format of the linear layers [FLOP/B]."""
    cf_request: float
    """Cache of a request and its share of the weights, over all devices [B]."""
    cf_device: float
    """Resident on a device [B]."""
    regime: str
    """Which supply binds."""


def decode_regime(own: Case, item: ClassCase, phase: Phase) -> Regime:
    """Decode phase, all slots busy."""
    decode, grid = item.at.decode, phase.grid
    request, weights = decode.request_bytes, phase.ledger.weights_bytes
    usable = own.block.decode.usable[0, item.mapping["decode.type"]]
    if moved(own):
        holders = np.array([attention_devices(own, item) * phase.devices])
        usable = own.block.decode.usable[0, 1]
        return _regime("decode", phase, decode.batch, request, request, (np.asarray(usable), 0 * weights), holders)
    whole, ranks = request * decode.rank_devices, grid.attention_dp.astype(float)
    return _regime("decode", phase, decode.batch, request, whole, (np.asarray(usable), weights), ranks)


def prefill_regime(own: Case, item: ClassCase, phase: Phase) -> Regime:
    """Prefill phase, one request a rank, its mean context resident."""
    load = own.plan.classes[item.index].load
    prefill, grid = item.at.prefill, phase.grid
    request = prefill.kv_bytes * (load.cached + load.fresh)
    usable = own.block.prefill.usable[0, item.mapping["prefill.type"]]
    ranks = grid.attention_dp.astype(float)
    memory = (np.asarray(usable), phase.ledger.weights_bytes)
    return _regime("prefill", phase, ranks, request, request * prefill.rank_devices, memory, ranks)


def _regime(
    phase: str,
    done: Phase,
    batch: FloatArray,
    device_kv: FloatArray,
    request: FloatArray,
    memory: tuple[FloatArray, FloatArray],
    ranks: FloatArray,
) -> Regime:
    """Both coordinates of a phase and the name of its quadrant.

    ``memory`` is what may be filled on a device that holds the KV, and the weights that lie there beside it.
    """
    supply, (usable, weights) = done.site.supply, memory
    oi = intensity.phase_oi(done.work)
    ridge = intensity.oi_ridge(np.asarray(supply.linear_rate, float), np.asarray(supply.memory_bandwidth, float))
    fits = intensity.capacity_batch(usable, weights, device_kv, ranks, 1.0)
    context = np.atleast_1d(np.asarray(done.load.cached_tokens, float))
    wanted = batch
    if phase == "decode":
        wanted = intensity.saturating_batch(done.shape, done.site.precision, context, np.atleast_1d(ridge))
    name = intensity.REGIMES[int(intensity.regime(oi, ridge, fits, wanted)[0])]
    whole = intensity.cf_request(request, done.ledger.weights_bytes * done.devices, batch)
    return Regime(
        phase,
        done.device,
        float(oi[0]),
        float(np.ravel(ridge)[0]),
        float(whole[0]),
        float(intensity.cf_device(weights, device_kv, batch, ranks)[0]),
        name,
    )
