"""The answer in sentences, each made from numbers of the run: what is best, what heterogeneity buys, what binds."""

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from dse.facts.devices import Accelerator
from dse.facts.problem import Problem
from dse.insight import wording
from dse.insight.shortlist import KNEE, MIXING, SCORED, Pick, picked
from dse.search.axes import NEUTRAL
from dse.search.bounds.certificate import stated
from dse.search.fidelity.constants import band_of
from dse.search.frontier import INERT, ParetoSet
from dse.search.runs.run import Run

CLOSE = 0.05
"""A limit nearer than this is said to bind [1]."""

SMALL_GAIN = 0.01
"""Gains below this are called a tie: the model is not that exact [1]."""

LIMITS = {
    "slack_capacity": "device memory",
    "slack_pool": "pool memory",
    "slack_ttft": "the TTFT target",
    "slack_tpot": "the TPOT target",
    "slack_latency": "the step latency target",
    "slack_prefill_stacks": "memory stacks of the prefill part",
    "slack_decode_stacks": "memory stacks of the decode part",
    "slack_prefill_optics": "optical ports of the prefill topology",
    "slack_decode_optics": "optical ports of the decode topology",
    "slack_offload": "a second device for offloaded attention",
}
"""Slack column -> what it limits."""

SOFT = frozenset({"slack_pool"})
"""Slacks that are zero where the thing does not exist."""


class Sentence(NamedTuple):
    """One line of the verdict."""

    subject: str
    text: str


class Limit(NamedTuple):
    """Distance to one limit."""

    name: str
    """In words."""
    slack: float
    """Part of the limit that is left; negative where it is violated [1]."""


def verdict(problem: Problem, run: Run) -> list[Sentence]:
    """Sentences of a run, the most important first."""
    front = run.front()
    if len(front) == 0:
        return infeasible(problem, run)
    picks = picked(front, run.summary)
    said = [_best(problem, front, pick) for pick in picks if pick.reason != KNEE][: len(front.question.goals)]
    said += [_best(problem, front, pick) for pick in picks if pick.reason == KNEE][:1]
    said += heterogeneity(front, picks, run.summary)
    said += [binding(front, pick) for pick in picks[:1]]
    said += settled(run.summary.get("settled", []))
    said += ties(front, picks)
    said += seconded(run.summary.get("external"))
    return [*said, confidence(problem, run)]


def ties(front: ParetoSet, picks: Sequence[Pick]) -> list[Sentence]:
    """Neighbours of the list whose objectives differ by less than the model's error on unseen devices."""
    low, high = band_of("decode")
    scores = 10.0 ** front.archive.scores[[pick.row for pick in picks]]
    near = [
        f"{one.letter} ≈ {two.letter}"
        for one, two, ratio in zip(picks[:-1], picks[1:], scores[1:] / scores[:-1], strict=True)
        if (ratio >= low).all() and (ratio <= high).all()
    ]
    error = f"model error on unseen devices {wording.band(low, high)} of a decode step"
    return [Sentence("ties", f"{', '.join(near)} ({error})")] if near else [Sentence("ties", f"none ({error})")]


def seconded(facts: Mapping[str, Any] | None) -> list[Sentence]:
    """What a program or the replay says of the promising designs, beside the model and never mixed with it."""
    if not facts:
        return []
    scored = facts["asked"] - facts["failed"]
    text = f"{scored} of {facts['asked']} promising designs scored by the {facts.get('by', 'program')}"
    ratios = [f"{wording.metric_name(name)} {wording.number(ratio)}" for name, ratio in facts["ratio"].items()]
    text += (
        f"; median over the model: {wording.listed(ratios)}; {len(facts['front'])} stay on its front" if ratios else ""
    )
    return [Sentence("second look", f"{text} (external.csv)")]


def limits(columns: Mapping[str, Any], row: int) -> list[Limit]:
    """Distance of one row to every limit, the nearest first; limits that do not apply are left out."""
    found = []
    for name, values in columns.items():
        agent, _, last = name.rpartition(".")
        if not last.startswith("slack_"):
            continue
        slack = float(values[row])
        hardware = last.startswith(("slack_prefill_", "slack_decode_", "slack_offload"))
        if (hardware or last in SOFT) and slack == 0:
            continue
        what = LIMITS.get(last) or f"the limit on {wording.metric_name(last.removeprefix('slack_'))}"
        found.append(Limit(f"{what}{f' of {agent}' if agent else ''}", slack))
    return sorted(found, key=lambda limit: limit.slack)


