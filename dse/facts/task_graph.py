"""An agent's task as a graph of steps: model calls and tools, some of them side by side."""

from pathlib import Path
from typing import Self

from pydantic import Field, model_validator

from dse.facts import reader
from dse.facts.errors import did_you_mean
from dse.facts.quantities import Dollars, Positive, Seconds, Strict, Tokens


class Call(Strict):
    """One model call."""

    fresh: Positive
    """Prompt tokens to compute [tok]."""
    cached: Tokens = 0.0
    """Prompt tokens found in the cache [tok]."""
    output: Positive
    """Answer [tok]."""


class Step(Strict):
    """One node of the graph: a call or a tool."""

    after: tuple[str, ...] = ()
    """Steps that must be finished before."""
    call: Call | None = None
    """A model call, placed on device pools."""
    tool: Seconds | None = None
    """Run time of a tool, which needs no accelerator."""
    tool_cost: Dollars = 0.0
    """What one run of the tool costs."""

    @model_validator(mode="after")
    def _one_kind(self) -> Self:
        if (self.call is None) == (self.tool is None):
            raise ValueError("expected either `call` or `tool`")
        return self


class TaskGraph(Strict):
    """A task of an agent."""

    id: str
    """Name in sentences."""
    description: str
    """What the agent does."""
    source: str
    """Where the lengths are from."""
    estimate: bool = True
    """Whether they are assumed."""
    steps: dict[str, Step] = Field(min_length=1)
    """Nodes by name, in any order."""

    @model_validator(mode="after")
    def _acyclic(self) -> Self:
        for name, step in self.steps.items():
            for before in step.after:
                if before not in self.steps:
                    raise ValueError(f'{name}: there is no step "{before}".{did_you_mean(before, self.steps)}')
        if len(self.order) < len(self.steps):
            stuck = sorted(set(self.steps) - set(self.order))
            raise ValueError(f"steps wait for each other in a circle: {', '.join(stuck)}")
        return self

    @property
    def order(self) -> tuple[str, ...]:
        """Steps so that each stands behind those it waits for; those in a circle are left out."""
        done: list[str] = []
        waiting = list(self.steps)
        while ready := [name for name in waiting if set(self.steps[name].after) <= set(done)]:
            done += ready
            waiting = [name for name in waiting if name not in ready]
        return tuple(done)


def load_task_graph(path: str | Path) -> TaskGraph:
    """Task graph of a file; SpecError names every mistake in it."""
    return reader.validate(TaskGraph, reader.read(Path(path)))
