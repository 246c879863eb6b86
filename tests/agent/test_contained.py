"""What is said of the sandbox: found out once, in a thread, and in words that every face shares."""

from __future__ import annotations

import threading
import time
from pathlib import Path

import pytest

from letta_code.agent.contained import badge, described, notice
from letta_code.safety.containment import NO_CONTAINMENT, Containment
from letta_code.safety.sandboxes import choose as chosen
from letta_code.safety.sandboxes.late import LateSandbox
from letta_code.safety.sandboxes.none import Unconfined
from tests.agent.fakes import FakeSurroundings, PlayedModel, session

FULL = Containment(kind="bubblewrap", confines=True, says="All is held.")
WEAK = Containment(kind="landlock", says="Less is held.", mend="sudo apt-get install bubblewrap")


@pytest.mark.parametrize(
    ("held", "mode", "word"),
    [
        (Containment(), "ask", ""),  # not known yet
        (FULL, "ask", ""),
        (WEAK, "ask", "weak sandbox"),
        (WEAK, "full", ""),
        (NO_CONTAINMENT, "plan", "no sandbox"),
    ],
)
def test_the_badge(held: Containment, mode: str, word: str) -> None:
    assert badge(held, mode) == word


def test_the_notice_is_for_who_wished_more() -> None:
    told = notice(WEAK, "auto", "ask")
    assert told is not None
    assert (told.level, told.text, told.hint) == (
        "warning",
        "Less is held.",
        "The full sandbox: sudo apt-get install bubblewrap",
    )
    assert notice(WEAK, "landlock", "ask") is None
    assert notice(NO_CONTAINMENT, "off", "ask") is None
    assert notice(NO_CONTAINMENT, "seatbelt", "ask") is not None
    assert notice(FULL, "auto", "ask") is None
    assert notice(WEAK, "auto", "full") is None
    assert described(WEAK) == "Less is held. The full sandbox: `sudo apt-get install bubblewrap`."


async def test_a_session_finds_it_out_in_a_thread_and_then_knows_it() -> None:
    class Slow(FakeSurroundings):
        looked: list[str]

        @property
        def containment(self) -> Containment:
            self.looked.append(threading.current_thread().name)
            return WEAK

        @containment.setter
        def containment(self, held: Containment) -> None:
            self.looked = []

    around = Slow()
    one = session(PlayedModel(), surroundings=around)
    assert one.status.containment == Containment()
    assert around.looked == []
    assert await one.contained() == WEAK
    assert await one.contained() == WEAK
    assert one.status.containment == WEAK
    assert len(around.looked) == 1 and around.looked[0] != threading.main_thread().name
    await one.close()


def test_a_sandbox_that_is_asked_for_at_once_by_many_is_chosen_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    made: list[str] = []

    def choose(wish: str, territory: object, verdict: object) -> Unconfined:
        made.append(wish)
        time.sleep(0.05)
        return Unconfined(WEAK)

    monkeypatch.setattr(chosen, "choose", choose)
    sandbox = LateSandbox("auto", str(tmp_path), str(tmp_path))
    sandbox.warm()
    found: list[Containment] = []
    threads = [threading.Thread(target=lambda: found.append(sandbox.containment)) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert (made, found) == (["auto"], [WEAK] * 8)
