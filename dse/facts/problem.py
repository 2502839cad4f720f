"""From a study file to a `Problem`: everything a study uses, looked up, checked and in SI units."""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, NamedTuple

from pydantic import ValidationError

from dse.facts import agents as mixture
from dse.facts import catalog, checks, levers, places, units
from dse.facts.agents import Agent
from dse.facts.assembly import COMPLETE, SECTIONS, study_source, with_catalog
from dse.facts.checks import Choices
from dse.facts.devices import Accelerator
from dse.facts.errors import Mistake, SpecError
from dse.facts.external import External
from dse.facts.levers import NATIVE, NONE, REGISTRY, Choice
from dse.facts.metrics import Objective, Requirement
from dse.facts.prices import PriceSet
from dse.facts.quantities import UNIT, Quantity
from dse.facts.reader import MAX_MISTAKES, Data, Path_, Source, mistakes
from dse.facts.serving import Serving
from dse.facts.study import Budget, Study
from dse.facts.technologies import Link, Memory, Technique

_BY_ENTRY = frozenset({"agents", "devices", "models", "memories", "links", "techniques", "levers", "constants"})
"""Sections of which one bad entry leaves the others to be checked."""
_REPLACEABLE = ("devices", "memories", "links", "techniques", "prices", "serving")
"""Parts of a problem whose numbers can be varied."""
_SHARE = Quantity("1", maximum=1.0)
"""Share of one agent in the mixture, the only number of an agent that can be varied."""


class Range(NamedTuple):
    """A number that is not known, in SI."""

    low: float
    likely: float
    high: float


@dataclass(frozen=True)
class Problem:
    """A study with everything it uses."""

    name: str
    """Name of the study."""
    question: str
    """The question in words."""
    agents: tuple[Agent, ...]
    """Who is served."""
    levers: Mapping[str, tuple[Choice, ...]]
    """Levers with their choices in SI, one choice where the study holds or omits it; see `choices`."""
    devices: Mapping[str, Accelerator]
    """Accelerators that a lever names."""
    memories: Mapping[str, Memory]
    """All memory technologies."""
    links: Mapping[str, Link]
    """All links."""
    topologies: Mapping[str, Path]
    """Interconnects that a lever names -> file; `native` has none."""
    prices: PriceSet
    """Prices and rates."""
    load: float | None
    """Tasks per second of a sized system; None where only intensive metrics are asked for [task/s]."""
    serving: Serving
    """Parameters of the engine and the operating point."""
    objectives: tuple[Objective, ...]
    """What is wanted."""
    require: tuple[Requirement, ...]
    """What is demanded."""
    budget: Budget
    """How long the search may take."""
    sampler: str
    """Search method."""
    seed: int
    """Seed of all random numbers."""
    uncertainties: Mapping[str, Range]
    """Dotted path of a number -> its range in SI."""
    evaluator: External | None = None
    """Program that scores candidates beside the model."""
    robust: bool = False
    """Whether balanced designs are chosen among those that the uncertainties leave on the front."""
    techniques: Mapping[str, Technique] = field(default_factory=dict)
    """Software techniques that a lever names."""

    def choices(self, name: str) -> tuple[Choice, ...]:
        """Choices of a lever; the default of one that is no part of the study."""
        default = REGISTRY[name].default
        return self.levers.get(name) or (() if default is None else (default,))

    @property
    def conditions(self) -> Mapping[str, tuple[tuple[str, frozenset[Choice]], ...]]:
        """Lever -> (other lever, choices of it) that leave the lever without effect."""
        return {name: REGISTRY[name].inert for name in self.levers if REGISTRY[name].inert}

    def with_values(self, values: Mapping[str, float]) -> "Problem":
        """Problem in which the numbers at these dotted paths are replaced [SI]."""
        changed = self
        for path, number in values.items():
            section, *rest = path.split(".")
            if _quantity(changed, path) is None:
                raise SpecError([Mistake("", 0, 0, path, _no_number(path))])
            if section == "agents":
                changed = replace(changed, agents=_shared(changed.agents, rest[0], number))
                continue
            part = places.replaced(getattr(changed, section), tuple(rest), number)
            changed = replace(changed, **{section: part})
        return changed


