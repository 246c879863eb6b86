"""Ids: unique, and later ones sort later."""

from __future__ import annotations

import threading

import pytest

from letta_code.core import ids
from letta_code.core.ids import new_id


def test_ids_of_one_process_sort_in_the_order_in_which_they_were_made() -> None:
    made = [new_id("msg") for _ in range(5000)]
    assert made == sorted(made)
    assert len(set(made)) == len(made)


def test_a_clock_that_is_put_back_does_not_turn_the_order(monkeypatch: pytest.MonkeyPatch) -> None:
    first = new_id("msg")
    monkeypatch.setattr(ids.time, "time", lambda: 0.0)
    assert new_id("msg") > first


def test_threads_never_get_the_same_id() -> None:
    made: list[str] = []
    threads = [threading.Thread(target=lambda: made.extend(new_id("x") for _ in range(2000))) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(set(made)) == 8000
