"""How long a search may take: seconds, evaluations, or until nothing improves."""

import math
import re
from dataclasses import dataclass, replace

from dse.facts.convergence import SECONDS, Convergence, convergence
from dse.facts.errors import Mistake, SpecError

PATTERN = re.compile(r"([\d_,]*\.?\d+(?:e\d+)?)\s*(s|min|h|evaluations?)", re.IGNORECASE)
BETWEEN = re.compile(r"\s+or\s+|,\s+")
"""What stands between two limits."""


@dataclass(frozen=True)
class Budget:
    """Limits of a search; whichever is reached first ends it."""

    seconds: float = math.inf
    evaluations: float = math.inf
    more: bool = False
    """Whether a resumed search gets this on top of what it has used, written "+60 s"."""
    converged: Convergence | None = None
    """When the search has converged; None lets it go on."""

    def __str__(self) -> str:
        """Return the text that `budget` reads."""
        limits = [f"{self.seconds:g} s"] if math.isfinite(self.seconds) else []
        limits += [f"{int(self.evaluations)} evaluations"] if math.isfinite(self.evaluations) else []
        limits += [str(self.converged)] if self.converged else []
        return " or ".join(limits) or "unlimited"

    def reached(self, seconds: float, evaluations: int) -> bool:
        """Whether a limit is reached."""
        return seconds >= self.seconds or evaluations >= self.evaluations

    def after(self, seconds: float, evaluations: int) -> "Budget":
        """Return the limits of a search that has used this much."""
        if not self.more:
            return self
        return replace(self, seconds=self.seconds + seconds, evaluations=self.evaluations + evaluations, more=False)

    def share(self, seconds: float, evaluations: int) -> float:
        """Part of the budget that is used, 0 to 1."""
        return min(max(seconds / self.seconds, evaluations / self.evaluations), 1.0)


def budget(text: str) -> Budget:
    """Read a budget: limits joined by `or` or a comma; evaluations count architectures with all their mappings.

    >>> budget("60 s or 20000 evaluations")
    Budget(seconds=60.0, evaluations=20000.0, more=False, converged=None)
    >>> str(budget("+10 min or converged"))
    '600 s or converged 0.1 % over 2000 evaluations'
    """
    plain = text.strip()
    read = Budget(more=plain.startswith("+"))
    for part in BETWEEN.split(plain.removeprefix("+").strip()):
        read = _limited(read, part.strip(), text)
    return read


def _limited(read: Budget, part: str, text: str) -> Budget:
    found = convergence(part)
    if found is not None:
        return replace(read, converged=found)
    match = PATTERN.fullmatch(part)
    amount = float(match[1].replace(",", "").replace("_", "")) if match else 0.0
    if match is None or amount <= 0:
        why = (
            f'"{text}": a budget is a time, a count or convergence, for example "60 s", "20000 evaluations", '
            '"converged 0.1 % over 2000 evaluations" or several of them joined by "or"'
        )
        raise SpecError([Mistake("", 0, 0, "budget", why)])
    if match[2].lower() in SECONDS:
        return replace(read, seconds=amount * SECONDS[match[2].lower()])
    return replace(read, evaluations=amount)
