"""What watchers say while a run changes its owner on somebody's word: nobody claims it in between."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.e2e.test_background_faces import House


@pytest.fixture
def house(tmp_path: Path, letta_home: Path) -> Iterator[House]:
    made = House(tmp_path, letta_home)
    yield made
    made.close()


@pytest.mark.parametrize("word", ["/background", "/takeover"])
def test_watchers_of_an_arranged_handover_stay_watchers(house: House, word: str) -> None:
    owner = house.owner()
    plain = [house.open("--plain", "-c") for _ in (1, 2)]
    for watcher in plain:
        watcher.until("You watch process")
        watcher.until("* ")
    third = house.watcher()
    (owner if word == "/background" else third).send(f"{word}\r")
    for watcher in plain:
        watcher.until("This run goes to another process")
    house.finish(1)
    house.begun(2, *plain)
    house.finish(2)
    for watcher in plain:
        watcher.until("All is done.")
        assert "has ended" not in watcher.text, watcher.text
        if word == "/takeover":
            assert "is yours" not in watcher.text, watcher.text
