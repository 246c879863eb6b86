"""SessionPort: what a face may do with a conversation, and the options to open one."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from typing import TYPE_CHECKING, Protocol

from letta_code.config.settings import Settings
from letta_code.core.events import ContextCompacted, Event, LiveEvent, RequestAnswered, RunFinished
from letta_code.core.messages import ContentPart, Usage, Value
from letta_code.core.requests import Answer
from letta_code.llm.model import ModelInfo
from letta_code.safety.containment import Containment

if TYPE_CHECKING:
    from letta_code.agent.checkpoints import Checkpoints
    from letta_code.agent.context import Section
    from letta_code.agent.permissions import Permissions
    from letta_code.agent.reflection import Reflection
    from letta_code.memory.desk import Desk
    from letta_code.store.database import Store


class SessionOptions(Value):
    """How to open a session.

    `conversation` is an id, `last` (the newest of this folder) or "" for a new one; `interactive` says whether somebody
    can answer questions; `background` that runs go on without a face (answers may come later); `agent` is the one that
    this start asked for (the setting of that name holds for new conversations only); `face` names who opens it (tui,
    headless, plain, worker).
    """

    cwd: str
    settings: Settings
    conversation: str = ""
    model: str = ""
    mode: str = ""
    agent: str = ""
    interactive: bool = True
    background: bool = False
    face: str = "tui"
    allow: tuple[str, ...] = ()
    deny: tuple[str, ...] = ()
    trusted: bool = False  # whether the folder's own settings, hooks, skills … may be used
    trusted_as: str = ""  # a digest of what was trusted, for a process that goes on with the run


class Status(Value):
    """What a status bar shows.  `model` is "" while none is configured; cost None where no price is known."""

    conversation_id: str
    agent_id: str
    agent: str = ""  # its name
    several: bool = False  # whether there are other agents
    title: str = ""
    cwd: str = ""
    model: str = ""
    mode: str = "ask"
    running: bool = False
    run_id: str = ""
    context_tokens: int = 0
    window: int = 0
    compact_at: int = 0  # tokens at which the context is compacted
    usage: Usage = Usage()
    cost: float | None = None
    background: bool = False  # whether the run goes on without a face
    containment: Containment = Containment()  # what holds commands, once `contained` was asked; before, it says nothing
    owner: str = ""  # whose process runs the conversation, for people; "" when it is this one
    queued: tuple[str, ...] = ()  # client ids of messages not yet delivered
    last_seq: int = 0


class SessionPort(Protocol):
    """One open conversation.  All calls are made on the core's event loop."""

    @property
    def status(self) -> Status:
        """A snapshot; cheap."""
        ...

    async def contained(self) -> Containment:
        """What holds commands; found out in a thread when first asked (some 20 ms), and in the status from then on."""
        ...

    @property
    def model_info(self) -> ModelInfo | None:
        """What is known of the current model, None while none is configured."""
        ...

    @property
    def memory(self) -> Desk:
        """The agent's memory as this conversation uses it; raises `ConfigError` where there is none."""
        ...

    @property
    def store(self) -> Store:
        """Where conversations and agents are kept; raises `ConfigError` where there is none."""
        ...

    async def send(self, content: str | tuple[ContentPart, ...], *, client_id: str = "") -> str:
        """Say something to the agent; starts a run, or queues it while one is going on.

        Returns the client id; the message is durable then.  Sending the same client id again changes nothing.
        Without a model the message is kept and `ConfigError` raised.
        """
        ...

    async def unqueue(self, client_id: str) -> bool:
        """Take a queued message back; False when it was delivered already."""
        ...

    async def answer(self, request_id: str, answer: Answer, by: str) -> RequestAnswered:
        """Answer a request; the first answer wins and is returned, whoever gave it."""
        ...

    async def interrupt(self) -> None:
        """Stop the run now; returns when the history is balanced and durable."""
        ...

    async def to_background(self, by: str) -> str:
        """Let a process without a face go on with the run from the next step boundary; returns the run's id.

        The session is at its end then (`events` ends).  "" when nothing runs; nothing is changed then.
        """
        ...

    async def detach(self, by: str) -> None:
        """Have the runs of this process go on without a face: should it die, another takes them up.

        For a face whose terminal has gone away.  Nothing happens where another process runs the conversation.
        """
        ...

    async def take_over(self, by: str) -> None:
        """Make the owner give this conversation away at its next step boundary; `events` ends then: open it again.

        Raises `UsageError` where it is this process's already, `LettaError` when the owner does not answer.
        """
        ...

    async def set_mode(self, mode: str) -> None:
        """plan, ask, auto or full."""
        ...

    async def set_model(self, name: str) -> None:
        """Use another model from the next step on; raises `ConfigError` and changes nothing when it cannot be used."""
        ...

    async def rename(self, title: str) -> None:
        """Give the conversation a title."""
        ...

    async def compact(self, instructions: str = "") -> ContextCompacted:
        """Summarise older messages now, or at the next step of a run that goes on; returns when that is durable.

        `instructions` say what the person wants to be kept.  Raises `LettaError` when there is nothing to compact.
        """
        ...

    @property
    def reflection(self) -> Reflection:
        """What reads the conversation again behind the scenes, and what of it waits for a decision."""
        ...

    async def reflect(self, focus: str = "") -> str:
        """Read what was said since the last reflection again, behind the scenes, and bring memory up to date.

        `focus` says what the person finds important.  Returns at once, with a sentence for the person; what came of it
        is told by a `ReflectionDone`.
        """
        ...

    @property
    def checkpoints(self) -> Checkpoints:
        """Points to come back to, and the way there; raises `UsageError` where another process runs it."""
        ...

    @property
    def permissions(self) -> Permissions:
        """The rules in force; raises `UsageError` where another process runs it."""
        ...

    def context_sections(self) -> Sequence[Section]:
        """All parts of the context with their tokens, in the order in which they are sent."""
        ...

    def context_request(self) -> bytes:
        """The next request as JSON: the very bytes that are sent where the model's client can tell them."""
        ...

    def events(self, after: int = 0) -> AsyncIterator[Event | LiveEvent]:
        """Stored events after a seq, then everything as it happens (the current partial text first).

        Ends when the session is closed, and when the conversation has got another owner: then it can be opened again.
        """
        ...

    async def idle(self) -> RunFinished | None:
        """Wait until no run goes on and none is queued; the last run's end."""
        ...

    async def close(self) -> None:
        """Interrupt what runs, give everything back; the conversation can be opened again."""
        ...
