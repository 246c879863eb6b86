"""Flowing: text that is shown while it comes, without secrets, although one may come in many pieces."""

from __future__ import annotations

import functools
import re

from letta_code.safety.formats import FORMATS
from letta_code.safety.secrets import blanked, has_sequences, secrets_in, without_sequences
from letta_code.safety.vault import Vault

_CONTEXT = 400  # characters before the next one to show that say what it is (a name, `machine … login …`)
_WORD_LIMIT = 16_000  # characters of a word that are held back at most: no secret is longer
_KEY_LIMIT = 20_000
# A terminal sequence that has not ended yet.
_UNFINISHED = re.compile(
    r"(?:\x1b(?:[\]PX^_][^\x07\x1b\x9c]{0,400}\x1b?|\[[0-?]*[ -/]*|[ -/]*)?"
    r"|\x9b[0-?]*[ -/]*|[\x90\x98\x9d-\x9f][^\x07\x1b\x9c]{0,400})\Z"
)
_BEGIN = re.compile(r"-----BEGIN [A-Z0-9 ]*PRIVATE KEY(?: BLOCK)?-----")
_END = "-----END "
# Lines as those of a key: its end may follow, and its beginning may never have been there.
_BLOCK = re.compile(
    r"(?:^[^A-Za-z0-9+/=\n]*(?:\d{1,6}[^A-Za-z0-9+/=\n]+)?[A-Za-z0-9+/]{60,76}={0,2}[ \t\r]*\n){1,200}"
    r"(?:[^A-Za-z0-9+/=\n]*(?:\d{1,6}[^A-Za-z0-9+/=\n]+)?[A-Za-z0-9+/]{1,76}={0,2}[ \t\r]*\n){0,2}[^\n]{0,200}\Z",
    re.MULTILINE,
)
_KEY_LINE = re.compile(r"[^A-Za-z0-9+/=\n]*(?:\d{1,6}[^A-Za-z0-9+/=\n]+)?[A-Za-z0-9+/]{16,76}={0,2}\r?\Z")
_FIRST_LINE = 16  # characters of a line from which on it may be one of a key whose beginning was not there
_DISCORD = re.compile(r"(?<![A-Za-z0-9_\-])[MNO](?:[DTjz][A-Za-z0-9_\-.]*)?\Z")


@functools.cache
def _beginnings() -> frozenset[str]:
    """What a mark of a token can begin with, when only this much of it has come."""
    marks = {mark for one in FORMATS if not one.folded for mark in one.marks}
    return frozenset(mark[:length] for mark in marks for length in range(1, len(mark)))


@functools.cache
def _token_marks() -> re.Pattern[str]:
    marks = sorted({mark for one in FORMATS if not one.folded for mark in one.marks})
    return re.compile("|".join(map(re.escape, marks)))


_SHORTEST = 8  # characters of a secret that is told by itself
_LONGEST = 20  # characters of a mark


