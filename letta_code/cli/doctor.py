"""Look at the store, memory, index, settings, disk, tools, sandbox, terminal and model: what is wrong, what mends it.

Each thing that is wrong comes with the one command that mends it. Nothing is changed without --fix, which does only
what cannot lose anything and names it before; the network is used only with --online. CHECK limits it to some checks:
store memory index config disk tools sandbox terminal models. Exit code 0 when nothing is wrong, 1 when something is.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING

import msgspec

from letta_code.cli._flags import HELP, Flag, Parsed, here, parse, seconds_of, verb_help
from letta_code.core.errors import UsageError

if TYPE_CHECKING:
    from letta_code.agent.doctor.base import Finding, Look

FLAGS = (
    Flag(names=("--fix",), help="Do the safe mends: rights, dead locks, damaged index, readable copies."),
    Flag(names=("--online",), help="Ask the model one small question, too."),
    Flag(names=("--seconds",), metavar="TIME", help="How long to read a large database (30s)."),
    Flag(names=("--json",), help="All findings as one JSON array."),
    HELP,
)


def run(argv: Sequence[str]) -> int:
    """Print what was found as it comes; 1 when something is wrong."""
    parsed = parse(argv, FLAGS)
    if parsed.on("help"):
        print(verb_help("doctor [CHECK …] [flags]", __doc__ or "", FLAGS))
        return 0
    from letta_code.agent.doctor.base import Look, examine, load_checks
    from letta_code.config.paths import Paths

    known = [one.name for one in load_checks()]
    for word in parsed.words:
        if word not in known:
            raise UsageError(f"There is no check {word!r}.", hint=f"There is: {', '.join(known)}.")
    seconds = seconds_of(parsed.text("seconds"), "--seconds") if parsed.on("seconds") else 30.0
    look = Look(paths=Paths.find(), cwd=str(here()), online=parsed.on("online"), seconds=seconds)
    found = _told(examine(look, parsed.words), parsed)
    if parsed.on("fix"):
        _fix(found, look, quiet=parsed.on("json"))
        found = list(examine(look, parsed.words))
        if not parsed.on("json"):
            from letta_code.commands.doctor import summary

            print(f"\nAfterwards: {summary(found)}")
    if parsed.on("json"):
        print(msgspec.json.format(msgspec.json.encode(found)).decode())
    return _ended(1 if any(one.state == "wrong" for one in found) else 0)


def _ended(code: int) -> int:
    """A check that was left alone may sit in the kernel: it must not keep the program from ending."""
    import sys
    import threading

    if any(one.name.startswith("doctor-") for one in threading.enumerate()):
        sys.stdout.flush()
        os._exit(code)
    return code


def _told(findings: Iterable[Finding], parsed: Parsed) -> list[Finding]:
    if parsed.on("json"):
        return list(findings)
    from letta_code.commands.doctor import MARKS, summary
    from letta_code.safety.terminal import visible

    found: list[Finding] = []
    last = ""
    for one in findings:
        if one.check != last:
            print(("\n" if last else "") + one.check, flush=True)
            last = one.check
        print(f"  {MARKS[one.state]} {visible(one.says)}")
        if one.means:
            print(f"      {visible(one.means)}")
        if one.mend:
            print(f"      → {visible(one.mend)}", flush=True)
        found.append(one)
    print(f"\n{summary(found)}")
    return found


def _fix(found: Sequence[Finding], look: Look, *, quiet: bool) -> None:
    from letta_code.agent.doctor.mends import do, told
    from letta_code.core.counts import many

    mends = list(dict.fromkeys(one.fix for one in found if one.fix is not None))
    if not quiet:
        print("\n--fix: " + (f"{many(len(mends), 'mend')}." if mends else "there is nothing that it mends by itself."))
    for mend in mends:
        if not quiet:
            print(f"  I {told(mend)} …", end=" ", flush=True)
        why = do(mend, look)
        if not quiet:
            print(f"not done: {why}" if why else "done.")
