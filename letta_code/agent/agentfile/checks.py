"""Checks: what of a stranger's agent file may come in, and in which form."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from typing import Any, cast

import msgspec

from letta_code.agent.agentfile.form import LARGEST_CONTENT, AgentFileError, Binary, FileCommit
from letta_code.core.ids import utc_now

_TIME = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z")
_ID = re.compile(r"conv-[0-9a-z]{20}")
_TOKEN = re.compile(r"\bconv-[0-9a-z]{20}\b|\b[0-9a-f]{40}\b")
_DEEPEST = 8  # folders in a path of memory
_LONGEST_NAME = 120  # bytes of one name in it
_SOUND_MODES = ("plan", "ask")
_LARGEST_INT = 2**53


class Notices:
    """Sentences for the person, a few of each kind and then how many more."""

    def __init__(self) -> None:
        self._said: dict[str, list[str]] = {}

    def add(self, kind: str, text: str) -> None:
        """Say one of a kind."""
        self._said.setdefault(kind, []).append(text)

    def told(self) -> tuple[str, ...]:
        """All, shortened."""
        found: list[str] = []
        for kind, texts in self._said.items():
            found += texts[:5]
            if len(texts) > 5:
                found.append(f"{len(texts) - 5} more: {kind}.")
        return tuple(found)


def is_our_id(name: str) -> bool:
    """Whether a conversation's id is of the form that we give, so that it may stand in texts."""
    return _ID.fullmatch(name) is not None


def replaced(text: str, names: Mapping[str, str]) -> str:
    """A text with ids of conversations and commits as they are called here."""
    return _TOKEN.sub(lambda match: names.get(match[0], match[0]), text) if names else text


def good_time(at: object) -> str:
    """A time as we write it, "" for anything else."""
    return at if isinstance(at, str) and _TIME.fullmatch(at) else ""


def good_number(number: object) -> int:
    """A count that fits everywhere, 0 for anything else."""
    return number if isinstance(number, int) and 0 <= number < _LARGEST_INT else 0


def path_problem(path: str) -> str:
    """Why a path may not stand in a memory repository, "" when it may."""
    parts = path.split("/")
    if path.startswith("/"):
        return "it is absolute"
    if any(part in ("", ".", "..") for part in parts):
        return "it leads out of the folder or nowhere"
    if any(part.startswith(".") or part.lower().startswith("git~") for part in parts):
        return "it is hidden"
    if any(sign in path for sign in "\\:\0") or not path.isprintable():
        return "it has signs that no file name should have"
    if len(parts) > _DEEPEST or any(len(part.encode("utf-8", "replace")) > _LONGEST_NAME for part in parts):
        return "it is too long"
    return ""


def checked_history(commits: tuple[FileCommit, ...], notices: Notices) -> list[FileCommit]:
    """A history in which every parent is there and comes first, and every path and size is sound.

    Raises `AgentFileError` where it makes no sense.
    """
    seen: set[str] = set()
    found: list[FileCommit] = []
    for commit in commits:
        if commit.id in seen:
            raise AgentFileError(f"The history of memory names the commit {commit.id[:50]!r} twice.")
        unknown = [parent for parent in commit.parents if parent not in seen]
        if unknown:
            raise AgentFileError(
                f"The history of memory is not whole: {commit.id[:50]!r} follows {unknown[0][:50]!r}, which does not "
                "come before it."
            )
        seen.add(commit.id)
        kept = [path for path, content in commit.files.items() if content is not None]
        folders = {path[:at] for path in kept for at, sign in enumerate(path) if sign == "/"}
        files = {
            path: content
            for path, content in commit.files.items()
            if _fits(path, content, notices, is_folder=content is not None and path in folders)
        }
        found.append(msgspec.structs.replace(commit, files=files))
    return found


def _fits(path: str, content: object, notices: Notices, *, is_folder: bool) -> bool:
    problem = path_problem(path) or ("it is a folder too" if is_folder else "")
    size = len(content.base64) if isinstance(content, Binary) else len(content) if isinstance(content, str) else 0
    if not problem and size > LARGEST_CONTENT:
        problem = f"it is larger than {LARGEST_CONTENT >> 20} MB"
    if problem:
        notices.add("files of memory were left out", f"The file of memory {path[:80]!r} was left out: {problem}.")
    return not problem


