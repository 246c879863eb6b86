"""Requests and logs lose what came into them by another way than the store."""

from __future__ import annotations

import logging
from pathlib import Path

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


def test_a_long_conversation_loses_what_each_message_alone_would() -> None:
    """Many messages are looked at together; what stands beside a text must not hide what is in it."""
    half = "MIIEvQIBADANBgkqhkiG9w0BAQEFAASC"
    letter = "\N{KELVIN SIGN}"
    alone = [
        *(one.line for one in CANARIES),
        rf'{{"part": "-----BEGIN PRIVATE KEY-----\n{half}',
        "-----END PRIVATE KEY-----",
        "\x1b]0;a title that never ends",
        TOKEN,
        "\x07",
        "\N{LATIN CAPITAL LETTER I WITH DOT ABOVE}",
        f'api_{letter}ey = "aB3dE5gH7jK9mN1pQ3sT"',
        "half a character: \udce9",
        f"again {TOKEN}",
    ]
    messages = [said(f"{number} {text}") for number, text in enumerate([*(["words"] * 100), *alone, *(["more"] * 100)])]
    for first in range(96, 104):  # wherever the messages are divided
        sent = Guarded(Vault()).request(request(*messages[first:])).messages
        for message, given in zip(sent, messages[first:], strict=True):
            held = redacted(given, Vault()) is not given
            assert (message is not given) is held, given
        assert half not in str(sent) and TOKEN not in str(sent) and "aB3dE5gH7jK9mN1pQ3sT" not in str(sent)
