"""Trust at the start: how the folder stands, what a face asks, and the one line about what is not used."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeAlias

from msgspec.structs import replace

from letta_code.agent.folder_trust import answer, to_show
from letta_code.agent.port import SessionOptions
from letta_code.config.paths import Paths
from letta_code.core.errors import LettaError
from letta_code.core.events import Notice
from letta_code.safety.terminal import visible
from letta_code.safety.trust import Standing, not_used

Opening: TypeAlias = tuple[SessionOptions, tuple[Notice, ...]]


def ignored(looked: Standing, *, trusted: bool) -> tuple[Notice, ...]:
    """What a person is told of a folder, and of the file with their answer."""
    words = "" if trusted else not_used(looked)
    if not words:
        return looked.notices
    how = f"`letta-code trust {visible(looked.root)}` uses it from now on (--show lists it all), --trust for one start."
    return (*looked.notices, Notice(level="warning", code="trust", text=f"{words} {how}"))


class AskedAtStart:
    """Satisfies `TrustQuestion`; `open_as` makes the options anew, for this start `held` as trusted where given."""

    def __init__(self, looked: Standing, open_as: Callable[[bool], Opening], paths: Paths) -> None:
        self._looked = looked
        self._open_as = open_as
        self._paths = paths

    def standing(self) -> Standing:
        """What there is, with the repository's hooks.  Blocks for a few ms."""
        from letta_code.agent.repository_hooks import hooks_of

        self._looked = replace(to_show(self._looked), hooks=hooks_of(self._looked.root))
        return self._looked

    def answer(self, *, trusted: bool) -> Opening:
        """Keep the answer; how the session is opened then, and what is to be told."""
        try:
            answer(self._looked, self._paths, trusted=trusted)
        except LettaError as error:  # a full disk: what was said holds for this start all the same
            options, notices = self._open_as(trusted)
            told = Notice(level="warning", code="trust", text=str(error), hint=error.hint)
            return options, (*notices, told)
        options, notices = self._open_as(False)
        if options.trusted:
            return options, notices
        told = ignored(replace(self._looked, news={}, notices=()), trusted=False)  # with the hooks that were shown
        return options, (*(notice for notice in notices if notice.code != "trust"), *told)
