"""Do what a prompt says: here and now, or with --background in a process that outlives this terminal."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Sequence

import msgspec

from letta_code.cli import _start
from letta_code.cli._flags import HELP, Flag, Parsed, parse, verb_help
from letta_code.core.errors import UsageError

FLAGS = (
    Flag(names=("-b", "--background"), help="Begin it in the background and return at once; it survives everything."),
    Flag(
        names=("--unattended",),
        help="Background: nobody will answer; what would be asked is denied with a reason, as in a pipe.",
    ),
    Flag(
        names=("--client-id",),
        metavar="ID",
        help="Background: your name for the message; said again with it, nothing is sent or begun twice.",
    ),
    Flag(names=("--json",), help="Background: print one JSON object with the ids."),
    *(flag for flag in _start.FACE if flag.key != "plain"),
    *(flag for flag in _start.PRINT if flag.key in ("prompt_file", "output_format", "quiet")),
    HELP,
)


def run(argv: Sequence[str]) -> int:
    """Run a prompt; the exit code of a headless run, or 0 when it was begun in the background."""
    parsed = parse(argv, FLAGS)
    if parsed.on("help"):
        print(verb_help('run ["PROMPT"] [flags]', __doc__ or "", FLAGS))
        return 0
    if len(parsed.words) > 1:
        raise UsageError(f"These are {len(parsed.words)} prompts.", hint='Put it in quotes: letta-code run "fix it"')
    own = ("background", "unattended", "json", "client_id")
    flags = {key: value for key, value in parsed.flags.items() if key not in own}
    if parsed.words:
        flags["print"] = parsed.words[0]
    prompted = Parsed(flags=flags)
    if parsed.on("background"):
        return _background(parsed, prompted)
    for flag in ("unattended", "json", "client_id"):
        if parsed.on(flag):
            raise UsageError(f"--{flag.replace('_', '-')} needs --background.")
    return _start.print_run(prompted)


def _background(parsed: Parsed, prompted: Parsed) -> int:
    from msgspec.structs import replace

    from letta_code.agent.beginning import begin
    from letta_code.agent.contained import bare
    from letta_code.config.paths import Paths

    for flag in ("output_format", "quiet"):
        if parsed.on(flag):
            raise UsageError(f"--{flag.replace('_', '-')} and --background do not go together.",
                             hint="`letta-code follow` prints what comes of it.")  # fmt: skip
    options, notices = _start.session_options(prompted, "headless")
    without = bare(options.settings.sandbox, options.settings.mode)
    for notice in (*notices, *([without] if without else ())):
        print(f"{notice.level}: {notice.text}", file=sys.stderr)
    options = replace(options, interactive=not parsed.on("unattended"), face="run")
    if parsed.words and not parsed.words[0].strip():
        raise UsageError("The prompt is empty.", hint='Give one: letta-code run --background "fix the failing test"')
    begun = asyncio.run(begin(options, _start.prompt_of(prompted), Paths.find(), client_id=parsed.text("client_id")))
    if parsed.on("json"):
        print(msgspec.json.encode(begun).decode())
        return 0
    if begun.known:
        print(f"This message was said before, in {begun.conversation_id}; nothing was begun again.")
    elif begun.sent_to:
        print(f"{begun.conversation_id} is run by {begun.sent_to}; your message was sent there.")
    else:
        print(f"{begun.run_id} goes on in the background (process {begun.pid}), in {begun.conversation_id}.")
    name = begun.run_id or begun.conversation_id
    print(f"  follow it  letta-code follow {name}")
    if not parsed.on("unattended"):
        print(f"  answer it  letta-code runs answer {name} yes|no     (where it asks)")
    print(f"  stop it    letta-code runs stop {name}")
    return 0