def load(path: str | Path, overrides: Mapping[str, str] | None = None) -> Problem:
    """Problem of a study file; SpecError names every mistake in it.

    Parameters
    ----------
    path : study file; a file it extends is read beside it
    overrides : dotted path -> text, as given by `--set`; read by the same rules as the file
    """
    return resolve(study_source(path, overrides), Path(path))


def resolve(source: Source, path: Path) -> Problem:
    """Problem of a study as read; `path` is where its topologies and workloads are looked up."""
    source, found = with_catalog(source)
    study, broken, complaints = _study(source)
    found += complaints
    if study is None:
        raise SpecError(found)
    topologies = _topologies(study, path)
    choices, bad = checks.lever_choices(study, source, topologies)
    found += bad
    found += checks.agents(study, source, broken)
    found += checks.models(study, source, broken)
    found += checks.sentences(study, source, broken)
    found += checks.devices(study, source, choices, broken)
    found += checks.memories(study, source, choices, broken)
    found += checks.precision(study, source, choices, broken)
    found += checks.evaluator(study, source, path)
    agents, bad = mixture.resolve(study, source, path, broken)
    problem = _problem(study, choices, topologies, agents, broken)
    uncertainties, worse = _uncertainties(study, problem, source)
    found += bad + worse
    if found:
        raise SpecError(found)
    return replace(problem, uncertainties=uncertainties, evaluator=study.evaluator and study.evaluator.placed(path))


def dump(problem: Problem) -> dict[str, Any]:
    """Study file that states everything the problem uses; loading it gives the same problem."""
    return {
        "version": 1,
        "name": problem.name,
        "question": problem.question,
        "agents": {agent.name: _agent_text(agent) for agent in problem.agents},
        "levers": {name: [_lever_text(name, choice) for choice in row] for name, row in problem.levers.items()},
        "serving": _written(problem.serving),
        "prices": {**_written(problem.prices), "like": COMPLETE},
        "uncertainties": {path: _range_text(problem, path, row) for path, row in problem.uncertainties.items()},
        "objectives": [_written(objective) for objective in problem.objectives],
        "require": [_written(requirement) for requirement in problem.require],
        "budget": _written(problem.budget),
        "sampler": problem.sampler,
        **({"robust": True} if problem.robust else {}),
        **({} if problem.evaluator is None else {"evaluator": _written(problem.evaluator)}),
        **({} if problem.load is None else {"load": units.exact(problem.load, "task/s")}),
        "seed": problem.seed,
        "topologies": {name: str(path) for name, path in problem.topologies.items()},
        "devices": _rows(problem.devices),
        "models": _rows({agent.model.id: agent.model for agent in problem.agents}),
        "memories": _rows(problem.memories),
        "links": _rows(problem.links),
        **({"techniques": _rows(problem.techniques)} if problem.techniques else {}),
    }


def json_schema() -> dict[str, Any]:
    """JSON schema of the study file, for completion and help in editors."""
    schema = Study.model_json_schema(mode="validation")
    rows = [catalog.TYPES[kind].__name__ for kind in (*SECTIONS.values(), "prices")]
    for name in rows:
        row = schema["$defs"][name]
        row["properties"].pop("id")
        row["properties"]["like"] = {"type": "string", "description": "Row of the catalog to start from."}
        row.pop("required", None)
    properties = schema["properties"]
    prices = properties["prices"]
    named = {"enum": list(catalog.names("prices"))}
    properties["prices"] = {"description": prices.get("description", ""), "anyOf": [named, prices]}
    properties["extends"] = {"type": "string", "description": "Study file beside this one to start from."}
    for section in ("levers", "constants"):
        help_text = properties[section].get("description", "")
        properties[section] = {
            "type": "object",
            "description": help_text,
            "properties": {lever.name: _lever_schema(lever) for lever in REGISTRY.values()},
            "additionalProperties": False,
        }
    schema["required"] = ["version", "name", "agents", "objectives", "prices"]
    _say_units(schema)
    return {"$schema": "https://json-schema.org/draft/2020-12/schema", **schema}


