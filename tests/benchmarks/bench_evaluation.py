"""How fast the flagship study is scored: `python tests/benchmarks/bench_evaluation.py [designs] [run] [processes]`.

What is counted. A *candidate* is one architecture with one mapping; a class of agents sees of it one prefill mapping,
one decode mapping and one home of its KV. There are two ways to count candidate × class evaluations:

`scored`      points whose retention, memory ledger, links, cost, energy and token times were worked out and whose
              latency was read from the mixture of steps unless a slack was negative before, or a lower bound of it was
              enough to know that the point loses, each once per architecture; rows that were pruned before (by table,
              by phase) are in no figure
`read`        those of them whose latency was read
`combined`    rows of the mixture that stay, times classes: what a search gets to see

*/cpu s* is per second of processor time of one process; */s* per second of wall clock, all processes together. Tables
are *made* in the time, with machine code to load, or both are *there* before it starts. Each process draws designs of
its own, scores them in blocks as a search does, and makes its own tables; the space has a fixed number of them, so that
their share falls with the length of a run.

`random`      draws from the whole space, most of which some limit of the hardware rules out at once
`sound`       draws that no such limit rules out, as a search proposes them after its first generations
`run`         the same, as many as a run of the study scores
`arrays`      `sound` where there is no compiler: mixtures are read in arrays

The profile is of one process once it reads mixtures by machine code: shares of its time by part, physics being
everything in `dse.physics` and the reading of mixtures. Peers (GenZ, AIConfigurator) time the same decode steps where
they can be imported: put them in a virtual environment of their own, and give its interpreter by DSE_PEERS.
"""

import cProfile
import json
import os
import pstats
import resource
import subprocess
import sys
import time
from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor
from functools import partial
from multiprocessing import get_context
from pathlib import Path
from typing import Any, NamedTuple
from unittest.mock import patch

import numpy as np

from dse import compiled
from dse.arrays import FloatArray
from dse.facts.problem import load
from dse.physics import demand
from dse.search.axes import Designs
from dse.search.evaluation import Evaluator
from dse.search.scoring import block as blocks
from dse.search.scoring import readings, screening, tails
from dse.search.scoring.mappings import Grid
from dse.search.scoring.phases import timed
from dse.search.scoring.plan import TableKey
from dse.search.scoring.sides import ClassShape, Operation
from dse.search.scoring.waits import Waiting
from dse.search.space import Space

ROOT = Path(__file__).parents[2]
STUDY = ROOT / "search_spaces" / "agentic_datacenter.yaml"
RESULT = ROOT / "results" / "benchmarks" / "evaluation.json"
PEERS = Path(__file__).with_name("peers_decode.py")
SEED = 1
BLOCK = 128
"""Designs of a block."""
TARGET = 1e6
"""Scored a second by all processes, tables made in the time."""
KINDS = ("random", "sound", "run", "arrays")
_worker: list[Evaluator] = []


class Counts(NamedTuple):
    """What one pass over a sample did."""

    designs: int
    seconds: float
    cpu: float
    scored: int
    timed: int
    rows: int
    tables: int


def start() -> None:
    """Give a worker its evaluator."""
    _worker[:] = [Evaluator.of(load(STUDY))]


def sample(evaluator: Evaluator, designs: int, seed: int, sound: bool) -> Designs:
    """Random designs; those that no limit of the hardware rules out, if asked for."""
    space = Space.of(evaluator.problem)
    if not sound:
        return space.sample(designs, seed)
    drawn = space.sample(6 * designs, seed)
    return drawn.take(np.flatnonzero(~blocks.block(evaluator.plan, drawn).doomed)[:designs])


def run(evaluator: Evaluator, designs: Designs) -> Counts:
    """Score designs block by block."""
    begun, used, rows = time.perf_counter(), time.process_time(), 0
    for first in range(0, len(designs), BLOCK):
        rows += len(evaluator(designs.take(slice(first, first + BLOCK))))
    seconds, cpu = time.perf_counter() - begun, time.process_time() - used
    plan = evaluator.plan
    tables = sum(len(shelf) for store in (plan._prefill, plan._decode) for shelf in store.values())
    return Counts(len(designs), seconds, cpu, 0, 0, rows, tables)


