"""Git commands as words: what each does to the repository, and which of them the sandbox lets write it."""

from __future__ import annotations

import os
import re
from collections.abc import Sequence
from functools import lru_cache
from typing import Literal, TypeAlias

from letta_code.core.messages import Value
from letta_code.safety.containment import Network
from letta_code.safety.option_effects import is_option

# reads: nothing of the repository changes.  writes: an everyday change, for which the sandbox opens the repository.
# changes: another change of the repository.  configures: its configuration changes.  runs: an option runs a program or
# writes a file.  network: another machine is asked.  unknown: an alias, or a command that nobody has listed.
Effect: TypeAlias = Literal["reads", "writes", "changes", "configures", "runs", "network", "unknown"]

_READS = {
    "status", "diff", "log", "show", "blame", "annotate", "grep", "ls-files", "ls-tree", "rev-parse", "rev-list",
    "cat-file", "describe", "merge-base", "shortlog", "name-rev", "for-each-ref", "show-ref", "check-ignore",
    "check-attr", "check-ref-format", "count-objects", "fsck", "diff-tree", "diff-index", "diff-files", "range-diff",
    "whatchanged", "var", "version", "help", "verify-commit", "verify-tag", "cherry", "format-patch", "apply",
    "show-branch", "stripspace", "interpret-trailers", "merge-tree", "hash-object", "archive", "get-tar-commit-id",
    "diagnose", "bugreport", "patch-id", "column", "request-pull", "verify-pack",
}  # fmt: skip
# What changes the index, the branches and files of the work tree, as a commit or a merge does.
_WRITES = {"add", "stage", "commit", "restore", "switch", "branch", "stash", "merge", "tag", "checkout", "mv", "rm",
           "reset", "cherry-pick", "revert"}  # fmt: skip
_CHANGES = {
    "rebase", "am", "clean", "gc", "prune", "repack", "pack-refs",
    "update-ref", "update-index", "read-tree", "write-tree", "commit-tree", "mktree", "mktag", "checkout-index",
    "replace", "notes", "filter-branch", "filter-repo", "fast-import", "bisect", "rerere", "reflog", "symbolic-ref",
    "maintenance", "sparse-checkout", "unpack-objects", "prune-packed", "merge-index", "merge-file", "worktree",
}  # fmt: skip
_CONFIGURES = {"config", "remote", "submodule", "init", "lfs", "credential", "instaweb", "flow", "init-db"}
_NETWORK = {"push", "pull", "fetch", "clone", "ls-remote", "send-email", "fetch-pack", "send-pack", "imap-send", "svn"}
_RUNS = {"difftool", "mergetool", "gui", "citool", "daemon", "http-backend", "upload-pack", "receive-pack", "shell",
         "upload-archive", "cvsserver", "p4", "web--browse"}  # fmt: skip
# Options of git itself that change nothing: `-C` is followed, its folder is a path like any other.
_PLAIN_OWN = {"--no-pager", "-P", "--no-optional-locks", "--literal-pathspecs", "--no-replace-objects", "-C"}
_OWN_WITH_VALUE = {"-C", "-c", "--git-dir", "--work-tree", "--namespace", "--exec-path", "--config-env",
                   "--super-prefix", "--attr-source"}  # fmt: skip
# Options that run a program or write a file, whatever the command; git takes any unique beginning of a long one.
_RUNS_OR_WRITES = re.compile(
    r"--(?:output(?!-)|out|outp|outpu|exec|open-f|open-files-in-pager|upload-p|upload-pack|receive-p|receive-pack|"
    r"ext-d|ext-diff|edit-desc|remote=|template)[a-z-]*(?:=.*)?"
)
_RUN_OR_WRITE_LONG = (
    "--output", "--exec", "--open-files-in-pager", "--upload-pack", "--receive-pack", "--ext-diff", "--template",
)  # fmt: skip
# Options of commands that read else, with which they write a file wherever it lies.
_WRITE_ANYWHERE = {
    "apply": ("--unsafe-paths", "--directory", "--build-fake-ancestor"),
    "interpret-trailers": ("--in-place",),
    "format-patch": ("--output-directory",),
}
_LISTS = {
    "branch": {"--list", "-l", "--show-current", "-a", "-r", "-v", "-vv", "--all", "--remotes", "--contains",
               "--merged", "--no-merged", "--points-at", "--format", "--sort", "--column", "--no-column", "-av", "-avv",
               "-rv", "-vva", "-va", "--verbose", "--no-contains"},
    "tag": {"-l", "--list", "-n", "--contains", "--merged", "--no-merged", "--points-at", "--sort", "--format", "-v"},
}  # fmt: skip
_BRANCH_CONFIGURES = ("-m", "-M", "-c", "-C", "-u", "-t", "--move", "--copy", "--set-upstream-to", "--unset-upstream",
                      "--set-upstream", "--edit-description", "--track")  # fmt: skip
