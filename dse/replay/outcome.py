"""What a replay has seen: one record per request, curves over time, and the figures people ask for."""

from dataclasses import dataclass
from functools import cached_property
from typing import NamedTuple

import numpy as np

from dse.arrays import BoolArray, FloatArray
from dse.replay import layout
from dse.replay.system import System
from dse.replay.traffic import Traffic

LEVELS = (0.5, 0.9, 0.95, 0.99)
"""Quantiles that are reported [1]."""


class Counts(NamedTuple):
    """Every request of the trace ends in one of three ways."""

    finished: int
    rejected: int
    unfinished: int
    """In flight or not yet asked for at the end."""


class Spread(NamedTuple):
    """A distribution."""

    mean: float
    p50: float
    p90: float
    p95: float
    p99: float


@dataclass(frozen=True, eq=False)
class Outcome:
    """Result of a replay."""

    system: System
    traffic: Traffic
    records: FloatArray
    """(requests, 12) columns of :mod:`dse.replay.layout`, in the order in which they ended."""
    series: FloatArray
    """(intervals, 12) curves over time."""
    totals: FloatArray
    """Tokens moved, passes, steps."""
    horizon: float
    """End of the curves [s]."""
    in_flight: int = 0
    """Requests in the system at the end [1]."""
    interrupted: bool = False
    """Whether it was ended by hand."""

    def column(self, index: int) -> FloatArray:
        """One column of the records that count."""
        return np.asarray(self.records[self.counted, index])

    @cached_property
    def counted(self) -> BoolArray:
        """Finished requests that arrived in the time that counts."""
        done = self.records[:, layout.R_END] == layout.FINISHED
        return np.asarray(done & (self.records[:, layout.R_ARRIVAL] >= self.traffic.begin))

    @property
    def counts(self) -> Counts:
        """How the requests of the whole schedule ended."""
        finished = int((self.records[:, layout.R_END] == layout.FINISHED).sum())
        rejected = len(self.records) - finished
        return Counts(finished, rejected, self.traffic.requests - len(self.records))

    @property
    def ttft(self) -> FloatArray:
        """Time to the first token of each request that counts [s]."""
        return self.column(layout.R_FIRST) - self.column(layout.R_ARRIVAL)

    @property
    def latency(self) -> FloatArray:
        """First to last token, the first included [s]."""
        return self.column(layout.R_FINISH) - self.column(layout.R_ARRIVAL)

    @property
    def decoding(self) -> FloatArray:
        """Time from the first to the last token [s]."""
        return self.column(layout.R_FINISH) - self.column(layout.R_FIRST)

    @property
    def tpot(self) -> FloatArray:
        """Time per output token after the first, of requests with at least two [s]."""
        several = self.column(layout.R_OUTPUT) > 1
        return np.asarray(self.decoding[several] / (self.column(layout.R_OUTPUT)[several] - 1))

    @property
    def tpot_mean(self) -> float:
        """Decode time of all requests over all their tokens after the first [s]."""
        tokens = np.maximum(self.column(layout.R_OUTPUT) - 1, 0).sum()
        return float(self.decoding.sum() / tokens) if tokens else 0.0

    @cached_property
    def task_time(self) -> FloatArray:
        """Time in the model of each session all of whose steps finished [s]."""
        done = self.records[self.records[:, layout.R_END] == layout.FINISHED]
        session = self.traffic.session[done[:, layout.R_SEQUENCE].astype(int)]
        size = int(self.traffic.session.max()) + 1
        spent = np.bincount(session, done[:, layout.R_FINISH] - done[:, layout.R_ARRIVAL], size)
        lengths = self.traffic.starts[:, layout.START_END] - self.traffic.starts[:, layout.START_ROW]
        asked = np.bincount(self.traffic.session, lengths, size)
        whole = np.ones(size, dtype=bool)
        started_inside = self.traffic.table[self.traffic.starts[:, layout.START_ROW].astype(int), layout.OPENS] > 0
        whole[self.traffic.session[~started_inside]] = False
        return np.asarray(spent[whole & (asked > 0) & (np.bincount(session, minlength=size) == asked)])

    @property
    def steps_per_s(self) -> float:
        """Requests finished per second of the time that counts [1/s]."""
        span = self.span
        ends = self.records[self.records[:, layout.R_END] == layout.FINISHED, layout.R_FINISH]
        return float(((ends >= self.traffic.begin) & (ends <= self.traffic.begin + span)).sum() / span)

    @property
    def drains(self) -> bool:
        """Whether sessions go on long after the last has started, so that a mean rate says little."""
        return bool(self.traffic.begin == 0 and self.traffic.starts[-1, layout.START] < self.horizon / 2)

    @property
    def offered(self) -> float:
        """Requests per second of the time that counts, rejected ones and those in flight included [1/s]."""
        return float(((self.records[:, layout.R_ARRIVAL] >= self.traffic.begin).sum() + self.in_flight) / self.span)

    @property
    def span(self) -> float:
        """Length of the time that counts [s]."""
        last = self.records[:, layout.R_FINISH].max() if len(self.records) else 0.0
        return max(float(min(last, self.horizon)) - self.traffic.begin, 1e-9)

    @property
    def hit_rate(self) -> float:
        """Resumptions that found their prefix [1]."""
        tier = self.column(layout.R_TIER)
        again = tier != layout.OPENING
        return float((tier[again] >= 0).mean()) if again.any() else 1.0

    @property
    def tier_shares(self) -> dict[str, float]:
        """Resumptions by the tier that had their prefix [1]."""
        tier = self.column(layout.R_TIER)
        again = tier[tier != layout.OPENING]
        names = {"hbm": layout.IN_HBM, "host": layout.IN_HOST, "pool": layout.IN_POOL, "missed": layout.MISSED}
        return {name: float((again == code).mean()) if again.size else 0.0 for name, code in names.items()}

    @property
    def token_hit_rate(self) -> float:
        """Prompt tokens found in cache [1]."""
        prompt = self.column(layout.R_CONTEXT).sum()
        return float(self.column(layout.R_FOUND).sum() / prompt) if prompt else 0.0

    def goodput(self, ttft: float, tpot: float) -> tuple[float, float]:
        """Output tokens per second of requests within both limits, and the share of requests within them."""
        several = np.maximum(self.column(layout.R_OUTPUT) - 1, 1)
        good = (self.ttft <= ttft) & (self.decoding / several <= tpot)
        tokens = float(self.column(layout.R_OUTPUT)[good].sum())
        return tokens / self.span, float(good.mean()) if good.size else 0.0

    def curve(self, column: int, per_second: bool = False) -> FloatArray:
        """One curve over time; sums per interval become rates."""
        width = self.horizon / len(self.series)
        return np.asarray(self.series[:, column] / width if per_second else self.series[:, column])

    @property
    def utilisation(self) -> dict[str, float]:
        """Busy share of each pool and filled share of the decode slots over the time that counts [1]."""
        width = self.horizon / len(self.series)
        first = int(self.traffic.begin / width)
        last = max(int(np.ceil((self.traffic.begin + self.span) / width)), first + 1)
        part = self.series[first:last].mean(axis=0) / width
        decode = self.system.decode
        found = {} if self.system.colocated else {"prefill": part[layout.S_PREFILL] / self.system.prefill.ranks}
        found["decode"] = part[layout.S_DECODE] / decode.instances
        found["slots"] = part[layout.S_SLOTS] / (decode.instances * decode.slots)
        return {name: float(value) for name, value in found.items()}


def spread(values: FloatArray) -> Spread:
    """Mean and quantiles; zeros where there is nothing."""
    if values.size == 0:
        return Spread(0.0, 0.0, 0.0, 0.0, 0.0)
    return Spread(float(values.mean()), *(float(value) for value in np.quantile(values, LEVELS)))
