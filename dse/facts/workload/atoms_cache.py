"""Representative steps kept on disk: placing the atoms of a long trace takes most of its loading time."""

import hashlib
import os
import tempfile
from importlib import resources
from pathlib import Path

import numpy as np

from dse.facts.workload.atoms import Atoms, representative
from dse.facts.workload.sessions import Steps

_FIELDS = ("kind", "fresh", "cached", "output", "weight")
_CODE = ("atoms.py", "distill.py", "sessions.py")


def cached_atoms(table: Steps, shared: float, folder: Path | None = None) -> Atoms:
    """Atoms of a table, from the cache where the same table was reduced by the same code before.

    Parameters
    ----------
    table, shared : as in `representative`
    folder : by default `dse/workloads` in the user's cache folder. One that cannot be written is not used; a
    damaged
        entry is computed again.
    """
    stored = (folder or _user_cache()) / f"{_key(table, shared)}.npz"
    found = _read(stored)
    if found is None:
        found = representative(table, shared)
        _store(stored, found)
    return found


def _user_cache() -> Path:
    base = os.environ.get("XDG_CACHE_HOME") or os.environ.get("LOCALAPPDATA")
    return (Path(base) if base else Path.home() / ".cache") / "dse" / "workloads"


def _key(table: Steps, shared: float) -> str:
    """Hash of the table and of the code that reduces it."""
    content = hashlib.sha256(repr((shared, np.__version__)).encode())
    for column in (table.sequence, table.gap, table.cached, table.fresh, table.output):
        content.update(np.ascontiguousarray(column).tobytes())
    for name in _CODE:
        content.update((resources.files("dse.facts.workload") / name).read_bytes())
    return content.hexdigest()


def _read(stored: Path) -> Atoms | None:
    """Stored atoms; None where there are none or the file is damaged."""
    try:
        with stored.open("rb") as stream, np.load(stream, allow_pickle=False) as archive:
            atoms = Atoms(*(archive[name] for name in _FIELDS))
        complete = atoms.weight.shape[-1] == len(atoms) and np.isfinite(atoms.weight).all()
    except Exception:  # a damaged file can fail in any step of unpacking, with any error
        return None
    return atoms if complete else None


def _store(stored: Path, atoms: Atoms) -> None:
    """Write beside the final name, then rename: a reader never sees half a file."""
    try:
        stored.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.NamedTemporaryFile(dir=stored.parent, suffix=".part", delete=False) as part:
            np.savez(part, allow_pickle=False, **{name: getattr(atoms, name) for name in _FIELDS})
        Path(part.name).replace(stored)
    except OSError:
        return
