"""What destroys: commands that a person should look at twice, and those that are refused in every mode."""

from __future__ import annotations

import os
import re
from collections.abc import Iterable, Mapping

from letta_code.safety.places import is_within
from letta_code.safety.shell_syntax import Command, Reading

_TOP_FOLDERS = {
    "/bin", "/boot", "/dev", "/etc", "/home", "/lib", "/lib64", "/opt", "/proc", "/root", "/run", "/sbin", "/srv",
    "/sys", "/usr", "/var", "/Users", "/System", "/Library", "/Applications", "/private",
}  # fmt: skip
_DISK = re.compile(r"/dev/(?:sd|nvme|hd|vd|xvd|disk|rdisk|mmcblk|mapper|md|loop)")
_TO_DISK = re.compile(r">\|?\s{0,99}/dev/(?:sd|nvme|hd|vd|xvd|disk|rdisk|mmcblk|mapper|md)")
_FORK_BOMB = re.compile(r"(\S{1,20})\s{0,9}\(\)\s{0,9}\{\s*\1\s*\|\s*\1\s*&\s*\}")
_VARIABLE = re.compile(r"\$\{?([A-Za-z_]\w*)\}?")
_GIT_OWN = {"-C", "-c", "--git-dir", "--work-tree", "--namespace"}
_WHOLE_WORDS = {"mkfs", "wipefs", "shred", "mke2fs", "mkswap", "blkdiscard", "fdisk", "sfdisk", "parted", "diskutil"}


def is_destructive(words: tuple[str, ...]) -> bool:
    """Whether a command may lose work that nothing brings back (`rm -r`, `git reset --hard`, `git push -f`)."""
    if not words:
        return False
    name, rest = os.path.basename(words[0]), words[1:]
    if name == "git":
        return _git_destroys(_without_own(rest))
    if name == "rm":
        return _has(rest, "rRf", "--recursive", "--force")
    if name == "find":
        return "-delete" in rest
    if name in {"chmod", "chown"}:
        return _has(rest, "R", "--recursive")
    if name == "dd":
        return any(word.startswith("of=") for word in rest)
    return name in {"truncate", "srm", "rmtree"} or name.partition(".")[0] in _WHOLE_WORDS


def stashes(words: tuple[str, ...]) -> bool:
    """Whether a command puts the work tree's changes away in a stash."""
    if not words or os.path.basename(words[0]) != "git":
        return False
    sub = _without_own(words[1:])
    return sub[:1] == ("stash",) and (len(sub) == 1 or sub[1] in {"push", "save"} or sub[1].startswith("-"))


def _git_destroys(words: tuple[str, ...]) -> bool:
    if not words:
        return False
    sub, rest = words[0], words[1:]
    match sub:
        case "reset":
            return bool({"--hard", "--merge", "--keep"} & set(rest))
        case "clean":
            return not _has(rest, "n", "--dry-run")
        case "checkout":
            return bool({"--", ".", "-f", "--force"} & set(rest))
        case "switch":
            return bool({"-f", "--force", "--discard-changes"} & set(rest))
        case "restore":
            return "--staged" not in rest or _has(rest, "W", "--worktree")
        case "push":
            forced = _has(rest, "fd", "--force", "--delete", "--mirror", "--prune")
            return forced or any(w.startswith(("+", ":", "--force")) for w in rest)
        case "stash":
            return bool(rest) and rest[0] in {"drop", "clear"}
        case "branch" | "tag":
            return _has(rest, "DdMf", "--delete", "--force")
        case "commit":
            return "--amend" in rest
        case "worktree":
            return rest[:1] == ("remove",)
        case "rm":
            return "--cached" not in rest
        case "reflog":
            return rest[:1] in {("expire",), ("delete",)}
        case _:
            return sub in {"rebase", "filter-branch", "filter-repo", "update-ref", "gc", "prune"}


def _without_own(words: tuple[str, ...]) -> tuple[str, ...]:
    """A git command from its subcommand on."""
    at = 0
    while at < len(words) and words[at].startswith("-"):
        at += 2 if words[at] in _GIT_OWN else 1
    return words[at:]


