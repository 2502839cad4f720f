"""Software techniques of a design in words: what they do, from which source, and the numbers they rest on."""

from typing import NamedTuple

from dse.facts.levers import FUSED, NONE
from dse.facts.technologies import Technique
from dse.insight.case import Case
from dse.insight.wording import number
from dse.search.scoring.techniques import KERNEL, KV, LEVERS, SUM_WIDTH, SUMS, coding, kv_coding


class Number(NamedTuple):
    """One number of a technique."""

    technique: Technique
    field: str
    unit: str


def kv_transfer(own: Case) -> str:
    """How KV is coded on links and below HBM; nothing where it is not.

    The ratio is that of the design's own KV format.
    """
    used = _used(own, KV)
    if used is None:
        return ""
    ratio = kv_coding(own.plan.problem, used.id, str(own.levers["kv_dtype"])).ratio
    return f"KV transfer compressed x{number(ratio)}, {_source(used)}"


def pass_words(own: Case) -> str:
    """What the techniques change about a pass; nothing where they change nothing."""
    words, sums, kernel = [], _used(own, SUMS), _used(own, KERNEL)
    if sums is not None:
        words.append(f"partial sums compressed x{number(coding(sums, SUM_WIDTH).ratio)}, {_source(sums)}")
    if kernel is not None and kernel.id != FUSED:
        if kernel.score_passes:
            words.append(f"attention scores pass memory {number(kernel.score_passes)} times, {_source(kernel)}")
        if kernel.projection_kernels < 1:
            words.append(f"projections fused with attention, {_source(kernel)}")
    return "; ".join(words)


def numbers(own: Case) -> list[Number]:
    """Numbers of the techniques of a design that an evaluation uses."""
    found = []
    for name in LEVERS:
        used = _used(own, name)
        if used is None:
            continue
        fields = (("bits", "1"), ("rate", "B/s"), ("recovery", "1"))
        found += [Number(used, field, unit) for field, unit in fields if getattr(used, field) is not None]
        plain = ("score_passes", "core_kernels", "projection_kernels")
        found += [Number(used, field, "1") for field in plain if getattr(used, field) != _PLAIN[field]]
    return found


_PLAIN = {"score_passes": 0.0, "core_kernels": 1.0, "projection_kernels": 1.0}
"""What a fused kernel has."""


def _used(own: Case, name: str) -> Technique | None:
    return own.plan.problem.techniques.get(str(own.levers.get(name, NONE)))


def _source(used: Technique) -> str:
    """Name and first source of a technique."""
    page = next(iter(used.sources), "this study").removeprefix("https://").replace("arxiv.org/abs/", "arXiv ")
    width = f"{number(used.bits.likely)} bits left; " if used.bits else ""
    return f"{used.name} ({width}{page})"
