"""The `evaluator:` section of a study: who scores candidates beside the analytic model, a program or the replay."""

from pathlib import Path
from typing import Annotated, Literal, Self, TypeAlias

from pydantic import Field, model_validator

from dse.facts.files import absolute
from dse.facts.quantities import Count, Positive, Quantity, Strict

Timeout: TypeAlias = Annotated[float, Quantity("s", positive=True)]

SIMULATED = frozenset(
    {
        "cost",
        "throughput",
        "latency",
        "task_latency",
        "task_latency_p50",
        "task_latency_p95",
        "task_latency_p99",
        "step_latency",
        "ttft_mean",
        "ttft_p50",
        "ttft_p95",
        "ttft_p99",
        "tpot",
        "tpot_full",
        "tokens_per_s_user",
        "cost_per_mtok",
        "energy_per_task",
        "energy_per_token",
        "hit_rate",
    }
)
"""Metrics that a replay measures; the others are the same by construction, or belong to a sized system."""


class Simulation(Strict):
    """The discrete-event simulation of `dse replay` as evaluator."""

    trace: str | None = None
    """Trace file beside the study; absent: the sessions of each agent's workload."""
    agent: str | None = None
    """Agent that serves the trace; needed where the study has several."""
    calls: Positive = 5000
    """Model calls measured per agent; the 95th percentile scatters by some percent with 5000, less with more."""
    seed: Count = 0
    """Seed of arrivals and draws."""


class External(Strict):
    """Who scores the promising designs after the model: a program by JSON lines, or the replay of this package."""

    command: Annotated[tuple[str, ...], Field(min_length=1)] | None = None
    """Program and arguments, started once per worker in the folder where `dse run` was called."""
    replay: Simulation | None = None
    """In place of a program: `dse replay --serve` with these parameters, by the same protocol."""
    stage: Literal["after", "instead"] = "after"
    """`after`: the analytic search screens, the promising rows are scored. `instead`: every design is scored."""
    promising: Positive = 32
    """Rows of the analytic front that are scored, for the stage `after`."""
    timeout: Timeout = 60.0
    """Time for one candidate; after it the program is stopped and started anew."""
    retries: Annotated[int, Field(ge=0, le=20)] = 2
    """Times that a candidate is sent again after a crash, a timeout or an answer that cannot be read."""

    def placed(self, study: Path) -> Self:
        """Return the section with a trace that is found from everywhere; `study` is the file that names it."""
        if self.replay is None or self.replay.trace is None:
            return self
        trace = str(absolute(study.parent / self.replay.trace))
        return self.model_copy(update={"replay": self.replay.model_copy(update={"trace": trace})})

    @model_validator(mode="after")
    def _one_evaluator(self) -> Self:
        if (self.command is None) == (self.replay is None):
            raise ValueError("expected either a `command` or a `replay`")
        if self.replay is not None and self.stage == "instead":
            raise ValueError("a replay is too slow to score every design: expected `stage: after`")
        return self
