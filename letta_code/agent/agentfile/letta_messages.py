"""Letta's messages as events of one conversation: what was said and done, each call with its result."""

from __future__ import annotations

import calendar
import re
import time
from collections.abc import Mapping, Sequence
from typing import Any, cast

import msgspec

from letta_code.core.ids import new_id, utc_time

_STAMP = re.compile(r"(\d{4}-\d\d-\d\d)[T ](\d\d:\d\d:\d\d)(?:\.(\d{1,9}))?(Z|[+-]\d\d:?\d\d)?")
_LONGEST = 1_000_000  # characters of one text


def letta_time(value: object) -> str:
    """One of Letta's times as we write them, "" for what is none; without a zone it is meant as UTC."""
    match = _STAMP.fullmatch(value.strip()) if isinstance(value, str) else None
    if match is None:
        return ""
    try:
        seconds = calendar.timegm(time.strptime(f"{match[1]} {match[2]}", "%Y-%m-%d %H:%M:%S"))
        zone = match[4] or "Z"
        if zone != "Z":
            sign = 1 if zone[0] == "+" else -1
            seconds -= sign * (int(zone[1:3]) * 3600 + int(zone[-2:]) * 60)
        return utc_time(max(seconds, 0) + float(f"0.{match[3] or 0}"))
    except (ValueError, OverflowError, OSError):
        return ""


def events_of(messages: Sequence[Mapping[str, Any]], when: str) -> tuple[list[dict[str, Any]], list[str]]:
    """Events (as JSON objects, without seq) of Letta's messages in their order, and what is to be told.

    `when` is the time of those that have none.
    """
    story = _Story(when)
    for message in messages:
        story.take(message)
    story.close_calls()
    return story.events, story.told()


class _Story:
    """Turns one message after the other into events, and knows which calls still wait for their result."""

    def __init__(self, when: str) -> None:
        self.events: list[dict[str, Any]] = []
        self._at = when
        self._open: dict[str, str] = {}  # call id → tool
        self._said: set[str] = set()  # calls that only said something: their text stands in the answer
        self._counts: dict[str, int] = {}

    def take(self, message: Mapping[str, Any]) -> None:
        """The next message."""
        self._at = letta_time(message.get("created_at")) or self._at
        role, words = message.get("role"), _words(message.get("content"))
        calls = _dicts(message.get("tool_calls"))
        if role == "user":
            self.close_calls()
            self._user(words)
        elif role == "assistant" or (role == "approval" and calls):
            self.close_calls()
            self._assistant(message, words, calls)
        elif role == "tool":
            self._results(message, words)
        elif role == "system":
            self.close_calls()
            self._system(words)
        else:
            self._count(f"messages of the role {str(role)[:20]!r}")

    def told(self) -> list[str]:
        """What was not taken over as it stood."""
        return [f"Not brought as messages: {number} {what}." for what, number in self._counts.items()]

    def _count(self, what: str) -> None:
        self._counts[what] = self._counts.get(what, 0) + 1

    def _add(self, event_type: str, **fields: Any) -> None:
        self.events.append({"type": event_type, "at": self._at, "message_id": new_id("msg"), **fields})

    def _remind(self, words: str) -> None:
        self._add("reminder_added", kind="imported", text=words)

    def _user(self, words: str) -> None:
        kind, inner = _packed(words)
        if kind in ("", "user_message"):
            self._add("user_message", content=[{"kind": "text", "text": inner}])
        elif kind in ("heartbeat", "login"):
            self._count(f"{kind} messages")
        else:
            self._remind(f"[{kind}] {inner}")

    def _system(self, words: str) -> None:
        if not self.events and not self._counts.get("system prompts"):
            self._count("system prompts")
            return
        kind, inner = _packed(words)
        self._remind(f"[{kind or 'system'}] {inner}")

    def _assistant(self, message: Mapping[str, Any], words: str, calls: Sequence[Mapping[str, Any]]) -> None:
        kept: list[dict[str, str]] = []
        spoken: list[str] = []
        for call in calls:
            name, arguments = _call(call)
            identity = _text(call, "id") or new_id("call")
            said = _sent(name, arguments)
            if said:
                spoken.append(said)
                self._said.add(identity)
            else:
                kept.append({"id": identity, "name": name, "arguments": arguments})
                self._open[identity] = name
        thoughts = _thoughts(message.get("content"))
        if spoken and words:  # beside a call that speaks, the text is what Letta's agents think to themselves
            thoughts, words = "\n".join(filter(None, (thoughts, words))), ""
        reasoning = [{"text": thoughts}] if thoughts else []
        self._add(
            "assistant_message",
            model=_text(message, "model") or "unknown",
            text="\n\n".join(filter(None, (words, *spoken))),
            reasoning=reasoning,
            tool_calls=kept,
            finish="tool_calls" if kept else "stop",
        )

    def _results(self, message: Mapping[str, Any], words: str) -> None:
        returns = _dicts(message.get("tool_returns"))
        pairs = [(_text(one, "tool_call_id"), one) for one in returns if _text(one, "tool_call_id")]
        for identity, one in pairs or [(_text(message, "tool_call_id"), dict[str, Any]())]:
            output = _words(one.get("func_response")) or words
            self._result(identity, output, failed=_text(one, "status") == "error", message=message)

    def _result(self, identity: str, output: str, *, failed: bool, message: Mapping[str, Any]) -> None:
        if identity in self._said:
            self._said.discard(identity)
            return
        name = self._open.pop(identity, "")
        if not name:
            self._count("results without their call")
            return
        status, inner = _unpacked_result(output)
        self._add(
            "tool_result",
            call_id=identity,
            name=name,
            status="error" if failed or status not in ("", "ok", "success") else "ok",
            content=[{"kind": "text", "text": inner}],
            title=_text(message, "name") or name,
        )

    def close_calls(self) -> None:
        """Give every call that still waits a result that says so: no model takes a call without one."""
        for identity, name in self._open.items():
            words = "The result of this call is not in the imported agent file."
            content = [{"kind": "text", "text": words}]
            self._add("tool_result", call_id=identity, name=name, status="unknown", content=content)
        self._open.clear()


