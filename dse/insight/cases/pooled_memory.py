"""Memory behind optical links (Photonic Fabric, arXiv 2507.14000): when a pool pays, and against what."""

from dse.facts.catalog import link, memory
from dse.facts.places import topologies
from dse.facts.problem import Problem, load
from dse.facts.topology.network import load_topology
from dse.facts.topology.reduce import reduce
from dse.insight.cases.answers import Answers
from dse.insight.cases.registry import study
from dse.insight.cases.relation import Relation, above, below, near
from dse.search.scoring.block import OPTICAL_LINK

BARE, INCLUDED, MUCH = 0.0, 256e9, 1e12
"""Host DRAM per accelerator that may hold KV: none, what comes with the host, a terabyte [B]."""

MODULE, REMOTE = "pluggable_800g", "ddr5_rdimm"
"""Module at either end of a link of an electrical network, and the memory at the far end of both paths."""

NETWORKS = (("two_tier", MODULE, 165.0), ("optical_pool", OPTICAL_LINK, 35.0))
"""Wiring, what is at either end of its links, and the published energy of a remote access [pJ/bit]."""

BITS_PER_PICOJOULE = 1e12 / 8
"""Turns J/B into pJ/bit."""

LARGE = (("llama_3_1_405b", "405B", 3.66), ("kimi_k2", "1T", 7.04))
"""Models of the published throughput gains, which are stated as upper ends."""

PORTS_GAP = (
    "ports of 200 GB/s carry what the pool of a KV cache needs, so faster ones only change which mappings are the "
    "cheapest and the most frugal, by half a percent of the devices' time"
)
OPTICS_GAP = (
    "the network card carries what the pool of a KV cache needs (one restore a step), so optics only add cost; they "
    "pay where expert traffic uses them too"
)


def relations(problem: Problem) -> tuple[Relation, ...]:
    """Energy of a remote access, cost per task without over with a pool and optics, throughput of large models."""
    answers = Answers.of(problem)

    def gain(host: float) -> float:
        own = answers.where(decode__host_memory=host)
        return own.where(pool__technology="none").best("cost") / own.best("cost")

    wired, lit = _by_light(answers)
    (copper, published), (light, aimed) = ((_energy(*row[:2]), row[2]) for row in NETWORKS)
    return (
        near("energy of a remote access over two tiers of electrical switches", copper, published, 0.15, "pJ/bit"),
        near("the same over one optical hop", light, aimed, 0.15, "pJ/bit"),
        above("cost per task without over with a pool, no host DRAM", gain(BARE), 1.05, "x"),
        above("the same beside the DRAM that comes with the host", gain(INCLUDED), 1.0, "x"),
        above(
            "what the pool buys falls as host DRAM grows: gain without over gain with 1 TB",
            gain(BARE) / gain(MUCH),
            unit="x",
        ),
        *(
            Relation(
                f"output tokens per device of a {size} model, pool over none: up to {most}",
                _lifted(name),
                1.2,
                most,
                "x",
            )
            for name, size, most in LARGE
        ),
        above(
            "output tokens per device with ports of 800 GB/s over ports of 200 GB/s",
            _ports(answers, 800e9) / _ports(answers, 200e9),
            1.0,
            "x",
            PORTS_GAP,
        ),
        above("cost per task over the network card over cost with optics", wired / lit, 1.0, "x", OPTICS_GAP),
        below("price of optics at which the two are equal, over that of pluggable modules", _even(problem), 1.0, "x"),
    )


def _energy(wiring: str, ends: str) -> float:
    """Energy of a bit from remote memory: both ends of every link on the way, and the memory; switches not counted."""
    found = reduce(load_topology(topologies(study("photonic_pool"), {})[wiring]))
    links = float(found.steps[found.ops.index("p2p")].max())
    end, far = link(ends).energy, memory(REMOTE).energy
    assert end is not None
    assert far is not None
    return (2 * links * end.likely + far.likely) * BITS_PER_PICOJOULE


def _ports(answers: Answers, bandwidth: float) -> float:
    """Most output tokens per second and device with a pool on ports of a bandwidth."""
    pooled = answers.where(optical_bandwidth=bandwidth, pool__technology=("cxl_ddr5", "lpddr5x", "hbf"))
    return pooled.best("output_tokens_per_s_device")


def _by_light(answers: Answers) -> tuple[float, float]:
    """Least cost without and with optical links."""
    return answers.where(optical_bandwidth=0.0).best("cost"), answers.where(optical_bandwidth=(200e9, 800e9)).best(
        "cost"
    )


def _even(problem: Problem) -> float:
    """Price of optics at which they cost what they save, over today's; cost is linear in it on one design."""
    today = problem.prices.optics.likely
    (wired, dear), (_, free) = (
        _by_light(Answers.of(problem.with_values({"prices.optics": price}))) for price in (today, 0.0)
    )
    return max(wired - free, 0.0) / (dear - free)


def _lifted(model: str) -> float:
    """Output tokens per device of a model on H100 without host DRAM, with the best pool over without one."""
    changed = {
        "agents.coding.model": model,
        "prefill.device": "h100_sxm",
        "decode.device": "h100_sxm",
        "decode.host_memory": "0 GB",
        "weight_dtype": "fp8",
        "slo": "{ttft: 10 s, tpot: 100 ms}",
    }
    answers = Answers.of(load(study("photonic_pool"), changed))
    alone = answers.where(pool__technology="none")
    return answers.best("output_tokens_per_s_device") / alone.best("output_tokens_per_s_device")