def _has(words: Iterable[str], letters: str, *names: str) -> bool:
    """Whether an option is among words: one of the letters in `-xyz`, or a long name."""
    for word in words:
        if word == "--":
            return False
        if word in names or (re.fullmatch(r"-[A-Za-z]+", word) and set(word) & set(letters)):
            return True
    return False


def catastrophe(text: str, reading: Reading, cwd: str, home: str, variables: Mapping[str, str]) -> str:
    """Why a command is refused in every mode, "" when it is not.

    `variables` are the environment that the command would get: a removal below an unset one is a removal of the root.
    """
    if _FORK_BOMB.search(text):
        return "it is a fork bomb"
    if _TO_DISK.search(text):
        return "it writes over a disk"
    known = {**variables, "HOME": home, "PWD": cwd}
    for command in reading.commands:
        why = _catastrophic(command, text, home, known)
        if why:
            return why
    return ""


def mentions_catastrophe(text: str, reading: Reading, cwd: str, home: str, variables: Mapping[str, str]) -> bool:
    """Whether the words of a refused command stand somewhere in a text that could not be read: then it is asked."""
    if reading.certain:
        return False
    found = tuple(
        Command(words=words[at:], cwd=cwd)
        for words in reading.mentions
        for at, word in enumerate(words)
        if os.path.basename(word) in {"rm", "dd", "find"} or os.path.basename(word).startswith("mkfs")
    )
    return bool(catastrophe(text, Reading(commands=found), cwd, home, variables))


def _catastrophic(command: Command, text: str, home: str, known: Mapping[str, str]) -> str:
    name, rest = command.name, command.words[1:]
    if name.startswith("mkfs") or name in {"wipefs", "blkdiscard", "mke2fs"}:
        return "it formats a disk" if any(word.startswith("/dev/") for word in rest) else ""
    if name in {"dd", "shred", "tee"}:
        over = any(_DISK.match(word.removeprefix("of=")) for word in rest)
        return "it writes over a disk" if over else ""
    if name == "find":
        removes = "-delete" in rest or "rm" in rest
        targets = list(rest[: _first_option(rest)]) if removes else []
    elif name in {"rm", "chmod", "chown", "srm"} and _has(rest, "rR" if name != "chmod" else "R", "--recursive"):
        targets = _targets(rest)
    else:
        return ""
    for target in targets:
        why = _too_much(target, command.cwd, text, home, known)
        if why:
            return f"it removes or changes {why}"
    return ""


def _first_option(words: tuple[str, ...]) -> int:
    return next((at for at, word in enumerate(words) if word.startswith(("-", "(", "!"))), len(words))


def _targets(words: tuple[str, ...]) -> list[str]:
    """The arguments that are not options; all of them after `--`."""
    if "--" in words:
        at = words.index("--")
        return [w for w in words[:at] if not w.startswith("-")] + list(words[at + 1 :])
    return [word for word in words if not word.startswith("-")]


def _too_much(target: str, cwd: str, text: str, home: str, known: Mapping[str, str]) -> str:
    bare = target.translate({ord("'"): None, ord('"'): None, ord("\\"): None, 0: None})
    unset = False

    def value(found: re.Match[str]) -> str:
        nonlocal unset
        name = found[1]
        if known.get(name):
            return known[name]
        # A name that the text sets itself (`d=…`, `for d in`, `read d`) is not known to be empty.
        if re.search(rf"(?<![\w${{]){re.escape(name)}\b", text):
            return f"/\0{name}"
        unset = True
        return ""

    if ":?" in bare:  # `${x:?}` stops by itself when x is unset
        return ""
    filled = _VARIABLE.sub(value, bare)
    if "\0" in filled:
        return ""
    if unset and (filled.startswith("/") or filled in {"*", ".*"}):
        return f"the root: a variable in `{target}` is not set"
    if filled == "~" or filled.startswith("~/"):
        filled = home + filled[1:]
    folder = "." if filled in {"*", ".*"} else re.sub(r"/\.?\*/*$", "/", filled)  # all in a folder is the folder
    place = "/" + os.path.normpath(os.path.join(cwd or "/", folder)).lstrip("/")
    if place == "/":
        return "the root"
    if is_within(home, place):
        return "the home folder"
    return f"the system folder {place}" if place in _TOP_FOLDERS else ""
