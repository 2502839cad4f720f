"""The loop that reads mixtures point by point: the rule of the physics, and when it is worth its while."""

import subprocess
import sys

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dse import compiled
from dse.arrays import BoolArray, FloatArray
from dse.facts.workload.atoms import FIRST, HIT, MISSED, Atoms
from dse.facts.workload.distill import RETENTION, grid_position
from dse.physics import queueing
from dse.search.scoring import readings

COUNT = 12


def drawn(seed: int) -> tuple[Atoms, readings.Mixtures, np.ndarray, np.ndarray]:
    """A class of few steps, some without weight; mixtures of all kinds; times per output, retention times."""
    random = np.random.default_rng(seed)
    size = int(random.integers(3, 30))
    weight = random.exponential(1.0, (len(RETENTION), size)) * (random.random(size) < 0.8)
    weight[:, 0] += 0.01
    atoms = Atoms(
        random.choice([FIRST, HIT, MISSED], size),
        *(10.0 ** random.uniform(0, 4, size) for _ in range(3)),
        weight / weight.sum(axis=1, keepdims=True),
    )
    scale = 10.0 ** random.uniform(-3, 3, (3, 4, 1))
    forms = random.exponential(1.0, (3, 4, COUNT)) * scale
    lower = np.clip(random.uniform(-0.5, 1.5, COUNT), 0, 1)
    retention = 10.0 ** random.uniform(-1, 5, COUNT)
    return atoms, readings.mixtures(forms, lower, grid_position(retention)), random.exponential(1.0, COUNT), retention


def spelled_out(atoms: Atoms, of: readings.Mixtures, output: np.ndarray, retention: np.ndarray, near: float):
    """Times and weights of all steps, found in HBM, found below it, and not found."""
    hit = atoms.kind == HIT
    groups = [np.flatnonzero(hit), np.flatnonzero(hit), np.flatnonzero(~hit)]
    weights = near * atoms.weights(retention) + (1 - near) * atoms.weight[0]
    values, mass = [], []
    for form, share, rows in zip(of.forms, of.shares, groups, strict=True):
        sizes = np.stack([np.ones(rows.size), atoms.fresh[rows], atoms.area[rows], atoms.cached[rows]])
        values.append(form.T @ sizes + output[:, None] * np.maximum(atoms.output[rows] - 1, 0))
        mass.append(share[:, None] * weights[:, rows])
    return np.concatenate(values, axis=1), np.concatenate(mass, axis=1)


@settings(deadline=None, max_examples=60)
@given(st.integers(0, 10**6), st.sampled_from([0.3, 0.5, 0.95, 0.99]), st.sampled_from([0.0, 0.6, 1.0]))
def test_loop_reads_what_the_rule_of_the_physics_reads(seed, level, near):
    atoms, of, output, retention = drawn(seed)
    for whole in (True, False):
        steps = readings.longest(atoms, near, whole)
        got = readings.readings(of, steps, output if whole else None, level)
        values, mass = spelled_out(atoms, of, output if whole else 0 * output, retention, near)
        want = queueing.mixture_quantiles(values, mass, [level])[0]
        assert got == pytest.approx(want, rel=1e-9)


@settings(deadline=None, max_examples=60)
@given(st.integers(0, 10**6), st.sampled_from([0.5, 0.95]), st.sampled_from([1e-6, 0.01, 0.5, 5.0]))
def test_loop_tells_within_a_limit_without_reading(seed, level, factor):
    atoms, of, _, _ = drawn(seed)
    steps = readings.longest(atoms, 1.0, False)
    quantile = readings.readings(of, steps, None, level)
    assert readings.within(of, steps, quantile * (1 + factor), level).all()
    assert not readings.within(of, steps, quantile / (1 + factor), level).any()


def test_machine_code_is_asked_for_once_arrays_took_as_long(monkeypatch, tmp_path):
    monkeypatch.setattr(compiled, "available", lambda: True)
    monkeypatch.setattr(readings, "_folder", lambda: tmp_path / "none")
    monkeypatch.setattr(readings, "_count", [0])
    assert not readings.pays(readings.MADE)
    assert readings.pays(1)
    monkeypatch.setattr(readings, "_folder", lambda: tmp_path)
    monkeypatch.setattr(readings, "_count", [0])
    assert not readings.pays(readings.LOADED)
    assert readings.pays(1)
    monkeypatch.setattr(compiled, "available", lambda: False)
    assert not readings.pays(10 * readings.MADE)


@pytest.mark.skipif(not compiled.available(), reason="there is no compiler")
def test_machine_code_is_made_anew_where_nothing_can_be_kept():
    def doubled(values: np.ndarray) -> None:
        values *= 2

    values = np.ones(3)
    compiled.machine_code(doubled, compiled.Path("/proc/none"))(values)
    assert values.tolist() == [2.0, 2.0, 2.0]


def filled(count: int, half: float, values: FloatArray, found: BoolArray) -> None:
    for place in range(count):
        values[place] *= half
        found[place] = values[place] > 1


@pytest.mark.skipif(not compiled.available(), reason="there is no compiler")
@pytest.mark.parametrize("text", [None, "torn"])
def test_loop_is_made_once_and_anew_where_what_is_kept_cannot_be_read(tmp_path, text):
    for _ in range(2):
        for loop in (compiled.loop(filled, tmp_path), compiled.plain(filled)):
            values, found = np.array([[2.0, 3.0]]), np.ones(2, dtype=bool)
            loop(2, 0.5, values, found)
            assert values.tolist() == [[1.0, 1.5]]
            assert found.tolist() == [False, True]
        (file,) = tmp_path.iterdir()
        if text:
            file.write_text(text)
    assert compiled.loop(filled, compiled.Path("/proc/none"))


@pytest.mark.skipif(not compiled.available(), reason="there is no compiler")
def test_loop_refuses_what_it_would_misread(tmp_path):
    loop = compiled.loop(filled, tmp_path)
    for values in (np.ones((2, 2))[:, 0], np.ones(2, dtype=np.float32)):
        with pytest.raises(TypeError, match="contiguous"):
            loop(2, 0.5, values, np.ones(2, dtype=bool))


@pytest.mark.skipif(not compiled.available(), reason="there is no compiler")
def test_kept_loops_are_read_without_the_compiler(tmp_path):
    compiled.loop(filled, tmp_path)
    asked = f"""
import sys
from pathlib import Path
from dse import compiled
import numpy as np
from dse.arrays import BoolArray, FloatArray
def filled(count: int, half: float, values: FloatArray, found: BoolArray) -> None: ...
compiled.loop(filled, Path({str(tmp_path)!r}))(1, 0.5, np.ones(1), np.ones(1, dtype=bool))
assert "numba" not in sys.modules
"""
    subprocess.run([sys.executable, "-c", asked], check=True)