# Settings that only name or format: with `-c` and one of them a command does what it does without.
_ONLY_NAMES = re.compile(
    r"(?:user\.(?:name|email)|core\.(?:abbrev|quotepath)|log\.date|(?:color|advice)\.[a-z]+)=.*|"
    r"(?:commit|tag)\.gpgsign=(?:false|no|0|off)",
    re.IGNORECASE | re.DOTALL,
)
_STRATEGIES = {"ort", "recursive", "resolve", "octopus", "ours", "subtree"}
# As in githooks(5); a merge, a cherry-pick or a revert that goes on after a conflict is a commit.  An amended commit is
# rewritten, and each of them may end with `gc --auto`.
_OF_COMMITS = ("pre-commit", "prepare-commit-msg", "commit-msg", "post-commit", "post-rewrite", "pre-auto-gc")
_OF_PATCHES = ("applypatch-msg", "pre-applypatch", "post-applypatch")
_OF_REBASES = ("pre-rebase", "post-checkout", *_OF_PATCHES)
_HOOKS = {
    "commit": _OF_COMMITS,
    "merge": (*_OF_COMMITS, "pre-merge-commit", "post-merge"),
    "pull": (*_OF_COMMITS, "pre-merge-commit", "post-merge", *_OF_REBASES), "fetch": ("pre-auto-gc",),
    "checkout": ("post-checkout",), "switch": ("post-checkout",), "clone": ("post-checkout",),
    "restore": ("post-checkout",), "stash": ("post-checkout",), "bisect": ("post-checkout",),
    "worktree": ("post-checkout",), "push": ("pre-push",), "send-email": ("sendemail-validate",),
    "am": (*_OF_COMMITS, *_OF_PATCHES), "rebase": (*_OF_COMMITS, *_OF_REBASES, "pre-merge-commit"),
    "cherry-pick": _OF_COMMITS, "revert": _OF_COMMITS, "gc": ("pre-auto-gc",), "maintenance": ("pre-auto-gc",),
}  # fmt: skip
# These run for every change of a branch or of the index.
_HOOKS_OF_ALL = ("reference-transaction", "post-index-change", "fsmonitor-watchman")


class GitEffect(Value):
    """What a git command does.  `what` is the option or subcommand that makes it so, for a person."""

    effect: Effect
    subcommand: str = ""
    what: str = ""
    network: Network = "off"


@lru_cache(maxsize=256)  # a policy asks several times about one command
def git_effect(words: tuple[str, ...]) -> GitEffect:
    """What a git command does; `words` begin with the program."""
    own, rest = _split(words)
    if not rest:
        shows = not own or set(own) <= {"--version", "--help", "-h", "-v", "--html-path", "--man-path", "--exec-path"}
        return GitEffect(effect="reads" if shows else "unknown")
    sub, arguments = rest[0], rest[1:]
    odd = next((word for word in own if word.startswith("-") and word not in _PLAIN_OWN), "")
    if odd:
        return GitEffect(effect="runs", subcommand=sub, what=odd, network=_network(sub, arguments))
    effect, what = _effect(sub, arguments)
    return GitEffect(effect=effect, subcommand=sub, what=what or sub, network=_network(sub, arguments))


def is_as_without_options(words: Sequence[str]) -> bool:
    """Whether git's own options change nothing of what the subcommand does: `-c user.name=x` only names."""
    at = 1
    while at < len(words) and words[at].startswith("-"):
        named = words[at] == "-c" and at + 1 < len(words) and _ONLY_NAMES.fullmatch(words[at + 1])
        if not named and words[at] not in _PLAIN_OWN:
            return False
        at += 2 if words[at] in _OWN_WITH_VALUE else 1
    return True


def folder_meant(words: Sequence[str], cwd: str) -> str:
    """The folder in which git looks for its repository; "" where an option names the repository itself."""
    at = 1
    while at < len(words) and words[at].startswith("-"):
        if words[at].startswith(("--git-dir", "--bare", "--work-tree")):
            return ""
        if words[at] == "-C" and at + 1 < len(words):
            cwd = os.path.join(cwd, words[at + 1])
        at += 2 if words[at] in _OWN_WITH_VALUE else 1
    return cwd


