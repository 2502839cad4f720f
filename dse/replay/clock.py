"""Times inside the event loop: look-ups in grids of pass times, exact at their nodes and linear between."""

import numpy as np

from dse.arrays import FloatArray
from dse.replay.compiled import compiled
from dse.replay.layout import World


@compiled
def cell(nodes: FloatArray, value: float) -> int:
    """Lower node of the interval that holds a value; outer intervals reach beyond the nodes."""
    low, high = 0, nodes.size - 1
    while high - low > 1:
        middle = (low + high) >> 1
        if nodes[middle] <= value:
            low = middle
        else:
            high = middle
    return low


@compiled
def on_line(nodes: FloatArray, values: FloatArray, value: float) -> float:
    """Linear interpolation, continued beyond the ends."""
    if nodes.size == 1:
        return float(values[0])
    low = cell(nodes, value)
    part = (value - nodes[low]) / (nodes[low + 1] - nodes[low])
    return float(values[low] + part * (values[low + 1] - values[low]))


@compiled
def step_time(w: World, requests: int, context: float) -> float:
    """Decode step of an instance with so many active requests at this mean context [s]."""
    return on_line(w.decode_context, w.decode_time[requests], context)


@compiled
def chunk_time(nodes: FloatArray, prefixes: FloatArray, table: FloatArray, tokens: float, prefix: float) -> float:
    """Pass over some tokens on some prefix [s]; a negative prefix stands for prompts shorter than the pass."""
    low = cell(nodes, tokens) if nodes.size > 1 else 0
    at_low = on_line(prefixes, table[low], prefix)
    if nodes.size == 1:
        return max(at_low, 0.0)
    part = (tokens - nodes[low]) / (nodes[low + 1] - nodes[low])
    return float(max(at_low + part * (on_line(prefixes, table[low + 1], prefix) - at_low), 0.0))


@compiled
def steps_within(alpha: float, beta: float, seconds: float) -> float:
    """Decode steps that are begun within a time: the least k whose duration reaches it."""
    if seconds <= 0:
        return 1.0
    if beta <= 1e-12 * alpha:
        steps = seconds / alpha
    else:
        half = alpha - beta / 2
        steps = (np.sqrt(half * half + 2 * beta * seconds) - half) / beta
    return max(float(np.ceil(steps - 1e-9)), 1.0)


@compiled
def steps_time(alpha: float, beta: float, steps: float) -> float:
    """Duration of several decode steps, each a little longer than the one before [s]."""
    return alpha * steps + beta * steps * (steps - 1) / 2
