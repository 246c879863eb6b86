"""Each provider fault through the real process: the line on stderr and the exit code."""

from __future__ import annotations

import pytest

from tests.headless.faults import FAULTS, Fault, play, wrong


@pytest.mark.parametrize("fault", [one for one in FAULTS if not one.seconds], ids=lambda fault: fault.name)
def test_a_fault_gives_its_words_and_exit_code(fault: Fault) -> None:
    outcome = play(fault)
    assert wrong(fault, outcome) == [], outcome.stderr
