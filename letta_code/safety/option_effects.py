"""Option effects: arguments by which a program that only seems to read runs another one, or writes a file."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from typing import TypeAlias

_Judge: TypeAlias = Callable[[Sequence[str]], str]


def option_effect(name: str, words: Sequence[str]) -> str:
    """The argument of a command that runs or writes something, "" when none does; `words` without the program."""
    judge = _JUDGES.get(name)
    return judge(words) if judge else ""


def _exact(*options: str) -> _Judge:
    """Options as they are, also as `--option=value`."""

    def judge(words: Sequence[str]) -> str:
        return next((word for word in words if word.partition("=")[0] in options), "")

    return judge


def _with(pattern: str) -> _Judge:
    """Words that match a pattern whole."""
    known = re.compile(pattern)

    def judge(words: Sequence[str]) -> str:
        return next((word for word in words if known.fullmatch(word)), "")

    return judge


def _find(words: Sequence[str]) -> str:
    runs = {"-exec", "-execdir"}
    for at, word in enumerate(words):
        if word in {"-delete", "-fprint", "-fprint0", "-fprintf", "-fls", "-ok", "-okdir"}:
            return word
        if word in runs and at + 1 < len(words) and words[at + 1].rpartition("/")[2] in _REMOVERS:
            return f"{word} {words[at + 1]}"
    return ""


def _xargs(words: Sequence[str]) -> str:
    return next((word for word in words if word.rpartition("/")[2] in _REMOVERS), "")


# The commands `e` and `w` of sed and the flags of that name of `s`, and awk's ways to run or write.
_ADDRESS = r"(?:\d+|\$|/(?:\\.|[^/\n])*/)"
_SED_RUNS = re.compile(
    r"s([/|#,:@!%])(?:\\.|(?!\1).)*\1(?:\\.|(?!\1).)*\1[gpiIMm0-9]*[ew]"
    rf"|(?:^|[;{{}}\n])\s*(?:{_ADDRESS}(?:,{_ADDRESS})?)?\s*!?\s*(?:e|[wW]\s)"
)
_AWK_RUNS = re.compile(r"system\s*\(|getline|print[^}\n]*[>|]|@load|@include")


def _sed(words: Sequence[str]) -> str:
    return next((text for text in _programs(words, ("-e", "--expression")) if _SED_RUNS.search(text)), "")


def _awk(words: Sequence[str]) -> str:
    return next((text for text in _programs(words, ("-e", "--source")) if _AWK_RUNS.search(text)), "")


def _programs(words: Sequence[str], options: tuple[str, str]) -> list[str]:
    """The programs among the arguments of sed or awk: after their option, else the first argument."""
    short, long = options
    found = [words[at + 1] for at, word in enumerate(words[:-1]) if word in options]
    found += [w.partition("=")[2] for w in words if w.startswith(f"{long}=")]
    found += [w[2:] for w in words if w.startswith(short) and len(w) > 2]
    return found or [word for word in words if not word.startswith("-")][:1]


_REMOVERS = {"rm", "rmdir", "unlink", "shred", "srm", "truncate", "dd"}
_LONG_START = r"(?:=.*)?"
_JUDGES: Mapping[str, _Judge] = {
    "find": _find,
    "xargs": _xargs,
    "rg": _with(rf"(?:--pre|--hostname-bin|--search-zip){_LONG_START}|-[a-yA-Z]*z[a-zA-Z]*"),
    "fd": _exact("-x", "-X", "--exec", "--exec-batch"),
    "fdfind": _exact("-x", "-X", "--exec", "--exec-batch"),
    "ag": _exact("--pager"),
    "sort": _with(rf"-[a-zA-Z]*o.*|--output{_LONG_START}|--compress-p[a-z]*{_LONG_START}"),
    "uniq": lambda words: next((w for w in [x for x in words if not x.startswith("-")][1:2]), ""),
    "base64": _with(rf"-[a-zA-Z]*o.*|--output{_LONG_START}"),
    "tree": _with(r"-o.*|--output.*"),
    "tar": _with(
        r"--to-command.*|--checkpoint-action.*|--use-compress-program.*|--rmt-command.*|--rsh-command.*|"
        r"--info-script.*|--new-volume-script.*|-I.*|-F.*|--to-c.*|--checkpoint-a.*|--use-c.*"
    ),
    "zip": _with(r"-TT.*|--unzip-command.*|-[a-zA-Z]*TT.*"),
    "man": _with(r"-[PH].*|--pager.*|--html.*|--preprocessor.*|-t"),
    "less": _with(r"\+.*|-[a-zA-Z]*[oOk].*|--log-file.*|--LOG-FILE.*|--lesskey.*"),
    "more": _with(r"\+.*"),
    "sed": _sed,
    "awk": _awk,
    "rsync": _with(r"-e.*|--rsh.*|--rsync-path.*"),
    "wget": _with(r"--use-askpass.*|--post-file.*|--body-file.*|-i.*"),
    "date": _with(r"-s.*|--set.*"),
    "env": _with(r"-S.*|--split-string.*"),
    "script": lambda words: words[0] if words else "",
    "vim": lambda words: next((w for w in words if w.startswith(("-c", "+", "--cmd", "-S", "-s", "-W", "-w"))), ""),
    "file": _with(r"-C|--compile|-m.*|--magic-file.*"),
    "shuf": _with(r"-o.*|--output.*"),
}
_JUDGES = {**_JUDGES, "gawk": _awk, "mawk": _awk, "nvim": _JUDGES["vim"], "vi": _JUDGES["vim"],
           "gsed": _sed, "bsdtar": _JUDGES["tar"], "gtar": _JUDGES["tar"]}  # fmt: skip
