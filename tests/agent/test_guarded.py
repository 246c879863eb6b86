"""Requests and logs lose what came into them by another way than the store."""

from __future__ import annotations

import logging
from pathlib import Path

import pytest

from letta_code.agent.guarded import Guarded
from letta_code.agent.logfile import NAME, LogFile
from letta_code.core.messages import Message, Reminder, TextPart, UserText
from letta_code.llm.model import ChatRequest
from letta_code.safety.vault import Secrets, Vault, redacted
from tests.safety.canaries import CANARIES, VALUES

TOKEN = CANARIES[2].value


def request(*messages: Message, system: str = "Be careful.") -> ChatRequest:
    return ChatRequest(system=system, tools=(), messages=messages)


def said(text: str) -> UserText:
    return UserText(message_id=text[:5], content=(TextPart(text=text),))


def test_a_request_without_a_secret_goes_out_as_it_is() -> None:
    guarded = Guarded(Vault())
    asked = request(said("one"), said("two"))
    assert guarded.request(asked) is asked


def test_what_an_older_version_stored_is_replaced_and_stays_so() -> None:
    vault = Vault()
    guarded = Guarded(vault)
    messages = [said("one"), said(f"it is {TOKEN}"), Reminder(message_id="r", kind="memory", text=f"block: {TOKEN}")]
    first = guarded.request(request(*messages, system=f"You know {TOKEN}."))
    assert TOKEN not in str(first)
    second = guarded.request(request(*messages, said("three"), system=f"You know {TOKEN}."))
    assert second.messages[:3] == first.messages and second.system == first.system, "the prefix does not move"
    cut = guarded.request(request(messages[1]))
    assert TOKEN not in str(cut) and cut.messages[0] == first.messages[1]


def test_a_traceback_is_logged_without_secrets(tmp_path: Path) -> None:
    handler = LogFile(tmp_path / "logs", Secrets(["plain words of a provider"]))
    log = logging.Logger("letta_code.test")
    log.addHandler(handler)
    try:
        raise ValueError("\n".join(one.line for one in CANARIES) + "\nplain words of a provider")
    except ValueError:
        log.exception("failed")
    written = (tmp_path / "logs" / NAME).read_text()
    assert "ValueError" in written and "plain words" not in written
    assert [value for value in VALUES if value in written] == []


HALF = "MIIEvQIBADANBgkqhkiG9w0BAQEFAASC"
KEY = "aB3dE5gH7jK9mN1pQ3sT"


@pytest.mark.parametrize(
    "texts",
    [
        [*(one.line for one in CANARIES), "half a character: \udce9"],
        [rf'{{"part": "-----BEGIN PRIVATE KEY-----\n{HALF}', "-----END PRIVATE KEY-----"],
        ["\x1b]0;a title that never ends", f"it is {TOKEN}", "\x07"],
        ["\x9d0;a title that never ends", f"it is {TOKEN}", "\x9c"],
        ["\N{LATIN CAPITAL LETTER I WITH DOT ABOVE}", f'api_\N{KELVIN SIGN}ey = "{KEY}"'],
        ["half a character: \udce9", f"it is {TOKEN}"],
    ],
    ids=["formats", "cut key", "terminal sequence", "short terminal sequence", "longer letter", "half a character"],
)
def test_a_long_conversation_loses_what_each_message_alone_would(texts: list[str]) -> None:
    """Many messages are looked at together; what stands beside a text must not hide what is in it."""
    messages = [said(text) for text in [*(["words"] * 70), *texts, *(["more"] * 70)]]
    sent = Guarded(Vault()).request(request(*messages)).messages
    for message, given in zip(sent, messages, strict=True):
        assert (message is not given) is (redacted(given, Vault()) is not given), given
    assert not [value for value in (HALF, TOKEN, KEY) if value in str(sent)]
