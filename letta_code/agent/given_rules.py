"""Given rules: the rules of settings, flags and earlier answers; one that cannot be read costs only itself."""

from __future__ import annotations

import os
import re
from collections.abc import Iterable
from pathlib import Path
from typing import Literal, TypeAlias

from letta_code.agent.port import SessionOptions
from letta_code.core.errors import ConfigError
from letta_code.core.events import Notice
from letta_code.host.files import read_bounded
from letta_code.safety.remembered import ProjectRules
from letta_code.safety.rules import Rule, Rules, Source, parse_rule

_Verdict: TypeAlias = Literal["allow", "ask", "deny"]
_TOOL = re.compile(r"\s*([A-Za-z_]\w*)\s*(?:\(|\Z)")
_LARGEST = 4 << 20  # bytes
_EFFECTS = ("Bash", "Edit", "Write", "ApplyPatch", "Git")


class GivenRules:
    """All rules of a session, and what is to be told of them."""

    def __init__(self, options: SessionOptions, project_file: Path) -> None:
        self.notices: list[Notice] = []
        settings = options.settings
        self.rules = Rules.of(
            [
                *self._read(settings.deny, "deny", "user"),
                *self._read(settings.ask, "ask", "user"),
                *self._read(settings.allow, "allow", "user"),
                # A flag is typed by somebody who can correct it: a wrong one stops the start.
                *(parse_rule(text, "deny", "flag") for text in options.deny),
                *(parse_rule(text, "allow", "flag") for text in options.allow),
                *self._remembered(project_file),
            ]
        )

    def _read(self, texts: Iterable[str], verdict: _Verdict, source: Source) -> list[Rule]:
        found: list[Rule] = []
        for text in texts:
            try:
                found.append(parse_rule(text, verdict, source))
            except ConfigError as error:
                found += self._instead(text, verdict, error)
        return found

    def _instead(self, text: str, verdict: _Verdict, error: ConfigError) -> list[Rule]:
        """What holds for a rule that cannot be read: nothing is allowed by it; what it may have refused is asked."""
        named = _TOOL.match(text)
        tools = () if verdict == "allow" else (named[1],) if named else _EFFECTS
        instead = f"; {', '.join(tools)} is asked about instead" if tools else ""
        self.notices.append(
            Notice(
                level="warning",
                text=f"The {verdict} rule {text!r} is not used{instead}. {error}",
                hint=f"Correct it in config.yaml ({verdict}). {error.hint}".strip(),
                code="rules",
            )
        )
        return [parse_rule(tool, "ask") for tool in tools]

    def _remembered(self, path: Path) -> tuple[Rule, ...]:
        try:
            return remembered_in(path).rules()
        except (ConfigError, OSError) as error:
            self.notices.append(
                Notice(
                    level="warning",
                    text=f"The rules remembered for this project are not used: {error}",
                    hint=f"Mend or remove {path}.",
                    code="rules",
                )
            )
            return ()


def remembered_in(path: Path) -> ProjectRules:
    """The rules of a project's file, none when there is no file.  Raises `ConfigError` or `OSError`."""
    if not os.path.lexists(path):
        return ProjectRules(root="")
    return ProjectRules.decode(read_bounded(path, _LARGEST), str(path))