def load_machine_code(evaluator: Evaluator, designs: Designs) -> None:
    """Have mixtures read by machine code from now on, if there is a compiler."""
    readings._count[0] = readings.MADE
    run(evaluator, designs.take(slice(BLOCK)))


def counted(evaluator: Evaluator, designs: Designs) -> tuple[int, int]:
    """Points scored and points whose latency was read, in a pass of its own."""
    scored = timed = 0

    def read(shape: ClassShape, operation: Operation, whole: Waiting, per_output: FloatArray) -> FloatArray:
        nonlocal timed
        timed += per_output.size
        return tails.in_time(shape, operation, whole, per_output)

    for first in range(0, len(designs), BLOCK):
        block = blocks.block(evaluator.plan, designs.take(slice(first, first + BLOCK)))
        drafts = [screening.drafted(evaluator.plan, block, agent) for agent in range(len(evaluator.plan.classes))]
        scored += sum(item.design.size for item in drafts)
        with patch.object(screening, "in_time", read):
            screening.screened(evaluator.plan, block)
    return scored, timed


def measured(task: tuple[int, int, bool, bool]) -> dict[str, Counts]:
    """Score one worker's sample with tables to make and machine code to load, then without."""
    designs, seed, sound, arrays = task
    start()
    evaluator = _worker[0]
    drawn = sample(evaluator, designs, seed, sound)
    with patch.object(tails, "pays", (lambda count: False) if arrays else readings.pays):
        cold = run(evaluator, drawn)
        load_machine_code(evaluator, drawn)
        warm = run(evaluator, drawn)
    scored, timed = counted(evaluator, drawn)
    return {name: part._replace(scored=scored, timed=timed) for name, part in (("cold", cold), ("warm", warm))}


def rates(parts: list[Counts], classes: int) -> dict[str, float]:
    """Rates of all processes together, by wall clock and by processor time."""
    seconds, cpu = max(part.seconds for part in parts), sum(part.cpu for part in parts)
    total = Counts(*(sum(column) for column in zip(*parts, strict=True)))
    return {
        "designs_per_s": total.designs / seconds,
        "scored_per_s": total.scored / seconds,
        "read_per_s": total.timed / seconds,
        "combined_per_s": total.rows * classes / seconds,
        "designs_per_cpu_s": total.designs / cpu,
        "scored_per_cpu_s": total.scored / cpu,
        "combined_per_cpu_s": total.rows * classes / cpu,
        "scored_per_design": total.scored / total.designs,
        "read_per_design": total.timed / total.designs,
        "combined_per_design": total.rows * classes / total.designs,
    }


def peak(designs: int) -> dict[str, float]:
    """Memory of a fresh process before and after it scores designs block by block, and what its tables hold [MB]."""
    start()
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e3
    run(_worker[0], sample(_worker[0], designs, SEED, False))
    plan = _worker[0].plan
    shelves = [shelf.rows for store in (plan._prefill, plan._decode) for shelf in store.values()]
    tables = sum(bytes_of(store) for store in (*shelves, plan._asked, plan._alone))
    return {"start": before, "peak": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e3, "tables": tables / 1e6}


def bytes_of(item: Any) -> int:
    """Bytes of the arrays in nested tuples and dictionaries; an array met twice counts twice."""
    if isinstance(item, np.ndarray):
        return item.nbytes
    values = item.values() if isinstance(item, dict) else item if isinstance(item, tuple) else ()
    return sum(bytes_of(value) for value in values)


PARTS = {
    "tables": ("plan.prefill_tables", "plan.decode_tables"),
    "levers to columns": ("block.block",),
    "rows and pairs": ("classes.pairing",),
    "cost, energy, slacks": ("screening.drafted",),
    "latency at the percentile": ("screening._served", "screening._repaired"),
    "combination": ("combine.combine",),
    "all columns of what stays": ("classes.scored", "evaluation.assembled"),
}
"""Parts of an evaluation and the functions that do them; a part without those that it calls and that are parts."""
INSIDE = {"rows and pairs": "tables", "cost, energy, slacks": "rows and pairs"}
"""Parts that contain another one."""


