"""Text from outside made harmless for a terminal: control sequences removed, invisible characters shown."""

from __future__ import annotations

import re
from functools import cache

# Sequences with a text inside (title, clipboard, hyperlink, device strings) go whole when they are ended properly; an
# unended one loses only its introducer, so that nothing after it can be hidden from the reader.
_STRING = r"(?:\x1b[\]PX^_]|[\x90\x98\x9d\x9e\x9f])[^\x07\x1b\x9c]*(?:\x07|\x1b\\|\x9c)"
_CSI = r"(?:\x1b\[|\x9b)[0-?]*[ -/]*[@-~]?"
_ESCAPE = r"\x1b[ -/]*[0-~]?"
_SINGLE = r"[\x00-\x08\x0b-\x0c\x0e-\x1f\x7f-\x9f]"
_ANY = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f\ud800-\udfff]")
_SEQUENCES = f"{_STRING}|{_CSI}|{_ESCAPE}|{_SINGLE}"
_RETURNS = r"\r+\n|\r"
_SURROGATES = r"[\ud800-\udfff]"

# Characters that show as nothing, as a blank, or that reorder what stands around them.  U+FE0F and U+200D are left
# alone after a pictograph, where they belong to ordinary emoji.
_PICTOGRAPH = "©®\u203c-\u3299\U0001f000-\U0001faff\ufe0f"
_HIDDEN = (
    r"[\x00-\x08\x0b-\x1f\x7f-\xa0\xad\u034f\u061c\u115f\u1160\u1680\u17b4\u17b5\u180b-\u180e\u2000-\u200c\u200e\u200f"
    r"\u2028-\u202f\u205f-\u206f\u3164\ufe00-\ufe0e\ufeff\uffa0\ufff9-\ufffb\ud800-\udfff"
    r"\U0001d159\U0001d173-\U0001d17a\U000e0000-\U000e0fff]"
    f"|(?<![{_PICTOGRAPH}])[\u200d\ufe0f]"
)
_MISLEADING = "[\u061c\u200b\u200e\u200f\u2028-\u202e\u2060-\u2064\u2066-\u206f\ufeff\U000e0000-\U000e007f]"
_PADDING = r"[ \t\u2800\u3000]{40,}|\n{12,}"
_LONG_BLANKS = " " * 40


def strip_controls(text: str) -> str:
    r"""The text without terminal control: CSI, OSC, DCS and the like, C0 and C1 characters.

    Newlines and tabs stay, a carriage return becomes a newline (what it would have overwritten stays readable), lone
    surrogates become U+FFFD.  Text that is clean already comes back as the same object.
    """
    if _ANY.search(text) is None:
        return text
    text = _compiled(_RETURNS).sub("\n", text)
    text = _compiled(_SEQUENCES).sub("", text)
    return _compiled(_SURROGATES).sub("\ufffd", text)


def readable(text: str) -> str:
    """As `strip_controls`, and what takes no room or changes the reading direction shows as `‹U+202E›`.

    For whole texts of others: what ordinary writing needs (blanks of all widths, joiners, emoji) stays.
    """
    text = strip_controls(text)
    if text.isascii():
        return text
    return _compiled(_MISLEADING).sub(lambda found: f"‹U+{ord(found[0]):04X}›", text)


def visible(text: str) -> str:
    """The text with every invisible, reordering or control character written out, such as `‹U+202E›`.

    For approvals and names: nothing is removed.  Long runs of blanks or empty lines, which push text out of sight, are
    counted instead (`‹500 blanks›`).
    """
    if _is_plain(text):
        return text
    shown = _compiled(_PADDING).sub(_count, text)
    return _compiled(_HIDDEN).sub(lambda found: f"‹U+{ord(found[0]):04X}›", shown)


def has_hidden(text: str) -> bool:
    """Whether `visible` would change the text: a command like this is never run without a person's yes."""
    if _is_plain(text):
        return False
    return _compiled(_HIDDEN).search(text) is not None or _compiled(_PADDING).search(text) is not None


def _is_plain(text: str) -> bool:
    """Whether a look without patterns tells that `visible` changes nothing."""
    return text.isascii() and text.isprintable() and _LONG_BLANKS not in text


@cache
def _compiled(pattern: str) -> re.Pattern[str]:
    """A pattern that most texts do not need; all of them would cost a start more than a millisecond."""
    return re.compile(pattern)


def _count(found: re.Match[str]) -> str:
    run = found[0]
    return f"\n‹{len(run)} empty lines›\n" if run[0] == "\n" else f"‹{len(run)} blanks›"
