"""Where the time of a step goes: decode step, first token, whole step, as terms that add up."""

import numpy as np

from dse.arrays import BoolArray, FloatArray
from dse.facts.workload.atoms import BROKEN, FIRST, HIT
from dse.insight.case import Case, ClassCase, Phase
from dse.insight.memory import moved
from dse.insight.technique_words import kv_transfer, pass_words
from dse.insight.terms import Section, Term, parts
from dse.insight.wording import number, percent, quantity
from dse.physics import gated
from dse.physics.demand import GROUPS
from dse.physics.serving import speculative_gain
from dse.search.scoring.keeping import Kept, kept
from dse.search.scoring.loads import Load
from dse.search.scoring.sides import Setting
from dse.search.scoring.waits import wait

GROUP_WORDS = {
    "attention_linear": "attention projections",
    "attention_core": "attention over the cache",
    "indexer": "attention indexer",
    "recurrent": "recurrent layers",
    "dense_ffn": "dense FFN",
    "router": "router",
    "routed_experts": "routed experts",
    "shared_experts": "shared experts",
    "lm_head": "LM head",
    "embedding": "embedding",
}
"""Operator group -> words."""

ATTENTION = GROUPS.index("attention_core")

NEGLIGIBLE = 0.002
"""Terms below this part of a total are left out [1]."""


def decode_section(own: Case, item: ClassCase, phase: Phase) -> Section:
    """Time per output token with every slot busy, which the target is held against."""
    gain = _draft_gain(own)
    decode, full = item.at.decode, float(item.columns.tpot_full[0])
    bare, offload = float(phase.time.seconds[0]) / gain, float(decode.step_time_full[0])
    spill = float(item.columns.pool_share[0] * decode.rank_requests[0] * decode.request_bytes[0])
    linked = max(offload, spill / max(float(item.at.pool.bandwidth[0]), 1.0)) if spill else offload
    if moved(own):
        terms = offload_terms(own, phase, bare, offload)
    else:
        terms = [term._replace(value=term.value / gain) for term in pass_terms(phase)]
    terms.append(
        Term("KV from the pool", linked - offload, "s", f"{quantity(spill, 'B')} per device over the pool link")
    )
    terms.append(
        Term("prefill chunks", full - linked, "s", "t / (1 − share of prefill on these devices)", "serving S5")
    )
    target, mean = own.plan.classes[item.index].shape.tpot_slo, float(item.columns.tpot[0])
    title = f"TPOT {quantity(full, 's')} at batch {item.mapping['decode.batch']:,}, target {quantity(target, 's')}"
    note = f"mean {quantity(mean, 's')} at {number(float(decode.slots[0]))} busy slots (queueing Q3)"
    techniques = pass_words(own)
    return Section(title, parts(terms, NEGLIGIBLE), f"{note}; {techniques}" if techniques else note)


def pass_terms(phase: Phase) -> list[Term]:
    """Compute, memory, network and overhead of one pass; they add up to its time."""
    work, supply, time = phase.work, phase.site.supply, phase.time
    weights, kv, moved = (float(column.sum()) for column in (work.weight_bytes, work.kv_bytes, work.activation_bytes))
    traffic = f"W {quantity(weights, 'B')} + KV {quantity(kv, 'B')} + activations {quantity(moved, 'B')}"
    bandwidth = float(np.asarray(supply.memory_bandwidth))
    flop, rate = float(work.flop.sum()), float(np.asarray(supply.linear_rate))
    messages = {name: message for name, message in work.communication._asdict().items() if float(message.count[0]) > 0}
    sent = ", ".join(
        f"{float(own.count[0]):.0f} {name.replace('_', '-')} of {quantity(float(own.size[0]), 'B')}"
        for name, own in messages.items()
    )
    executed = f"{quantity(flop, 'FLOP')} / (η {quantity(rate, 'FLOP/s')})"
    kernels = f"{float(work.kernels.sum()):.0f} kernels, {phase.shape.n_layers} layers, engine step, requests"
    return [
        Term("memory", float(time.memory[0]), "s", f"({traffic}) / (η {quantity(bandwidth, 'B/s')})", "roofline R1"),
        Term("compute", float(time.compute[0]), "s", executed, "roofline R1"),
        Term("network", float(time.network[0]), "s", sent or "none", "roofline R4"),
        Term("overhead", float(time.overhead[0]), "s", kernels, "roofline R3"),
    ]  # fmt: skip


