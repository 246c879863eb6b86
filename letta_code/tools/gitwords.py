"""The words that the Git tool takes: for each subcommand the options that are known to do no more than they say."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import NamedTuple

from letta_code.core.errors import ToolError

# An option ends in `=` when it needs a value (joined or the next word), in `?` when it may have one (joined only).
_SHOW = """--stat? --shortstat --numstat --summary --name-only --name-status --raw --check --patch -p --no-patch -s -u
 --unified= -U= -w -b --ignore-all-space --ignore-space-change --ignore-space-at-eol --ignore-blank-lines
 --ignore-cr-at-eol --word-diff? --color-words? --minimal --patience --histogram --diff-algorithm= -M? -C?
 --find-renames? --find-copies? --no-renames --diff-filter= -S= -G= --pickaxe-all --pickaxe-regex --relative?
 --function-context -W --full-index --abbrev? --no-prefix --inter-hunk-context= -z --compact-summary --dirstat?"""
_LOG = """--oneline --graph --format= --pretty= --decorate? --no-decorate --date= -n= --max-count= --skip= --since=
 --after= --until= --before= --author= --committer= --grep= --invert-grep -i -E -F --all --branches? --tags?
 --remotes? --follow --merges --no-merges --first-parent --reverse --topo-order --date-order --author-date-order
 --abbrev-commit --no-abbrev-commit --left-right --cherry-pick --cherry-mark --boundary --ancestry-path --full-history
 --source --no-walk? -L= -m -c --cc --parents --children --simplify-by-decoration --walk-reflogs -g"""
_OPTIONS: Mapping[str, str] = {
    "status": "-s --short -b --branch --long --porcelain? -u? --untracked-files? --ignored? --renames -z",
    "diff": _SHOW + " --cached --staged --merge-base --exit-code --quiet -R",
    "log": f"{_SHOW} {_LOG}",
    "show": f"{_SHOW} {_LOG}",
    "blame": "-L= -w -M? -C? -l -e --show-email -s --since= --date= -f --show-name -n --show-number --root --abbrev=",
    "branch": """-a --all -r --remotes -v --verbose -l --list --show-current --merged? --no-merged? --contains=
 --no-contains= --points-at= --sort= --format= --ignore-case -i -d --delete -D -m --move -M -c --copy
 -u= --set-upstream-to= --unset-upstream -t --track? --no-track -f --force -q --quiet""",
    "add": "-A --all --no-all -u --update -N --intent-to-add -n --dry-run -v -f --force --renormalize --chmod=",
    "commit": """-a --all --amend --no-edit --allow-empty --allow-empty-message -s --signoff --author= --date= -q
 --quiet -o --only -i --include --dry-run --reset-author -m= --message=""",
    "restore": "-S --staged -W --worktree -s= --source= --ours --theirs -q --quiet --overlay --no-overlay",
    "stash": """-u --include-untracked -a --all -k --keep-index --no-keep-index -S --staged -q --quiet --index
 --stat? -p --patch --name-only --name-status -m= --message=""",
}
_BRANCH_WRITES = ("-d", "-D", "--delete", "-m", "-M", "--move", "-c", "--copy", "-u", "--set-upstream-to")
_BRANCH_LISTS = ("-l", "--list", "--merged", "--no-merged", "--contains", "--no-contains", "--points-at", "-a", "-r")
_STASH_ACTIONS = ("push", "list", "show", "pop", "apply", "drop")
SUBCOMMANDS = tuple(_OPTIONS)


class Words(NamedTuple):
    """Checked words: options, what is left (revisions, names), and paths."""

    options: tuple[str, ...]
    rest: tuple[str, ...]
    paths: tuple[str, ...]


def checked(subcommand: str, args: Sequence[str], paths: Sequence[str]) -> Words:
    """Sort the words of a call; raises `ToolError` that lists what is allowed for an option that is not."""
    known = {word.rstrip("=?"): word[-1] if word[-1] in "=?" else "" for word in _OPTIONS[subcommand].split()}
    options: list[str] = []
    rest: list[str] = []
    waiting = list(args)
    while waiting:
        word = waiting.pop(0)
        if "\0" in word:
            raise ToolError("An argument has a NUL character in it.")
        if word == "--":
            return Words(tuple(options), tuple(rest), (*waiting, *paths))
        if not word.startswith("-") or word == "-":
            rest.append(word)
            continue
        if re.fullmatch(r"-\d+", word) and "-n" in known and subcommand in ("log", "show"):
            options.append(f"--max-count={word[1:]}")
            continue
        parts, needs_value = _parts(word, known, subcommand)
        options += parts
        if needs_value:
            if not waiting:
                raise ToolError(f"{word} needs a value.")
            options.append(waiting.pop(0))
    return Words(tuple(options), tuple(rest), tuple(paths))


def _parts(word: str, known: Mapping[str, str], subcommand: str) -> tuple[list[str], bool]:
    """An option as git takes it, several short ones in one word taken apart, and whether a value follows.

    Raises for what is not allowed; abbreviations of long options are not.
    """
    name, joined, _ = word.partition("=")
    if word.startswith("--"):
        kind = known.get(name)
        if kind is not None and (not joined or kind):
            return [word], kind == "=" and not joined
    else:
        kind = known.get(word[:2])
        if kind is not None and kind in ("=", "?") and len(word) > 2:
            return [word], False  # -n5, -U3, -M90%
        kinds = [known.get(f"-{letter}") for letter in word[1:]]
        if None not in kinds and all(kind == "" for kind in kinds[:-1]):
            return [f"-{letter}" for letter in word[1:]], kinds[-1] == "="  # -sb, -am
    allowed = " ".join(sorted(known))
    raise ToolError(
        f"git {subcommand} {word} is not allowed through this tool. Allowed: {allowed}. Anything else runs by Bash."
    )


def writes(subcommand: str, words: Words) -> bool:
    """Whether a call changes the repository or the work tree.

    A dry run of add or commit counts too: git looks into submodules for it as for the real one.
    """
    match subcommand:
        case "add" | "commit" | "restore":
            return True
        case "stash":
            return stash_action(words) not in ("list", "show")
        case "branch":
            names = {option.partition("=")[0] for option in words.options}
            return (
                not names.isdisjoint((*_BRANCH_WRITES, "--unset-upstream"))
                or any(option.startswith("-u") for option in words.options)
                or (bool(words.rest) and names.isdisjoint(_BRANCH_LISTS))
            )
        case _:
            return False


def stash_action(words: Words) -> str:
    """push, list, show, pop, apply or drop."""
    action = words.rest[0] if words.rest else "push"
    if action not in _STASH_ACTIONS:
        raise ToolError(f"git stash {action} is not allowed through this tool; it knows {', '.join(_STASH_ACTIONS)}.")
    return action