class Flowing:
    """Makes the text that may be shown out of the text that comes; at most what could still become a secret waits."""

    def __init__(self, vault: Vault) -> None:
        self._vault = vault
        self._text = ""  # the context, then what waits
        self._shown = 0  # how much of it is context

    def add(self, text: str) -> str:
        """More text; what may be shown now, "" when all of it waits."""
        nothing_waits = self._shown == len(self._text)
        self._text += text
        hold = self._hold()
        if nothing_waits and hold == len(self._text) and len(text) < _SHORTEST and not _is_place(self._text):
            self._forget(hold)  # a piece of a word where nothing can end that is secret
            return text
        return self._until(hold)

    def end(self) -> str:
        """The text has ended: the rest of what may be shown."""
        return self._until(len(self._text))

    def _until(self, hold: int) -> str:
        """What may be shown of the text before `hold`; a secret that reaches beyond it waits with the rest."""
        parts: list[str] = []
        at = self._shown
        for one in secrets_in(self._text, self._vault.known):
            if one.end <= self._shown:
                continue
            if one.start >= hold:
                break
            if one.end > hold:
                hold = max(one.start, self._shown)
                break
            if one.start >= at:
                parts += (self._text[at : one.start], self._vault.clean_as(one.kind, self._text[one.start : one.end]))
            at = one.end
        parts.append(self._text[at:hold])
        self._forget(hold)
        return "".join(parts)

    def _forget(self, shown: int) -> None:
        keep = max(0, shown - _CONTEXT)
        if keep:
            begin = self._key_begins(shown)
            if begin >= 0:
                keep = min(keep, begin)
            keep = self._text.rfind("\n", 0, keep) + 1 if shown - keep < 2 * _CONTEXT and begin < 0 else keep
        self._text = self._text[keep:]
        self._shown = shown - keep

    def _key_begins(self, until: int) -> int:
        """Where a private key begins that has not ended, -1 where none is."""
        if "-----BEGIN " not in self._text:
            return -1
        last = -1
        for found in _BEGIN.finditer(self._text):
            last = found.start() if self._text.find(_END, found.end(), until) < 0 else -1
        return last if last >= 0 and until - last < _KEY_LIMIT else -1

    def _hold(self) -> int:
        """Where the part begins that could still become a secret."""
        text = self._text
        hold = len(text)
        if unfinished := _UNFINISHED.search(text, max(self._shown, hold - 420)):
            hold = unfinished.start()
        if has_sequences(text):
            bare, places = without_sequences(text[:hold])
            held = self._held(bare)
            hold = min(hold, places[held]) if held < len(places) else hold
            text = blanked(text)
        return max(self._shown, min(hold, self._held(text[:hold])))

    def _held(self, text: str) -> int:
        """The same in a text without terminal sequences."""
        line = text.rfind("\n") + 1
        if self._key_begins(len(text)) >= 0:
            begin = max((found.end() for found in _BEGIN.finditer(text)), default=0)
            return max(line, begin) if begin <= len(text) else line
        if line and text[max(line - 2, 0)] not in " \n" and (block := _BLOCK.search(text, max(0, len(text) - 16_000))):
            return block.start()
        word = len(text) - len(_last_word(text))
        if len(text) - word >= _FIRST_LINE and _KEY_LINE.match(text, line):
            return line
        held = len(text)
        if word < len(text):
            word = max(word, len(text) - _WORD_LIMIT)
            if _is_place(text):
                held = word
            elif found := _token_marks().search(text, word) or _DISCORD.search(text, word):
                held = found.start()
            else:
                held = self._mark_begins(text, word)
        return min(held, self._known_begins(text))

    def _mark_begins(self, text: str, word: int) -> int:
        beginnings = _beginnings()
        for at in range(max(word, len(text) - _LONGEST), len(text)):
            if text[at:] in beginnings and (not text[at].isalnum() or _starts_word(text, at)):
                return at
        return len(text)

    def _known_begins(self, text: str) -> int:
        """Where one of the known values may have begun."""
        held = len(text)
        for value in self._vault.known:
            at = text.find(value[0], max(0, len(text) - len(value) + 1))
            while 0 <= at < held:
                if value.startswith(text[at:]):
                    held = at
                    break
                at = text.find(value[0], at + 1)
        return held


def _is_place(text: str) -> bool:
    """Whether any word at the end of the text may be a secret, by what stands before it on the line."""
    low = text[text.rfind("\n") + 1 :].lower()
    # Written out: it is asked of each piece of a stream.
    return (
        "pass" in low
        or "key" in low
        or "secret" in low
        or "token" in low
        or "auth" in low
        or "bearer" in low
        or "login" in low
        or "://" in low
        or "sig=" in low
        or ":5432:" in low
        or ":5433:" in low
        or ":6432:" in low
    )


def _last_word(text: str) -> str:
    if text[-1:].isspace() or not text:
        return ""
    return text.rsplit(None, 1)[-1] if len(text) < _WORD_LIMIT else text[-_WORD_LIMIT:].rsplit(None, 1)[-1]


def _starts_word(text: str, at: int) -> bool:
    return at == 0 or not text[at - 1].isalnum() or text[max(at - 2, 0) : at] in ("\\n", "\\r", "\\t")
