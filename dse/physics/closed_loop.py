r"""Serving under a closed loop: a fixed number of clients, each sending its next request when the last one is done.

An *instance* interleaves decode steps of its batch with the prefill of requests that arrive. In a closed loop device
time is conserved over the life of a request: every request in the loop is prefilled once meanwhile,

.. math:: X = t_{first} + o\,\text{TPOT}, \qquad t_{first} = t_0 + h\,B + k\,t_p, \qquad
          o\,\text{TPOT} = o\,t_d + (B - k)\,t_p                                         (L1)

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
    client: float
    """The same per request in the loop: the front end serves them one after the other [s]."""
    together: float
    """Prefills that precede a request's own whatever the batch [1]."""
    wave: float
    """Prefills that precede a request's own, per request in the batch and share of time spent on prefill [1]."""

    def scaled(self, speed: float) -> "Engine":
        """Engine of a machine in which everything is faster by a factor.

        >>> Engine(0.1, 1, 1, 0.1).scaled(2.0).first
        0.05
        """
        return self._replace(first=self.first / speed, client=self.client / speed)


class Served(NamedTuple):
    """What clients see, (n,) each."""

    ttft: FloatArray
    """Mean time to the first token [s]."""
    tpot: FloatArray
    """Mean time per token after the first [s]."""
    batch: FloatArray
    """Requests that decode or prefill at a time [1]."""


def prefill_share(batch: FloatArray, output: FloatArray, prefill: FloatArray, step: FloatArray) -> FloatArray:
    r"""Share of an instance's time that goes to prefill.

    .. math:: \rho = \frac{B\,t_p}{B\,t_p + o\,t_d}                                          (L2)

    Parameters
    ----------
    batch : (n,) array                 requests in the loop B [1]
    output : (n,) array                tokens generated per request o [tok]
    prefill, step : (n,) arrays        prefill of a request t_p, decode step of the batch t_d [s]

    Returns
    -------
    (n,) array                         [1]

    >>> float(prefill_share(np.array(10.0), np.array(100.0), np.array(0.1), np.array(0.01)))
    0.5
    """
    return batch * prefill / (batch * prefill + output * step)


def prefills_before_first_token(batch: FloatArray, share: FloatArray, engine: Engine) -> FloatArray:
    r"""Prefills that pass until a request has its first token, its own included.

    .. math:: k = \min(B,\; 1 + \kappa\,(1 - 1/B) + \phi\,\rho\,(B - 1))                       (L3)

    Parameters
    ----------
    batch : (n,) array                 requests in the loop B [1]
    share : (n,) array                 `prefill_share` rho [1]
    engine : Engine                    kappa `together`, phi `wave`; numbers or (n,)

    Returns
    -------
    (n,) array                         [1]; 1 for a single client

    Notes
    -----
    A request meets the others' prefills the more, the more of the time they take (rho); and those that ended together
    with its predecessor always. Source: form derived here, constants fitted to first tokens of three engines.

    >>> prefills_before_first_token(np.array([1.0, 8.0]), np.array(0.5), Engine(0, 0, 2, 0.2)).tolist()
    [1.0, 3.45]
    """
    return np.minimum(
        np.maximum(batch, 1.0),
        1 + engine.together * np.maximum(1 - 1 / batch, 0.0) + engine.wave * share * np.maximum(batch - 1, 0.0),
    )


def aggregated(
    clients: FloatArray, slots: FloatArray, output: FloatArray, times: tuple[FloatArray, FloatArray], engine: Engine
) -> Served:
    r"""Latencies of an instance that prefills and decodes.

    .. math:: B = \min(C, S), \qquad \text{TTFT} = t_{first} + (C/B - 1)\,X                    (L4)

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
    ...                    Engine(0, 0, 2, 0.1))
    >>> alone.ttft.tolist(), alone.tpot.tolist()
    ([0.2], [0.01])
    """
    prefill, step = times
    batch = np.minimum(np.maximum(clients, 1.0), np.maximum(slots, 1.0))
    before = prefills_before_first_token(batch, prefill_share(batch, output, prefill, step), engine)
    first = engine.first + engine.client * batch + before * prefill
    tpot = step + prefill * np.maximum(batch - before, 0.0) / output
    waiting = np.maximum(clients / batch - 1, 0.0)
    return Served(first + waiting * (first + output * tpot), tpot, batch)


class Fleet(NamedTuple):
    """Instances of a disaggregated system."""

    prefill: FloatArray
    """Prefill ranks that work on requests of their own (n,) [1]."""
    decode: FloatArray
    """Decode instances (n,) [1]."""


def disaggregated(
    clients: FloatArray,
    fleet: Fleet,
    output: FloatArray,
    times: tuple[FloatArray, FloatArray, FloatArray],
    engine: Engine,
) -> Served:
    r"""Latencies where prefill and decode run on instances of their own.

    .. math:: \text{TTFT} = t_0 + h\,C + t_{kv} + \max\left(k\,t_p,\; \frac{C\,t_p}{P} - o\,t_d\right), \quad
              \text{TPOT} = t_d                                                          (L5)

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
    where it does not, everyone who is not decoding queues for it.
    Source: Denning and Buzen 1978 (operational analysis).

    >>> two = disaggregated(np.array([4.0]), Fleet(np.array([1.0]), np.array([1.0])), np.array([1000.0]),
    ...                     (np.array([0.1]), np.array([0.01]), np.array([0.0])), Engine(0, 0, 0, 0))
    >>> round(float(two.ttft[0]), 2), two.tpot.tolist()
    (0.1, [0.01])
    """
    prefill, step, transfer = times
    decoding = output * step
    share = prefill_share(clients / fleet.prefill, output, prefill, step)
    light = prefill * prefills_before_first_token(np.maximum(clients / fleet.prefill, 1.0), share, engine)
    queued = clients * prefill / fleet.prefill - decoding
    ttft = engine.first + engine.client * clients + transfer + np.maximum(light, queued)
    return Served(ttft, step, clients * decoding / (ttft + decoding) / fleet.decode)
