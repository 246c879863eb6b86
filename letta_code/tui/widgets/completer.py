"""Completer: the list above the prompt while `/` or `@` is being typed."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Sequence

from textual.widgets import TextArea

from letta_code.tui.clean import clean_line
from letta_code.tui.completion import Wanted, match_commands, match_files, wanted
from letta_code.tui.core_thread import CoreThread
from letta_code.tui.dispatch import Dispatch
from letta_code.tui.ports import Ports
from letta_code.tui.widgets.choices import Choices, Option
from letta_code.tui.widgets.prompt import PromptArea


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
        self._wanted: Wanted | None = None
        self._closed_for = ""
        self.display = False

    def look(self) -> None:
        """See what the words left of the cursor ask for, and offer it."""
        area = self._area
        row, column = area.cursor_location
        line = area.document.get_line(row)
        wish = None if area.recalling or line == self._closed_for else wanted(line, row, column)
        self._closed_for = "" if line != self._closed_for else line
        self._wanted = wish
        if wish is None:
            self._offer([])
        elif wish.kind == "command":
            self.run_worker(self._find_commands(wish), group="complete", exclusive=True)
        else:
            self.run_worker(self._find_files(wish), group="complete", exclusive=True)

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
        found = match_commands(wish.query, self._dispatch.commands)
        self._offer([Option(c.name, f"/{c.name}", " ".join(filter(None, [c.usage, c.help]))) for c in found])

    async def _find_files(self, wish: Wanted) -> None:
        if self._files is None:
            lister = self._ports.list_files or list_files
            self._files = await self._core.run(asyncio.to_thread(lister, self._cwd))
        found = await asyncio.to_thread(match_files, wish.query, self._files)
        self._offer([Option(path, clean_line(path)) for path in found])

    def _offer(self, options: list[Option]) -> None:
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
            area.post_message(PromptArea.Submitted(area.text))
            return
        result = area.replace(f"{sign}{option.id} ", (row, wish.start), (row, column))
        area.move_cursor(result.end_location)

    def _on_text_area_changed(self, event: TextArea.Changed) -> None:
        event.stop()


SKIPPED = {"node_modules", "__pycache__", "target", "dist", "build", "venv"}
FILES_LIMIT = 50_000


def list_files(cwd: str) -> list[str]:
    """Files below a folder, relative; hidden folders and those that hold other people's code left out.

    What is used where no port asks git or ripgrep.  Not for the screen's loop.
    """
    found: list[str] = []
    for folder, folders, names in os.walk(cwd):
        folders[:] = sorted(name for name in folders if not name.startswith(".") and name not in SKIPPED)
        base = os.path.relpath(folder, cwd)
        found += [name if base == "." else f"{base}/{name}" for name in sorted(names)]
        if len(found) >= FILES_LIMIT:
            break
    return found[:FILES_LIMIT]
