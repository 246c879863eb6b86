"""Bring a backup back; what is there now is moved aside, never overwritten, and can be put back by the same command.

FILE is what `letta-code backup` wrote, or a folder before-restore-… of an earlier restore. It is checked byte by byte
first, shows what it would do and asks; settings and rules that let the agent do more than now are asked about by
themselves. With --salvage no backup is needed: a damaged database is moved aside and built anew from the readable
copies of the conversations, the newest good copy of the database, and what it still gives.
"""

from __future__ import annotations

import os
import re
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec

from letta_code.cli._flags import HELP, Flag, Parsed, here, parse, verb_help
from letta_code.config.paths import Paths
from letta_code.core.counts import many
from letta_code.core.errors import UsageError
from letta_code.safety.terminal import visible

if TYPE_CHECKING:
    from letta_code.agent.saving.restoring import Plan
    from letta_code.store.backing import Contents

FLAGS = (
    Flag(names=("-y", "--yes"), help="Do not ask."),
    Flag(names=("--with-settings",), help="With settings and rules that let the agent do more than now."),
    Flag(names=("--dry-run",), help="Only check it and show what would be done."),
    Flag(names=("--salvage",), help="Build a damaged database anew from what survived."),
    Flag(names=("--json",), help="What would be done, or was done, as JSON."),
    HELP,
)


def run(argv: Sequence[str]) -> int:
    """Restore or salvage; 0 when it was done, 1 when not."""
    parsed = parse(argv, FLAGS)
    if parsed.on("help"):
        print(verb_help("restore FILE|--salvage [flags]", __doc__ or "", FLAGS))
        return 0
    if len(parsed.words) != (0 if parsed.on("salvage") else 1):
        raise UsageError(
            "restore takes one backup, or --salvage.", hint="`letta-code backup` writes one; --help says more."
        )
    return _salvage(parsed) if parsed.on("salvage") else _restore(parsed)


def _restore(parsed: Parsed) -> int:
    from letta_code.agent.saving.restoring import plan, restore

    paths, source = Paths.find(), (here() / Path(parsed.words[0]).expanduser())
    wanted, manifest = plan(paths, source)
    if parsed.on("json") and parsed.on("dry_run"):
        print(msgspec.json.format(msgspec.json.encode(wanted)).decode())
        return 0
    if not parsed.on("json"):
        print(*_shown(wanted, paths), sep="\n")
    if parsed.on("dry_run"):
        print("\nNothing was changed (--dry-run).")
        return 0
    if not _agreed(parsed):
        print("Nothing was changed.")
        return 1
    without = () if _taken(wanted, parsed) else tuple(wanted.loosened)
    aside = restore(paths, source, manifest, without)
    if parsed.on("json"):
        done = {"restored": str(source), "aside": str(aside or ""), "left_out": without}
        print(msgspec.json.encode(done).decode())
        return 0
    print(f"\nRestored from {source}.")
    if without:
        print(f"Left out: {', '.join(without)}. With --with-settings they are taken over, too.")
    if aside is not None:
        print(f"What was there before is in {aside}.\nPut it back with: letta-code restore {aside}")
    return 0


def _shown(plan: Plan, paths: Paths) -> list[str]:
    from letta_code.core.counts import size

    by = f", by letta-code {plan.version}" if plan.version else ""
    amount = f"{many(plan.files, 'file')}, {size(plan.size)}, all sound" if plan.size else many(plan.files, "part")
    lines = [f"{plan.source}: of {_moment(plan.created_at)}{by}; {amount}.", f"It brings: {_counted(plan.comes)}."]
    if not plan.aside:
        return [*lines, f"{paths.home} holds nothing that it would replace.", *_warned(plan)]
    there = plan.trouble or _counted(plan.there)
    lines.append(f"There now: {there}. It is moved aside to a folder before-restore-… in {paths.home}.")
    stays = [
        name
        for name in ("config.yaml", "credentials.yaml")
        if name not in plan.brought and (paths.home / name).exists()
    ]
    if stays:
        lines.append(f"Stays as it is: {', '.join(stays)}.")
    return [*lines, *_warned(plan)]


