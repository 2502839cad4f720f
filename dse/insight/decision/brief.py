"""The decision brief of a run as data: question, answer, three systems, what could overturn it, what it rests on.

Every sentence is made from numbers of the run and keeps them beside its text.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np

from dse.arrays import FloatArray
from dse.facts.problem import Problem
from dse.insight import money, wording
from dse.insight.bill import Input, bill
from dse.insight.case import Case, case
from dse.insight.decision import deployment, materials, overturn, robustness, unknowns
from dse.insight.decision.materials import Materials
from dse.insight.decision.overturn import Swing
from dse.insight.decision.robustness import Robustness
from dse.insight.decision.said import Said, Value, count, metric, percent, quoted, said
from dse.insight.decision.unknowns import Importance
from dse.insight.explain import design_of
from dse.insight.runs import Opened
from dse.insight.sensitivity import elasticity
from dse.insight.sensitivity.elasticity import Effect
from dse.insight.shortlist import KNEE, MIXING, SCORED
from dse.insight.verdict import SMALL_GAIN, Limit, heterogeneity, limits, used
from dse.search.bounds.certificate import stated
from dse.search.evaluation import Evaluator
from dse.search.fidelity.constants import band_of, constants

CANDIDATES = 3
"""Systems in a brief."""

LOADS = tuple(float(step * 10**power) for power in range(5) for step in (1, 2, 5))
"""Round loads to choose from [task/s]."""

ROUNDING = 0.1
"""A load is large enough if whole instances cost at most this part more than fluid ones [1]."""

SWINGS, EFFECTS = 6, 5
"""Unknowns and specifications listed."""

NEAREST_LIMITS = 2
"""Limits named per candidate."""


class Candidate(NamedTuple):
    """One system of the brief."""

    name: str
    """Letter or id."""
    row: int
    reason: str
    design: str
    extras: tuple[str, ...]
    metrics: dict[str, float]
    """Objectives and latencies in SI."""
    feasible: float
    """Share of samples in which it meets every requirement [1]."""
    front: float
    """Share of samples in which it is on the front [1]."""
    limits: tuple[Limit, ...]
    bill: Materials
    money: dict[str, float]
    """Part of the price -> $/h of the whole system."""
    inputs: tuple[Input, ...]
    sketch: str | None
    """Deployment as YAML; None where a device cannot be had."""


@dataclass(frozen=True)
class Brief:
    """Everything that the document says."""

    problem: Problem
    name: str
    """Of the run."""
    summary: dict[str, Any]
    manifest: dict[str, Any]
    candidates: tuple[Candidate, ...]
    chosen: int
    """Place of the recommended candidate."""
    answer: tuple[Said, ...]
    robust: Robustness
    swings: tuple[Swing, ...]
    """Of the recommended candidate, those that overturn it first."""
    effects: tuple[Effect, ...]
    """Of a step of a specification on the recommended candidate."""
    importance: Importance
    overturned: tuple[Said, ...]
    rests: tuple[Said, ...]
    measure: Said
    cloud: FloatArray
    """(n, 2) listed designs in the first two objectives, SI."""

    @property
    def units(self) -> dict[str, str]:
        """Metric -> SI unit."""
        goals = {goal.column: goal.unit for goal in self.problem.objectives}
        return {name: goals.get(name) or _unit(name) for name in self.candidates[0].metrics}

    def sentences(self) -> tuple[Said, ...]:
        """All sentences."""
        return (*self.answer, *self.overturned, *self.rests, self.measure)

    def json(self) -> dict[str, Any]:
        """For programs."""
        return {
            "study": self.problem.name,
            "question": self.problem.question,
            "prices": self.problem.prices.date,
            "recommended": self.candidates[self.chosen].name,
            "sentences": [item._asdict() for item in self.sentences()],
            "candidates": [
                {
                    **item._asdict(),
                    "limits": [limit._asdict() for limit in item.limits],
                    "bill": item.bill.json(),
                    "inputs": len(item.inputs),
                    "estimates": sum(line.estimate for line in item.inputs),
                }
                for item in self.candidates
            ],
            "swings": [
                {"path": swing.unknown.path, "label": swing.unknown.label, "overturns": swing.overturns}
                | {"low": swing.low._asdict(), "high": swing.high._asdict()}
                for swing in self.swings
            ],
            "importance": self.importance.json(),
        }


def brief(opened: Opened, names: Sequence[str] = (), load: float | None = None) -> Brief:
    """Brief of a run with feasible designs.

    Parameters
    ----------
    opened : Opened               run
    names : sequence of str       candidates by letter or id, the recommended one first; otherwise the cheapest, the
                                  best in the second objective and, recommended, the balanced one most on the front
    load : float or None          tasks per second of the bills of materials; a round one otherwise [task/s]
    """
    from dse.insight.runs import row_of

    own = robustness.robustness(opened)
    rows = [row_of(opened, name) for name in names] or _rows(opened, own)
    evaluator = Evaluator.of(opened.problem)
    cases = [case(evaluator, design_of(opened, row), opened.front.mapping(row)) for row in rows]
    size = load or opened.problem.load or _load(cases)
    candidates = tuple(_candidate(opened, row, item, own, size) for row, item in zip(rows, cases, strict=True))
    fittest = max(range(len(rows)), key=lambda place: (_balanced(opened, rows[place]), candidates[place].front))
    chosen = 0 if names else fittest
    row = rows[chosen]
    swings = _ranked(overturn.swings(opened, [row])[row])
    importance = unknowns.importance(opened, (row,))
    designs = design_of(opened, row)
    goals = opened.front.question.goals
    found = elasticity.tornado(evaluator, cases[chosen], designs, goals).effects
    effects = [effect for effect in found if effect.name.startswith("devices.") and not _is_price(effect.name)]
    listed = np.asarray(own.rows)
    columns = [opened.front.archive.metrics.columns[goal.name][listed] for goal in goals[:2]]
    return Brief(
        problem=opened.problem,
        name=opened.run.folder.name,
        summary=dict(opened.run.summary),
        manifest=dict(opened.run.manifest),
        candidates=candidates,
        chosen=chosen,
        answer=tuple(_answer(opened, candidates, chosen, own)),
        robust=own,
        swings=swings,
        effects=tuple(effects[:EFFECTS]),
        importance=importance,
        overturned=tuple(_overturned(opened, candidates[chosen], swings)),
        rests=tuple(_rests(opened, candidates[chosen])),
        measure=_measure(candidates[chosen], importance),
        cloud=np.stack(columns, axis=1),
    )


def _rows(opened: Opened, own: Robustness) -> list[int]:
    """The cheapest design, the balanced one most often on the front, then designs of other architectures."""
    picks, archive = opened.picks, opened.front.archive
    knees = [pick.row for pick in picks if KNEE in pick.reason] or [pick.row for pick in picks]
    balanced = sorted(knees, key=lambda row: -own.front[own.place(row)])
    best = [int(np.argmin(archive.scores[:, column])) for column in range(archive.scores.shape[1])]
    wanted = list(dict.fromkeys([best[0], balanced[0]]))
    rest = [row for row in dict.fromkeys([*best[1:2], *balanced[1:], *best[2:]]) if row not in wanted]
    known = {archive.rows[row].tobytes() for row in wanted}
    # One architecture with two mappings is one system, so others come first.
    rest.sort(key=lambda row: archive.rows[row].tobytes() in known)
    return sorted([*wanted, *rest][:CANDIDATES])


def _is_price(name: str) -> bool:
    return name.endswith(".price") or ".tco." in name


def _balanced(opened: Opened, row: int) -> bool:
    return any(pick.row == row and KNEE in pick.reason for pick in opened.picks)


def _load(cases: Sequence[Case]) -> float:
    """Least round load at which whole instances of every candidate cost little more than fluid ones [task/s]."""
    for load in LOADS:
        if all(materials.materials(item, load).cost <= (1 + ROUNDING) * item.value("cost") for item in cases):
            return load
    return LOADS[-1]


def _candidate(opened: Opened, row: int, own: Case, robust: Robustness, load: float) -> Candidate:
    front, problem = opened.front, opened.problem
    pick = next((pick for pick in opened.picks if pick.row == row), None)
    name = pick.letter if pick else front.ids[row]
    agents, short = [agent.name for agent in problem.agents], wording.short_names(problem.devices)
    names = [goal.name for goal in front.question.goals]
    names += [metric for metric in ("ttft_p95", "tpot", "task_latency") if metric not in names]
    made = materials.materials(own, load)
    note = f"{problem.name}, analytic estimate, prices {problem.prices.date}"
    return Candidate(
        name=name,
        row=row,
        reason=pick.reason if pick else "named",
        design=wording.design(front.levers(row), front.mapping(row), agents, short),
        extras=tuple(wording.extras(front.levers(row))),
        metrics={metric: own.value(metric) for metric in names},
        feasible=float(robust.feasible[robust.place(row)]),
        front=float(robust.front[robust.place(row)]),
        limits=tuple(limits(own.metrics.columns, 0)[:NEAREST_LIMITS]),
        bill=made,
        money=_money(opened, row, own, made),
        inputs=tuple(bill(own)),
        sketch=deployment.sketch(own, made, f"{opened.run.folder.name}:{front.ids[row]}", note),
    )


def _money(opened: Opened, row: int, own: Case, made: Materials) -> dict[str, float]:
    """Part of the price -> $/h of the whole system, the largest first; the parts of attention devices are not split."""
    designs = design_of(opened, row)
    found: dict[str, float] = {}
    for part in made.parts:
        role = "prefill" if part.role == "prefill" else "decode"
        item = next(item for item in own.classes if item.name == part.agent)
        option = 1 if part.role == "attention" else item.mapping[f"{role}.type"]
        split = money.hourly(own, designs, role, option)
        owner = (role == "prefill") == (item.home == "prefill" and not item.colocated)
        split["pool memory"] *= owner
        whole = sum(split.values())
        for name, rate in split.items():
            word = "accelerators" if name == "device" else name
            found[word] = found.get(word, 0.0) + part.hourly * rate / whole
    return dict(sorted(found.items(), key=lambda item: -item[1]))


def _answer(opened: Opened, candidates: Sequence[Candidate], chosen: int, robust: Robustness) -> list[Said]:
    """What to build, what it gives up, what heterogeneity buys, what binds, how sure."""
    own, question = candidates[chosen], opened.front.question
    goals = question.goals
    stated = [metric(goal.name, goal.unit, own.metrics[goal.name]) for goal in goals]
    holes = ", ".join("{}" for _ in stated)
    made = [said("answer", f"Build {{}}: {{}}. It delivers {holes}.", own.name, own.design, *stated)]
    if _balanced(opened, own.row):
        text = "Of the balanced designs it is the one most often on the front, {} of the samples."
        made.append(said("why", text, percent(own.front)))
    scores = opened.front.archive.scores
    parts: list[Value | str] = []
    for column, goal in enumerate(goals):
        loss = 10.0 ** float(scores[own.row, column] - scores[:, column].min()) - 1
        if loss > SMALL_GAIN:
            behind = percent(loss) if loss < 1 else Value(1 + loss, f"a factor {wording.number(1 + loss)}")
            parts += [behind, f"behind the best {wording.metric_name(goal.name)}"]
    if parts:
        pairs = ", ".join("{} {}" for _ in range(len(parts) // 2))
        made.append(said("trade-off", f"It is {pairs} of the front; no design is better in everything.", *parts))
    idle = [name for name in robustness.devices_of(opened.front, [own.row]) if name not in own.bill.by_type]
    if idle:
        made.append(said("unused", "No class of agents runs on its {}: the bill has none.", wording.listed(idle)))
    mixed = heterogeneity(opened.front, opened.picks, opened.run.summary)[0].text
    gains = opened.run.summary.get("heterogeneity", {})
    numbers = [float(factor) for factor in gains.values()]
    told = [1 - 1 / factor for factor in numbers] + [*numbers, *_doubted(opened.run.summary)]
    mixes = sum(len(set(candidate.bill.by_type)) > 1 for candidate in candidates)
    made.append(Said("heterogeneity", f"Mixing device types {mixed}.", (*told, *_lettered(opened), float(mixes))))
    near = own.limits[0]
    text = "The nearest limit is {}, {} away; every requirement is met in {} of {} samples of what is not known."
    made.append(said("what binds", text, near.name, percent(near.slack), percent(own.feasible), count(robust.samples)))
    return made


def _doubted(summary: Mapping[str, Any]) -> list[float]:
    """Numbers of how likely a gain is, and of how many systems it is held against."""
    found = summary.get(MIXING, {"objectives": {}})
    shares = [item["likely"] for item in found["objectives"].values()]
    return [*shares, found.get("samples", 0.0), found.get("threshold", 0.0), summary.get(SCORED, 0.0)]


def _lettered(opened: Opened) -> tuple[float, float]:
    """Lettered designs that mix devices, and all of them."""
    picks = opened.picks
    mixed = [pick for pick in picks if len(used(opened.front, pick.row)) > 1]
    return float(len(mixed)), float(len(picks))


def _ranked(found: Sequence[Swing]) -> tuple[Swing, ...]:
    """Unknowns that overturn first, then the others, each by size."""
    return tuple(sorted(found, key=lambda swing: (not swing.overturns, -swing.size))[:SWINGS])


def _overturned(opened: Opened, own: Candidate, swings: Sequence[Swing]) -> list[Said]:
    """Whether a single unknown can overturn the answer."""
    bad = [swing for swing in swings if swing.overturns]
    front = said(
        "all at once",
        "With all unknowns drawn together, {} meets every requirement in {} and is on the front in {} of the samples.",
        own.name,
        percent(own.feasible),
        percent(own.front),
    )
    if not bad:
        return [said("one at a time", "No unknown alone overturns {} within its range.", own.name), front]
    worst = max(bad, key=lambda swing: max(swing.low.behind, swing.high.behind))
    behind = max(worst.low.behind, worst.high.behind)
    names = wording.listed([swing.unknown.label for swing in bad])
    text = "Alone, {} can overturn {}; beaten at an end of its range, it is at most {} behind."
    if any(not end.feasible for swing in bad for end in (swing.low, swing.high)):
        text += " Where it misses a requirement, a mapping with more slack on the same devices is on the front."
    return [said("one at a time", text, names, own.name, percent(behind)), front]


def _rests(opened: Opened, own: Candidate) -> list[Said]:
    """Model error and estimated inputs."""
    made = []
    for phase, words in (("prefill", "a prefill pass"), ("decode", "a decode step")):
        low, high = band_of("prefill" if phase == "prefill" else "decode")
        text = "Two thirds of measured times of {} on devices left out of the fit are {} to {} the prediction."
        made.append(said("model", text, words, Value(low, f"{low:.2f}x"), Value(high, f"{high:.2f}x")))
    guessed = [line for line in own.inputs if line.estimate]
    prices = list(dict.fromkeys(line.name.split(".")[1] for line in guessed if _is_price(line.name)))
    fitted = set(constants().devices)
    strange = [name for name in own.bill.by_type if name not in fitted]
    made.append(
        said(
            "inputs", "{} of the {} inputs of {} are estimates.", count(len(guessed)), count(len(own.inputs)), own.name
        )
    )
    if prices:
        text = "The prices of {} are estimates, dated {}."
        made.append(said("prices", text, wording.listed(prices), opened.problem.prices.date))
    if strange:
        text = "The time model was fitted on {}; its constants stand in for {}."
        made.append(said("validity", text, wording.listed(sorted(fitted)), wording.listed(strange)))
    exact = "The front is exact." if opened.run.summary.get("exhaustive") else _proved(opened)
    scored = said("search", "{} designs were scored. {}", count(int(opened.run.summary.get("evaluations", 0))), exact)
    return [*made, scored._replace(numbers=(*scored.numbers, *quoted(exact)))]


def _proved(opened: Opened) -> str:
    """What the certificate of a run says, in the words of the verdict."""
    found = stated(opened.run.folder, opened.front.archive.scores)
    return f"{found[0].upper()}{found[1:]}." if found else "The front is the best found, not proven."


def _measure(own: Candidate, found: Importance) -> Said:
    """The measurement that would narrow the result most."""
    best = unknowns.next_measurement(found)
    if best is None:
        return said("next", "No estimate is left that could be found out.")
    row = found.unknowns.index(best)
    column = int(np.argmax(found.effect[row]))
    text = "Find out the {} first ({}): alone it moves the {} of {} by {} (1 σ), {} of its variance."
    goal = wording.metric_name(found.goals[column].name)
    effect, share = float(found.effect[row, column]), float(found.by_goal[row, column])
    advice = f"{unknowns.ADVICE[best.kind]}; known now: {best.words()}"
    numbers = (best.range.low, best.range.high, best.range.likely)
    made = said("next", text, best.label, advice, goal, own.name, percent(effect), percent(min(share, 1.0)))
    return made._replace(numbers=(*made.numbers, *numbers))


def _unit(name: str) -> str:
    from dse.facts.metrics import METRICS

    return METRICS[name.rsplit(".", 1)[-1]].unit
