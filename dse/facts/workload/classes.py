"""Workload classes: what one kind of agent asks of the system, distilled from its sessions.

`load_workload("coding")` reads a class of the catalog, `load_workload("my/class.yaml")` one's own;
`from_trace` makes one from a recorded file. All take the same way: step table, context policy, distillation.
"""

import re
from dataclasses import dataclass
from functools import lru_cache
from importlib import resources
from pathlib import Path
from typing import Literal, NamedTuple, Self

import numpy as np
import yaml
from numpy.typing import ArrayLike
from pydantic import model_validator

from dse.arrays import FloatArray
from dse.facts import reader
from dse.facts.errors import Mistake, SpecError, did_you_mean, listed
from dse.facts.quantities import Flag, Fraction, Positive, Ratio, Seconds, Strict, Tokens, Uncertain
from dse.facts.workload import sessions, traces
from dse.facts.workload.atoms import Atoms
from dse.facts.workload.atoms_cache import cached_atoms
from dse.facts.workload.distill import Curves, Moments, curves, moments
from dse.facts.workload.policies import POLICIES, Policy, apply, combine
from dse.facts.workload.profiles import Profile, generate
from dse.facts.workload.subagents import SubAgents, dealt

SUFFIXES = (".yaml", ".yml")
_ID = re.compile(r"[a-z][a-z0-9_]*$")


class Slo(Strict):
    """Latency limits of the class; both hold at `percentile`."""

    ttft: Seconds
    """Time to first token [s]."""
    tpot: Seconds
    """Time per output token after the first [s]."""
    percentile: Fraction = 0.95
    """Share of steps that must meet the limits [1]."""
    estimate: Flag = True
    """False only for published limits."""
    source: str
    """Who says so."""


class Arriving(Strict):
    """How sessions of the class arrive."""

    scv: Ratio
    """Squared coefficient of variation of the time between arrivals [1]; 1 for a Poisson process."""
    estimate: Flag = False
    """False only where measured."""
    source: str
    """Trace it was measured on."""


class PolicyChoice(Strict):
    """Context policy of the class, unless a study states another."""

    name: Literal["append_only", "page_replaced", "keep_last_n", "compaction", "truncation"] = "append_only"
    """What the agent does with a growing context."""
    keep: Positive | None = None
    """Observations kept, for keep_last_n."""
    target: Fraction | None = None
    """Share of the budget that remains after compaction or truncation [1]."""
    source: str = "assumption"
    """Who says so."""


class WorkloadFile(Strict):
    """What the YAML file of a class says."""

    id: str
    """Name in studies, lower_snake."""
    description: str
    """The class in a few words."""
    source: str
    """Where the sessions come from."""
    licence: str
    """Terms of the source and whom to credit."""
    estimate: Flag
    """False only where the sessions are recorded, not generated."""
    notes: tuple[str, ...] = ()
    """What is derived and how; what the source lacks."""
    table: str | None = None
    """Step table beside this file, as written by `write`."""
    profile: Profile | None = None
    """Percentiles to generate the step table from."""
    shared_prefix: Uncertain[Tokens]
    """Leading tokens that all sessions of the class share [tok]: system prompt and tool definitions."""
    policy: PolicyChoice = PolicyChoice()
    """Context policy."""
    slo: Slo | None = None
    """Latency limits."""
    arrivals: Arriving | None = None
    """Burstiness, where known."""

    @model_validator(mode="after")
    def _one_origin(self) -> Self:
        if (self.table is None) == (self.profile is None):
            raise ValueError("expected either a table or a profile")
        if not _ID.match(self.id):
            raise ValueError(f"id {self.id}: expected lower_snake, for example my_agent")
        return self


class Overrides(NamedTuple):
    """What a study may say about a class beside its file."""

    policy: str | None = None
    """One of `POLICIES`, combined with the policy of the class; None keeps the latter."""
    max_context: float | None = None
    """Longest prompt plus answer that the model accepts [tok]."""
    keep: int | None = None
    """Observations kept, for keep_last_n."""
    target: float | None = None
    """Share of the budget that remains after compaction or truncation [1]."""
    subagents: SubAgents | None = None
    """Parallel sub-agents that share each task."""


class Longest(NamedTuple):
    """Quantiles over sessions of the longest prompt plus answer [tok]."""

    p50: float
    p90: float
    p95: float
    p99: float
    maximum: float