def _say_units(node: Any) -> str | None:
    """Add the unit of every quantity to the help of its field; the unit of a node, where it has one."""
    if isinstance(node, list):
        return next((unit for unit in [_say_units(item) for item in node] if unit), None)
    if not isinstance(node, dict):
        return None
    below = {key: _say_units(child) for key, child in node.items()}
    unit = node.pop(UNIT, None) or below.get("anyOf") or below.get("allOf")
    if unit and not str(node.get("description", "")).endswith("]"):
        node["description"] = f"{node.get('description', 'Quantity').rstrip('.')} [{unit}]"
    return str(unit) if unit else None


def _study(source: Source) -> tuple[Study | None, frozenset[Path_], list[Mistake]]:
    """Study without its broken entries, the paths of these, and what is wrong with them."""
    data: dict[str, Data] = dict(source.data)
    broken: set[Path_] = set()
    found: list[Mistake] = []
    while True:
        try:
            return Study.model_validate(data), frozenset(broken), found
        except ValidationError as error:
            placed = Source(source.path, data, source.places)
            fresh = {_entry(tuple(detail["loc"])) for detail in error.errors(include_url=False)}
            found += mistakes(Study, placed, error)
        if len(fresh) > MAX_MISTAKES:
            return None, frozenset(broken), found
        if not all(_removed(data, entry) for entry in fresh):
            return None, frozenset(broken), found
        broken |= fresh


def _entry(location: tuple[int | str, ...]) -> Path_:
    """What is left out of the study so that the rest of it can be checked."""
    return location[:2] if location[0] in _BY_ENTRY and len(location) > 1 else location[:1]


def _removed(data: dict[str, Data], entry: Path_) -> bool:
    """Whether the study can do without this entry; if so it is taken out."""
    section = str(entry[0])
    if section in ("version", "name", "prices", "objectives"):
        stand_ins: dict[str, Data] = {"version": 1, "name": "?", "objectives": ["minimize cost"]}
        stand_ins["prices"] = {"id": "?", **_standard_prices()}
        data[section] = stand_ins[section]
        return True
    rows = data.get(section)
    if len(entry) == 2 and isinstance(rows, dict) and entry[1] in rows:
        data[section] = {key: row for key, row in rows.items() if key != entry[1]}
        return True
    return data.pop(section, None) is not None


def _standard_prices() -> dict[str, Data]:
    rows = catalog.raw("prices").data
    first = next(iter(rows.values()))
    return first if isinstance(first, dict) else {}


def _topologies(study: Study, path: Path) -> dict[str, Path]:
    """Topologies by name, with those that levers name by their file."""
    known = places.topologies(path, study.topologies)
    for section in (study.levers, study.constants):
        for pool in ("prefill", "decode"):
            written = section.get(f"{pool}.topology")
            for name in written if isinstance(written, list) else [written]:
                file = places.topology_file(path, name) if isinstance(name, str) else None
                if file is not None and isinstance(name, str):
                    known[name] = file
    return known


def _problem(
    study: Study,
    choices: Choices,
    topologies: Mapping[str, Path],
    agents: tuple[Agent, ...],
    broken: frozenset[Path_],
) -> Problem:
    """Problem without its uncertainties."""
    values = choices.values
    names = {str(name) for lever, row in values.items() if REGISTRY[lever].kind == "device" for name in row}
    wired = {str(name) for lever, row in values.items() if REGISTRY[lever].kind == "topology" for name in row}
    coded = {str(name) for lever, row in values.items() if REGISTRY[lever].kind == "technique" for name in row}
    found = {name: checks.accelerator(study, name, broken) for name in sorted(names - {NONE})}
    return Problem(
        name=study.name,
        question=study.question,
        agents=agents,
        levers=values,
        devices={name: device for name, device in found.items() if device is not None},
        memories={**{name: catalog.memory(name) for name in catalog.names("memories")}, **study.memories},
        links={**{name: catalog.link(name) for name in catalog.names("links")}, **study.links},
        topologies={name: topologies[name] for name in sorted(wired - {NATIVE})},
        prices=study.prices,
        load=study.load,
        serving=study.serving,
        objectives=study.objectives,
        require=study.require,
        budget=study.budget,
        sampler=study.sampler,
        seed=study.seed,
        uncertainties={},
        robust=study.robust,
        techniques={
            name: study.techniques.get(name) or catalog.technique(name)
            for name in sorted(coded - {NONE})
            if ("techniques", name) not in broken
        },
    )


