"""What is replayed: a class on a design, the steps of a trace, and the closed form for the same steps."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from dse.arrays import FloatArray
from dse.facts.errors import Mistake, SpecError
from dse.facts.workload.classes import Overrides, Workload, described, workload
from dse.facts.workload.sessions import Steps
from dse.facts.workload.traces import Blocks, read_trace
from dse.replay import traffic
from dse.replay.design import Served, Size, size, system
from dse.replay.outcome import Outcome
from dse.replay.refit import refitted
from dse.replay.run import Progress, replay
from dse.replay.traffic import Traffic

WARM = 120.0
"""Longest time before measuring in a steady start: queues settle in minutes, caches and sessions start settled [s]."""

LIVES = 20.0
"""Mean times of a call that a steady state is measured for at least [1]."""

SLACK = 1.02
"""Longest context of the grids over that of the trace [1]."""

MOST_SEQUENCES = 3_000_000
"""Sequences that a replay may start: more is a rate or a horizon by mistake."""


@dataclass(frozen=True, eq=False)
class Trace:
    """Steps to replay, under the context policy of the agent."""

    name: str
    steps: Steps
    times: FloatArray | None = None
    """(n,) time of each request on one clock [s]; None where sessions have clocks of their own."""
    blocks: Blocks | None = None

    @property
    def tasks(self) -> int:
        """Sessions [1]."""
        return self.steps.sessions


@dataclass(frozen=True, eq=False)
class Scenario:
    """A class on a design with the steps that it serves."""

    agent: str
    served: Served
    trace: Trace

    @property
    def steps_per_task(self) -> float:
        """Model calls of a session, all agents together [1]."""
        return len(self.trace.steps) / self.trace.tasks

    def predicted(self) -> dict[str, float]:
        """The closed form, at the utilisation of the study."""
        columns = self.served.columns
        return {
            "ttft_mean": float(columns.ttft_mean[0]),
            "ttft_p50": float(columns.ttft_p50[0]),
            "ttft_p95": float(columns.ttft_p95[0]),
            "ttft_p99": float(columns.ttft_p99[0]),
            "tpot": float(columns.tpot[0]),
            "tpot_full": float(columns.tpot_full[0]),
            "hit_rate": float(columns.hit_rate[0]),
            "task_latency": self.steps_per_task * float(columns.latency_mean[0]),
        }


def of_class(served: Served) -> Scenario:
    """Scenario with the recorded or generated sessions that the evaluation used."""
    agent = served.plan.classes[served.agent].agent
    return Scenario(agent.name, served, Trace(agent.workload.id, agent.workload.table))


def of_file(served: Served, path: Path) -> Scenario:
    """Scenario with a trace file; the closed form is computed for its sessions too."""
    agent = served.plan.classes[served.agent].agent
    recording = read_trace(path)
    spec = agent.spec
    budget = spec.context_budget or agent.model.max_context
    made: Workload = workload(
        described(recording, path, agent.workload.id),
        recording.steps,
        Overrides(spec.context_policy or _policy(agent.workload), budget, spec.keep, subagents=spec.subagents),
    )
    if made.overflow > 0:
        message = (
            f"{made.overflow:.1%} of the steps exceed the {budget:,} tok of {agent.model.id}: state a context_policy "
            "for the agent in the study, or replay a design for a model with a longer context"
        )
        raise SpecError([Mistake(str(path), 0, 0, "", message)])
    unchanged = np.array_equal(made.table.context, recording.steps.context)
    same = len(made.table) == len(recording.steps)
    clock = recording.times if recording.arrivals is not None and same else None
    trace = Trace(path.name, made.table, clock, recording.blocks if unchanged else None)
    return Scenario(agent.name, refitted(served, made), trace)


def _policy(known: Workload) -> str | None:
    """Context policy of a class where it shortens prompts."""
    return known.policy.overflow if known.policy.overflow != "refused" else None


@dataclass(frozen=True)
class Plan:
    """How a scenario is replayed."""

    rate: float | None = None
    """Tasks started per second; None for the trace's own times, or what the design is sized for."""
    horizon: float | None = None
    """End of the replay, of the measured time in a steady start [s]."""
    once: bool = False
    """Whether every session is played once, from an empty system."""
    seed: int = 0
    size: Size | None = None
    """Instances; None for those that the closed form asks for."""


@dataclass(frozen=True, eq=False)
class Replayed:
    """A replay with what it was made of."""

    scenario: Scenario
    plan: Plan
    size: Size
    tasks_per_s: float
    """Rate at which tasks were started, as far as it is known [1/s]."""
    outcome: Outcome


def play(scenario: Scenario, plan: Plan, progress: Progress | None = None) -> Replayed:
    """Size the design for the rate, make the traffic, serve it."""
    trace, per_task = scenario.trace, scenario.steps_per_task
    open_loop = plan.rate is None and trace.times is not None
    rate = _recorded_rate(trace) if open_loop else plan.rate
    whole = plan.size or size(scenario.served, None if rate is None else rate * per_task)
    tasks = rate if rate is not None else whole.steps_per_s / per_task
    asked, end = _traffic(scenario, plan, tasks, open_loop)
    if len(asked.starts) > MOST_SEQUENCES:
        message = f"would start {len(asked.starts):,} sequences; at most {MOST_SEQUENCES:,} are replayed"
        raise SpecError([Mistake("--rate", 0, 0, "", message)])
    made = system(scenario.served, whole, float(trace.steps.held.max()) * SLACK)
    return Replayed(scenario, plan, whole, tasks, replay(made, asked, end, plan.seed, progress))


def _recorded_rate(trace: Trace) -> float:
    """Tasks per second of the file."""
    assert trace.times is not None
    span = float(np.ptp(trace.times))
    return trace.tasks / span if span > 0 else 1.0


def _traffic(scenario: Scenario, plan: Plan, rate: float, open_loop: bool) -> tuple[Traffic, float]:
    """Traffic and the time at which it ends."""
    trace, random = scenario.trace, np.random.default_rng(plan.seed)
    end = plan.horizon if plan.horizon is not None else np.inf
    if open_loop and trace.times is not None:
        return traffic.as_recorded(trace.steps, trace.times, trace.blocks), end
    if plan.once or trace.blocks is not None:
        return traffic.retimed(trace.steps, rate, random, trace.blocks), end
    said = scenario.predicted()
    latency = said["ttft_mean"] + np.maximum(trace.steps.output - 1, 0) * said["tpot"]
    whole = len(trace.steps) / (rate * scenario.steps_per_task)
    measured = plan.horizon if plan.horizon is not None else max(whole, LIVES * float(latency.mean()))
    warm = min(WARM, measured)
    return traffic.steady(trace.steps, rate, (warm, measured), latency, random), warm + measured
