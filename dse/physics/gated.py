r"""Waiting in passes: prompts that are prefilled together, pass after pass through the stages of a pipeline.

A pass takes what has come since the one before began. So a prompt waits for the rest of a pass, shares its own with
others, and its own tokens take the whole pipeline's time, while the next pass follows a stage behind.
"""

from statistics import NormalDist
from typing import NamedTuple

import numpy as np

from dse.arrays import FloatArray
from dse.physics.queueing import delay_excess

LIMIT = 0.99
"""Load at which a queue that would grow without bound is cut [1]."""

RANKS = 8.0
"""Ranks that a prompt may go to [1]: numbers of instances are fluid, so a pool is taken to have at least a few."""

LEAST = 1e-30
"""Keeps a quotient finite where nothing waits."""


class PassWait(NamedTuple):
    """Time that a prompt spends in passes beside its own work."""

    mean: FloatArray
    """[s]."""
    variance: FloatArray
    """[s²]."""
    tokens: FloatArray
    """Tokens of others in its pass, on average [tok]."""


class Crowd(NamedTuple):
    """Ranks that are all busy."""

    chance: FloatArray
    """Probability of that [1]."""
    tokens: FloatArray
    """Tokens per rank beyond one prompt, on average as long as it lasts [tok]."""
    square: FloatArray
    """Mean square of the same [tok²]."""


def mills(beyond: FloatArray) -> FloatArray:
    r"""Mills' ratio of the standard normal law, its tail over its density.

    .. math:: M(u) = \frac{1 - \Phi(u)}{\varphi(u)} \approx \frac{\pi}{(\pi - 1)\,u + \sqrt{u^2 + 2\pi}}, \qquad
              M(-u) = \sqrt{2\pi}\,e^{u^2/2} - M(u)                                          (Q14)

    Parameters
    ----------
    beyond : (...) array               standard deviations u, of any sign [1]

    Returns
    -------
    (...) array                        [1]

    Notes
    -----
    Exact at zero and to the second order far out, within 1 % between. Source: Boyd, Reports of Statistical
    Application Research 6, 1959.

    >>> mills(np.array([-1.0, 0.0, 1.0])).round(3).tolist()
    [3.484, 1.253, 0.649]
    """
    far = np.abs(beyond)
    tail = np.pi / ((np.pi - 1) * far + np.sqrt(far * far + 2 * np.pi))
    near = np.sqrt(2 * np.pi) * np.exp(np.minimum(far * far / 2, 300.0)) - tail
    return np.asarray(np.where(beyond >= 0, tail, near))


def crowd(
    prompt: FloatArray | float, size: FloatArray, steady: FloatArray, begun: FloatArray, busy: FloatArray
) -> Crowd:
    r"""How often all ranks are busy where prompts go to the one with the least to do, and how much then waits there.

    .. math::
        u = \frac{a - \bar X}{\sigma}, \quad \sigma^2 = \frac{a\,a_2}{K\,(1 - \varphi^2)}, \quad
        u_e = \frac{a - \bar X}{\sigma_e}, \quad \sigma_e^2 = \frac{2\,a^2}{K\,(1 - \varphi^2)}, \quad
        v = \frac{a\,(1 - b)}{\varsigma}, \quad \varsigma^2 = \frac{a^2\,b}{K}

    .. math::
        C = \frac{\sigma_e\,M(u_e)}{\sigma_e\,M(u_e) + \varsigma\,M(-v)}, \qquad
        x = \sigma\,\Bigl(\frac{1}{M(u)} - u\Bigr), \qquad x_2 = \sigma^2 - \sigma\,u\,x        (Q15)

    Parameters
    ----------
    prompt : float                     mean tokens of a prompt a [tok]
    size : (n,) array                  tokens of the prompt that a token belongs to a_2 [tok]
    steady : (n,) array                tokens that come while a pass works on one phi < 1 [1]
    begun : (n,) array                 tokens that come during a pass without tokens, iota [tok]
    busy : (n,) array                  load of the ranks if no pass is shared b, may be above 1 [1]

    Returns
    -------
    Crowd                              C, x and x_2

    Notes
    -----
    Tokens per rank follow a diffusion of two slopes. As long as some rank is idle, each prompt leaves within its own
    pass (infinite servers: they tend to b a, one stage's time being the unit). Once all K ranks are busy, passes are
    shared and tend to X = iota/(1 - phi) tokens, from one to the next by a factor phi (a gated pass takes what came
    during the last). Both parts of the density are normal and meet at one prompt per rank. How often is a matter of
    exponential prompts, as Erlang's probability of delay hardly depends on the law of sizes; how much is one of a_2.
    It is Erlang's within 0.07 up to a load of 0.8, and falls short of it above (0.59 for 0.70 at 0.9). Assumption of
    this model: K = 8 ranks. Source: derived here; joined halves as in Halfin and Whitt, Operations Research 29, 1981,
    and Browne and Whitt, Piecewise-linear diffusion processes, 1995.

    >>> columns = (np.array(x) for x in (2e3, 0.7, 0.0, 0.7))    # M/M/8: Erlang C is 0.27, 0.42 prompts wait per rank
    >>> [round(float(x), 2) for x in crowd(1e3, *columns)[:2]]
    [0.26, 324.64]
    """
    tide = begun / (1 - steady) - prompt
    spread = np.sqrt(prompt * size / (RANKS * (1 - steady**2)))
    usual = prompt * np.sqrt(2 / (RANKS * (1 - steady**2)))
    idle = prompt * np.sqrt(np.maximum(busy, LEAST) / RANKS)
    above, below = usual * mills(-tide / usual), idle * mills(prompt * (busy - 1) / idle)
    tokens = tide + spread / mills(-tide / spread)
    return Crowd(above / (above + below), tokens, spread**2 + tide * tokens)


