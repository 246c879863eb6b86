"""Offers: the exact rules that a person's yes can be remembered as."""

from __future__ import annotations

import os

from letta_code.core.requests import RuleOffer
from letta_code.safety import places
from letta_code.safety.coverage import git_words, is_special, reading_of
from letta_code.safety.destruction import is_destructive
from letta_code.safety.operations import (
    ExecOperation,
    GitOperation,
    Operation,
    ReadOperation,
    WriteOperation,
)
from letta_code.safety.rules import Ground, Rule, parse_rule

# Programs that run whatever they are given: no rule is offered for them at all.
_NEVER = {
    "sudo", "doas", "su", "env", "xargs", "eval", "exec", "command", "builtin", "nohup", "setsid", "timeout", "nice",
    "ssh", "bash", "sh", "zsh", "dash", "ksh", "fish", "ash", "busybox", "watch", "parallel", "stdbuf", "time",
}  # fmt: skip
# Programs whose second word says what they do, so that `npm test *` is still one thing.
_BY_SUBCOMMAND = {
    "npm": {"test", "ci", "ls", "outdated"}, "pnpm": {"test"}, "yarn": {"test"}, "bun": {"test"},
    "cargo": {"build", "test", "check", "clippy", "fmt", "doc"}, "go": {"build", "test", "vet", "fmt"},
    "git": {"status", "diff", "log", "show", "blame", "add", "fetch"}, "uv": {"sync", "lock"},
    "dotnet": {"build", "test"},
    "pip": {"list", "show", "check"}, "terraform": {"plan", "validate", "fmt"}, "kubectl": {"get", "describe"},
    "docker": {"ps", "images", "logs"}, "mvn": {"test"}, "gradle": {"test", "build"}, "mix": {"test"},
}  # fmt: skip
# Programs whose arguments only choose what they look at or check.
_BY_NAME = {
    "pytest", "ruff", "mypy", "basedpyright", "pyright", "eslint", "tsc", "prettier", "black", "isort", "flake8",
    "ls", "cat", "head", "tail", "wc", "grep", "du", "df", "stat", "file", "which", "pwd", "echo", "date", "tree",
    "diff", "cmp", "sha256sum", "md5sum", "basename", "dirname", "realpath", "ps", "uname", "whoami", "id", "jq",
}  # fmt: skip


def offers_for(operation: Operation, ground: Ground, at: int = -1) -> tuple[tuple[Rule, RuleOffer], ...]:
    """Rules for one operation, narrowest first, each with the text a person reads.

    `at` is the only command of a text that is asked about; without it a text of several commands has no offers.
    """
    match operation:
        case ExecOperation():
            found = _for_command(operation, at)
        case GitOperation():
            found = _for_git(operation)
        case ReadOperation(path=path):
            found = _for_path("Read", path, ground)
        case WriteOperation(path=path):
            found = _for_path("Edit", path, ground)
        case _:
            found = []
    return tuple((parse_rule(pattern, "allow"), RuleOffer(pattern=pattern, text=text)) for pattern, text in found)


def _for_command(operation: ExecOperation, at: int) -> list[tuple[str, str]]:
    reading = reading_of(operation)
    if reading is None or operation.argv or operation.keep or not (reading.certain or (at >= 0 and reading.whole)):
        return []
    command = reading.commands[max(at, 0)]
    words, name = command.words, command.name
    if name in _NEVER or is_destructive(words) or not all(_plain(word) for word in words):
        return []
    found = [(f"Bash({' '.join(words)})", "exactly this command")]
    open_words = _open_words(words)
    if open_words:
        found.append(
            (f"Bash({' '.join(open_words)} *)", f"`{' '.join(open_words)}` with any arguments in the work tree")
        )
    return found


def _open_words(words: tuple[str, ...]) -> tuple[str, ...]:
    if len(words) > 1 and words[1] in _BY_SUBCOMMAND.get(words[0], ()):
        return words[:2]
    return words[:1] if words and words[0] in _BY_NAME else ()


def _plain(word: str) -> bool:
    """Whether a word stands in a rule as it is; a command with quoted words is not offered, its rule would mislead."""
    return bool(word) and all(char.isalnum() or char in "_@%+:,./=-" for char in word)


def _for_git(operation: GitOperation) -> list[tuple[str, str]]:
    words = git_words(operation)
    if not words or not _plain(words[0]) or words[0].startswith("-") or is_destructive(("git", *words)):
        return []
    return [(f"Git({words[0]})", f"`git {words[0]}` through the Git tool, where it destroys nothing")]


def _for_path(tool: str, path: str, ground: Ground) -> list[tuple[str, str]]:
    if "\n" in path or "\0" in path:
        return []
    if not places.is_within(path, ground.root):
        return [(f"{tool}({places.escape(path)})", "exactly this file"), *_folder_outside(tool, path, ground)]
    inner = os.path.relpath(path, ground.root)
    exact = places.escape(inner if "/" in inner else f"./{inner}")
    found = [(f"{tool}({exact})", "exactly this file")]
    if is_special(path, ground) or "/" not in inner:
        return found
    top = places.escape(inner.split("/")[0])
    return [*found, (f"{tool}({top}/**)", f"every ordinary file below {inner.split('/')[0]}/")]


def _folder_outside(tool: str, path: str, ground: Ground) -> list[tuple[str, str]]:
    folder = os.path.dirname(path)
    # A folder just below the root, the home folder itself or one above it would be far too much.
    if is_special(path, ground) or folder.count("/") < 2 or places.is_within(ground.home, folder):
        return []
    return [(f"{tool}({places.escape(folder)}/**)", f"every ordinary file below {folder}/")]
