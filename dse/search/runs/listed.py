"""A front read back from its table, for runs that are kept without their archive."""

import csv
from collections.abc import Mapping
from pathlib import Path

import numpy as np

from dse.arrays import FloatArray, IntArray
from dse.search.archive import Archive
from dse.search.axes import Axis
from dse.search.frontier import INERT, shown
from dse.search.metrics import Metrics, scores
from dse.search.question import Question
from dse.search.runs.run import FRONT, refused

KV_HOME = ".kv_home"
"""Ending of the one mapping column that belongs to no pool."""

POOLS = (".prefill.", ".decode.")
"""Middle of the names of all other mapping columns."""


def listed_archive(folder: Path, question: Question) -> tuple[Archive, tuple[str, ...]]:
    """Rows of `front.csv`, to its digits, with their names; of a long front the table lists representatives."""
    try:
        with (folder / FRONT).open(encoding="utf-8", newline="") as stream:
            header, *lines = list(csv.reader(stream))
    except (OSError, ValueError):
        raise refused(folder, f"no readable archive and no readable {FRONT}") from None
    texts = {
        name.rpartition(" [")[0]: [line[place] for line in lines] for place, name in enumerate(header) if place > 0
    }
    axes = {axis.name: axis for axis in question.space.axes}
    if not lines or not axes.keys() <= texts.keys():
        raise refused(folder / FRONT, "the table holds no front of this study")
    rows = np.column_stack([_choices(question, axis, texts[name]) for name, axis in axes.items()]).astype(np.int16)
    mapping = {name: _codes(question, name, words) for name, words in texts.items() if is_mapping(name, axes)}
    columns = {
        name: _numbers(question, name, words)
        for name, words in texts.items()
        if name not in axes and name not in mapping
    }
    metrics = Metrics(np.arange(len(rows)), columns, mapping, np.zeros(len(rows)))
    return Archive(rows, metrics, scores(metrics, question.goals)), tuple(line[0] for line in lines)


def is_mapping(name: str, axes: Mapping[str, Axis]) -> bool:
    """Whether a column says how software uses a design.

    >>> is_mapping("chat.prefill.tp", {}), is_mapping("chat.ttft_p95", {})
    (True, False)
    """
    return name not in axes and (name.endswith(KV_HOME) or any(pool in name for pool in POOLS))


def _choices(question: Question, axis: Axis, words: list[str]) -> IntArray:
    """Index of each choice; an inert lever rests."""
    scale = shown(question.unit(axis.name))[1] if axis.ordered else 1.0

    def index(word: str) -> int:
        if word == INERT:
            return axis.rest
        if not axis.ordered:
            return [str(choice) for choice in axis.choices].index(word)
        return int(np.argmin([abs(float(choice) / scale - float(word)) for choice in axis.choices]))

    known = {word: index(word) for word in set(words)}
    return np.array([known[word] for word in words], dtype=np.int64)


def _codes(question: Question, name: str, words: list[str]) -> IntArray:
    labels = question.labels.get(name.rsplit(".", 1)[-1])
    return np.array([labels.index(word) if labels else int(word) for word in words], dtype=np.int64)


def _numbers(question: Question, name: str, words: list[str]) -> FloatArray:
    goals = {goal.name: goal.unit for goal in question.goals}
    scale = shown(goals.get(name) or question.unit(name))[1]
    return np.array([float(word) for word in words]) * scale
