"""The JSON of every event is what it was: stored conversations and scripts that read stream-json rely on it."""

from __future__ import annotations

from typing import Any, get_args

import msgspec
import pytest

from letta_code.core.events import (
    KnownEvent,
    LiveEvent,
    UnknownEvent,
    decode,
    decode_live,
    encode,
    type_of,
)
from tests.core.samples import ALL_SAMPLES, DURABLE_SAMPLES, GOLDEN, LIVE_SAMPLES, golden_path


@pytest.mark.parametrize("event", ALL_SAMPLES, ids=lambda event: golden_path(event).stem)
def test_the_json_of_an_event_is_as_recorded(event: Any) -> None:
    path = golden_path(event)
    assert path.is_file(), f"{path.name} is missing: run `python -m tests.core.samples` and look at it"
    assert encode(event) + b"\n" == path.read_bytes()


@pytest.mark.parametrize("event", ALL_SAMPLES, ids=lambda event: golden_path(event).stem)
def test_recorded_json_is_read_as_the_event(event: Any) -> None:
    raw = golden_path(event).read_bytes()
    read = decode_live(raw) if event in LIVE_SAMPLES else decode(raw)
    assert read == event


@pytest.mark.parametrize(("union", "samples"), [(KnownEvent, DURABLE_SAMPLES), (LiveEvent, LIVE_SAMPLES)])
def test_every_type_of_event_has_a_recording(union: Any, samples: tuple[Any, ...]) -> None:
    assert {type(sample) for sample in samples} == set(get_args(union))


def test_no_recording_is_of_a_type_that_is_gone() -> None:
    assert set(GOLDEN.rglob("*.json")) == {golden_path(event) for event in ALL_SAMPLES}


@pytest.mark.parametrize("event", ALL_SAMPLES, ids=lambda event: golden_path(event).stem)
def test_the_recordings_show_every_field(event: Any) -> None:
    assert _unset(event) == []


def _unset(value: Any) -> list[str]:
    """The fields of a struct, and of structs in it, that have their default (and so are not in the JSON)."""
    if isinstance(value, tuple):
        return [name for item in value for name in _unset(item)]
    if not isinstance(value, msgspec.Struct):
        return []
    found: list[str] = []
    for field in msgspec.structs.fields(value):
        inner = getattr(value, field.name)
        if inner == field.default and not (field.name == "exit_code" and inner == 0):
            found.append(f"{type(value).__name__}.{field.name}")
        found.extend(_unset(inner))
    return found


def test_an_event_of_a_newer_version_keeps_its_bytes() -> None:
    raw = b'{"type":"hologram_shown","seq":9,"at":"2030-01-01T00:00:00.000Z","depth":{"b":1,"a":2.50}}'
    event = decode(raw)
    assert event == UnknownEvent(raw=raw, type="hologram_shown", seq=9, at="2030-01-01T00:00:00.000Z")
    assert encode(event) == raw
    assert type_of(event) == "hologram_shown"


def test_a_known_type_with_unknown_fields_is_read() -> None:
    event = decode(b'{"type":"notice","level":"info","text":"t","seq":3,"colour":"blue"}')
    assert (type_of(event), event.seq) == ("notice", 3)
    assert not isinstance(event, UnknownEvent)


def test_a_known_type_changed_beyond_reading_is_unknown_with_its_bytes() -> None:
    raw = b'{"type":"notice","level":{"number":3},"text":"t","seq":3}'
    event = decode(raw)
    assert isinstance(event, UnknownEvent)
    assert (event.raw, event.type, event.seq) == (raw, "notice", 3)


@pytest.mark.parametrize("raw", [b"", b"{", b"[1", b'{"type":"notice"', b"\xff\xfe", b'{"seq":1}}'])
def test_what_is_no_json_is_refused(raw: bytes) -> None:
    with pytest.raises(msgspec.DecodeError):
        decode(raw)
