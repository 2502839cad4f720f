"""The certificate of a front: how far it can be from the true one, in numbers and in a sentence."""

import hashlib
import json
import math
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from dse.arrays import FloatArray
from dse.search import pareto

CERTIFICATE = "certificate.json"
"""File in the folder of a run."""

SHARES = (0.9, 0.99, 1.0)
"""Shares of a space for which the smallest proved margin is told [1]."""


class Step(NamedTuple):
    """One step of the curve of a certificate."""

    epsilon: float
    designs: int
    """Designs that are proved not to beat the front by more."""


class Part(NamedTuple):
    """A part of what is left."""

    where: dict[str, str]
    """Lever -> its only choice; empty for all the smaller parts together."""
    designs: int
    boxes: int
    unseen: int
    """Designs of boxes that nobody looked at before the end."""
    epsilon: float | None
    """Margin that is proved for all of the part, if any."""
    latency: tuple[float, float | None] | None
    """Latencies over the target at which bounds lie below the front by more than the margin asked for."""
    faster: bool
    """Whether bounds allow a latency that no member of the front has."""
    levers: tuple[str, ...]
    """Levers that its boxes still hold several choices of, the widest first."""

    def reason(self, epsilon: float) -> str:
        """Why it is left, in words."""
        if self.latency is None:
            return "not looked at before the end"
        low, high = self.latency
        where = f"above {low:.3g}" if high is None else f"at {low:.3g} to {high:.3g}"
        what = f"bounds are more than {percent(epsilon)} below the front {where} of the latency target"
        return f"{what}; no member is as fast" if self.faster else what


@dataclass(frozen=True)
class Certificate:
    """What is proved about a front; counts are exact and add up to `designs`."""

    study: str
    epsilon: float
    designs: int
    infeasible: int
    """Designs whose hardware or number formats violate a requirement, whatever their mapping."""
    covered: int
    """Designs that bounds prove cannot beat the front by more than epsilon."""
    scored: int
    """Designs that were scored and do not."""
    beating: int
    """Designs that were scored and do: the front is not within epsilon of the true one."""
    left: int
    """Designs about which nothing is proved."""
    beaten_by: float
    """Largest factor, less one, by which all objectives of the front's nearest member are beaten."""
    unbounded: tuple[str, ...]
    """Objectives for which there is no bound, so that only infeasible parts were excluded."""
    rows: int
    """Members of the front that were used."""
    boxes: int
    seconds: float
    curve: tuple[Step, ...] = ()
    """Designs that are proved not to beat the front by more than each of some margins."""
    rest: tuple[Part, ...] = ()
    """What is left, by hardware, the largest part first."""

    def smallest(self, share: float) -> float | None:
        """Smallest margin that is proved in a share of the space; None if none of the curve is."""
        return next((step.epsilon for step in self.curve if step.designs >= share * self.designs), None)

    @property
    def share(self) -> float:
        """Share of the space in which nothing beats the front by more than epsilon [1]."""
        return (self.designs - self.left - self.beating) / max(self.designs, 1)

    @property
    def complete(self) -> bool:
        """Whether nothing is left, and nothing beats the front."""
        return self.left == 0 and self.beating == 0

    def sentence(self) -> str:
        """The certificate in words."""
        if self.beating:
            return (
                f"not within {percent(self.epsilon)}: {self.beating:,} scored designs beat the front, by up to "
                f"{percent(self.beaten_by)} in every objective; continue the search"
            )
        if self.complete:
            proved = self.smallest(1.0)
            if proved == 0:
                return f"proved exact: none of the {self.designs:,} designs can beat the front"
            margin = percent(self.epsilon if proved is None else proved)
            return f"proved: none of the {self.designs:,} designs can beat the front by more than {margin}"
        what = f"more than {percent(self.epsilon)} in any objective" if self.epsilon else "anything"
        return (
            f"no design can beat the front by {what} in {percent(self.share)} of the space; "
            f"{percent(1 - self.share)} ({self.left:.3g} designs) left{self._wider()}"
        )

    def _wider(self) -> str:
        """Margins that are proved in more of the space."""
        found = {share: self.smallest(share) for share in SHARES if share > self.share}
        told = [f"{percent(one)} in {percent(share)}" for share, one in found.items() if one is not None]
        return f"; within {', within '.join(told)}" if told else ""

    def margins(self) -> str:
        """Share of the space that is proved within each margin, in words; steps that add nothing are left out."""
        told, last = [], -1.0
        for step in self.curve:
            share = step.designs / max(self.designs, 1)
            if percent(share) != percent(max(last, 0.0)) or last < 0:
                told.append(f"{percent(share)} within {percent(step.epsilon)}")
            last = share
        return " · ".join(told)

    def told(self, part: Part) -> str:
        """One part of what is left, in words."""
        where = ", ".join(f"{name} {choice}" for name, choice in part.where.items()) or "smaller parts"
        levers = f"; undivided: {', '.join(part.levers)}" if part.levers else ""
        share = percent(part.designs / max(self.left, 1))
        return f"{share} of what is left: {where}: {part.reason(self.epsilon)}{levers}"

    def json(self) -> dict[str, Any]:
        """Return the certificate for files and programs."""
        curve = [step._asdict() | {"share": step.designs / max(self.designs, 1)} for step in self.curve]
        told = {
            "share": self.share,
            "complete": self.complete,
            "sentence": self.sentence(),
            "smallest": {f"{share:g}": self.smallest(share) for share in SHARES},
            "curve": curve,
            "rest": [part._asdict() | {"reason": part.reason(self.epsilon)} for part in self.rest],
        }
        return asdict(self) | told


def identity(front: FloatArray) -> str:
    """SHA-256 of the scores of a front: a certificate speaks about one front only."""
    return hashlib.sha256(np.ascontiguousarray(pareto.rounded(front)).tobytes()).hexdigest()


def stated(folder: Path, now: FloatArray) -> str | None:
    """Sentence of the certificate of a run whose front has these scores; None without one for this front."""
    try:
        found = json.loads((folder / CERTIFICATE).read_text(encoding="utf-8"))
        return str(found["sentence"]) if identity(now) in found["of"] else None
    except (OSError, ValueError, KeyError, TypeError):
        return None


def percent(share: float) -> str:
    """Share in percent; what is not all is never shown as all."""
    text = f"{100 * share:.3g} %"
    return text if share >= 1 or text != "100 %" else f"{math.floor(1e4 * share) / 100:.2f} %"
