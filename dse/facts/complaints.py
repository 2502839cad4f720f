"""From a validator's complaint to a sentence a person can act on."""

import types
import typing
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from pydantic import BaseModel
from pydantic_core import ErrorDetails

from dse.facts.errors import did_you_mean, listed

Key = str | int

_EXPECTED = {
    "string_type": "text",
    "int_type": "a whole number",
    "int_parsing": "a whole number",
    "int_from_float": "a whole number",
    "float_type": "a number",
    "float_parsing": "a number",
    "bool_type": "true or false",
    "bool_parsing": "true or false",
    "list_type": "a list [a, b]",
    "tuple_type": "a list [a, b]",
    "dict_type": "a mapping {name: value}",
    "model_type": "a mapping {name: value}",
    "model_attributes_type": "a mapping {name: value}",
}
_BOUNDS = {
    "greater_than": ("gt", "greater than"),
    "greater_than_equal": ("ge", "at least"),
    "less_than": ("lt", "less than"),
    "less_than_equal": ("le", "at most"),
}
_LENGTHS = {"too_short": ("min_length", "at least"), "too_long": ("max_length", "at most")}


def complaint(model_type: type[BaseModel], data: object, detail: ErrorDetails) -> tuple[tuple[Key, ...], str]:
    """Path in the data and message for one error of the validator."""
    path = _real_path(data, detail["loc"])
    kind, context = detail["type"], detail.get("ctx", {})
    written = detail.get("input")
    if kind == "extra_forbidden":
        return path, _unknown_field(model_type, path)
    if kind == "missing":
        return path[:-1], f"`{path[-1]}` is missing"
    if kind in ("value_error", "assertion_error"):
        return path, str(context.get("error", detail["msg"]))
    if kind in ("literal_error", "enum"):
        return path, _not_a_choice(written, str(context["expected"]))
    if kind in _EXPECTED:
        return path, f"{quoted(written)}: expected {_EXPECTED[kind]}"
    if kind in _BOUNDS:
        name, words = _BOUNDS[kind]
        return path, f"{quoted(written)}: expected {words} {context[name]}"
    if kind in _LENGTHS:
        name, words = _LENGTHS[kind]
        return path, f"expected {words} {context[name]} entries, found {context['actual_length']}"
    return path, f"{quoted(written)}: {detail['msg'][:1].lower()}{detail['msg'][1:]}"


def quoted(written: object) -> str:
    """A value as it stands in the file; long ones only by kind.

    >>> quoted("x"), quoted({"a": 1}), quoted(None)
    ('"x"', 'a mapping', 'nothing')
    """
    if isinstance(written, str):
        return f'"{written}"'
    if isinstance(written, Mapping):
        return "a mapping"
    if isinstance(written, list | tuple):
        return "a list"
    if written is None:
        return "nothing"
    return str(written).lower() if isinstance(written, bool) else str(written)


def _real_path(data: object, location: Sequence[Key]) -> tuple[Key, ...]:
    """Drop the parts of a location that name a branch of the validator instead of a place in the data.

    The last part is kept even when it is absent from the data: it is the name of a missing field.
    """
    path: list[Key] = []
    here: Any = data
    for index, key in enumerate(location):
        if _holds(here, key):
            here = here[key]
        elif index < len(location) - 1 or not isinstance(here, Mapping) or key == "[key]":
            continue
        path.append(key)
    return tuple(path)


def _holds(here: object, key: Key) -> bool:
    """Whether there is a value at `key`."""
    if isinstance(here, list):
        return isinstance(key, int) and key < len(here)
    return isinstance(here, Mapping) and key in here


def _unknown_field(model_type: type[BaseModel], path: Sequence[Key]) -> str:
    known = sorted(_field_names(model_type, path[:-1]))
    name = str(path[-1])
    hint = did_you_mean(name, known) or (f" Known: {listed(known)}" if known else "")
    return f"unknown field `{name}`.{hint}"


def _not_a_choice(written: object, expected: str) -> str:
    choices = [word.strip(" '") for word in expected.replace(" or ", ", ").split(",")]
    hint = did_you_mean(written, choices) if isinstance(written, str) else ""
    wanted = choices[0] if len(choices) == 1 else f"one of {', '.join(choices)}"
    return f"{quoted(written)}: expected {wanted}{'.' if hint else ''}{hint}"


def _field_names(model_type: type[BaseModel], path: Sequence[Key]) -> set[str]:
    """Names allowed at `path`, found by walking the types."""
    reached: list[Any] = [model_type]
    for key in path:
        reached = [step for kind in reached for step in _step(kind, key)]
    return {
        field.alias or name for kind in reached for model in _models(kind) for name, field in model.model_fields.items()
    }


def _step(kind: Any, key: Key) -> Iterator[Any]:
    """Types that stand below `kind` at `key`."""
    for branch in _branches(kind):
        origin, arguments = typing.get_origin(branch), typing.get_args(branch)
        if isinstance(branch, type) and issubclass(branch, BaseModel):
            fields = {field.alias or name: field.annotation for name, field in branch.model_fields.items()}
            if key in fields:
                yield fields[str(key)]
        elif origin is not None and isinstance(origin, type) and issubclass(origin, Mapping) and len(arguments) > 1:
            yield arguments[1]
        elif origin in (list, tuple) and arguments:
            yield arguments[0]


def _models(kind: Any) -> Iterator[type[BaseModel]]:
    for branch in _branches(kind):
        if isinstance(branch, type) and issubclass(branch, BaseModel):
            yield branch


def _branches(kind: Any) -> Iterator[Any]:
    """A type without annotations and unions."""
    origin = typing.get_origin(kind)
    if origin is typing.Annotated:
        yield from _branches(typing.get_args(kind)[0])
    elif origin in (typing.Union, types.UnionType):
        for argument in typing.get_args(kind):
            yield from _branches(argument)
    else:
        yield kind