@dataclass(frozen=True, eq=False)
class Workload:
    """A class of agents, distilled. Means are per step (one model call)."""

    id: str
    description: str
    source: str
    licence: str
    estimate: bool
    """False only where the sessions are recorded."""
    notes: tuple[str, ...]
    policy: Policy
    max_context: float | None
    """Limit the policy was applied with [tok]."""
    table: sessions.Steps
    """Every step under the policy, as recorded or generated: for replay."""
    steps: float
    """Mean steps per session, all agents of the session together."""
    sequences: float
    """Mean agents per session."""
    path_steps: float
    """Mean steps per session one after the other, those of parallel sub-agents beside each other."""
    shared_prefix: float
    """Leading tokens shared by all sessions, stored once per instance [tok]."""
    moments: Moments
    """As recorded: first steps find nothing cached."""
    served: Moments
    """As served: first steps find the shared prefix. What an evaluator uses, together with `curves`."""
    first_share: float
    """Share of first steps [1]."""
    prefix_break: float
    """Share of steps after the first, of all steps, with more than half the prompt fresh [1]."""
    curves: Curves
    representative: Atoms
    """Weighted atoms of the served steps, for quantiles."""
    longest: Longest
    overflow: float
    """Share of steps that exceed `max_context` under the policy [1]: more than 0 needs another policy."""
    slo: Slo | None
    arrivals: Arriving | None

    def prefill_tokens(self, retention: ArrayLike) -> FloatArray:
        """Expected tokens computed per step when KV is kept for `retention` [s]: fresh and lost ones."""
        return self.served.fresh + self.curves.at("miss_tokens", retention)

    def prefill_area(self, retention: ArrayLike) -> FloatArray:
        """Expected attention area per step when KV is kept for `retention` [s], in tok²."""
        return self.served.area + self.curves.at("miss_area", retention)


def names() -> tuple[str, ...]:
    """Classes of the catalog."""
    folder = resources.files("dse.facts") / "catalog" / "workloads"
    return tuple(sorted(Path(entry.name).stem for entry in folder.iterdir() if entry.name.endswith(SUFFIXES)))


def load_workload(
    id_or_path: str | Path,
    policy: str | None = None,
    max_context: float | None = None,
    keep: int | None = None,
    subagents: SubAgents | None = None,
) -> Workload:
    """Class of the catalog by id, or of a YAML file by path, under a context policy.

    Parameters
    ----------
    id_or_path : str or path
    policy : str, optional          one of `POLICIES`, combined with the policy of the class
    max_context : float, optional   longest prompt plus answer that the model accepts [tok]
    keep : int, optional            observations kept, for keep_last_n
    subagents : optional            parallel sub-agents that share each task

    >>> round(load_workload("coding").served.reuse, 2)
    0.96
    """
    path = _path(id_or_path)
    if policy is not None and policy not in POLICIES:
        message = f"{policy} is not a context policy.{did_you_mean(policy, POLICIES)} Known: {listed(POLICIES)}"
        raise SpecError([Mistake(str(path), 0, 0, "policy", message)])
    try:
        changed = path.stat().st_mtime_ns
    except (OSError, ValueError) as error:
        why = getattr(error, "strerror", None) or str(error)
        raise SpecError([Mistake(str(path), 0, 0, "", f"cannot be read: {why}")]) from error
    return _load(path, changed, Overrides(policy, max_context, keep, subagents=subagents))


def files_of(path: Path) -> tuple[Path, ...]:
    """File of a class, and the step table beside it where it names one."""
    table = reader.read(path).data.get("table")
    return (path, path.parent / table) if isinstance(table, str) else (path,)


@lru_cache(maxsize=64)
def _load(path: Path, _changed: int, overrides: Overrides) -> Workload:
    source = reader.read(path)
    written = reader.validate(WorkloadFile, source)
    try:
        with np.errstate(invalid="raise", over="raise"):
            if written.profile is not None:
                table = generate(written.profile, written.shared_prefix.likely)
            else:
                table = _table(path, source, str(written.table))
            return workload(written, table, overrides)
    except (FloatingPointError, OverflowError):
        why = "the numbers of this profile are beyond what any agent does: look for a wrong unit or a digit too many"
        raise SpecError([source.mistake(("profile",), why)]) from None


