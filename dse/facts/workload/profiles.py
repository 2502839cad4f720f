"""Percentile profiles: a step table generated from published percentiles where no trace can be had.

Every law is a table of quantiles, joined by straight lines in the logarithm. Sizes of what tools return have
two parts: most are small, a few are huge, and the few carry most of the prefill work. The generator is
seeded and stratified (each law is sampled once in every n-th of its probability), so the same file gives the
same table.
"""

import re
from typing import Annotated, Generic, Self, TypeVar

import numpy as np
from pydantic import Field, field_validator, model_validator

from dse.arrays import FloatArray, IntArray
from dse.facts.quantities import Count, Flag, Fraction, Positive, Ratio, Seconds, Strict, Tokens
from dse.facts.workload.sessions import Steps, before, steps
from dse.facts.workload.sessions import Tokens as TokenColumns

_Number = TypeVar("_Number")
MOST = 20_000_000
"""Steps of a generated table, at most: it is held in memory, at some 100 bytes a step."""

_LEVEL = re.compile(r"p(100|\d{1,2}(\.\d+)?)$")


class Part(Strict, Generic[_Number]):
    """The rare, large part of a law."""

    share: Fraction
    """Share of the steps that draw from this part [1]."""
    quantiles: Annotated[dict[str, _Number], Field(min_length=1)]
    """Value at each level, written p0 to p100."""

    @field_validator("quantiles")
    @classmethod
    def _levels(cls, table: dict[str, _Number]) -> dict[str, _Number]:
        return _checked(table)


class Law(Strict, Generic[_Number]):
    """Distribution of one quantity over steps or sessions."""

    quantiles: Annotated[dict[str, _Number], Field(min_length=1)]
    """Value at each level, written p0 to p100; outside the levels given the nearest value holds."""
    huge: Part[_Number] | None = None
    """A second part for the few large values."""
    estimate: Flag = True
    """False only where every figure is published or measured."""
    source: str
    """Who says so; the rule where the figures are derived."""

    @field_validator("quantiles")
    @classmethod
    def _levels(cls, table: dict[str, _Number]) -> dict[str, _Number]:
        return _checked(table)


class Profile(Strict):
    """Session shape as percentiles; generates an append-only table, to which the class's policy applies."""

    sessions: Positive = 1500
    """Sessions generated: with 1,000, quantiles up to 99 % differ by about 3 % between seeds."""
    seed: Count = 0
    """Seed of the generator."""
    steps: Law[Ratio]
    """Model calls per session."""
    first: Law[Tokens]
    """First prompt with the shared prefix, without an observation [tok]."""
    first_observation: Flag = True
    """Whether the first prompt already shows an observation."""
    text: Law[Tokens]
    """Text appended in each later step, neither answer nor observation [tok]."""
    observation: Law[Tokens]
    """Page or screenshot shown in each step [tok]."""
    output: Law[Tokens]
    """Answer [tok]."""
    gap: Law[Seconds]
    """Time from an answer to the next request [s]."""
    prefix_break: Fraction = 0.0
    """Share of later steps that lose all but the shared prefix, apart from what the policy loses [1]."""

    @model_validator(mode="after")
    def _some_steps(self) -> Self:
        """Refuse a profile without steps, and one whose table would not fit the memory."""
        rare = self.steps.huge.quantiles if self.steps.huge else {}
        longest = max(*self.steps.quantiles.values(), *rare.values(), 1.0)
        if max(self.steps.quantiles.values()) < 1:
            raise ValueError("steps: expected at least one step per session")
        if self.sessions * longest > MOST:
            raise ValueError(f"sessions: {self.sessions:,} of up to {longest:,.0f} steps are more than {MOST:,} steps")
        return self


def generate(profile: Profile, shared: float) -> Steps:
    """Append-only step table of a profile; `shared` [tok] leads every prompt.

    Prompt `i` is prompt `i - 1`, its answer, new text and a new observation. As in recorded traces the
    answer counts as fresh: a cache keyed by prompts does not hold it.
    """
    random = np.random.default_rng(profile.seed)
    counts = np.maximum(np.rint(sample(profile.steps, profile.sessions, random)), 1).astype(np.int64)
    total = int(counts.sum())
    session: IntArray = np.repeat(np.arange(profile.sessions, dtype=np.int64), counts)
    first = np.concatenate([[True], np.diff(session) != 0])
    output = np.maximum(np.rint(sample(profile.output, total, random)), 1.0)
    observation = np.rint(sample(profile.observation, total, random))
    if not profile.first_observation:
        observation[first] = 0.0
    opening = np.rint(np.repeat(sample(profile.first, profile.sessions, random), counts))
    text = np.where(first, opening, np.rint(sample(profile.text, total, random)))
    gap = sample(profile.gap, total, random)
    blank = np.zeros(total)
    start = steps(session, gap, TokenColumns(blank, text + observation, output, observation))
    fresh = start.fresh + before(output, start)
    context = _cumulative(fresh, first)
    lost = ~first & (random.random(total) < profile.prefix_break)
    cached = np.where(lost, np.minimum(shared, context - fresh), context - fresh)
    return steps(session, gap, TokenColumns(cached, context - cached, output, observation))


def sample(law: "Law[float]", count: int, random: np.random.Generator) -> FloatArray:
    """(count,) stratified draws of a law, in random order."""
    values = _inverse(law.quantiles, _strata(count, random))
    if law.huge is None:
        return values
    large = random.permutation(count) < round(law.huge.share * count)
    values[large] = _inverse(law.huge.quantiles, _strata(int(large.sum()), random))
    return values


def _strata(count: int, random: np.random.Generator) -> FloatArray:
    """(count,) one uniform number in each of `count` equal parts of (0, 1), shuffled."""
    return np.asarray((random.permutation(count) + random.random(count)) / max(count, 1))


def _inverse(table: dict[str, float], level: FloatArray) -> FloatArray:
    """Quantile function: linear in log(1 + value) between the levels of the table."""
    levels = np.array([float(name[1:]) / 100 for name in table])
    order = np.argsort(levels)
    values = np.log1p(np.array(list(table.values()), dtype=np.float64))
    return np.asarray(np.expm1(np.interp(level, levels[order], values[order])))


def _cumulative(fresh: FloatArray, first: np.ndarray) -> FloatArray:
    """(n,) running sum that starts anew at each first step."""
    total = np.cumsum(fresh)
    starts = np.flatnonzero(first)
    return total - np.repeat(total[starts] - fresh[starts], np.diff(np.append(starts, len(fresh))))


def _checked(table: dict[str, _Number]) -> dict[str, _Number]:
    """The table, if its levels are p0 to p100 and its values do not fall."""
    wrong = [name for name in table if not _LEVEL.match(name)]
    if wrong:
        raise ValueError(f"{wrong[0]}: expected levels written p0 to p100, for example p50")
    ordered = [table[name] for name in sorted(table, key=lambda name: float(name[1:]))]
    if ordered != sorted(ordered):  # type: ignore[type-var]
        raise ValueError("quantiles fall where the level rises")
    return table
