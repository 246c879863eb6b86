"""Secrets: texts that look like keys or passwords are found, so that they are kept out of whatever is kept or sent."""

from __future__ import annotations

import functools
import re
from collections.abc import Iterator, Sequence
from typing import NamedTuple

from letta_code.safety.formats import FORMATS, Format

_BEGIN = re.compile(r"-----BEGIN [A-Z0-9 ]*PRIVATE KEY(?: BLOCK)?-----")
_FINISH = re.compile(r"-----END [A-Z0-9 ]*PRIVATE KEY(?: BLOCK)?-----")
# A line of a key, perhaps behind a line number, a diff's sign or an indent.
_KEY_LINE = re.compile(
    r"^[^A-Za-z0-9+/=\n]*(?:\d{1,6}[^A-Za-z0-9+/=\n]+)?(?P<v>[A-Za-z0-9+/=]{2,})[^A-Za-z0-9+/=\n]*$", re.MULTILINE
)
_LONG_LINE = re.compile(
    r"^[^A-Za-z0-9+/=\n]*(?:\d{1,6}[^A-Za-z0-9+/=\n]+)?(?P<v>[A-Za-z0-9+/]{16,}={0,2})[^A-Za-z0-9+/=\n]*$"
)
_KEY_LIMIT = 20_000  # characters of a private key
_DISCORD = re.compile(r"\.[A-Za-z0-9_\-]{6}\.[A-Za-z0-9_\-]{27}")  # a token of two dots, without any letter to go by
_CONTROL = re.compile(r"[\x00-\x08\x0e-\x1f\x7f-\x9f]")
_SEQUENCE = re.compile(
    r"(?:\x1b[\]PX^_]|[\x90\x98\x9d\x9e\x9f])[^\x07\x1b\x9c]*(?:\x07|\x1b\\|\x9c)"
    r"|(?:\x1b\[|\x9b)[0-?]*[ -/]*[@-~]?|\x1b[ -/]*[0-~]?|[\x00-\x08\x0e-\x1f\x7f-\x9f]"
)


# What tokens are made of; none is shorter than a run of these.
_SIGNS = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789_-.+/=:%~"
_SHAPE = bytes(ord("a") if sign in _SIGNS else ord(" ") for sign in range(256))
_RUN = b"a" * 14


PLACEHOLDER = re.compile(r"<secret:[a-z0-9-]{1,40}:[0-9a-f]{8}>")


class Found(NamedTuple):
    """A secret at `start` to `end` of a text; `kind` and `name` are its format's."""

    start: int
    end: int
    kind: str
    name: str


class _Table(NamedTuple):
    """The formats by their marks: tokens, what is told by its place, and Discord's without any mark."""

    tokens: tuple[tuple[bytes, str, Format], ...]
    placed: tuple[tuple[str, str, Format], ...]  # the first is a mark within the mark
    roots: tuple[str, ...]
    discord: Format


@functools.cache
def _table() -> _Table:
    made = [(mark, one) for one in FORMATS for mark in one.marks]
    low = {mark for mark, one in made if one.folded}
    roots = tuple(sorted(mark for mark in low if not any(other != mark and other in mark for other in low)))
    [discord] = [one for one in FORMATS if not one.marks]
    return _Table(
        tokens=tuple((mark.encode(), mark, one) for mark, one in made if not one.folded),
        placed=tuple((next(root for root in roots if root in mark), mark, one) for mark, one in made if one.folded),
        roots=roots,
        discord=discord,
    )


@functools.cache
def _pattern(one: Format) -> re.Pattern[str]:
    """A format's pattern, made when a mark of it was found: all of them are 20 ms of a start."""
    return re.compile(one.pattern, re.MULTILINE | (re.IGNORECASE if one.folded else 0) if one.marks else 0)


def _folded(text: str) -> str:
    """The text in lower case, character by character."""
    low = text.lower()
    return low if len(low) == len(text) else "".join(sign.lower() if sign.isascii() else sign for sign in text)


def _long_runs(text: str) -> bytes:
    """The parts of a text in which a token could stand, a line each: the rest need not be searched for every mark."""
    data = text.encode("utf-8", "replace")
    shape = data.translate(_SHAPE)
    at = shape.find(_RUN)
    runs: list[bytes] = []
    while at >= 0:
        end = shape.find(b" ", at)
        end = end if end >= 0 else len(shape)
        runs.append(data[shape.rfind(b" ", 0, at) + 1 : end])
        at = shape.find(_RUN, end)
    return b"\n".join(runs)


def secrets_in(text: str, known: Sequence[str] = ()) -> list[Found]:
    """All secrets of a text in order, none overlapping; `known` are values that are secret whatever they look like.

    Terminal sequences within one do not hide it.  A private key is found line by line: what a line of it says besides
    (a number, a sign of a diff) is left alone.
    """
    if _CONTROL.search(text) is None:
        return _in_plain(text, known)
    bare, places = without_sequences(text)
    found = [Found(places[one.start], places[one.end - 1] + 1, one.kind, one.name) for one in _in_plain(bare, known)]
    return _merged([*found, *_in_plain(blanked(text), known)])  # a sequence may also divide a token from a word


def has_sequences(text: str) -> bool:
    """Whether a text holds terminal sequences or other controls."""
    return _CONTROL.search(text) is not None


def blanked(text: str) -> str:
    """The text with NUL characters in the place of terminal sequences, as long as before."""
    return _SEQUENCE.sub(lambda found: "\0" * len(found[0]), text)


def without_sequences(text: str) -> tuple[str, list[int]]:
    """The text without terminal sequences, and where each of its characters stood."""
    parts: list[str] = []
    places: list[int] = []
    at = 0
    for found in _SEQUENCE.finditer(text):
        parts.append(text[at : found.start()])
        places.extend(range(at, found.start()))
        at = found.end()
    parts.append(text[at:])
    places.extend(range(at, len(text)))
    return "".join(parts), places


