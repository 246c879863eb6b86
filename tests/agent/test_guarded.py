"""Requests and logs lose what came into them by another way than the store."""

from __future__ import annotations

import logging
from pathlib import Path

import pytest

from letta_code.agent.guarded import Guarded
from letta_code.agent.logfile import NAME, LogFile
from letta_code.agent.looked import Looked
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


def long_conversation(count: int = 600) -> tuple[list[Message], list[int]]:
    return [said(f"{at} words") for at in range(count)], [at * 2 for at in range(count)]


def test_what_an_earlier_process_looked_through_is_not_looked_through_again(tmp_path: Path) -> None:
    note = tmp_path / "looked" / "conv-1"
    messages, seqs = long_conversation()
    first = Guarded(Vault(), Looked(note, lambda: ["known-value"]))
    first.request(request(*messages), seqs)
    first.keep(messages, seqs)
    assert note.stat().st_mode & 0o777 == 0o600 and b"known-value" not in note.read_bytes()
    # A message that holds a secret in spite of the note shows whether it was looked at.
    messages[3] = said(f"it is {TOKEN}")

    def finds(known: list[str], seqs: list[int]) -> bool:
        guarded = Guarded(Vault(), Looked(note, lambda: known))
        more = [*messages, said("more")]
        return TOKEN not in str(guarded.request(request(*more), [*seqs, 99_999]))

    assert not finds(["known-value"], seqs)
    assert finds(["known-value", "a-new-value"], seqs), "another value is known now"
    assert finds([], seqs)
    assert finds(["known-value"], [*seqs[:-1], 5_000]), "other messages"
    whole = note.read_bytes()
    for torn in (b"", b"600", b"601 " + whole.split()[1], b"9" * 5_000, b"\xff\xfe x", b"-1 x", b"600 x y"):
        note.write_bytes(torn)
        assert finds(["known-value"], seqs), torn
    note.unlink()
    assert finds(["known-value"], seqs)


def test_a_conversation_that_held_a_secret_is_looked_through_each_time(tmp_path: Path) -> None:
    note = tmp_path / "looked" / "conv-1"
    messages, seqs = long_conversation()
    messages[3] = said(f"it is {TOKEN}")
    guarded = Guarded(Vault(), Looked(note, list))
    guarded.request(request(*messages), seqs)
    guarded.keep(messages, seqs)
    assert not note.exists()
    clean, seqs = long_conversation()
    guarded = Guarded(Vault(), Looked(note, list))
    guarded.request(request(*clean), seqs)
    guarded.keep(clean[300:], seqs[300:])  # it was compacted since
    assert not note.exists()


def test_what_came_after_the_note_is_looked_through(tmp_path: Path) -> None:
    messages, seqs = long_conversation()
    first = Guarded(Vault(), Looked(tmp_path / "conv-1", list))
    first.request(request(*messages), seqs)
    first.keep(messages, seqs)
    second = Guarded(Vault(), Looked(tmp_path / "conv-1", list))
    sent = second.request(request(*messages, said(f"it is {TOKEN}")), [*seqs, 99_999])
    assert TOKEN not in str(sent)


def test_a_key_that_becomes_known_after_the_opening_counts(tmp_path: Path) -> None:
    """A key of the keyring is known when the model is opened, after the conversation was."""
    key = "plain-words-of-a-keyring"
    messages, seqs = long_conversation()
    messages[3] = said(f"it is {key}")
    for vault, sent in ((Vault(), True), (Vault(), False)):
        guarded = Guarded(vault, Looked(tmp_path / "conv-1", lambda vault=vault: vault.known))
        if not sent:
            vault.know([key])
        assert (key in str(guarded.request(request(*messages), seqs))) == sent
        guarded.keep(messages, seqs)
