"""Place: what a session lives in on this machine: workspace, tools, policy, remembered rules, facts."""

from __future__ import annotations

import os
import shutil
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from letta_code.agent.facts import Fact, Terms, gather, project_root
from letta_code.agent.port import SessionOptions
from letta_code.config.paths import Paths
from letta_code.config.settings import save_setting
from letta_code.core.requests import Approve
from letta_code.host.files import atomic_write
from letta_code.llm.model import ModelInfo
from letta_code.safety.policy import Policy, mode_of
from letta_code.safety.remembered import ProjectRules, project_file, remember
from letta_code.safety.rules import Rule, Rules, parse_rules
from letta_code.tools.base import Situation, Tool, load_tools
from letta_code.workspace.local import LocalWorkspace

DEBUG_MODULES = "LETTA_DEBUG_MODULES"


class Place:
    """Implements `Surroundings` for a local folder."""

    def __init__(self, options: SessionOptions, paths: Paths, workspace: LocalWorkspace) -> None:
        self.workspace: LocalWorkspace = workspace
        self._options = options
        self._paths = paths
        self._cwd = options.cwd
        self._tools: Mapping[str, Tool[Any]] = {}
        self._root = project_root(options.cwd)
        self.policy = Policy(
            mode_of(options.mode or options.settings.mode),
            self._rules(),
            root=options.cwd,
            letta_home=str(paths.home),
        )

    def _rules(self) -> Rules:
        settings, options = self._options.settings, self._options
        found: list[Rule] = [
            *parse_rules(settings.deny, "deny"),
            *parse_rules(settings.ask, "ask"),
            *parse_rules(settings.allow, "allow"),
            *parse_rules(options.deny, "deny", "flag"),
            *parse_rules(options.allow, "allow", "flag"),
            *self._project_rules().rules(),
        ]
        return Rules.of(found)

    @property
    def _project_file(self) -> Path:
        return self._paths.home / project_file(os.path.realpath(self._cwd))

    def _project_rules(self) -> ProjectRules:
        path = self._project_file
        if not path.exists():
            return ProjectRules(root=os.path.realpath(self._cwd))
        return ProjectRules.decode(path.read_bytes(), str(path))

    @property
    def tools(self) -> Mapping[str, Tool[Any]]:
        """Every tool there is; loaded when first asked for."""
        if not self._tools:
            self._tools = load_tools()
        return self._tools

    def situation(self, info: ModelInfo) -> Situation:
        """What decides which tools apply."""
        return Situation(
            capabilities=self.workspace.capabilities,
            model=info,
            interactive=self._options.interactive,
            git_repository=Path(self._root, ".git").exists(),
            git_installed=shutil.which("git") is not None,
        )

    def facts(self) -> Sequence[Fact]:
        """The facts of now."""
        rules = tuple(rule.text for rule in self.policy.rules if rule.verdict == "allow")
        terms = Terms(mode=self.policy.mode, interactive=self._options.interactive, allow=rules)
        return gather(self._cwd, self._root, str(self._paths.home), terms)

    def set_mode(self, mode: str) -> None:
        """Judge by another mode from now on; raises `UsageError` that lists the modes."""
        self.policy = self.policy.with_mode(mode_of(mode))

    def remember(self, answer: Approve) -> None:
        """Keep the rule that a yes came with: in the policy at once, and where its scope says."""
        kept = remember(answer.remember, answer.pattern, os.path.realpath(self._cwd)) if answer.pattern else None
        if kept is None:
            return
        self.policy = self.policy.with_rules(kept.rule)
        if kept.scope == "project":
            path = self._project_file
            self._paths.folder(path.parent.parent)
            self._paths.folder(path.parent)
            atomic_write(path, self._project_rules().plus(answer.pattern).encode(), mode=0o600)
        elif kept.scope == "always":
            allow = self._options.settings.allow
            save_setting(self._paths, "allow", [*dict.fromkeys([*allow, answer.pattern])])

    def warm(self) -> None:
        """Start the launcher of commands while the model thinks."""
        self.workspace.warm()

    def answer_begins(self) -> None:
        """Write the names of all loaded modules where LETTA_DEBUG_MODULES says (a test of the start path)."""
        if target := os.environ.get(DEBUG_MODULES):
            Path(target).write_text("\n".join(sorted(sys.modules)), encoding="utf-8")

    async def close(self) -> None:
        """Stop what still runs."""
        await self.workspace.close()