def heterogeneity(front: ParetoSet, picks: Sequence[Pick], summary: Mapping[str, Any]) -> list[Sentence]:
    """What several device types buy against the best system of one type, objective by objective."""
    gains: Mapping[str, float] = summary.get("heterogeneity", {})
    if not gains:
        scored = f"none of the {summary.get('evaluations', 0):,} scored designs"
        return [Sentence("heterogeneity", f"cannot be told: {scored} with one device type meets every requirement")]
    parts = [_gain(name, factor) for name, factor in gains.items() if factor > 1 + SMALL_GAIN]
    ties = [_noun(name) for name, factor in gains.items() if factor <= 1 + SMALL_GAIN]
    if not parts:
        text = f"buys nothing here: one device type does as well in {wording.listed(ties)}{_doubted(summary)}"
        return [Sentence("heterogeneity", text)]
    mixed = sum(len(used(front, pick.row)) > 1 for pick in picks)
    single = summary.get(SCORED)
    against = f"the best of {single:,} systems" if single else "the best system"
    text = f"{wording.listed(parts)} against {against} of one device type"
    text += f"; no gain in {wording.listed(ties)}" if ties else ""
    text += f" ({mixed} of {len(picks)} lettered designs mix devices){_doubted(summary)}"
    return [Sentence("heterogeneity", f"buys {text}")]


def _doubted(summary: Mapping[str, Any]) -> str:
    return f"; {unsure(summary[MIXING])}" if MIXING in summary else ""


def unsure(found: Mapping[str, Any]) -> str:
    """How often mixing gains something worth having when prices, times and shares are not what was thought.

    >>> unsure({"threshold": 0.05, "samples": 256, "objectives": {"cost": {"likely": 0.71}, "latency": {"likely": 0}}})
    'a gain of more than 5 % in 71 % (cost) and 0 % (latency) of 256 samples of what is not known'
    """
    parts = [f"{wording.percent(item['likely'])} ({_noun(name)})" for name, item in found["objectives"].items()]
    return (
        f"a gain of more than {wording.percent(found['threshold'])} in {wording.listed(parts)} of {found['samples']} "
        "samples of what is not known"
    )


def _gain(name: str, factor: float) -> str:
    saved = wording.percent(1 - 1 / factor)
    words = {
        "cost": f"{saved} lower cost per task",
        "cost_per_mtok": f"{saved} cheaper tokens",
        "throughput": f"{wording.number(factor)}x the tasks per megawatt",
        "latency": f"{saved} less latency",
    }
    return words.get(name, f"{wording.number(factor)}x better {wording.metric_name(name)}")


def _noun(name: str) -> str:
    return {"cost": "cost", "throughput": "tasks per megawatt", "latency": "latency"}.get(
        name, wording.metric_name(name)
    )


def binding(front: ParetoSet, pick: Pick) -> Sentence:
    """What stops one design from being better."""
    columns = front.archive.metrics.columns
    found = limits(columns, pick.row)
    near = [f"{limit.name} ({wording.percent(limit.slack)} left)" for limit in found if limit.slack < CLOSE]
    following = [limit for limit in found if limit.slack >= CLOSE][:1]
    text = f"{pick.letter}: {wording.listed(near) if near else f'no limit within {wording.percent(CLOSE)}'}"
    text += "".join(f"; next {limit.name}, {wording.percent(limit.slack)} away" for limit in following)
    decode = float(columns["decode_cost"][pick.row]) / float(columns["cost"][pick.row])
    return Sentence("what binds", f"{text}; decode is {wording.percent(decode)} of the cost")


def settled(found: Sequence[Mapping[str, Any]]) -> list[Sentence]:
    """Levers that take one value on the whole front."""
    words = []
    for item in found:
        loss = item.get("loss")
        value, other = (wording.lever_word(item["lever"], item[key]) for key in ("value", "next"))
        why = f"{other} is {wording.percent(loss)} behind" if loss is not None else "the rest is infeasible"
        words.append(f"{item['lever']} = {value} ({why})")
    return [Sentence("settled", "; ".join(words))] if words else []


