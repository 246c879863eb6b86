"""The SSE parser gives the same events wherever the bytes are cut."""

from __future__ import annotations

import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from letta_code.llm import sse
from letta_code.llm.sse import SseParser


def parse(*chunks: bytes) -> list[tuple[str, bytes]]:
    parser = SseParser()
    events = [event for chunk in chunks for event in parser.feed(chunk)]
    return events + parser.close()


SAMPLE = (
    b"\xef\xbb\xbf: a comment\n\nevent: ping\ndata: one\ndata:two\nid: 4\nretry: 10\n\n"
    b'data: {"text":"\xe6\x97\xa5\xe2\x80\xa8"}\n\n:\n\ndata\n\ndata:  spaced\n\n'
)
EXPECTED = [("ping", b"one\ntwo"), ("", b'{"text":"\xe6\x97\xa5\xe2\x80\xa8"}'), ("", b""), ("", b" spaced")]


@pytest.mark.parametrize("newline", [b"\n", b"\r\n", b"\r"])
def test_every_cut_gives_the_same_events(newline: bytes) -> None:
    stream = SAMPLE.replace(b"\n", newline)
    for first, second in itertools.combinations(range(len(stream) + 1), 2):
        assert parse(stream[:first], stream[first:second], stream[second:]) == EXPECTED


def test_one_byte_at_a_time() -> None:
    stream = SAMPLE.replace(b"\n", b"\r\n")
    assert parse(*(stream[at : at + 1] for at in range(len(stream)))) == EXPECTED


def test_a_comment_alone_gives_nothing_and_an_event_comes_at_once() -> None:
    parser = SseParser()
    assert parser.feed(b": still there\n\n") == []
    assert parser.feed(b"data: now\r\r") == [("", b"now")]  # not held back for an LF that may follow
    assert parser.feed(b"\ndata: then\n\n") == [("", b"then")]


def test_the_last_event_counts_without_its_empty_line() -> None:
    assert parse(b"data: cut") == [("", b"cut")]
    assert parse(b"data: cut\n") == [("", b"cut")]
    assert parse(b"") == []


def test_an_event_without_end_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sse, "MAX_EVENT_BYTES", 1000)
    parser = SseParser()
    parser.feed(b"data: " + b"x" * 900)
    with pytest.raises(ValueError, match="1000 bytes"):
        parser.feed(b"x" * 200)


def test_many_events_are_not_one_long_event(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sse, "MAX_EVENT_BYTES", 1000)
    parser = SseParser()
    for _ in range(100):
        assert parser.feed(b"data: " + b"x" * 100 + b"\n\n")


@given(
    st.lists(st.text(st.characters(codec="utf-8", exclude_characters="\r\n"), max_size=20), min_size=1, max_size=8),
    st.sampled_from(["\n", "\r\n", "\r"]),
    st.lists(st.integers(0, 400), max_size=12),
)
def test_any_data_survives(texts: list[str], newline: str, cuts: list[int]) -> None:
    stream = "".join(f"data: {text}{newline}{newline}" for text in texts).encode()
    edges = sorted({0, len(stream), *(cut for cut in cuts if cut < len(stream))})
    chunks = [stream[start:end] for start, end in itertools.pairwise(edges)]
    assert parse(*chunks) == [("", text.encode()) for text in texts]
