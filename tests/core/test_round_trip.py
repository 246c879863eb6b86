"""Any event that can be built comes back from its JSON as it was."""

from __future__ import annotations

import contextlib
from typing import Any

import msgspec
from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec import inspect

from letta_code.core.events import KnownEvent, LiveEvent, decode, decode_live, encode


def _values(kind: inspect.Type) -> st.SearchStrategy[Any]:
    """Values of a type as msgspec describes it, edge cases of JSON included."""
    match kind:
        case inspect.StrType():
            return st.text(max_size=30)
        case inspect.BoolType():
            return st.booleans()
        case inspect.IntType():
            return st.integers(min_value=-(2**63), max_value=2**63 - 1)
        case inspect.FloatType():
            return st.floats(allow_nan=False, allow_infinity=False)
        case inspect.NoneType():
            return st.none()
        case inspect.UnionType(types=types):
            return st.one_of([_values(each) for each in types])
        case inspect.VarTupleType(item_type=item):
            return st.lists(_values(item), max_size=3).map(tuple)
        case inspect.DictType(key_type=key, value_type=value):
            return st.dictionaries(_values(key), _values(value), max_size=3)
        case inspect.StructType(cls=cls, fields=fields):
            return st.builds(cls, **{field.name: _values(field.type) for field in fields})
        case _:
            raise AssertionError(f"no strategy for {kind}")


_durable = _values(inspect.type_info(KnownEvent))
_live = _values(inspect.type_info(LiveEvent))


@settings(max_examples=400, deadline=None)
@given(_durable)
def test_a_durable_event_comes_back(event: Any) -> None:
    raw = encode(event)
    assert b"\n" not in raw
    assert decode(raw) == event
    assert encode(decode(raw)) == raw


@settings(max_examples=200, deadline=None)
@given(_live)
def test_a_live_event_comes_back(event: Any) -> None:
    assert decode_live(encode(event)) == event


@settings(max_examples=200, deadline=None)
@given(_durable, st.integers(min_value=0), st.integers(min_value=0, max_value=255))
def test_a_damaged_event_is_refused_or_read_but_never_breaks(event: Any, place: int, byte: int) -> None:
    raw = bytearray(encode(event))
    raw[place % len(raw)] = byte
    # Text that is no UTF-8 is told by Python's own error.
    with contextlib.suppress(msgspec.DecodeError, UnicodeDecodeError):
        decode(bytes(raw))
