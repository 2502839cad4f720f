"""What a search needs to know of a study: the space, the objectives, and how to score designs."""

import hashlib
import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from dse.facts.external import External
from dse.search.axes import Choice, Designs
from dse.search.engines.proposals import GENERATION
from dse.search.metrics import Goal, Metrics
from dse.search.space import Space


@dataclass(frozen=True)
class Question:
    """A study as the engines see it."""

    name: str
    space: Space
    goals: tuple[Goal, ...]
    evaluate: Callable[[Designs], Metrics]
    units: Mapping[str, str] = field(default_factory=dict)
    """Unit of each lever, mapping and metric that is not a pure number."""
    labels: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    """Words for the codes of a mapping column, by its last part."""
    resolved: str = ""
    """The study with everything written out, as text."""
    attachments: Mapping[str, Path] = field(default_factory=dict)
    """Files that the resolved study names: place beside it -> where the file is now."""
    external: External | None = None
    """Program that scores the promising rows of the front, if any."""
    block: int | None = None
    """Designs that a worker scores at a time; None takes what suits the model."""
    generation: int = GENERATION
    """Designs that a search proposes together, at first: more where they take less time than the proposal does."""

    def unit(self, name: str) -> str:
        """Unit of a column, by its full name or its last part; 1 for a pure number."""
        return self.units.get(name, self.units.get(name.rsplit(".", 1)[-1], "1"))

    def word(self, name: str, code: int) -> str:
        """Word for the code of a mapping column, or the number itself."""
        words = self.labels.get(name.rsplit(".", 1)[-1])
        return words[code] if words else str(code)

    @property
    def signature(self) -> dict[str, object]:
        """What two runs must share for one to continue the other."""
        levers: dict[str, list[Choice]] = {axis.name: list(axis.choices) for axis in self.space.axes}
        goals = [[goal.name, "maximize" if goal.maximize else "minimize"] for goal in self.goals]
        return {"levers": levers, "objectives": goals}

    @property
    def digest(self) -> str:
        """SHA-256 of the resolved study and of what the search sees of it."""
        text = self.resolved + json.dumps(self.signature, sort_keys=True)
        return hashlib.sha256(text.encode()).hexdigest()
