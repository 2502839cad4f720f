import math

import pint
import pytest
from hypothesis import given
from hypothesis import strategies as st

from dse.facts import units
from dse.facts.units import UnitError, exact, parse, show

READ = [
    ("4.8 TB/s", "B/s", 4.8e12),
    ("15 us", "s", 15e-6),
    ("15 µs", "s", 15e-6),
    ("20ms", "s", 0.02),
    ("5 pJ/bit", "J/B", 40e-12),
    ("0.075 $/kWh", "$/J", 0.075 / 3.6e6),
    ("14 $/GB", "$/B", 14e-9),
    ("6 $/(GB/s)", "$/(B/s)", 6e-9),
    ("2 task/s", "task/s", 2.0),
    ("3 task/s/MW", "task/J", 3e-6),
    ("64 ktok", "tok", 64e3),
    ("2 $/Mtok", "$/tok", 2e-6),
    ("400 Gbit/s", "B/s", 50e9),
    ("1 GiB", "B", 2.0**30),
    ("1 GB", "B", 1e9),
    ("814 mm2", "m²", 814e-6),
    ("120 kW", "W", 120e3),
    ("2.5 $/h", "$/s", 2.5 / 3600),
    ("1 year", "s", 31_557_600.0),
    ("90 %", "1", 0.9),
    ("-5 W", "W", -5.0),
    (131072, "tok", 131072.0),
    (0.7, "1", 0.7),
    (0, "B", 0.0),
]
REFUSED = [
    ("1.98 PFLOPS", "FLOP/s", '"1.98 PFLOPS": expected FLOP/s, for example "1.98 PFLOP/s"'),
    ("400 Gbps", "B/s", '"400 Gbps": expected B/s, for example "400 Gbit/s"'),
    ("9000 USD", "$", '"9000 USD": expected an amount in $, for example "9000 $"'),
    ("4.8 TB", "B/s", '"4.8 TB": expected B/s, for example "4.8 TB/s"'),
    (30, "s", '30 has no unit: expected a time, for example "30 ms"'),
    ("30", "s", '30 has no unit: expected a time, for example "30 ms"'),
    (True, "1", 'true: expected a number, for example "0.7"'),
    ("fast", "B/s", '"fast": expected B/s, for example "4.8 TB/s"'),
    ("5 TiFLOP", "FLOP", '"5 TiFLOP": expected FLOP, for example "2 TFLOP"'),
    ("5 B//s", "B/s", '"5 B//s": expected B/s, for example "4.8 TB/s"'),
    (math.inf, "1", 'inf: expected a number, for example "0.7"'),
]


@pytest.fixture(scope="module")
def registry() -> pint.UnitRegistry:
    return pint.UnitRegistry()


@pytest.mark.parametrize(("text", "unit", "expected"), READ)
def test_quantity_is_read_in_si(text: object, unit: str, expected: float) -> None:
    assert parse(text, unit) == pytest.approx(expected, rel=1e-15)


@pytest.mark.parametrize(("text", "unit", "message"), REFUSED)
def test_wrong_quantity_says_what_to_write(text: object, unit: str, message: str) -> None:
    with pytest.raises(UnitError) as caught:
        parse(text, unit)
    assert str(caught.value) == message


@pytest.mark.parametrize("unit", sorted(units.EXAMPLES))
def test_every_example_can_be_read(unit: str) -> None:
    example = units.EXAMPLES[unit]
    assert parse(float(example) if unit == "1" else example, unit) > 0


@given(st.sampled_from(sorted(units.EXAMPLES)), st.floats(1e-15, 1e18))
def test_exact_text_reads_back_to_the_same_number(unit: str, number: float) -> None:
    assert parse(exact(number, unit), unit) == number


@given(st.integers(1, 999), st.sampled_from(["G", "T", "P"]), st.sampled_from(["B/s", "FLOP/s", "B"]))
def test_shown_text_keeps_three_digits(digits: int, prefix: str, unit: str) -> None:
    assert show(parse(f"{digits} {prefix}{unit}", unit), unit) == f"{digits} {prefix}{unit}"


@pytest.mark.parametrize(
    ("number", "unit", "shown"),
    [
        (1.234567e12, "B/s", "1.23 TB/s"),
        (0.0288, "s", "28.8 ms"),
        (5400.0, "s", "90 min"),
        (2.0833333e-8, "$/J", "0.075 $/kWh"),
        (9000.0, "$", "9,000 $"),
        (0.0, "s", "0 s"),
        (131072.0, "tok", "131 ktok"),
    ],
)
def test_number_is_shown_for_people(number: float, unit: str, shown: str) -> None:
    assert show(number, unit) == shown


@pytest.mark.parametrize(
    ("text", "ours", "theirs"),
    [
        ("4.8 TB/s", "B/s", "byte/s"),
        ("5 pJ/bit", "J/B", "J/byte"),
        ("3 kWh", "J", "J"),
        ("2 GiB", "B", "byte"),
        ("7 kW", "W", "W"),
        ("3 h", "s", "s"),
    ],
)
def test_pint_agrees(registry: pint.UnitRegistry, text: str, ours: str, theirs: str) -> None:
    quantity = registry.Quantity(text.replace("B", "byte").replace("ibyte", "iB").replace("GiB", "gibibyte"))
    assert parse(text, ours) == pytest.approx(quantity.to(theirs).magnitude, rel=1e-12)
