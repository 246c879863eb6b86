"""Slash commands: a function with a docstring each, in one file each; no face is imported."""

from __future__ import annotations

import importlib
import pkgutil
from collections.abc import Callable, Coroutine
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

from letta_code.agent.port import SessionPort
from letta_code.config.settings import Settings
from letta_code.core.display import DisplayBlock
from letta_code.core.messages import Value

if TYPE_CHECKING:
    from letta_code.store.database import Store


class Outcome(Value):
    """What a command wants its face to do; everything left out is nothing.

    `say` is text (Markdown) for the person and never for the model; `open` is "new" or a conversation id; `show` names
    a screen or card of the face (help, connect, diff, models, resume, rewind); `send` is a message to the agent;
    `prompt` are words that go back to the prompt, to be changed and sent again.
    """

    say: str = ""
    blocks: tuple[DisplayBlock, ...] = ()
    open: str = ""
    show: str = ""
    send: str = ""
    prompt: str = ""
    quit: bool = False


class CommandContext(Protocol):
    """What a command is given."""

    @property
    def session(self) -> SessionPort: ...

    @property
    def settings(self) -> Settings: ...

    @property
    def store(self) -> Store: ...


class Context(Value):
    """What a face gives to a command."""

    session: SessionPort
    settings: Settings

    @property
    def store(self) -> Store:
        """Where the session keeps conversations and agents."""
        return self.session.store


Run = Callable[[CommandContext, str], Coroutine[Any, Any, Outcome]]


class Command(Value):
    """A command: `name` without its slash; `help` is the first line of its docstring, `usage` its arguments."""

    name: str
    help: str
    details: str
    usage: str
    run: Run
    aliases: tuple[str, ...] = ()


_registry: dict[str, Command] = {}


def command(name: str, *, usage: str = "", aliases: tuple[str, ...] = ()) -> Callable[[Run], Run]:
    """Register a function as `/name`; its docstring is the help text."""

    def register(run: Run) -> Run:
        lines = (run.__doc__ or "").strip().splitlines() or [""]
        details = "\n".join(line.strip() for line in lines[1:]).strip()
        _registry[name] = Command(name=name, help=lines[0], details=details, usage=usage, run=run, aliases=aliases)
        return run

    return register


def load_commands() -> dict[str, Command]:
    """Every command by its name, in order."""
    for module in pkgutil.iter_modules([str(Path(__file__).parent)]):
        if module.name != "base":
            importlib.import_module(f"letta_code.commands.{module.name}")
    return dict(sorted(_registry.items()))
