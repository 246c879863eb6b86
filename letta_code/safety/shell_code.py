"""Small languages in arguments: whether a sed script or an awk program only works on its text, and git's options."""

from __future__ import annotations

import re
from collections.abc import Sequence

from letta_code.safety.shell_programs import GIT_SUBCOMMANDS, RUNNING_OPTIONS
from letta_code.safety.shell_words import Word

_ADDRESS = r"(?:\d+|\$|/(?:[^/\\\n]|\\.)*/)(?:~\d+)?"
_SED_COMMAND = re.compile(
    rf"[ \t]*(?:{_ADDRESS}(?:,[+~]?(?:{_ADDRESS}))?)?[ \t]*!?[ \t]*(?:"
    r"s([^\w\s\\])(?:(?!\1)[^\\\n]|\\.)*\1(?:(?!\1)[^\\\n]|\\.|\\\n)*\1[gpiI0-9]*"
    r"|y([^\w\s\\])(?:(?!\2)[^\\\n]|\\.)*\2(?:(?!\2)[^\\\n]|\\.)*\2"
    r"|[pdqDPNnhHgGx=lQF]|[aic](?:\\\n|[ \t]+|\\)[^\n\\]*|[{}])[ \t]*(?:[;\n]|(?=\})|\Z)"
)
_SED_FLAGS = re.compile(r"-[nErsuz]+|--(?:quiet|silent|regexp-extended|null-data|separate|posix|sandbox|debug)")
_AWK_RUNS = re.compile(r"system|getline|@|(?<!\|)\|(?!\|)|close|-f\b|strftime\(\)|fflush")
_JOBS = {"-j$(nproc)", "$(nproc)", "-j`nproc`"}  # a number
_GIT_KEYS = re.compile(
    r"(?:user\.\w+|color\.\w+|advice\.\w+|init\.defaultbranch|core\.(?:quotepath|autocrlf|filemode|longpaths)"
    r"|commit\.gpgsign|tag\.gpgsign|log\.\w+|diff\.(?:renames|noprefix|context)|http\.lowspeed\w+|safe\.directory)(?:=.*)?",
    re.IGNORECASE,
)
_GIT_DECIDES = re.compile(
    r"alias\..*|include.*|core\.(?:editor|pager|sshcommand|fsmonitor|hookspath|gitproxy|askpass|worktree|attributesfile)"
    r"|.*\.(?:textconv|command|cmd|helper|process|smudge|clean|driver|program|path|insteadof|vcs|uploadpack|receivepack)"
    r"|(?:sequence\.editor|gpg\..*|credential\..*|pager\..*|filter\..*|diff\.external|interactive\.difffilter|init\.templatedir"
    r"|uploadpack\..*|trailer\..*|man\..*|browser\..*|url\..*|protocol\..*|submodule\..*\.update|remote\..*)",
    re.IGNORECASE | re.DOTALL,
)
_GIT_RUNS = re.compile(
    r"--(?:upload-pack|receive-pack|exec|extcmd|open-files-in-pager|tool|template|config)\b.*|ext::.*|.*::.*"
)


def sed_is_plain(words: Sequence[Word]) -> bool:
    """Whether sed only edits text: no `e`, `w`, `r`, no script from a file, and nothing expanded in one."""
    scripts: list[Word] = []
    files: list[Word] = []
    at = 0
    while at < len(words):
        text = words[at].text
        at += 1
        if text in {"-e", "--expression"} and at < len(words):
            scripts.append(words[at])
            at += 1
        elif text.startswith("--expression="):
            scripts.append(Word(text=text.partition("=")[2], raw="", start=0, literal=words[at - 1].literal))
        elif re.fullmatch(r"-[nErsuz]*e", text) and at < len(words):
            scripts.append(words[at])
            at += 1
        elif _SED_FLAGS.fullmatch(text) or re.fullmatch(r"-[nErsz]*i(?:\.?\w*)|--in-place(?:=.*)?", text):
            continue
        elif text.startswith("-") and text != "-":
            return False
        else:
            files.append(words[at - 1])
    if not scripts and files:
        scripts.append(files.pop(0))
    return all(script.literal and _plain_script(script.text) for script in scripts) and not any(
        word.splits and "$" in word.raw for word in files
    )


