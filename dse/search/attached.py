"""A study with the files that it names beside it, so that a run folder can be moved and a worker needs none of them."""

from pathlib import Path
from typing import Any

from dse.facts import writer
from dse.facts.problem import Problem, dump
from dse.facts.topology.network import load_topology
from dse.facts.workload.classes import SUFFIXES, files_of


def attachments(problem: Problem) -> dict[str, Path]:
    """Place beside the resolved study -> where the file is now: topologies, workload classes, the trace to replay."""
    files: dict[str, Path] = {}
    for path in problem.topologies.values():
        files[f"topologies/{path.name}"] = path
        graph = load_topology(path).file
        if graph is not None:
            files[f"topologies/{graph}"] = path.parent / graph
    for place, path in _workloads(problem).values():
        files |= {f"{Path(place).parent}/{file.name}": file for file in files_of(path)}
    trace = _trace(problem)
    return files | ({trace[0]: trace[1]} if trace else {})


def resolved(problem: Problem) -> str:
    """Study with everything written out, as text that names its files by their places beside it."""
    content: dict[str, Any] = dump(problem)
    content["topologies"] = {name: f"topologies/{path.name}" for name, path in problem.topologies.items()}
    for name, (place, _) in _workloads(problem).items():
        content["agents"][name]["workload"] = place
    trace = _trace(problem)
    if trace is not None:
        content["evaluator"]["replay"]["trace"] = trace[0]
    return writer.text(content)


def _workloads(problem: Problem) -> dict[str, tuple[str, Path]]:
    """Agent -> place and file of its workload class, of agents whose class is no row of the catalog."""
    return {
        agent.name: (f"workloads/{number}/{Path(agent.spec.workload).name}", Path(agent.spec.workload))
        for number, agent in enumerate(problem.agents)
        if agent.spec.workload.endswith(SUFFIXES)
    }


def _trace(problem: Problem) -> tuple[str, Path] | None:
    """Place and file of the trace that an evaluator replays."""
    replay = problem.evaluator.replay if problem.evaluator is not None else None
    if replay is None or replay.trace is None:
        return None
    return f"traces/{Path(replay.trace).name}", Path(replay.trace)