def is_of_the_repository(subcommand: str) -> bool:
    """Whether a subcommand is of no use where the repository cannot be written."""
    return subcommand in _WRITES | _CHANGES | _NETWORK


def from_subcommand(words: Sequence[str]) -> tuple[str, ...]:
    """A git command without git's own options: `git -C x push` is `git push`."""
    return (words[0], *_split(words)[1])


def hooks_run_by(subcommand: str) -> tuple[str, ...]:
    """The hooks that git would run for a subcommand that changes something."""
    return (*_HOOKS.get(subcommand, ()), *_HOOKS_OF_ALL)


def runs_own_hooks(subcommand: str) -> bool:
    """Whether there are hooks of this subcommand, beside those of any change."""
    return subcommand in _HOOKS


def _split(words: Sequence[str]) -> tuple[list[str], list[str]]:
    """Git's own options, without the values of the plain ones, and the rest from the subcommand on."""
    own: list[str] = []
    at = 1
    while at < len(words) and words[at].startswith("-"):
        own.append(words[at])
        at += 2 if words[at] in _OWN_WITH_VALUE else 1
    return own, list(words[at:])


def _effect(sub: str, words: Sequence[str]) -> tuple[Effect, str]:
    options = [word for word in words if word.startswith("-")]
    long = (*_RUN_OR_WRITE_LONG, *(("--remote",) if sub == "archive" else ()))
    running = next((word for word in options if _RUNS_OR_WRITES.fullmatch(word) or is_option(word, *long)), "")
    if running:
        return "runs", running
    if sub in _READS:
        if sub == "grep" and (odd := next((w for w in options if re.match(r"-[a-zA-Z]*O", w)), "")):
            return "runs", odd
        if sub in {"archive", "bugreport", "diagnose"} and any(w.startswith("-o") for w in options):
            return "runs", "-o"
        if any(is_option(w, *_WRITE_ANYWHERE.get(sub, ())) for w in options) or (
            sub == "format-patch" and any(w.startswith("-o") for w in options)
        ):
            return "unknown", ""  # the sandbox holds it, but with the repository closed
        changes = sub == "apply" and any(w in {"--index", "--cached", "-3", "--3way"} for w in options)
        return ("changes", "") if changes else ("reads", "")
    if sub in _WRITES:
        return _everyday(sub, words, options)
    if sub in _NETWORK:
        return ("reads", "") if _asks_nobody(sub, words) else _reaches(sub, words, options)
    if sub in _CONFIGURES:
        return ("reads", "") if _only_lists(sub, words) else ("configures", "")
    if sub in _CHANGES:
        if sub == "rebase" and (odd := next((w for w in options if w.startswith("-x") or is_option(w, "--exec")), "")):
            return "runs", odd
        if sub == "bisect" and words[:1] == ["run"]:
            return "runs", "bisect run"
        return ("reads", "") if _only_looks(sub, words) else ("changes", "")
    return ("runs", sub) if sub in _RUNS else ("unknown", "")


def _asks_nobody(sub: str, words: Sequence[str]) -> bool:
    return sub == "ls-remote" and "--get-url" in words


def _reaches(sub: str, words: Sequence[str], options: Sequence[str]) -> tuple[Effect, str]:
    odd = "" if sub in {"push", "pull", "fetch", "clone", "ls-remote"} else sub  # the others name programs in many ways
    if sub == "pull":
        odd = _own_strategy(words)
    if sub == "clone":
        odd = next((w for w in options if re.match(r"-[a-zA-Z]*[cu]", w) or is_option(w, "--config")), "")
    return ("runs", odd) if odd else ("network", "")


def _everyday(sub: str, words: Sequence[str], options: Sequence[str]) -> tuple[Effect, str]:
    if sub in _LISTS and _lists(sub, words):
        return "reads", ""
    if sub == "stash" and words[:1] in (["list"], ["show"]):
        return "reads", ""
    configures = _BRANCH_CONFIGURES if sub == "branch" else ("-t", "--track") if sub in {"switch", "checkout"} else ()
    odd = next((w for w in options if _begins(w, configures)), "")
    if odd:
        return "configures", f"{sub} {odd}"
    edits = sub in {"add", "stage", "tag"}
    if edits and (odd := next((w for w in options if w == "-e" or is_option(w, "--edit")), "")):
        return "runs", odd
    if sub in {"merge", "cherry-pick", "revert"} and (odd := _own_strategy(words)):
        return "runs", odd
    return "writes", ""