def _plain_script(text: str) -> bool:
    at = 0
    while at < len(text):
        found = _SED_COMMAND.match(text, at)
        if found is None or found.end() == at:
            return not text[at:].strip(" \t\n;")
        at = found.end()
    return True


def awk_is_plain(words: Sequence[Word]) -> bool:
    """Whether an awk program only reads and prints: its text is known, and it neither runs nor opens anything."""
    at = 0
    while at < len(words) and words[at].text.startswith("-"):
        text = words[at].text
        if text in {"-F", "-v"}:
            at += 2
        elif re.fullmatch(r"-F.+|-v\w+=.*|--", text, re.DOTALL):
            at += 1
        else:
            return False
        if text == "--":
            break
    if at >= len(words):
        return True
    program = words[at]
    return program.literal and not program.splits and _AWK_RUNS.search(program.text) is None


def runs_code(name: str, words: Sequence[Word], *, piped: bool) -> str:
    """Why a program with these arguments may run something that cannot be read, "" when it does not."""
    options = RUNNING_OPTIONS.get(name)
    if options is not None:
        if any(options.fullmatch(word.text) for word in words):
            return f"{name} runs a program for an option"
        if any(word.splits and ("$" in word.raw or "`" in word.raw) and word.raw not in _JOBS for word in words):
            return f"options of {name} are known only when it runs"
        if name in {"sqlite3", "psql", "mysql"} and piped:
            return f"{name} runs what its input says"
    return _git_runs(words) if name == "git" else ""


def _git_runs(words: Sequence[Word]) -> str:
    texts = [word.text for word in words]
    at = 0
    while at < len(texts) and texts[at].startswith("-") and texts[at] not in {"--version", "--help"}:
        if (
            texts[at] == "-c" and at + 1 < len(texts) and words[at + 1].literal and _GIT_KEYS.fullmatch(texts[at + 1])
        ) or texts[at] in {"-C", "--git-dir", "--work-tree", "--namespace"}:
            at += 2
        elif texts[at] in {"--no-pager", "-P", "--bare", "--no-optional-locks", "--literal-pathspecs"} or texts[
            at
        ].startswith(("--git-dir=", "--work-tree=", "--namespace=")):
            at += 1
        else:
            return f"git runs with the option {texts[at]}"
    if at >= len(texts):
        return ""
    sub, rest = texts[at], texts[at + 1 :]
    if not words[at].literal or any(word.splits and ("$" in word.raw or "`" in word.raw) for word in words):
        return "options of git are known only when it runs"
    if sub not in GIT_SUBCOMMANDS:
        return f"git {sub} may be anything" if sub not in {"difftool", "mergetool"} else "git runs a tool"
    if sub == "config" and any(_GIT_DECIDES.fullmatch(word) for word in rest) and len(rest) > 1:
        return "git is told which programs to run"
    if sub == "grep" and any(re.match(r"-[A-Za-z]*O", word) for word in rest):
        return "git runs a pager"
    if sub == "rebase" and any(word.startswith(("-x", "--exec")) for word in rest):
        return "git rebase runs commands"
    if sub in {"fetch", "pull", "clone", "push", "ls-remote", "archive", "submodule", "remote", "init"}:
        if any(_GIT_RUNS.fullmatch(word) or (word.startswith("-u") and sub == "clone") for word in rest):
            return "git runs a program for an option"
        return ""
    # A prefix of a long option is the option itself.
    if any(word.startswith(("--exec", "--ext", "--open-f", "--tool", "--upload", "--receive")) for word in rest):
        return "git runs a program for an option"
    return ""
