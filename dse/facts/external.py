"""The `evaluator:` section of a study: a program of the user that scores candidates after the analytic model."""

from typing import Annotated, Literal, TypeAlias

from pydantic import Field

from dse.facts.quantities import Positive, Quantity, Strict

Timeout: TypeAlias = Annotated[float, Quantity("s", positive=True)]


class External(Strict):
    """A program that reads candidates as JSON lines and answers with metrics as JSON lines."""

    command: Annotated[tuple[str, ...], Field(min_length=1)]
    """Program and arguments, started once per worker in the folder where `dse run` was called."""
    stage: Literal["after", "instead"] = "after"
    """`after`: the analytic search screens, the promising rows are scored. `instead`: every design is scored."""
    promising: Positive = 32
    """Rows of the analytic front that are scored, for the stage `after`."""
    timeout: Timeout = 60.0
    """Time for one candidate; after it the program is stopped and started anew."""
    retries: Annotated[int, Field(ge=0, le=20)] = 2
    """Times that a candidate is sent again after a crash, a timeout or an answer that cannot be read."""
