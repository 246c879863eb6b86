"""Completer: the list above the prompt while `/` or `@` is being typed."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Sequence

from textual.widgets import TextArea

from letta_code.tui.clean import clean_line
from letta_code.tui.completion import Wanted, match_commands, match_files, wanted
from letta_code.tui.core_thread import CoreThread
from letta_code.tui.dispatch import Dispatch
from letta_code.tui.ports import Ports
from letta_code.tui.widgets.choices import Choices, Option
from letta_code.tui.widgets.prompt import PromptArea

FILES_KEPT = 3.0  # seconds in which the list of files is not read again


class Completer(Choices, can_focus=False):
    """Follows the prompt's cursor; the prompt keeps the focus and sends the keys that are for the list."""

    def __init__(self, area: PromptArea, dispatch: Dispatch, core: CoreThread, ports: Ports, cwd: str) -> None:
        super().__init__(id="completer", rows=8)
        self._area = area
        self._dispatch = dispatch
        self._core = core
        self._ports = ports
        self._cwd = cwd
        self._files: Sequence[str] | None = None
        self._files_until = 0.0
        area.enter_sends = self._enter_sends
        self._wanted: Wanted | None = None
        self._offered: Wanted | None = None  # what the list was made for
        self._closed_for = ""
        self.display = False

    def look(self) -> None:
        """See what the words left of the cursor ask for, and offer it."""
        line, wish = self._present()
        wish = None if self._area.recalling or line == self._closed_for else wish
        self._closed_for = "" if line != self._closed_for else line
        self._wanted = wish
        if wish is None:
            self._offer([])
        elif wish.kind == "command":
            self.run_worker(self._find_commands(wish), group="complete", exclusive=True)
        else:
            self.run_worker(self._find_files(wish), group="complete", exclusive=True)

    def _present(self) -> tuple[str, Wanted | None]:
        """The cursor's line, and what the words left of the cursor ask for."""
        row, column = self._area.cursor_location
        line = self._area.document.get_line(row)
        return line, wanted(line, row, column)

    def close(self) -> None:
        """Offer nothing any more."""
        self._wanted = None
        self._offer([])

    def obey(self, what: str) -> None:
        """A key of the prompt: next, previous, accept, complete or close."""
        match what:
            case "next":
                self.move(1)
            case "previous":
                self.move(-1)
            case "accept":
                self._accept(self.current)
            case "close":
                self._closed_for = self._area.document.get_line(self._area.cursor_location[0])
                self.close()
            case _:
                self.look()

    def on_choices_picked(self, event: Choices.Picked) -> None:
        """A click."""
        event.stop()
        self._accept(event.option)

    async def _find_commands(self, wish: Wanted) -> None:
        if not self._dispatch.commands:
            await self._dispatch.load_commands()
        if wish is not self._wanted:
            return  # something else was typed, or sent, in the meantime
        found = match_commands(wish.query, self._dispatch.commands)
        wide = max((len(command.name) for command in found), default=0)
        self._offer([Option(command.name, f"/{command.name:<{wide}}", command.help) for command in found], wish)

    async def _find_files(self, wish: Wanted) -> None:
        if self._files is None or time.monotonic() > self._files_until:
            self._files = await self._core.run(_list(self._ports, self._cwd))
            self._files_until = time.monotonic() + FILES_KEPT
        found = await asyncio.to_thread(match_files, wish.query, self._files)
        if wish is not self._wanted:
            return
        self._offer([Option(path, clean_line(path)) for path in found], wish)

    def _enter_sends(self) -> bool:
        """Whether Enter is for the text and not for the list: a whole command, or a list that keys have overtaken."""
        _, wish = self._present()
        return wish != self._offered or self._is_whole(self._area.text)

    def _is_whole(self, text: str) -> bool:
        name = text.removeprefix("/")
        known = self._dispatch.commands
        named = name in known or any(name in command.aliases for command in known.values())
        return text.startswith("/") and named and self.cursor == 0  # lower down, the person chose another

    def _offer(self, options: list[Option], wish: Wanted | None = None) -> None:
        self._offered = wish
        self.display = bool(options)
        self._area.completing = bool(options)
        if options != self.options:
            self.replace(options)

    def _accept(self, option: Option | None) -> None:
        wish = self._wanted
        if option is None or wish is None:
            return
        area = self._area
        row, column = area.cursor_location
        sign = "/" if wish.kind == "command" else "@"
        self.close()
        command = self._dispatch.commands.get(option.id) if wish.kind == "command" else None
        if command is not None and not command.usage:
            area.put(f"/{option.id}")
            area.send()
            return
        result = area.replace(f"{sign}{option.id} ", (row, wish.start), (row, column))
        area.move_cursor(result.end_location)

    def _on_text_area_changed(self, event: TextArea.Changed) -> None:
        event.stop()


async def _list(ports: Ports, cwd: str) -> Sequence[str]:
    return await ports.list_files(cwd)
