"""Checks that need more than one place of a study: each returns its mistakes, all are reported together."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from dse.facts import catalog, levers
from dse.facts.agents import known_model
from dse.facts.devices import Accelerator
from dse.facts.errors import Mistake, did_you_mean, listed
from dse.facts.external import SIMULATED
from dse.facts.files import is_file
from dse.facts.levers import NONE, REGISTRY, RELEASE, Choice
from dse.facts.metrics import EXTENSIVE
from dse.facts.models import Model
from dse.facts.prices import PriceSet
from dse.facts.reader import Data, Path_, Source
from dse.facts.study import Study
from dse.facts.technologies import Memory

_SHARE_TOLERANCE = 1e-6

# What an evaluation reads from every accelerator of a lever.
_NEEDED = (
    "memory.capacity",
    "memory.bandwidth",
    "scale_up.bandwidth",
    "scale_up.domain",
    "scale_out.bandwidth",
    "power",
)


@dataclass(frozen=True)
class Choices:
    """Choices of every lever, and where each was written."""

    values: Mapping[str, tuple[Choice, ...]]
    """Lever -> choices in SI, in the order of the registry."""
    places: Mapping[tuple[str, Choice], Path_]
    """(lever, choice) -> path in the study; choices by default have none."""

    def written(self, names: tuple[str, ...]) -> Iterator[tuple[Choice, Path_]]:
        """Choices of several levers with their places, each choice once."""
        seen = set()
        for (name, choice), path in self.places.items():
            if name in names and choice not in seen:
                seen.add(choice)
                yield choice, path


def agents(study: Study, source: Source, broken: frozenset[Path_]) -> Iterator[Mistake]:
    """There is an agent, and the shares of all agents sum to 1."""
    if not study.agents and not any(path[0] == "agents" for path in broken):
        yield source.mistake(("agents",), "at least one agent is needed")
    total = sum(agent.share for agent in study.agents.values())
    if study.agents and not any(path[0] == "agents" for path in broken) and abs(total - 1) > _SHARE_TOLERANCE:
        yield source.mistake(("agents",), f"the shares sum to {total:g}: they must sum to 1")


def models(study: Study, source: Source, broken: frozenset[Path_]) -> Iterator[Mistake]:
    """Every agent's model is known and described by the equations."""
    known = {**catalog.raw("models").data, **dict.fromkeys(_names(source, "models"))}
    for name, agent in study.agents.items():
        path = ("agents", name, "model")
        if agent.model not in known:
            yield source.mistake(path, catalog.unknown("models", agent.model, known))
            continue
        model = known_model(study, agent.model, broken)
        if model is not None and not model.modelled:
            yield source.mistake(path, f"{model.name} cannot be evaluated: {model.reason}")
        if model is not None and agent.context_budget is not None and agent.context_budget > model.max_context:
            limit = f"{model.name} serves at most {model.max_context:,} tok"
            yield source.mistake(("agents", name, "context_budget"), f"{agent.context_budget:,} tok: {limit}")


def sentences(study: Study, source: Source, broken: frozenset[Path_]) -> Iterator[Mistake]:
    """Agents named in objectives and requirements exist; no objective is stated twice."""
    known = _names(source, "agents")
    if not study.objectives and ("objectives",) not in broken:
        yield source.mistake(("objectives",), 'at least one objective is needed, such as "minimize cost"')
    seen = set()
    for section in ("objectives", "require"):
        for index, sentence in enumerate(getattr(study, section)):
            path = (section, index)
            if sentence.agent is not None and sentence.agent not in known:
                hint = did_you_mean(sentence.agent, known) or f" Known: {listed(known)}."
                yield source.mistake(path, f'there is no agent "{sentence.agent}".{hint}')
            if sentence.metric in EXTENSIVE and study.load is None:
                yield source.mistake(
                    path, f"{sentence.metric} is of a sized system: state `load`, such as `load: 2 task/s`"
                )
            if section == "objectives" and sentence.column in seen:
                yield source.mistake(path, f"{sentence.column} is an objective already")
            if section == "objectives":
                seen.add(sentence.column)


def evaluator(study: Study, source: Source, beside: Path) -> Iterator[Mistake]:
    """A replay that scores designs finds its trace and its agent, and measures what is asked for."""
    replay = None if study.evaluator is None else study.evaluator.replay
    if replay is None:
        return
    known, path = _names(source, "agents"), ("evaluator", "replay")
    if replay.agent is not None and replay.agent not in known:
        hint = did_you_mean(replay.agent, known) or f" Known: {listed(known)}."
        yield source.mistake((*path, "agent"), f'there is no agent "{replay.agent}".{hint}')
    if replay.trace is not None and not is_file(beside.parent / replay.trace):
        yield source.mistake((*path, "trace"), f'there is no file "{beside.parent / replay.trace}"')
    if replay.trace is not None and replay.agent is None and len(study.agents) > 1:
        yield source.mistake(path, f"a trace is served by one agent: name it with `agent:`. Known: {listed(known)}")
    for index, goal in enumerate(study.objectives):
        if goal.metric not in SIMULATED:
            message = f"{goal.metric} is not measured by a replay: choose another objective, or leave out `replay`"
            yield source.mistake(("objectives", index), message)