def profile(designs: int, warm: bool) -> dict[str, float]:
    """Share of the time by part, and of physics in the whole, from a profile of one process."""
    start()
    evaluator = _worker[0]
    drawn = sample(evaluator, designs, SEED, True)
    load_machine_code(Evaluator.of(evaluator.problem), drawn)
    if warm:
        run(evaluator, drawn)
    tails._tail.cache_clear()
    meter = cProfile.Profile()
    meter.runcall(run, evaluator, drawn)
    entries = pstats.Stats(meter).stats.items()  # type: ignore[attr-defined]
    found = {f"{Path(place[0]).stem}.{place[2]}": entry[3] for place, entry in entries}
    total = found["bench_evaluation.run"]
    shares = {part: sum(found.get(name, 0.0) for name in names) / total for part, names in PARTS.items()}
    whole = dict(shares)
    for part, inner in INSIDE.items():
        shares[part] -= whole[inner]
    physics = sum(entry[2] for place, entry in entries if of_physics(place))
    library = sum(entry[2] for place, entry in entries if place[0] == "~" or "numpy" in place[0])
    shares["rest"] = 1 - sum(shares.values())
    called = _under_physics(meter)
    return {name: round(value, 3) for name, value in shares.items()} | {
        "physics": round((physics + called) / total, 3),
        "array library": round(library / total, 3),
    }


def of_physics(place: tuple[str, int, str]) -> bool:
    """Whether a function is an equation, or reads mixtures by the loop that stands for one."""
    read = Path(place[0]).stem == "readings" and place[2] in ("readings", "within")
    return f"{os.sep}physics{os.sep}" in place[0] or read


def _under_physics(meter: cProfile.Profile) -> float:
    """Time of library functions called straight from physics."""
    stats = pstats.Stats(meter).stats  # type: ignore[attr-defined]
    found = 0.0
    for place, (*_, callers) in stats.items():
        if f"{os.sep}dse{os.sep}" not in place[0]:
            found += sum(own[3] for caller, own in callers.items() if of_physics(caller))
    return found


def peers() -> dict[str, Any]:
    """Decode steps of the same model on the same devices per second, by the tools that another interpreter has."""
    python = os.environ.get("DSE_PEERS")
    if not python:
        return {"note": "DSE_PEERS names no interpreter that has them"}
    made = subprocess.run([python, str(PEERS)], capture_output=True, text=True, timeout=600, check=False)
    if made.returncode:
        return {"note": (made.stderr.strip().splitlines() or ["failed"])[-1]}
    return dict(json.loads(made.stdout.splitlines()[-1]))


def own_steps() -> dict[str, float]:
    """Our decode steps per second on the points of the peers: all of them at once, and a hundred contexts of each."""
    start()
    plan = _worker[0].plan
    agent = next(index for index, item in enumerate(plan.classes) if item.agent.model.id == "llama_3_1_70b")
    site = plan.site(TableKey(agent, "h100_sxm", "native", 0.0, "fp8", "bf16", 0))
    tensor, batch = (column.ravel() for column in np.meshgrid((1, 2, 4, 8), 2 ** np.arange(9)))
    one = np.ones_like(tensor)
    found = {}
    for name, contexts in (("passes_per_s", 1), ("passes_per_s_in_arrays_of_3600", 100)):
        grid = Grid(tensor, one, one, tensor, one, one, batch).repeated(contexts)
        context = np.repeat(np.linspace(8192, 9000, contexts), tensor.size)
        asked = demand.Load(grid.size, 1.0, context)
        timed(site, grid, asked)
        repeat, begun = 50, time.perf_counter()
        for _ in range(repeat):
            timed(site, grid, asked)
        found[name] = grid.size.size * repeat / (time.perf_counter() - begun)
    return found


