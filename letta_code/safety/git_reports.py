"""Git reports: whether what a `git push` printed is git's own words, and nothing that the remote said.

Each line must be one of git's fixed forms, since a remote behind ssh may print any line.  What is data in them, names
of branches and tags and the address, is short, of few words and not in many lines, so that no sentence fits in; a
longer one counts as text from outside.  What the remote says itself (`remote: …`) is git's own only as the counts of
its progress.
"""

from __future__ import annotations

import re

_LINES = 60  # of a report
_LINE = 200  # characters of one
_NAMES = 3  # lines that name branches or tags
_ALL_WORDS = 8  # parts of all names together: of more a sentence could be made
_NAME = 40  # characters of a name
_WORDS = 4  # parts of a name between `/`, `-`, `_` and the like
_ADDRESS = 100  # characters of the address
_ADDRESS_WORDS = 10

_REF = r"[A-Za-z0-9][A-Za-z0-9._/+@-]*"
_URL = r"[A-Za-z0-9@:/.~_+-]+"
_AMOUNT = r"[\d.,]+ (?:bytes|[KMG]i?B)"
_COUNTED = (
    r"(?:(?:Enumerating|Counting|Compressing|Receiving|Writing|Unpacking) objects|Resolving deltas):"
    rf"(?: +\d+% \(\d+/\d+\)| \d+)(?:, {_AMOUNT}(?: \| {_AMOUNT}/s)?)?"
    r"(?:, (?:done|completed with \d+ local objects?))?\.?"
)
_TOTAL = r"Total \d+ \(delta \d+\), reused \d+ \(delta \d+\)(?:, pack-reused \d+(?: \(from \d+\))?)?"
_FIXED = re.compile(
    "|".join(
        (
            rf"(?:remote: )?(?:{_COUNTED}|{_TOTAL})",
            r"remote: ?|",
            r"Delta compression using up to \d+ threads?\.?",
            r"Everything up-to-date",
            r"fatal: Could not read from remote repository\.",
            r"Please make sure you have the correct access rights",
            r"and the repository exists\.",
            r"hint: Updates were rejected because the remote contains work that you do not",
            r"hint: have locally\. This is usually caused by another repository pushing to",
            r"hint: the same ref\. (?:If you want to integrate the remote changes, use|You may want to first integrate "
            r"the remote changes)",
            r"hint: Updates were rejected because the tip of your current branch is behind",
            r"hint: its remote counterpart\. (?:If you want to integrate the remote changes,|Integrate the remote "
            r"changes \(e\.g\.)",
            r"hint: Updates were rejected because a pushed branch tip is behind its remote",
            r"hint: counterpart\. If you want to integrate the remote changes, use 'git pull'",
            r"hint: (?:use )?(?:\(e\.g\., )?(?:'git pull(?: \.\.\.)?'\)? )?before pushing again\.",
            r"hint: See the 'Note about fast-forwards' in 'git push --help' for details\.",
        )
    )
)
_NAMING = (
    re.compile(
        r"(?: [ +*=!t-] |   )(?:[0-9a-f]{4,64}\.{2,3}[0-9a-f]{4,64}|\[(?:new branch|new tag|new ref|deleted|rejected|"
        rf"up to date|tag update)\]|branch|tag) +(?P<one>{_REF}|\(none\))(?: +-> +(?P<other>{_REF}))?"
        r"(?: +\((?:non-fast-forward|fetch first|needs force|already exists|stale info|forced update|would clobber "
        r"existing tag)\))?"
    ),
    re.compile(
        rf"[Bb]ranch '(?P<one>{_REF})' set up to track (?:remote branch )?'(?P<other>{_REF})'(?: from '\w{{1,20}}')?\.?"
    ),
)
_ADDRESSED = (
    re.compile(rf"(?:To|From) (?P<url>{_URL})"),
    re.compile(rf"error: failed to push some refs to '(?P<url>{_URL})'"),
    re.compile(rf"fatal: unable to access '(?P<url>{_URL})': Could not resolve host: (?P<host>[A-Za-z0-9.-]+)"),
    re.compile(rf"fatal: '(?P<url>{_URL})' does not appear to be a git repository"),
)
_PARTS = re.compile(r"[^A-Za-z0-9]+")


def is_git_report(printed: str) -> bool:
    """Whether every line of it is one of git's own."""
    lines = [line.rstrip() for line in re.split(r"[\r\n]+", printed)]
    if len(lines) > _LINES or any(len(line) > _LINE for line in lines):
        return False
    rest = [line for line in lines if not _FIXED.fullmatch(line)]
    names = [found for line in rest if (found := _first(_NAMING, line))]
    addresses = [found for line in rest if (found := _first(_ADDRESSED, line))]
    if len(names) + len(addresses) < len(rest) or len(names) > _NAMES:
        return False
    said = {url.rstrip("/").removesuffix(".git") for found in addresses if (url := found["url"])}
    named = {name for found in names for name in found.group("one", "other") if name}
    short = all(_is_short(name, _NAME, _WORDS) for name in named) and _is_short(" ".join(named), 200, _ALL_WORDS)
    return short and len(said) <= 1 and all(_hosted(found) for found in addresses)


def _first(forms: tuple[re.Pattern[str], ...], line: str) -> re.Match[str] | None:
    return next((found for form in forms if (found := form.fullmatch(line))), None)


def _hosted(found: re.Match[str]) -> bool:
    """Whether the address is short, and a host that is named is its own."""
    url, host = found["url"], found.groupdict().get("host") or ""
    return _is_short(url, _ADDRESS, _ADDRESS_WORDS) and host in url


def _is_short(text: str, longest: int, words: int) -> bool:
    return len(text) <= longest and len([part for part in _PARTS.split(text) if part]) <= words
