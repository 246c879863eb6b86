"""A miss tells what to do: the slip, the kind of difference, the nearest lines."""

from __future__ import annotations

import time

import pytest

from letta_code.tools.text.nearest import explain_miss

TRAILING = "  "  # an editor would strip it from the lines below
FILE = f"""def load(path):
\tif not path:
\t\treturn None
\tdata = open(path).read(){TRAILING}
\treturn data


class Store:
    def get(self, key):
        return self.items.get("key’s", 0)
"""


@pytest.mark.parametrize(
    ("old", "words"),
    [
        (
            "    if not path:\n        return None",
            [
                "Lines 2-3 differ only in indentation",
                "Line 2: the file is indented with 1 tab, yours with 4 spaces",
                "2:\tif not",
            ],
        ),
        (
            "\tdata = open(path).read()\n\treturn data",
            ["only in white space at the end of lines", "the file ends with 2 spaces, yours with nothing"],
        ),
        ('self.items.get("key\'s", 0)', ["Line 10 differs only in quotes", "’"]),
        ("def Load(path):", ["Line 1 differs only in upper and lower case", "at column 5 the file has 'l'"]),
        ("return  self.items.get(", ["Line 10 differs only in white space"]),
        ("8:class Store:\n9:    def get(self, key):", ["line numbers that Read puts"]),
        ("def load(path):\\n\\tif not path:", ["escaped once too often"]),
        ("   \n  ", ["only white space"]),
        ("completely unrelated words, nothing of this\n", ["Nothing in the file is like it"]),
    ],
)
def test_the_difference_is_named(old: str, words: list[str]):
    told = explain_miss(FILE, old)
    for word in words:
        assert word in told


def test_the_nearest_region_comes_with_numbers_and_a_small_diff():
    old = "class Store:\n    def get(self, name):\n        return None\n"
    assert explain_miss(FILE, old) == (
        "Nearest: lines 8-10.\n"
        "`-` is your text, a number is the file:\n"
        "8:class Store:\n"
        "-    def get(self, name):\n"
        "-        return None\n"
        "9:    def get(self, key):\n"
        '10:        return self.items.get("key’s", 0)'
    )


def test_several_places_are_counted():
    assert "(3 such places)" in explain_miss("  a = 1\n" * 3, "\ta = 1")


def test_the_text_stays_short_and_quick_for_large_files():
    content = "".join(f"line {i} of many, with some words in it\n" for i in range(100_000))
    began = time.perf_counter()
    told = explain_miss(content, "\n".join(f"lines {i} of many" for i in range(500)))
    assert time.perf_counter() - began < 3
    assert len(told) < 6_000


def test_a_region_far_down_a_large_file_is_found_by_one_line_of_it():
    content = "".join(f"line {i} of many, with some words in it\r\n" for i in range(200_000))
    told = explain_miss(content, "line 149999 of many, with other words\nline 150000 of many, with some words in it")
    assert told.startswith("Nearest: lines 150000-150001.")


def test_binary_looking_and_odd_content_does_no_harm():
    for content in ("", "\n", "\r", "\u2028", "\udcff\n"):
        told = explain_miss(content, "x\ny")
        assert told == "Nothing in the file is like it: search for it with Grep, or Read the file again."
    told = explain_miss("\udcff one word here\n", "\udcff one word there\n")
    assert told.startswith("Nearest: line 1.")
    assert told.encode("utf-8"), "what is no character is escaped"
