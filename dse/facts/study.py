"""The study file: what a person writes, before names are looked up."""

import re
from typing import Annotated, Any, Literal, TypeAlias

from pydantic import Field, GetJsonSchemaHandler, JsonValue, field_validator, model_serializer, model_validator
from pydantic.json_schema import JsonSchemaValue
from pydantic_core import CoreSchema

from dse.facts import units
from dse.facts.convergence import convergence
from dse.facts.devices import Accelerator
from dse.facts.external import External
from dse.facts.metrics import Objective, Requirement
from dse.facts.models import Model
from dse.facts.prices import PriceSet
from dse.facts.quantities import Count, Flag, Positive, Quantity, Ratio, Seconds, Strict
from dse.facts.serving import Serving
from dse.facts.technologies import Link, Memory, Technique
from dse.facts.workload.subagents import SubAgents

ContextPolicy = Literal["append_only", "page_replaced", "keep_last_n", "compaction", "truncation"]
PositiveSeconds: TypeAlias = Annotated[float, Quantity("s", positive=True)]
_EVALUATIONS = re.compile(r"\s*(?P<number>[0-9][0-9_,]*)\s*evaluations?\s*$")


_LONGEST_NAME = 80
"""Characters of a study's name: its runs lie in a folder of that name, which few systems let be longer in UTF-8."""

_EXPECTED = '"{}": expected a time ("30 s"), a count ("20000 evaluations"), "converged", or several joined by "or"'


def _limit(part: str, written: str) -> dict[str, Any]:
    """One limit of a budget."""
    found = _EVALUATIONS.match(part)
    if found:
        return {"evaluations": int(re.sub(r"[_,]", "", found["number"]))}
    if convergence(part) is not None:
        return {"converged": part}
    try:
        units.parse(part, "s")
    except units.UnitError:
        raise ValueError(_EXPECTED.format(written)) from None
    return {"time": part}


class Slo(Strict):
    """Latency targets; what is absent is taken from the study, then from the workload."""

    ttft: PositiveSeconds | None = None
    """Time to the first token of a step, at the percentile of the study."""
    tpot: PositiveSeconds | None = None
    """Mean time between output tokens."""


class AgentSpec(Strict):
    """One class of agents in the mixture."""

    workload: str
    """Session shape: a workload of the catalog, or a file beside the study."""
    model: str
    """Language model: of the catalog, or of this study."""
    share: Ratio = 1.0
    """Share of tasks (sessions); the shares of all agents sum to 1."""
    context_policy: ContextPolicy | None = None
    """What happens to a context that outgrows the model's; absent: the workload's own policy."""
    context_budget: Positive | None = None
    """Longest context the agent keeps [tok]; absent: what the model can serve."""
    keep: Positive | None = None
    """Observations kept, for the policy keep_last_n."""
    subagents: SubAgents | None = None
    """Parallel sub-agents that share each task; absent: one agent does it all."""
    slo: Slo = Slo()
    """Latency targets of this agent."""


class Budget(Strict):
    """How long the search may take: "30 s", "20000 evaluations", "converged", or several joined by "or"."""

    time: Seconds | None = None
    """Wall-clock time."""
    evaluations: Positive | None = None
    """Designs to evaluate; a front is reproducible for such a budget."""
    converged: str | None = None
    """Threshold of convergence, such as "converged 0.1 % over 2000 evaluations"; `converged` takes these numbers."""

    @model_validator(mode="before")
    @classmethod
    def _read(cls, written: Any) -> Any:
        if isinstance(written, dict):
            return written
        if not isinstance(written, str):
            raise ValueError(_EXPECTED.format(written))
        read: dict[str, Any] = {}
        for part in re.split(r"\s+or\s+|,\s+", written.strip()):
            read |= _limit(part, written)
        return read

    @field_validator("converged")
    @classmethod
    def _stated(cls, text: str | None) -> str | None:
        found = None if text is None else convergence(text)
        if text is not None and found is None:
            raise ValueError(_EXPECTED.format(text))
        return None if found is None else str(found)

    @model_serializer
    def _write(self) -> Any:
        limits = [] if self.time is None else [str(units.exact(self.time, "s"))]
        limits += [] if self.evaluations is None else [f"{self.evaluations} evaluations"]
        return " or ".join([*limits, *([self.converged] if self.converged else [])])

    @classmethod
    def __get_pydantic_json_schema__(cls, schema: CoreSchema, handler: GetJsonSchemaHandler) -> JsonSchemaValue:
        full = handler.resolve_ref_schema(handler(schema))
        return {"anyOf": [{"type": "string", "examples": ["30 s", "20000 evaluations", "60 s or converged"]}, full]}


