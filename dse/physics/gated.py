r"""Waiting in passes: prompts that are prefilled together, pass after pass through the stages of a pipeline.

A pass takes what has come since the one before began. So a prompt waits for the rest of a pass, shares its own with
others, and its own tokens take the whole pipeline's time, while the next pass follows a stage behind.
"""

from statistics import NormalDist

import numpy as np

from dse.arrays import FloatArray
from dse.physics.queueing import processor_sharing_response

LIMIT = 0.99
"""Load at which a queue that would grow without bound is cut [1]."""

PHASES = 2.0
"""Phases of a wait in passes [1]: the rest of one, and one's own."""


def pass_wait(
    floor: FloatArray,
    slope: FloatArray,
    stages: FloatArray,
    rate: FloatArray,
    prompt: FloatArray | float,
    size: FloatArray | float,
    chunk: FloatArray,
) -> tuple[FloatArray, FloatArray]:
    r"""Mean time that a prompt spends in passes beside its own work, where it goes anywhere and where its KV is.

    .. math::
        \varphi = \frac{\lambda g}{S}, \quad \iota = \frac{\lambda f}{S}, \quad
        \bar X = \frac{\iota}{1 - \varphi}, \quad n = \bar X + a_2, \quad
        m = \bar X + \frac{a_2}{1 - \varphi^2}, \quad b = \min\Bigl(1, \varphi + \frac{\iota}{a}\Bigr)

    .. math::
        W_{any} = f + g\,(\bar X - a)^+ + b^2\,\frac{f + g n}{2 S}, \qquad
        W_{own} = f + b\,\Bigl(\frac{f + g m}{2 S} + g\,(\varphi m + \iota)\Bigr)              (Q5)

    Parameters
    ----------
    floor : (n,) array                 time of a pass without tokens f [s]
    slope : (n,) array                 time of a pass for each token more g [s/tok]
    stages : (n,) array                pipeline stages S: the next pass may begin after a share 1/S of one [1]
    rate : (n,) array                  tokens that arrive lambda [tok/s]
    prompt : float                     mean tokens of a prompt a [tok]
    size : (n,) array                  tokens of the prompt that a token belongs to, a_2 = E[a²]/E[a] [tok]
    chunk : (n,) array                 most tokens of a pass; bounds those of others too [tok]

    Returns
    -------
    two (n,) arrays                    of a prompt sent to the shortest queue; of one that goes where its KV is, which
                                       is never below the first [s]

    Notes
    -----
    A pass takes what arrived while the one before held the first stage (gated batch service), so its tokens obey
    X' = arrivals in (f + g X)/S, on average X. Who goes where its KV is finds a stage busy with probability b, waits
    for the rest of it and then shares the pass with all who came since; the pass that a prompt finds holds m tokens,
    exactly a_2/(1 - phi²) for Poisson prompts where floors are nothing. Who is sent to the shortest queue waits only if
    the two shortest are busy, and shares a pass only as far as passes of one prompt each would not serve the load.
    Source: derived here; gated batches as in Avi-Itzhak and Halfin, Response times in gated M/G/1 queues, 1989.

    >>> def waits(rate):
    ...     columns = (np.array(x) for x in (0.02, 4e-5, 4.0, rate))
    ...     return [round(float(w), 3) for w in pass_wait(*columns, 1e3, 2e3, np.array(8192.0))]
    >>> waits(0.0), waits(7e4)
    ([0.02, 0.02], [0.045, 0.204])
    """
    steady, begun = np.minimum(rate * slope / stages, LIMIT), rate * floor / stages
    busy = np.minimum(steady + begun / prompt, 1.0)
    mean = np.minimum(begun / (1 - steady), chunk)
    running = np.minimum(mean + size, chunk)
    anywhere = floor + slope * np.maximum(mean - prompt, 0.0) + busy**2 * (floor + slope * running) / (2 * stages)
    shared = np.minimum(mean + size / (1 - steady**2), chunk)
    others = np.minimum(steady * shared + begun, chunk)
    own = floor + busy * ((floor + slope * shared) / (2 * stages) + slope * others)
    return np.asarray(anywhere), np.maximum(anywhere, own)


