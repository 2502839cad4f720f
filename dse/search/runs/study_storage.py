"""Where an Optuna study is kept: any storage URL, tried again while a server restarts, its password never shown.

Trials of people who continue a study with plain Optuna on a database carry a heartbeat: a trial whose worker
died is failed and queued again by the next one.
"""

import re
import time
from collections.abc import Callable
from importlib.util import find_spec
from pathlib import Path
from typing import TypeVar

from optuna.storages import (
    BaseStorage,
    GrpcStorageProxy,
    JournalStorage,
    RDBStorage,
    RetryHeartbeatStaleTrialCallback,
)
from optuna.storages.journal import JournalFileBackend, JournalRedisBackend

from dse.facts.errors import Mistake, SpecError
from dse.search.engines.optuna_engine import quiet
from dse.search.runs.passwords import concealed

HEARTBEAT = 60
"""Seconds between two signs of life of a trial; a trial silent for twice as long is taken for dead."""

RETRIES = 3
"""Times that the trial of a worker that died is queued again."""

PAUSES = (0.5, 1.0, 2.0, 4.0, 8.0)
"""Seconds between attempts to reach a storage: together longer than a database server takes to restart."""

PATIENCE = 10.0
"""Seconds to wait for a gRPC proxy."""

LASTING = ("authentication failed", "does not exist", "unable to open", "readonly", "disk", "malformed", "no password")
"""Words of errors that waiting does not cure."""

_DRIVER = re.compile(r"postgres(?:ql)?://")

_Result = TypeVar("_Result")


def open_storage(where: str) -> BaseStorage:
    """Storage by URL; a path without `://` is an Optuna journal file."""
    if "://" not in where:
        return JournalStorage(JournalFileBackend(where))
    if where.startswith(("redis://", "rediss://")):
        return JournalStorage(JournalRedisBackend(where))
    if where.startswith("grpc://"):
        return _proxy(where)
    driver = "postgresql://" if find_spec("psycopg2") else "postgresql+psycopg://"
    with quiet():
        return RDBStorage(
            _DRIVER.sub(driver, where, count=1),
            engine_kwargs={"pool_pre_ping": True},
            heartbeat_interval=HEARTBEAT,
            grace_period=2 * HEARTBEAT,
            heartbeat_stale_trial_callback=RetryHeartbeatStaleTrialCallback(max_retry=RETRIES),
        )


def _proxy(where: str) -> BaseStorage:
    host, _, port = where.removeprefix("grpc://").rstrip("/").rpartition(":")
    if not host or not port.isdigit():
        raise SpecError([Mistake(concealed(where), 0, 0, "storage", "expected grpc://HOST:PORT")])
    with quiet():
        proxy = GrpcStorageProxy(host=host, port=int(port))
    proxy.wait_server_ready(timeout=PATIENCE)
    return proxy


def reachable(where: str) -> None:
    """Refuse a storage that cannot be used, before a search spends time on it."""
    attempted(where, lambda storage: storage.get_all_studies())


def attempted(where: str, work: Callable[[BaseStorage], _Result]) -> _Result:
    """Do something with a storage, from the start again while it cannot be reached; SpecError when it stays away."""
    for pause in (*PAUSES, None):
        try:
            return work(open_storage(where))
        except SpecError:
            raise
        except Exception as error:  # every driver has its own errors, and a damaged file may raise any
            if pause is None or not _passing(error):
                why = f"cannot be used: {_reason(error)}"
                raise SpecError([Mistake(concealed(where), 0, 0, "storage", why)]) from None
            time.sleep(pause)
    raise AssertionError("the last attempt returns or raises")


def _passing(error: BaseException) -> bool:
    """Whether an error may go away by itself: a server that restarts, a lock of another writer."""
    known = {kind.__name__ for kind in type(error).__mro__}
    if any(word in str(error).lower() for word in LASTING):
        return False
    inner = error.__cause__ or error.__context__
    passing = {"OperationalError", "ConnectionError", "RpcError", "TimeoutError", "FutureTimeoutError"}
    return bool(known & passing) or (inner is not None and _passing(inner))


def _reason(error: BaseException) -> str:
    """First sentence of an error, without passwords."""
    if isinstance(error, ModuleNotFoundError):
        return f"the driver `{error.name}` is not installed: pip install 'dse[storage]'"
    text = concealed(str(error).strip()) or type(error).__name__
    lines = [line for line in text.splitlines() if line.strip()]
    return lines[0][:300] if lines else type(error).__name__


def damaged(path: Path) -> Path:
    """Name under which a journal that cannot be read is kept."""
    return path.with_name(f"{path.stem}.damaged{path.suffix}")