def lever_choices(study: Study, source: Source, topologies: Mapping[str, object]) -> tuple[Choices, list[Mistake]]:
    """Choices of all levers, ranges expanded and defaults filled in."""
    mistakes: list[Mistake] = []
    found: dict[str, dict[Choice, Path_]] = {}
    for section in ("levers", "constants"):
        for name, written in getattr(study, section).items():
            if name not in REGISTRY:
                mistakes.append(source.mistake((section, name), levers.unknown(name)))
            elif section == "constants" and name in study.levers:
                mistakes.append(source.mistake((section, name), f"{name} is a lever already: keep one of the two"))
            else:
                entries = written if section == "levers" else [written]
                found[name] = _one_lever(source, (section, name), name, entries, topologies, mistakes)
    mistakes.extend(_no_device(source, found))
    stated = [name for name, lever in REGISTRY.items() if name in found or not lever.optional]
    values = {name: tuple(found.get(name, ())) or _default(name, found) for name in stated}
    places = {(name, choice): path for name, choices in found.items() for choice, path in choices.items()}
    return Choices(values, places), mistakes


def devices(study: Study, source: Source, choices: Choices, broken: frozenset[Path_]) -> Iterator[Mistake]:
    """Every number an evaluation needs is known for every accelerator of a lever."""
    names = ("prefill.device", "prefill.second_device", "decode.device", "decode.second_device")
    hosted = any(amount != 0 for pool in ("prefill", "decode") for amount in choices.values[f"{pool}.host_memory"])
    scaled = any(scale != 1 for pool in ("prefill", "decode") for scale in choices.values[f"{pool}.memory_scale"])
    for name, path in choices.written(names):
        device = None if name == NONE else accelerator(study, str(name), broken)
        if device is None:
            continue
        for field in (*_NEEDED, *(("host_link.bandwidth",) if hosted else ())):
            if _at(device, field) is None:
                yield source.mistake(path, _missing(device, field))
        if device.peak.bf16 is None and device.peak.fp8 is None and device.peak.fp4 is None:
            yield source.mistake(path, _missing(device, "peak"))
        if device.price is None and device.tco is None:
            yield source.mistake(path, _missing(device, "price"))
        technology = device.memory.technology if device.memory else ""
        if scaled and technology not in study.prices.memory and ("prices",) not in broken:
            yield source.mistake(path, f"memory_scale changes {device.id}: {_no_price(study.prices, technology)}")


def memories(study: Study, source: Source, choices: Choices, broken: frozenset[Path_]) -> Iterator[Mistake]:
    """Memories that are bought have a price; pools have a bandwidth and a capacity per unit."""
    if ("prices",) in broken:
        return
    for name, path in choices.written(("pool.technology",)):
        row = None if name == NONE else memory(study, str(name), broken)
        if row is None:
            continue
        if row.id not in study.prices.memory:
            yield source.mistake(path, _no_price(study.prices, row.id))
        for field in ("bandwidth", "capacity", "latency", "energy"):
            if getattr(row, field) is None:
                yield source.mistake(path, f"{row.name} has no {field}: add `memories: {{{row.id}: {{{field}: ...}}}}`")
    for amount, path in choices.written(("prefill.host_memory", "decode.host_memory")):
        if amount != 0 and "ddr5_rdimm" not in study.prices.memory:
            yield source.mistake(path, _no_price(study.prices, "ddr5_rdimm"))
            return


def precision(study: Study, source: Source, choices: Choices, broken: frozenset[Path_]) -> Iterator[Mistake]:
    """A number format is the model's own, released by its vendor, or has a score."""
    for part, lever, ours in (("weight", "weight_dtype", RELEASE), ("kv", "kv_dtype", "bf16")):
        for dtype, path in choices.written((lever,)):
            used = {agent.model: None for agent in study.agents.values()}
            for name in used if dtype != ours else ():
                model = known_model(study, name, broken)
                if model is not None and str(dtype) not in allowed_dtypes(model, part):
                    yield source.mistake(path, _unscored(model, part, str(dtype)))


def allowed_dtypes(model: Model, part: str) -> set[str]:
    """Number formats of a model's weights ("weight") or KV cache ("kv") that need no further score."""
    if part == "kv":
        return {"bf16", *model.quality.kv}
    # Wider than the release loses nothing.
    return {"bf16", model.release_dtype, *model.released_dtypes, *model.quality.weight}


