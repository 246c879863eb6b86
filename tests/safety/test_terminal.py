"""Terminal text: nothing that a terminal would obey is left, and nothing can be hidden from the reader."""

from __future__ import annotations

import time

import pytest

from letta_code.safety.terminal import has_hidden, strip_controls, visible

HOSTILE = [
    ("\x1b[2J\x1b[Hafter", "after"),
    ("\x1b[1;31mred\x1b[0m", "red"),
    ("\x1b]52;c;ZXZpbA==\x07x", "x"),
    ("\x1b]8;;http://evil.example\x1b\\bank.example\x1b]8;;\x1b\\", "bank.example"),
    ("\x1bPtmux;payload\x1b\\x", "x"),
    ("\x1b]0;title\x07x", "x"),
    ("\x9b31mred", "red"),
    ("\x9d0;title\x9cx", "x"),
    ("\x1b_Gkitty\x1b\\x", "x"),
    ("\x1bcreset", "reset"),
    ("\x1b(0lines", "lines"),
    ("a\x00b\x07c\x7fd", "abcd"),
    ("one\r\ntwo", "one\ntwo"),
    ("rm -rf x\rls", "rm -rf x\nls"),
    ("tab\tand\nline", "tab\tand\nline"),
    ("\udc9b31m", "\ufffd31m"),
]


@pytest.mark.parametrize(("text", "clean"), HOSTILE)
def test_control_sequences_are_removed(text: str, clean: str) -> None:
    """H01: screen, title and clipboard stay as they were."""
    assert strip_controls(text) == clean


def test_nothing_a_terminal_obeys_survives_any_nesting() -> None:
    nested = "\x1b\x1b]52;c;x\x07[2J\x1bP\x1b[1m\x1b\\\x9b\x9d\x1b"
    left = strip_controls(nested * 50)
    assert not any(ord(c) < 32 or 127 <= ord(c) < 160 for c in left)


def test_an_unended_string_cannot_swallow_the_rest() -> None:
    assert strip_controls("\x1b]0;title\nrm -rf x") == "0;title\nrm -rf x"


def test_markup_is_plain_text() -> None:
    """H02: square brackets are nobody's markup here."""
    text = "[bold]x[/] [@click=app.quit] ["
    assert strip_controls(text) is text
    assert visible(text) == text


def test_padding_cannot_push_text_out_of_sight() -> None:
    """H03: the end of an approval is near its beginning."""
    shown = visible("ls" + " " * 5000 + "; rm x")
    assert shown == "ls‹5000 blanks›; rm x"
    assert visible("a" + "\n" * 300 + "b").count("\n") < 5


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("invoice\u202efdp.exe", "invoice‹U+202E›fdp.exe"),
        ("ls\u200b", "ls‹U+200B›"),
        ("a\U000e0041b", "a‹U+E0041›b"),
        ("a\rb", "a‹U+000D›b"),
        ("\x1b[2J", "‹U+001B›[2J"),
        ("a\u00a0b", "a‹U+00A0›b"),
        ("x\ufe0fy", "x‹U+FE0F›y"),
        ("\ufeffstart", "‹U+FEFF›start"),
    ],
)
def test_invisible_characters_are_shown(text: str, shown: str) -> None:
    """H04 and the like."""
    assert visible(text) == shown
    assert has_hidden(text)


@pytest.mark.parametrize("text", ["plain", "naïve café 漢字 עברית", "❤️ 👩\u200d💻 ✅", "tab\tline\n"])
def test_ordinary_text_stays(text: str) -> None:
    assert visible(text) == text
    assert strip_controls(text) == text
    assert not has_hidden(text)


def test_ten_megabytes_take_little_time() -> None:
    """H06: one long line, with and without colours."""
    begun = time.perf_counter()
    strip_controls("x" * 10_000_000)
    assert len(strip_controls("\x1b[31mword\x1b[0m " * 200_000)) == 1_000_000
    strip_controls("\x1b]" * 200_000)
    assert time.perf_counter() - begun < 5
