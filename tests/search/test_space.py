import itertools

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from dse.search.axes import Inert, Pair
from dse.search.space import space


def all_rows(space_):
    return np.array(list(itertools.product(*(range(n) for n in space_.structure.sizes))), dtype=np.int16)


@pytest.mark.parametrize("name", ["small", "tight"])
def test_size_counts_canonical_designs_exactly(toys, name):
    tested = toys[name].space
    canonical = tested.canonical(all_rows(tested))
    assert tested.size == len(set(canonical.identities()))


@pytest.mark.parametrize("name", ["small", "medium", "tight"])
def test_blocks_enumerate_every_canonical_design_once(toys, name):
    tested = toys[name].space
    keys = [key for block in tested.blocks() for key in block.identities()]
    assert len(keys) == len(set(keys)) == tested.size
    block = next(tested.blocks())
    assert (tested.canonical(block.rows).rows == block.rows).all()


def test_canonical_is_idempotent(toys):
    tested = toys["tight"].space
    once = tested.canonical(all_rows(tested))
    assert (tested.canonical(once.rows).rows == once.rows).all()


def test_an_inert_lever_rests_and_makes_those_it_controls_inert(toys):
    tested = toys["tight"].space
    (row,) = tested.encode({"serving": "colocated", "pool.technology": "cxl", "pool.capacity": 8.0}).rows
    chosen = tested.decode(row)
    assert (chosen["pool.technology"], chosen["pool.capacity"]) == ("none", 1.0)


def test_a_device_pair_is_counted_once_and_a_twin_is_no_pair(toys):
    tested = toys["tight"].space
    base = {"serving": "disaggregated"}
    pair = [{"prefill.device": a, "prefill.second_device": b} for a, b in (("d1", "d2"), ("d2", "d1"))]
    one, other = tested.encode(*(base | p for p in pair)).identities()
    assert one == other
    (row,) = tested.encode(base | {"prefill.device": "d3", "prefill.second_device": "d3"}).rows
    assert tested.decode(row)["prefill.second_device"] == "none"


def test_a_pair_whose_parts_differ_is_counted_twice():
    levers = {"serving": ("both", "offload"), "device": ("a", "b"), "second": ("none", "a", "b")}
    rule = (Inert("serving", frozenset({"offload"})),)
    tested = space(levers, {}, [Pair("device", "second", distinct=rule)])
    assert tested.size == 3 + 6


def test_encode_reverses_decode(toys):
    tested = toys["medium"].space
    drawn = tested.sample(200, seed=0)
    again = tested.encode(*(tested.decode(row) for row in drawn.rows))
    assert (again.rows == drawn.rows).all()


@given(st.integers(1, 500), st.integers(0, 9))
def test_a_sample_is_distinct_canonical_and_reproducible(count, seed):
    tested = space({"a": ("none", "x", "y"), "b": (1, 2, 3), "c": tuple(range(9))}, {"b": [NO_A]})
    drawn = tested.sample(count, seed)
    assert len(set(drawn.identities())) == len(drawn) == min(count, tested.size)
    assert (tested.canonical(drawn.rows).rows == drawn.rows).all()
    assert drawn.identities() == tested.sample(count, seed).identities()


NO_A = Inert("a", frozenset({"none"}))


def test_a_sample_is_uniform_over_canonical_designs():
    tested = space({"a": ("none", "x"), "b": tuple(range(9)), "c": tuple(range(1000))}, {"b": [NO_A]})
    drawn = tested.sample(2000, seed=0)
    assert (drawn["a"] == 0).mean() == pytest.approx(0.1, abs=0.03)


def test_neighbours_differ_in_one_lever_before_canonical_form(toys):
    tested = toys["small"].space
    design = tested.sample(1, seed=3)
    near, source = tested.neighbours(design)
    assert ((near.rows != design.rows).sum(axis=1) == 1).all()
    assert len(near) == sum(n - 1 for n in tested.structure.sizes)
    assert (source == 0).all()


def test_diagonals_differ_by_short_steps_of_two_long_levers():
    tested = space({"kind": ("p", "q"), "few": (1, 2, 3), "x": tuple(range(50)), "y": tuple(range(50))}, {})
    design = tested.numbered(np.array([0]))
    near, source = tested.diagonals(design)
    moved = near.rows.astype(int) - design.rows
    assert (moved[:, :2] == 0).all()
    assert {tuple(step) for step in moved[:, 2:].tolist()} == {(a, b) for a in (1, 2, 4) for b in (1, 2, 4)}
    assert (source == 0).all()
    assert len(near) <= tested.moves[2]


def test_twofold_neighbours_differ_in_two_levers_by_any_word_and_a_step():
    tested = space({"kind": ("p", "q", "r"), "few": (1, 2, 3), "x": tuple(range(50))}, {})
    design = tested.encode({"kind": "q", "few": 2, "x": 7})
    near, source = tested.twofold(design)
    words, few, long = ((0, 2), (0, 2), (6, 8))
    expected = {(a, b, 7) for a in words for b in few} | {(a, 1, c) for a in words for c in long}
    assert {tuple(row) for row in near.rows.tolist()} == expected | {(1, b, c) for b in few for c in long}
    assert (source == 0).all()
    assert len(near) <= tested.moves[3]


def test_levers_of_one_part_begin_with_one_word():
    tested = space({"prefill.a": (1, 2), "decode.a": (1, 2), "prefill.b": (1, 2), "rate": (1, 2)}, {})
    assert tested.parts.tolist() == [0, 1, 0, 3]


def test_spaces_beyond_64_bits_are_counted_and_sampled():
    tested = space({f"x{n}": tuple(range(50)) for n in range(16)}, {})
    assert tested.size == 50**16
    assert len(tested.sample(100, seed=0)) == 100


def test_levers_that_control_each_other_are_refused():
    circle = {"a": [Inert("b", frozenset({1}))], "b": [Inert("a", frozenset({1}))]}
    with pytest.raises(ValueError, match="circle"):
        _ = space({"a": (1, 2), "b": (1, 2)}, circle).size


def test_designs_are_read_only(toys):
    drawn = toys["small"].space.sample(3, seed=0)
    with pytest.raises(ValueError, match="read-only"):
        drawn.rows[0, 0] = 1


def test_levers_that_choose_among_the_same_things_are_exchanged_together():
    words = ("none", "a", "b", "c")
    tested = space(
        {"one.device": words[1:], "one.second": words, "other.device": ("b", "c"), "size": (1, 2), "link": ("x", "y")},
        {},
    )
    designs = tested.encode(
        {"one.device": "a", "one.second": "none", "other.device": "b", "size": 2, "link": "y"},
        {"one.device": "b", "one.second": "c", "other.device": "c", "size": 1, "link": "x"},
    )
    found, source = tested.exchanged(designs)
    told = [(int(owner), *tested.decode(row).values()) for owner, row in zip(source, found.rows, strict=True)]
    assert sorted(told) == [
        (0, "b", "none", "b", 2, "y"),  # a is not in every list
        (0, "c", "none", "c", 2, "y"),
        (1, "b", "b", "b", 1, "x"),
        (1, "c", "c", "c", 1, "x"),
    ]
    assert len(found) <= len(designs) * tested.moves[0]
