"""The cases by name: a study file each, and the function that draws its relations."""

from collections.abc import Callable, Mapping
from importlib import import_module
from pathlib import Path
from typing import NamedTuple

from dse.facts.errors import Mistake, SpecError, did_you_mean, listed
from dse.facts.problem import Problem, load
from dse.insight.cases.relation import Relation

Relations = Callable[[Problem], tuple[Relation, ...]]

MODULES: Mapping[str, str] = {
    "oi_cf_agents": "agents_plane",
    "lamina_attention_offload": "attention_offload",
    "afd_moe": "expert_offload",
    "liminal_limits": "liminal",
    "beyond_the_buzz": "disaggregation",
    "hetero_prefill_decode": "heterogeneous",
    "fullflat": "flat_fabric",
    "preserve_prefetch": "prefetch",
    "splitwise": "generations",
    "codesign_agent": "agent_design",
    "rubin_cpx": "context_part",
    "photonic_pool": "pooled_memory",
    "kv_tiers": "tiers",
    "hybrid_memory_models": "memory_models",
    "techniques": "software_techniques",
}
"""Case -> module that holds its relations."""


class Case(NamedTuple):
    """One published result."""

    name: str
    path: Path
    """Its study file."""
    problem: Problem
    relations: tuple[Relation, ...]


def study(name: str) -> Path:
    """Study file of a case, in a checkout or in the installed package."""
    if name not in MODULES:
        hint = did_you_mean(name, MODULES) or f" Known: {listed(MODULES, len(MODULES))}."
        raise SpecError([Mistake("", 0, 0, "case", f'there is no case "{name}".{hint}')])
    package = Path(__file__).parents[2]
    roots = (package.parent / "search_spaces", package / "search_spaces")
    return next(file for root in roots if (file := root / "cases" / f"{name}.yaml").is_file())


STARTS = ("Source:", "Reproduced", "Not reproduced")
"""Words with which the paragraphs of a header begin, after its question."""


def page(name: str) -> tuple[str, ...]:
    """Paragraphs of the header comment: question, source, what is reproduced and what cannot be."""
    lines = study(name).read_text(encoding="utf-8").splitlines()
    paragraphs: list[str] = []
    for line in (line.removeprefix("#").strip() for line in lines[1:] if line.startswith("#")):
        if not paragraphs or line.startswith(STARTS):
            paragraphs.append(line)
        elif line:
            paragraphs[-1] += f" {line}"
    return tuple(paragraphs)


def case(name: str) -> Case:
    """One case with its relations drawn."""
    path = study(name)
    problem = load(path)
    drawn: Relations = import_module(f"dse.insight.cases.{MODULES[name]}").relations
    return Case(name, path, problem, drawn(problem))
