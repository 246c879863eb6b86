"""A bug that ends the screen: its trace shows no value of a variable and no secret, and stays in the log."""

from __future__ import annotations

import logging

import pytest

from letta_code.tui import crash
from tests.tui.screen import Stage

TOKEN = "ghp_" + "a1B2c3D4e5" * 3 + "f6G7h8"


def fails() -> None:
    said = "words of a conversation"
    raise RuntimeError(f"{len(said)} characters, {TOKEN}")


async def test_the_trace_of_a_bug_shows_what_failed_and_nothing_that_was_said(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    stage = Stage()
    records: list[str] = []
    kept = logging.Handler()
    kept.emit = lambda record: records.append(record.getMessage())
    monkeypatch.setattr(crash.log, "handlers", [kept])
    shown: list[str] = []
    panic = stage.app.panic
    monkeypatch.setattr(stage.app, "panic", lambda *told: (shown.extend(map(str, told)), panic(*told)))
    with pytest.raises(RuntimeError):
        async with stage.app.run_test() as pilot:
            stage.app.call_later(fails)
            await pilot.pause()
            await pilot.pause()
    [told] = shown
    [logged] = records
    printed = capsys.readouterr().err
    for text in (told, logged):
        assert "in fails" in text and "RuntimeError" in text
    assert "letta-code --continue" in told
    for text in (told, logged, printed):
        assert "words of a conversation" not in text.replace('said = "words of a conversation"', "")
        assert TOKEN not in text
    assert stage.app.return_code == 1