def _begins(word: str, options: Sequence[str]) -> bool:
    return any(is_option(word, o) if o.startswith("--") else word == o or word[:2] == o for o in options)


def _lists(sub: str, words: Sequence[str]) -> bool:
    if not words:
        return True
    named = [word.partition("=")[0] for word in words if word.startswith("-")]
    return bool(named) and all(word in _LISTS[sub] or re.fullmatch(r"-n\d+", word) for word in named)


def _own_strategy(words: Sequence[str]) -> str:
    """A merge strategy that git does not have itself: it would look for a program of that name."""
    for at, word in enumerate(words):
        long = is_option(word, "--strategy")
        value = word.partition("=")[2] if long else ""
        if (word == "-s" or (long and "=" not in word)) and at + 1 < len(words):
            value = words[at + 1]
        elif word.startswith("-s") and len(word) > 2 and not word.startswith("--"):
            value = word[2:]
        if value and value not in _STRATEGIES:
            return f"--strategy={value}"
    return ""


def _only_lists(sub: str, words: Sequence[str]) -> bool:
    """Whether a command about configuration only shows it."""
    if sub == "config":
        reads = {"--get", "--get-all", "--get-regexp", "--list", "-l", "--get-urlmatch", "get", "list"}
        return bool(reads & set(words)) or len([w for w in words if not w.startswith("-")]) == 1 == len(words)
    if sub == "remote":
        return not words or list(words) in (["-v"], ["--verbose"], ["show"]) or words[0] == "get-url"
    return sub in {"submodule", "lfs"} and list(words[:1]) in ([], ["status"], ["summary"], ["ls-files"])


def _only_looks(sub: str, words: Sequence[str]) -> bool:
    first = words[0] if words else ""
    match sub:
        case "reflog":
            return first not in {"expire", "delete", "drop", "write"}
        case "worktree" | "notes":
            return first in {"list", "show"}
        case "bisect":
            return first in {"log", "view", "visualize"}
        case "symbolic-ref":
            return len([w for w in words if not w.startswith("-")]) == 1 and not {"-d", "--delete"} & set(words)
        case "clean":
            return any(w == "--dry-run" or re.fullmatch(r"-[a-zA-Z]*n[a-zA-Z]*", w) for w in words)
        case "sparse-checkout" | "rerere":
            return first in {"list", "status", "diff"}
        case _:
            return False


def _network(sub: str, words: Sequence[str]) -> Network:
    """Over HTTP where a URL says so; else it may be anything, so it is left as the person has it."""
    if sub not in _NETWORK and not (sub in {"submodule", "lfs"} and words[:1] not in (["status"], [])):
        return "off"
    if _asks_nobody(sub, words):
        return "off"
    places = [word for word in words if "://" in word or re.match(r"[\w.-]+@[\w.-]+:", word)]
    return "proxy" if places and all(word.startswith(("https://", "http://")) for word in places) else "open"


def discards_much(words: Sequence[str], cwd: str) -> bool:
    """Whether a `git checkout` or `git restore` throws away changes of more than the files that it names one by one."""
    _, rest = _split(words)
    sub, arguments = rest[0], rest[1:]
    if (
        sub == "restore"
        and "--staged" in arguments
        and not any(w == "-W" or is_option(w, "--worktree") for w in arguments)
    ):
        return False
    if {"-f", "-p"} & set(arguments) or any(is_option(w, "--force", "--patch") for w in arguments):
        return True
    if any(is_option(w, "--pathspec-from-file", "--pathspec-file-nul") for w in arguments):
        return True
    takes_branch = {"-b", "-B", "--orphan", "-t", "--track", "--detach", "-d"}
    if sub == "checkout" and takes_branch & set(arguments):
        return False
    at = arguments.index("--") + 1 if "--" in arguments else 0
    named = [word for word in arguments[at:] if not word.startswith("-")]
    if sub == "checkout" and not at:
        if len(named) == 1 and not os.path.lexists(os.path.join(cwd, named[0])):
            return False  # a branch
        named = named if len(named) == 1 else named[1:]
    # A folder, a pattern or a name that is not there (any more) may stand for many files.
    return any(re.search(r"[*?\[]|\A:|\A\.*/?\Z", word) or os.path.isdir(os.path.join(cwd, word)) for word in named)
