"""Argument texts that are nearly right, wrong, torn or hostile, made from a tool's own fields."""

from __future__ import annotations

import json
import typing
from random import Random
from typing import Any

import fuzz_oracle as oracle
import msgspec

HUGE = 10_000_000  # characters of a huge string
_STRINGS = (
    "", "a", "src/app.py", "../../etc/passwd", "line\nbreak", "tab\t", "naïve 🙂", "\u2028", "\x00", "\x1b[31m",
    "~/.ssh/id", "x" * 5000, "$(rm -rf /)", '"quoted"', "\\", "null", "1", "*** Begin Patch\n*** End Patch",
    "pending", "done",
)  # fmt: skip
_NUMBERS = (0, 1, -1, 2, 10, 2**31, 2**63, 2**64, -(2**63) - 1, 10**30, 0.5, 1e308, -0.0, 1e-320)
_RAW_VALUES = ("NaN", "Infinity", "-Infinity", "1e999", "1" * 5000, "0x10", "01", "+1", ".5", "1.", "'x'", "undefined",
    "True", "None", '"\\ud800"', '"\\udc00\\ud800"', '"\\x41"', '"a\nb"', '"\ud83d"', "[" * 2000, "[" * 60 + "]" * 60,
    '{"a":' * 60 + "1" + "}" * 60, "[" * 100_000, "", "//", "/**/1", "1 2", '"a" "b"')  # fmt: skip
_WHOLE = ("", " ", "{}", "null", "true", "[]", "[{}]", '"x"', "1", "{", "}", "{{}}", "{}{}", "{} {}", "﻿{}", "{,}",
    "{'path':'a'}", "{path:1}", "```json\n{}\n```", "{\"\":1}", "NaN", "[" * 200_000, '{"a":' * 50_000)  # fmt: skip


def text_for(random: Random, kind: type[msgspec.Struct]) -> str:
    """One argument text; about a fifth of them are as they should be."""
    pairs = _right(random, kind)
    chance = random.random()
    if chance < 0.2:
        return _joined(random, pairs)
    if chance < 0.25:
        return random.choice(_WHOLE)
    if chance < 0.40:
        text = _joined(random, pairs)
        return text[: random.randrange(len(text))]
    if chance < 0.50:
        return _flipped(random, _joined(random, pairs))
    for _ in range(random.choice((1, 1, 2))):
        _spoil(random, pairs)
    return _joined(random, pairs)


def _right(random: Random, kind: type[msgspec.Struct]) -> list[tuple[str, str]]:
    """Names and JSON texts of the required fields and some of the others."""
    fields = oracle.fields_of(kind).items()
    chosen = [(name, field) for name, field in fields if field.required or random.random() < 0.4]
    random.shuffle(chosen)
    return [(name, _json(_fitting(random, field.type))) for name, field in chosen]


def _fitting(random: Random, kind: Any) -> Any:
    origin, arguments = typing.get_origin(kind), typing.get_args(kind)
    if origin is typing.Annotated:
        return _fitting(random, arguments[0])
    if origin is typing.Literal:
        return random.choice(arguments)
    if origin in (list, tuple):
        return [_fitting(random, arguments[0]) for _ in range(random.choice((0, 1, 2, 3, 60)))]
    if arguments:
        return _fitting(random, random.choice(arguments))
    if isinstance(kind, type) and issubclass(kind, msgspec.Struct):
        return {name: _fitting(random, field.type) for name, field in oracle.fields_of(kind).items()}
    if kind is bool:
        return random.random() < 0.5
    if kind is int:
        return random.choice((0, 1, 2, 10, 100, 10**6))
    if kind is float:
        return random.choice((1, 0.5, 30.0))
    return random.choice(_STRINGS) if kind is str else None


def _spoil(random: Random, pairs: list[tuple[str, str]]) -> None:
    at = random.randrange(len(pairs)) if pairs else -1
    match random.randrange(8 if pairs else 2):
        case 0:
            pairs.append((random.choice(("extra", "Path", "path ", "", "__proto__", "cmd", "file_path")), _json(1)))
        case 1:
            pairs.insert(0, ("nested", random.choice(_RAW_VALUES)))
        case 2:
            del pairs[at]
        case 3:
            pairs.append((pairs[at][0], _json(random.choice((*_STRINGS, *_NUMBERS, None, True, [], {})))))
        case 4:
            pairs[at] = (pairs[at][0], random.choice(_RAW_VALUES))
        case 5 if random.random() < 0.001:
            pairs[at] = (pairs[at][0], '"' + "x" * HUGE + random.choice(('"', "")))
        case _:
            wrong = random.choice((*_STRINGS, *_NUMBERS, None, True, False, [], {}, [1], {"a": 1}, [[]], [None]))
            pairs[at] = (pairs[at][0], _json(wrong))


def _json(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False)


def _joined(random: Random, pairs: list[tuple[str, str]]) -> str:
    colon, comma = (": ", ", ") if random.random() < 0.5 else (":", ",")
    body = comma.join(f"{_json(name)}{colon}{value}" for name, value in pairs)
    tail = (
        random.choice(("", "", "", "", "", "", "", " ", "\n", ",", "}", "]", "x", "\0"))
        if random.random() < 0.2
        else ""
    )
    return "{" + body + "}" + tail


def _flipped(random: Random, text: str) -> str:
    at = random.randrange(len(text))
    return (
        text[:at]
        + random.choice(('"', "\\", "{", "}", ":", ",", "\n", "\0", "\ud800", "9", "'", " ", ""))
        + text[at + 1 :]
    )
