"""A system that serves one class of agents: ranks, instances, memories, links and grids of pass times, in numbers.

A design becomes a system in :mod:`dse.replay.design`; tests write degenerate ones by hand.
"""

from dataclasses import dataclass, field

import numpy as np

from dse.arrays import FloatArray

WIDTH = 64
"""Prompts that share one prefill pass; engines limit it too, by their number of sequences [1]."""

NOTHING: FloatArray = np.zeros(3)
"""No tier."""


@dataclass(frozen=True, eq=False)
class Times:
    """Pass times on grids: exact at their nodes, linear between."""

    decode: FloatArray
    """(slots + 1, contexts) decode step of an instance with that many requests [s]."""
    contexts: FloatArray
    """(contexts,) mean context [tok]."""
    prefill: FloatArray
    """(tokens, prefixes) pass of a prefill rank [s]."""
    tokens: FloatArray
    """(tokens,) tokens of the pass [tok]."""
    line: FloatArray
    """(line tokens, prefixes) pass of a decode instance that prefills [s]."""
    line_tokens: FloatArray
    prefixes: FloatArray
    """(prefixes,) tokens before them [tok]."""


@dataclass(frozen=True)
class Prefill:
    """The prefill pool."""

    ranks: int
    """Servers: attention ranks of all instances [1]."""
    stages: int = 1
    """Pipeline stages: a pass frees its rank after this part of its time [1]."""
    chunk: float = np.inf
    """Tokens of a pass [tok]."""
    devices: float = 1.0
    """Accelerators of a rank [1]."""


@dataclass(frozen=True)
class Decode:
    """The decode pool."""

    instances: int
    slots: int
    """Requests that decode together on an instance [1]."""
    room: float = np.inf
    """Tokens whose KV an instance can hold in HBM [tok]."""
    spill: float = 0.0
    """Tokens of active KV that may sit in the pool beside [tok]."""
    ports: int = 1
    """Ranks of an instance with a link of their own [1]."""
    chunk: float = 1024.0
    """Tokens of a prompt prefilled between two decode steps [tok]."""
    ranks: int = 1
    """Prompts that get such a chunk at once [1]."""
    devices: float = 1.0
    """Accelerators of an instance [1]."""


@dataclass(frozen=True, eq=False)
class Keeping:
    """Where KV waits between steps."""

    home: int = 0
    """Code of the home."""
    owners: int = 1
    """Instances, ranks or pools that hold KV for themselves [1]."""
    tiers: FloatArray = field(default_factory=lambda: NOTHING)
    """(3,) tokens per owner in HBM, host DRAM and pool; HBM of a decode home follows from its room [tok]."""
    shared_prefix: float = 0.0
    """Leading tokens of every prompt, stored once per instance [tok]."""
    affinity: float = 1.0
    """Share of resumed sequences that are routed to where their KV is [1]."""


@dataclass(frozen=True)
class Links:
    """Rates of one request's transfers."""

    kv_token: float = 1.0
    """KV of one token [B/tok]."""
    prefill: float = np.inf
    """Between a prefill rank and the decode pool [B/s]."""
    decode: float = np.inf
    """Between a decode rank and the prefill pool [B/s]."""
    host: float = 0.0
    """From host DRAM; 0 without [B/s]."""
    pool: float = 0.0
    """From the memory pool as a tier below HBM; 0 without [B/s]."""
    shared: float = np.inf
    """Between a side and the memory pool that is home, for one request [B/s]."""
    shared_ports: tuple[float, float] = (np.inf, np.inf)
    """What the port of a prefill rank and of a decode rank passes of such transfers, one or several at once [B/s]."""
    joined: bool = False
    """Whether the memory pool hangs on the port that joins the pools."""


@dataclass(frozen=True, eq=False)
class System:
    """Everything the event loop needs of a design."""

    times: Times
    prefill: Prefill
    decode: Decode
    keeping: Keeping = field(default_factory=Keeping)
    links: Links = field(default_factory=Links)
    colocated: bool = False
    first_come: bool = False
    """Whether prompts are prefilled one after the other instead of sharing passes."""
