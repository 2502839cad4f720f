"""Engines by name, and the choice between them."""

from collections.abc import Mapping
from functools import partial
from importlib.util import find_spec
from typing import NamedTuple

from dse.facts.errors import Mistake, SpecError, did_you_mean
from dse.search.engines import evolution, sweeps
from dse.search.engines.proposals import Engine, Proposals, Start, State

ARRAY_ENGINES: Mapping[str, Engine] = {
    "exhaustive": sweeps.exhaustive,
    "random": sweeps.random,
    "sobol": sweeps.sobol,
    "evolution": evolution.evolution,
    "polish": evolution.polish,
    "evolution_polish": evolution.evolution_polish,
}
"""Engines that propose blocks."""

SAMPLER_ENGINES = ("tpe", "nsga2", "nsga3", "gp", "qmc")
"""Optuna samplers that propose architectures one by one."""

NAMES = ("auto", *ARRAY_ENGINES, *SAMPLER_ENGINES)
"""What `sampler:` of a study may say."""

SLOW = 0.25
"""Seconds per design from which a model of the objectives (TPE) pays for its own time of some 20 ms."""

FEW = 1000
"""Designs up to which TPE is worth its growing cost."""


class Outlook(NamedTuple):
    """What is known when an engine is chosen."""

    size: int
    """Designs in the space."""
    evaluations: float
    """Designs that fit the budget, infinite without one."""
    seconds_per_design: float
    """Measured on the first sample, all workers together."""


class Choice(NamedTuple):
    """An engine and the sentence that says why."""

    name: str
    reason: str


def choose(outlook: Outlook) -> Choice:
    """Engine for `auto`: every design if the budget allows, else what learns most from each design.

    >>> choose(Outlook(400, 10_000, 1e-3)).reason
    'exhaustive: all 400 designs fit the budget'
    """
    size, affordable, seconds = outlook
    if size <= affordable:
        return Choice("exhaustive", f"exhaustive: all {size:,} designs fit the budget")
    share = f"the budget allows about {affordable:,.0f} of {size:,} designs"
    if seconds >= SLOW and affordable <= FEW:
        return Choice("tpe", f"tpe: {share}, and each takes {seconds:.2g} s")
    return Choice("evolution_polish", f"evolution with local search: {share}")


def engine(name: str) -> Engine:
    """Engine by name; Optuna is imported only for its own samplers."""
    if name in ARRAY_ENGINES:
        return ARRAY_ENGINES[name]
    if name == "gp" and find_spec("torch") is None:
        why = "the sampler `gp` needs the package torch: install it, or choose `tpe`"
        raise SpecError([Mistake("", 0, 0, "sampler", why)])
    if name in SAMPLER_ENGINES:
        return partial(_sampler, name)
    why = f"unknown sampler `{name}`: known are {', '.join(NAMES)}.{did_you_mean(name, NAMES)}"
    raise SpecError([Mistake("", 0, 0, "sampler", why)])


def _sampler(name: str, start: Start, state: State | None) -> Proposals:
    from dse.search.engines.optuna_engine import sampler_engine

    return sampler_engine(name)(start, state)
