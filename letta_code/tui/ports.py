"""Ports: what the screen needs from other rooms beside the session; the command line hands them in."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from typing import Protocol, TypeAlias

from letta_code.agent.folder_trust import TrustQuestion
from letta_code.agent.port import SessionOptions, SessionPort
from letta_code.core.display import ShellBlock
from letta_code.core.events import Notice
from letta_code.core.messages import Value
from letta_code.tui.places import git_branch, list_files

OpenSession: TypeAlias = Callable[[SessionOptions], Awaitable[SessionPort]]


class ConversationRow(Value):
    """One line of the resume list; `when` is for people (`2 h ago`), `agent` a name where there are several.

    `opening` is the first line that the person wrote; `running`: some process has it open now.
    """

    id: str
    title: str
    when: str = ""
    folder: str = ""
    agent: str = ""
    messages: int = 0
    opening: str = ""
    running: bool = False


class RunRow(Value):
    """One line of the runs list: a run that goes on, or ended lately.

    `status` is for people (running, waits for you, failed …), `since` how long it took or takes, `open` whether it goes
    on, `waits` whether it waits for an answer, `background` whether it has no face.
    """

    id: str
    conversation_id: str
    status: str
    title: str = ""
    folder: str = ""
    since: str = ""
    open: bool = False
    waits: bool = False
    background: bool = False


class ModelRow(Value):
    """One line of the model list; `note` is the window and the price, for people."""

    name: str
    note: str = ""


class ConnectChoice(Value):
    """A way to reach a model: `key` is empty where the environment or the credentials have it already."""

    model: str
    label: str = ""
    note: str = ""
    endpoint: str = ""
    base_url: str = ""
    dialect: str = "openai"
    key: str = ""


class ConnectPort(Protocol):
    """The model step of `letta-code configure`.  Called on the core's loop, never on the screen's."""

    async def found(self, *, servers: bool = True) -> Sequence[ConnectChoice]:
        """What can be used now: keys, endpoints of the settings and, with `servers`, local servers that answer.

        Without `servers` nothing is connected to.
        """
        ...

    async def models(self, choice: ConnectChoice) -> Sequence[ModelRow]:
        """The models that an endpoint lists; empty where it does not say."""
        ...

    async def test(self, choice: ConnectChoice) -> str:
        """One small call; returns what the model answered, raises `LettaError` when it failed."""
        ...

    async def save(self, choice: ConnectChoice) -> str:
        """Keep it as the model to use; returns the model's full name.  The key goes to a 0600 file."""
        ...


class Lists(Protocol):
    """What the pickers list.  Called on the core's loop."""

    async def conversations(self) -> Sequence[ConversationRow]:
        """Conversations that can be resumed, newest first."""
        ...

    async def runs(self) -> Sequence[RunRow]:
        """Runs of all folders: those that go on, then those that ended lately; newest first."""
        ...

    async def models(self) -> Sequence[ModelRow]:
        """Models that can be used."""
        ...


class PersonShell(Protocol):
    """Runs what a person typed after `!`.  Called on the core's loop; being cancelled kills the command."""

    async def run(self, command: str, on_output: Callable[[str], None]) -> ShellBlock:
        """Run it in the work tree's shell and give what it printed."""
        ...


class Ports(Value):
    """All of them; None where a port is not there, and the screen says so when it is asked for.

    `list_files` and `git_branch` take the folder and are called on the core's loop.  `trust` is asked before a session
    is opened, where the person is to say whether the folder's own settings may be used; `notices` are told at first.
    """

    trust: TrustQuestion | None = None
    notices: tuple[Notice, ...] = ()

    connect: Callable[[], ConnectPort] | None = None
    lists: Callable[[], Lists] | None = None
    shell: Callable[[], PersonShell] | None = None
    list_files: Callable[[str], Awaitable[Sequence[str]]] = list_files
    git_branch: Callable[[str], Awaitable[str]] = git_branch
