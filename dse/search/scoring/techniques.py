"""Software techniques as factors on what physics sees: compressed KV and partial sums, kernels of attention."""

from typing import NamedTuple

from dse.facts.levers import FUSED
from dse.facts.problem import Problem
from dse.facts.technologies import Technique
from dse.physics.calibration import Calibration, Curves
from dse.search.scoring.passes import WIDTH

BITS = 8.0
"""Bits of a byte."""

PERCENT = 100.0
"""Quality of a model without any technique [percent]."""

SCORE_WIDTH = 2.0
"""Bytes of an attention score that leaves the chip: unfused kernels keep it in the format of the activations [B]."""

SUM_WIDTH = 2.0
"""Bytes of a partial sum before compression: bf16 [B]."""

KV, SUMS, KERNEL = "kv_compression", "activation_compression", "attention_kernel"
LEVERS = (KV, SUMS, KERNEL)
"""Levers whose choices are techniques."""


class Coding(NamedTuple):
    """What compressing data does to its size, and what it costs."""

    ratio: float = 1.0
    """Bytes before over bytes after [1]."""
    codec: float = 0.0
    """Time of one device per byte after compression [s/B]."""


def coding(technique: Technique | None, width: float) -> Coding:
    """Coding of elements of a width [B]; those that are narrower than what the technique leaves stay as they are.

    >>> from dse.facts.catalog import technique
    >>> coding(technique("kv_int4"), 2.0).ratio, coding(technique("kv_int4"), 0.5)
    (3.5555555555555554, Coding(ratio=1.0, codec=0.0))
    """
    if technique is None or technique.bits is None:
        return Coding()
    ratio = BITS * width / technique.bits.likely
    if ratio <= 1:
        return Coding()
    return Coding(ratio, ratio / technique.rate.likely if technique.rate else 0.0)


def known(problem: Problem, name: str) -> Technique | None:
    """Technique of a choice; none where the choice is none."""
    return problem.techniques.get(name)


def kv_coding(problem: Problem, name: str, kv_dtype: str) -> Coding:
    """Coding of KV stored in a format."""
    return coding(known(problem, name), WIDTH[kv_dtype])


def score_width(problem: Problem, kernel: str) -> float:
    """What of an attention score passes through memory, all passes together [B]."""
    own = known(problem, kernel)
    return SCORE_WIDTH * own.score_passes if own else 0.0


def constants(problem: Problem, calibration: Calibration, sums: str, kernel: str) -> Calibration:
    """Constants of the time model with a coding of partial sums and a kernel of attention."""
    made, own = coding(known(problem, sums), SUM_WIDTH), known(problem, kernel)
    if made.ratio > 1:
        network = calibration.network._replace(coded_ratio=made.ratio, codec=made.codec / made.ratio)
        calibration = calibration._replace(network=network)
    if own is None or kernel == FUSED:
        return calibration
    curves = (curve._replace(floor=own.core_kernels * curve.floor) for curve in calibration.attention)
    return calibration._replace(attention=Curves(*curves), projection_kernels=own.projection_kernels)


def recovery(problem: Problem, *names: str) -> float:
    """Quality that techniques keep together, percent of the same model without them."""
    kept = PERCENT
    for name in names:
        own = known(problem, name)
        kept *= own.recovery.likely / PERCENT if own and own.recovery else 1.0
    return kept
