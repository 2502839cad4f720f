"""Agent-hardware co-design: context budget, drafting and number formats as levers beside the devices."""

from dse.facts.problem import Problem, load
from dse.insight.cases.answers import Answers
from dse.insight.cases.registry import study
from dse.insight.cases.relation import Relation, above

BUDGETS = (65_536, 131_072, 262_144)
"""Context budgets, from short to what the model can serve [tok]."""


def relations(problem: Problem) -> tuple[Relation, ...]:
    """What each knob does to cost per task and time per token."""
    whole = Answers.of(problem)
    small, middle, large = (_budget(limit) for limit in BUDGETS)
    parts = [whole.where(decode__device=name, prefill__device=name).best("cost") for name in problem.devices]
    plain, drafted = (whole.where(draft_length=length) for length in (0, (2, 4)))
    release, narrow = (whole.where(weight_dtype=name) for name in ("release", "fp8"))
    saved = large.best("cost") / small.best("cost")
    return (
        above("cost per task, context budget of 128K over 64K", middle.best("cost") / small.best("cost"), unit="x"),
        above("the same, 256K over 128K", large.best("cost") / middle.best("cost"), unit="x"),
        above("what the budget moves over what the choice of part moves", saved / (max(parts) / min(parts)), 1.0, "x"),
        above(
            "time per token without drafting over with, at best", plain.best("tpot") / drafted.best("tpot"), 1.1, "x"
        ),
        above("cost per task, release format over fp8", release.best("cost") / narrow.best("cost"), 1.0, "x"),
        Relation(
            "accuracy kept by fp8, percent of the release, as the vendor states", narrow.best("quality"), 99, 100, "%"
        ),
    )


def _budget(limit: int) -> Answers:
    """The same study with a smaller context budget, compaction included."""
    return Answers.of(load(study("codesign_agent"), {"agents.coding.context_budget": str(limit)}))
