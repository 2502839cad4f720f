from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dse.facts import reader, writer
from dse.facts.errors import SpecError
from dse.facts.quantities import Bandwidth, DollarsPerByte, Positive, PositiveBytes, Strict, Uncertain


class Memory(Strict):
    capacity: PositiveBytes
    bandwidth: Bandwidth


class Device(Strict):
    name: str
    memory: Memory
    count: Positive = 1
    price: Uncertain[DollarsPerByte] | None = None


class Devices(Strict):
    devices: dict[str, Device]


def refusal(text: str) -> str:
    with pytest.raises(SpecError) as caught:
        reader.read_text(text, "f.yaml")
    return str(caught.value)


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("true", True),
        ("null", None),
        ("", None),
        ("none", "none"),
        ("12", 12),
        ("-3", -3),
        ("0", 0),
        ("2.5", 2.5),
        ("1e3", 1000.0),
        ("4.8e12", 4.8e12),
        (".5", 0.5),
        ("2026-11", "2026-11"),
        ("2026-11-21", "2026-11-21"),
        ("4.8 TB/s", "4.8 TB/s"),
        ('"on"', "on"),
        ("'010'", "010"),
        ("1.2.3", "1.2.3"),
        ("-", None),
    ],
)
def test_plain_words_have_one_reading(text: str, value: object) -> None:
    read = reader.read_text(f"a: {text}" if text != "-" else "a: ~").data
    assert read == {"a": value}
    assert type(read["a"]) is type(value)


@pytest.mark.parametrize("word", ["on", "Off", "yes", "NO", "y", "N", "True", "FALSE", "Null"])
def test_words_for_truth_values_are_refused(word: str) -> None:
    assert "can be read as yes/no or as text" in refusal(f"a: {word}")


@pytest.mark.parametrize("number", ["010", "0x1F", "0o17", "0b11", "1:30", "1:30:00", "1_000", ".inf", "-.INF", ".nan"])
def test_numbers_with_two_readings_are_refused(number: str) -> None:
    assert refusal(f"a: {number}").startswith("f.yaml:1:4  a  `")


def test_every_mistake_of_a_file_is_reported() -> None:
    text = "a: 1\na: 2\nb: on\nc: {d: 010, d: 1:30}\n<<: {e: 1}\n"
    places = [line.split("  ")[0] for line in refusal(text).splitlines()]
    assert places == ["f.yaml:2:1", "f.yaml:3:4", "f.yaml:4:8", "f.yaml:4:13", "f.yaml:4:16", "f.yaml:5:1"]


def test_places_name_line_and_column() -> None:
    source = reader.read_text("a:\n  b: [1, {c: 2}]\n", "f.yaml")
    assert source.place(("a", "b")) == ("f.yaml", 2, 3)
    assert source.place(("a", "b", 1, "c")) == ("f.yaml", 2, 11)
    assert source.place(("a", "b", 1, "unknown", 3)) == ("f.yaml", 2, 10)


def test_alias_is_built_again() -> None:
    assert reader.read_text("a: &x {b: [1, 2]}\nc: *x").data == {"a": {"b": [1, 2]}, "c": {"b": [1, 2]}}


def test_aliases_cannot_fill_the_memory() -> None:
    lines = ["a0: &a0 [x, x, x, x, x, x, x, x, x, x]"]
    lines += [f"a{i}: &a{i} [{', '.join([f'*a{i - 1}'] * 10)}]" for i in range(1, 12)]
    assert "more than 200,000 values" in refusal("\n".join(lines))


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("a: &x [*x]", "nested deeper than 24 levels"),
        ("a: *x", "*x names no value above"),
        ("a: " + "[" * 100 + "]" * 100, "nested deeper than 24 levels"),
        ("a: " + "[" * 100_000, "nested deeper than 24 levels"),
        ("- 1", "a mapping `name: value` is expected"),
        ("a: !!python/name:os.system x", "tag tag:yaml.org,2002:python/name:os.system is not used here"),
        ("? [a]\n: 1", "a key must be plain text"),
        ("a: 1\n---\nb: 1", "a second document starts here"),
        ("a: \x00", "is not YAML"),
        ("a: [1", "is not YAML"),
        ("a: " + "x" * 2_000_001, "at most 2,000,000 are read"),
    ],
)
def test_hostile_or_broken_text_is_refused(text: str, message: str) -> None:
    assert message in refusal(text)


def test_unreadable_files_are_named(tmp_path: Path) -> None:
    (tmp_path / "latin.yaml").write_bytes(b"a: \xff\n")
    for name, message in (
        ("none.yaml", "cannot be read"),
        ("latin.yaml", "is not UTF-8 text"),
        (".", "cannot be read"),
    ):
        with pytest.raises(SpecError, match=message):
            reader.read(tmp_path / name)


def test_every_complaint_of_the_validator_has_its_place(tmp_path: Path) -> None:
    path = tmp_path / "devices.yaml"
    path.write_text(
        "devices:\n"
        "  a: {name: 7, memory: {capacity: 80, bandwith: 3 TB/s}}\n"
        "  b: {memory: 5, count: 1.5, price: {low: 3 $/GB, likely: 2 $/GB, high: 4 $/GB}}\n"
        "  c: {name: c, memory: {capacity: 0 GB, bandwidth: 3 TB/s}, count: 0, price: [1 $/GB, 2 $]}\n"
    )
    with pytest.raises(SpecError) as caught:
        reader.validate_file(Devices, path)
    assert [str(mistake).removeprefix(f"{path}:") for mistake in caught.value.mistakes] == [
        "2:7  devices.a.name  7: expected text",
        "2:16  devices.a.memory  `bandwidth` is missing",
        '2:25  devices.a.memory.capacity  80 has no unit: expected a size in bytes, for example "80 GB"',
        "2:39  devices.a.memory.bandwith  unknown field `bandwith`. Did you mean `bandwidth`?",
        "3:3  devices.b  `name` is missing",
        "3:7  devices.b.memory  5: expected a mapping {name: value}",
        "3:18  devices.b.count  1.5: expected a whole number",
        "3:30  devices.b.price  the range is not in order: expected low <= likely <= high",
        '4:25  devices.c.memory.capacity  "0 GB": expected more than zero',
        "4:61  devices.c.count  0: expected at least 1",
        "4:71  devices.c.price  a list: expected a mapping {name: value}",
    ]


def test_valid_file_becomes_its_type(tmp_path: Path) -> None:
    path = tmp_path / "devices.yaml"
    path.write_text("devices: {a: {name: a, memory: {capacity: 80 GB, bandwidth: 3.35 TB/s}, price: 14 $/GB}}\n")
    device = reader.validate_file(Devices, path).devices["a"]
    assert device.memory.bandwidth == 3.35e12
    assert device.price is not None
    assert (device.price.low, device.price.high) == (14e-9, 14e-9)


PLAIN = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(max_size=12),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=6), inner, max_size=3),
    max_leaves=12,
)


@given(st.dictionaries(st.text(min_size=1, max_size=6), PLAIN, max_size=4))
def test_written_data_is_read_back(data: dict[str, object]) -> None:
    assert reader.read_text(writer.text(data)).data == data


@pytest.mark.parametrize(
    "word", ["on", "010", "1:30", "1_000", "2026", "true", "", "~", ".inf", "1e3", "null", "=", "<<", "- a"]
)
def test_doubtful_text_is_quoted(word: str) -> None:
    assert reader.read_text(writer.text({"a": word, word or "x": 1})).data["a"] == word
