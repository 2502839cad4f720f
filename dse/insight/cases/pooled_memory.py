"""Memory behind optical links (Photonic Fabric, arXiv 2507.14000): when a pool pays, and against what."""

from dse.facts.problem import Problem
from dse.insight.cases.answers import Answers
from dse.insight.cases.relation import Relation, above

BARE, INCLUDED, MUCH = 0.0, 256e9, 1e12
"""Host DRAM per accelerator that may hold KV: none, what comes with the host, a terabyte [B]."""

OPTICS_GAP = (
    "the network card carries what the pool of a KV cache needs (one restore a step), so optics only add cost; they "
    "pay where expert traffic uses them too"
)


def relations(problem: Problem) -> tuple[Relation, ...]:
    """Cost per task without over with a pool, for three sizes of host DRAM, and with optics."""
    answers = Answers.of(problem)

    def gain(host: float) -> float:
        own = answers.where(decode__host_memory=host)
        return own.where(pool__technology="none").best("cost") / own.best("cost")

    wired = answers.where(optical_bandwidth=0.0)
    lit = answers.where(optical_bandwidth=(200e9, 800e9))
    return (
        above("cost per task without over with a pool, no host DRAM", gain(BARE), 1.05, "x"),
        above("the same beside the DRAM that comes with the host", gain(INCLUDED), 1.0, "x"),
        above(
            "what the pool buys falls as host DRAM grows: gain without over gain with 1 TB",
            gain(BARE) / gain(MUCH),
            unit="x",
        ),
        above(
            "cost per task over the network card over cost with optics",
            wired.best("cost") / lit.best("cost"),
            1.0,
            "x",
            OPTICS_GAP,
        ),
    )