def _in_plain(text: str, known: Sequence[str]) -> list[Found]:
    found = [*_formatted(text), *_private_keys(text), *_known(text, known)]
    if found and "<secret:" in text:  # what was replaced once stays as it is
        there = [one.span() for one in PLACEHOLDER.finditer(text)]
        found = [one for one in found if not any(start <= one.start < end for start, end in there)]
    return _merged(found) if found else []


def _known(text: str, known: Sequence[str]) -> Iterator[Found]:
    for value in known:
        at = text.find(value)
        while at >= 0:
            yield Found(at, at + len(value), "key", "a key that is in use here")
            at = text.find(value, at + len(value))


def _formatted(text: str) -> Iterator[Found]:
    table = _table()
    if runs := _long_runs(text):
        for mark, written, one in table.tokens:
            if mark in runs:
                yield from _at_marks(one, text, text, written)
        if _DISCORD.search(text) is not None:
            for match in _pattern(table.discord).finditer(text):
                yield Found(match.start(), match.end(), "discord-token", "a Discord token")
    low = _folded(text)
    there = {root for root in table.roots if root in low}
    if not there:
        return
    for root, mark, one in table.placed:
        if root in there and mark in low:
            yield from _at_marks(one, text, low, mark)


def _at_marks(one: Format, text: str, marked: str, mark: str) -> Iterator[Found]:
    pattern = _pattern(one)
    at = marked.find(mark)
    while at >= 0:
        match = pattern.match(text, at)
        if match is not None:
            start, end = match.span("v" if "v" in pattern.groupindex else 0)
            yield Found(start, end, one.kind, one.name)
        at = marked.find(mark, at + 1)


def _private_keys(text: str) -> Iterator[Found]:
    if "PRIVATE KEY" not in text:
        return
    at = 0
    while begin := _BEGIN.search(text, at):
        finish = _FINISH.search(text, begin.end(), begin.end() + _KEY_LIMIT)
        if finish is not None:
            yield from _lines_of_key(text, begin.end(), finish.start())
            at = finish.end()
        else:
            at = yield from _cut_key(text, begin.end())
    at = 0
    while finish := _FINISH.search(text, at):  # the end of a key whose beginning is elsewhere
        if _BEGIN.search(text, max(at, finish.start() - _KEY_LIMIT), finish.start()) is None:
            yield from _lines_before(text, finish.start())
        at = finish.end()


def _key(start: int, end: int) -> Found:
    return Found(start, end, "private-key", "a private key")


def _lines_of_key(text: str, start: int, end: int) -> Iterator[Found]:
    if "\n" not in text[start:end]:  # within a JSON text: one line, with escapes
        if text[start:end].strip() and "<secret:" not in text[start:end]:
            yield _key(start, end)
        return
    for line in _KEY_LINE.finditer(text, text.find("\n", start) + 1, end):
        yield _key(*line.span("v"))


def _cut_key(text: str, start: int) -> Iterator[Found]:
    """The lines after a beginning whose end is not there; returns where they end."""
    line_end = text.find("\n", start)
    if line_end < 0 or line_end - start > 4:
        run = re.compile(r"[A-Za-z0-9+/=\\]{16,}").match(text, start)
        if run is not None:
            yield _key(*run.span())
        return start
    at = line_end + 1
    while at < len(text):
        end = text.find("\n", at)
        end = end if end >= 0 else len(text)
        line = text[at:end]
        if line.strip(" \t\r+-|>") and ": " not in line:  # else a header of the key, or the empty line after it
            match = _KEY_LINE.match(line)
            if match is None:
                break
            yield _key(at + match.start("v"), at + match.end("v"))
        at = end + 1
    return at


def _lines_before(text: str, end: int) -> Iterator[Found]:
    at = text.rfind("\n", 0, end) + 1
    while at > 0:
        start = text.rfind("\n", 0, at - 1) + 1
        match = _LONG_LINE.match(text[start : at - 1]) or (
            _KEY_LINE.match(text[start : at - 1]) if at > end - 90 else None
        )
        if match is None:
            return
        yield _key(start + match.start("v"), start + match.end("v"))
        at = start


def _merged(found: list[Found]) -> list[Found]:
    """In order; what overlaps becomes one, of the kind that was found first (the formats' order)."""
    kept: list[Found] = []
    for one in sorted(found, key=lambda one: one.start):  # stable: the more telling format comes first
        last = kept[-1] if kept else None
        if last is None or one.start >= last.end:
            kept.append(one)
        elif one.end > last.end:
            kept[-1] = last._replace(end=one.end)
    return kept


def secret_reason(text: str) -> str:
    """Why a text is not to be kept, such as `it holds a GitHub token`; "" when nothing in it looks like a secret."""
    found = secrets_in(text)
    return f"it holds {found[0].name}" if found else ""


def secret_warning(text: str) -> str:
    """What a person is told before a text with a secret in it is sent; "" when nothing in it looks like one."""
    names = [*dict.fromkeys(one.name for one in secrets_in(text))]
    if not names:
        return ""
    what = names[0] if len(names) == 1 else f"{', '.join(names[:-1])} and {names[-1]}"
    return f"This looks like {what}. It will be replaced by a placeholder: the model and the store never get it."


def without_secrets(text: str) -> tuple[str, int]:
    """The text with `[removed: a GitHub token]` in the place of each, and how many there were."""
    found = secrets_in(text)
    for one in reversed(found):
        text = f"{text[: one.start]}[removed: {one.name}]{text[one.end :]}"
    return text, len(found)