def _moment(text: str) -> str:
    """`20261121T103149-9c4c`, from the name of a folder, and `2026-11-21T10:31:49.123Z` as people write it."""
    found = re.match(r"(\d{4})-?(\d\d)-?(\d\d)T(\d\d):?(\d\d)", text)
    return f"{found[1]}-{found[2]}-{found[3]} {found[4]}:{found[5]} UTC" if found else visible(text)


def _warned(plan: Plan) -> list[str]:
    """What in the backup would do something by itself."""
    lines: list[str] = []
    if plan.loosened:
        lines.append("! Its settings would change what the agent may do and where it sends what you say:")
        lines += [f"    {line}" for told in plan.loosened.values() for line in told[:20]]
        lines.append(f"  {', '.join(plan.loosened)}: only taken over when you say so (--with-settings).")
    for names, says in (
        (plan.plain, "Not taken over, as git would act on it (letta-code writes its own settings for memory)"),
        (plan.acting, "! Git acts on these in the folders of other repositories: look before you use git there"),
    ):
        if names:
            more = f" and {len(names) - 5} more" if len(names) > 5 else ""
            lines.append(f"{says}: {', '.join(names[:5])}{more}.")
    return lines


def _taken(plan: Plan, parsed: Parsed) -> bool:
    """Whether the person wants the settings that allow more: asked by itself, as --yes is typed without looking."""
    if not plan.loosened or parsed.on("with_settings"):
        return True
    if parsed.on("yes") or parsed.on("json"):
        return False
    return _asked(f"Take over {', '.join(plan.loosened)}, too? [y/N] ")


def _counted(held: Contents | None) -> str:
    if held is None:
        return "no database"
    counts = ((held.conversations, "conversation"), (held.events, "event"), (held.agents, "agent"))
    return ", ".join(many(number, what) for number, what in (*counts, (held.passages, "passage")))


def _agreed(parsed: Parsed) -> bool:
    if parsed.on("yes"):
        return True
    if not (os.isatty(0) and os.isatty(1)):
        raise UsageError("There is no terminal to ask. Nothing was changed.", hint="Give --yes to go on.")
    return _asked("Go on? [y/N] ")


def _asked(question: str) -> bool:
    try:
        return input(question).strip().lower() in ("y", "yes")
    except (EOFError, KeyboardInterrupt):
        return False


def _needless(held: Contents, paths: Paths, parsed: Parsed) -> int:
    """A sound database is not built anew: what only it knows, such as which runs were done, would be lost."""
    if parsed.on("json"):
        print(msgspec.json.encode({"sound": held, "aside": ""}).decode())
    else:
        print(f"{paths.database} is sound ({_counted(held)}): there is nothing to salvage. Nothing was changed.")
    return 0


def _salvage(parsed: Parsed) -> int:
    from letta_code.agent.saving.restoring import alone
    from letta_code.agent.saving.salvaging import newest_good_copy, salvage, whole
    from letta_code.core.errors import LettaError
    from letta_code.store.backing import verified

    paths = Paths.find()
    if paths.home.is_dir() and not parsed.on("dry_run"):
        with alone(paths):
            pass  # what another process writes now would look like damage
    if held := whole(paths):
        return _needless(held, paths, parsed)
    backup = newest_good_copy(paths)
    if not parsed.on("json"):
        try:
            held = verified(paths.database, shared=True)
            print(f"{paths.database} can be read ({_counted(held)}); not all that belongs to it is there.")
        except LettaError as error:
            print(str(error))
        print(f"The newest good copy of the database is {backup or 'none'}. The old file is moved aside and kept.")
    if parsed.on("dry_run"):
        print("Nothing was changed (--dry-run).")
        return 0
    if not _agreed(parsed):
        print("Nothing was changed.")
        return 1
    done = salvage(paths)
    if parsed.on("json"):
        print(msgspec.json.format(msgspec.json.encode(done)).decode())
        return 0
    print(f"\nBuilt anew: {many(done.conversations, 'conversation')} with {many(done.events, 'event')}.")
    if done.completed:
        print(f"{done.completed} readable copies were damaged or not whole, and were written anew.")
    print(*(f"Set aside: {line}" for line in done.problems[:20]), sep="\n", end="\n" if done.problems else "")
    print(f"The old files are in {done.aside}.")
    return 0
