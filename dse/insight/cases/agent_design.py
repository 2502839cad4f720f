"""Agent-hardware co-design: context budget, sub-agents, drafting and formats as levers beside the devices."""

from dse.facts.problem import Problem, load
from dse.insight.cases.answers import Answers
from dse.insight.cases.registry import study
from dse.insight.cases.relation import Relation, above

BUDGETS = (65_536, 131_072, 262_144)
"""Context budgets, from short to what the model can serve [tok]."""


CREW = 4
"""Sub-agents of the comparison; the source runs three to five."""

SCORED, LEAST = "qwen3_235b_a22b", 97.0
"""Model whose accuracy with a narrower cache is published, and the accuracy demanded [percent of the release]."""

MORE_GAP = (
    "here the calls of one agent are dealt out; the source's sub-agents explore more than one agent would, which no "
    "published trace shows"
)


def relations(problem: Problem) -> tuple[Relation, ...]:
    """What each knob does to cost per task and time per token."""
    whole = Answers.of(problem)
    small, middle, large = (_budget(limit) for limit in BUDGETS)
    parts = [whole.where(decode__device=name, prefill__device=name).best("cost") for name in problem.devices]
    plain, drafted = (whole.where(draft_length=length) for length in (0, (2, 4)))
    release, narrow = (whole.where(weight_dtype=name) for name in ("release", "fp8"))
    crew = load(study("codesign_agent"), {"agents.coding.subagents": f"{{count: {CREW}}}"})
    alone, shared = (one.agents[0].workload for one in (problem, crew))
    dealt = Answers.of(crew)
    beside = dealt.best("task_latency") * shared.path_steps / shared.steps
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
        Relation(
            "share of a task's model time that four parallel sub-agents save: up to 90 %",
            1 - beside / whole.best("task_latency"),
            0.5,
            0.9,
            trend=True,
        ),
        above("mean context of a call, one agent over four", alone.served.context / shared.served.context),
        above("fresh tokens of a call, four over one: each reads its brief", shared.served.fresh / alone.served.fresh),
        above("cost per task, one agent over four", whole.best("cost") / dealt.best("cost"), unit="x"),
        Relation(
            "output tokens of a task, four over one: 15 over 4 times a chat's",
            shared.steps * shared.served.output / (alone.steps * alone.served.output),
            3.0,
            4.5,
            "x",
            gap=MORE_GAP,
        ),
        *_constrained(narrow.best("cost")),
    )


def _constrained(coder: float) -> tuple[Relation, ...]:
    """Cache formats of another model, whose accuracy is published, without and with a demand on it."""
    changed = {"agents.coding.model": SCORED, "levers.kv_dtype": "[bf16, fp8, fp4]", "levers.weight_dtype": "[fp8]"}
    answers = Answers.of(load(study("codesign_agent"), changed))
    kept = [name for name in ("bf16", "fp8", "fp4") if answers.where(kv_dtype=name).best("quality") >= LEAST]
    held = answers.rows(answers.column("quality") >= LEAST)
    plain = answers.where(kv_dtype="bf16").best("cost")
    return (
        above("cost per task in fp8, Qwen3-Coder-480B over Qwen3-235B on the same sessions", coder / plain, unit="x"),
        above("cost per task on Qwen3-235B, cache in bf16 over any of three formats", plain / answers.best("cost")),
        Relation(
            "of these, formats that keep 97 % by published scores (97.9 % in fp8, 91.9 % in fp4)", len(kept), 2, 2
        ),
        above("cost per task with 97 % demanded over without", held.best("cost") / answers.best("cost")),
    )


def _budget(limit: int) -> Answers:
    """The same study with a smaller context budget, compaction included."""
    return Answers.of(load(study("codesign_agent"), {"agents.coding.context_budget": str(limit)}))
