"""What destroys: commands that a person should look at twice, and those that are refused in every mode."""

from __future__ import annotations

import os
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence

from letta_code.safety.option_effects import is_option
from letta_code.safety.removed_places import Settings, followed, too_much
from letta_code.safety.shell_syntax import Command, Reading

_DISK = re.compile(r"/dev/(?:sd|nvme|hd|vd|xvd|disk|rdisk|mmcblk|mapper|md|loop)")
_TO_DISK = re.compile(r">\|?\s{0,99}/dev/(?:sd|nvme|hd|vd|xvd|disk|rdisk|mmcblk|mapper|md)")
_FORK_BOMB = re.compile(r"(\S{1,20})\s{0,9}\(\)\s{0,9}\{\s*\1\s*\|\s*\1\s*&\s*\}")
# Tests of `find` that leave most of a folder out.
_CHOOSES = {"-name", "-iname", "-path", "-ipath", "-wholename", "-regex", "-iregex", "-newer", "-mtime", "-mmin",
            "-empty", "-size", "-user", "-perm", "-inum", "-samefile"}  # fmt: skip
_REMOVERS = {"rm", "rmdir", "unlink", "shred", "srm"}
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
    if name in {"chmod", "chown", "chgrp"}:
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
            return _has(rest, "", "--hard", "--merge", "--keep")
        case "clean":
            return not ("--dry-run" in rest or _has(rest, "n"))
        case "checkout":
            return bool({"--", ".", "-f"} & set(rest)) or _has(rest, "", "--force")
        case "switch":
            return "-f" in rest or _has(rest, "", "--force", "--discard-changes")
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
            return _has(rest, "", "--amend")
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
    """Whether an option is among words: one of the letters in `-xyz`, or a long name or its beginning."""
    for word in words:
        if word == "--":
            return False
        if is_option(word, *names) or (re.fullmatch(r"-[A-Za-z]+", word) and set(word) & set(letters)):
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
    settings = Settings(text, reading, {**variables, "HOME": home, "PWD": cwd})
    commands = list(followed(reading.commands, home, settings))
    for command in (*commands, *_fed(commands)):
        if over := _over_disk(command):
            return over
        for target in _removed(command):
            if why := too_much(target, command.cwd, home, settings):
                return f"it removes or changes {why}"
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


def _over_disk(command: Command) -> str:
    name, rest = command.name, command.words[1:]
    if name.startswith("mkfs") or name in {"wipefs", "blkdiscard", "mke2fs"}:
        return "it formats a disk" if any(word.startswith("/dev/") for word in rest) else ""
    written = rest if name in {"dd", "shred", "tee"} else rest[-1:] if name == "cp" else ()
    over = any(_DISK.match(word.removeprefix("of=")) for word in written)
    return "it writes over a disk" if over else ""


def _removed(command: Command) -> list[str]:
    """The words that name what a command takes away, or changes with all that is below."""
    name, rest = command.name, command.words[1:]
    match name:
        case "find":
            removes = "-delete" in rest or any(os.path.basename(word) in _REMOVERS for word in rest)
            return _start_points(rest) if removes else []
        case "rm" | "srm" | "chown" | "chgrp":
            return _targets(rest) if _has(rest, "rR", "--recursive") else []
        case "chmod":
            return _targets(rest) if _has(rest, "R", "--recursive") else []
        case "mv":
            into = _has(rest, "t", "--target-directory")
            return _targets(rest) if into else _targets(rest)[:-1]
        case "tar" | "bsdtar" | "gtar":
            return _targets(rest) if any(is_option(word, "--remove-files") for word in rest) else []
        case "git":
            return _cleaned(rest)
        case "rsync":
            dry = _has(rest, "n", "--dry-run")
            return _targets(rest)[-1:] if any(word.startswith("--del") for word in rest) and not dry else []
        case _:
            return []


def _cleaned(words: tuple[str, ...]) -> list[str]:
    """What `git clean` empties: the folder it works in, or what is named."""
    sub = _without_own(words)
    if sub[:1] != ("clean",) or not _git_destroys(sub) or not _has(sub[1:], "f", "--force"):
        return []
    own = words[: len(words) - len(sub)]
    at = os.path.join("", *(own[at + 1] for at, word in enumerate(own[:-1]) if word == "-C"))
    named = [os.path.join(at, word) for word in _targets(sub[1:])]
    return named or [at or "."]


def _start_points(words: tuple[str, ...]) -> list[str]:
    """Where a `find` begins: the words between its own options and its tests, the folder it runs in without any."""
    at = 0
    while at < len(words) and re.fullmatch(r"-[LHP]|-O\d|-D", words[at]):
        at += 2 if words[at] == "-D" else 1
    rest = words[at:]
    end = next((at for at, word in enumerate(rest) if word.startswith(("-", "(", "!"))), len(rest))
    return list(rest[:end]) or ["."]


def _fed(commands: Sequence[Command]) -> Iterator[Command]:
    """What `… | xargs rm -r` comes to, where the command before it says in words what it prints."""
    for at, command in enumerate(commands):
        if command.name != "xargs" or not at:
            continue
        fed = _printed(commands[at - 1])
        run = commands[at + 1] if at + 1 < len(commands) and commands[at + 1].wrapper == "xargs" else None
        if run is None or not fed:
            continue
        held = any("{}" in word for word in run.words)
        for word in fed:
            words = tuple(one.replace("{}", word) for one in run.words) if held else (*run.words, word)
            yield Command(words=words, cwd=command.cwd)


def _printed(command: Command) -> list[str]:
    """The names that a command is known to print."""
    rest = command.words[1:]
    if command.name in {"echo", "printf"}:
        return [re.sub(r"(?:\\[n0])+\Z", "", word) for word in rest if not word.startswith("-")]
    if command.name == "find" and not _CHOOSES & set(rest):
        return _start_points(rest)
    if command.name == "ls":
        return _targets(rest) if _has(rest, "d", "--directory") else [] if _targets(rest) else ["*"]
    return []


def _targets(words: tuple[str, ...]) -> list[str]:
    """The arguments that are not options; all of them after `--`."""
    if "--" in words:
        at = words.index("--")
        return [w for w in words[:at] if not w.startswith("-")] + list(words[at + 1 :])
    return [word for word in words if not word.startswith("-")]