def confidence(problem: Problem, run: Run) -> Sentence:
    """How the front was found, and how much of it rests on estimates."""
    front = run.front()
    kinds = sorted({kind for pick in picked(front, run.summary) for kind in used(front, pick.row)})
    guessed = sum(_estimated(problem.devices[kind]) for kind in kinds)
    proved = stated(run.folder, run.archive.scores) or "best found, not proven"
    exact = "exact front of the space" if run.summary.get("exhaustive") else proved
    text = f"{exact}; {guessed} of {len(kinds)} device prices in the lettered designs are estimates"
    return Sentence("confidence", f"{text}; analytic estimate, prices {problem.prices.date}")


def infeasible(problem: Problem, run: Run) -> list[Sentence]:
    """Nearest design of a study without a feasible one, what it misses, and the smallest relaxation."""
    nearest = run.summary.get("nearest") or {}
    agents = [agent.name for agent in problem.agents]
    said = [Sentence("infeasible", f"none of {run.summary.get('evaluations', 0):,} designs meets every requirement")]
    if not nearest:
        return said
    said.append(Sentence("nearest", wording.design(nearest["levers"], nearest["mapping"], agents)))
    for name, slack in sorted(nearest["missed"].items(), key=lambda item: item[1]):
        agent, _, last = name.rpartition(".")
        what = LIMITS.get(last) or f"the limit on {wording.metric_name(last.removeprefix('slack_'))}"
        said.append(Sentence("misses", f"{what}{f' of {agent}' if agent else ''} by {wording.excess(-slack)}"))
    return [*said, *_relaxation(nearest)]


def _relaxation(nearest: Mapping[str, Any]) -> list[Sentence]:
    """What each limit alone would take, and the least of it as an option to type."""
    found = nearest.get("relaxations", ())
    helping = [item["set"] for item in found if item["set"]]
    said = [Sentence("relax", item["sentence"]) for item in found if item["set"]]
    vain = [item["limit"] for item in found if not item["set"]]
    said += [Sentence("relax", f"not enough by itself: {wording.listed(vain)}")] if vain else []
    options = helping[:1] or nearest.get("together", ())
    said += [Sentence("widen", hint) for hint in nearest.get("hints", ())]
    return said + [Sentence("try", " ".join(map(_option, options)))] * bool(options)


def _option(change: str) -> str:
    """Change as an option for a shell.

    >>> _option("slo.tpot=20 ms")
    '--set "slo.tpot=20 ms"'
    """
    quote = "'" if '"' in change else '"'
    return f"--set {quote}{change}{quote}"


def _best(problem: Problem, front: ParetoSet, pick: Pick) -> Sentence:
    """Numbers of one design."""
    question, columns = front.question, front.archive.metrics.columns
    names = [goal.name for goal in question.goals]
    names += [name for name in ("ttft_p95", "tpot") if name not in names]
    said = [wording.metric(name, question.unit(name), float(columns[name][pick.row])) for name in names]
    agents, short = [agent.name for agent in problem.agents], wording.short_names(problem.devices)
    design = wording.design(front.levers(pick.row), front.mapping(pick.row), agents, short)
    first, _, rest = pick.reason.partition(", ")
    also = f" (also {rest})" if rest else ""
    return Sentence(first, f"{pick.letter}{also}: {design}: {', '.join(said)}")


def used(front: ParetoSet, row: int) -> set[str]:
    """Device types on which some class of agents runs; a second type that no class takes is not bought."""
    levers, mapping = front.levers(row), front.mapping(row)
    found = set()
    for pool in ("prefill", "decode"):
        taken = {code for name, code in mapping.items() if name.endswith(f".{pool}.type")}
        if pool == "decode" and levers.get("serving") == "attention_offload":
            taken = {0, 1}  # attention runs on the second type, the rest on the first
        kinds = [levers.get(f"{pool}.{name}", NEUTRAL) for name in ("device", "second_device")]
        found |= {str(kind) for place, kind in enumerate(kinds) if place in taken}
    return found - {NEUTRAL, INERT}


def _estimated(device: Accelerator) -> bool:
    return device.price is None or device.price.estimate