def _dicts(value: object) -> list[dict[str, Any]]:
    if not isinstance(value, list):
        return []
    return [cast("dict[str, Any]", one) for one in cast("list[Any]", value) if isinstance(one, dict)]


def _text(one: Mapping[str, Any], field: str) -> str:
    value = one.get(field)
    return value[:_LONGEST] if isinstance(value, str) else ""


def _words(content: object) -> str:
    """The text of a message: a string, or parts of which pictures and the like are named."""
    if isinstance(content, str):
        return content[:_LONGEST]
    found: list[str] = []
    for part in _dicts(content):
        kind = _text(part, "type")
        if kind == "text":
            found.append(_text(part, "text"))
        elif kind == "image":
            found.append("[image, not brought]")
        elif kind == "tool_return":
            found.append(_text(part, "content"))
    return "\n".join(found)[:_LONGEST]


def _thoughts(content: object) -> str:
    parts = _dicts(content)
    found = [_text(part, "reasoning") for part in parts if part.get("type") in ("reasoning", "summarized_reasoning")]
    return "\n".join(filter(None, found))


def _packed(words: str) -> tuple[str, str]:
    """Kind and text of what Letta packs into JSON (`{"type": "user_message", "message": …}`)."""
    value = _object(words)
    kind = _text(value, "type")
    if not kind:
        return "", words
    return kind, _text(value, "message") or _text(value, "reason") or words


def _unpacked_result(words: str) -> tuple[str, str]:
    value = _object(words)
    if not {"status", "message"} <= value.keys():
        return "", words
    message = value["message"]
    inner = message if isinstance(message, str) else msgspec.json.encode(message).decode()
    return _text(value, "status").lower(), inner


def _object(words: str) -> dict[str, Any]:
    if not words.lstrip().startswith("{"):
        return {}
    try:
        value = msgspec.json.decode(words)
    except (msgspec.DecodeError, RecursionError):
        return {}
    return cast("dict[str, Any]", value) if isinstance(value, dict) else {}


def _call(call: Mapping[str, Any]) -> tuple[str, str]:
    function = call.get("function")
    inner = cast("dict[str, Any]", function) if isinstance(function, dict) else call
    arguments = inner.get("arguments")
    if not isinstance(arguments, str):
        arguments = msgspec.json.encode(arguments if isinstance(arguments, dict) else {}).decode()
    return _text(inner, "name") or "unknown", arguments[:_LONGEST]


def _sent(name: str, arguments: str) -> str:
    """What `send_message` said: with Letta's older agents every answer is such a call."""
    return _text(_object(arguments), "message") if name == "send_message" else ""
