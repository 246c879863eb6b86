"""Follow a run to its end, live: in the full screen, or printed; it may run anywhere on this machine."""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence

from letta_code.agent.background import revive_one
from letta_code.agent.seeing_runs import find_run
from letta_code.cli import _start
from letta_code.cli._flags import HELP, Flag, Parsed, here_if_any, parse, verb_help
from letta_code.cli._store import open_store
from letta_code.config.paths import Paths
from letta_code.core.errors import UsageError
from letta_code.safety.terminal import visible
from letta_code.store.conversations import Conversation
from letta_code.store.runs import Run

FLAGS = (
    Flag(names=("--after",), metavar="SEQ", help="Printed: only stored events after this one (0: from the beginning)."),
    Flag(
        names=("--output-format",),
        metavar="FORMAT",
        choices=("text", "json", "stream-json"),
        help="Printed: the answer, one JSON object at the end, or every event as a line of JSON.",
    ),
    Flag(
        names=("--input-format",),
        metavar="FORMAT",
        choices=("text", "stream-json"),
        help="Printed: with stream-json, answers, messages and interrupts as lines of JSON on stdin.",
    ),
    Flag(names=("-q", "--quiet"), help="Printed: no progress on stderr, only errors."),
    Flag(names=("--plain",), help="In the plain line-by-line face."),
    HELP,
)
_PRINTED = ("after", "output_format", "input_format", "quiet")


def run(argv: Sequence[str]) -> int:
    """Follow; the exit code is the run's where it is printed to its end."""
    parsed = parse(argv, FLAGS)
    if parsed.on("help"):
        print(verb_help("follow RUN|CONVERSATION|last [flags]", __doc__ or "", FLAGS))
        return 0
    if len(parsed.words) != 1:
        raise UsageError("Which run?", hint="letta-code follow RUN, or: letta-code follow last")
    with open_store() as store:
        found = find_run(store, parsed.words[0], here_if_any())
        conversation = store.conversations.get(found.conversation_id)
        if found.is_open and found.background:
            revive_one(store, Paths.find(), found.conversation_id)  # a face would take a run up itself, and end with it
    if conversation is None:
        raise UsageError(f"The conversation of {found.id} is gone.", hint="letta-code runs --all lists the runs.")
    if not parsed.on("plain") and (any(map(parsed.on, _PRINTED)) or not _start.has_screen()):
        return _printed(parsed, found, conversation)
    if not os.path.isdir(conversation.cwd):
        print(
            visible(f"Its folder {conversation.cwd} is gone, so no face can open it; this is how it ended."),
            file=sys.stderr,
        )
        print(f"  All that was said: letta-code export {conversation.id} --format markdown", file=sys.stderr)
        return _printed(parsed, found, conversation)
    if any(map(parsed.on, _PRINTED)):
        raise UsageError("--plain does not go together with what is printed.", hint="Leave one of them out.")
    argv = ["--resume", found.conversation_id, "--cwd", conversation.cwd]
    return _start.run([*argv, "--plain"] if parsed.on("plain") else argv)


def _printed(parsed: Parsed, found: Run, conversation: Conversation) -> int:
    from letta_code.headless.following import FollowOptions, follow

    two_way = parsed.text("input_format") == "stream-json"
    form = parsed.text("output_format") or ("stream-json" if two_way else "text")
    if two_way and form != "stream-json":
        raise UsageError("--input-format stream-json needs --output-format stream-json.")
    after = _seq(parsed.text("after")) if parsed.on("after") else None
    how = FollowOptions(form=form, after=after, two_way=two_way, quiet=parsed.on("quiet"))
    return follow(found, conversation, how, Paths.find())


def _seq(text: str) -> int:
    if not (text.isascii() and text.isdigit() and len(text) <= 12):
        raise UsageError(f"--after {text}: it is the seq of an event, such as 0 or 42.")
    return int(text)
