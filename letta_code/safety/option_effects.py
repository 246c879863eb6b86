"""Option effects: arguments by which a program that only seems to read runs another one, or writes a file."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from functools import cache
from typing import Literal, TypeAlias

_Judge: TypeAlias = Callable[[Sequence[str]], str]


def option_effect(name: str, words: Sequence[str]) -> str:
    """The argument of a command that runs or writes something, "" when none does; `words` without the program."""
    judge = _JUDGES.get(name)
    found = judge(words) if judge else ""
    long = _LONG.get(name, ())
    return found or next((word for word in words if long and is_option(word, *long)), "")


def beyond_rule(name: str, words: Sequence[str]) -> str:
    """The argument that makes a command run what the giver of a rule for any arguments did not think of, else ""."""
    judge = _BEYOND.get(name)
    return option_effect(name, words) or (judge(words) if judge else "")


def reads_folders(name: str, words: Sequence[str]) -> Literal["", "seen", "all"]:
    """Whether a command reads all files of a folder: `seen` without those whose names begin with a dot."""
    if name in {"rg", "ag", "ack"}:
        hidden = any(is_option(word, "--hidden", "--no-ignore") or re.match(r"-[a-zA-Z]*[u.]", word) for word in words)
        return "all" if hidden else "seen"
    read = _RECURSIVE.get(name)
    return "all" if read and any(_compiled(read).fullmatch(word) for word in words) else ""


def is_option(word: str, *options: str) -> bool:
    """Whether a word is one of the long options, also `--option=value` and cut short as programs accept it (`--opt`).

    Which beginnings a program takes for another option is not known here: each of them counts.
    """
    name = word.partition("=")[0]
    return len(name) > 2 and name.startswith("--") and any(option.startswith(name) for option in options)


def _exact(*options: str) -> _Judge:
    """Options as they are, also as `--option=value`."""

    def judge(words: Sequence[str]) -> str:
        return next((w for w in words if w.partition("=")[0] in options or is_option(w, *options)), "")

    return judge


def _with(pattern: str) -> _Judge:
    """Words that match a pattern whole."""

    def judge(words: Sequence[str]) -> str:
        return next((word for word in words if _compiled(pattern).fullmatch(word)), "")

    return judge


@cache
def _compiled(pattern: str) -> re.Pattern[str]:
    """A pattern of the programs that a command names; those of all of them would cost a start some ms."""
    return re.compile(pattern)


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
_SED_RUNS = (
    r"s([/|#,:@!%])(?:\\.|(?!\1).)*\1(?:\\.|(?!\1).)*\1[gpiIMm0-9]*[ew]"
    rf"|(?:^|[;{{}}\n])\s*(?:{_ADDRESS}(?:,{_ADDRESS})?)?\s*!?\s*(?:e|[wW]\s)"
)
_AWK_RUNS = r"system\s*\(|getline|print[^}\n]*[>|]|@load|@include"


def _sed(words: Sequence[str]) -> str:
    return next((text for text in _programs(words, ("-e", "--expression")) if _compiled(_SED_RUNS).search(text)), "")


def _awk(words: Sequence[str]) -> str:
    return next((text for text in _programs(words, ("-e", "--source")) if _compiled(_AWK_RUNS).search(text)), "")


def _programs(words: Sequence[str], options: tuple[str, str]) -> list[str]:
    """The programs among the arguments of sed or awk: after their option, else the first argument."""
    short, long = options
    found = [words[at + 1] for at, w in enumerate(words[:-1]) if w == short or ("=" not in w and is_option(w, long))]
    found += [w.partition("=")[2] for w in words if "=" in w and is_option(w, long)]
    found += [w[2:] for w in words if w.startswith(short) and len(w) > 2]
    return found or [word for word in words if not word.startswith("-")][:1]


_REMOVERS = {"rm", "rmdir", "unlink", "shred", "srm", "truncate", "dd"}
_RECURSIVE: Mapping[str, str] = {
    **dict.fromkeys(("grep", "egrep", "fgrep"), r"-[a-zA-Z]*[rR].*|--(?:r|dereference-r|directories=r).*"),
    **dict.fromkeys(("tar", "bsdtar", "gtar"), r"-?[a-zA-Z]*[cru][a-zA-Z]*|--(?:cr|ap|up).*"),
    **dict.fromkeys(("find", "fd", "fdfind"), r"-exec|-execdir|-ok|-okdir|-x|-X|--exec.*"),
    **dict.fromkeys(("cp", "scp"), r"-[a-zA-Z]*[rRa].*|--(?:rec|arc).*"),
    "zip": r"-[a-zA-Z]*[rR].*|--rec.*",
    "rsync": r"-[a-zA-Z]*[ra].*|--(?:rec|arc).*",
    "diff": r"-[a-zA-Z]*r.*|--rec.*",
}
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
# Their long options once more, of which the programs take any beginning that is unique.
_LONG: Mapping[str, tuple[str, ...]] = {
    "sort": ("--output", "--compress-program"),
    "shuf": ("--output",),
    "zip": ("--unzip-command",),
    "man": ("--pager", "--html", "--preprocessor"),
    "less": ("--log-file", "--LOG-FILE", "--lesskey-file", "--lesskey-src"),
    "wget": ("--use-askpass", "--post-file", "--body-file"),
    "date": ("--set",),
    "env": ("--split-string",),
    "file": ("--compile", "--magic-file"),
    **dict.fromkeys(
        ("tar", "gtar"),
        ("--to-command", "--use-compress-program", "--rmt-command", "--rsh-command", "--info-script",
         "--new-volume-script"),
    ),
}  # fmt: skip


def _make(words: Sequence[str]) -> str:
    for word in words:
        if is_option(word, "--eval", "--file", "--makefile", "--include-dir") or re.match(r"-[a-zA-Z]*[EfI]", word):
            return word
        name, equals, value = word.partition("=")
        sets = equals and not word.startswith("-")
        if sets and (name.rstrip(":?+!") in _MAKE_DECIDES or not re.fullmatch(r"[\w.,+-]*", value)):
            return word  # a recipe runs `$(CC)`, and its value is shell code
    return ""


def _pytest(words: Sequence[str]) -> str:
    for at, word in enumerate(words):
        if found := re.fullmatch(r"-[vqsxl]*p(.*)", word):
            plugin = found[1] or (words[at + 1] if at + 1 < len(words) else "")
            if not plugin.startswith("no:"):
                return word
        if re.match(r"-[vqsxl]*[co]", word) or is_option(word, "--config-file", "--override-ini"):
            return word
    return ""


_MAKE_DECIDES = {"SHELL", "MAKEFLAGS", "MAKEFILES", "GNUMAKEFLAGS", ".SHELLFLAGS"}
_SSH = _with(r"-[46AaCfGgKkMNnqsTtVvXxYyBpr]*[oFIEJSLRDWwQ].*")
# What runs other programs or reads other settings: inside a sandbox it needs no question, but no open rule covers it.
_BEYOND: Mapping[str, _Judge] = {
    "make": _make,
    "gmake": _make,
    "pytest": _pytest,
    "py.test": _pytest,
    "go": _with(r"--?(?:exec|toolexec|vettool|overlay|modfile|compiler|C)(?:=.*)?|.*-extld.*"),
    "cargo": _with(r"--config(?:=.*)?|-Z.*|\+.*"),
    **dict.fromkeys(("ssh", "scp", "sftp"), _SSH),
    **dict.fromkeys(
        ("npm", "pnpm", "yarn"), _exact("--script-shell", "--node-options", "--userconfig", "--globalconfig")
    ),
    "gradle": _exact("-I", "--init-script"),
    "mypy": _exact("--python-executable", "--config-file"),
    "eslint": _exact("--rulesdir", "--plugin", "--resolve-plugins-relative-to", "-c", "--config", "-f", "--format",
                     "--parser"),
    "prettier": _exact("--plugin", "--config"),
    # Another server, other credentials, or a file that names programs.
    **dict.fromkeys(
        ("kubectl", "oc", "helm"),
        _exact("--kubeconfig", "--server", "--context", "--kube-context", "--kube-apiserver", "--cluster", "--user",
               "--token", "--as", "-s"),
    ),
    **dict.fromkeys(("docker", "podman"), _with(r"--(?:host|context|config|url|connection)(?:=.*)?|-[Hc].*")),
    "gh": _exact("--hostname"),
    "aws": _exact("--profile", "--endpoint-url", "--ca-bundle"),
    "gcloud": _exact("--configuration", "--account", "--flags-file"),
}  # fmt: skip
