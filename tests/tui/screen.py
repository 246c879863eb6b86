"""What tests of the screen share: an app over a fake session, and waiting for what they expect."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from textual.app import App
from textual.pilot import Pilot

from letta_code.agent.port import SessionOptions, SessionPort
from letta_code.config.settings import Settings
from letta_code.tui.app import LettaApp
from letta_code.tui.ports import Ports
from tests.fakes.session import FakeSession


class Stage:
    """An app, the session behind it, and what was copied."""

    def __init__(
        self,
        session: FakeSession | None = None,
        *,
        ports: Ports | None = None,
        history: Path | None = None,
        model: str = "scripted/demo",
        settings: Settings | None = None,
        clock: Callable[[], float] = time.monotonic,
        following: Sequence[FakeSession] = (),
    ) -> None:
        """`following` are what the conversation is opened as when it has another owner."""
        self._following = list(following)
        self.patience: list[float] = []
        self.session = session or FakeSession()
        self.opened: list[SessionOptions] = []
        self.copied: list[str] = []
        options = SessionOptions(cwd="/work/project", settings=settings or Settings(model=model))
        self.app = LettaApp(
            options,
            self._open,
            ports or Ports(),
            history_folder=history,
            copy=self.copied.append,
            clock=clock,
            open_again=self._again,
        )

    async def _open(self, options: SessionOptions) -> SessionPort:
        self.opened.append(options)
        return self.session

    async def _again(self, options: SessionOptions, patience: float) -> SessionPort:
        self.opened.append(options)
        self.patience.append(patience)
        self.session = self._following.pop(0)
        return self.session

    @property
    def chat(self):
        return self.app.chat

    @property
    def prompt(self) -> str:
        return self.app.chat.prompt.text


async def until(pilot: Pilot[int], wanted: Callable[[], object], what: str = "", seconds: float = 10.0) -> None:
    """Let the app work until something is so."""
    end = time.monotonic() + seconds
    while not wanted():
        assert time.monotonic() < end, what or "waited in vain"
        await pilot.pause(0.01)
    await pilot.pause()


def screen_text(app: App[Any]) -> str:
    """What stands on the screen, "" while a widget of it has no styles yet, which textual would not draw either."""
    try:
        strips = app.screen._compositor.render_strips()
    except KeyError:
        return ""
    return "\n".join("".join(segment.text for segment in strip) for strip in strips)


async def still(pilot: Pilot[int], stage: Stage) -> None:
    """Until the picture has not changed for three looks."""
    looks: list[str] = []
    while len(looks) < 4 or len(set(looks[-4:])) > 1:
        await pilot.pause(0.05)
        looks.append(screen_text(stage.app))
        assert len(looks) < 400, "the picture never stood still"


async def ready(pilot: Pilot[int], stage: Stage) -> None:
    """Until the session is open and drawn."""
    await until(pilot, lambda: stage.opened and stage.chat.state.conversation_id, "the session never opened")


def text_of(widget: object) -> str:
    """The plain text that a widget shows."""
    return str(widget.render())  # type: ignore[attr-defined]


def cards(stage: Stage, kind: str) -> list[object]:
    """The mounted cards of a class."""
    return list(stage.chat.query(f".card.{kind}"))
