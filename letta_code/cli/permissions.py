"""Show the rules about what may happen in a folder, say why a command would be allowed, or take a rule back."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Sequence
from pathlib import Path

from letta_code.cli._flags import HELP, Flag, here, parse, verb_help
from letta_code.core.errors import UsageError

FLAGS = (
    Flag(names=("--cwd",), metavar="DIR", help="The folder whose rules are meant (the current one)."),
    Flag(names=("--mode",), metavar="MODE", help="Judge by this mode.", choices=("plan", "ask", "auto", "full")),
    HELP,
)
USAGE = "permissions [why 'COMMAND' | remove 'RULE'] [flags]"


def run(argv: Sequence[str]) -> int:
    """List, explain one command, or take one rule back."""
    parsed = parse(argv, FLAGS)
    if parsed.on("help"):
        print(verb_help(USAGE, __doc__ or "", FLAGS))
        return 0
    words = parsed.words
    if words and words[0] not in ("why", "remove"):
        raise UsageError(f"There is no `permissions {words[0]}`.", hint=f"letta-code {USAGE}")
    if words and len(words) == 1:
        raise UsageError(f"{words[0].capitalize()} what?", hint=f"letta-code {USAGE}")
    folder = Path(parsed.text("cwd") or here()).expanduser()
    if not folder.is_dir():
        raise UsageError(f"There is no folder {folder}.")
    return asyncio.run(_told(str(folder.resolve()), parsed.text("mode"), words))


def _command(words: Sequence[str]) -> str:
    """One word is a text as it would stand in a shell, several are the words of a command."""
    import shlex

    return words[0] if len(words) == 1 else shlex.join(words)


async def _told(cwd: str, mode: str, words: Sequence[str]) -> int:
    from letta_code.agent.place import Place
    from letta_code.agent.port import SessionOptions
    from letta_code.config.paths import Paths
    from letta_code.config.settings import load
    from letta_code.safety.terminal import visible

    paths = Paths.find()
    loaded = load(cwd, paths=paths)
    place = Place(SessionOptions(cwd=cwd, settings=loaded.settings, mode=mode), paths)
    try:
        for notice in (*loaded.notices, *place.notices):
            print(f"{notice.level}: {notice.text}", file=sys.stderr)
        if words:
            known = place.permissions
            rest = words[1:]
            told = known.why(_command(rest)) if words[0] == "why" else (known.remove(" ".join(rest)),)
            print(*(visible(line).replace("\n", " ⏎ ") for line in told), sep="\n")
            return 0
        listing = place.permissions.listing()
        print(f"mode {listing.mode}", f"sandbox: {listing.sandbox}", sep="\n")
        print(*(visible(rule.name) for rule in listing.rules), sep="\n")
        if not listing.rules:
            print("no rules")
        elif {"user", "project"} & {rule.source for rule in listing.rules}:
            print("", "Take one back with: letta-code permissions remove 'RULE'", sep="\n")
    finally:
        await place.close()
    return 0
