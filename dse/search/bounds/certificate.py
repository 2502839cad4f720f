"""The certificate of a front: how far it can be from the true one, in numbers and in a sentence."""

import hashlib
import json
import math
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

from dse.arrays import FloatArray
from dse.search import pareto

CERTIFICATE = "certificate.json"
"""File in the folder of a run."""


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
                f"not within {_percent(self.epsilon)}: {self.beating:,} scored designs beat the front, by up to "
                f"{_percent(self.beaten_by)} in every objective; continue the search"
            )
        if self.complete:
            if self.epsilon == 0:
                return f"proved exact: none of the {self.designs:,} designs can beat the front"
            return (
                f"proved: none of the {self.designs:,} designs can beat the front by more than {_percent(self.epsilon)}"
            )
        what = f"more than {_percent(self.epsilon)} in any objective" if self.epsilon else "anything"
        return (
            f"no design can beat the front by {what} in {_percent(self.share)} of the space; "
            f"{_percent(1 - self.share)} ({self.left:.3g} designs) left"
        )

    def json(self) -> dict[str, Any]:
        """Return the certificate for files and programs."""
        return asdict(self) | {"share": self.share, "complete": self.complete, "sentence": self.sentence()}


def identity(front: FloatArray) -> str:
    """SHA-256 of the scores of a front: a certificate speaks about one front only."""
    return hashlib.sha256(np.ascontiguousarray(pareto.rounded(front)).tobytes()).hexdigest()


def stated(folder: Path, now: FloatArray) -> str | None:
    """Sentence of the certificate of a run whose front has these scores; None without one for this front."""
    try:
        found = json.loads((folder / CERTIFICATE).read_text(encoding="utf-8"))
        return str(found["sentence"]) if found["of"] == identity(now) else None
    except (OSError, ValueError, KeyError, TypeError):
        return None


def _percent(share: float) -> str:
    """Share in percent; what is not all is never shown as all."""
    text = f"{100 * share:.3g} %"
    return text if share >= 1 or text != "100 %" else f"{math.floor(1e4 * share) / 100:.2f} %"
