"""The closed form of a design with its mapping held fixed, on another session shape: the trace that is replayed.

What depends on the load (moments, mean prefix, mean decode context, tail) is computed anew with the equations of the
evaluation; hardware, mapping and memory stay.
"""

from dataclasses import replace

import numpy as np

from dse.arrays import FloatArray
from dse.facts.workload.classes import Workload
from dse.physics import demand, serving
from dse.physics.work import ledger
from dse.replay.design import Served, decode_step_of
from dse.replay.grids import Mapped
from dse.search.scoring import passes, phases
from dse.search.scoring.loads import Load, in_passes, pass_line, short_pass
from dse.search.scoring.phases import APPEND_CHUNK
from dse.search.scoring.plan import Plan
from dse.search.scoring.points import evaluate_points
from dse.search.scoring.sides import DecodeSide, PrefillSide


def refitted(served: Served, workload: Workload) -> Served:
    """The same class on the same mapping with the sessions of another workload."""
    problem = served.plan.problem
    agents = list(problem.agents)
    agents[served.agent] = replace(agents[served.agent], workload=workload)
    plan = Plan.of(replace(problem, agents=tuple(agents)))
    moved = replace(served, plan=plan)
    at = served.at
    load = plan.classes[served.agent].load
    kv_token = moved.kv_token * (at.kv_token / served.kv_token)
    at = at._replace(shape=plan.classes[served.agent].shape, kv_token=kv_token)
    if not served.colocated:
        at = at._replace(prefill=_prefill(moved, load))
    at = at._replace(decode=_decode(replace(moved, at=at), load))
    return replace(moved, at=at, columns=evaluate_points(at))


def loaded(served: Served, utilisation: float) -> Served:
    """The same class on the same mapping and home of KV at another utilisation."""
    known = served.plan
    classes = list(known.classes)
    own = classes[served.agent]
    classes[served.agent] = own._replace(
        load=own.load._replace(utilisation=utilisation, shared=utilisation if own.load.shared else 0.0)
    )
    operation = known.operation._replace(utilisation=utilisation)
    moved = replace(served, plan=replace(known, classes=tuple(classes), operation=operation))
    at = served.at._replace(operation=operation)
    if not served.colocated:
        at = at._replace(prefill=_prefill(moved, classes[served.agent].load))
    return replace(moved, at=at, columns=evaluate_points(at))


def _prefill(served: Served, load: Load) -> PrefillSide:
    mapped, chunk = served.mapped("prefill"), float(served.mapping["prefill.chunk"])
    per_token, per_area = _service(mapped, chunk, load)[1:]
    short = _short(mapped, np.array([chunk]), load)
    grid = mapped.grid(1)._replace(size=np.array([round(chunk)]))
    waited = in_passes(load, grid, short, per_token, per_area)
    occupied = mapped.devices / mapped.degrees["attention_dp"]
    kv_bytes = _kv_bytes(mapped, load.cached + load.fresh)
    return served.at.prefill._replace(
        **waited._asdict(),
        per_token=per_token,
        per_area=per_area,
        work_token=occupied * per_token,
        work_area=occupied * per_area,
        kv_bytes=kv_bytes,
        tail_bytes=kv_bytes * load.tail_context,
    )


def _decode(served: Served, load: Load) -> DecodeSide:
    mapped, decode, step = served.mapped("decode"), served.at.decode, decode_step_of(served)
    chunk = np.array([APPEND_CHUNK])
    whole, per_token, per_area = _service(mapped, APPEND_CHUNK, load)
    floor = pass_line(load, chunk, _short(mapped, chunk, load), whole)[0] / mapped.degrees["pp"]
    occupied = mapped.devices / mapped.degrees["attention_dp"]
    context = np.array([load.decode_context])
    kv_bytes = _kv_bytes(mapped, load.decode_context)
    if served.block.offloaded[0]:
        kv_bytes = np.array([served.kv_token])
    mean, full = step(decode.slots, context), step(decode.batch, context)
    return decode._replace(
        step_time=mean,
        step_time_full=full,
        work=mapped.devices * mean / decode.slots,
        kv_bytes=kv_bytes,
        request_bytes=kv_bytes * load.decode_context,
        append_pass=whole,
        append_per_token=per_token,
        append_per_area=per_area,
        append_work_token=occupied * per_token,
        append_work_area=occupied * per_area,
        append_work_pass=occupied * floor,
    )


def _service(mapped: Mapped, chunk: float, load: Load) -> tuple[FloatArray, FloatArray, FloatArray]:
    """Pass over a chunk on the mean prefix, service per token and per area."""
    size, prefix = np.array([chunk]), np.array([max(load.cached, 1.0)])
    ranks = mapped.degrees["attention_dp"]
    bare, cached = (
        phases.timed(mapped.site, mapped.grid(1), demand.Load(ranks, size, before)).seconds
        for before in (np.zeros(1), prefix)
    )
    per_token, per_area = serving.prefill_coefficients(bare, cached, size, prefix)
    stages = mapped.degrees["pp"]
    return cached, per_token / stages, per_area / stages


def _short(mapped: Mapped, chunk: FloatArray, load: Load) -> FloatArray:
    """Pass over few tokens on the mean prefix [s]."""
    asked = demand.Load(mapped.degrees["attention_dp"], short_pass(load, chunk), np.array([max(load.cached, 1.0)]))
    return phases.timed(mapped.site, mapped.grid(1), asked).seconds


def _kv_bytes(mapped: Mapped, context: float) -> FloatArray:
    """KV of a token on each device of its rank [B/tok]."""
    grid, site = mapped.grid(1), mapped.site
    held = ledger(site.shape, site.precision, passes.mapping(grid))
    return passes.kv_bytes_per_token(held, grid, context, site.shape.sliding_window)
