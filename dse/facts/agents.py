"""Agents of a study: each with its model, its session shape under its context policy, and its targets."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from dse.facts import catalog
from dse.facts.errors import Mistake, SpecError
from dse.facts.files import absolute
from dse.facts.models import Model
from dse.facts.reader import Path_, Source
from dse.facts.study import AgentSpec, Slo, Study

if TYPE_CHECKING:
    from dse.facts.workload.classes import Workload


class Target(NamedTuple):
    """Latency targets of one agent, in seconds, at the percentile of the study."""

    ttft: float
    """Time to the first token of a step [s]."""
    tpot: float
    """Mean time between output tokens [s]."""


@dataclass(frozen=True)
class Agent:
    """One class of agents with its session shape and its model."""

    name: str
    """Name in the study."""
    share: float
    """Share of tasks (sessions) [1]."""
    workload: "Workload"
    """Session shape under the agent's context policy and budget."""
    model: Model
    """Language model."""
    slo: Target
    """Targets of the agent, else of the study, else of the workload."""
    spec: AgentSpec
    """What the study says about it."""


def resolve(
    study: Study, source: Source, beside: Path, broken: frozenset[Path_]
) -> tuple[tuple[Agent, ...], list[Mistake]]:
    """Agents of a study, and what is wrong with the others; `beside` is the study's own file."""
    agents: list[Agent] = []
    found: list[Mistake] = []
    for name, spec in study.agents.items():
        model = known_model(study, spec.model, broken)
        if model is not None:
            placed = _beside(spec, beside)
            agent = _agent(name, placed, model, study.slo, source, found)
            agents += [agent] if agent else []
    return tuple(agents), found


def known_model(study: Study, name: str, broken: frozenset[Path_]) -> Model | None:
    """Model of the study or the catalog; None where there is none or its row is broken."""
    if ("models", name) in broken or (name not in study.models and name not in catalog.raw("models").data):
        return None
    return study.models.get(name) or catalog.model(name)


def _agent(name: str, spec: AgentSpec, model: Model, slo: Slo, source: Source, found: list[Mistake]) -> Agent | None:
    """One agent, or None with what is wrong added to `found`."""
    # The trace tables behind a workload need numpy and are read only when a study is resolved.
    from dse.facts.workload.classes import load_workload

    path = ("agents", name, "workload")
    budget = spec.context_budget or model.max_context
    try:
        workload = load_workload(spec.workload, spec.context_policy, budget, spec.keep, spec.subagents)
    except SpecError as error:
        found += [_passed_on(source, path, mistake) for mistake in error.mistakes]
        return None
    if workload.overflow > 0:
        message = (
            f"{workload.overflow:.1%} of the steps of {workload.id} exceed the {budget:,} tok of {model.id}: "
            "state a `context_policy` (compaction or truncation), or a model with a longer context"
        )
        found.append(source.mistake(("agents", name), message))
        return None
    stated = {**_fields(workload.slo), **_fields(slo), **_fields(spec.slo)}
    missing = [field for field in Target._fields if field not in stated]
    if missing:
        message = f"{workload.id} states no target for {missing[0]}: add `slo: {{{missing[0]}: ...}}`"
        found.append(source.mistake(("agents", name), message))
        return None
    return Agent(name, spec.share, workload, model, Target(stated["ttft"], stated["tpot"]), spec)


def _beside(spec: AgentSpec, study: Path) -> AgentSpec:
    """Agent whose workload file, if it has one, no longer depends on where the study stands."""
    if not spec.workload.endswith((".yaml", ".yml")):
        return spec
    return spec.model_copy(update={"workload": str(absolute(study.parent / spec.workload))})


def _fields(slo: object) -> Mapping[str, float]:
    """Targets that are stated."""
    values = {name: getattr(slo, name, None) for name in Target._fields}
    return {name: value for name, value in values.items() if value is not None}


def _passed_on(source: Source, path: Path_, mistake: Mistake) -> Mistake:
    """Mistake of a workload file at its own place; one without a place stands at the agent."""
    return mistake if mistake.line else source.mistake(path, mistake.message)
