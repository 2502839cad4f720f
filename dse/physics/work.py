"""Work of one pass (being filled in; signatures are final)."""

from dse.physics.demand import (
    GROUPS,
    Communication,
    Ledger,
    Load,
    Mapping,
    Message,
    Precision,
    Work,
)
from dse.physics.transformer import Shape

__all__ = [
    "GROUPS", "Communication", "Ledger", "Load", "Mapping", "Message", "Precision", "Work", "ledger", "pass_work",
]


def pass_work(shape: Shape, precision: Precision, mapping: Mapping, load: Load) -> Work:
    """Demand of one pass on one device."""
    raise NotImplementedError


def ledger(shape: Shape, precision: Precision, mapping: Mapping) -> Ledger:
    """Bytes one device of the fullest stage must hold."""
    raise NotImplementedError
