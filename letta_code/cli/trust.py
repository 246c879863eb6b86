"""Trust a folder: let its own settings, servers, skills, commands and hooks be used.

Without DIR it is this folder. What there is is shown and remembered with a hash of every file; when one changes or a
new one comes, you are asked again (not for AGENTS.md and CLAUDE.md: later versions are meant too). A project can never
set an endpoint, a key, a proxy or the mode, trusted or not.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path

import msgspec
from msgspec.structs import replace

from letta_code.agent import folder_trust
from letta_code.cli._flags import HELP, Flag, Parsed, here, parse, verb_help
from letta_code.config.paths import Paths
from letta_code.core.counts import many
from letta_code.core.errors import UsageError
from letta_code.safety.terminal import visible
from letta_code.safety.trust import Consent, Standing, not_used, shown

FLAGS = (
    Flag(names=("--show",), help="Only show what of the folder would be used, and how you answered for it."),
    Flag(names=("-l", "--list"), help="List the folders that you answered for."),
    Flag(names=("--forget",), help="Take your answer for the folder back: it is asked about again."),
    Flag(names=("--json",), help="With --list: as JSON."),
    HELP,
)


def run(argv: Sequence[str]) -> int:
    """Trust, list or forget; 1 when there was nothing to forget."""
    parsed = parse(argv, FLAGS)
    if parsed.on("help"):
        print(verb_help("trust [DIR] [flags]", __doc__ or "", FLAGS))
        return 0
    if len(parsed.words) > 1:
        raise UsageError(f"One folder at a time, and these are {len(parsed.words)}.")
    paths = Paths.find()
    if parsed.on("list"):
        return _list(paths, as_json=parsed.on("json"))
    if parsed.on("forget"):
        return _forget(parsed, paths)
    return _show(_folder(parsed), paths) if parsed.on("show") else _trust(_folder(parsed), paths)


def _folder(parsed: Parsed) -> Path:
    folder = Path(parsed.words[0]).expanduser() if parsed.words else here()
    if not folder.is_dir():
        raise UsageError(f"There is no folder {folder}.")
    return folder


def _shown(folder: Path, paths: Paths) -> Standing | None:
    """Print all there is; None where nothing of it needs trust, which is said."""
    from letta_code.agent.repository_hooks import hooks_of

    looked = folder_trust.to_show(folder_trust.look(folder, paths))
    looked = replace(looked, hooks=hooks_of(looked.root))
    for notice in looked.notices:
        print(f"{notice.level}: {visible(notice.text)}")
    if not looked.pinned and not looked.hooks and not looked.instructions:
        print(f"{visible(looked.root)} has nothing that needs trust; its files are read as your own work.")
        return None
    for thing in shown(looked):
        print(thing.title, *(f"    {line}" for line in thing.lines), sep="\n")
        if thing.more:
            print(f"    … {many(thing.more, 'line')} more")
    return looked


def _trust(folder: Path, paths: Paths) -> int:
    looked = _shown(folder, paths)
    if looked is None:
        return 0
    folder_trust.answer(looked, paths, trusted=True)
    until = "until it changes" if looked.pinned or looked.hooks else "later versions too"
    print(f"{visible(looked.root)} is trusted with this, {until}.")
    print("Take it back with: letta-code trust --forget")
    return 0


def _show(folder: Path, paths: Paths) -> int:
    looked = _shown(folder, paths)
    if looked is not None:
        print(f"{visible(looked.root)} is trusted." if looked.trusted else not_used(looked))
    return 0


def _forget(parsed: Parsed, paths: Paths) -> int:
    named = parsed.words[0] if parsed.words else str(here())
    folder = os.path.realpath(os.path.expanduser(named))
    from letta_code.agent.facts import project_root

    roots = dict.fromkeys((folder, os.path.realpath(project_root(folder))))  # the folder itself may be gone by now
    forgotten = [folder_trust.forget(root, paths) for root in roots]
    if any(forgotten):
        print(f"Your answer for {visible(folder)} is forgotten.")
        return 0
    print(f"There is no answer for {visible(folder)}.")
    return 1


def _list(paths: Paths, *, as_json: bool) -> int:
    found = folder_trust.answers(paths)
    if as_json:
        rows = [{"root": one.root, "trusted": one.trusted, "at": one.at, "files": list(one.files),
                 "hooks": list(one.hooks)} for one in found]  # fmt: skip
        print(msgspec.json.format(msgspec.json.encode(rows)).decode())
        return 0
    from letta_code.commands.wording import ago, columns

    rows_ = [(_word(one), visible(one.root), _what(one), ago(one.at) if one.at else "") for one in found]
    print(*columns(rows_), sep="\n") if rows_ else print("You have answered for no folder yet.")
    return 0


def _word(consent: Consent) -> str:
    return {True: "trusted", False: "not trusted", None: "hooks only"}[consent.trusted]


def _what(consent: Consent) -> str:
    return many(len(consent.files) + len(consent.hooks), "file")