class Asked(NamedTuple):
    """What prompts ask of the passes of a rank; one row a mapping."""

    floor: FloatArray
    """Time of a pass without tokens f [s]."""
    slope: FloatArray
    """Time of a pass for each token more g [s/tok]."""
    stages: FloatArray
    """Pipeline stages S: the next pass may begin after a share 1/S of one [1]."""
    rate: FloatArray
    """Tokens that arrive lambda [tok/s]."""
    prompt: float
    """Mean tokens of a prompt a [tok]."""
    size: FloatArray
    """Tokens in the first pass of the prompt that a token of first passes belongs to, a_1 [tok]."""
    met: FloatArray
    """Tokens of the pass of a prompt that a token belongs to, later passes included, a_2 [tok]."""
    passes: FloatArray
    """Passes of a prompt k [1]."""
    beyond: FloatArray
    """Share of the tokens that lie beyond the first pass of their prompt beta [1]."""
    chunk: FloatArray
    """Most tokens of a pass C [tok]."""
    pinned: float
    """Share of the tokens whose prompt goes where its KV is, where it does so q [1]."""


def pass_wait(asked: Asked) -> tuple[PassWait, PassWait]:
    r"""Time that a prompt spends in passes beside its own work, where it goes anywhere and where its KV is.

    .. math::
        \varphi = \frac{\lambda g}{S}, \quad \iota = \frac{\lambda f}{S}, \quad \bar X = \frac{\iota}{1 - \varphi},
        \quad b = \varphi + \frac{k\,\iota}{a}, \quad (C_K, x, x_2) \text{ by Q15}

    .. math::
        h = \frac{f + g\,(\max(\bar X, x) + a_2)}{S}, \quad y = \min(C_K\,x, C), \quad
        W_{any} = f + g\,y + C_K\,\frac{h}{2}, \quad
        V_{any} = g^2\,(a_1 y + C_K x_2 - y^2) + C_K \frac{h^2}{3} - \Bigl(\frac{C_K h}{2}\Bigr)^2

    .. math::
        p = q + (1 - q)\,C_K, \quad \varphi_1 = (1 - \beta)\,\varphi, \quad
        m = \bar X + \frac{a_2}{1 - (p\,\varphi_1)^2}, \quad h = \frac{f + g m}{S}, \quad
        n = \min(1, b)\,p\,(\varphi_1 m + \iota)

    .. math::
        W_{own} = f + \min(1, b)\,\frac{h}{2} + g\,\min\bigl(C, n + \varphi\beta\,(C - a)^+\bigr), \quad
        V_{own} = b\,\frac{h^2}{3} - \Bigl(\frac{b h}{2}\Bigr)^2
                  + g^2\,\bigl(n\,a_1 + \varphi\beta\,(1 - \varphi\beta)\,(C - a)^{+\,2}\bigr)    (Q5)

    Parameters
    ----------
    asked : Asked                      columns (n,); passes of others are bounded by a chunk

    Returns
    -------
    two PassWait                       of a prompt sent where least is to do; of one that goes where its KV is, which is
                                       never below the first

    Notes
    -----
    A pass takes what arrived while the one before held the first stage (gated batch service), so its tokens obey
    X' = arrivals in (f + g X)/S. Who is sent where least is to do waits for the rest of a pass, and shares one, only
    while all ranks are busy. Who goes where its KV is finds a stage busy with probability b, waits for the rest of it
    (h, met in proportion to its length), and then shares the pass with those who came to this rank meanwhile: with all
    others that have their KV here, with the rest of the prompts only while all ranks are busy. If the rank still has a
    prompt of many chunks, one of these fills the pass. Variances are those of a uniform rest, of a compound Poisson
    number of prompts and of a chunk that is there or not. Source: derived here; gated batches as in Avi-Itzhak and
    Halfin, Response times in gated M/G/1 queues, 1989.

    >>> def waits(rate):
    ...     one = [np.array(x) for x in (0.02, 4e-5, 4.0, rate)]
    ...     rest = [np.array(x) for x in (2e3, 2e3, 1.0, 0.0, 8192.0)]
    ...     return [round(float(wait.mean), 3) for wait in pass_wait(Asked(*one, 1e3, *rest, 1.0))]
    >>> waits(0.0), waits(7e4)
    ([0.02, 0.02], [0.051, 0.204])
    """
    floor, slope, stages, rate, prompt, size, met, passes, beyond, chunk, pinned = asked
    steady, begun = np.minimum(rate * slope / stages, LIMIT), rate * floor / stages
    load = steady + begun * passes / prompt
    busy, mean = np.minimum(load, 1.0), np.minimum(begun / (1 - steady), chunk)
    all_busy = crowd(prompt, met, steady, begun, load)
    stage = (floor + slope * np.minimum(np.maximum(mean, all_busy.tokens) + met, chunk)) / stages
    shared = np.minimum(all_busy.chance * all_busy.tokens, chunk)
    scatter = shared * size + all_busy.chance * np.minimum(all_busy.square, chunk**2) - shared**2
    anywhere = floor + slope * shared + all_busy.chance * stage / 2
    varied = slope**2 * np.maximum(scatter, 0.0) + _rest(stage, all_busy.chance)
    part, first, long = pinned + (1 - pinned) * all_busy.chance, steady * (1 - beyond), steady * beyond
    found = np.minimum(mean + met / (1 - (first * part) ** 2), chunk)
    stage = (floor + slope * found) / stages
    others, rest = busy * part * (first * found + begun), np.maximum(chunk - prompt, 0.0)
    with_it = np.minimum(others + long * rest, chunk)
    own = floor + busy * stage / 2 + slope * with_it
    own_varied = slope**2 * (others * size + long * (1 - long) * rest**2) + _rest(stage, busy)
    return (
        PassWait(np.asarray(anywhere), np.asarray(varied), np.asarray(shared)),
        PassWait(np.maximum(anywhere, own), np.maximum(varied, own_varied), np.maximum(shared, with_it)),
    )


