"""Field types of everything YAML may say: quantities with a unit, and numbers with a range and a source."""

from dataclasses import dataclass
from typing import Annotated, Any, Generic, Self, TypeAlias, TypeVar

from pydantic import BaseModel, ConfigDict, Field, GetCoreSchemaHandler, GetJsonSchemaHandler, model_validator
from pydantic.json_schema import JsonSchemaValue
from pydantic_core import CoreSchema, core_schema

from dse.facts import units

UNIT = "x-unit"
"""Key of a schema that holds the unit until it is part of the help text."""


class Strict(BaseModel):
    """Frozen; a field it does not know is a mistake; the text below a field is its help."""

    model_config = ConfigDict(
        frozen=True,
        extra="forbid",
        use_attribute_docstrings=True,
        allow_inf_nan=False,
        protected_namespaces=(),
    )


@dataclass(frozen=True)
class Quantity:
    """Marks a float that files write with a unit and the package holds in SI."""

    unit: str
    """Dimension expected, as in `units.EXAMPLES`."""
    positive: bool = False
    """Zero is refused as well as negative numbers."""
    maximum: float | None = None
    """Largest value that makes sense [SI]."""

    def read(self, text: object) -> float:
        """SI value of what a file says."""
        number = units.parse(text, self.unit)
        if number < 0 or (self.positive and number == 0):
            raise ValueError(
                f"{_written(text)}: expected more than zero" if self.positive else f"{_written(text)}: negative"
            )
        if self.maximum is not None and number > self.maximum:
            raise ValueError(f"{_written(text)}: expected at most {units.show(self.maximum, self.unit)}")
        return number

    def write(self, number: float) -> str | float | int:
        """Text that reads back to the same number."""
        return units.exact(number, self.unit)

    def __get_pydantic_core_schema__(self, source: Any, handler: GetCoreSchemaHandler) -> CoreSchema:
        return core_schema.no_info_plain_validator_function(
            self.read,
            serialization=core_schema.plain_serializer_function_ser_schema(self.write, when_used="json"),
        )

    def __get_pydantic_json_schema__(self, schema: CoreSchema, handler: GetJsonSchemaHandler) -> JsonSchemaValue:
        example = units.EXAMPLES.get(self.unit, f"3 {self.unit}")
        if self.unit == "1":
            return {"type": ["number", "string"], "examples": [float(example)]}
        return {
            "type": ["string", "number"],
            UNIT: self.unit,
            "examples": [example],
        }


def _written(text: object) -> str:
    return f'"{text}"' if isinstance(text, str) else str(text)


Bytes: TypeAlias = Annotated[float, Quantity("B")]
PositiveBytes: TypeAlias = Annotated[float, Quantity("B", positive=True)]
Bandwidth: TypeAlias = Annotated[float, Quantity("B/s", positive=True)]
FlopRate: TypeAlias = Annotated[float, Quantity("FLOP/s", positive=True)]
Seconds: TypeAlias = Annotated[float, Quantity("s")]
Watts: TypeAlias = Annotated[float, Quantity("W", positive=True)]
Energy: TypeAlias = Annotated[float, Quantity("J/B")]
Dollars: TypeAlias = Annotated[float, Quantity("$")]
DollarsPerByte: TypeAlias = Annotated[float, Quantity("$/B")]
DollarsPerBandwidth: TypeAlias = Annotated[float, Quantity("$/(B/s)")]
DollarsPerJoule: TypeAlias = Annotated[float, Quantity("$/J")]
DollarsPerSecond: TypeAlias = Annotated[float, Quantity("$/s")]
Tokens: TypeAlias = Annotated[float, Quantity("tok")]
Area: TypeAlias = Annotated[float, Quantity("m²", positive=True)]
Metres: TypeAlias = Annotated[float, Quantity("m")]
Ratio: TypeAlias = Annotated[float, Quantity("1")]
Fraction: TypeAlias = Annotated[float, Quantity("1", maximum=1.0)]
Count: TypeAlias = Annotated[int, Field(strict=True, ge=0)]
Positive: TypeAlias = Annotated[int, Field(strict=True, ge=1)]
Flag: TypeAlias = Annotated[bool, Field(strict=True)]

_Number = TypeVar("_Number")


class Uncertain(Strict, Generic[_Number]):
    """A number that is not known exactly: its range, whether it is an estimate, and where it is from.

    In a study it may also be one quantity ("14 $/GB") or three ([low, likely, high]).
    """

    low: _Number
    """Lower end of the range seen or assumed."""
    likely: _Number
    """Value used unless robustness is asked for."""
    high: _Number
    """Upper end of the range seen or assumed."""
    estimate: Flag = True
    """False only for a figure published by its maker or measured."""
    source: str = "stated in the study"
    """Who says so; the rule where the number is derived."""
    date: str | None = None
    """Year and month of the figure."""

    @model_validator(mode="before")
    @classmethod
    def _shorthand(cls, written: Any) -> Any:
        """Fill the range where only the likely value, or a list of three, is written."""
        if isinstance(written, str | int | float) and not isinstance(written, bool):
            written = {"likely": written}
        if isinstance(written, list | tuple) and len(written) == 3:
            written = dict(zip(("low", "likely", "high"), written, strict=True))
        if isinstance(written, dict) and "likely" in written:
            return {"low": written["likely"], "high": written["likely"], **written}
        return written

    @model_validator(mode="after")
    def _ordered(self) -> Self:
        numbers: list[Any] = [self.low, self.likely, self.high]
        if sorted(numbers) != numbers:
            raise ValueError("the range is not in order: expected low <= likely <= high")
        return self

    @classmethod
    def __get_pydantic_json_schema__(cls, schema: CoreSchema, handler: GetJsonSchemaHandler) -> JsonSchemaValue:
        full = handler.resolve_ref_schema(handler(schema))
        full["required"] = ["likely"]
        short: JsonSchemaValue = {"type": ["string", "number"]}
        return {"anyOf": [full, short, {"type": "array", "items": short, "minItems": 3, "maxItems": 3}]}
