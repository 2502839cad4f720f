"""How long a search may take: seconds, evaluations, or until nothing improves."""

import math
import re
from dataclasses import dataclass

from dse.facts.errors import Mistake, SpecError

SECONDS = {"s": 1.0, "min": 60.0, "h": 3600.0}
"""Words for time in a budget."""

PATTERN = re.compile(r"\+?\s*([\d_,]*\.?\d+(?:e\d+)?)\s*(s|min|h|evaluations?)", re.IGNORECASE)


@dataclass(frozen=True)
class Budget:
    """Limits of a search; whichever is reached first ends it."""

    seconds: float = math.inf
    evaluations: float = math.inf
    more: bool = False
    """Whether a resumed search gets this on top of what it has used, written "+60 s"."""

    def __str__(self) -> str:
        """Return the text that `budget` reads."""
        if math.isfinite(self.evaluations):
            return f"{int(self.evaluations)} evaluations"
        return f"{self.seconds:g} s" if math.isfinite(self.seconds) else "unlimited"

    def reached(self, seconds: float, evaluations: int) -> bool:
        """Whether a limit is reached."""
        return seconds >= self.seconds or evaluations >= self.evaluations

    def after(self, seconds: float, evaluations: int) -> "Budget":
        """Return the limits of a search that has used this much."""
        if not self.more:
            return self
        return Budget(self.seconds + seconds, self.evaluations + evaluations)

    def share(self, seconds: float, evaluations: int) -> float:
        """Part of the budget that is used, 0 to 1."""
        return min(max(seconds / self.seconds, evaluations / self.evaluations), 1.0)


def budget(text: str) -> Budget:
    """Read a budget; evaluations count architectures, each scored with all its mappings.

    >>> budget("60 s"), budget("20000 evaluations")
    (Budget(seconds=60.0, evaluations=inf, more=False), Budget(seconds=inf, evaluations=20000.0, more=False))
    """
    match = PATTERN.fullmatch(text.strip())
    if match is None:
        why = f'"{text}": a budget is a time or a count, for example "60 s" or "20000 evaluations"'
        raise SpecError([Mistake("", 0, 0, "budget", why)])
    more = text.strip().startswith("+")
    amount, word = float(match[1].replace(",", "").replace("_", "")), match[2].lower()
    if word in SECONDS:
        return Budget(seconds=amount * SECONDS[word], more=more)
    return Budget(evaluations=amount, more=more)
