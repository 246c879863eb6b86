"""Token counts: characters / 4 at first, exact and offline once loaded."""

from __future__ import annotations

import os
import socket
import sys
import time

import pytest

from letta_code.llm import tokens
from letta_code.llm.tokens import TokenCounter


@pytest.fixture(autouse=True)
def _unloaded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tokens, "_loaded", {})


def test_a_quarter_of_the_characters_until_loaded() -> None:
    counter = TokenCounter()
    assert not counter.exact
    assert [counter.count(text) for text in ("", "a", "abcd", "abcde", "x" * 400)] == [0, 1, 1, 2, 100]


@pytest.mark.parametrize(
    ("encoding", "text", "count"),
    [
        ("", "hello world", 2),
        ("cl100k_base", "def main() -> None:\n    return 1\n", 11),
        ("o200k_base", "def main() -> None:\n    return 1\n", 11),
        ("o200k_base", "<|endoftext|>", 7),  # as text, not as a control token
        ("o200k_base", "", 0),
    ],
)
def test_exact_and_without_network(encoding: str, text: str, count: int, monkeypatch: pytest.MonkeyPatch) -> None:
    def no_network(*_: object) -> None:
        raise AssertionError("a connection was opened")

    monkeypatch.setattr(socket.socket, "connect", no_network)
    counter = TokenCounter(encoding)
    assert counter.load()
    assert counter.exact
    assert counter.count(text) == count


@pytest.mark.parametrize("own", ["", "/nowhere"])
def test_loading_leaves_the_environment_and_litellm_alone(own: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("TIKTOKEN_CACHE_DIR", raising=False)
    if own:
        monkeypatch.setenv("TIKTOKEN_CACHE_DIR", own)
    before, modules = dict(os.environ), "litellm" in sys.modules
    assert TokenCounter().load()
    assert dict(os.environ) == before
    assert ("litellm" in sys.modules) == modules


def test_warm_returns_at_once_and_counts_become_exact() -> None:
    counter = TokenCounter()
    began = time.monotonic()
    counter.warm()
    counter.warm()
    assert time.monotonic() - began < 0.1
    while not counter.exact:
        assert time.monotonic() - began < 20
        time.sleep(0.01)
    assert counter.count("hello world") == 2


def test_another_encoding_can_be_told_later() -> None:
    text = "Übergrößenträger " * 3
    one, other = TokenCounter("cl100k_base"), TokenCounter("o200k_base")
    assert one.load()
    assert other.load()
    assert one.count(text) != other.count(text)
    one.use("o200k_base")
    assert one.exact  # it was loaded already, by somebody else
    assert one.count(text) == other.count(text)
    one.use("no_such_encoding")
    assert not one.exact
    assert one.count("abcd" * 10) == 10
    one.use("")
    assert one.exact


def test_a_warmed_counter_loads_the_encoding_that_it_is_told() -> None:
    counter = TokenCounter("p50k_base")
    counter.warm()
    counter.use("o200k_base")  # while the first is still being loaded: that one must not come back over it
    began = time.monotonic()
    while not counter.exact or "p50k_base" not in tokens._loaded:
        assert time.monotonic() - began < 20
        time.sleep(0.01)
    expected = TokenCounter("o200k_base")
    assert counter.count("Übergrößenträger") == expected.count("Übergrößenträger")
    assert counter.count("Übergrößenträger") != TokenCounter("p50k_base").count("Übergrößenträger")


def test_a_counter_that_was_not_warmed_loads_nothing_for_another_encoding() -> None:
    counter = TokenCounter()
    counter.use("o200k_base")
    time.sleep(0.05)
    assert not counter.exact
    assert not tokens._loaded


def test_an_encoding_that_is_not_bundled_stays_estimated() -> None:
    counter = TokenCounter("no_such_encoding")
    assert not counter.load()
    assert counter.count("abcd" * 10) == 10


@pytest.mark.parametrize("text", ["a" * 300_000, " " * 300_000, "日本" * 100_000, "\udce9" * 10])
def test_texts_of_all_kinds_are_counted_in_reasonable_time(text: str) -> None:
    counter = TokenCounter()
    counter.load()
    began = time.monotonic()
    assert counter.count(text) > 0
    assert time.monotonic() - began < 5
