"""Scaling Intelligence, arXiv 2506.15006: one flat fabric against domains of several widths."""

from dataclasses import replace

import numpy as np

from dse.facts.problem import Problem, load
from dse.insight.cases.answers import Answers
from dse.insight.cases.registry import study
from dse.insight.cases.relation import Relation, above, near
from dse.physics import network

DOMAINS = ("domain_8", "domain_64", "nvl72", "domain_128", "fullflat")
"""Interconnects from narrow to flat."""

INTERACTIVITY = 50.0
"""Rate that a user sees, at which device time is compared [tok/s]."""

OVERLAP = 0.5
"""Share of the communication hidden under computation, where it is varied [1]."""

LARGE = np.array(1e9)
"""Message of which the bandwidth term is all [B]."""

SMALL_REDUCTIONS = (
    "engines reduce decode messages in one shot, which no switch speeds up, and tensor parallelism of 8 stays within "
    "the narrowest domain"
)


def relations(problem: Problem) -> tuple[Relation, ...]:
    """Device time per task at one interactivity, over domains; collectives, overlap and memory."""
    plain, hidden = Answers.of(problem), Answers.of(_overlapped(problem))
    times = {name: _seconds(plain, name) for name in DOMAINS}
    stock, more = (_seconds(plain.where(decode__memory_scale=scale), "domain_64") for scale in (1.0, 1.33))
    narrow, flat = (times[name] / _seconds(hidden, name) for name in ("domain_8", "fullflat"))
    hardware = float(network.in_network_time(LARGE, np.array(64), np.array(900e9), np.array(0.0)))
    software = float(network.all_reduce_time(LARGE, np.array(64), np.array(900e9), np.array(0.0)))
    switched = _seconds(plain, "fullflat_software") / times["fullflat"]
    return (
        above(
            "device time of decode at 50 tok/s and user, domains of 8 over 64",
            times["domain_8"] / times["domain_64"],
            1.2,
            "x",
        ),
        above("the same, 72 over 128", times["nvl72"] / times["domain_128"], 1.0, "x"),
        above("the same, 64 over 128", times["domain_64"] / times["domain_128"], 1.0, "x"),
        above("the same, 128 over one flat fabric", times["domain_128"] / times["fullflat"], 1.0, "x"),
        near(
            "bytes sent by software over hardware all-reduce, large messages on 64 devices",
            software / hardware,
            2.0,
            0.02,
            "x",
        ),
        above(
            "device time on the flat fabric, software over hardware collectives", switched, 1.001, "x", SMALL_REDUCTIONS
        ),
        above("what overlap saves on domains of 8, over what it saves on the flat fabric", narrow / flat, 1.0, "x"),
        above("a third more HBM never costs device time: stock over more", stock / more, 1 - 1e-9, "x"),
        *_second_tier(),
    )


def _second_tier() -> tuple[Relation, ...]:
    """Host DRAM as the second tier of memory, where sessions come back to their cache."""
    changed = {
        "agents.chat.workload": "coding",
        "agents.chat.context_policy": "compaction",
        "decode.topology": "domain_64",
        "decode.memory_scale": "1",
        "levers.decode.host_memory": "[0 GB, 256 GB, 1 TB]",
        "slo.ttft": "20 s",
    }
    answers = Answers.of(load(study("fullflat"), changed))
    bare, some, much = (answers.where(decode__host_memory=size).best("cost") for size in (0.0, 256e9, 1e12))
    return (
        above(
            "cost per task of coding sessions without a second tier of memory over 256 GB of it", bare / some, 1.05, "x"
        ),
        above("what the first 256 GB save over what the next 744 GB save", (bare - some) / (some - much), 1.0, "x"),
    )


def _overlapped(problem: Problem) -> Problem:
    return replace(problem, serving=problem.serving.model_copy(update={"overlap": OVERLAP}))


def _seconds(answers: Answers, topology: str) -> float:
    """Least device time of decode per task for users who see at least the rate [s]."""
    own = answers.where(decode__topology=topology).feasible
    return float(own.column("decode_seconds")[own.column("tokens_per_s_user") >= INTERACTIVITY].min())
