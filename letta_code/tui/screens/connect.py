"""Connect: reach a model, step by step, in the prompt's place: what is there, or an endpoint of one's own."""

from __future__ import annotations

from typing import TYPE_CHECKING, TypeVar

import msgspec
from textual.app import ComposeResult
from textual.containers import Vertical
from textual.content import Content
from textual.events import Key
from textual.widgets import Input, Static

from letta_code.core.errors import LettaError
from letta_code.tui.clean import clean, clean_line
from letta_code.tui.ports import ConnectChoice, ConnectPort
from letta_code.tui.widgets.choices import Choices, Option

if TYPE_CHECKING:
    from collections.abc import Coroutine
    from typing import Any

    from letta_code.tui.screens.chat import ChatScreen

T = TypeVar("T")

_ADD, _LOOK = "add", "look"
# An endpoint of one's own: field, what is asked, what stands in the empty line.
_FIELDS = (
    ("endpoint", "A short name for it", "my-server"),
    ("base_url", "Its address", "http://localhost:8000/v1"),
    ("key", "Its key (empty if it needs none; it is kept in a 0600 file)", ""),
)


_LOOKING = "Looking for keys and local servers…"


class ConnectCard(Vertical):
    """One question at a time.  Esc goes a step back, at last it closes; nothing is saved before the test passed.

    With `servers` False, for a card that nobody asked for, local servers are looked for only when that is picked.
    """

    def __init__(self, chat: ChatScreen, port: ConnectPort, *, servers: bool = True) -> None:
        super().__init__(classes="ask connect")
        self._chat = chat
        self._port = port
        self._servers = servers
        self._found: list[ConnectChoice] = []
        self._choice = ConnectChoice(model="")
        self._field = -1  # index into _FIELDS while an endpoint is being described
        self._models: list[Option] = []  # to choose from, while a model's name is asked
        self._naming = False
        self._title = Static("Connect a model", markup=False, classes="ask-title")
        self._note = Static(_LOOKING if servers else "", markup=False, classes="ask-reason")
        self._choices = Choices(rows=8)
        self._line = Input(compact=True, classes="words")

    def compose(self) -> ComposeResult:
        """Title, note, the list or the line."""
        yield self._title
        yield self._note
        yield self._choices
        yield self._line
        yield Static("↑↓ Enter  ·  Esc goes back", markup=False, classes="ask-keys")

    def on_mount(self) -> None:
        """Look what is there."""
        self._line.display = False
        self._choices.focus()
        self.run_worker(self._look(), group="connect", exclusive=True)

    # ------------------------------------------------------------ steps

    async def _look(self) -> None:
        found = await self._do(self._port.found(servers=self._servers))
        self._found = list(found or ())
        self._start()

    def _start(self) -> None:
        self._field, self._naming = -1, False
        options = [
            Option(str(index), clean_line(choice.label or choice.model), clean_line(choice.note))
            for index, choice in enumerate(self._found)
        ]
        text = "These can be used now:" if options else "No key is in the environment (such as ANTHROPIC_API_KEY)"
        if not options:
            text += " and no local server answers." if self._servers else "."
        if not self._servers:
            options.append(Option(_LOOK, "Look for local servers", "asks the usual ports of this machine"))
        self._offer(text, [*options, Option(_ADD, "Add an endpoint", "any server that speaks chat completions")])

    def on_choices_picked(self, event: Choices.Picked) -> None:
        """What was found, a model of it, or an endpoint of one's own."""
        event.stop()
        name = event.option.id
        if name == _ADD:
            self._choice = ConnectChoice(model="")
            self._ask_field(0)
        elif name == _LOOK:
            self._servers = True
            self._say(_LOOKING)
            self.run_worker(self._look(), group="connect", exclusive=True)
        elif self._naming:
            self._finish(name)
        else:
            self._choice = self._found[int(name)]
            self._after_endpoint()

    def on_input_submitted(self, event: Input.Submitted) -> None:
        """A line was written."""
        event.stop()
        value = event.value.strip()
        if self._naming:
            if self._choices.current is not None:
                self._choices.pick()
            elif value:
                self._finish(value)
            return
        name = _FIELDS[self._field][0]
        if not value and name != "key":
            return
        self._choice = msgspec.structs.replace(self._choice, **{name: value})
        if self._field + 1 < len(_FIELDS):
            self._ask_field(self._field + 1)
        else:
            self._field = -1
            self._after_endpoint()

    def _after_endpoint(self) -> None:
        if self._choice.model:
            self._finish(self._choice.model)
        else:
            self._say("Asking which models there are…")
            self.run_worker(self._list_models(), group="connect", exclusive=True)

    async def _list_models(self) -> None:
        rows = await self._do(self._port.models(self._choice))
        if rows is None:
            return
        self._naming = True
        self._models = [Option(row.name, clean_line(row.name), clean_line(row.note)) for row in rows]
        if self._models:
            self._ask_line("Which model?  Type to narrow the list, or another name", "")
            self._choices.replace(self._models)
            self._choices.display = True
        else:
            self._ask_line("The model's name, as the endpoint calls it", "")

    def on_input_changed(self, event: Input.Changed) -> None:
        """Narrow the models by every word that was typed."""
        if self._naming:
            words = event.value.lower().split()
            self._choices.replace([one for one in self._models if all(word in one.text.lower() for word in words)])

    def _finish(self, model: str) -> None:
        self._choice = msgspec.structs.replace(self._choice, model=model)
        self._say(f"One small call to {clean_line(model)}…")
        self.run_worker(self._test(), group="connect", exclusive=True)

    async def _test(self) -> None:
        if await self._do(self._port.test(self._choice)) is None:
            return
        name = await self._do(self._port.save(self._choice))
        if name is None:
            return
        # the screen's work from here on, since this card goes and its workers with it
        self._chat.run_worker(self._chat.dispatch.set_model(name), group="model")
        self._chat.flash(f"{clean_line(name)} answers, and is saved.")
        self._chat.place.clear()

    # ------------------------------------------------------------ what is shown

    async def _do(self, work: Coroutine[Any, Any, T]) -> T | None:
        try:
            return await self._chat.core.run(work)
        except LettaError as error:
            self._start()
            self._note.update(
                Content.assemble(
                    (clean(str(error)), "$text-error"),
                    (f"\n{clean(error.hint)}" if error.hint else "", "$foreground 75%"),
                )
            )
            return None

    def _offer(self, note: str, options: list[Option]) -> None:
        self._say(note)
        self._line.display = False
        self._choices.display = True
        self._choices.replace(options)
        self._choices.focus()

    def _say(self, note: str) -> None:
        self._note.update(Content.styled(note, "$foreground 75%"))

    def _ask_field(self, index: int) -> None:
        self._field = index
        name, question, example = _FIELDS[index]
        self._ask_line(question, example, secret=name == "key")

    def _ask_line(self, question: str, example: str, *, secret: bool = False) -> None:
        self._say(question)
        self._choices.display = False
        self._line.display = True
        self._line.password = secret
        self._line.placeholder = example
        self._line.value = ""
        self._choices.replace([])
        self._line.focus()

    def on_key(self, event: Key) -> None:
        """Esc goes back to the start, from there it closes; arrows move in the list while a name is typed."""
        if event.key in ("up", "down") and self._naming:
            event.stop()
            self._choices.move(-1 if event.key == "up" else 1)
        if event.key != "escape":
            return
        event.stop()
        if self._field > 0:
            self._ask_field(self._field - 1)
        elif self._line.display or self._naming:
            self._start()
        else:
            self._chat.place.clear()
