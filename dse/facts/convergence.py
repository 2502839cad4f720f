"""When a search has converged: its hypervolume gains less than a threshold over a window.

Written `converged`, `converged 0.1 %`, `converged 0.1 % over 2000 evaluations` or `converged 0.5 % over 30 s`.
"""

import re
from typing import NamedTuple

GAIN = 1e-3
"""Gain of hypervolume below which a window counts as converged: a tenth of a percent."""

WINDOW = 2000
"""Evaluations of a window that is not stated: enough for some generations of the search."""

PATTERN = re.compile(
    r"converged(?:\s+(?P<gain>\d*\.?\d+)\s*%)?"
    r"(?:\s+over\s+(?P<window>\d[\d_]*\.?\d*)\s*(?P<unit>s|min|h|evaluations?))?",
    re.IGNORECASE,
)
SECONDS = {"s": 1.0, "min": 60.0, "h": 3600.0}
"""Words for time."""


class Convergence(NamedTuple):
    """A search ends when a window of at least this length gained less than this."""

    gain: float = GAIN
    """Part of the hypervolume."""
    evaluations: float = WINDOW
    seconds: float = 0.0

    def __str__(self) -> str:
        """Return the text that `convergence` reads."""
        window = f"{self.seconds:g} s" if self.seconds else f"{int(self.evaluations)} evaluations"
        return f"converged {100 * self.gain:g} % over {window}"


def convergence(text: str) -> Convergence | None:
    """Read a condition of convergence; None for a text that is none.

    >>> str(convergence("converged 0.5 % over 1 min"))
    'converged 0.5 % over 60 s'
    >>> str(convergence("converged"))
    'converged 0.1 % over 2000 evaluations'
    """
    found = PATTERN.fullmatch(text.strip())
    if found is None:
        return None
    gain = float(found["gain"]) / 100 if found["gain"] else GAIN
    if found["window"] is None:
        return Convergence(gain)
    length, unit = float(found["window"].replace("_", "")), found["unit"].lower()
    if unit in SECONDS:
        return Convergence(gain, 0.0, length * SECONDS[unit])
    return Convergence(gain, length)