def offload_terms(own: Case, phase: Phase, bare: float, step: float) -> list[Term]:
    """Step of the batches that alternate between the devices of the model and those of its attention."""
    rest = bare * (1 - float(phase.time.group_seconds[ATTENTION, 0] / phase.time.seconds[0]))
    names = [own.plan.devices[int(row)] for row in own.block.decode.device[0]]
    longer = f"what attention on {names[1]} takes longer, and the messages between"
    count = own.plan.problem.serving.offload_batches
    words = {1: "model, one batch", 2: "model, two batches"}.get(count, f"model, {count} batches")
    return [
        Term(words, count * rest, "s", f"all but attention on {names[0]}: {count} x {quantity(rest, 's')}"),
        Term("attention beyond it", step - count * rest, "s", longer, "serving S8"),
    ]


def operator_section(phase: Phase, elsewhere: bool = False) -> Section:
    """Operator groups of a pass by time; FLOP and bytes of one device in the formula.

    ``elsewhere`` leaves the attention core out: other devices run it.
    """
    work = phase.work
    found = []
    for row, group in enumerate(GROUPS):
        if elsewhere and row == ATTENTION:
            continue
        moved = float(work.weight_bytes[row, 0] + work.kv_bytes[row, 0] + work.activation_bytes[row, 0])
        inputs = f"{quantity(float(work.flop[row, 0]), 'FLOP')}, {quantity(moved, 'B')}"
        found.append(Term(GROUP_WORDS[group], float(phase.time.group_seconds[row, 0]), "s", inputs))
    rest = float(phase.time.seconds[0] - phase.time.group_seconds[:, 0].sum())
    found.append(Term("network and the rest", rest, "s"))
    whole = sum(term.value for term in found)
    title = (
        f"model side of a decode step {quantity(whole, 's')}" if elsewhere else f"decode step {quantity(whole, 's')}"
    )
    return Section(f"{title} by operator", parts(found, NEGLIGIBLE))


def first_token_section(own: Case, item: ClassCase) -> Section:
    """Mean time to the first token as terms, with its percentiles.

    Each cause is taken away in turn; the causes add up, so the difference is what it costs.
    """
    at, columns, held = item.at, item.columns, kept(item.at)
    none = np.zeros(1)
    still = at.prefill._replace(pass_time=none, pinned_time=none)
    stopped = at._replace(prefill=still, decode=at.decode._replace(append_pass=none))
    load = own.plan.classes[item.index].load
    near, far = (_response(item, load, kind) for kind in (load.prompts.found, ~load.prompts.found))
    undisturbed = at.prefill._replace(response=near, cold_response=far, pinned_response=near, pinned_cold_response=far)
    alone = at._replace(operation=at.operation._replace(utilisation=0.0), prefill=undisturbed)
    whole = mean_first_token(at, held)
    running = whole - mean_first_token(stopped, held)
    queued = whole - mean_first_token(alone, held)
    restore = whole - mean_first_token(at, held._replace(per_cached=none))
    moved = whole - mean_first_token(at._replace(kv_token=none), held)
    slot = mean_first_token(at, held, columns.tpot) - whole
    coded = kv_transfer(own)
    crossing = f"between the pools, KV home {item.home}{f'; {coded}' if coded else ''}"
    where = "decode" if item.colocated or item.home == "append_on_decode" else "prefill"
    rho = number(own.plan.operation.utilisation)
    terms = [
        Term("pass in progress", running, "s", f"the rest of it, others in one's own, {where}", "gated Q5"),
        Term("own work", whole - running - queued - moved - restore, "s", _own_work(item, load), "gated Q12"),
        Term("queueing", queued, "s", f"others in service at utilisation {rho}", _queue(own)),
        Term("KV transfer", moved, "s", crossing, "serving S1"),
        Term("KV restore", restore, "s", "prefix brought back from below HBM", "retention R2"),
        Term("decode slot", slot, "s", "the step in progress, and all slots of the instance busy", "queueing Q6"),
    ]
    target, level = at.shape.ttft_slo, own.plan.operation.percentile
    now = target * (1 - float(columns.slack_ttft[0]))
    title = f"TTFT p{level:g} {quantity(now, 's')}, target {quantity(target, 's')}; on average"
    values = (float(columns.ttft_p50[0]), float(columns.ttft_p95[0]), float(columns.ttft_p99[0]))
    spread = ", ".join(
        f"{name} {quantity(value, 's')}" for name, value in zip(("p50", "p95", "p99"), values, strict=True)
    )
    note = f"mean {quantity(whole + slot, 's')}, {spread}; {_cold_share(item, held)}"
    return Section(title, parts(terms, NEGLIGIBLE), note)