def _rest(stage: FloatArray, busy: FloatArray) -> FloatArray:
    """Variance of the rest of a stage that is busy or not [s²]."""
    return np.asarray(stage**2 * (busy / 3 - busy**2 / 4))


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
    beyond = (1 - 1 / stages)[:, None] * times
    beyond -= own[:, None]
    np.maximum(beyond, 0.0, out=beyond)
    return np.asarray(rate / 2 * np.einsum("ij,ij,j->i", beyond, beyond, count))


def pass_response(stages: FloatArray, beyond: FloatArray | float, slowed: FloatArray | float) -> FloatArray:
    r"""Time that a prompt's own tokens take over the time for which they keep an instance busy.

    .. math:: \kappa = S\,(1 - \beta) + \beta\,s                                            (Q12)

    Parameters
    ----------
    stages : (n,) array                pipeline stages S [1]
    beyond : (n,) array                share of the tokens that lie beyond the first chunk of their prompt, beta [1]
    slowed : (n,) array                by how much others who share passes slow further chunks, s; 1 if nobody does [1]

    Returns
    -------
    (n,) array                         [1]

    Notes
    -----
    Tokens of one pass run through all S stages, each of which could begin a pass of others meanwhile. Further chunks
    follow stage by stage. Where prompts go to the rank with the least to do, y tokens of others displace as many of a
    chunk C: s = 1 + y/C. Where those of a load rho come whatever is there (KV is kept), s = 1/(1 - rho), processor
    sharing (Q1). The mean over the prompts of a kind is taken for each. Source: derived here.

    >>> float(pass_response(np.array(4.0), 0.25, 2.0))
    3.5
    """
    return np.asarray(stages * (1 - beyond) + beyond * slowed)


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


def pass_excess(mean: FloatArray, variance: FloatArray, level: float) -> FloatArray:
    r"""Quantile less the mean of a wait in passes, by its mean and variance; nothing below the mean.

    .. math::
        w\,\max\Bigl(0,\; \bigl(1 - \tfrac{1}{9k} + \tfrac{z_\ell}{3\sqrt{k}}\bigr)^3 - 1\Bigr), \;
        k = \frac{w^2}{v} \ge 1; \qquad
        \text{Q7 with } \delta = \frac{v + w^2}{2 w}, \; C = \frac{w}{\delta}, \; k < 1        (Q10)

    Parameters
    ----------
    mean : (...) array                 mean wait w [s]
    variance : (...) array             its variance v [s²]
    level : float                      for example 0.95 [1]

    Returns
    -------
    (...) array                        [s]

    Notes
    -----
    A wait that varies less than an exponential one is taken as gamma, one that varies more as exponential where there
    is any; both are exponential at k = 1. Source: assumption of this model; quantile of the gamma law by Wilson and
    Hilferty, PNAS 17, 1931.

    >>> [round(float(pass_excess(np.array(1.0), np.array(v), 0.95)), 2) for v in (0.1, 0.5, 1.0, 3.0)]
    [0.57, 1.36, 1.97, 3.61]
    """
    shape = np.maximum(mean**2 / np.maximum(variance, LEAST), 1.0)
    middle = 1 - 1 / (9 * shape) + NormalDist().inv_cdf(level) / (3 * np.sqrt(shape))
    regular = mean * np.maximum(middle * middle * middle - 1, 0.0)
    delay = (variance + mean**2) / (2 * np.maximum(mean, LEAST))
    rare = delay_excess(np.minimum(mean / np.maximum(delay, LEAST), 1.0), delay, level)
    return np.asarray(np.where(variance > mean**2, rare, regular))
