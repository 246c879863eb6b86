"""Encodings: what a file's bytes are, and back to the same bytes."""

from __future__ import annotations

import codecs

import pytest
from hypothesis import given
from hypothesis import strategies as st

from letta_code.tools.text.coding import NotRepresentable, NotText, decode, shown, visible


@pytest.mark.parametrize(
    ("data", "label", "content"),
    [
        (b"", "UTF-8", ""),
        ("naïve\n".encode(), "UTF-8", "naïve\n"),
        (codecs.BOM_UTF8 + b"a", "UTF-8 with BOM", "a"),
        (codecs.BOM_UTF16_LE + "aé🙂".encode("utf-16-le"), "UTF-16 LE with BOM", "aé🙂"),
        (codecs.BOM_UTF16_BE + "aé".encode("utf-16-be"), "UTF-16 BE with BOM", "aé"),
        (b"caf\xe9 x", "latin-1", "café x"),
        (b"\x93quoted\x94 x", "Windows-1252", "“quoted” x"),
        (b"a\x81b\xe9 c", "latin-1", "a\x81bé c"),
        ("é ü ö".encode() + b"\xff", "UTF-8 with invalid bytes (shown as U+FFFD)", "é ü ö\udcff"),
    ],
)
def test_what_a_file_is(data: bytes, label: str, content: str):
    text = decode(data)
    assert (text.coding.label, text.content) == (label, content)
    assert text.coding.encode(text.content) == data


@pytest.mark.parametrize(
    ("data", "word"),
    [
        (b"\x7fELF\x02\x01\x01\x00", "ELF"),
        (b"%PDF-1.7\n\x00", "pdftotext"),
        (b"a\x00b", "xxd"),
        ("hello world".encode("utf-16-le"), "iconv"),
        (bytes(range(1, 32)) * 20 + b"\xff", "binary"),
        (codecs.BOM_UTF16_LE + b"\x00\x00", "binary"),
    ],
)
def test_binary_data_is_named_with_what_shows_it(data: bytes, word: str):
    with pytest.raises(NotText, match=word):
        decode(data)


@given(st.binary(max_size=200))
def test_whatever_is_text_comes_back_as_the_same_bytes(data: bytes):
    try:
        text = decode(data)
    except NotText:
        return
    assert text.coding.encode(text.content) == data
    visible(text.content).encode("utf-8")  # what is shown can be sent


def test_a_character_that_does_not_exist_in_the_encoding_is_named():
    coding = decode(b"caf\xe9 x").coding
    with pytest.raises(NotRepresentable, match=r"U\+20AC.*latin-1"):
        coding.encode("5 €")


def test_paths_are_shown_without_control_characters():
    assert shown("a\nb\x1b[31m\udcff") == "a\\nb\\x1b[31m\\udcff"
    assert shown("naïve 日本.py") == "naïve 日本.py"
