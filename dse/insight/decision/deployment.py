"""Deployment sketch of a design made of real accelerators: what an engineer would start the engines with.

The file is plain YAML. `agents.NAME.prefill` and `.decode` describe one instance (one copy of the model) and how many
there are; degrees are those of the design's mapping, so `devices_per_instance` is their product without experts, which
share the devices of the instance. `engine_flags` are the same choices in the words of vLLM, a starting point and not a
tested recipe.
"""

import math
from typing import Any

from dse.facts import units, writer
from dse.facts.devices import Accelerator
from dse.insight import wording
from dse.insight.case import Case, ClassCase
from dse.insight.decision.materials import Materials, Part
from dse.search.evaluation import DEGREES
from dse.search.scoring.techniques import LEVERS

HEAD = """\
# Deployment sketch, made by `dse brief`: analytic estimate, not a tested recipe.
#   load                 tasks per second that the counts below are for, whole instances bought
#   agents.NAME.prefill  instances that only prefill; absent where one pool serves both phases
#   agents.NAME.decode   instances that generate (and prefill where that is absent)
#     replicas                 copies of the model
#     devices_per_instance     tensor x pipeline x attention data x context parallel
#     tensor_parallel, pipeline_parallel, attention_data_parallel, context_parallel, expert_parallel
#     chunk_tokens             tokens of a prefill chunk;  batch: requests decoded together by an instance
#   agents.NAME.kv       home: where the KV of a waiting session lives (prefill, decode, shared, append_on_decode);
#                        offload: tiers below device memory, per device of the home
#   agents.NAME.predicted  what the model says: TTFT and TPOT of the study's percentile, hit rate of resumed steps
#   engine_flags         the same choices as flags of vLLM, to start from
"""
"""Meaning of every field, at the top of the file."""

WORDS = {
    "tp": "tensor_parallel",
    "pp": "pipeline_parallel",
    "attention_dp": "attention_data_parallel",
    "cp": "context_parallel",
    "ep": "expert_parallel",
}
"""Mapping column -> field of the sketch."""

FLAGS = {"tp": "--tensor-parallel-size", "pp": "--pipeline-parallel-size", "attention_dp": "--data-parallel-size"}
"""Mapping column -> flag of vLLM."""


def real(device: Accelerator) -> bool:
    """Whether a device can be had: it ships, or a cloud rents it.

    >>> from dse.facts import catalog
    >>> real(catalog.accelerator("h200_sxm")), real(catalog.accelerator("rubin_cpx"))
    (True, False)
    """
    return "shipping" in device.status or "cloud" in device.status


def sketch(own: Case, bill: Materials, name: str, note: str) -> str | None:
    """YAML of a design; None where a device cannot be had.

    Parameters
    ----------
    own : Case            the design with its mapping
    bill : Materials      its bill, for the counts
    name : str            of the design
    note : str            study, status of the numbers, date of the prices
    """
    problem = own.plan.problem
    # A study's own part has a catalog device's status only by `like:`; its numbers are an assumption.
    if not all(real(problem.devices[part.device]) and _stock(problem.devices[part.device]) for part in bill.parts):
        return None
    data: dict[str, Any] = {
        "design": name,
        "status": note,
        "load": units.exact(bill.load, "task/s"),
        "power": wording.quantity(bill.power, "W"),
        "price": f"{wording.number(bill.hourly)} $/h",
        "agents": {item.name: _agent(own, item, bill) for item in own.classes},
    }
    return HEAD + writer.text(data)


def _stock(device: Accelerator) -> bool:
    """Whether a device is the catalog's own."""
    from dse.facts import catalog

    return device.id in catalog.names("accelerators") and catalog.accelerator(device.id).peak == device.peak


def _agent(own: Case, item: ClassCase, bill: Materials) -> dict[str, Any]:
    agent = own.plan.classes[item.index].agent
    made: dict[str, Any] = {
        "model": agent.model.name,
        "weights": str(own.levers["weight_dtype"]),
        "kv_cache": str(own.levers["kv_dtype"]),
        "disaggregated": not item.colocated,
    }
    used = [str(own.levers[name]) for name in LEVERS if own.levers.get(name) in own.plan.problem.techniques]
    made |= {"techniques": used} if used else {}
    for part in bill.parts:
        if part.agent == item.name:
            made[part.role] = _side(own, item, part)
    made["kv"] = {"home": item.home, "offload": _offload(own, item)}
    columns = item.columns
    made["targets"] = {"ttft": wording.quantity(agent.slo.ttft, "s"), "tpot": wording.quantity(agent.slo.tpot, "s")}
    made["predicted"] = {
        "ttft_p95": wording.quantity(float(columns.ttft_p95[0]), "s"),
        "tpot": wording.quantity(float(columns.tpot[0]), "s"),
        "hit_rate": float(f"{float(columns.hit_rate[0]):.3g}"),
    }
    return made


def _side(own: Case, item: ClassCase, part: Part) -> dict[str, Any]:
    """One kind of instance."""
    made: dict[str, Any] = {"device": part.device, "replicas": part.instances, "devices": part.devices}
    if part.role == "attention":
        return made | {"devices_per_instance": float(f"{part.per_instance:.3g}"), "runs": "decode attention and the KV"}
    degrees = {key: item.mapping[f"{part.role}.{key}"] for key in WORDS}
    size = "chunk_tokens" if part.role == "prefill" else "batch"
    count = item.mapping[f"{part.role}.{'chunk' if part.role == 'prefill' else 'batch'}"]
    made["devices_per_instance"] = math.prod(degrees[key] for key in DEGREES)
    made |= {WORDS[key]: value for key, value in degrees.items()}
    made[size] = count
    made["engine_flags"] = _flags(own, degrees, part.role, count)
    return made


def _flags(own: Case, degrees: dict[str, int], role: str, count: int) -> list[str]:
    made = [f"{flag} {degrees[key]}" for key, flag in FLAGS.items() if degrees[key] > 1]
    made += ["--enable-expert-parallel"] if degrees["ep"] > 1 else []
    rank = max(1, count // max(degrees["attention_dp"], 1))
    made.append(f"--max-num-batched-tokens {count}" if role == "prefill" else f"--max-num-seqs {rank}")
    kept = str(own.levers["kv_dtype"])
    made += [f"--kv-cache-dtype {kept}"] if kept != "bf16" else []
    return [*made, "--enable-prefix-caching"]


def _offload(own: Case, item: ClassCase) -> dict[str, str]:
    """Tiers below the memory of the KV's home, per device."""
    side = "prefill" if item.home == "prefill" and not item.colocated else "decode"
    found = {}
    host = float(own.levers[f"{side}.host_memory"])
    if host > 0 and item.home != "shared":
        found["host_dram"] = wording.quantity(host, "B")
    pool = float(own.block.pool_capacity[0])
    if pool > 0:
        found[str(own.levers["pool.technology"])] = wording.quantity(pool, "B")
    return found or {"none": "0 B"}
