"""Session: one open conversation: what was said is stored, runs are started and stopped, faces are told."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable, Sequence
from contextlib import AbstractContextManager, asynccontextmanager
from typing import TYPE_CHECKING, Protocol

from letta_code import __version__
from letta_code.agent.asking import Asking
from letta_code.agent.checkpoints import END_SECONDS, Checkpoints
from letta_code.agent.compacting.limits import Limits
from letta_code.agent.compacting.wish import Wishes
from letta_code.agent.context import Context, Counter, Section
from letta_code.agent.facts import project_root
from letta_code.agent.first_events import first_events
from letta_code.agent.guarded import Guarded
from letta_code.agent.handover import Handover
from letta_code.agent.head import Head, Toolset
from letta_code.agent.history import MEMORY, History
from letta_code.agent.ledger import ConversationJournal, Ledger, Listening
from letta_code.agent.looked import Looked
from letta_code.agent.port import SessionOptions, Status
from letta_code.agent.printed import Printed
from letta_code.agent.reflection import Reflection
from letta_code.agent.run import Run
from letta_code.agent.settling import Settling
from letta_code.agent.trees import Trees
from letta_code.agent.working import Activity, Working
from letta_code.core import events as ev
from letta_code.core.errors import ConfigError, LettaError, UsageError
from letta_code.core.ids import new_id
from letta_code.core.messages import ContentPart, TextPart, UserText, text_of
from letta_code.core.requests import Answer, Request
from letta_code.llm.model import ChatModel, ModelInfo
from letta_code.safety.containment import Containment
from letta_code.safety.terminal import visible
from letta_code.safety.vault import Vault, redacted

if TYPE_CHECKING:
    from letta_code.agent.permissions import Permissions
    from letta_code.agent.surroundings import Surroundings
    from letta_code.memory.desk import Desk
    from letta_code.store.database import Store

log = logging.getLogger(__name__)

OpenModel = Callable[[str], Awaitable[ChatModel]]


class Door(Protocol):
    """Where other processes come in to follow the session."""

    def shut(self) -> None:
        """Let nobody in any more; called before the conversation is free for another process."""
        ...

    async def ended(self) -> None:
        """Say goodbye to who is in; called when the conversation is free."""
        ...


class Session:
    """Implements `SessionPort` for faces on the same event loop."""

    def __init__(
        self,
        *,
        conversation_id: str,
        agent_id: str,
        agent: Callable[[], tuple[str, bool]] = lambda: ("", False),
        options: SessionOptions,
        journal: ConversationJournal,
        history: History,
        surroundings: Surroundings,
        open_model: OpenModel,
        counter: Counter,
        store: Store | None = None,
        notices: Sequence[ev.Notice] = (),
        quiet: Callable[[], Awaitable[None]] | None = None,
        printed: Printed | None = None,
        trees: Trees | None = None,
        vault: Vault | None = None,
        looked: Looked | None = None,
    ) -> None:
        self.conversation_id = conversation_id
        self.agent_id = agent_id
        self._agent = agent  # its name as it is now, and whether there are others
        self.options = options
        self.history = history
        self._store = store
        self.printed = printed or Printed()
        self.surroundings = surroundings
        self.desk = surroundings.desk
        self.vault = vault or Vault()
        self.context = Context(history, counter, Guarded(self.vault, looked))
        self.counter = counter
        self.limits = Limits(options.settings.context)
        self._notices = notices
        self._open_model = open_model
        self._model: ChatModel | None = None
        self._model_name = options.model or history.model or options.settings.model
        self._mode = options.mode or history.mode or options.settings.mode
        self.wishes = Wishes()
        self._sending = asyncio.Lock()
        self._working = Working(self._sending, self._following, self._rests)
        self._closing: asyncio.Task[None] | None = None
        self.door: Door | None = None
        self.handover = Handover(self, self._working)
        self._looked_back = False
        self._contained = Containment()  # not known yet
        self.reflection = Reflection(self, self.read, open_model)
        self._ledger = Ledger(journal, history, run_id=lambda: self._working.run_id, heard=self.reflection.heard)
        self._asking = Asking(
            self._ledger, interactive=options.interactive, face=options.face, approved=surroundings.remember
        )
        self.checkpoints = Checkpoints(self, trees)
        if self.desk is not None:  # what the agent did in what was taken back it does not know
            self.desk.blocks.forgotten = lambda seq: not history.view.counts(seq)
        self._settling = Settling(self.desk, counter.count, self.publish, quiet)
        surroundings.set_mode(self._mode)

    # ------------------------------------------------------------ what is

    @property
    def status(self) -> Status:
        """A snapshot for a status bar."""
        tokens, _ = self.context.tokens()
        info = self.model_info
        agent, several = self._agent()
        return Status(
            conversation_id=self.conversation_id,
            agent_id=self.agent_id,
            agent=agent,
            several=several,
            title=self.history.title,
            cwd=self.options.cwd,
            model=self._model_name,
            mode=self._mode,
            running=self.running,
            run_id=self._working.run_id,
            context_tokens=tokens,
            window=info.window if info else 0,
            compact_at=self.limits.of(info),
            usage=self.history.usage,
            cost=self.history.cost,
            background=self.options.background,
            containment=self._contained,
            queued=tuple(self.history.queued),
            last_seq=self.history.last_seq,
        )

    async def contained(self) -> Containment:
        """What holds commands; found out in a thread, since a program is tried for it."""
        if not self._contained.says:
            self._contained = await asyncio.to_thread(lambda: self.surroundings.containment)
        return self._contained

    @property
    def running(self) -> bool:
        """Whether a run goes on."""
        return self._working.activity is not None

    @property
    def _ending(self) -> bool:
        """Whether what is said now is left to the conversation's next owner."""
        return self.handover.leaving or self._closing is not None

    @property
    def model_info(self) -> ModelInfo | None:
        """What is known of the model, None until it was opened."""
        return self._model.info if self._model else None

    @property
    def model_name(self) -> str:
        """The model that is used from the next run on, "" where none is configured."""
        return self._model_name

    @property
    def mode(self) -> str:
        """plan, ask, auto or full."""
        return self._mode

    @property
    def permissions(self) -> Permissions:
        """The rules in force; see `SessionPort.permissions`."""
        return self.surroundings.permissions

    @property
    def memory(self) -> Desk:
        """The agent's memory as this conversation uses it; raises `ConfigError` where there is none."""
        if self.desk is None:
            raise ConfigError("This session has no memory.")
        return self.desk

    @property
    def store(self) -> Store:
        """Where conversations and agents are kept; raises `ConfigError` where there is none."""
        if self._store is None:
            raise ConfigError("This session has no store.")
        return self._store

    # ------------------------------------------------------------ what is said

    async def send(self, content: str | tuple[ContentPart, ...], *, client_id: str = "") -> str:
        """Say something; see `SessionPort.send`."""
        parts = redacted((TextPart(text=content),) if isinstance(content, str) else content, self.vault)
        client_id = client_id or new_id("say")
        async with self._sending:
            if client_id in self.history.client_ids:
                return client_id
            if self.running or (self._ending and self.history.started is not None):
                await self.commit(ev.MessageQueued(client_id=client_id, content=parts))
                return client_id
            message = ev.UserMessage(message_id=new_id("msg"), content=parts, client_id=client_id)
            await self._begin(message)
        return client_id

    async def hand_in(self, content: str, *, client_id: str = "", by: str = "") -> str:
        """Say something that another process is to work on; returns the run's id.

        The message and its run, which waits for its owner, are durable then.  Nothing may run here.
        """
        parts = redacted((TextPart(text=content),), self.vault)
        client_id = client_id or new_id("say")
        async with self._sending:
            if self.history.run is not None:  # it is open and waits already: its next owner delivers this too
                await self.commit(ev.MessageQueued(client_id=client_id, content=parts))
                return self.history.run.run_id
            if not self._model_name:
                raise _no_model()
            message = ev.UserMessage(message_id=new_id("msg"), content=parts, client_id=client_id)
            return await self._begin(message, away=by or self.options.face)

    async def _begin(self, *messages: ev.UserMessage, away: str = "") -> str:
        """Keep messages and start a run on them, behind those that still wait; in one commit when the model is open.

        With `away` (who wants it so) the run is left to another process.  Returns the run's id.
        """
        run = Run(self, self._model)
        if self.desk is not None:
            self.desk.run_begins()
        messages = (*self.queued(), *messages)
        if self.desk is not None and messages and not self.options.interactive:
            self.desk.take_task(text_of(messages[-1].content))
        opening = run.opening()
        if self.history.facts.get(MEMORY) and not any(isinstance(event, ev.ContextPinned) for event in opening):
            opening = (*opening, *await run.memory_news())  # what the message may be about comes before it
        before = await self._last_run()
        begun = run.given_away(self._model_name, away) if away else run.started()
        await self.commit(*self._first_events(messages), *opening, *before, *messages, *begun)
        if not self._model_name:
            raise _no_model()
        if not away:
            self._working.start(run)
        return run.run_id

    async def _last_run(self) -> tuple[ev.ReminderAdded, ...]:
        """What the last run on this tree left, where it did not end well: told once, before the first message here."""
        if self._looked_back or self._store is None:
            return ()
        self._looked_back = True
        from letta_code.agent import aftermath

        root = project_root(self.options.cwd)
        left = await asyncio.to_thread(aftermath.last_run, self._store, root, self.conversation_id)
        if left is None or self.history.facts.get(aftermath.KIND) == left.run_id:
            return ()
        if (desk := self.desk) is not None:
            self._settling.also(lambda: aftermath.keep_note(desk, left))
        return (aftermath.reminder(left, await aftermath.state_of(root)),)

    def _first_events(self, messages: Sequence[ev.UserMessage]) -> list[ev.KnownEvent]:
        if self.history.started is not None:
            return []
        settings = {"mode": self._mode, "model": self._model_name}
        return first_events(self.conversation_id, self.agent_id, self.options.cwd, messages, settings)

    def _rests(self) -> None:
        self.wishes.fail(LettaError("Nothing was compacted: the run was stopped.", hint="Ask again."))

    def _following(self, run: Activity) -> Activity | None:
        """What comes after a run: the compaction that was wished meanwhile, then the messages that wait."""
        self.checkpoints.after_run()
        if run.stopped or self._closing or self.handover.leaving:
            return None
        if self.wishes:
            from letta_code.agent.compaction import IdleCompaction

            return IdleCompaction(self, run.reason)
        waiting = self.queued()
        return Run(self, self._model, messages=waiting) if waiting and run.reason == ev.StopReason.DONE else None

    def queued(self) -> list[ev.UserMessage]:
        """What was said during a run, as messages to deliver."""
        return [
            ev.UserMessage(message_id=new_id("msg"), content=q.content, client_id=q.client_id)
            for q in self.history.queued.values()
        ]

    async def unqueue(self, client_id: str) -> bool:
        """Take a queued message back."""
        async with self._sending:
            if client_id not in self.history.queued:
                return False
            await self.commit(ev.MessageUnqueued(client_id=client_id))
            return True

    async def resume(self) -> bool:
        """Go on with what is stored after an error, an interrupt or a crash; False when there is nothing to do."""
        async with self._sending:
            if self.running or not self._model_name or not self._unanswered():
                return False
            await self._begin()
            return True

    def _unanswered(self) -> bool:
        last = self.history.messages[-1] if self.history.messages else None
        ended = self.history.last_run
        return last is not None and (
            isinstance(last, UserText) or (ended is not None and ended.reason != ev.StopReason.DONE)
        )

    # ------------------------------------------------------------ requests

    async def ask(self, request: Request) -> Answer:
        """Ask the person and wait for the first answer."""
        return await self._asking.ask(request)

    async def answer(self, request_id: str, answer: Answer, by: str) -> ev.RequestAnswered:
        """Answer a request; the first answer stands."""
        return await self._asking.answer(request_id, answer, by)

    # ------------------------------------------------------------ control

    async def interrupt(self) -> None:
        """Stop the run; the history is balanced and durable when this returns."""
        await self._working.interrupt()

    async def detach(self, by: str) -> None:
        """Have the run go on without a face from here on, in this process; see `SessionPort.detach`."""
        await self.handover.detach(by)

    async def to_background(self, by: str) -> str:
        """Let a process without a face go on with the run; see `SessionPort.to_background`."""
        return await self.handover.to_background(by)

    async def take_over(self, by: str) -> None:
        """There is nothing to take."""
        raise UsageError("This conversation runs here already.")

    async def go_on(self) -> bool:
        """Go on with the run that another process left open, or with what waits; False when there is nothing."""
        history = self.history
        async with self._sending:
            if self.running or not self._model_name:
                return False
            if history.run is None:
                if not history.queued:
                    return False
                await self._begin()
                return True
            died = history.run_moved is None
            resumed = ev.RunResumed(
                run_id=history.run.run_id,
                reason="died" if died else "moved",
                attempt=history.run_attempts + int(died),
                background=self.handover.faceless,
                mode=self._mode,
            )
            self._working.start(Run(self, None, run_id=history.run.run_id, resumed=resumed))
            return True

    async def set_mode(self, mode: str) -> None:
        """Change the mode for the next calls."""
        self.surroundings.set_mode(mode)
        self._mode = mode
        if self.history.started is not None:
            await self.commit(ev.SettingChanged(name="mode", value=mode))

    async def set_model(self, name: str) -> None:
        """Use another model from the next run on; a message that waits for one is answered."""
        model = await self._open_model(name)
        old, self._model, self._model_name = self._model, model, name
        if old is not None and not self.running:
            await old.close()
        if self.history.started is not None:
            await self.commit(ev.SettingChanged(name="model", value=name))
            await self.resume()

    async def model(self) -> ChatModel:
        """The model, opened when first needed."""
        if self._model is None:
            self._model = await self._open_model(self._model_name)
        return self._model

    async def rename(self, title: str) -> None:
        """Give the conversation a title."""
        await self.commit(*self._first_events(()), ev.ConversationRenamed(title=title))

    async def compact(self, instructions: str = "") -> ev.ContextCompacted:
        """Summarise older messages now; see `SessionPort.compact`."""
        from letta_code.agent.compaction import IdleCompaction

        async with self._sending:
            if not self._model_name:
                raise ConfigError("No model is configured that could summarise.", hint="/connect connects one.")
            wish = self.wishes.add(instructions)
            if not self.running:
                self._working.start(IdleCompaction(self))
        return await wish.outcome()

    def head(self, info: ModelInfo) -> Head:
        """Instructions and tools for a model."""
        around = self.surroundings
        return Head(Toolset(around.tools, around.situation(info)), info, __version__)

    def tell_meter(self) -> None:
        """Tell how full the context is."""
        tokens, exact = self.context.tokens()
        info = self.model_info
        self.publish(
            ev.ContextMeter(
                after_seq=self.history.last_seq,
                tokens=tokens,
                window=info.window if info else 0,
                limit=self.limits.of(info),
                cost=self.history.cost,
                exact=exact,
            )
        )

    async def read(self, after: int, until: int) -> Sequence[ev.Event]:
        """Stored events with `after < seq <= until` that count (see `View`)."""
        return await self._ledger.read(after, until)

    async def log(self) -> Sequence[ev.Event]:
        """All stored events, those that were taken back too."""
        return await self._ledger.log()

    @asynccontextmanager
    async def at_rest(self) -> AsyncGenerator[None]:
        """Nothing runs, and nothing that is said now begins anything; raises `UsageError` while a run goes on."""
        async with self._sending:
            if self.running or self.handover.leaving:
                raise UsageError("The agent is at work.", hint="Interrupt it, or wait until it is done.")
            yield

    async def reflect(self, focus: str = "") -> str:
        """Read the conversation again for memory; see `SessionPort.reflect`."""
        return await self.reflection.ask(focus)

    def context_sections(self) -> Sequence[Section]:
        """All parts of the context in the order in which they are sent."""
        return self.context.sections()

    def context_request(self) -> bytes:
        """The next request as JSON; see `SessionPort.context_request`."""
        from letta_code.agent.next_request import request_json

        return request_json(self.context.request(), self._model)

    async def idle(self) -> ev.RunFinished | None:
        """Wait until nothing runs; the last run's end."""
        await self._working.over()
        return self.history.last_run

    def settle(self) -> None:
        """Give the standard blocks of memory their files, behind the scenes."""
        self._settling.begin()

    async def close(self) -> None:
        """Interrupt what runs and give everything back; who calls it a second time waits for the same end."""
        await asyncio.shield(self.begin_closing())

    def begin_closing(self) -> asyncio.Task[None]:
        """As `close`, without waiting for it."""
        self._closing = self._closing or asyncio.create_task(self._close(), name="close")
        return self._closing

    async def _close(self) -> None:
        self._ledger.closing()
        await self.interrupt()
        await self.reflection.close()
        if self.history.started is not None and not self.handover.leaving:  # else the next owner does it
            self.settle()
        await self._settling.end()
        await self.checkpoints.settled(END_SECONDS)
        if self.checkpoints.trees is not None:
            self.checkpoints.trees.stop()
        stopped = await self.surroundings.close()
        if stopped and self.history.started is not None:
            words = "; ".join(visible(command)[:200] for command in stopped)
            told = [ev.Notice(level="info", text=f"Stopped with the session: {words}", code="background")]
            await self.commit(*self._stopped(words), *told)
        if self._model is not None:
            await self._model.close()
        self.context.looked()
        if self._store is not None:
            for text in await asyncio.to_thread(self._store.complete_copies):
                self._ledger.publish(ev.Notice(level="warning", text=text, code="store"))
        if self.door is not None:
            self.door.shut()
        await self._ledger.close()
        if self.door is not None:
            await self.door.ended()

    def _stopped(self, commands: str) -> tuple[ev.ReminderAdded, ...]:
        """What the model must know of background commands that end here while its run goes on elsewhere."""
        if self.history.run is None:
            return ()
        text = f"This run goes on in another process; the background commands of the last one were stopped: {commands}"
        return (ev.ReminderAdded(message_id=new_id("msg"), kind="shells", text=text),)

    # ------------------------------------------------------------ events

    def events(self, after: int = 0) -> AsyncIterator[ev.Event | ev.LiveEvent]:
        """Stored events after a seq, then all as it happens; what was found while opening comes first."""
        return self._ledger.follow(after, self._notices)

    def listening(self) -> AbstractContextManager[Listening]:
        """Listen from this moment on, for another process."""
        return self._ledger.listening()

    def publish(self, event: ev.Event | ev.LiveEvent) -> None:
        """Tell all listeners."""
        self._ledger.publish(event)

    async def commit(self, *events: ev.KnownEvent) -> None:
        """Keep events in one commit, then take them in and tell of them; see `Ledger.commit`."""
        await self._ledger.commit(*events)


def _no_model() -> ConfigError:
    return ConfigError(
        "No model is configured.", hint="Run `letta-code configure`, or give one with --model provider/name."
    )
