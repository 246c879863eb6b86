"""Choose a model and its key; asks, or takes flags.

Keys found in the environment and model servers on this machine are offered; the choice is tried with one small call
and saved in ~/.letta (the key in a file that only you can read).
"""

from __future__ import annotations

import asyncio
import os
import signal
import sys
from collections.abc import Sequence
from typing import Any

from letta_code.cli._connecting import Connecting, Extras, checked_url, full_name, said_of
from letta_code.cli._flags import HELP, Flag, Parsed, here, parse, verb_help
from letta_code.config.settings import DIALECTS
from letta_code.core.errors import UsageError
from letta_code.tui.ports import ConnectChoice

FLAGS = (
    Flag(names=("-m", "--model"), metavar="NAME", help="The model: provider/model, or endpoint/model. Asks nothing."),
    Flag(names=("--endpoint",), metavar="NAME URL", values=2, help="Add a server, such as --endpoint lan http://…/v1."),
    Flag(names=("--dialect",), metavar="NAME", choices=DIALECTS, help="What the server speaks."),
    Flag(
        names=("--key-env",),
        metavar="VARIABLE",
        help="With --endpoint: read the key from this variable at every start. Else: save its value now.",
    ),
    Flag(names=("--key-stdin",), help="Read the key from stdin and save it."),
    Flag(names=("--keyring",), help="Keep the key in the desktop's keyring (needs letta-code[keyring])."),
    Flag(names=("--no-test",), help="Save without the small call."),
    HELP,
)


def run(argv: Sequence[str]) -> int:
    """Play the wizard, or do what the flags say; 0 when a model was saved, 1 when not."""
    return choose_model(argv, "configure", __doc__ or "")


def choose_model(argv: Sequence[str], verb: str, about: str) -> int:
    """The model step, under the verb that was typed; `about` is what its help says."""
    parsed = parse(argv, FLAGS)
    if parsed.on("help"):
        print(verb_help(f"{verb} [flags]", about, FLAGS))
        return 0
    if parsed.words:
        raise UsageError(f"{verb} takes flags only, and this is none: {parsed.words[0]}.")
    extras = Extras(key_env=parsed.text("key_env") if parsed.on("endpoint") else "", keyring=parsed.on("keyring"))
    connecting = Connecting(here(), extras=extras)
    if parsed.on("model") or parsed.on("endpoint"):
        return asyncio.run(_by_flags(parsed, connecting))
    if not (os.isatty(0) and os.isatty(1)):
        raise UsageError(f"{verb} asks questions, and there is no terminal.", hint="Use --model; see --help.")
    # asyncio's own handler would let a blocking input() go on after Ctrl-C.
    signal.signal(signal.SIGINT, _interrupted)
    from letta_code.cli._wizard import play

    try:
        name = asyncio.run(play(connecting, ask, print, test=not parsed.on("no_test")))
    except (EOFError, KeyboardInterrupt):
        print("\nNothing was saved.")
        return 1
    if name:
        asyncio.run(_default_agent())
    print("Start with: letta-code" if name else "Nothing was saved.")
    return 0 if name else 1


async def _default_agent() -> None:
    """Make the agent that a first start would make, so that it can be named and described before."""
    from letta_code.cli._store import open_store

    with open_store() as store:
        await store.agents.ensure_default()


async def _by_flags(parsed: Parsed, connecting: Connecting) -> int:
    if not parsed.text("model"):
        raise UsageError("--endpoint needs --model.", hint="--model NAME, as the server calls it.")
    name, url = parsed.flags.get("endpoint") or ("", "")
    model = parsed.text("model")
    endpoint = name or model.partition("/")[0]
    choice = ConnectChoice(
        model=model,
        endpoint=endpoint if name or "/" in model else "",
        base_url=checked_url(url) if url else "",
        dialect=parsed.text("dialect") or "openai",
        key=_key(parsed),
    )
    if not parsed.on("no_test"):
        print(f"{full_name(choice)}: {await connecting.test(choice)}")
    saved = await connecting.save(choice)
    await _default_agent()
    print(*said_of(connecting.notices), f"Saved: {saved}", sep="\n")
    return 0


def _key(parsed: Parsed) -> str:
    if parsed.on("key_stdin"):
        key = sys.stdin.readline().strip()
        if not key:
            raise UsageError("There is no key on stdin.")
        return key
    variable = parsed.text("key_env")
    if not variable or parsed.on("endpoint"):
        return ""
    key = os.environ.get(variable, "").strip()
    if not key:
        raise UsageError(f"The variable {variable} is not set.")
    return key


async def ask(prompt: str, *, secret: bool = False) -> str:
    """A line from the terminal."""
    if secret:
        from getpass import getpass

        return getpass(prompt)
    return input(prompt)  # noqa: ASYNC250 - nothing else runs on this loop while the wizard waits


def _interrupted(number: int, frame: Any) -> None:
    raise KeyboardInterrupt
