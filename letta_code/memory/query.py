"""Queries: a person's or model's words as full-text expressions, and their dates as times."""

from __future__ import annotations

import datetime
import re

from letta_code.core.ids import utc_time
from letta_code.core.messages import Value
from letta_code.memory.block import BlockError

ALL_WORDS, SOME_WORDS, WORD_BEGINNINGS, PART, NEWEST = "all words", "some words", "word beginnings", "part", "newest"

_PIECE = re.compile(r'"([^"]+)"|(\S+)')
_WORD = re.compile(r"\w", re.UNICODE)
_DATE = re.compile(r"\d{4}-\d{2}-\d{2}([T ]\d{2}:\d{2}.*)?", re.ASCII)
_MOST_WORDS = 24
# Words that say nothing of what is looked for, where other words do.
_COMMON_WORDS = """
a about all an and any are as at be been but by can could did do does for from had has have he her his how i if in
into is it its me my no not of on or our she should so that the their them then there they this to was we were what when
where which who why will with would you your
"""
_COMMON = frozenset(_COMMON_WORDS.split())


class Expression(Value):
    """An FTS5 expression and how what it finds was found."""

    match: str
    found_by: str


def expressions(query: str) -> list[Expression]:
    """What to try for a query, the strictest first; nothing when it holds no word.

    Words in quotes are a phrase; a word with signs in it (`compact_at_tokens`, `src/app.py`) is one too.
    """
    pieces = [phrase or word for phrase, word in _PIECE.findall(query) if _WORD.search(phrase or word)]
    telling = [piece for piece in pieces if piece.lower() not in _COMMON] or pieces
    quoted = list(dict.fromkeys('"' + piece.replace('"', " ") + '"' for piece in telling))[:_MOST_WORDS]
    if not quoted:
        return []
    found = [Expression(match=" AND ".join(quoted), found_by=ALL_WORDS)]
    if len(quoted) > 1:
        found.append(Expression(match=" OR ".join(quoted), found_by=SOME_WORDS))
    found.append(Expression(match=" AND ".join(f"{word}*" for word in quoted), found_by=WORD_BEGINNINGS))
    return found


def searchable(text: str) -> str:
    """A query without what no index can hold: NUL, and half a surrogate pair."""
    return text.replace("\0", " ").encode("utf-8", "replace").decode("utf-8").strip()


def time_range(start: str, end: str) -> tuple[str, str]:
    """Two given dates or times as UTC times, the second outside; raises `BlockError` where nothing lies between."""
    first, last = start_time(start), end_time(end)
    if first and last and first >= last:
        raise BlockError(f"Nothing lies between {start.strip()} and {end.strip()}: the start comes after the end.")
    return first, last


def start_time(text: str) -> str:
    """The UTC time at which a given date or time begins; "" for none.  Raises `BlockError` that shows the forms."""
    return _utc(_given(text)[0]) if text.strip() else ""


def end_time(text: str) -> str:
    """The first UTC time after a given date or time: a date means that whole day, here."""
    if not text.strip():
        return ""
    moment, is_day = _given(text)
    return _utc(moment, datetime.timedelta(days=1) if is_day else datetime.timedelta(milliseconds=1))


def _given(text: str) -> tuple[datetime.datetime, bool]:
    """A moment, and whether it names a day only."""
    text = text.strip()
    wrong = (
        f"{text[:40]!r} is no date. Give a day such as 2026-11-21 (both ends of a range are included), or a time "
        "such as 2026-11-21T08:15."
    )
    form = _DATE.fullmatch(text)  # Python reads more forms, whose meaning nobody would guess
    if form is None:
        raise BlockError(wrong)
    try:
        return datetime.datetime.fromisoformat(text), form[1] is None
    except ValueError as error:
        raise BlockError(wrong) from error


def _utc(moment: datetime.datetime, later: datetime.timedelta = datetime.timedelta()) -> str:
    """A time without a zone is meant where the person is."""
    try:
        return utc_time((moment + later).timestamp())
    except (OverflowError, ValueError, OSError) as error:
        raise BlockError(f"{moment.isoformat()} is too far away to be searched.") from error