class Study(Strict):
    """One question: who is served, what may be chosen, what is wanted and demanded."""

    version: Literal[1]
    """Version of this file format."""
    name: str
    """Name of the study; its runs are kept under it."""
    question: str = ""
    """The question in words."""
    agents: dict[str, AgentSpec] = Field(default_factory=dict)
    """Classes of agents that share the system."""
    slo: Slo = Slo()
    """Latency targets of agents that state none."""
    load: Annotated[float, Quantity("task/s", positive=True)] | None = None
    """Tasks per second that a sized system must serve; needed for extensive metrics such as `system_cost`."""
    levers: dict[str, JsonValue] = Field(default_factory=dict)
    """What is chosen: per lever a list of choices or a range {from, to, steps, scale}; a range of a quantity without
    `steps` has 1,000, as good as continuous; a linear one of a count takes every whole number."""
    constants: dict[str, JsonValue] = Field(default_factory=dict)
    """Levers held at one value."""
    serving: Serving = Serving()
    """Parameters of the serving engine and the operating point."""
    prices: PriceSet
    """Price set: a name of the catalog, or a mapping that starts from one with `like:`."""
    uncertainties: dict[str, JsonValue] = Field(default_factory=dict)
    """What is not known: dotted path of a number -> [low, likely, high]; used for robustness only.
    The catalog's own ranges of prices and the model's error need no entry."""
    robust: Flag = False
    """Whether balanced designs are chosen among those that the uncertainties leave feasible and on the front."""
    objectives: tuple[Objective, ...]
    """Sentences such as "minimize cost"."""
    require: tuple[Requirement, ...] = ()
    """Sentences such as "ttft_p95 <= 2 s"."""
    budget: Budget = Budget.model_validate("30 s")
    """How long the search may take."""
    sampler: str = "auto"
    """Search method; `auto` enumerates where that is possible."""
    seed: Count = 0
    """Seed of all random numbers."""
    evaluator: External | None = None
    """Program that scores candidates beside the model; absent: the model alone."""
    topologies: dict[str, str] = Field(default_factory=dict)
    """Interconnects by name -> file; others are found by their name."""
    devices: dict[str, Accelerator] = Field(default_factory=dict)
    """Own or changed accelerators; `like:` starts from one of the catalog."""
    models: dict[str, Model] = Field(default_factory=dict)
    """Own or changed models."""
    memories: dict[str, Memory] = Field(default_factory=dict)
    """Own or changed memory technologies."""
    links: dict[str, Link] = Field(default_factory=dict)
    """Own or changed links."""
    techniques: dict[str, Technique] = Field(default_factory=dict)
    """Own or changed software techniques."""

    @field_validator("name")
    @classmethod
    def _folder(cls, name: str) -> str:
        if not name.strip() or len(name) > _LONGEST_NAME or re.search(r"[/\\\x00-\x1f\x7f]|^\.", name):
            expected = f"a name of at most {_LONGEST_NAME} characters that can be a folder: no slash, no leading dot"
            raise ValueError(f'"{name[:_LONGEST_NAME]}": expected {expected}')
        return name