def mean_first_token(at: Setting, held: Kept, tpot: FloatArray | None = None) -> float:
    """Mean time to the first token of a class; with the wait for a slot where the time per token is given [s]."""
    none = np.zeros(1)
    return float(wait(at, held, none if tpot is None else tpot, none).ttft_mean[0])


def step_section(own: Case, item: ClassCase) -> Section:
    """Step latency on average, as first token plus the tokens after it."""
    columns = item.columns
    first, mean = mean_first_token(item.at, kept(item.at), columns.tpot), float(columns.latency_mean[0])
    level, tpot = own.plan.operation.percentile, float(columns.tpot[0])
    terms = [
        Term("first token", first, "s", "mean TTFT"),
        Term("tokens after it", mean - first, "s", f"{number((mean - first) / tpot)} tok x {quantity(tpot, 's')}"),
    ]
    target, steps = item.at.shape.latency_slo, item.at.shape.steps
    title = (
        f"step p{level:g} {quantity(float(columns.step_latency[0]), 's')}, target {quantity(target, 's')}; on average"
    )
    note = f"mean {quantity(mean, 's')}; {number(steps)} steps a task: {quantity(steps * mean, 's')} in the model"
    return Section(title, parts(terms, NEGLIGIBLE), note)


def _response(item: ClassCase, load: Load, kind: BoolArray) -> FloatArray:
    """Time of a prompt's own tokens over their service where nobody else is there, of some kind of steps [1]."""
    if item.colocated:
        return np.ones(1)
    stages, chunk = (np.array([float(item.mapping[f"prefill.{name}"])]) for name in ("pp", "chunk"))
    return gated.pass_response(stages, load.prompts.beyond(chunk, kind), 1.0)


def _own_work(item: ClassCase, load: Load) -> str:
    here = item.colocated or item.home == "append_on_decode"
    response = np.ones(1) if here else _response(item, load, load.prompts.weight > 0)
    token = response * (item.at.decode.append_per_token if here else item.at.prefill.per_token)
    area = response * (item.at.decode.append_per_area if here else item.at.prefill.per_area)
    fresh, whole = item.at.shape.moments.fresh, item.at.shape.moments.area
    linear = f"{number(fresh)} tok x {quantity(float(token[0]), 's')}"
    return f"{linear} + {number(whole)} tok² x {quantity(float(area[0]), 's')}, lost prefixes besides"


def _queue(own: Case) -> str:
    return "queueing Q2" if own.plan.operation.first_come else "queueing Q1"


def _cold_share(item: ClassCase, held: Kept) -> str:
    """Steps that prefill their context anew, by reason."""
    atoms = item.at.shape.atoms
    weights = atoms.weights(held.time)[0]
    shares = {
        "first": float(weights[atoms.kind == FIRST].sum()),
        "broken prefix": float(weights[atoms.kind == BROKEN].sum()),
        "lost": float(weights[~np.isin(atoms.kind, (FIRST, BROKEN, HIT))].sum()),
    }
    words = ", ".join(f"{percent(share / weights.sum())} {word}" for word, share in shares.items())
    return f"steps without their prefix: {words}"


def _draft_gain(own: Case) -> float:
    """Output tokens per decode step and unit of its time, 1 without speculative decoding."""
    draft, settings = float(own.levers["draft_length"]), own.plan.problem.serving
    gained = float(speculative_gain(np.asarray(draft), settings.acceptance))
    return gained / (1 + draft * settings.draft_cost)
