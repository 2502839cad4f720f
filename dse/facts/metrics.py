"""Metrics by name, and the sentences that use them: "minimize cost", "coding.ttft_p95 <= 3 s"."""

import re
from collections.abc import Mapping
from typing import Any, Literal, NamedTuple

from pydantic import GetJsonSchemaHandler, model_serializer, model_validator
from pydantic.json_schema import JsonSchemaValue
from pydantic_core import CoreSchema

from dse.facts import units
from dse.facts.errors import did_you_mean, listed
from dse.facts.quantities import Strict


class Metric(NamedTuple):
    """One result of an evaluation."""

    unit: str
    """SI unit of the column."""
    better: Literal["lower", "higher"]
    """Which direction is an improvement."""
    description: str
    """What it means, with its denominator."""
    per_agent: bool = False
    """Whether `agent.metric` exists beside the metric of the whole study (its worst agent)."""


METRICS: Mapping[str, Metric] = {
    "cost": Metric("$/task", "lower", "cost of one task of the mixture at the operating point"),
    "throughput": Metric("task/J", "higher", "tasks per second and megawatt of facility power"),
    "latency": Metric("1", "lower", "step latency at the percentile of the study over its target, worst agent", True),
    "task_latency": Metric("s", "lower", "mean time a task spends in the model, all steps", True),
    "step_latency": Metric("s", "lower", "first to last token of a step at the percentile of the study", True),
    "ttft_p50": Metric("s", "lower", "time to the first token, median", True),
    "ttft_p95": Metric("s", "lower", "time to the first token, 95th percentile", True),
    "ttft_p99": Metric("s", "lower", "time to the first token, 99th percentile", True),
    "tpot": Metric("s", "lower", "mean time between output tokens after the first", True),
    "tpot_full": Metric(
        "s", "lower", "time between output tokens with every slot busy; bounds its 95th percentile", True
    ),
    "ttft_mean": Metric("s", "lower", "time to the first token, mean", True),
    "task_latency_p50": Metric("s", "lower", "model time of a task: median steps x mean step latency", True),
    "task_latency_p95": Metric("s", "lower", "the same with the 95th percentile of the steps per task", True),
    "task_latency_p99": Metric("s", "lower", "the same with the 99th percentile of the steps per task", True),
    "tokens_per_s_user": Metric("tok/s", "higher", "output tokens per second that one user sees, 1 / tpot", True),
    "cost_per_mtok": Metric("$/tok", "lower", "cost of output tokens", True),
    "output_tokens_per_s_device": Metric("tok/s", "higher", "output tokens per second and accelerator"),
    "tasks_per_s_device": Metric("task/s", "higher", "tasks per second and accelerator"),
    "cost_per_device_hour": Metric("$/s", "lower", "cost of one accelerator with its share of everything, per hour"),
    "energy_per_token": Metric("J/tok", "lower", "facility energy per output token"),
    "energy_per_task": Metric("J/task", "lower", "facility energy per task"),
    "device_power": Metric("W", "lower", "power of one accelerator, most loaded pool"),
    "domain_power": Metric("W", "lower", "power of one scale-up domain with its hosts, largest pool"),
    "quality": Metric("1", "higher", "accuracy kept by the number formats, percent of the release", True),
    "hit_rate": Metric("1", "higher", "share of resumed steps whose prefix is still cached", True),
    "retention": Metric("s", "higher", "time for which an idle prefix is kept"),
    "tasks_per_s": Metric("task/s", "higher", "tasks per second of a sized system"),
    "system_cost": Metric("$/s", "lower", "cost of a sized system per hour"),
    "system_power": Metric("W", "lower", "facility power of a sized system"),
    "devices": Metric("devices", "lower", "accelerators of a sized system"),
}

EXTENSIVE = ("tasks_per_s", "system_cost", "system_power", "devices")
"""Metrics of a sized system, which need a load."""