# ---------------------------------------------------------------- events


class BroughtEvents:
    """Makes the events of a brought conversation fit this home; an event that fits stays byte for byte.

    What would give rights here is taken away: rules that were remembered for the conversation, a mode that asks less,
    and instructions that this letta-code did not make itself.
    """

    def __init__(self, agent_id: str, names: Mapping[str, str], notices: Notices) -> None:
        self._agent_id = agent_id
        self._names = names
        self._notices = notices

    def bodies(self, name: str, events: tuple[msgspec.Raw, ...], start: Callable[[], dict[str, Any]]) -> list[bytes]:
        """The events of a conversation that is called `name` here, with seq 1, 2, 3 …

        `start` makes its beginning where the file has none.
        """
        found: list[tuple[bytes, dict[str, Any]]] = []
        for raw in events:
            event = self._event(bytes(raw), name)
            if event is not None:
                found.append((replaced(bytes(raw).decode("utf-8"), self._names).encode(), event))
        if not any(e["type"] == "conversation_started" and self._new(e) == name for _, e in found):
            found.insert(0, (b"", start()))
        return [self._body(raw, event, seq) for seq, (raw, event) in enumerate(found, 1)]

    def _event(self, raw: bytes, name: str) -> dict[str, Any] | None:
        try:
            value = msgspec.json.decode(raw)
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
            self._left_out(name, str(error) or "nested too deeply")
            return None
        if not isinstance(value, dict) or not isinstance(cast("dict[str, Any]", value).get("type"), str):
            self._left_out(name, "it is no event")
            return None
        event = cast("dict[str, Any]", value)
        if event["type"] == "run_started" and not event.get("run_id"):
            self._left_out(name, "a run without an id")
            return None
        return event

    def _left_out(self, name: str, why: str) -> None:
        self._notices.add("events were left out", f"An event of {name} was left out: {why}.")

    def _new(self, event: dict[str, Any]) -> str:
        old = str(event.get("conversation_id", ""))
        return self._names.get(old, old)

    def _body(self, raw: bytes, event: dict[str, Any], seq: int) -> bytes:
        event = msgspec.json.decode(raw) if raw else event  # the ids in it are ours by now
        changes: dict[str, Any] = {}
        if event.get("seq") != seq:
            changes["seq"] = seq
        if not good_time(event.get("at")):
            changes["at"] = utc_now()
        changes |= self._rights(event)
        if event["type"] == "conversation_started":
            changes |= self._start(event)
        if raw and not changes:
            return raw
        return msgspec.json.encode({"type": event["type"], **event, **changes})

    def _start(self, event: dict[str, Any]) -> dict[str, Any]:
        forked = str(event.get("forked_from", ""))
        start = {"agent_id": self._agent_id, "conversation_id": self._new(event)}
        start["cwd"] = str(event.get("cwd", "/"))
        start["version"] = str(event.get("version", ""))
        start["run_id"] = str(event.get("run_id", ""))
        if forked:
            start["forked_from"] = self._names.get(forked, forked)
        return {field: value for field, value in start.items() if event.get(field, "") != value}

    def _rights(self, event: dict[str, Any]) -> dict[str, Any]:
        """What an event must not bring along."""
        match event:
            case {"type": "request_answered", "answer": {"kind": "approve", "pattern": str(pattern)}} if pattern:
                self._notices.add(
                    "remembered rules were not taken over",
                    f"The rule {pattern[:80]!r}, remembered for one conversation, was not taken over.",
                )
                return {"answer": {"kind": "approve"}}
            case {"type": "setting_changed", "name": "mode", "value": mode} if mode not in _SOUND_MODES:
                self._notices.add("modes", f"A conversation's mode {str(mode)[:20]!r} was set back to 'ask'.")
                return {"value": "ask"}
            case {"type": "context_pinned", "key": key} if key != "imported":
                # Another key: the next start makes the instructions anew instead of taking them from the file.
                return {"key": "imported"}
            case _:
                return {}
