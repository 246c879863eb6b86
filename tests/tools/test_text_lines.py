"""Lines and endings: counting as grep does, matching any ending, keeping each line's own."""

from __future__ import annotations

import pytest

from letta_code.tools.text.lines import (
    dominant,
    line_at,
    lines_of,
    numbered,
    shortened,
    style_note,
    style_of,
    with_endings,
)


@pytest.mark.parametrize(
    ("text", "lines"),
    [
        ("", []),
        ("a", ["a"]),
        ("a\n", ["a"]),
        ("a\r\n\r\nb", ["a", "", "b"]),
        ("a\rb\r", ["a", "b"]),
        ("10%\r20%\r\nend\n", ["10%\r20%", "end"]),  # a lone CR is content where LF ends lines, as for grep
        ("a\u2028b\x0cc\x85d\n", ["a\u2028b\x0cc\x85d"]),
    ],
)
def test_lines(text: str, lines: list[str]):
    assert lines_of(text) == lines


def test_line_numbers():
    assert line_at("a\r\nb\r\nc", 6) == 3
    assert line_at("a\rb\rc", 4) == 3
    assert numbered(["x", "", "\tz"], 9) == "9:x\n10:\n11:\tz"


def test_long_lines_say_how_much_more_there_is():
    assert shortened("x" * 2000) == "x" * 2000
    assert shortened("x" * 3234).endswith("x […1,234 more characters]")


@pytest.mark.parametrize(
    ("text", "style", "note", "most"),
    [
        ("", "", "", "\n"),
        ("a\nb\n", "\n", "", "\n"),
        ("a\r\nb\r\n", "\r\n", "CRLF line endings", "\r\n"),
        ("a\rb\r", "\r", "CR line endings", "\r"),
        ("a\r\nb\nc\r\n", "", "mixed line endings", "\r\n"),
    ],
)
def test_style(text: str, style: str, note: str, most: str):
    assert (style_of(text), style_note(text), dominant(text)) == (style, note, most)


@pytest.mark.parametrize(
    ("text", "region", "new", "expected"),
    [
        ("a\nb\n", "b", "x\ny", "x\ny"),
        ("a\r\nb\r\n", "b", "x\ny", "x\r\ny"),
        ("a\r\nb\r\n", "b", "x\r\ny", "x\r\ny"),
        ("a\nb\n", "b", "x\r\ny", "x\ny"),
        ("a\rb\r", "b", "x\ny", "x\ry"),
        ("a\nb\r\nc\r", "a\nb\r\nc", "a\nB\nc", "a\nB\r\nc"),  # each line of a mixed file keeps its own
        ("a\nb\r\nc\r", "a\nb\r\nc", "a\nnew\nb\nc", "a\nnew\nb\r\nc"),
        ("a\nb\r\nc\r", "b\r\n", "b\nd\n", "b\r\nd\r\n"),
        ("a\nb\r\nc", "c", "c\nd", "c\r\nd"),  # no ending follows: the one before
        ("abc", "b", "x\ny", "x\ny"),
        ("a\r\n", "a", "x\ry", "x\ry"),  # a carriage return of its own is content
    ],
)
def test_endings_of_what_is_put_in(text: str, region: str, new: str, expected: str):
    start = text.index(region)
    assert with_endings(text, start, start + len(region), new) == expected
