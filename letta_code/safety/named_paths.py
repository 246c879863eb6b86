"""Named paths: the files and folders that a command names in its words, as far as words can tell.

A sandbox lets a command read nearly everything and write nearly nothing; so a person is asked before a text that
plainly names something private outside the work tree, or a place outside to write to.  What a program opens by itself
is not seen here.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterable, Iterator, Sequence

from letta_code.core.messages import Value
from letta_code.safety import places
from letta_code.safety.shell_values import Command, Reading, Redirect

_URL = re.compile(r"[A-Za-z][A-Za-z0-9+.-]*://")
_WILD = re.compile(r"[*?\[]")
_BRACES = re.compile(r"\{([^{}]*,[^{}]*)\}")
_SAYS = {"echo", "printf", "basename", "dirname", "expr", "seq", "yes", "alias", "export", "declare", "true", "false"}
# These show names and sizes, or what is theirs to manage: a secret file is not shown by them.
_SHOW_NO_CONTENT = {
    "ls", "stat", "du", "test", "[", "[[", "touch", "mkdir", "chmod", "find", "git", "which", "tree", "file",
    "realpath", "readlink", "fd", "rm", "wc",
}  # fmt: skip
# Of these only names and sizes are seen, of one folder: looking around in the home folder is nobody's secret.
_LIST_ONE = {"ls", "stat", "file", "du", "test", "[", "[[", "realpath", "readlink", "which"}
# The first word that is no option is a pattern or a program, unless an option gave one.
_PATTERN_FIRST = {
    "grep": ("-e", "-f", "--regexp", "--file"), "egrep": ("-e", "-f", "--regexp", "--file"),
    "fgrep": ("-e", "-f", "--regexp", "--file"), "rg": ("-e", "-f", "--regexp", "--file", "--files", "--type-list"),
    "ag": (), "ack": (), "sed": ("-e", "-f", "--expression", "--file"), "awk": ("-f", "--file"), "jq": ("-f",),
    "gawk": ("-f", "--file"), "mawk": ("-f",), "perl": (), "yq": (), "fd": (), "tr": (),
}  # fmt: skip
_MESSAGE_OPTIONS = {"-m", "--message", "--author", "--date", "--grep", "-S", "-G", "--format", "--pretty", "--body",
                    "--title", "-k", "-t"}  # fmt: skip
_WRITE_ALL = {"rm", "rmdir", "mkdir", "touch", "tee", "chmod", "chown", "chgrp", "mv", "truncate", "shred", "unlink",
              "mkfifo", "mknod", "patch"}  # fmt: skip
_WRITE_LAST = {"cp", "ln", "install", "rsync", "mv"}
_INTO = {
    "tar": ("-C", "--directory"), "unzip": ("-d",), "cp": ("-t", "--target-directory"), "mktemp": ("-p", "--tmpdir"),
    "mv": ("-t", "--target-directory"), "ln": ("-t", "--target-directory"), "install": ("-t", "--target-directory"),
    "pip": ("--target", "-t", "--prefix"), "pip3": ("--target", "-t", "--prefix"), "gcc": ("-o",), "g++": ("-o",),
    "cc": ("-o",), "clang": ("-o",), "go": ("-o",), "sort": ("-o", "--output"), "curl": ("-o", "--output"),
    "wget": ("-O", "-P"), "split": (), "npm": ("--prefix",), "cmake": ("--install-prefix",),
}  # fmt: skip


class Where(Value):
    """What is inside: real paths of the work tree, the home folder, and of folders for temporary files.

    `own` is letta-code's own home, "" where it is not known.
    """

    root: str
    home: str
    temps: tuple[str, ...] = ()
    own: str = ""

    def is_own(self, path: str) -> bool:
        """Whether a real path is among what letta-code keeps for itself, which is closed to every command."""
        skills = places.is_within(path, f"{self.own}/skills")
        return bool(self.own) and places.is_within(path, self.own) and not skills

    def inside(self, path: str) -> bool:
        """Whether a real path is in the work tree or among temporary files."""
        return any(places.is_within(path, folder) for folder in (self.root, *self.temps))


def private_outside(reading: Reading, where: Where) -> Iterator[tuple[int, str]]:
    """What a text names outside that is not the same on every machine; with the command's index, -1 for a redirection.

    Relative words count from the command's folder, which is itself outside after `cd ..`.
    """
    for at, command in enumerate(reading.commands):
        if command.cwd and not _open(places.real(command.cwd), where):
            yield at, command.cwd
        for word in _words(command):
            for path in _resolved(word, command.cwd if command.cwd_known else where.root, where):
                if not _open(path, where) and not (path == where.home and command.name in _LIST_ONE):
                    yield at, path
    for redirect in reading.redirects:
        if not redirect.writes:
            for path in _target(redirect, where):
                if not _open(path, where):
                    yield -1, path


def secrets_inside(reading: Reading, where: Where) -> Iterator[tuple[int, str]]:
    """Files with keys in the work tree that a text names and that are there."""
    for at, command in enumerate(reading.commands):
        beside_git = command.name == "git" and any(word in {"--no-index", "--untracked"} for word in command.words)
        if (command.name in _SHOW_NO_CONTENT and not beside_git) or not command.cwd_known:
            continue
        for word in _words(command):
            yield from ((at, path) for path in _secrets(word, command.cwd or where.root, where))
    for redirect in reading.redirects:
        if not redirect.writes and redirect.cwd_known:
            yield from ((-1, path) for path in _secrets(redirect.target, redirect.cwd or where.root, where))


def written_outside(reading: Reading, where: Where) -> Iterator[tuple[int, str]]:
    """What a text plainly writes outside the work tree and temporary files."""
    for at, command in enumerate(reading.commands):
        for word in _written(command):
            for path in _resolved(word, command.cwd if command.cwd_known else where.root, where):
                if not where.inside(path) and not places.is_sink(path):
                    yield at, path
    for redirect in reading.redirects:
        if redirect.writes:
            for path in _target(redirect, where):
                if not where.inside(path) and not places.is_sink(path):
                    yield -1, path


def _open(path: str, where: Where) -> bool:
    return where.inside(path) or places.is_public(path, where.home)


def _target(redirect: Redirect, where: Where) -> list[str]:
    return list(_resolved(redirect.target, redirect.cwd if redirect.cwd_known else where.root, where))


def _words(command: Command) -> list[str]:
    """The words that may be paths: what is said, a pattern or a message is none."""
    name = command.name
    if name in _SAYS:
        return []
    words = list(command.words[1:])
    if name == "ln" and any(re.match(r"-[a-zA-Z]*s|--symbolic", word) for word in words):
        return words[-1:]  # where a link leads is not looked at
    if name in _PATTERN_FIRST and not any(_is_option(word, _PATTERN_FIRST[name]) for word in words):
        first = next((at for at, word in enumerate(words) if not word.startswith("-")), -1)
        words = [word for at, word in enumerate(words) if at != first]
    found: list[str] = []
    for at, word in enumerate(words):
        before = words[at - 1] if at else ""
        if before in _MESSAGE_OPTIONS and name in {"git", "gh", "pytest", "cargo", "jest", "glab"}:
            continue
        found.append(word)
    if "/" in command.words[0] and not _of_environment(command.words[0]):
        found.append(command.words[0])
    return found


def _of_environment(program: str) -> bool:
    """Whether a program is one of a Python environment, which poetry and others keep in the home folder."""
    return os.path.isabs(program) and os.path.isfile(
        os.path.join(os.path.dirname(os.path.dirname(program)), "pyvenv.cfg")
    )


def _is_option(word: str, options: Iterable[str]) -> bool:
    return any(word == one or (word.startswith(one) and not one.startswith("--")) or word.startswith(f"{one}=")
               for one in options)  # fmt: skip


def _written(command: Command) -> list[str]:
    name, words = command.name, list(command.words[1:])
    plain = [word for word in words if not word.startswith("-")]
    found: list[str] = []
    if name in _WRITE_ALL:
        found += plain[1:] if name in {"chmod", "chown", "chgrp"} else plain
    elif name in _WRITE_LAST:
        found += plain[-1:]
    elif name == "sed" and any(re.match(r"-[a-zA-Z]*i|--in-place", word) for word in words):
        found += plain
    elif name == "dd":
        found += [word[3:] for word in words if word.startswith("of=")]
    for at, word in enumerate(words):
        options = _INTO.get(name, ())
        if word in options and at + 1 < len(words):
            found.append(words[at + 1])
        found += [word.partition("=")[2] for one in options if word.startswith(f"{one}=")]
    return found


def _resolved(word: str, cwd: str, where: Where) -> Iterator[str]:
    """Real paths that a word may name outside, and relative ones that climb out; nothing for other words."""
    for text in _candidates(word):
        path = _expanded(text, where)
        if path is None:
            continue
        full = os.path.normpath(os.path.join(cwd or where.root, path))
        wild = _WILD.search(full)
        if wild:
            full = full[: full.rfind("/", 0, wild.start())] or "/"
        real = "/" + places.real(full).lstrip("/")
        if path.startswith("/") or not places.is_within(real, where.root):
            yield real


def _candidates(word: str) -> Iterator[str]:
    """The word and the parts of it that may be a path of their own, braces opened."""
    if "\0" in word or "\n" in word or _URL.match(word):
        return
    opened = _opened(word)
    for text in opened:
        if not text.startswith("-"):
            yield text
        if text.startswith("-") and not text.startswith("--") and text[2:3] in {"/", "~", "$", "."}:
            yield text[2:]
        if "=" in text:
            yield text.partition("=")[2]
        yield from (part for part in text.split(":")[1:] if part.startswith(("/", "~/", "../")))


def _opened(word: str) -> Sequence[str]:
    """The words that braces stand for, at most a few."""
    found = [word]
    for _ in range(4):
        if len(found) > 64 or not any(map(_BRACES.search, found)):
            break
        found = [one for text in found for one in _opened_once(text)]
    return found


def _opened_once(text: str) -> list[str]:
    found = _BRACES.search(text)
    return [text[: found.start()] + part + text[found.end() :] for part in found[1].split(",")] if found else [text]


def _expanded(text: str, where: Where) -> str | None:
    """A word as a path; None when a variable in it is not known."""
    text = re.sub(r"\$\{?HOME\}?(?![\w])", where.home.replace("\\", r"\\"), text)
    text = re.sub(r"\$\{?PWD\}?(?![\w])", ".", text)
    text = re.sub(r"\$\{?TMPDIR\}?(?![\w])", "/tmp", text)
    if text == "~" or text.startswith("~/"):
        text = where.home + text[1:]
    elif re.match(r"~[A-Za-z_]", text):
        name = text[1:].partition("/")[0]
        text = ("/root" if name == "root" else f"/home/{name}") + text[1 + len(name) :]
    elif re.match(r"~[+-]", text):
        return None
    return None if "$" in text or "`" in text or not text else text


def _secrets(word: str, cwd: str, where: Where) -> Iterator[str]:
    for text in _candidates(word):
        path = _expanded(text, where)
        if path is None:
            continue
        folder, name = os.path.split(os.path.normpath(os.path.join(cwd, path)))
        names = places.secrets_like(name) if _WILD.search(name) else [name]
        for one in names:
            full = places.real(os.path.join(folder, one))
            hidden = places.is_secret(full) or places.is_secret(os.path.join(folder, one))
            if hidden and places.is_within(full, where.root) and os.path.isfile(full):
                yield full