def main() -> None:
    """Measure, print and store."""
    given = [int(argument) for argument in sys.argv[1:]]
    designs, whole, processes = [*given, *(512, 3000, 2)[len(given) :]]
    context, classes = get_context("spawn"), len(load(STUDY).agents)
    result: dict[str, Any] = {
        "study": STUDY.stem,
        "processes": processes,
        "designs_per_process": designs,
        "designs_of_run": whole,
    }
    for kind in KINDS:
        count = whole if kind == "run" else designs
        tasks = [(count, SEED + worker, kind != "random", kind == "arrays") for worker in range(processes)]
        with ProcessPoolExecutor(processes, context) as pool:
            parts = list(pool.map(measured, tasks))
        result[kind] = {name: rates([part[name] for part in parts], classes) for name in ("cold", "warm")}
        result[kind]["tables"] = max(part["cold"].tables for part in parts)
    result["run_rate"] = result["run"]["cold"]["scored_per_s"]
    result["run_cpu_rate"] = processes * result["run"]["cold"]["scored_per_cpu_s"]
    result["compiler"] = compiled.available()
    with ProcessPoolExecutor(1, context, max_tasks_per_child=1) as pool:
        result["memory_mb"] = {count: pool.submit(peak, count).result() for count in (256, 1024)}
        result["profile"] = {
            name: pool.submit(partial(profile, warm=name == "warm"), 256).result() for name in ("cold", "warm")
        }
        result["decode_steps"] = {"dse": pool.submit(own_steps).result(), "peers": peers()}
    RESULT.parent.mkdir(parents=True, exist_ok=True)
    RESULT.write_text(json.dumps(result, indent=1) + "\n")
    RESULT.with_suffix(".md").write_text(text(result))
    print(RESULT.with_suffix(".md").read_text())


def text(result: dict[str, Any]) -> str:
    """The result as a page."""
    lines = ["# Speed of evaluation", "", (__doc__ or "").split("\n\n", 1)[1].strip(), ""]
    heads = ("designs", "tables", "designs/cpu s", "scored/cpu s", "combined/cpu s", "scored/s", "read/s", "combined/s")
    keys = (
        *("designs_per_cpu_s", "scored_per_cpu_s", "combined_per_cpu_s", "scored_per_s", "read_per_s"),
        "combined_per_s",
    )
    rows = [
        [kind, f"{result[kind]['tables']:,} made" if name == "cold" else "there"]
        + [f"{result[kind][name][key]:,.0f}" for key in keys]
        for kind in KINDS
        for name in ("cold", "warm")
    ]
    lines += [
        f"Study `{result['study']}`, {result['processes']} processes of {result['designs_per_process']} designs, "
        f"{result['designs_of_run']} of `run`; a compiler is {'' if result['compiler'] else 'not '}installed.",
        "",
        *table(heads, rows),
        "",
        f"The target is {TARGET:,.0f} scored/s with tables made: `run` reaches {result['run_rate']:,.0f}, "
        f"by processor time {result['run_cpu_rate']:,.0f}. Reading mixtures by machine code makes scoring "
        f"{result['sound']['warm']['designs_per_cpu_s'] / result['arrays']['warm']['designs_per_cpu_s']:.2f} times as "
        "fast as in arrays.",
        "",
    ]
    cold, warm = result["profile"]["cold"], result["profile"]["warm"]
    shares = [[name, f"{100 * cold[name]:.0f} %", f"{100 * warm[name]:.0f} %"] for name in cold]
    lines += [*table(("part of the time, sound designs", "tables to make", "tables there"), shares), ""]
    lines += ["*physics* and *array library* cut across the parts: equations with what they call, and numpy.", ""]
    peaks = [
        [str(count), *(f"{value[name]:.0f}" for name in ("start", "tables", "peak"))]
        for count, value in result["memory_mb"].items()
    ]
    lines += [*table(("designs", "MB before the first", "MB of tables", "MB at most"), peaks), ""]
    steps = {"dse": result["decode_steps"]["dse"], **result["decode_steps"]["peers"]}
    lines += ["Decode steps of Llama 3.1 70B on H100, the same 36 points, one process:", ""]
    lines += ["```", json.dumps(steps, indent=1), "```", ""]
    return "\n".join(lines)


def table(heads: Sequence[str], rows: Sequence[Sequence[str]]) -> list[str]:
    """Lines of a table."""
    return [f"| {' | '.join(row)} |" for row in (heads, ["---"] * len(heads), *rows)]


if __name__ == "__main__":
    main()