def accelerator(study: Study, name: str, broken: frozenset[Path_] = frozenset()) -> Accelerator | None:
    """Accelerator of the study or the catalog; None where its row is broken."""
    if ("devices", name) in broken:
        return None
    return study.devices.get(name) or catalog.accelerator(name)


def memory(study: Study, name: str, broken: frozenset[Path_] = frozenset()) -> Memory | None:
    """Memory technology of the study or the catalog; None where its row is broken."""
    if ("memories", name) in broken:
        return None
    return study.memories.get(name) or catalog.memory(name)


def _one_lever(
    source: Source,
    path: Path_,
    name: str,
    written: Data,
    topologies: Mapping[str, object],
    mistakes: list[Mistake],
) -> dict[Choice, Path_]:
    """Choices of one lever with their places."""
    lever = REGISTRY[name]
    if isinstance(written, dict):
        try:
            return dict.fromkeys(levers.expand(lever, written), path)
        except ValueError as error:
            mistakes.append(source.mistake(path, str(error)))
            return {}
    if not isinstance(written, list) or not written:
        mistakes.append(source.mistake(path, "expected a list of choices [a, b], or a range {from, to, steps, scale}"))
        return {}
    known = _known(lever, source, topologies)
    choices: dict[Choice, Path_] = {}
    for index, entry in enumerate(written):
        place = (*path, index) if path[0] == "levers" else path
        try:
            choice = levers.choice(lever, entry, known)
        except ValueError as error:
            mistakes.append(source.mistake(place, str(error)))
            continue
        if choice in choices:
            mistakes.append(source.mistake(place, f"{entry} is listed twice"))
        choices.setdefault(choice, place)
    return choices


def _known(lever: levers.Lever, source: Source, topologies: Mapping[str, object]) -> Mapping[str, object]:
    """Names that a lever may take from the catalog and the study."""
    kind = lever.kind
    if kind == "technique":
        rows = source.data.get("techniques")
        every = {**catalog.raw("techniques").data, **(rows if isinstance(rows, dict) else {})}
        return {name: None for name, row in every.items() if _kind(row) == lever.name}
    if kind == "device":
        return {**catalog.raw("accelerators").data, **dict.fromkeys(_names(source, "devices"))}
    if kind == "pool":
        own = dict.fromkeys(_names(source, "memories"))
        return {**{name: None for name in catalog.names("memories") if catalog.memory(name).pool}, **own}
    return topologies if kind == "topology" else {}


def _kind(row: Data) -> Data:
    return row.get("kind") if isinstance(row, dict) else None


def _no_device(source: Source, found: Mapping[str, Mapping[Choice, Path_]]) -> Iterator[Mistake]:
    """The pools that a study may use have a device."""
    if "decode.device" not in found:
        yield source.mistake(("levers",), "`decode.device` is missing: name it under levers or constants")
    only_colocated = set(found.get("serving", ())) == {"colocated"}
    if "prefill.device" not in found and not only_colocated:
        yield source.mistake(("levers",), "`prefill.device` is missing: name it, or hold `serving` at colocated")


def _default(name: str, found: Mapping[str, Mapping[Choice, Path_]]) -> tuple[Choice, ...]:
    """Choice of a lever the study does not name; an inert prefill pool shows the decode device."""
    default = REGISTRY[name].default
    if default is not None:
        return (default,)
    return tuple(found.get("decode.device", {}))[:1] or (NONE,)


def _names(source: Source, section: str) -> tuple[str, ...]:
    rows = source.data.get(section)
    return tuple(rows) if isinstance(rows, dict) else ()


def _at(row: object, path: str) -> object:
    """Value at a dotted path; None where any part of it is absent."""
    for name in path.split("."):
        row = getattr(row, name, None)
    return row


def _missing(device: Accelerator, field: str) -> str:
    nested = ": {".join(field.split("."))
    closing = "}" * (field.count(".") + 2)
    example = f"devices: {{{device.id}: {{{nested}: ...{closing}"
    return f"{field} of {device.id} is not known: leave the device out, or add `{example}`"


def _no_price(prices: PriceSet, technology: str) -> str:
    hint = did_you_mean(technology, prices.memory)
    remedy = f"add `prices: {{memory: {{{technology}: ...}}}}`{'.' if hint else ''}{hint}"
    return f'price set {prices.id} has no price for memory "{technology}": {remedy}'


def _unscored(model: Model, part: str, dtype: str) -> str:
    what = "weights" if part == "weight" else "KV cache"
    fields = f"{part}: {{{dtype}: {{recovery: ..., source: ...}}}}"
    return (
        f"no sourced accuracy of {model.id} with its {what} in {dtype}: "
        f"state one as `models: {{{model.id}: {{quality: {{{fields}}}}}}}`"
    )
