"""The quick reader of plain settings agrees with the YAML library, or leaves the text to it."""

from __future__ import annotations

import random
import subprocess
import sys

import pytest
import yaml

from letta_code.config.subset import read_subset
from letta_code.config.yamlfile import parse_document

PLAIN = """\
# mine
model: anthropic/claude-x
max_turns: 12
bell: true

endpoints:
  lan:
    base_url: http://127.0.0.1:8000/v1
    key_env: "MY_KEY"
  other:
    base_url: "http://h"
context:
  compact_at_tokens: 40000
"""


def test_plain_settings_are_read_with_their_lines() -> None:
    found = read_subset(PLAIN)
    assert found is not None
    data, lines = found
    assert data == yaml.safe_load(PLAIN)
    assert (lines["model"], lines["endpoints.lan.base_url"], lines["context.compact_at_tokens"]) == (2, 8, 13)


@pytest.mark.parametrize(
    "text",
    [
        "a: no", "a: Yes", "a: ~", "a: null", "a:", "a:\n  b:", "a: 1.5", "a: 0x1f", "a: 012", "a: 1_000",
        "a: 2024-01-01", "a: 12:30", "a: [x]", "a: {b: c}", "a: 'x'", "a: x # note", "a: x: y", "a: |\n  x",
        "- a", "a: &b c", "a: *b", "a:\n   b: c", "  a: b", "a:\n    b: c", "a: b\n  c: d", "a:\n  b: c\n d: e",
        "a: b\na: c", "true: x", "a: b\tc", "a: b\r\nc: d", "'a': b", "a : b", "<<: x", "a: \"x\\n\"",
        "%YAML 1.1\n---\na: b", "---\na: b", "a: b\n...", "ä: b", "a: é", "a: b\n# \x07", "?", "a: b\x00",
        "a:  b", "a: x:",
    ],
)  # fmt: skip
def test_what_is_not_plain_is_left_to_the_library(text: str) -> None:
    assert read_subset(text) is None


def test_whatever_it_reads_means_the_same_to_the_library() -> None:
    chance = random.Random(11)
    words = [
        "a",
        "b",
        "on",
        "x/y",
        "1",
        "0",
        "01",
        "true",
        "True",
        "no",
        "null",
        '"q"',
        "http://h:1/v",
        "a:b",
        "1e5",
        "é",
        "-",
        "#",
    ]
    read = 0
    for _ in range(20_000):
        lines = []
        for _ in range(chance.randint(1, 5)):
            value = chance.choice(["", f" {chance.choice(words)}", f" {chance.choice(words)}x"])
            lines.append(f"{'  ' * chance.randint(0, 2)}{chance.choice('abcd')}:{value}")
        text = "\n".join(lines) + chance.choice(["", "\n"])
        found = read_subset(text)
        if found is not None:
            read += 1
            assert found[0] == yaml.safe_load(text), text
    assert read > 400


def test_line_numbers_agree_with_the_librarys() -> None:
    quoted = PLAIN + "odd: 'x'\n"  # one quote more, and the library reads it
    assert {**parse_document(PLAIN).lines, "odd": 14} == parse_document(quoted).lines


def test_plain_settings_do_not_load_the_library() -> None:
    reading = f"from letta_code.config.yamlfile import parse_document as read; read({PLAIN!r})"
    code = f"import sys; {reading}; print('yaml' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout == "False\n"
