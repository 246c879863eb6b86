"""Which arguments a tool may accept, from its types alone: neither msgspec's decoder nor the JSON schema is asked."""

from __future__ import annotations

import json
import math
import types
import typing
from functools import cache
from typing import Any, NamedTuple

import msgspec


class NotJson(Exception):
    """The text is not one JSON value, or not one that may be used."""


class Wrong(Exception):
    """The value does not fit the type."""


class Field(NamedTuple):
    """A field of an arguments struct."""

    type: Any
    required: bool


class Twice(dict[str, Any]):
    """An object that names a key more than once; the last value counts."""


def value_of(text: str) -> Any:
    """Strict JSON: no NaN, no overflow to infinity, no lone surrogates; an object with a key twice is a `Twice`."""
    try:
        text.encode("utf-8")
        value = json.loads(text, parse_constant=_refuse, parse_float=_finite, object_pairs_hook=_object)
        return _checked(value)
    except (ValueError, RecursionError) as error:
        raise NotJson(str(error)[:80]) from error


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    return found if len(found) == len(pairs) else Twice(found)


def _refuse(name: str) -> Any:
    raise NotJson(name)


def _finite(text: str) -> float:
    number = float(text)
    if math.isinf(number):
        raise ValueError("out of range")
    return number


def _checked(value: Any) -> Any:
    if isinstance(value, str):
        value.encode("utf-8")  # UnicodeEncodeError is a ValueError
    elif isinstance(value, dict):
        for key, inner in value.items():
            _checked(key)
            _checked(inner)
    elif isinstance(value, list):
        for inner in value:
            _checked(inner)
    return value


@cache
def fields_of(kind: type[msgspec.Struct]) -> dict[str, Field]:
    """The fields of a struct by name."""
    hints = typing.get_type_hints(kind, include_extras=True)
    return {
        field.encode_name: Field(
            hints[field.name], field.default is msgspec.NODEFAULT and field.default_factory is msgspec.NODEFAULT
        )
        for field in msgspec.structs.fields(kind)
    }


def check_struct(kind: type[msgspec.Struct], value: Any) -> None:
    """Raises `Wrong` unless the value is an object with exactly such fields."""
    if not isinstance(value, dict):
        raise Wrong("not an object")
    fields = fields_of(kind)
    for name in value:
        if name not in fields:
            raise Wrong(f"unknown {name}")
    for name, field in fields.items():
        if name in value:
            check(field.type, value[name])
        elif field.required:
            raise Wrong(f"missing {name}")


def check(kind: Any, value: Any) -> None:
    """Raises `Wrong` unless the value fits the type."""
    origin = typing.get_origin(kind)
    arguments = typing.get_args(kind)
    if origin is typing.Annotated:
        check(arguments[0], value)
        for meta in arguments[1:]:
            _check_meta(meta, value)
    elif origin is typing.Literal:
        if not any(value == one and type(value) is type(one) for one in arguments):
            raise Wrong("not one of the choices")
    elif origin in (typing.Union, types.UnionType):
        _check_union(arguments, value)
    elif origin in (list, tuple, frozenset, set):
        if not isinstance(value, list):
            raise Wrong("not a list")
        for inner in value:
            check(arguments[0], inner)
    elif origin is dict:
        if not isinstance(value, dict):
            raise Wrong("not an object")
        for inner in value.values():
            check(arguments[1], inner)
    elif isinstance(kind, type) and issubclass(kind, msgspec.Struct):
        check_struct(kind, value)
    else:
        _check_plain(kind, value)


def _check_union(kinds: tuple[Any, ...], value: Any) -> None:
    for kind in kinds:
        try:
            check(kind, value)
        except Wrong:
            continue
        return
    raise Wrong("none of the types")


def _check_plain(kind: Any, value: Any) -> None:
    if kind is Any:
        return
    if kind is float:
        fits = type(value) in (int, float)
    elif kind in (type(None), None):
        fits = value is None
    else:
        fits = type(value) is kind  # a bool is no int
    if not fits:
        raise Wrong(f"not {kind}")


def _check_meta(meta: Any, value: Any) -> None:
    if not isinstance(meta, msgspec.Meta) or value is None:
        return
    limits = (
        (meta.ge, lambda limit: value >= limit),
        (meta.gt, lambda limit: value > limit),
        (meta.le, lambda limit: value <= limit),
        (meta.lt, lambda limit: value < limit),
        (meta.min_length, lambda limit: len(value) >= limit),
        (meta.max_length, lambda limit: len(value) <= limit),
    )
    for limit, holds in limits:
        if limit is not None and not holds(limit):
            raise Wrong("beyond a limit")
    if meta.pattern is not None:
        raise NotImplementedError("patterns are not judged by this oracle")