def order_wait(
    passes: tuple[FloatArray, FloatArray], own: FloatArray, stages: FloatArray, rate: FloatArray
) -> FloatArray:
    r"""Mean wait of a pass, whose first stage is free, for those before it in the stages behind: passes end in order.

    .. math:: W = \frac{\nu}{2}\,E\Bigl[\Bigl(\bigl(1 - \tfrac1S\bigr) P - O\Bigr)^{+\,2}\Bigr]      (Q11)

    Parameters
    ----------
    passes : (n, k), (k,) arrays       times of passes P [s], and how many of each there are per prompt [1]
    own : (n,) array                   time of one's own pass O [s]
    stages : (n,) array                pipeline stages S [1]
    rate : (n,) array                  prompts per second nu [1/s]

    Returns
    -------
    (n,) array                         [s]; zero with one stage

    Notes
    -----
    A pass that has left the first stage is in the others for (1 - 1/S) P more. Who comes y before its end and needs O
    waits y - O; passes arrive like Poisson, and of several the one that ends last is taken for all, so this holds while
    long passes are rare. Source: derived here (renewal reward).

    >>> own, stages, rate = np.array([0.5]), np.array([4.0]), np.array([0.1])
    >>> order_wait((np.array([[2.0]]), np.array([1.0])), own, stages, rate).tolist()
    [0.05]
    """
    times, count = passes
    beyond = np.maximum((1 - 1 / stages)[:, None] * times - own[:, None], 0.0)
    return np.asarray(rate / 2 * np.einsum("ij,j->i", beyond * beyond, count))


def pass_response(stages: FloatArray, beyond: FloatArray | float, utilisation: FloatArray | float) -> FloatArray:
    r"""Time that a prompt's own tokens take over the time for which they keep an instance busy.

    .. math:: \kappa = S\,(1 - \beta) + \frac{\beta}{1 - \rho}                              (Q12)

    Parameters
    ----------
    stages : (n,) array                pipeline stages S [1]
    beyond : (n,) array                share of the tokens that lie beyond the first chunk of their prompt, beta [1]
    utilisation : float                load of others with whom further chunks share passes, rho; 0 if with none [1]

    Returns
    -------
    (n,) array                         [1]

    Notes
    -----
    Tokens of one pass run through all S stages, each of which could begin a pass of others meanwhile. Further chunks
    follow stage by stage and share their passes with others (processor sharing, Q1). The mean over all prompts is taken
    for each. Source: derived here.

    >>> float(pass_response(np.array(4.0), 0.25, 0.5))
    3.5
    """
    return np.asarray(stages * (1 - beyond) + processor_sharing_response(np.asarray(beyond), utilisation))


def line_passes(chunks: FloatArray | float, steps: FloatArray) -> FloatArray:
    r"""Passes per call that a decode instance needs for chunks which wait in line, one pass between two decode steps.

    .. math:: n = k\,\bigl(1 - e^{-M/k}\bigr)                                               (Q13)

    Parameters
    ----------
    chunks : (n,) array                chunks that the prompts of a call fill, M [1]
    steps : (n,) array                 decode steps of the instance per call, k = output over busy slots [1]

    Returns
    -------
    (n,) array                         [1]

    Notes
    -----
    What ends per step must come per step: 1/k calls, however long steps and passes are. Each stays in line for as many
    steps as its prompt has chunks, side by side with others on the other attention ranks, so the prompts in line are
    Poisson with mean M/k (an M/G/infinity queue in steps), and a step goes with a pass unless there are none. Of full
    and short chunks alike: passes with a full one are those of the full ones alone. Steps with a pass are longer and
    more come during them, which is left out: passes are a little fewer. Source: derived here; infinite servers as in
    Kleinrock, Queueing Systems I, 1975, section 3.4.

    >>> [round(float(line_passes(chunks, np.array(4.0))), 3) for chunks in (0.01, 2.0, 40.0)]
    [0.01, 1.574, 4.0]
    """
    return np.asarray(-steps * np.expm1(-chunks / steps))


def pass_excess(mean: FloatArray, level: float) -> FloatArray:
    r"""Quantile less the mean of a wait in passes, taken as two phases of equal mean; nothing below the mean.

    .. math:: w\,\max\Bigl(0,\; \bigl(1 - \tfrac{1}{9k} + \tfrac{z_\ell}{3\sqrt{k}}\bigr)^3 - 1\Bigr), \; k = 2  (Q10)

    Parameters
    ----------
    mean : (...) array                 mean wait w [s]
    level : float                      for example 0.95 [1]

    Returns
    -------
    (...) array                        [s]

    Notes
    -----
    The phases are the rest of the pass in progress and the pass of one's own, whose tokens vary like a sum of prompts.
    An Erlang law of two phases has its 95th percentile at 2.37 times its mean. Source: assumption of this model;
    quantile of the gamma law by Wilson and Hilferty, PNAS 17, 1931.

    >>> round(float(pass_excess(np.array(1.0), 0.95)), 2)
    1.36
    """
    middle = 1 - 1 / (9 * PHASES) + NormalDist().inv_cdf(level) / (3 * PHASES**0.5)
    return np.asarray(mean * max(middle**3 - 1, 0.0))