_OBJECTIVE = re.compile(r"\s*(?P<verb>\w+)\s+(?P<name>[\w.]+)\s*$")
_REQUIREMENT = re.compile(r"\s*(?P<name>[\w.]+)\s*(?P<sign><=|>=|==|<|>|=)\s*(?P<value>\S.*?)\s*$")
_VERBS = {"minimize": False, "minimise": False, "min": False, "maximize": True, "maximise": True, "max": True}


class Sentence(Strict):
    """What a sentence is about."""

    metric: str
    """Name in `METRICS`."""
    agent: str | None = None
    """One agent, or None for the whole study."""

    @property
    def column(self) -> str:
        """Name of the column that holds it, such as `coding.ttft_p95`."""
        return f"{self.agent}.{self.metric}" if self.agent else self.metric

    @property
    def unit(self) -> str:
        """SI unit of the column."""
        return METRICS[self.metric].unit


class Objective(Sentence):
    """One thing to make small or large.

    >>> Objective.model_validate("minimize cost").maximize
    False
    """

    maximize: bool
    """Whether more is better."""

    @model_validator(mode="before")
    @classmethod
    def _read(cls, written: Any) -> Any:
        if isinstance(written, dict):
            return written
        found = _OBJECTIVE.match(written) if isinstance(written, str) else None
        if not found or found["verb"].lower() not in _VERBS:
            raise ValueError(f'"{written}": expected a sentence such as "minimize cost" or "maximize throughput"')
        return {**_subject(found["name"]), "maximize": _VERBS[found["verb"].lower()]}

    @classmethod
    def __get_pydantic_json_schema__(cls, schema: CoreSchema, handler: GetJsonSchemaHandler) -> JsonSchemaValue:
        return {"type": "string", "examples": ["minimize cost", "maximize throughput"]}

    @model_serializer
    def _write(self) -> str:
        return f"{'maximize' if self.maximize else 'minimize'} {self.column}"


class Requirement(Sentence):
    """One limit that every design must keep.

    >>> Requirement.model_validate("coding.ttft_p95 <= 3 s").limit
    3.0
    """

    at_most: bool
    """Upper limit if true, lower limit otherwise."""
    limit: float
    """In the metric's SI unit."""

    @model_validator(mode="before")
    @classmethod
    def _read(cls, written: Any) -> Any:
        if isinstance(written, dict):
            return written
        found = _REQUIREMENT.match(written) if isinstance(written, str) else None
        if not found or found["sign"] not in ("<=", ">="):
            raise ValueError(f'"{written}": expected a sentence such as "ttft_p95 <= 2 s", with <= or >=')
        subject = _subject(found["name"])
        unit = METRICS[subject["metric"]].unit
        try:
            limit = units.parse(found["value"], unit)
        except units.UnitError:
            wanted = units.expected(unit, found["value"])
            raise ValueError(f'"{written}": {subject["metric"]} needs {wanted}') from None
        return {**subject, "at_most": found["sign"] == "<=", "limit": limit}

    @classmethod
    def __get_pydantic_json_schema__(cls, schema: CoreSchema, handler: GetJsonSchemaHandler) -> JsonSchemaValue:
        return {"type": "string", "examples": ["ttft_p95 <= 2 s", "domain_power <= 150 kW"]}

    @model_serializer
    def _write(self) -> str:
        return f"{self.column} {'<=' if self.at_most else '>='} {units.exact(self.limit, self.unit)}"


def _subject(name: str) -> dict[str, str]:
    """Metric and agent of `metric` or `agent.metric`."""
    agent, _, metric = name.rpartition(".")
    if metric not in METRICS:
        hint = did_you_mean(metric, METRICS) or f" Known: {listed(METRICS, len(METRICS))}."
        raise ValueError(f'there is no metric "{metric}".{hint}')
    if agent and not METRICS[metric].per_agent:
        raise ValueError(f"{metric} is a metric of the whole study: write it without `{agent}.`")
    return {"metric": metric, **({"agent": agent} if agent else {})}
