"""Why a design is what it is: every term with formula and inputs, every limit with its distance, every source."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from dse.facts import levers
from dse.facts.errors import Mistake, SpecError
from dse.facts.metrics import METRICS
from dse.facts.problem import Problem, load
from dse.insight import memory, money, timing, wording
from dse.insight.bill import Input, bill
from dse.insight.case import Case, ClassCase, case, decode_phase, prefill_phase
from dse.insight.memory import Regime
from dse.insight.runs import Opened
from dse.insight.sensitivity.elasticity import Tornado, tornado
from dse.insight.terms import Section, Term
from dse.insight.verdict import Limit, limits
from dse.search.ask import ask
from dse.search.axes import Designs
from dse.search.evaluation import Evaluator
from dse.search.runs import run as folders


@dataclass(frozen=True)
class ClassExplanation:
    """One class of agents on a design."""

    name: str
    mapping: str
    """In words."""
    sections: Mapping[str, Section]
    """tpot, decode_operators, ttft, step, kv, decode_memory, prefill_memory, cost."""
    regimes: tuple[Regime, ...]


@dataclass(frozen=True)
class Explanation:
    """One design, term by term."""

    name: str
    """As it was asked for."""
    design: str
    """In words."""
    extras: tuple[str, ...]
    """What it adds to the stock parts."""
    levers: Mapping[str, str | float | int]
    metrics: tuple[Term, ...]
    """Objectives and latencies of the whole study."""
    limits: tuple[Limit, ...]
    """The nearest first."""
    classes: tuple[ClassExplanation, ...]
    inputs: tuple[Input, ...]
    prices: str
    """Date of the prices."""
    notes: tuple[str, ...] = ()
    effects: Tornado | None = None
    """What a step of each input does; None where it was not asked for."""

    def json(self) -> dict[str, Any]:
        """For programs."""
        return asdict(self) | {
            "metrics": {term.name: {"value": term.value, "unit": term.unit} for term in self.metrics},
            "limits": [limit._asdict() for limit in self.limits],
            "inputs": [line._asdict() for line in self.inputs],
            "effects": self.effects.json() if self.effects else None,
            "classes": {own.name: _class_json(own) for own in self.classes},
        }


@dataclass(frozen=True)
class Change:
    """A design before and after a change of its inputs."""

    what: str
    before: Explanation
    after: Explanation

    def json(self) -> dict[str, Any]:
        """For programs."""
        pairs = {
            old.name: (old.value, new.value) for old, new in zip(self.before.metrics, self.after.metrics, strict=True)
        }
        rows = {
            name: {"before": old, "after": new, "ratio": new / old if old else None}
            for name, (old, new) in pairs.items()
        }
        return {"change": self.what, "metrics": rows, "before": self.before.json(), "after": self.after.json()}


def explain(opened: Opened, row: int, name: str, effects: bool = False) -> Explanation:
    """Explanation of one row of a run, on request with the effect of a step of every number it rests on."""
    front = opened.front
    designs = design_of(opened, row)
    evaluator = Evaluator.of(opened.problem)
    made = explanation(evaluator, designs, front.mapping(row), name)
    stored = front.objectives(row)
    notes = [] if made.case.kept else ["the stored mapping is no longer offered: the cheapest feasible one is shown"]
    for goal in front.question.goals:
        now = made.case.value(goal.name)
        before = float(front.archive.metrics.columns[goal.name][row])
        if abs(now / before - 1) > wording.TIE:
            unit = wording.display(goal.name, goal.unit).name
            then = f"the run stored {goal.name} {wording.number(stored[goal.name])} {unit}"
            notes.append(f"{then}: model or catalog have changed since")
    own = made.explanation(tuple(notes))
    if not effects:
        return own
    return replace(own, effects=tornado(evaluator, made.case, designs, front.question.goals))


def design_of(opened: Opened, row: int) -> Designs:
    """Architecture of one row of a run."""
    names = tuple(axis.name for axis in opened.run.question.space.axes)
    return Designs(opened.front.archive.rows[row : row + 1].copy(), names)


@dataclass(frozen=True)
class Made:
    """A case with what is needed to put it into words."""

    case: Case
    designs: Designs
    name: str

    def explanation(self, notes: tuple[str, ...] = ()) -> Explanation:
        """Explanation of the case."""
        own, problem = self.case, self.case.plan.problem
        agents = [agent.name for agent in problem.agents]
        mapping = {name: int(values[0]) for name, values in own.metrics.mapping.items()}
        return Explanation(
            name=self.name,
            design=wording.design(own.levers, mapping, agents),
            extras=tuple(wording.extras(own.levers)),
            levers=own.levers,
            metrics=tuple(_metrics(own)),
            limits=tuple(limits(own.metrics.columns, 0)),
            classes=tuple(_class(own, self.designs, item) for item in own.classes),
            inputs=tuple(bill(own)),
            prices=problem.prices.date,
            notes=notes,
        )


def explanation(evaluator: Evaluator, designs: Designs, mapping: Mapping[str, int], name: str) -> Made:
    """Case of one design with one mapping."""
    return Made(case(evaluator, designs, mapping), designs, name)


def what_if(opened: Opened, row: int, name: str, changes: Mapping[str, str]) -> Change:
    """One design before and after `path = value`: a number of the study or the catalog, or a lever."""
    before = explain(opened, row, name)
    stated = {path for path in changes if path not in levers.REGISTRY or levers.REGISTRY[path].optional}
    problem = load(opened.run.folder / folders.PROBLEM, {path: changes[path] for path in stated})
    chosen: dict[str, Any] = {axis: choice for axis, choice in opened.front.levers(row).items() if choice != "inert"}
    chosen |= {path: problem.levers[path][0] for path in stated if path in problem.levers}
    for path in changes.keys() - stated:
        chosen[path] = _choice(problem, path, changes[path])
    problem = _widened(problem, opened.run.folder, chosen)
    space = ask(problem).space
    designs = space.encode(chosen)
    made = explanation(Evaluator.of(problem), designs, opened.front.mapping(row), name)
    notes = () if made.case.kept else ("the mapping is no longer offered: the cheapest feasible one is shown",)
    what = ", ".join(f"{path} = {text}" for path, text in changes.items())
    return Change(what, before, made.explanation(notes))


def _choice(problem: Problem, path: str, text: str) -> str | float | int:
    lever = levers.REGISTRY[path]
    known = {"device": problem.devices, "topology": problem.topologies, "pool": problem.memories}.get(lever.kind, {})
    written: str | float = text
    try:
        return levers.choice(lever, float(text) if _is_number(text) else written, dict(known))
    except ValueError as error:
        raise SpecError([Mistake("--set", 0, 0, path, str(error))]) from None


def _widened(problem: Problem, folder: Path, chosen: Mapping[str, Any]) -> Problem:
    """Problem whose levers offer the chosen values."""
    rows = dict(problem.levers)
    for name, choice in chosen.items():
        if choice not in rows[name]:
            rows[name] = (*rows[name], choice)
    return replace(problem, levers=rows)


def _is_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True


def _metrics(own: Case) -> list[Term]:
    """Objectives, then the standard metrics that are not among them."""
    names = [objective.column for objective in own.plan.problem.objectives]
    names += [
        name for name in ("ttft_p95", "tpot", "task_latency", "cost_per_mtok", "energy_per_task") if name not in names
    ]
    return [Term(name, own.value(name), METRICS[name.rsplit(".", 1)[-1]].unit) for name in names]


def _class(own: Case, designs: Designs, item: ClassCase) -> ClassExplanation:
    decode = decode_phase(own, item)
    sections = {
        "tpot": timing.decode_section(own, item, decode),
        "decode_operators": timing.operator_section(decode, memory.moved(own)),
        "ttft": timing.first_token_section(own, item),
        "step": timing.step_section(own, item),
        "kv": memory.keeping_section(own, item),
        "decode_memory": memory.decode_ledger(own, item),
    }
    regimes = [memory.decode_regime(own, item, decode)]
    held = memory.prefill_ledger(own, item)
    words = [f"decode {wording.parallelism(item.mapping, 'decode.')}, batch {item.mapping['decode.batch']:,}"]
    if held is not None:
        prefill = prefill_phase(own, item)
        sections["prefill_memory"] = held
        regimes.insert(0, memory.prefill_regime(own, item, prefill))
        words.insert(
            0, f"prefill {wording.parallelism(item.mapping, 'prefill.')}, chunk {item.mapping['prefill.chunk']:,}"
        )
    sections["cost"] = money.cost_section(own, designs, item)
    return ClassExplanation(item.name, "; ".join(words), sections, tuple(regimes))


def _class_json(own: ClassExplanation) -> dict[str, Any]:
    return {
        "mapping": own.mapping,
        "sections": {
            key: {"title": part.title, "note": part.note, "terms": [term._asdict() for term in part.terms]}
            for key, part in own.sections.items()
        },
        "regimes": [regime._asdict() for regime in own.regimes],
    }
