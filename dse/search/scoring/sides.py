"""The vocabulary of a serving point: one class on one prefill mapping, one decode mapping and one home of its KV.

Everything is a flat column of length m, one row a serving point, and per agent step unless its name says otherwise.
"""

from typing import NamedTuple

import numpy as np

from dse.arrays import BoolArray, FloatArray, IntArray
from dse.facts.workload.atoms import Atoms
from dse.facts.workload.distill import Curves, Moments
from dse.physics import serving

HOME = {name: code for code, name in enumerate(serving.KV_HOMES)}
"""Code of each home of the KV."""


class ClassShape(NamedTuple):
    """What the evaluation needs of a workload class: moments, curves over retention time, representative steps."""

    moments: Moments
    curves: Curves
    atoms: Atoms
    steps: float
    """Model calls per task [1]."""
    step_quantiles: tuple[float, float, float]
    """Median, 95th and 99th percentile of the calls per task [1]."""
    cold_fresh: float
    """Share of E[a] that first steps and broken prefixes bring [tok]."""
    cold_area: float
    """Their share of the attention area [tok²]."""
    append_full: float
    """Whole chunks per step of all others if a decode instance prefills them [1]."""
    append_chunks: float
    """The same with those that a prompt does not fill [1]."""
    ttft_slo: float
    """Time to first token at the percentile of the study [s]."""
    tpot_slo: float
    """Time per output token [s]."""
    latency_slo: float
    """First to last token of a step whose output is at the percentile: ttft + (o - 1) tpot [s]."""


class PrefillSide(NamedTuple):
    """The prefill half of each point: a row of the phase table, and what the design adds."""

    pass_time: FloatArray
    """What a prompt waits in passes beside its own work where it may go to any instance [s]."""
    pinned_time: FloatArray
    """The same where sessions stay with the instance that has their KV [s]."""
    response: FloatArray
    """Time of the own tokens of a step that finds its prefix, over their service [1]."""
    cold_response: FloatArray
    """The same of all other steps [1]."""
    pinned_response: FloatArray
    pinned_cold_response: FloatArray
    """Both where sessions stay with the instance that has their KV [1]."""
    spread: FloatArray
    """Variance of the wait where a prompt may go to any instance [s²]."""
    pinned_spread: FloatArray
    per_token: FloatArray
    """Service of a fresh token [s/tok]."""
    per_area: FloatArray
    """Service of a token² of attention [s/tok²]."""
    work_token: FloatArray
    """Device time of a fresh token [s/tok]."""
    work_area: FloatArray
    """Device time of a token² of attention [s/tok²]."""
    rank_devices: FloatArray
    """Devices that share a request [1]."""
    kv_bytes: FloatArray
    """KV of a token on each of them [B/tok]."""
    room: FloatArray
    """Memory left by the weights, per device [B]."""
    tail_bytes: FloatArray
    """KV of the longest context that must fit, per device [B]."""
    memory: FloatArray
    """Package memory [B]."""
    host_bytes: FloatArray
    """Host DRAM per device [B]."""
    host_bandwidth: FloatArray
    """Link to it, one direction [B/s]."""
    bandwidth: FloatArray
    """Link to the other pool, one direction per device [B/s]."""
    hourly: FloatArray
    """Price of a device with everything that hangs on it [$/h]."""
    power: FloatArray
    """Facility power of the same [W]."""


class DecodeSide(NamedTuple):
    """The decode half; the append columns are prefill on the same instance."""

    step_time: FloatArray
    """Time per output token at the mean busy slots [s]."""
    step_time_full: FloatArray
    """The same with every slot busy [s]."""
    work: FloatArray
    """Device time of an output token [s/tok]."""
    slots: FloatArray
    """Mean busy slots [1]."""
    batch: FloatArray
    """Slots of the instance [1]."""
    rank_requests: FloatArray
    """Slots of one attention rank [1]."""
    rank_devices: FloatArray
    kv_bytes: FloatArray
    request_bytes: FloatArray
    """KV of a request on each device of its rank, at the mean decode context [B]."""
    room: FloatArray
    memory: FloatArray
    append_pass: FloatArray
    append_per_token: FloatArray
    append_per_area: FloatArray
    append_work_token: FloatArray
    append_work_area: FloatArray
    append_work_pass: FloatArray
    """Device time of a pass without tokens over the ranks that it serves [s]."""
    host_bytes: FloatArray
    host_bandwidth: FloatArray
    bandwidth: FloatArray
    hourly: FloatArray
    power: FloatArray


class Pool(NamedTuple):
    """The pooled memory as one accelerator of its owner sees it."""

    capacity: FloatArray
    """Per device, 0 without a pool [B]."""
    bandwidth: FloatArray
    """One direction per device [B/s]."""
    shares_port: BoolArray
    """Whether it hangs on the optical port that also joins the pools."""
    write_rate: FloatArray
    """Writes that its cells endure over their life, per device; infinite for DRAM [B/s]."""


class Operation(NamedTuple):
    """How the system is operated."""

    utilisation: float
    percentile: float
    affinity: float
    first_come: bool
    arrival_scv: float


class Setting(NamedTuple):
    """Serving points of one class before they are scored."""

    shape: ClassShape
    prefill: PrefillSide
    decode: DecodeSide
    pool: Pool
    home: IntArray
    """Code of the KV's home."""
    colocated: BoolArray
    """Whether the decode pool prefills too, so that the prefill half is a placeholder."""
    kv_token: FloatArray
    """KV of one token as links and the tiers below HBM hold it, not sharded [B/tok]."""
    codec: FloatArray
    """Time of one device to compress or restore it, per byte of `kv_token` [s/B]."""
    operation: Operation

    def at_home(self, name: str) -> BoolArray:
        """Points of separate pools whose KV lives there."""
        return np.asarray((self.home == HOME[name]) & ~self.colocated)
