"""Layers of settings: one set of values laid over another, field by field, so that one mistake spoils one field."""

from __future__ import annotations

import math
import typing
from collections.abc import Mapping
from functools import lru_cache
from typing import Any, TypeVar

import msgspec

from letta_code.core.messages import Value

S = TypeVar("S", bound=Value)


class Problem(Value):
    """A value that was not taken: `key` is dotted, `text` says why."""

    key: str
    text: str


def overlay(base: S, data: Mapping[str, Any], *, lax: bool = False, prefix: str = "") -> tuple[S, tuple[Problem, ...]]:
    """`base` with the values of `data`; a wrong, null or unknown one leaves its field as it was and is told.

    `lax` takes text for numbers and switches (environment variables).
    """
    kinds = field_kinds(type(base))
    problems: list[Problem] = []
    changes: dict[str, Any] = {}
    for key, value in data.items():
        path = f"{prefix}{key}"
        if key not in kinds:
            problems.append(Problem(key=path, text=f"is not a setting{nearest(key, kinds)}"))
        elif value is None:
            problems.append(Problem(key=path, text="has no value"))
        else:
            taken, found = _field(getattr(base, key), kinds[key], value, path, lax)
            problems += found
            if taken is not None:
                changes[key] = taken
    return msgspec.structs.replace(base, **changes), tuple(problems)


def _field(current: Any, kind: Any, value: Any, path: str, lax: bool) -> tuple[Any, tuple[Problem, ...]]:
    """The new value of one field (None: keep the old one), and what was wrong."""
    if isinstance(current, Value):
        if not isinstance(value, Mapping):
            return None, (Problem(key=path, text=f"should be `name: value` lines, and is {_shape(value)}"),)
        return overlay(current, _text_keys(value), lax=lax, prefix=f"{path}.")
    entry = _struct_of_mapping(kind)
    if entry is not None:
        return _mapping(current, entry, value, path, lax)
    try:
        taken = msgspec.convert(value, kind, strict=not lax)
    except msgspec.ValidationError as error:
        words = _choice(kind)
        text = f"is none of {', '.join(words)}" if words else _plain_words(str(error))
        return None, (Problem(key=path, text=text),)
    except RecursionError:
        return None, (Problem(key=path, text="is nested too deep"),)
    if isinstance(taken, float) and not math.isfinite(taken):
        return None, (Problem(key=path, text="should be a finite number"),)
    return taken, ()


def _mapping(
    current: Mapping[str, Any], entry: type[Value], value: Any, path: str, lax: bool
) -> tuple[Any, tuple[Problem, ...]]:
    if not isinstance(value, Mapping):
        return None, (Problem(key=path, text=f"should be `name: value` lines, and is {_shape(value)}"),)
    problems: list[Problem] = []
    result = dict(current)
    for name, fields in _text_keys(value).items():
        if not isinstance(fields, Mapping):
            words = f"should be `name: value` lines, and is {_shape(fields)}"
            problems.append(Problem(key=f"{path}.{name}", text=words))
            continue
        base = result.get(name) or entry()
        result[name], found = overlay(base, _text_keys(fields), lax=lax, prefix=f"{path}.{name}.")
        problems += found
    return result, tuple(problems)


def _text_keys(value: Mapping[Any, Any]) -> dict[str, Any]:
    return {str(key): item for key, item in value.items()}


@lru_cache
def field_kinds(kind: type[Value]) -> dict[str, Any]:
    """The annotated type of each field, by name."""
    return typing.get_type_hints(kind, include_extras=True)


def _struct_of_mapping(kind: Any) -> type[Value] | None:
    """X for `dict[str, X]` where X is a struct, whatever is annotated around it."""
    if typing.get_origin(kind) is typing.Annotated:
        kind = typing.get_args(kind)[0]
    arguments = typing.get_args(kind)
    if typing.get_origin(kind) is dict and isinstance(arguments[1], type) and issubclass(arguments[1], Value):
        return arguments[1]
    return None


def _choice(kind: Any) -> tuple[str, ...]:
    """The words that a field may be, () where it is not one of a few words."""
    if typing.get_origin(kind) is typing.Annotated:
        kind = typing.get_args(kind)[0]
    return typing.get_args(kind) if typing.get_origin(kind) is typing.Literal else ()


def _shape(value: object) -> str:
    if value is None:
        return "empty"
    if isinstance(value, str | int | float):
        return "a single value"
    return f"a {type(value).__name__}"


def _plain_words(message: str) -> str:
    """msgspec's own words without their schema path: the key is named already."""
    return message.partition(" - at ")[0].replace("`", "").lower().replace("object", "mapping")


def nearest(word: str, known: typing.Iterable[str]) -> str:
    """`, did you mean X?` where something known is close to a word, else nothing."""
    from difflib import get_close_matches

    found = get_close_matches(word, list(known), n=1, cutoff=0.6)
    return f"; did you mean `{found[0]}`?" if found else ""
