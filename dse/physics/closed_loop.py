r"""Serving under a closed loop: a fixed number of clients, each sending its next request when the last one is done.

An *instance* interleaves decode steps of its batch with the prefill of requests that arrive. In a closed loop device
time is conserved over the life of a request: every request in the loop is prefilled once meanwhile,

.. math:: X = t_{first} + o\,\text{TPOT}, \qquad t_{first} = t_0 + k\,t_p + s\,t_d, \qquad
          o\,\text{TPOT} = o\,t_d + \gamma\,(B - k)\,t_p                                         (L1)

where t_p is the prefill of one request, t_d the decode step of the whole batch and k of the B prefills fall before the
first token: its own and those of requests that arrived together with it. Requests of equal length stay together, so k
grows with the batch; how fast depends on how an engine mixes prefill with decode.
"""

from typing import NamedTuple

import numpy as np

from dse.arrays import FloatArray


class Engine(NamedTuple):
    """How a serving engine schedules; fitted."""

    first: float
    """Time of a request outside of the model before its first token: protocol, tokens, scheduling [s]."""
    steps: float
    """Decode steps that a new request waits for [1]."""
    together: float
    """Prefills that precede a request's own whatever the batch [1]."""
    wave: float
    """Prefills that precede a request's own, per request in the batch [1]."""
    interference: float
    """Time that a prefill takes from the running requests over its own [1]."""
    step: float
    """Decode step over the one of the model [1]."""

    def scaled(self, speed: float) -> "Engine":
        """Engine of a machine in which everything is faster by a factor.

        >>> Engine(0.1, 1, 1, 0.1, 1, 1).scaled(2.0).first
        0.05
        """
        return self._replace(first=self.first / speed)


class Served(NamedTuple):
    """What clients see, (n,) each."""

    ttft: FloatArray
    """Mean time to the first token [s]."""
    tpot: FloatArray
    """Mean time per token after the first [s]."""
    batch: FloatArray
    """Requests that decode or prefill at a time [1]."""


def prefills_before_first_token(batch: FloatArray, engine: Engine) -> FloatArray:
    r"""Prefills that pass until a request has its first token, its own included.

    .. math:: k = \min(B,\; 1 + \kappa\,(1 - 1/B) + \phi\,(B - 1))                            (L2)

    Parameters
    ----------
    batch : (n,) array                 requests in the loop B [1]
    engine : Engine                    kappa `together`, phi `wave`; numbers or (n,)

    Returns
    -------
    (n,) array                         [1]; 1 for a single client

    Notes
    -----
    Source: form derived here, constants fitted to measured first tokens of three engines.

    >>> prefills_before_first_token(np.array([1.0, 8.0]), Engine(0, 0, 2, 0.1, 1, 1)).tolist()
    [1.0, 3.45]
    """
    return np.minimum(batch, 1 + engine.together * (1 - 1 / batch) + engine.wave * (batch - 1))


def aggregated(
    clients: FloatArray, slots: FloatArray, output: FloatArray, times: tuple[FloatArray, FloatArray], engine: Engine
) -> Served:
    r"""Latencies of an instance that prefills and decodes.

    .. math:: B = \min(C, S), \qquad \text{TTFT} = t_{first} + (C/B - 1)\,X                    (L3)

    Parameters
    ----------
    clients : (n,) array               requests in the loop C [1]
    slots : (n,) array                 requests that memory holds S [1]
    output : (n,) array                tokens generated o [tok]
    times : two (n,) arrays            prefill of one request t_p and decode step of B requests t_d [s]
    engine : Engine                    constants, numbers or (n,)

    Returns
    -------
    Served                             means over requests

    Notes
    -----
    Clients beyond the slots wait for one; by Little's law for C/B - 1 lives of a request. Source: conservation of
    device time (L1); Little 1961.

    >>> alone = aggregated(np.array([1.0]), np.array([9.0]), np.array([100.0]), (np.array([0.2]), np.array([0.01])),
    ...                    Engine(0, 0, 2, 0.1, 1, 1))
    >>> alone.ttft.tolist(), alone.tpot.tolist()
    ([0.2], [0.01])
    """
    prefill, step = times
    batch = np.minimum(clients, np.maximum(slots, 1.0))
    before = prefills_before_first_token(batch, engine)
    first = engine.first + before * prefill + engine.steps * step
    tpot = engine.step * step + engine.interference * prefill * np.maximum(batch - before, 0.0) / output
    waiting = np.maximum(clients / batch - 1, 0.0)
    return Served(first + waiting * (first + output * tpot), tpot, batch)


class Fleet(NamedTuple):
    """Instances of a disaggregated system."""

    prefill: FloatArray
    """Prefill instances (n,) [1]."""
    decode: FloatArray
    """Decode instances (n,) [1]."""


def disaggregated(
    clients: FloatArray, fleet: Fleet, output: FloatArray, times: tuple[FloatArray, FloatArray, FloatArray], engine: Engine
) -> Served:
    r"""Latencies where prefill and decode run on instances of their own.

    .. math:: \text{TTFT} = t_0 + t_{kv} + t_p \max\left(1,\; Q\right), \quad
              Q + \frac{D}{t_p} P\,\rho = C, \qquad \text{TPOT} = t_d                              (L4)

    Parameters
    ----------
    clients : (n,) array               requests in the loop C [1]
    fleet : Fleet                      instances
    output : (n,) array                tokens generated o [tok]
    times : three (n,) arrays          prefill of one request, decode step, transfer of a request's KV [s]
    engine : Engine                    constants

    Returns
    -------
    Served                             means over requests

    Notes
    -----
    A closed network of two stations, by asymptotic bounds: while prefill keeps up a request meets few others;
    where it does not, everyone who is not decoding queues for it. Source: Denning and Buzen 1978 (operational analysis).

    >>> two = disaggregated(np.array([4.0]), Fleet(np.array([1.0]), np.array([1.0])), np.array([1000.0]),
    ...                     (np.array([0.1]), np.array([0.01]), np.array([0.0])), Engine(0, 0, 0, 0, 1, 1))
    >>> round(float(two.ttft[0]), 2), two.tpot.tolist()
    (0.1, [0.01])
    """
    prefill, step, transfer = times
    tpot = engine.step * step
    decoding = output * tpot
    share = np.minimum(clients, 1 + clients * prefill / fleet.prefill / np.maximum(prefill + decoding, 1e-12))
    light = prefill * (1 + (share - 1) / 2)
    queued = clients * prefill / fleet.prefill - decoding
    ttft = engine.first + transfer + np.maximum(light, queued)
    return Served(ttft, tpot, clients * decoding / (ttft + decoding) / fleet.decode)