def workload(written: WorkloadFile, table: sessions.Steps, overrides: Overrides | None = None) -> Workload:
    """Class from its description and an append-only step table."""
    stated = overrides or Overrides()
    policy = combine(written.policy.name, Policy(), written.policy.keep, written.policy.target)
    if stated.policy is not None:
        policy = combine(stated.policy, policy, stated.keep, stated.target)
    shared = written.shared_prefix.likely
    table, path = dealt(table, stated.subagents or SubAgents(count=1), shared)
    sent = apply(policy, table, shared, stated.max_context)
    served = sessions.share_prefix(sent, shared)
    over = 0.0 if stated.max_context is None else float((sent.held > stated.max_context).mean())
    return Workload(
        id=written.id,
        description=written.description,
        source=written.source,
        licence=written.licence,
        estimate=written.estimate,
        notes=written.notes,
        policy=policy,
        max_context=stated.max_context,
        table=sent,
        steps=len(sent) / sent.sessions,
        sequences=sent.sequences / sent.sessions,
        path_steps=float(path.mean()),
        shared_prefix=shared,
        moments=moments(sent),
        served=moments(served),
        first_share=float(sent.first.mean()),
        prefix_break=float(sent.broken.mean()),
        curves=curves(sent, shared),
        representative=cached_atoms(sent, shared),
        longest=_longest(sent),
        overflow=over,
        slo=written.slo,
        arrivals=written.arrivals,
    )


def from_trace(
    path: str | Path, id: str | None = None, block: int = traces.BLOCK, overrides: Overrides | None = None
) -> Workload:
    """Class distilled from a recorded trace file; `traces` documents the layouts.

    The shared prefix is what all prompts of the file have in common, where it says so, else 0.

    Parameters
    ----------
    path : file
    id : str, optional              name of the class; by default made from the file's
    block : int                     tokens per prefix block of the Mooncake layout [tok]
    overrides : optional            policy and longest context
    """
    recording = traces.read_trace(path, block)
    return workload(described(recording, path, id), recording.steps, overrides)


def described(recording: traces.Recording, path: str | Path, id: str | None = None) -> WorkloadFile:
    """Description of a recording, to be completed by hand: no latency limits, terms unknown."""
    name = Path(path).name
    shared = recording.shared
    arriving = recording.arrivals
    return WorkloadFile(
        id=id or re.sub(r"[^a-z0-9]+", "_", f"trace_{Path(path).stem}".lower()).strip("_"),
        description=f"recorded in {name}",
        source=name,
        licence="not stated",
        estimate=False,
        table=f"{Path(path).stem}.npz",
        shared_prefix=Uncertain[Tokens].model_validate(
            {"likely": f"{shared} tok", "estimate": False, "source": f"common to all prompts of {name}"}
        ),
        arrivals=None if arriving is None else Arriving(scv=arriving.scv, source=name),
    )


def write(written: WorkloadFile, table: sessions.Steps, folder: str | Path) -> Path:
    """Write a class as `<id>.yaml` with its step table `<id>.npz`; returns the path for `load_workload`."""
    target = Path(folder)
    target.mkdir(parents=True, exist_ok=True)
    sessions.save(table, target / f"{written.id}.npz")
    named = written.model_copy(update={"table": f"{written.id}.npz", "profile": None})
    data = named.model_dump(mode="json", exclude_none=True)
    path = target / f"{written.id}.yaml"
    path.write_text(yaml.safe_dump(data, sort_keys=False, allow_unicode=True, width=110), encoding="utf-8")
    return path


def _path(id_or_path: str | Path) -> Path:
    text = str(id_or_path)
    if isinstance(id_or_path, Path) or text.endswith(SUFFIXES):
        return Path(id_or_path)
    if text not in names():
        message = f"{text} is not a workload.{did_you_mean(text, names())} Known: {listed(names())}; or a YAML file"
        raise SpecError([Mistake("", 0, 0, "workload", message)])
    return Path(str(resources.files("dse.facts") / "catalog" / "workloads" / f"{text}.yaml"))


def _table(path: Path, source: reader.Source, name: str) -> sessions.Steps:
    """Step table beside the YAML file."""
    file = path.parent / name
    if Path(name).name != name:
        raise SpecError([source.mistake(("table",), f"{name}: expected a file name in the folder of this file")])
    try:
        return sessions.load(file)
    except (OSError, ValueError) as error:
        message = f"{name}: cannot be read as a step table ({error}); make one with `dse workload from-trace`"
        raise SpecError([source.mistake(("table",), message)]) from error


def _longest(table: sessions.Steps) -> Longest:
    order = np.argsort(table.session, kind="stable")
    starts = np.flatnonzero(np.diff(table.session[order], prepend=-1))
    peak = np.maximum.reduceat(table.held[order], starts)
    return Longest(*np.quantile(peak, [0.5, 0.9, 0.95, 0.99, 1.0]).tolist())