def _uncertainties(study: Study, problem: Problem, source: Source) -> tuple[dict[str, Range], list[Mistake]]:
    """Ranges in SI; every path must name a number of the problem."""
    ranges: dict[str, Range] = {}
    found: list[Mistake] = []
    for path, written in study.uncertainties.items():
        place = ("uncertainties", path)
        quantity = _quantity(problem, path)
        if quantity is None:
            found.append(source.mistake(place, _no_number(path)))
        elif not isinstance(written, list) or len(written) != len(Range._fields):
            found.append(source.mistake(place, "expected three values [low, likely, high]"))
        else:
            try:
                ranges[path] = Range(*(quantity.read(number) for number in written))
            except ValueError as error:
                found.append(source.mistake(place, str(error)))
                continue
            if list(ranges[path]) != sorted(ranges[path]):
                found.append(source.mistake(place, "the range is not in order: expected low <= likely <= high"))
    return ranges, found


def _quantity(problem: Problem, path: str) -> Quantity | None:
    """Unit of the number at a dotted path; None where there is no number that can be varied."""
    section, _, rest = path.partition(".")
    if section == "agents":
        name, _, field = rest.rpartition(".")
        return _SHARE if field == "share" and name in {agent.name for agent in problem.agents} else None
    return places.quantity_at(getattr(problem, section), rest) if section in _REPLACEABLE and rest else None


def _no_number(path: str) -> str:
    sections = " or ".join((", ".join(_REPLACEABLE[:-1]), _REPLACEABLE[-1]))
    expected = f"expected a dotted path that starts with {sections}, or agents.NAME.share"
    return f'there is no number "{path}" in this study: {expected}'


def _shared(agents: tuple[Agent, ...], name: str, share: float) -> tuple[Agent, ...]:
    """Agents of which one has this share; the others keep their proportions."""
    rest = sum(agent.share for agent in agents if agent.name != name)
    factor = (1 - share) / rest if rest else 1.0
    return tuple(replace(agent, share=share if agent.name == name else agent.share * factor) for agent in agents)


def _agent_text(agent: Agent) -> dict[str, Any]:
    """Agent as a study says it, with the targets that hold."""
    slo = {name: units.exact(number, "s") for name, number in agent.slo._asdict().items()}
    return {**_written(agent.spec), "slo": slo}


def _written(part: Any) -> Any:
    """Part of a study as a file says it, without absent fields."""
    return part.model_dump(mode="json", exclude_none=True)


def _rows(rows: Mapping[str, Any]) -> dict[str, Any]:
    """Catalog rows as a study says them, complete in themselves."""
    return {name: {"like": COMPLETE, **part} for name, part in ((n, _without_id(row)) for n, row in rows.items())}


def _without_id(row: Any) -> dict[str, Any]:
    return {key: entry for key, entry in _written(row).items() if key != "id"}


def _lever_text(name: str, choice: Choice) -> Choice:
    lever = REGISTRY[name]
    if lever.kind != "quantity":
        return choice
    return units.exact(float(choice), lever.unit)


def _range_text(problem: Problem, path: str, row: Range) -> list[str | float | int]:
    quantity = _quantity(problem, path)
    return [quantity.write(number) if quantity else number for number in row]


def _lever_schema(lever: levers.Lever) -> dict[str, Any]:
    """What a lever may be, with its help."""
    inert = "; ".join(f"no effect while {other} is {' or '.join(map(str, names))}" for other, names in lever.inert)
    shown = units.show(float(lever.default), lever.unit) if isinstance(lever.default, int | float) else lever.default
    default = f" Default: {shown}." if lever.default is not None else ""
    return {"description": f"{lever.description}.{default}{f' Note: {inert}.' if inert else ''}".strip()}
